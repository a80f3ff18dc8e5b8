/* A run, from the inputs to the outputs. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <string.h>
#include <time.h>

#include "insn/insn.h"
#include "run/beside.h"

/* ---- inputs and outputs ---- */

/* A matrix of bytes, and where it goes with its rows as columns. */
typedef struct matrix {
  const int8_t *from;
  int8_t *to;
  int64_t rows, columns;
} matrix;

enum { STRIPE = 8 }; /* columns at a time, so that neighbours in memory are both read and written together */

static void transpose(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const matrix *all = shared;
  (void)machine, (void)by;
  for (int64_t column = first; column < stop; column += STRIPE) {
    const int64_t count = stop - column < STRIPE ? stop - column : STRIPE;
    for (int64_t row = 0; row < all->rows; row++) {
      const int8_t *from = all->from + row * all->columns + column;
      int8_t *to = all->to + column * all->rows + row;
      if (count == STRIPE)
        for (int64_t i = 0; i < STRIPE; i++) to[i * all->rows] = from[i];
      else
        for (int64_t i = 0; i < count; i++) to[i * all->rows] = from[i];
    }
  }
}

/* (rows, columns) of each image to (columns, rows). With the first input the helpers wake. */
static void transpose_all(re2na_machine *machine, const int8_t *from, int8_t *to, int64_t images, int64_t rows,
                          int64_t columns) {
  const int64_t size = rows * columns;
  if (rows == 1 || columns == 1) memcpy(to, from, (size_t)(images * size));
  else
    for (int64_t image = 0; image < images; image++) {
      matrix one = {from + image * size, to + image * size, rows, columns};
      re2na_share(machine, transpose, &one, columns, STRIPE, (uint64_t)size);
    }
}

static int8_t *tensor_place(const re2na_machine *machine, const re2na_tensor *tensor) {
  uint64_t size = (uint64_t)tensor->stored[0] * tensor->stored[1] * tensor->stored[2] * tensor->stored[3];
  return (int8_t *)re2na_dram_place(machine->program, machine->memory, tensor->address, tensor->address + size);
}

static void bring_in(re2na_machine *machine, const re2na_tensor *tensor, const int8_t *values) {
  const uint32_t *stored = tensor->stored;
  transpose_all(machine, values, tensor_place(machine, tensor), stored[0], stored[1], (int64_t)stored[2] * stored[3]);
}

static void bring_out(re2na_machine *machine, const re2na_tensor *tensor, int8_t *values) {
  const uint32_t *stored = tensor->stored;
  transpose_all(machine, tensor_place(machine, tensor), values, stored[0], (int64_t)stored[2] * stored[3], stored[1]);
}

/* ---- instructions ---- */

static void execute(re2na_machine *machine, uint32_t index) {
  uint64_t *overflows = &machine->instruction_counters[index].overflows;
  re2na_insn_of(&machine->program->code[index])->run(machine, index, overflows);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void execute_timed(re2na_machine *machine, uint32_t index) {
  const uint64_t start = now();
  execute(machine, index);
  machine->nanoseconds[index] = now() - start;
}

/* Where times are taken, instructions run one by one. */
static void execute_all(re2na_machine *machine) {
  const re2na_prepared *known = machine->program->prepared;
  for (uint32_t i = 0; machine->nanoseconds && i < machine->program->count; i++) execute_timed(machine, i);
  for (uint32_t w = 0; !machine->nanoseconds && w < known->wave_count; w++) {
    const re2na_wave *wave = &known->waves[w];
    if (machine->team && wave->count > 1) re2na_run_beside(machine, wave);
    else
      for (uint32_t i = 0; i < wave->count; i++) execute(machine, known->works[wave->work + i]);
  }
}

static void add(re2na_counters *to, const re2na_counters *some) {
  to->macs += some->macs;
  to->overflows += some->overflows;
  to->dram_bytes += some->dram_bytes;
}

int32_t re2na_run(re2na_machine *machine, const int8_t *const *inputs, int8_t *const *outputs, re2na_counters *totals,
                  re2na_error *error) {
  re2na_counters sum = {0, 0, 0};
  const re2na_program *program;
  if (!machine || !inputs || !outputs)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run: machine, inputs or outputs is NULL");
  program = machine->program;
  for (uint32_t i = 0; i < program->input_count; i++)
    if (!inputs[i])
      return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run: input '%s' is NULL", program->inputs[i].name);
  for (uint32_t i = 0; i < program->output_count; i++)
    if (!outputs[i])
      return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run: output '%s' is NULL", program->outputs[i].name);
  for (uint32_t i = 0; i < program->input_count; i++) bring_in(machine, &program->inputs[i], inputs[i]);
  memset(machine->source_counters, 0, program->source_count * sizeof *machine->source_counters);
  memcpy(machine->instruction_counters, program->fixed, program->count * sizeof *program->fixed);
  execute_all(machine);
  for (uint32_t i = 0; i < program->count; i++) {
    const re2na_counters *counters = &machine->instruction_counters[i];
    add(&sum, counters);
    if (program->source_count) add(&machine->source_counters[program->code[i].source], counters);
  }
  for (uint32_t i = 0; i < program->output_count; i++) bring_out(machine, &program->outputs[i], outputs[i]);
  if (totals) *totals = sum;
  return RE2NA_OK;
}

int32_t re2na_run_many(re2na_machine *machine, uint64_t count, const int8_t *const *inputs, int8_t *const *outputs,
                       re2na_counters *totals, re2na_counters *instructions, re2na_counters *sources,
                       re2na_error *error) {
  const re2na_program *program;
  if (!machine || !inputs || !outputs)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run_many: machine, inputs or outputs is NULL");
  program = machine->program;
  for (uint64_t i = 0; i < count; i++) {
    const int32_t code = re2na_run(machine, inputs + i * program->input_count, outputs + i * program->output_count,
                                   totals ? &totals[i] : NULL, error);
    if (code) return code;
    if (instructions)
      memcpy(&instructions[i * program->count], machine->instruction_counters, program->count * sizeof *instructions);
    if (sources && program->source_count)
      memcpy(&sources[i * program->source_count], machine->source_counters, program->source_count * sizeof *sources);
  }
  return RE2NA_OK;
}

const re2na_counters *re2na_machine_instruction_counters(const re2na_machine *machine) {
  return machine ? machine->instruction_counters : NULL;
}

const re2na_counters *re2na_machine_source_counters(const re2na_machine *machine) {
  return machine ? machine->source_counters : NULL;
}
