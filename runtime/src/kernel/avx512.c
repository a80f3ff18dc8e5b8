/* x86-64 with AVX-512 and VNNI. VPDPBUSD adds four products, unsigned times signed, to int32: no sum of int16 stands
 * between. The rest is the AVX2 kernel's. */
#include "kernel/kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512vnni")))
#define INLINE static inline __attribute__((always_inline, target("avx512f,avx512vnni")))

/* Pixels at once: as many sums on the way as the instruction's latency and throughput ask for, and at most, with
 * registers left. */
enum { PIXELS = 12, MOST = 14 };

/* `pixels` is a constant where this is inlined. */
INLINE void tile(int32_t *sums, size_t sum_stride, const int32_t *from, size_t from_stride, const uint8_t *x,
                 size_t x_stride, const int8_t *weights, size_t quads, const int pixels) {
  __m512i total[MOST];
#pragma GCC unroll 14
  for (int p = 0; p < pixels; p++) total[p] = _mm512_loadu_si512(from + (size_t)p * from_stride);
  for (size_t quad = 0; quad < quads; quad++, weights += RE2NA_VECTOR, x += RE2NA_QUAD) {
    const __m512i vector = _mm512_load_si512(weights);
    _mm_prefetch((const char *)weights + 4096, _MM_HINT_T0);
#pragma GCC unroll 14
    for (int p = 0; p < pixels; p++) {
      int32_t bytes;
      memcpy(&bytes, x + (size_t)p * x_stride, sizeof bytes);
      total[p] = _mm512_dpbusd_epi32(total[p], _mm512_set1_epi32(bytes), vector);
    }
  }
#pragma GCC unroll 14
  for (int p = 0; p < pixels; p++) _mm512_storeu_si512(sums + (size_t)p * sum_stride, total[p]);
}

/* How many of the pixels that are left make the next tile: none is much smaller than the others. */
static size_t next_tile(size_t pixels) {
  return pixels <= MOST ? pixels : pixels < 2 * PIXELS ? (pixels + 1) / 2 : PIXELS;
}

#define TILE(pixels) \
  case pixels: tile(sums, sum_stride, from, from_stride, x, x_stride, weights, quads, pixels); break

AVX512 static void multiply(int32_t *sums, size_t sum_stride, const int32_t *from, size_t from_stride, const uint8_t *x,
                            size_t x_stride, size_t pixels, const int8_t *weights, size_t quads, unsigned together) {
  (void)together;
  for (size_t made; pixels;
       pixels -= made, sums += made * sum_stride, from += made * from_stride, x += made * x_stride) {
    made = next_tile(pixels);
    switch (made) {
      TILE(1);
      TILE(2);
      TILE(3);
      TILE(4);
      TILE(5);
      TILE(6);
      TILE(7);
      TILE(8);
      TILE(9);
      TILE(10);
      TILE(11);
      TILE(12);
      TILE(13);
      TILE(14);
      default: break; /* there is no other */
    }
  }
}

const re2na_loops *re2na_kernel_avx512(void) {
  static const re2na_loops made = {
      .name = "avx512",
      .tile = PIXELS,
      .unsigned_inputs = true,
      .narrow_pairs = true,
      .multiply = multiply,
      .depthwise = re2na_avx2_depthwise,
      .strip = re2na_avx2_strip,
      .lines = re2na_avx2_lines,
      .finish = re2na_avx2_finish,
  };
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni")
             ? &made
             : NULL;
}

#else

const re2na_loops *re2na_kernel_avx512(void) { return NULL; }

#endif
