/* A machine: its memories, and a run from the inputs to the outputs. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "array.h"

enum { POISON = 0xA5 };

_Static_assert(sizeof(re2na_instruction) + sizeof(operands) + 2 * sizeof(re2na_counters) + sizeof(re2na_timing) + sizeof(uint64_t) +
                       3 * sizeof(void *) + 1 <= RE2NA_INSTRUCTION_ROOM,
               "an instruction's entries in all tables");

/* Zeros, from the beginning of a cache line on. */
static void *room(uint64_t items, size_t size) {
  if (items > SIZE_MAX / 2 / size - RE2NA_SLACK) return NULL;
  const size_t bytes = (size_t)re2na_round_up((items + RE2NA_SLACK) * size, RE2NA_LINE);
  void *made = aligned_alloc(RE2NA_LINE, bytes);
  return made ? memset(made, 0, bytes) : NULL;
}

static bool add_worker(const re2na_program *program, worker *made) {
  made->columns = room(program->column_bytes, 1);
  made->sums = room(program->sum_items, sizeof *made->sums);
  made->partials = room(program->partial_items, sizeof *made->partials);
  made->lines = room(program->line_bytes, 1);
  made->places = room(RE2NA_MOST_PIXELS, sizeof *made->places);
  made->taps = room(program->tap_items, sizeof *made->taps);
  made->pointers = room(program->tap_items, sizeof *made->pointers);
  return made->columns && made->sums && made->partials && made->lines && made->places && made->taps && made->pointers;
}

static void free_workers(worker *workers, uint32_t count) {
  for (uint32_t i = 0; workers && i < count; i++) {
    free(workers[i].columns);
    free(workers[i].sums);
    free(workers[i].partials);
    free(workers[i].lines);
    free(workers[i].places);
    free(workers[i].taps);
    free(workers[i].pointers);
  }
  free(workers);
}

static void free_help(re2na_machine *machine) {
  free_workers(machine->workers, re2na_machine_threads(machine));
  re2na_team_free(machine->team);
}

/* Room for the weights that are not known before a run. */
static bool add_late(re2na_machine *machine) {
  const re2na_program *program = machine->program;
  machine->late = room(program->count, sizeof *machine->late);
  if (!machine->late) return false;
  for (uint32_t i = 0; i < program->count; i++) {
    if (program->code[i].opcode != RE2NA_CONV || program->packed[i] || program->arch.acc_overflow == RE2NA_ACC_OVERFLOW_SATURATE) continue;
    const weights of = re2na_conv_weights(&program->code[i].body.conv, &program->operands[i]);
    machine->late[i] = calloc(1, sizeof *machine->late[i]);
    if (!machine->late[i] || !re2na_pack_room(machine->late[i], &of, program->kernel)) return false;
  }
  return true;
}

static void free_late(re2na_machine *machine) {
  for (uint32_t i = 0; machine->late && i < machine->program->count; i++)
    if (machine->late[i]) {
      re2na_pack_free(machine->late[i]);
      free(machine->late[i]);
    }
  free(machine->late);
}

static bool add_memories(re2na_machine *made) {
  const re2na_program *program = made->program;
  made->sram = room(program->sram_used, 1);
  made->dram = calloc((size_t)(program->dram_bytes - program->constants_bytes) + RE2NA_SLACK, 1); /* pages that nobody needs stay away */
  made->dense = room(program->dense_items, sizeof *made->dense);
  made->results = room(program->result_bytes, 1);
  made->present = room(program->present_items, sizeof *made->present);
  made->blank = room(program->blank_bytes, 1);
  made->workers = room(1, sizeof *made->workers);
  made->instruction_counters = room(program->count, sizeof *made->instruction_counters);
  made->source_counters = room(program->source_count, sizeof *made->source_counters);
  return made->sram && made->dram && made->dense && made->results && made->present && made->blank && made->workers &&
         made->instruction_counters && made->source_counters && add_worker(program, made->workers) && add_late(made);
}

