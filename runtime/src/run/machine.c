/* Making machines, and what one can ask of them. */
#include <stdlib.h>
#include <string.h>

#include "insn/insn.h"
#include "run/prepare.h"

enum { POISON = 0xA5 };

_Static_assert(sizeof(re2na_instruction) + sizeof(re2na_operands) + 2 * sizeof(re2na_counters) + sizeof(re2na_timing) +
                       sizeof(re2na_wave) + sizeof(uint32_t) + 5 * sizeof(uint64_t) + 4 * sizeof(void *) + 1 <=
                   RE2NA_INSTRUCTION_BYTES,
               "an instruction's entries in all tables");

static void free_help(re2na_machine *machine) {
  re2na_free_workers(machine->workers, re2na_machine_threads(machine));
  re2na_team_free(machine->team);
  free(machine->members);
}

/* What single instructions need. */
static bool add_late(re2na_machine *machine) {
  const re2na_program *program = machine->program;
  bool enough;
  machine->late = re2na_zeros(program->count, sizeof *machine->late);
  enough = machine->late != NULL;
  for (uint32_t i = 0; enough && i < program->count; i++)
    enough = re2na_insn_of(&program->code[i])->reserve(machine, i);
  return enough;
}

static void free_late(re2na_machine *machine) {
  for (uint32_t i = 0; machine->late && i < machine->program->count; i++)
    if (machine->late[i]) {
      re2na_pack_free(machine->late[i]);
      free(machine->late[i]);
    }
  free(machine->late);
}

static bool add_worker(re2na_machine *made) {
  const bool enough = re2na_add_worker(&made->program->prepared->room, made->workers);
  made->lsbs = made->workers->lsbs;
  return enough;
}

static bool add_memories(re2na_machine *made) {
  const re2na_program *program = made->program;
  const uint64_t image = program->dram_bytes - program->constants_bytes;
  made->memory.sram = re2na_zeros(program->sram_used, 1);
  made->memory.dram = calloc((size_t)image + RE2NA_SLACK, 1); /* pages that nobody needs stay away */
  made->dense_sums = re2na_zeros(program->prepared->room.dense_items, sizeof *made->dense_sums);
  made->results = re2na_zeros(program->result_bytes, 1);
  made->present = re2na_zeros(program->present_items, sizeof *made->present);
  made->blank = re2na_zeros(program->prepared->room.blank_bytes, 1);
  made->workers = re2na_zeros(1, sizeof *made->workers);
  made->instruction_counters = re2na_zeros(program->count, sizeof *made->instruction_counters);
  made->source_counters = re2na_zeros(program->source_count, sizeof *made->source_counters);
  return made->memory.sram && made->memory.dram && made->dense_sums && made->results && made->present && made->blank &&
         made->workers && made->instruction_counters && made->source_counters && add_worker(made) && add_late(made);
}

int32_t re2na_machine_create(const re2na_program *program, re2na_machine **machine, re2na_error *error) {
  re2na_machine *made;
  int32_t code;
  if (!program || !machine)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_machine_create: program or machine is NULL");
  *machine = NULL;
  code = re2na_prepare(program->prepared, error);
  if (code) return code;
  made = calloc(1, sizeof *made);
  if (!made) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for a machine");
  re2na_program_hold(program);
  made->program = program;
  made->counts = true;
  if (!add_memories(made)) {
    re2na_machine_free(made);
    return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for a machine with %llu bytes of SRAM and %llu of DRAM",
                      (unsigned long long)program->sram_used, (unsigned long long)program->dram_bytes);
  }
  memset(made->memory.sram, POISON, program->sram_used);
  *machine = made;
  return RE2NA_OK;
}

void re2na_machine_free(re2na_machine *machine) {
  if (!machine) return;
  free_help(machine);
  free_late(machine);
  free(machine->memory.sram);
  free(machine->memory.dram);
  free(machine->dense_sums);
  free(machine->results);
  free(machine->present);
  free(machine->blank);
  free(machine->nanoseconds);
  free(machine->instruction_counters);
  free(machine->source_counters);
  re2na_program_release(machine->program);
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
  re2na_worker *workers = re2na_zeros(threads, sizeof *workers);
  re2na_member *members = threads > 1 ? re2na_zeros(threads, sizeof *members) : NULL;
  for (uint32_t i = 0; workers && enough && i < threads; i++)
    enough = re2na_add_worker(&machine->program->prepared->room, &workers[i]);
  if (workers && enough && (threads == 1 || (team && members))) {
    free_help(machine);
    machine->team = team;
    machine->members = members;
    machine->workers = workers;
    machine->lsbs = workers->lsbs;
    return RE2NA_OK;
  }
  free(members);
  re2na_free_workers(workers, threads);
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
  if (profiles) machine->nanoseconds = re2na_zeros(machine->program->count, sizeof *machine->nanoseconds);
  if (!profiles || machine->nanoseconds) return RE2NA_OK;
  return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for the times of %u instructions", machine->program->count);
}

const uint64_t *re2na_machine_nanoseconds(const re2na_machine *machine) {
  return machine ? machine->nanoseconds : NULL;
}
