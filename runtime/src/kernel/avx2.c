/* x86-64 with AVX2. Bytes are multiplied by VPMADDUBSW, unsigned times signed, whose sum of two products saturates at
 * int16: pack_quads.c sees to it that no sum can get there. */
#include "kernel/kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <string.h>

#include "kernel/avx2_cut.h"

/* Bytes of weights: so far ahead they are fetched, which are read from end to end. */
enum { AHEAD = 4096 };

/* The compiler must not regroup a chain of additions: that keeps products waiting in more registers than there are. */
#define IN_ORDER(vector) __asm__("" : "+x"(vector))

enum { PIXELS = 3 }; /* 2 sums in int32 and 2 in int16 for each fill the 16 registers */

RE2NA_AVX2_INLINE __m256i four_bytes(const uint8_t *at) {
  int32_t bytes;
  memcpy(&bytes, at, sizeof bytes);
  return _mm256_set1_epi32(bytes);
}

typedef __m256i halves[2]; /* of RE2NA_LANES sums of int32 */

/* Where a tile's pixels begin, and how all of a panel's sums become results. */
typedef struct cursor {
  const uint8_t *x;
  const int32_t *from;
  size_t pixel;
} cursor;

typedef struct cutting {
  re2na_ways ways;
  halves lsb;
} cutting;

RE2NA_AVX2_INLINE cutting cutting_of(const re2na_panel *of) {
  const re2na_cut *how = of->how;
  const __m256i lsb = _mm256_set1_epi32(how->lsb), *lsbs = (const __m256i *)(how->lsbs ? how->lsbs + of->first : NULL);
  return (cutting){re2na_ways_of(how),
                   {lsbs ? _mm256_loadu_si256(lsbs) : lsb, lsbs ? _mm256_loadu_si256(lsbs + 1) : lsb}};
}

/* For pixels of which a sum has left the accumulator's range, results that wrap, and sums that are stored. */
RE2NA_AVX2_INLINE uint64_t put_plainly(const re2na_panel *of, size_t pixel, const halves *total, const int pixels) {
  int32_t sums[PIXELS * RE2NA_LANES];
#pragma GCC unroll 3
  for (int p = 0; p < pixels; p++)
    for (int half = 0; half < 2; half++) _mm256_storeu_si256((__m256i *)sums + 2 * p + half, total[p][half]);
  return re2na_put_sums(of, pixel, (size_t)pixels, sums);
}

/* Packing leaves two pixels' lanes in fours: 0 and 8 of the one, then of the other, in each half. */
RE2NA_AVX2_INLINE __m256i bytes_of(const halves *one, const halves *other, const cutting *by) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i a = _mm256_srav_epi32((*one)[0], by->lsb[0]), b = _mm256_srav_epi32((*one)[1], by->lsb[1]);
  const __m256i c = _mm256_srav_epi32((*other)[0], by->lsb[0]), d = _mm256_srav_epi32((*other)[1], by->lsb[1]);
  return _mm256_permutevar8x32_epi32(re2na_bytes_of(a, b, c, d, &by->ways), order);
}

RE2NA_AVX2_INLINE void put_results(const re2na_panel *of, size_t pixel, const halves *total, const cutting *by,
                                   const int pixels) {
  __m256i bytes[2];
  int8_t *to[PIXELS], some[2 * RE2NA_LANES];
  const size_t count = of->count;
#pragma GCC unroll 3
  for (int p = 0; p < pixels; p++) to[p] = of->results[pixel + (size_t)p] + of->first;
#pragma GCC unroll 2
  for (int p = 0; p < pixels; p += 2) bytes[p / 2] = bytes_of(&total[p], &total[p + 1 < pixels ? p + 1 : p], by);
#pragma GCC unroll 3
  for (int p = 0; p < pixels; p++) {
    const __m128i of_pixel = p % 2 ? _mm256_extracti128_si256(bytes[p / 2], 1) : _mm256_castsi256_si128(bytes[p / 2]);
    if (count == RE2NA_LANES) {
      _mm_storeu_si128((__m128i *)to[p], of_pixel);
    } else {
      _mm_storeu_si128((__m128i *)some, of_pixel);
      re2na_put_some(to[p], some, count);
    }
  }
}

