/* Sums that become results where no kernel sees to it: wide accumulators, and saturating ones. */
#include "kernel/kernel.h"

re2na_cut re2na_make_cut(const re2na_arch *arch, int64_t lsb, int64_t lo, int64_t hi) {
  re2na_cut how;
  how.acc_min = -(INT64_C(1) << (arch->acc_bits - 1));
  how.acc_max = (INT64_C(1) << (arch->acc_bits - 1)) - 1;
  how.acc_spare = (int32_t)(32 - arch->acc_bits);
  how.data_spare = (int32_t)(32 - arch->data_bits);
  how.data_min = -(1 << (arch->data_bits - 1));
  how.data_max = (1 << (arch->data_bits - 1)) - 1;
  how.lsb = (int32_t)lsb;
  how.lo = (int32_t)lo;
  how.hi = (int32_t)hi;
  how.lsbs = NULL;
  how.saturates = arch->acc_overflow == RE2NA_ACC_OVERFLOW_SATURATE;
  how.cut_wraps = arch->cut_overflow == RE2NA_CUT_OVERFLOW_WRAP;
  how.counts = true;
  return how;
}

void re2na_cut_wide_line(const int64_t *sums, int8_t *out, size_t count, const re2na_cut *how, uint64_t *overflows) {
  re2na_cut silent = *how;
  silent.counts = false;
  for (size_t o = 0; o < count; o++) {
    const int32_t low = re2na_wrap((int32_t)(uint32_t)(uint64_t)sums[o], how->acc_spare);
    *overflows += how->counts && (sums[o] < how->acc_min || sums[o] > how->acc_max);
    if (how->lsbs) silent.lsbs = how->lsbs + o;
    re2na_finish_line(&low, &out[o], 1, &silent);
  }
}

RE2NA_CLONES
static void saturating_step(int32_t *restrict sums, int32_t x, const int8_t *restrict line, size_t count,
                            const re2na_cut *how, uint64_t *overflows) {
  uint32_t clipped = 0;
  if (how->acc_spare == 0) { /* the sum itself may not fit 32 bits */
    for (size_t o = 0; o < count; o++) {
      int64_t sum = (int64_t)sums[o] + x * line[o];
      clipped += sum < INT32_MIN || sum > INT32_MAX;
      sums[o] = sum < INT32_MIN ? INT32_MIN : sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
    }
  } else {
    const int32_t acc_min = (int32_t)how->acc_min, acc_max = (int32_t)how->acc_max;
    for (size_t o = 0; o < count; o++) {
      int32_t sum = sums[o] + x * line[o];
      clipped += (uint32_t)((sum < acc_min) | (sum > acc_max));
      sums[o] = re2na_clamp(sum, acc_min, acc_max);
    }
  }
  *overflows += clipped;
}

void re2na_saturating_step(int32_t *restrict sums, int32_t x, const int8_t *restrict line, size_t count,
                           const re2na_cut *how, uint64_t *overflows) {
  saturating_step(sums, x, line, count, how, overflows);
}

void re2na_saturating_start(int32_t *restrict sums, const uint8_t *restrict bias, size_t count, const re2na_cut *how,
                            uint64_t *overflows) {
  for (size_t o = 0; o < count; o++) {
    int32_t start = (int32_t)re2na_u32(bias + 4 * o);
    sums[o] = re2na_clamp(start, (int32_t)how->acc_min, (int32_t)how->acc_max);
    *overflows += sums[o] != start;
  }
}
