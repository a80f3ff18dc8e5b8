/* Loops over lines of results: additions and maxima. */
#ifndef RE2NA_LINES_H
#define RE2NA_LINES_H

#include "kernel/cut.h"

/* The sum of two operands, each shifted right and rounded before the addition. */
typedef struct re2na_scaling {
  int32_t half_a, half_b, shift_a, shift_b;
} re2na_scaling;
re2na_scaling re2na_make_scaling(const re2na_arch *arch, int64_t shift_a, int64_t shift_b);

/* A sum of that kind to a result. */
static inline int32_t re2na_finish_sum(int32_t value, const re2na_cut *how) {
  if (how->cut_wraps) value = re2na_wrap(value, how->data_spare);
  return re2na_clamp(re2na_clamp(value, how->data_min, how->data_max), how->lo, how->hi);
}

/* out[i] = the sum of a[i] and b[i]; `out` may be `a` or `b`. */
void re2na_add_line(const int8_t *a, const int8_t *b, int8_t *out, size_t count, re2na_scaling by,
                    const re2na_cut *how);

/* The same for lines of `count`, which lie one behind the other in `a` and are used up. */
void re2na_add_pixels(int8_t *a, const int8_t *b, int64_t b_step, int8_t *out, int64_t out_step, size_t pixels,
                      size_t count, re2na_scaling by, const re2na_cut *how);

/* best[c] = max(best[c], line[c]), to be inlined where a call more would be seen. */
static inline void re2na_raise(int8_t *restrict best, const int8_t *restrict line, size_t count) {
  for (size_t c = 0; c < count; c++) best[c] = line[c] > best[c] ? line[c] : best[c];
}
void re2na_raise_line(int8_t *restrict best, const int8_t *restrict line, size_t count);

#endif