RE2NA_AVX2_INLINE uint64_t put(const re2na_panel *of, size_t pixel, const halves *total, const cutting *by,
                               const int pixels) {
  if (!of->how || !re2na_all_within(total[0], &by->ways, 2 * pixels)) return put_plainly(of, pixel, total, pixels);
  put_results(of, pixel, total, by, pixels);
  return 0;
}

/* Adds some vectors, whose products fit int16 together. `pixels` and `group` are constants where this is inlined. */
RE2NA_AVX2_INLINE void add_group(halves *total, const uint8_t *const *line, const uint32_t *places,
                                 const int8_t *weights, const int pixels, const int group) {
  halves narrow[PIXELS];
#pragma GCC unroll 16
  for (int i = 0; i < group; i++) {
    const __m256i *vector = (const __m256i *)(weights + i * RE2NA_VECTOR);
    const __m256i first = _mm256_load_si256(vector), second = _mm256_load_si256(vector + 1);
    const size_t place = places[i];
    _mm_prefetch((const char *)vector + AHEAD, _MM_HINT_T0);
#pragma GCC unroll 3
    for (int p = 0; p < pixels; p++) {
      const __m256i value = four_bytes(line[p] + place);
      const __m256i products[2] = {_mm256_maddubs_epi16(value, first), _mm256_maddubs_epi16(value, second)};
      for (int half = 0; half < 2; half++) {
        narrow[p][half] = i ? _mm256_add_epi16(narrow[p][half], products[half]) : products[half];
        if (i) IN_ORDER(narrow[p][half]);
      }
    }
  }
#pragma GCC unroll 3
  for (int p = 0; p < pixels; p++)
    for (int half = 0; half < 2; half++)
      total[p][half] = _mm256_add_epi32(total[p][half], _mm256_madd_epi16(narrow[p][half], _mm256_set1_epi16(1)));
}

RE2NA_AVX2_INLINE uint64_t tile(const re2na_panel *of, cursor *at, const cutting *by, const int pixels,
                                const int group) {
  const uint8_t *line[PIXELS] = {at->x};
  const int8_t *weights = of->vectors;
  const uint32_t *place = of->places, *grouped = place + of->grouped, *end = grouped + of->singles;
  const size_t x_stride = of->x_stride, from_stride = of->from_stride, pixel = at->pixel;
  halves total[PIXELS];
#pragma GCC unroll 3
  for (int p = 0; p < pixels; p++) {
    line[p] = at->x;
    for (int half = 0; half < 2; half++) total[p][half] = _mm256_loadu_si256((const __m256i *)at->from + half);
    *at = (cursor){at->x + x_stride, at->from + from_stride, at->pixel + 1};
  }
  for (; place < grouped; place += group, weights += group * RE2NA_VECTOR)
    add_group(total, line, place, weights, pixels, group);
  for (; place < end; place++, weights += RE2NA_VECTOR) add_group(total, line, place, weights, pixels, 1);
  return put(of, pixel, (const halves *)total, by, pixels);
}

#define TILES(group)                                                                    \
  RE2NA_AVX2 static uint64_t tiles_##group(const re2na_panel *of, const cutting *by) {  \
    cursor at = {of->x, of->from, 0};                                                   \
    size_t left = of->pixels;                                                           \
    uint64_t outside = 0;                                                               \
    for (; left >= PIXELS; left -= PIXELS) outside += tile(of, &at, by, PIXELS, group); \
    if (left == 2) outside += tile(of, &at, by, 2, group);                              \
    if (left == 1) outside += tile(of, &at, by, 1, group);                              \
    return outside;                                                                     \
  }
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(6)
TILES(8)
TILES(16)

RE2NA_AVX2 static uint64_t multiply(const re2na_panel *of) {
  cutting by = {0};
  if (of->how) by = cutting_of(of);
  switch (of->together) {
    case 16: return tiles_16(of, &by);
    case 8: return tiles_8(of, &by);
    case 6: return tiles_6(of, &by);
    case 4: return tiles_4(of, &by);
    case 3: return tiles_3(of, &by);
    case 2: return tiles_2(of, &by);
    default: return tiles_1(of, &by);
  }
}

/* Two lines of 16 weights as pairs (line k, line k + 1) of int16: outputs 0..7 and 8..15. */
RE2NA_AVX2_INLINE void load_pairs(const int8_t *first, const int8_t *second, __m256i pairs[2]) {
  const __m128i a = _mm_loadu_si128((const __m128i *)first);
  const __m128i b = second ? _mm_loadu_si128((const __m128i *)second) : _mm_setzero_si128();
  pairs[0] = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
  pairs[1] = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
}