int32_t re2na_machine_create(const re2na_program *program, re2na_machine **machine, re2na_error *error) {
  re2na_machine *made;
  int32_t code;
  if (!program || !machine) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_machine_create: program or machine is NULL");
  *machine = NULL;
  code = re2na_prepare((re2na_program *)program, error); /* its locked part: the rest stays as it is */
  if (code) return code;
  made = calloc(1, sizeof *made);
  if (!made) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for a machine");
  re2na_program_hold((re2na_program *)program);
  made->program = program;
  made->counts = true;
  if (!add_memories(made)) {
    re2na_machine_free(made);
    return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for a machine with %llu bytes of SRAM and %llu of DRAM",
                      (unsigned long long)program->sram_used, (unsigned long long)program->dram_bytes);
  }
  memset(made->sram, POISON, program->sram_used);
  *machine = made;
  return RE2NA_OK;
}

void re2na_machine_free(re2na_machine *machine) {
  if (!machine) return;
  free_help(machine);
  free_late(machine);
  free(machine->sram);
  free(machine->dram);
  free(machine->dense);
  free(machine->results);
  free(machine->present);
  free(machine->blank);
  free(machine->nanoseconds);
  free(machine->instruction_counters);
  free(machine->source_counters);
  re2na_program_free((re2na_program *)machine->program);
  free(machine);
}

/* ---- threads ---- */

uint32_t re2na_machine_threads(const re2na_machine *machine) {
  if (!machine) return 0;
  return machine->team ? re2na_team_members(machine->team) : 1;
}

int32_t re2na_machine_set_threads(re2na_machine *machine, uint32_t threads, re2na_error *error) {
  bool enough = true;
  if (!machine) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_machine_set_threads: machine is NULL");
  if (threads < 1 || threads > RE2NA_MOST_THREADS)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "threads = %u is outside 1..%d", threads, RE2NA_MOST_THREADS);
  re2na_team *team = threads > 1 ? re2na_team_create(threads) : NULL;
  worker *workers = room(threads, sizeof *workers);
  for (uint32_t i = 0; workers && enough && i < threads; i++) enough = add_worker(machine->program, &workers[i]);
  if (workers && enough && (team || threads == 1)) {
    free_help(machine);
    machine->team = team;
    machine->workers = workers;
    return RE2NA_OK;
  }
  free_workers(workers, threads);
  re2na_team_free(team);
  return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory, or no threads left, for %u workers", threads);
}

void re2na_machine_set_counting(re2na_machine *machine, int32_t counts) {
  if (machine) machine->counts = counts != 0;
}

int32_t re2na_machine_set_profiling(re2na_machine *machine, int32_t profiles, re2na_error *error) {
  if (!machine) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_machine_set_profiling: machine is NULL");
  free(machine->nanoseconds);
  machine->nanoseconds = NULL;
  if (profiles) machine->nanoseconds = room(machine->program->count, sizeof *machine->nanoseconds);
  if (!profiles || machine->nanoseconds) return RE2NA_OK;
  return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for the times of %u instructions", machine->program->count);
}

const uint64_t *re2na_machine_nanoseconds(const re2na_machine *machine) { return machine ? machine->nanoseconds : NULL; }

enum { LITTLE_WORK = 50000 }; /* multiply-accumulates: microseconds, no more than it takes to ask for help */

/* A worker's shares of an instruction: large ones first, small ones at the end, so that one who comes late or is held up leaves little to
 * wait for. Its part of the items is always the same, and so mostly in its cache. */
enum { SHARES = 5, UNITS = 16 };
static const uint8_t before[SHARES] = {0, 8, 12, 14, 15};

typedef struct shared_work {
  re2na_machine *machine;
  re2na_work *work;
  void *job;
  int64_t items, grain, members;
} shared_work;

/* The first item of a share. */
static int64_t start_of(const shared_work *all, int64_t share) {
  const int64_t grains = (int64_t)re2na_ceil((uint64_t)all->items, (uint64_t)all->grain);
  const int64_t of = share / SHARES, first = grains * of / all->members, stop = grains * (of + 1) / all->members;
  const int64_t item = (first + (stop - first) * before[share % SHARES] / UNITS) * all->grain;
  return item < all->items ? item : all->items;
}

static void work_on_share(void *shared, uint32_t member, uint32_t share) {
  const shared_work *all = shared;
  const int64_t first = start_of(all, share), stop = start_of(all, (int64_t)share + 1);
  if (first < stop) all->work(all->job, all->machine, &all->machine->workers[member], first, stop);
}

