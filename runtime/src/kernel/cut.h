/* How sums become results. */
#ifndef RE2NA_CUT_H
#define RE2NA_CUT_H

#include "base/base.h"

/* How a sum becomes a result; the arithmetic is described in runtime/reference.py. */
typedef struct re2na_cut {
  int64_t acc_min, acc_max;
  int32_t acc_spare;  /* 32 - acc_bits */
  int32_t data_spare; /* 32 - data_bits */
  int32_t data_min, data_max;
  int32_t lsb, lo, hi;
  const int32_t *lsbs; /* of each sum of a line, with room for RE2NA_LANES more; NULL: all have `lsb` */
  bool saturates;      /* the accumulator, at every step */
  bool cut_wraps;
  bool counts; /* overflows are counted */
} re2na_cut;

/* A sum plus half of the accumulator's range has a bit of re2na_outside if it is not within the range; any has one
 * where results wrap. */
static inline int32_t re2na_half_range(const re2na_cut *how) {
  return (int32_t)(UINT32_C(0x80000000) >> how->acc_spare);
}

static inline int32_t re2na_outside(const re2na_cut *how) {
  const uint32_t all = UINT32_MAX;
  return how->cut_wraps ? -1 : how->acc_spare ? (int32_t)(all << (32 - how->acc_spare)) : 0;
}

re2na_cut re2na_make_cut(const re2na_arch *arch, int64_t lsb, int64_t lo, int64_t hi);

/* Accumulators that 32 bits or a plain sum do not describe. Exact sums of 64 bits to results; adds what left the
 * accumulator's range to `overflows`. */
void re2na_cut_wide_line(const int64_t *sums, int8_t *out, size_t count, const re2na_cut *how, uint64_t *overflows);
/* One step of saturating accumulators: sums[o] = clamp(sums[o] + x * line[o]); counts what was clipped. */
void re2na_saturating_step(int32_t *restrict sums, int32_t x, const int8_t *restrict line, size_t count,
                           const re2na_cut *how, uint64_t *overflows);
/* sums[o] = clamp(bias[o]); counts what was clipped. */
void re2na_saturating_start(int32_t *restrict sums, const uint8_t *restrict bias, size_t count, const re2na_cut *how,
                            uint64_t *overflows);

#endif
