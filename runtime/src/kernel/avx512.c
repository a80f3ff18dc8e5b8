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
enum { PIXELS = 12, MOST = 14, THIRDS = (MOST + 2) / 3 };

/* How sums become results as long as none has left the accumulator's range, as vectors of int32: a sum plus half of the
 * range has bits of `outside` if it is not within. */
typedef struct ways {
  __m512i half, outside, lsb, lo, hi;
} ways;

INLINE ways ways_of(const re2na_panel *of) {
  const re2na_cut *how = of->how;
  return (ways){
      _mm512_set1_epi32(re2na_half_range(how)),
      _mm512_set1_epi32(re2na_outside(how)),
      how->lsbs ? _mm512_loadu_si512(how->lsbs + of->first) : _mm512_set1_epi32(how->lsb),
      _mm512_set1_epi32(re2na_clamp(how->data_min, how->lo, how->hi)),
      _mm512_set1_epi32(re2na_clamp(how->data_max, how->lo, how->hi)),
  };
}

/* For pixels of which a sum has left the accumulator's range, results that wrap, and sums that are stored. */
INLINE uint64_t put_plainly(const re2na_panel *of, size_t pixel, const __m512i *total, const int pixels) {
  int32_t sums[MOST * RE2NA_LANES];
#pragma GCC unroll 14
  for (int p = 0; p < pixels; p++) _mm512_storeu_si512(sums + p * RE2NA_LANES, total[p]);
  return re2na_put_sums(of, pixel, (size_t)pixels, sums);
}

INLINE bool all_within(const __m512i *total, const ways *by, const int pixels) {
  __m512i seen = _mm512_add_epi32(total[0], by->half);
#pragma GCC unroll 14
  for (int p = 1; p < pixels; p++) seen = _mm512_or_si512(seen, _mm512_add_epi32(total[p], by->half));
  return _mm512_test_epi32_mask(seen, by->outside) == 0;
}

INLINE uint64_t put(const re2na_panel *of, size_t pixel, const __m512i *total, const ways *by, const int pixels) {
  if (!all_within(total, by, pixels)) return put_plainly(of, pixel, total, pixels);
#pragma GCC unroll 14
  for (int p = 0; p < pixels; p++) {
    const __m512i cut = _mm512_srav_epi32(total[p], by->lsb);
    const __m512i held = _mm512_min_epi32(_mm512_max_epi32(cut, by->lo), by->hi);
    _mm512_mask_cvtepi32_storeu_epi8(of->results[pixel + (size_t)p] + of->first, (__mmask16)((1u << of->count) - 1),
                                     held);
  }
  return 0;
}

/* The lines of every third pixel, from which those of the next two are reached with an index: the compiler must not
 * find out how they lie to each other, or it makes one long chain of additions of all addresses. */
INLINE void find_lines(const re2na_panel *of, size_t pixel, const uint8_t *line[THIRDS], const int pixels) {
#pragma GCC unroll 5
  for (int i = 0; i < THIRDS; i++) {
    line[i] = of->x + (pixel + (3 * i < pixels ? 3 * (size_t)i : 0)) * of->x_stride;
    __asm__("" : "+r"(line[i]));
  }
}

/* `pixels` is a constant where this is inlined. */
INLINE uint64_t tile(const re2na_panel *of, size_t pixel, const ways *by, const int pixels) {
  const uint8_t *line[THIRDS];
  const int8_t *weights = of->vectors;
  const size_t stride = of->x_stride;
  __m512i total[MOST];
  find_lines(of, pixel, line, pixels);
#pragma GCC unroll 14
  for (int p = 0; p < pixels; p++) total[p] = _mm512_loadu_si512(of->from + (pixel + (size_t)p) * of->from_stride);
  for (const uint32_t *place = of->places, *end = place + of->grouped + of->singles; place < end;
       place++, weights += RE2NA_VECTOR) {
    const __m512i vector = _mm512_load_si512(weights);
    const size_t at = *place;
    _mm_prefetch((const char *)weights + 4096, _MM_HINT_T0);
#pragma GCC unroll 14
    for (int p = 0; p < pixels; p++) {
      int32_t bytes;
      memcpy(&bytes, line[p / 3] + at + (size_t)(p % 3) * stride, sizeof bytes);
      total[p] = _mm512_dpbusd_epi32(total[p], _mm512_set1_epi32(bytes), vector);
    }
  }
  return of->how ? put(of, pixel, total, by, pixels) : put_plainly(of, pixel, total, pixels);
}

/* How many of the pixels that are left make the next tile: none is much smaller than the others. */
static size_t next_tile(size_t pixels) {
  return pixels <= MOST ? pixels : pixels < 2 * PIXELS ? (pixels + 1) / 2 : PIXELS;
}

#define TILE(pixels) \
  case pixels: outside += tile(of, pixel, &by, pixels); break

AVX512 static uint64_t multiply(const re2na_panel *of) {
  ways by = {0};
  uint64_t outside = 0;
  if (of->how) by = ways_of(of);
  for (size_t pixel = 0, made; pixel < of->pixels; pixel += made) {
    made = next_tile(of->pixels - pixel);
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
  return outside;
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
