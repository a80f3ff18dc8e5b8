/* The multiply-accumulate loop. One interface, one portable version, and one for x86-64 processors with AVX2. */
#include <string.h>

#include "array.h"

RE2NA_CLONES
static void gemm_portable(int32_t *restrict sums, size_t sum_stride, const int16_t *restrict x, size_t x_stride,
                          const int8_t *restrict weights, size_t weight_stride, size_t pixels, size_t k, size_t outputs) {
  for (size_t p = 0; p < pixels; p++)
    for (size_t i = 0; i < k; i++) {
      const int32_t value = x[p * x_stride + i];
      const int8_t *restrict line = weights + i * weight_stride;
      int32_t *restrict sum = sums + p * sum_stride;
      for (size_t o = 0; o < outputs; o++) sum[o] += value * line[o];
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

/* Two lines of 16 weights as pairs (line k, line k + 1) of int16: outputs 0..7 and 8..15. */
AVX2_INLINE void load_pairs(const int8_t *first, const int8_t *second, __m256i pairs[2]) {
  __m128i a = _mm_loadu_si128((const __m128i *)first);
  __m128i b = second ? _mm_loadu_si128((const __m128i *)second) : _mm_setzero_si128();
  pairs[0] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
  pairs[1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
}

AVX2_INLINE void step(__m256i (*total)[2], const __m256i pairs[2], const int16_t *x, size_t x_stride, const int pixels) {
  for (int p = 0; p < pixels; p++) {
    int32_t two;
    memcpy(&two, x + (size_t)p * x_stride, sizeof two);
    const __m256i value = _mm256_set1_epi32(two);
    total[p][0] = _mm256_add_epi32(total[p][0], _mm256_madd_epi16(pairs[0], value));
    total[p][1] = _mm256_add_epi32(total[p][1], _mm256_madd_epi16(pairs[1], value));
  }
}

/* 16 outputs of `pixels` (a constant where this is inlined: the totals live in registers). */
AVX2_INLINE void tile(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, const int8_t *weights,
                      size_t weight_stride, size_t k, const int pixels) {
  __m256i total[RE2NA_PIXELS][2], pairs[2];
  size_t i = 0;
#pragma GCC unroll 6
  for (int p = 0; p < pixels; p++)
    for (int half = 0; half < 2; half++)
      total[p][half] = _mm256_loadu_si256((const __m256i *)(sums + (size_t)p * sum_stride) + half);
  for (; i + 2 <= k; i += 2) {
    load_pairs(weights + i * weight_stride, weights + (i + 1) * weight_stride, pairs);
    step(total, pairs, x + i, x_stride, pixels);
  }
  if (i < k) {
    load_pairs(weights + i * weight_stride, NULL, pairs);
    step(total, pairs, x + i, x_stride, pixels);
  }
#pragma GCC unroll 6
  for (int p = 0; p < pixels; p++)
    for (int half = 0; half < 2; half++)
      _mm256_storeu_si256((__m256i *)(sums + (size_t)p * sum_stride) + half, total[p][half]);
}

AVX2 static void gemm_avx2(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, const int8_t *weights,
                           size_t weight_stride, size_t pixels, size_t k, size_t outputs) {
  for (size_t o = 0; o < outputs; o += RE2NA_LANES) {
    switch (pixels) {
#define CASE(count) \
  case count: tile(sums + o, sum_stride, x, x_stride, weights + o, weight_stride, k, count); break;
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#undef CASE
    }
  }
}
#endif

void re2na_gemm(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, const int8_t *weights,
                size_t weight_stride, size_t pixels, size_t k, size_t outputs) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx2")) {
    gemm_avx2(sums, sum_stride, x, x_stride, weights, weight_stride, pixels, k, outputs);
    return;
  }
#endif
  gemm_portable(sums, sum_stride, x, x_stride, weights, weight_stride, pixels, k, outputs);
}
