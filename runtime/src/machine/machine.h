/* A machine while it runs: its memories, its workers, and how they share an instruction. */
#ifndef RE2NA_MACHINE_H
#define RE2NA_MACHINE_H

#include "kernel/lines.h"
#include "machine/memory.h"
#include "machine/team.h"

/* A tap of a depthwise convolution, from the corner of a pixel's window. */
typedef struct re2na_tap {
  bool there;
  int64_t y, x, offset; /* rows, columns, bytes */
} re2na_tap;

/* What a thread needs for itself: re2na_room. */
typedef struct re2na_worker {
  _Alignas(RE2NA_LINE) uint8_t *columns;
  int32_t *sums;
  int64_t *partials;
  int8_t *lines;            /* results of pixels on their way through the output path */
  int8_t **places;          /* where the results of pixels go first */
  re2na_tap *taps;          /* of a depthwise convolution */
  const uint8_t **pointers; /* where they lie for a pixel */
  int32_t *lsbs;            /* of the channels of a convolution */
  uint64_t overflows;
} re2na_worker;

enum { RE2NA_SHARES = 5 }; /* of an instruction, for each worker */

/* What a member of the team does of an instruction: so many shares from `first` on, of those that `members` have.
 * `undivided`: all of one that is not divided. */
typedef struct re2na_part {
  uint32_t first, shares, members;
  bool undivided;
} re2na_part;

typedef struct re2na_member re2na_member;

struct re2na_machine {
  const re2na_program *program;
  re2na_memories memory;
  int64_t *dense_sums;
  int8_t *results;     /* of an instruction whose output is formed elsewhere */
  uint32_t *present;   /* steps of k that have a line of weights */
  int32_t *lsbs;       /* the first worker's */
  uint8_t *blank;      /* a pixel of padding */
  re2na_packed **late; /* per instruction: memory for weights that are not known before a run */
  re2na_worker *workers;
  re2na_team *team;       /* NULL: one worker */
  re2na_member *members;  /* of the team */
  const re2na_part *part; /* NULL: all of an instruction */
  bool counts;            /* overflows */
  uint64_t *nanoseconds;  /* per instruction; NULL: no time is taken */
  re2na_counters *instruction_counters;
  re2na_counters *source_counters;
};

/* One who runs instructions beside others: a machine with the same memories, and what was counted. */
struct re2na_member {
  _Alignas(RE2NA_LINE) re2na_machine machine;
  re2na_part part;
  uint64_t overflows[RE2NA_MOST_BESIDE];
};

/* workers.c: zeros, from the beginning of a cache line on; NULL where the host has no memory. */
void *re2na_zeros(uint64_t items, size_t size);
bool re2na_add_worker(const re2na_room *room, re2na_worker *made);
void re2na_free_workers(re2na_worker *workers, uint32_t count);
/* What a machine with one worker allocates for a program's room. */
uint64_t re2na_room_bytes(const re2na_program *program);

/* share.c: calls `work` with parts of 0..items, multiples of `grain` but for the last, from the machine's workers, or
 * with its own part alone; returns when all is done. `cost`: multiply-accumulates, roughly; little work is not divided.
 * Returns what the workers counted. */
typedef void re2na_work(void *job, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop);
uint64_t re2na_share(re2na_machine *machine, re2na_work *work, void *job, int64_t items, int64_t grain, uint64_t cost);

/* The steps of k that have a line of weights, and how many they are; NULL where all k have one. Valid until the next
 * call. */
static inline const uint32_t *re2na_present(const re2na_machine *machine, const uint8_t *mask, int64_t k, int64_t steps,
                                            int64_t *lines) {
  *lines = steps == k ? k : re2na_list_present(mask, k, steps, machine->present);
  return steps == k ? NULL : machine->present;
}

#endif