RE2NA_AVX2_INLINE __m256i two_items(const int16_t *at) {
  int32_t items;
  memcpy(&items, at, sizeof items);
  return _mm256_set1_epi32(items);
}

/* STRIP lines over all outputs before the next: the lines are read from end to end, as they lie in memory. */
enum { STRIP = 8 };

RE2NA_AVX2_INLINE void strip(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, const int8_t *weights,
                             size_t weight_stride, size_t outputs, const int images, const size_t k) {
  for (size_t o = 0; o < outputs; o += RE2NA_LANES) {
    __m256i total[RE2NA_IMAGES][2], pairs[2];
    for (size_t i = 0; i < STRIP * RE2NA_LANES; i += RE2NA_VECTOR) /* as much of the next strip */
      _mm_prefetch((const char *)weights + STRIP * (weight_stride + o) + i, _MM_HINT_T0);
#pragma GCC unroll 6
    for (int p = 0; p < images; p++)
      for (int half = 0; half < 2; half++)
        total[p][half] = _mm256_loadu_si256((const __m256i *)(sums + (size_t)p * sum_stride + o) + half);
    for (size_t i = 0; i < k; i += 2) {
      load_pairs(weights + i * weight_stride + o, i + 1 < k ? weights + (i + 1) * weight_stride + o : NULL, pairs);
#pragma GCC unroll 6
      for (int p = 0; p < images; p++) {
        const __m256i value = two_items(x + (size_t)p * x_stride + i);
        for (int half = 0; half < 2; half++)
          total[p][half] = _mm256_add_epi32(total[p][half], _mm256_madd_epi16(pairs[half], value));
      }
    }
#pragma GCC unroll 6
    for (int p = 0; p < images; p++)
      for (int half = 0; half < 2; half++)
        _mm256_storeu_si256((__m256i *)(sums + (size_t)p * sum_stride + o) + half, total[p][half]);
  }
}

#define STRIPS(images)                                                                                            \
  RE2NA_AVX2 static void strips_##images(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride,     \
                                         const int8_t *weights, size_t weight_stride, size_t k, size_t outputs) { \
    for (; k >= STRIP; k -= STRIP, x += STRIP, weights += STRIP * weight_stride)                                  \
      strip(sums, sum_stride, x, x_stride, weights, weight_stride, outputs, images, STRIP);                       \
    if (k) strip(sums, sum_stride, x, x_stride, weights, weight_stride, outputs, images, k);                      \
  }
STRIPS(1)
STRIPS(2)
STRIPS(3)
STRIPS(4)
STRIPS(5)
STRIPS(6)

void re2na_avx2_lines(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, size_t images,
                      const int8_t *weights, size_t weight_stride, size_t k, size_t outputs) {
  switch (images) {
    case 1: strips_1(sums, sum_stride, x, x_stride, weights, weight_stride, k, outputs); break;
    case 2: strips_2(sums, sum_stride, x, x_stride, weights, weight_stride, k, outputs); break;
    case 3: strips_3(sums, sum_stride, x, x_stride, weights, weight_stride, k, outputs); break;
    case 4: strips_4(sums, sum_stride, x, x_stride, weights, weight_stride, k, outputs); break;
    case 5: strips_5(sums, sum_stride, x, x_stride, weights, weight_stride, k, outputs); break;
    default: strips_6(sums, sum_stride, x, x_stride, weights, weight_stride, k, outputs); break;
  }
}

/* As vectors, of int32 where nothing else is said. Shifts by vectors are never slower than those by one number for all.
 */
typedef struct limits {
  __m256i spare, lsb;
  __m256i lo, hi;      /* int8 */
  const int32_t *lsbs; /* NULL: all have `lsb` */
} limits;

/* Eight sums, from `at` on, to int32 results that are not clamped yet. `inside` counts those that the accumulator
 * holds; `seen` (a mask) leaves some out. */
