/* How sums become results on x86-64 with AVX2, as long as none has left the accumulator's range: watching for that
 * costs less than cutting such sums right. */
#ifndef RE2NA_AVX2_CUT_H
#define RE2NA_AVX2_CUT_H

#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

#define RE2NA_AVX2 __attribute__((target("avx2")))
#define RE2NA_AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

typedef struct re2na_ways {
  __m256i half, outside; /* int32: a sum plus half of the range has bits of `outside` if it is not within */
  __m256i lo, hi;        /* int8, of results */
} re2na_ways;

RE2NA_AVX2_INLINE re2na_ways re2na_ways_of(const re2na_cut *how) {
  return (re2na_ways){
      _mm256_set1_epi32(re2na_half_range(how)),
      _mm256_set1_epi32(re2na_outside(how)),
      _mm256_set1_epi8((char)re2na_clamp(how->data_min, how->lo, how->hi)),
      _mm256_set1_epi8((char)re2na_clamp(how->data_max, how->lo, how->hi)),
  };
}

RE2NA_AVX2_INLINE bool re2na_all_within(const __m256i *sums, const re2na_ways *of, const int count) {
  __m256i seen = _mm256_add_epi32(sums[0], of->half);
#pragma GCC unroll 6
  for (int i = 1; i < count; i++) seen = _mm256_or_si256(seen, _mm256_add_epi32(sums[i], of->half));
  return _mm256_testz_si256(seen, of->outside);
}

/* Shifted sums to bytes, in the order that packing leaves. It saturates twice, to int16 and to int8, which changes
 * nothing: the result is clamped to less. */
RE2NA_AVX2_INLINE __m256i re2na_bytes_of(__m256i a, __m256i b, __m256i c, __m256i d, const re2na_ways *of) {
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  return _mm256_min_epi8(_mm256_max_epi8(bytes, of->lo), of->hi);
}

/* The first of some bytes, at most 32, without a call: in two pieces, which may overlap. */
RE2NA_AVX2_INLINE void re2na_put_some(int8_t *to, const int8_t *bytes, size_t count) {
  if (count >= 16) {
    memcpy(to, bytes, 16);
    memcpy(to + count - 16, bytes + count - 16, 16);
  } else if (count >= 8) {
    memcpy(to, bytes, 8);
    memcpy(to + count - 8, bytes + count - 8, 8);
  } else if (count >= 4) {
    memcpy(to, bytes, 4);
    memcpy(to + count - 4, bytes + count - 4, 4);
  } else {
    for (size_t i = 0; i < count; i++) to[i] = bytes[i];
  }
}

#endif
