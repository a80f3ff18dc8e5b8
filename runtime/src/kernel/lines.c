#include "kernel/lines.h"

#include <string.h>

enum { CHUNK = 512 };

RE2NA_CLONES
static void raise_to(int8_t *restrict best, const int8_t *restrict line, size_t count) {
  re2na_raise(best, line, count);
}

void re2na_raise_line(int8_t *restrict best, const int8_t *restrict line, size_t count) { raise_to(best, line, count); }

static int32_t half(const re2na_arch *arch, int64_t shift) {
  return shift > 0 && arch->rounding == RE2NA_ROUNDING_HALF_UP ? 1 << (shift - 1) : 0;
}

re2na_scaling re2na_make_scaling(const re2na_arch *arch, int64_t shift_a, int64_t shift_b) {
  return (re2na_scaling){half(arch, shift_a), half(arch, shift_b), (int32_t)shift_a, (int32_t)shift_b};
}

RE2NA_CLONES
static void add_chunk(const int8_t *restrict a, const int8_t *restrict b, int8_t *restrict out, size_t count,
                      re2na_scaling by, const re2na_cut *how) {
  const int32_t low = re2na_clamp(how->data_min, how->lo, how->hi), high = re2na_clamp(how->data_max, how->lo, how->hi);
  if (how->cut_wraps) {
    for (size_t i = 0; i < count; i++)
      out[i] = (int8_t)re2na_finish_sum(((a[i] + by.half_a) >> by.shift_a) + ((b[i] + by.half_b) >> by.shift_b), how);
  } else if (by.shift_a == 0 && by.shift_b == 0) {
    for (size_t i = 0; i < count; i++) out[i] = (int8_t)re2na_clamp((int16_t)(a[i] + b[i]), low, high);
  } else {
    for (size_t i = 0; i < count; i++)
      out[i] = (int8_t)re2na_clamp(((a[i] + by.half_a) >> by.shift_a) + ((b[i] + by.half_b) >> by.shift_b), low, high);
  }
}

/* A chunk is computed elsewhere first, so that the loops over it can be vectors where `out` is `a` or `b`. */
void re2na_add_line(const int8_t *a, const int8_t *b, int8_t *out, size_t count, re2na_scaling by,
                    const re2na_cut *how) {
  int8_t chunk[CHUNK];
  for (size_t i = 0; i < count; i += CHUNK) {
    const size_t some = count - i < CHUNK ? count - i : CHUNK;
    add_chunk(a + i, b + i, chunk, some, by, how);
    memcpy(out + i, chunk, some);
  }
}
