/* The array's instructions and the loops they share. */
#ifndef RE2NA_ARRAY_H
#define RE2NA_ARRAY_H

#include <limits.h>

#include "internal.h"

/* How a sum becomes a result; the arithmetic is described in runtime/reference.py. */
typedef struct cut {
  int64_t acc_min, acc_max;
  int32_t acc_spare;  /* 32 - acc_bits */
  int32_t data_spare; /* 32 - data_bits */
  int32_t data_min, data_max;
  int32_t lsb, lo, hi;
  bool saturates; /* the accumulator, at every step */
  bool cut_wraps;
} cut;

static inline int32_t re2na_clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

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
  return how;
}

/* cut.c: exact sums to results; adds what left the accumulator's range to `overflows`. */
void re2na_cut_line(const int32_t *restrict sums, int8_t *restrict out, size_t count, const cut *how, uint64_t *overflows);
void re2na_cut_wide_line(const int64_t *restrict sums, int8_t *restrict out, size_t count, const cut *how,
                         uint64_t *overflows);
/* One step of saturating accumulators: sums[o] = clamp(sums[o] + x * weights[o]); counts what was clipped. */
void re2na_saturating_step(int32_t *restrict sums, int32_t x, const int8_t *restrict weights, size_t count,
                           const cut *how, uint64_t *overflows);
/* sums[o] = clamp(bias[o]); counts what was clipped. */
void re2na_saturating_start(int32_t *restrict sums, const uint8_t *restrict bias, size_t count, const cut *how,
                            uint64_t *overflows);

/* gemm.c: sums[p][o] += sum over k of x[p][k] * weights[k][o] for up to RE2NA_PIXELS lines of x. x has k rounded up to even, the
 * item behind an odd k being 0. Lines of sums hold `outputs` rounded up to RE2NA_LANES; those behind `outputs` are garbage.
 * Strides in items. `k` <= RE2NA_NARROW_K. Reads up to RE2NA_LANES - 1 bytes behind the weights. */
void re2na_gemm(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, const int8_t *weights,
                size_t weight_stride, size_t pixels, size_t k, size_t outputs);

/* sparse.c: the steps of k that have a line of weights, in its order, and how many they are; NULL where all k have one. Whatever
 * the bitmap holds, there are at most `steps`, each below k. Valid until the next call. */
const uint32_t *re2na_present(re2na_machine *machine, int64_t mask_addr, int64_t k, int64_t steps, int64_t *lines);

/* One function per instruction. Accesses have been validated. Each adds its overflows. `aside`: the output overlaps what is read,
 * or itself; an instruction reads everything before it writes, and writes in the order of the output. */
void re2na_run_transfer(re2na_machine *machine, const re2na_load *body, bool is_load);
void re2na_run_conv(re2na_machine *machine, const re2na_conv *body, bool aside, uint64_t *overflows);
void re2na_run_dense(re2na_machine *machine, const re2na_dense *body, uint64_t *overflows);
void re2na_run_pool(re2na_machine *machine, const re2na_pool *body, bool aside);
void re2na_run_eltwise(re2na_machine *machine, const re2na_eltwise *body, bool aside);

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
