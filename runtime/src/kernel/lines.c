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

/* A byte shifted and rounded, as a product of 16 bits whose upper half is taken: such are what processors have. A shift
 * by more than 9 leaves of a byte what one by 9 leaves. */
typedef struct narrow_scaling {
  int16_t half, factor;
} narrow_scaling;

static narrow_scaling narrow(int32_t half, int32_t shift) {
  return (narrow_scaling){(int16_t)(half < 256 ? half : 256), (int16_t)(1 << (14 - (shift < 9 ? shift : 9)))};
}

static inline int16_t scale(int8_t value, narrow_scaling by) {
  return (int16_t)(((int32_t)(int16_t)(4 * (value + by.half)) * by.factor) >> 16);
}

/* Adds `count` bytes to those of `a`. */
static inline void add_to(int8_t *restrict a, const int8_t *b, size_t count, re2na_scaling by, const re2na_cut *how) {
  const narrow_scaling first = narrow(by.half_a, by.shift_a), second = narrow(by.half_b, by.shift_b);
  const int16_t low = (int16_t)re2na_clamp(how->data_min, how->lo, how->hi);
  const int16_t high = (int16_t)re2na_clamp(how->data_max, how->lo, how->hi);
  if (how->cut_wraps) {
    for (size_t i = 0; i < count; i++)
      a[i] = (int8_t)re2na_finish_sum(((a[i] + by.half_a) >> by.shift_a) + ((b[i] + by.half_b) >> by.shift_b), how);
  } else {
    for (size_t i = 0; i < count; i++) {
      const int16_t sum = (int16_t)(scale(a[i], first) + scale(b[i], second));
      a[i] = (int8_t)(sum < low ? low : sum > high ? high : sum);
    }
  }
}

RE2NA_CLONES
static void add_pixels(int8_t *restrict a, const int8_t *b, int64_t b_step, int8_t *out, int64_t out_step,
                       size_t pixels, size_t count, re2na_scaling by, const re2na_cut *how) {
  for (; pixels; pixels--, a += count, b += b_step, out += out_step) {
    add_to(a, b, count, by, how);
    memcpy(out, a, count);
  }
}

void re2na_add_pixels(int8_t *a, const int8_t *b, int64_t b_step, int8_t *out, int64_t out_step, size_t pixels,
                      size_t count, re2na_scaling by, const re2na_cut *how) {
  add_pixels(a, b, b_step, out, out_step, pixels, count, by, how);
}

/* A chunk is copied first, so that the loops over it can be vectors where `out` is `a` or `b`. */
void re2na_add_line(const int8_t *a, const int8_t *b, int8_t *out, size_t count, re2na_scaling by,
                    const re2na_cut *how) {
  int8_t chunk[CHUNK];
  for (size_t i = 0; i < count; i += CHUNK) {
    const size_t some = count - i < CHUNK ? count - i : CHUNK;
    memcpy(chunk, a + i, some);
    add_pixels(chunk, b + i, 0, out + i, 0, 1, some, by, how);
  }
}
