/* Instructions of a wave run side by side. A member of the team does its part of all of them, one behind the other, and
 * then what is left of the others' parts, so that nobody waits before the end. */
#include "run/beside.h"

#include "insn/insn.h"

typedef struct wave_job {
  re2na_machine *machine;
  const uint32_t *works;
  uint32_t count;
} wave_job;

/* The last instruction is divided further, so that little is left to wait for. */
static uint32_t shares_of(const wave_job *job) { return job->count - 1 + RE2NA_SHARES; }

static void run_share(void *shared, uint32_t by, uint32_t share) {
  const wave_job *job = shared;
  const re2na_program *program = job->machine->program;
  re2na_member *member = &job->machine->members[by];
  const uint32_t owner = share / shares_of(job), step = share % shares_of(job), last = job->count - 1;
  const uint32_t at = step < last ? step : last, index = job->works[at], part = step - at;
  const re2na_insn *insn = re2na_insn_of(&program->code[index]);
  member->part = (re2na_part){
      .first = owner * RE2NA_SHARES + part,
      .shares = at < last ? RE2NA_SHARES : 1,
      .members = re2na_machine_threads(job->machine),
      .undivided = part == 0 && index % re2na_machine_threads(job->machine) == owner,
  };
  if (member->part.undivided || insn->company(program, index) == RE2NA_IN_PARTS)
    insn->run(&member->machine, index, &member->overflows[at]);
}

void re2na_run_beside(re2na_machine *machine, const re2na_wave *wave) {
  wave_job job = {machine, machine->program->prepared->works + wave->work, wave->count};
  const uint32_t members = re2na_machine_threads(machine);
  for (uint32_t m = 0; m < members; m++) {
    re2na_member *member = &machine->members[m];
    member->machine = *machine;
    member->machine.workers = &machine->workers[m];
    member->machine.lsbs = machine->workers[m].lsbs;
    member->machine.team = NULL;
    member->machine.part = &member->part;
    for (uint32_t i = 0; i < wave->count; i++) member->overflows[i] = 0;
  }
  re2na_team_run(machine->team, run_share, &job, shares_of(&job));
  for (uint32_t m = 0; m < members; m++)
    for (uint32_t i = 0; i < wave->count; i++)
      machine->instruction_counters[job.works[i]].overflows += machine->members[m].overflows[i];
}