RE2NA_AVX2_INLINE __m256i shifted_some(const int32_t *sums, size_t at, const limits *of, __m256i *inside,
                                       const bool counts, __m256i seen) {
  const __m256i sum = _mm256_loadu_si256((const __m256i *)(sums + at));
  const __m256i held = _mm256_srav_epi32(_mm256_sllv_epi32(sum, of->spare), of->spare);
  if (counts) *inside = _mm256_sub_epi32(*inside, _mm256_and_si256(_mm256_cmpeq_epi32(held, sum), seen));
  return _mm256_srav_epi32(held, of->lsbs ? _mm256_loadu_si256((const __m256i *)(of->lsbs + at)) : of->lsb);
}

RE2NA_AVX2_INLINE __m256i shifted(const int32_t *sums, size_t at, const limits *of, __m256i *inside,
                                  const bool counts) {
  return shifted_some(sums, at, of, inside, counts, _mm256_set1_epi32(-1));
}

/* Their results as bytes. */
RE2NA_AVX2_INLINE __m128i eight_bytes(__m256i values, const limits *of) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256(values, 1));
  const __m128i bytes = _mm_packs_epi16(words, words);
  return _mm_min_epi8(_mm_max_epi8(bytes, _mm256_castsi256_si128(of->lo)), _mm256_castsi256_si128(of->hi));
}

RE2NA_AVX2_INLINE uint64_t sum_of(__m256i counts) {
  uint32_t lanes[8];
  uint64_t sum = 0;
  _mm256_storeu_si256((__m256i *)lanes, counts);
  for (int i = 0; i < 8; i++) sum += lanes[i];
  return sum;
}

/* Packing saturates twice, to int16 and to int8, which changes nothing: the result is clamped to less. */
RE2NA_AVX2_INLINE void finish_line(const int32_t *sums, int8_t *out, size_t count, const limits *of, __m256i *inside,
                                   const bool counts) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  size_t o = 0;
  for (; o + 32 <= count; o += 32) {
    const __m256i a = shifted(sums, o, of, inside, counts), b = shifted(sums, o + 8, of, inside, counts);
    const __m256i c = shifted(sums, o + 16, of, inside, counts), d = shifted(sums, o + 24, of, inside, counts);
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    bytes = _mm256_permutevar8x32_epi32(_mm256_min_epi8(_mm256_max_epi8(bytes, of->lo), of->hi), order);
    _mm256_storeu_si256((__m256i *)(out + o), bytes);
  }
  for (; o + 8 <= count; o += 8)
    _mm_storel_epi64((__m128i *)(out + o), eight_bytes(shifted(sums, o, of, inside, counts), of));
  if (o < count) { /* lines of sums end with room for whole vectors */
    const __m256i seen =
        _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(count - o)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const uint64_t bytes =
        (uint64_t)_mm_cvtsi128_si64(eight_bytes(shifted_some(sums, o, of, inside, counts, seen), of));
    memcpy(out + o, &bytes, count - o);
  }
}

RE2NA_AVX2 uint64_t re2na_avx2_finish(const int32_t *sums, size_t sum_stride, int8_t *const *places, size_t pixels,
                                      size_t count, const re2na_cut *how) {
  const limits of = {
      _mm256_set1_epi32(how->acc_spare),
      _mm256_set1_epi32(how->lsb),
      _mm256_set1_epi8((char)re2na_clamp(how->data_min, how->lo, how->hi)),
      _mm256_set1_epi8((char)re2na_clamp(how->data_max, how->lo, how->hi)),
      how->lsbs,
  };
  __m256i inside = _mm256_setzero_si256();
  if (how->cut_wraps) return re2na_finish(sums, sum_stride, places, pixels, count, how);
  for (size_t p = 0; p < pixels; p++) {
    if (how->counts) finish_line(sums + p * sum_stride, places[p], count, &of, &inside, true);
    else finish_line(sums + p * sum_stride, places[p], count, &of, &inside, false);
  }
  return how->counts ? pixels * count - sum_of(inside) : 0;
}

const re2na_loops *re2na_kernel_avx2(void) {
  static const re2na_loops made = {
      .name = "avx2",
      .tile = PIXELS,
      .unsigned_inputs = true,
      .narrow_quads = true,
      .narrow_pairs = true,
      .multiply = multiply,
      .depthwise = re2na_avx2_depthwise,
      .strip = re2na_avx2_strip,
      .lines = re2na_avx2_lines,
      .finish = re2na_avx2_finish,
  };
  return __builtin_cpu_supports("avx2") ? &made : NULL;
}

#else

const re2na_loops *re2na_kernel_avx2(void) { return NULL; }

#endif
