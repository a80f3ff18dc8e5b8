/* Runs a .re2na program with the simulator's C library alone: no Python, no TVM.
 *
 *   run_program PROGRAM.re2na INPUT.bin...
 *
 * Each file holds the int8 numbers of one input, row by row, as make_input.py writes them. Printed are the largest
 * number of each output and where it is (the class, where the output holds scores), and what the run took. */
#include <inttypes.h>
#include <re2na.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct contents {
  void *bytes;
  uint64_t size;
} contents;

static bool failed(const char *what, const char *why) {
  fprintf(stderr, "run_program: %s: %s\n", what, why);
  return false;
}

static bool read_file(const char *path, contents *found) {
  FILE *file = fopen(path, "rb");
  if (!file) return failed(path, "cannot be opened");
  long size = -1;
  if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
  rewind(file);
  found->bytes = size > 0 ? malloc((size_t)size) : NULL;
  found->size = size > 0 ? (uint64_t)size : 0;
  const bool whole = found->bytes && fread(found->bytes, 1, (size_t)size, file) == (size_t)size;
  fclose(file);
  return whole || failed(path, "is empty, or cannot be read");
}

static uint64_t size_of(const re2na_tensor *tensor) {
  uint64_t size = 1;
  for (uint32_t axis = 0; axis < tensor->rank; axis++) size *= tensor->shape[axis];
  return size;
}

/* `inputs` gets one pointer for each input of the program. */
static bool read_inputs(const re2na_program *program, int count, char **paths, const int8_t **inputs) {
  const uint32_t wanted = re2na_program_input_count(program);
  char text[160];
  if ((uint32_t)count != wanted) {
    snprintf(text, sizeof text, "%d files were given, the program has %" PRIu32 " inputs", count, wanted);
    return failed("inputs", text);
  }
  for (uint32_t i = 0; i < wanted; i++) {
    re2na_tensor tensor;
    contents found = {NULL, 0};
    const bool good = re2na_program_input(program, i, &tensor) == RE2NA_OK && read_file(paths[i], &found);
    inputs[i] = found.bytes;
    if (!good) return false;
    if (found.size != size_of(&tensor)) {
      snprintf(text, sizeof text, "has %" PRIu64 " bytes, input '%.40s' takes %" PRIu64, found.size, tensor.name,
               size_of(&tensor));
      return failed(paths[i], text);
    }
  }
  return true;
}

static bool make_outputs(const re2na_program *program, int8_t **outputs) {
  for (uint32_t i = 0; i < re2na_program_output_count(program); i++) {
    re2na_tensor tensor;
    if (re2na_program_output(program, i, &tensor) != RE2NA_OK) return failed("outputs", "cannot be described");
    outputs[i] = malloc(size_of(&tensor));
    if (!outputs[i]) return failed("outputs", "no memory");
  }
  return true;
}

static void print_outputs(const re2na_program *program, int8_t *const *outputs) {
  for (uint32_t i = 0; i < re2na_program_output_count(program); i++) {
    re2na_tensor tensor;
    uint64_t best = 0;
    re2na_program_output(program, i, &tensor);
    for (uint64_t at = 1; at < size_of(&tensor); at++)
      if (outputs[i][at] > outputs[i][best]) best = at;
    printf("output '%s': largest %d at %" PRIu64 " of %" PRIu64 "\n", tensor.name, outputs[i][best], best,
           size_of(&tensor));
  }
}

static bool run(const re2na_program *program, const int8_t *const *inputs, int8_t *const *outputs) {
  re2na_machine *machine = NULL;
  re2na_counters counters;
  re2na_error error;
  const bool good = re2na_machine_create(program, &machine, &error) == RE2NA_OK &&
                    re2na_run(machine, inputs, outputs, &counters, &error) == RE2NA_OK;
  re2na_machine_free(machine);
  if (!good) return failed("simulator", error.message);
  print_outputs(program, outputs);
  printf("%" PRIu64 " cycles, %" PRIu64 " multiply-accumulates, %" PRIu64 " overflows, %" PRIu64
         " bytes of DRAM traffic\n",
         re2na_program_cycles(program), counters.macs, counters.overflows, counters.dram_bytes);
  return true;
}

/* A program is checked when it is loaded; after that no run can fail for what is in it. */
static bool load_and_run(const contents *file, const char *path, int count, char **paths) {
  re2na_program *program = NULL;
  re2na_error error;
  if (re2na_program_load(file->bytes, file->size, &program, &error) != RE2NA_OK) return failed(path, error.message);
  const uint32_t ins = re2na_program_input_count(program), outs = re2na_program_output_count(program);
  const int8_t **inputs = calloc(ins + 1, sizeof *inputs);
  int8_t **outputs = calloc(outs + 1, sizeof *outputs);
  bool good = inputs && outputs ? true : failed(path, "no memory");
  good = good && read_inputs(program, count, paths, inputs) && make_outputs(program, outputs) &&
         run(program, inputs, outputs);
  for (uint32_t i = 0; inputs && i < ins; i++) free((void *)inputs[i]);
  for (uint32_t i = 0; outputs && i < outs; i++) free(outputs[i]);
  free((void *)inputs);
  free(outputs);
  re2na_program_free(program);
  return good;
}

int main(int count, char **words) {
  contents file = {NULL, 0};
  if (count < 3) {
    fprintf(stderr, "usage: %s PROGRAM.re2na INPUT.bin...\n", words[0]);
    return 2;
  }
  /* the library borrows the bytes: they stay until the program is freed */
  const bool good = read_file(words[1], &file) && load_and_run(&file, words[1], count - 2, words + 2);
  free(file.bytes);
  return good ? 0 : 1;
}
