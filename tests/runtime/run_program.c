/* run_program KERNEL PROGRAM INPUT: runs a program of one input; its outputs, then "macs overflows", to standard
 * output. */
#include <stdio.h>
#include <stdlib.h>

#include "re2na.h"

static uint8_t *read_file(const char *path, uint64_t *size) {
  FILE *file = fopen(path, "rb");
  uint8_t *bytes;
  if (!file || fseek(file, 0, SEEK_END) != 0) return NULL;
  *size = (uint64_t)ftell(file);
  rewind(file);
  bytes = malloc(*size + 1);
  if (bytes && fread(bytes, 1, *size, file) != *size) bytes = NULL;
  fclose(file);
  return bytes;
}

static uint64_t size_of(const re2na_tensor *tensor) {
  uint64_t size = 1;
  for (uint32_t i = 0; i < tensor->rank; i++) size *= tensor->shape[i];
  return size;
}

int main(int count, char **words) {
  uint64_t size, input_size;
  re2na_program *program;
  re2na_machine *machine;
  re2na_counters counters;
  re2na_error error;
  re2na_tensor tensor;
  if (count != 4) return 2;
  const uint8_t *bytes = read_file(words[2], &size);
  const int8_t *input = (const int8_t *)read_file(words[3], &input_size);
  if (!bytes || !input) return 2;
  if (re2na_program_load_for(bytes, size, re2na_kernel_number(words[1]), &program, &error) != RE2NA_OK ||
      re2na_machine_create(program, &machine, &error) != RE2NA_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  const uint32_t outputs = re2na_program_output_count(program);
  int8_t **places = calloc(outputs, sizeof *places);
  for (uint32_t i = 0; i < outputs; i++) {
    re2na_program_output(program, i, &tensor);
    places[i] = malloc(size_of(&tensor));
  }
  if (re2na_run(machine, &input, places, &counters, &error) != RE2NA_OK) return 1;
  for (uint32_t i = 0; i < outputs; i++) {
    re2na_program_output(program, i, &tensor);
    fwrite(places[i], 1, size_of(&tensor), stdout);
  }
  printf("%llu %llu", (unsigned long long)counters.macs, (unsigned long long)counters.overflows);
  return 0;
}
