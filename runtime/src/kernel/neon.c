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
INLINE void tile(int32_t *sums, size_t sum_stride, const int32_t *from, size_t from_stride, const uint8_t *x,
                 size_t x_stride, const int8_t *weights, size_t quads, const int pixels) {
  int32x4_t total[PIXELS][VECTORS];
#pragma GCC unroll 4
  for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; i++) total[p][i] = vld1q_s32(from + (size_t)p * from_stride + 4 * i);
  for (size_t quad = 0; quad < quads; quad++, weights += RE2NA_VECTOR, x += RE2NA_QUAD) {
#pragma GCC unroll 4
    for (int p = 0; p < pixels; p++) {
      int32_t bytes;
      memcpy(&bytes, x + (size_t)p * x_stride, sizeof bytes);
      const int8x16_t value = vreinterpretq_s8_s32(vdupq_n_s32(bytes));
#pragma GCC unroll 4
      for (int i = 0; i < VECTORS; i++) total[p][i] = vdotq_s32(total[p][i], vld1q_s8(weights + 16 * i), value);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < pixels; p++)
#pragma GCC unroll 4
    for (int i = 0; i < VECTORS; i++) vst1q_s32(sums + (size_t)p * sum_stride + 4 * i, total[p][i]);
}

DOT static void multiply(int32_t *sums, size_t sum_stride, const int32_t *from, size_t from_stride, const uint8_t *x,
                         size_t x_stride, size_t pixels, const int8_t *weights, size_t quads, unsigned together) {
  (void)together;
  for (; pixels >= PIXELS;
       pixels -= PIXELS, sums += PIXELS * sum_stride, from += PIXELS * from_stride, x += PIXELS * x_stride)
    tile(sums, sum_stride, from, from_stride, x, x_stride, weights, quads, PIXELS);
  for (; pixels; pixels--, sums += sum_stride, from += from_stride, x += x_stride)
    tile(sums, sum_stride, from, from_stride, x, x_stride, weights, quads, 1);
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
