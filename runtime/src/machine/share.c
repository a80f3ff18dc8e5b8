/* How workers divide an instruction among them. */
#include "machine/machine.h"

/* Multiply-accumulates: microseconds, no more than it takes to ask for help. */
enum { LITTLE_WORK = 50000 };

/* A worker's shares of an instruction: large ones first, small ones at the end, so that one who comes late or is held
 * up leaves little to wait for. Its part of the items is always the same, and so mostly in its cache. */
enum { UNITS = 16 };
static const uint8_t before[RE2NA_SHARES] = {0, 8, 12, 14, 15};

typedef struct shared_work {
  re2na_machine *machine;
  re2na_work *work;
  void *job;
  int64_t items, grain, members;
} shared_work;

/* The first item of a share. */
static int64_t start_of(const shared_work *all, int64_t share) {
  const int64_t grains = (int64_t)re2na_ceil((uint64_t)all->items, (uint64_t)all->grain);
  const int64_t of = share / RE2NA_SHARES, first = grains * of / all->members, stop = grains * (of + 1) / all->members;
  const int64_t item = (first + (stop - first) * before[share % RE2NA_SHARES] / UNITS) * all->grain;
  return item < all->items ? item : all->items;
}

static void work_on_share(void *shared, uint32_t member, uint32_t share) {
  const shared_work *all = shared;
  const int64_t first = start_of(all, share), stop = start_of(all, (int64_t)share + 1);
  if (first < stop) all->work(all->job, all->machine, &all->machine->workers[member], first, stop);
}

/* What a member of the team does, in a machine of its own. */
static void work_on_part(const shared_work *all, bool divided) {
  const re2na_part *part = all->machine->part;
  const int64_t first = divided ? start_of(all, part->first) : 0;
  const int64_t stop = divided ? start_of(all, (int64_t)part->first + part->shares) : all->items;
  if (first < stop && (divided || part->undivided))
    all->work(all->job, all->machine, all->machine->workers, first, stop);
}

uint64_t re2na_share(re2na_machine *machine, re2na_work *work, void *job, int64_t items, int64_t grain, uint64_t cost) {
  const uint32_t workers = re2na_machine_threads(machine), members = machine->part ? machine->part->members : workers;
  const bool divided = members > 1 && items > grain && cost >= LITTLE_WORK;
  shared_work all = {machine, work, job, items, grain, members};
  uint64_t overflows = 0;
  for (uint32_t i = 0; i < workers; i++) machine->workers[i].overflows = 0;
  if (machine->part) work_on_part(&all, divided);
  else if (divided) re2na_team_run(machine->team, work_on_share, &all, RE2NA_SHARES);
  else work(job, machine, machine->workers, 0, items);
  for (uint32_t i = 0; i < workers; i++) overflows += machine->workers[i].overflows;
  return overflows;
}
