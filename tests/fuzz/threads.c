/* threads PROGRAM...: many threads at one program, for ThreadSanitizer: they make its first machine, run machines with
 * helpers of their own, and call the bridge, which loads and drops it. All results have to be the same. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "re2na.h"

enum { THREADS = 4, RUNS = 12, PORTS = 4, PORT = 1 << 16, MOST_BYTES = 1 << 20 };

static uint8_t bytes[MOST_BYTES];
static uint64_t size;
static re2na_program *program;
static int8_t input[PORT], expected[PORT];

static void expect(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "threads: %s\n", what);
  exit(1);
}

static void run(re2na_machine *machine, int8_t *output) {
  const int8_t *inputs[PORTS] = {input, input, input, input};
  int8_t *outputs[PORTS] = {output};
  re2na_error error;
  expect(re2na_run(machine, inputs, outputs, NULL, &error) == RE2NA_OK, "a run fails");
}

static void *work(void *argument) {
  int8_t *output = calloc(PORT, 1);
  const uint64_t pointers[2] = {(uint64_t)(uintptr_t)input, (uint64_t)(uintptr_t)output};
  re2na_machine *machine = NULL;
  re2na_error error;
  expect(output != NULL, "no memory");
  for (int i = 0; i < RUNS; i++) {
    expect(re2na_machine_create(program, &machine, &error) == RE2NA_OK, error.message);
    expect(re2na_machine_set_threads(machine, 1 + (uint32_t)i % 3, &error) == RE2NA_OK, error.message);
    for (int again = 0; again < 2; again++) run(machine, output);
    expect(memcmp(output, expected, PORT) == 0, "results differ");
    re2na_machine_free(machine);
    expect(re2na_execute(bytes, (int64_t)size, pointers) == RE2NA_OK, re2na_bridge_last_error());
    expect(memcmp(output, expected, PORT) == 0, "the bridge's results differ");
    if (i % 4 == 3) re2na_bridge_reset();
    expect(re2na_program_memory(program) > 0, "no memory is asked for");
  }
  free(output);
  return argument;
}

static void check(const char *path) {
  re2na_program *first;
  re2na_machine *machine;
  re2na_error error;
  pthread_t threads[THREADS];
  FILE *file = fopen(path, "rb");
  expect(file != NULL, path);
  size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  expect(re2na_program_load(bytes, size, &first, &error) == RE2NA_OK &&
             re2na_program_load(bytes, size, &program, &error) == RE2NA_OK,
         error.message);
  expect(re2na_program_input_count(program) == 1 && re2na_program_output_count(program) == 1,
         "one input and one output are needed");
  expect(re2na_machine_create(first, &machine, &error) == RE2NA_OK, error.message);
  memset(expected, 0, sizeof expected);
  run(machine, expected);
  for (int i = 0; i < THREADS; i++) expect(pthread_create(&threads[i], NULL, work, NULL) == 0, "no thread");
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  re2na_bridge_reset();
  re2na_machine_free(machine);
  re2na_program_free(first);
  re2na_program_free(program);
}

int main(int count, char **words) {
  for (int i = 0; i < PORT; i++) input[i] = (int8_t)(i * 37);
  expect(re2na_bridge_set_threads(2) == RE2NA_OK, "the bridge takes no threads");
  for (int i = 1; i < count; i++) check(words[i]);
  printf("%d programs, %d threads\n", count - 1, THREADS);
  return 0;
}
