/* AArch64 with dot products (Armv8.2). SDOT takes signed bytes and adds to int32, so that neither an offset nor a limit
 * is needed. The rest is the portable code, which the compiler turns into vectors: every AArch64 processor has them. */
#include "kernel/kernel.h"

#if defined(__aarch64__) && defined(__linux__) && defined(__GNUC__)
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#define DOT __attribute__((target("arch=armv8.2-a+dotprod")))
#define INLINE static inline __attribute__((always_inline, target("arch=armv8.2-a+dotprod")))

enum { PIXELS = 4, VECTORS = RE2NA_LANES / 4, DOT_PRODUCTS = 1 << 20 /* HWCAP_ASIMDDP */ };

/* `pixels` is a constant where this is inlined. */
INLINE uint64_t tile(const re2na_panel *of, size_t first, const int pixels) {
  const uint8_t *x = of->x + first * of->x_stride;
  const int8_t *weights = of->vectors;
  int32_t sums[PIXELS * RE2NA_LANES];
  int32x4_t total[PIXELS][VECTORS];
#pragma GCC unroll 4
  for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; i++) total[p][i] = vld1q_s32(of->from + (first + (size_t)p) * of->from_stride + 4 * i);
  for (uint32_t quad = 0; quad < of->grouped + of->singles; quad++, weights += RE2NA_VECTOR) {
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++) {
      int32_t bytes;
      memcpy(&bytes, x + (size_t)p * of->x_stride + of->places[quad], sizeof bytes);
      const int8x16_t value = vreinterpretq_s8_s32(vdupq_n_s32(bytes));
#pragma GCC unroll 4
      for (int i = 0; i < VECTORS; i++) total[p][i] = vdotq_s32(total[p][i], vld1q_s8(weights + 16 * i), value);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; i++) vst1q_s32(sums + p * RE2NA_LANES + 4 * i, total[p][i]);
  return re2na_put_sums(of, first, (size_t)pixels, sums);
}

DOT static uint64_t multiply(const re2na_panel *of) {
  uint64_t outside = 0;
  size_t p = 0;
  for (; p + PIXELS <= of->pixels; p += PIXELS) outside += tile(of, p, PIXELS);
  for (; p < of->pixels; p++) outside += tile(of, p, 1);
  return outside;
}

const re2na_loops *re2na_kernel_neon(void) {
  static const re2na_loops made = {
      .name = "neon",
      .tile = PIXELS,
      .multiply = multiply,
      .depthwise = re2na_depthwise,
      .lines = re2na_lines,
      .finish = re2na_finish,
  };
  return getauxval(AT_HWCAP) & DOT_PRODUCTS ? &made : NULL;
}

#else

const re2na_loops *re2na_kernel_neon(void) { return NULL; }

#endif
