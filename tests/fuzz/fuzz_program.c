/* libFuzzer target: a .re2na file. One that is accepted runs on every kernel of this machine, some twice, with other
 * inputs, with the slack behind the memories filled differently; results and the instructions' counters have to be the
 * same, and the slack untouched. Inputs and outputs are of exact size, and the SRAM ends where the last operand does,
 * so that AddressSanitizer sees whatever goes beyond. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "mutate.h"
#include "parts.h"

enum { MOST_PORTS = 16 };
static const re2na_limits LIMITS = {.memory_bytes = 3 << 20, .work = 1 << 20};

typedef struct results {
  re2na_program *program;
  re2na_machine *machine;
  int8_t *outputs[MOST_PORTS];
  re2na_counters total;
} results;

static uint64_t executions, accepted, ran;

static void report(void) {
  fprintf(stderr, "fuzz: %llu executions, %llu accepted (%.1f %%), %llu runs\n", (unsigned long long)executions,
          (unsigned long long)accepted, executions ? 100.0 * (double)accepted / (double)executions : 0.0,
          (unsigned long long)ran);
}

static void expect(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

static uint64_t size_of(const re2na_tensor *tensor) {
  return (uint64_t)tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
}

static int8_t *input_for(const re2na_tensor *tensor, uint32_t index) {
  uint64_t random = index, size = size_of(tensor);
  int8_t *values = malloc(size);
  for (uint64_t i = 0; values && i < size; i++) values[i] = (int8_t)next_random(&random);
  return values;
}

/* What a kernel may read, and nobody write. */
static void fill_slack(re2na_machine *machine, uint8_t with) {
  memset(machine->memory.sram + machine->program->sram_used, with, RE2NA_SLACK);
}

static void check_slack(const re2na_machine *machine, uint8_t with) {
  for (int i = 0; i < RE2NA_SLACK; i++)
    expect(machine->memory.sram[machine->program->sram_used + (uint64_t)i] == with, "the slack was written");
}

static void run_on(results *of, int8_t *const *inputs, uint8_t slack) {
  re2na_error error;
  for (uint32_t i = 0; i < of->program->output_count; i++)
    if (!of->outputs[i]) of->outputs[i] = malloc(size_of(&of->program->outputs[i]));
  fill_slack(of->machine, slack);
  expect(re2na_run(of->machine, (const int8_t *const *)inputs, of->outputs, &of->total, &error) == RE2NA_OK,
         "a loaded program does not run");
  check_slack(of->machine, slack);
  ran++;
}

static void compare(const results *one, const results *other) {
  const re2na_program *program = one->program;
  expect(memcmp(&one->total, &other->total, sizeof one->total) == 0, "counters differ");
  for (uint32_t i = 0; i < program->output_count; i++)
    expect(memcmp(one->outputs[i], other->outputs[i], size_of(&program->outputs[i])) == 0, "outputs differ");
  expect(memcmp(re2na_machine_instruction_counters(one->machine), re2na_machine_instruction_counters(other->machine),
                program->count * sizeof(re2na_counters)) == 0,
         "an instruction's counters differ");
  expect(re2na_program_cycles(program) == re2na_program_cycles(other->program), "cycles differ");
}

static void free_results(results *of) {
  for (uint32_t i = 0; i < MOST_PORTS; i++) free(of->outputs[i]);
  re2na_machine_free(of->machine);
  re2na_program_free(of->program);
}

static bool make(results *of, const uint8_t *bytes, size_t size, int32_t kernel) {
  re2na_error error = {0};
  const int32_t code = re2na_program_load_limited(bytes, size, kernel, &LIMITS, &of->program, &error);
  expect((code == RE2NA_OK) == (of->program != NULL) && (code == RE2NA_OK || (code == error.code && error.message[0])),
         "an error without words");
  if (code != RE2NA_OK || of->program->input_count > MOST_PORTS || of->program->output_count > MOST_PORTS) return false;
  const int32_t made = re2na_machine_create(of->program, &of->machine, &error);
  expect(made == RE2NA_OK || made == RE2NA_ERROR_LIMIT, "a loaded program has no machine");
  return made == RE2NA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  results first = {0};
  int8_t *inputs[MOST_PORTS] = {0}, *others[MOST_PORTS] = {0};
  const bool twice = re2na_crc32(bytes, size) % 4 == 0;
  if (executions++ == 0) atexit(report);
  if (make(&first, bytes, size, RE2NA_KERNEL_PORTABLE)) {
    accepted++;
    for (uint32_t i = 0; i < first.program->input_count; i++) {
      inputs[i] = input_for(&first.program->inputs[i], i);
      others[i] = input_for(&first.program->inputs[i], MOST_PORTS + i);
    }
    if (twice) run_on(&first, others, 0);
    run_on(&first, inputs, 0);
    for (int32_t kernel = RE2NA_KERNEL_PORTABLE + 1; kernel <= RE2NA_KERNEL_NEON; kernel++) {
      results other = {0};
      if (!re2na_kernel_runs(kernel)) continue;
      if (make(&other, bytes, size, kernel)) { /* room differs between kernels: the limit may be between them */
        if (twice) run_on(&other, others, 0x7F);
        run_on(&other, inputs, 0x7F);
        compare(&first, &other);
      }
      free_results(&other);
    }
  }
  for (uint32_t i = 0; i < MOST_PORTS; i++) free(inputs[i]), free(others[i]);
  free_results(&first);
  return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  return mutate(data, size, most, seed);
}
