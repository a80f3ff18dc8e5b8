/* The array's instructions and the loops they share. */
#ifndef RE2NA_ARRAY_H
#define RE2NA_ARRAY_H

#include "kernel.h"
#include "pack.h"
#include "provenance.h"
#include "team.h"

/* A tap of a depthwise convolution, from the corner of a pixel's window. */
typedef struct tap {
  bool there;
  int64_t y, x, offset; /* rows, columns, bytes */
} tap;

/* What a thread needs for itself. */
typedef struct worker {
  _Alignas(RE2NA_LINE) uint8_t *columns;
  int32_t *sums;
  int64_t *partials;
  int8_t *lines; /* results of pixels on their way through the output path */
  int8_t **places; /* where the results of pixels go first */
  tap *taps;            /* of a depthwise convolution */
  const uint8_t **pointers; /* where they lie for a pixel */
  uint64_t overflows;
} worker;

struct re2na_machine {
  const re2na_program *program;
  uint8_t *sram;
  uint8_t *dram; /* everything but the constants: the bytes below them, then those above */
  int64_t *dense;
  int8_t *results;
  uint32_t *present;
  uint8_t *blank;       /* a pixel of padding */
  struct packed **late; /* per instruction: room for weights that are not known before a run */
  worker *workers;
  re2na_team *team; /* NULL: one worker */
  bool counts;      /* overflows */
  uint64_t *nanoseconds; /* per instruction; NULL: no time is taken */
  re2na_counters *instruction_counters;
  re2na_counters *source_counters;
};

static inline cut re2na_make_cut(const re2na_arch *arch, int64_t lsb, int64_t lo, int64_t hi) {
  cut how;
  how.acc_min = -(INT64_C(1) << (arch->acc_bits - 1));
  how.acc_max = (INT64_C(1) << (arch->acc_bits - 1)) - 1;
  how.acc_spare = (int32_t)(32 - arch->acc_bits);
  how.data_spare = (int32_t)(32 - arch->data_bits);
  how.data_min = -(1 << (arch->data_bits - 1));
  how.data_max = (1 << (arch->data_bits - 1)) - 1;
  how.lsb = (int32_t)lsb;
  how.lo = (int32_t)lo;
  how.hi = (int32_t)hi;
  how.saturates = arch->acc_overflow == RE2NA_ACC_OVERFLOW_SATURATE;
  how.cut_wraps = arch->cut_overflow == RE2NA_CUT_OVERFLOW_WRAP;
  how.counts = true;
  return how;
}

/* cut.c: exact sums of 64 bits to results; adds what left the accumulator's range to `overflows`. */
void re2na_cut_wide_line(const int64_t *sums, int8_t *out, size_t count, const cut *how, uint64_t *overflows);
/* One step of saturating accumulators: sums[o] = clamp(sums[o] + x * line[o]); counts what was clipped. */
void re2na_saturating_step(int32_t *restrict sums, int32_t x, const int8_t *restrict line, size_t count,
                           const cut *how, uint64_t *overflows);
/* sums[o] = clamp(bias[o]); counts what was clipped. */
void re2na_saturating_start(int32_t *restrict sums, const uint8_t *restrict bias, size_t count, const cut *how,
                            uint64_t *overflows);

/* sparse.c: the steps of k that have a line of weights, in its order, and how many they are; NULL where all k have one. Whatever
 * the bitmap holds, there are at most `steps`, each below k. Valid until the next call. */
const uint32_t *re2na_present(re2na_machine *machine, const uint8_t *mask, int64_t k, int64_t steps, int64_t *lines);

/* One function per instruction. Accesses have been validated. Each adds its overflows. `aside`: the output overlaps what is read,
 * or itself; an instruction reads everything before it writes, and writes in the order of the output. */
void re2na_run_transfer(re2na_machine *machine, const re2na_load *body, bool is_load);
void re2na_run_conv(re2na_machine *machine, uint32_t index, uint64_t *overflows);
void re2na_run_dense(re2na_machine *machine, uint32_t index, uint64_t *overflows);
void re2na_run_pool(re2na_machine *machine, const re2na_pool *body, bool aside);
void re2na_run_eltwise(re2na_machine *machine, const re2na_eltwise *body, bool aside);

/* conv.c: what its inputs, sums and results take. */
void re2na_conv_room(re2na_program *program, const re2na_conv *body, const packed *weights);
/* conv.c: the weights of a CONV, those of its operands that are constants, or NULL. */
weights re2na_conv_weights(const re2na_conv *body, const operands *known);
/* dense.c */
void re2na_dense_room(re2na_program *program, const re2na_dense *body);

/* Calls `work` with parts of 0..items, multiples of `grain` but for the last, from the machine's workers; returns when all is done.
 * `cost`: multiply-accumulates, roughly; little work is not divided. Returns what the workers counted. */
typedef void re2na_work(void *job, re2na_machine *machine, worker *by, int64_t first, int64_t stop);
uint64_t re2na_share(re2na_machine *machine, re2na_work *work, void *job, int64_t items, int64_t grain, uint64_t cost);

/* transfer.c: between DRAM and the host's memory; the range has been validated. */
void re2na_dram_read(const re2na_machine *machine, uint64_t address, uint64_t bytes, uint8_t *out);
/* Where the range lies, if it lies in one piece of the image; otherwise NULL. */
uint8_t *re2na_dram_place(const re2na_machine *machine, uint64_t start, uint64_t stop);

/* eltwise.c: the sum of two operands, each shifted right and rounded before the addition. `out` may be `a` or `b`. */
typedef struct scaling {
  int32_t half_a, half_b, shift_a, shift_b;
} scaling;
scaling re2na_make_scaling(const re2na_arch *arch, int64_t shift_a, int64_t shift_b);
void re2na_add_line(const int8_t *a, const int8_t *b, int8_t *out, size_t count, scaling by, const cut *how);

/* pool.c: best[c] = max(best[c], line[c]). */
void re2na_raise_line(int8_t *restrict best, const int8_t *restrict line, size_t count);

/* pool.c: write results (n, height, width, channels) that were made aside to where they belong. */
typedef struct target {
  int8_t *base;
  int64_t pixel, row, image;
} target;
void re2na_scatter(const int8_t *results, target to, int64_t n, int64_t height, int64_t width, int64_t channels);

#endif