uint64_t re2na_share(re2na_machine *machine, re2na_work *work, void *job, int64_t items, int64_t grain, uint64_t cost) {
  const uint32_t members = re2na_machine_threads(machine);
  uint64_t overflows = 0;
  for (uint32_t i = 0; i < members; i++) machine->workers[i].overflows = 0;
  if (members == 1 || items <= grain || cost < LITTLE_WORK) {
    work(job, machine, machine->workers, 0, items);
  } else {
    shared_work all = {machine, work, job, items, grain, members};
    re2na_team_run(machine->team, work_on_share, &all, SHARES);
  }
  for (uint32_t i = 0; i < members; i++) overflows += machine->workers[i].overflows;
  return overflows;
}

/* ---- a run ---- */

/* A matrix of bytes, and where it goes with its rows as columns. */
typedef struct matrix {
  const int8_t *from;
  int8_t *to;
  int64_t rows, columns;
} matrix;

enum { STRIPE = 8 }; /* columns at a time, so that neighbours in memory are both read and written together */

static void transpose(void *shared, re2na_machine *machine, worker *by, int64_t first, int64_t stop) {
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
static void transpose_all(re2na_machine *machine, const int8_t *from, int8_t *to, int64_t images, int64_t rows, int64_t columns) {
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
  return (int8_t *)re2na_dram_place(machine, tensor->address, tensor->address + size);
}

static void pack(re2na_machine *machine, const re2na_tensor *tensor, const int8_t *values) {
  const uint32_t *stored = tensor->stored;
  transpose_all(machine, values, tensor_place(machine, tensor), stored[0], stored[1], (int64_t)stored[2] * stored[3]);
}

static void unpack(re2na_machine *machine, const re2na_tensor *tensor, int8_t *values) {
  const uint32_t *stored = tensor->stored;
  transpose_all(machine, tensor_place(machine, tensor), values, stored[0], (int64_t)stored[2] * stored[3], stored[1]);
}

static void execute(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_instruction *at = &machine->program->code[index];
  const bool aside = machine->program->aside[index];
  switch (at->opcode) {
    case RE2NA_LOAD:
      if (!machine->program->operands[index].needless) re2na_run_transfer(machine, &at->body.load, true);
      break;
    case RE2NA_STORE: re2na_run_transfer(machine, &at->body.load, false); break; /* the two bodies are alike */
    case RE2NA_CONV: re2na_run_conv(machine, index, overflows); break;
    case RE2NA_DENSE: re2na_run_dense(machine, index, overflows); break;
    case RE2NA_POOL: re2na_run_pool(machine, &at->body.pool, aside); break;
    case RE2NA_ELTWISE: re2na_run_eltwise(machine, &at->body.eltwise, aside); break;
    default: break; /* RECONFIGURE and HALT take time and do nothing else */
  }
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void execute_timed(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const uint64_t start = now();
  execute(machine, index, overflows);
  machine->nanoseconds[index] = now() - start;
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
  if (!machine || !inputs || !outputs) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run: machine, inputs or outputs is NULL");
  program = machine->program;
  for (uint32_t i = 0; i < program->input_count; i++)
    if (!inputs[i]) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run: input '%s' is NULL", program->inputs[i].name);
  for (uint32_t i = 0; i < program->output_count; i++)
    if (!outputs[i]) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_run: output '%s' is NULL", program->outputs[i].name);
  for (uint32_t i = 0; i < program->input_count; i++) pack(machine, &program->inputs[i], inputs[i]);
  memset(machine->source_counters, 0, program->source_count * sizeof *machine->source_counters);
  for (uint32_t i = 0; i < program->count; i++) {
    re2na_counters *counters = &machine->instruction_counters[i];
    *counters = program->fixed[i];
    if (machine->nanoseconds) execute_timed(machine, i, &counters->overflows);
    else execute(machine, i, &counters->overflows);
    add(&sum, counters);
    if (program->source_count) add(&machine->source_counters[program->code[i].source], counters);
  }
  for (uint32_t i = 0; i < program->output_count; i++) unpack(machine, &program->outputs[i], outputs[i]);
  if (totals) *totals = sum;
  return RE2NA_OK;
}

int32_t re2na_run_many(re2na_machine *machine, uint64_t count, const int8_t *const *inputs, int8_t *const *outputs,
                       re2na_counters *totals, re2na_counters *instructions, re2na_counters *sources, re2na_error *error) {
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

const re2na_counters *re2na_machine_source_counters(const re2na_machine *machine) { return machine ? machine->source_counters : NULL; }
