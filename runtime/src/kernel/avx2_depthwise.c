/* Depthwise convolutions on x86-64 with AVX2: 32 channels at once, two taps in each byte product. Lines of two taps are
 * interleaved byte by byte, which leaves channels in the order of re2na_channel_place. */
#include "kernel/kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <string.h>

#include "kernel/avx2_cut.h"

enum { QUARTERS = 4 /* vectors of int32 sums in a block of channels */ };

/* Sums of int16: channels 0..7 and 16..23, 8..15 and 24..31. */
typedef struct narrow {
  __m256i low, high;
} narrow;

RE2NA_AVX2_INLINE __m256i load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }

RE2NA_AVX2_INLINE narrow interleave(__m256i a, __m256i b) {
  return (narrow){_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)};
}

RE2NA_AVX2_INLINE narrow add_products(narrow sums, narrow taps, const int8_t *weights) {
  sums.low = _mm256_add_epi16(sums.low, _mm256_maddubs_epi16(taps.low, load(weights)));
  sums.high = _mm256_add_epi16(sums.high, _mm256_maddubs_epi16(taps.high, load(weights + RE2NA_CHANNELS)));
  return sums;
}

RE2NA_AVX2_INLINE narrow no_sums(void) { return (narrow){_mm256_setzero_si256(), _mm256_setzero_si256()}; }

/* The channels of a quarter, four in each half, where sums of int16 are widened in their halves. */
RE2NA_AVX2_INLINE __m256i quarter_of(const int32_t *channels, const int quarter) {
  const __m128i *at = (const __m128i *)channels + quarter;
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(at)), _mm_loadu_si128(at + 4), 1);
}

RE2NA_AVX2_INLINE void put_quarter(int32_t *channels, __m256i values, const int quarter) {
  __m128i *at = (__m128i *)channels + quarter;
  _mm_storeu_si128(at, _mm256_castsi256_si128(values));
  _mm_storeu_si128(at + 4, _mm256_extracti128_si256(values, 1));
}

/* Adds two sums of int16 to each of int32. */
RE2NA_AVX2_INLINE void widen(__m256i total[QUARTERS], narrow a, narrow b) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i pairs[QUARTERS] = {_mm256_unpacklo_epi16(a.low, b.low), _mm256_unpackhi_epi16(a.low, b.low),
                                   _mm256_unpacklo_epi16(a.high, b.high), _mm256_unpackhi_epi16(a.high, b.high)};
#pragma GCC unroll 4
  for (int i = 0; i < QUARTERS; i++) total[i] = _mm256_add_epi32(total[i], _mm256_madd_epi16(pairs[i], ones));
}

RE2NA_AVX2 void re2na_avx2_depthwise(int32_t *sums, const int32_t *from, const uint8_t *const *x, size_t channels,
                                     size_t pairs, const int8_t *weights, unsigned together, uint8_t offset) {
  const __m256i up = _mm256_set1_epi8((char)offset);
  for (size_t first = 0; first < channels; first += RE2NA_CHANNELS) {
    __m256i total[QUARTERS];
    for (int i = 0; i < QUARTERS; i++) total[i] = quarter_of(from + first, i);
    for (size_t pair = 0, stop; pair < pairs; pair = stop) {
      narrow some = no_sums();
      stop = pair + together < pairs ? pair + together : pairs;
      for (size_t i = pair; i < stop; i++, weights += 2 * RE2NA_CHANNELS) {
        const __m256i a = load(x[2 * i] + first), b = load(x[2 * i + 1] + first);
        some = add_products(some, interleave(_mm256_xor_si256(a, up), _mm256_xor_si256(b, up)), weights);
      }
      widen(total, some, no_sums());
    }
    for (int i = 0; i < QUARTERS; i++) put_quarter(sums + first, total[i], i);
  }
}

/* ---- strips ---- */

enum { PLANE = 2 * RE2NA_CHANNELS /* bytes: two lines of a block of channels, interleaved */ };

static inline __attribute__((always_inline)) size_t planes_of(const size_t side) { return side / 2 + 1; }

RE2NA_AVX2_INLINE void put_plane(uint8_t *to, __m256i a, __m256i b) {
  const narrow both = interleave(a, b);
  _mm256_store_si256((__m256i *)to, both.low);
  _mm256_store_si256((__m256i *)to + 1, both.high);
}

/* A column: its rows in pairs, and the last row with that of the column before. */
RE2NA_AVX2_INLINE void put_column(uint8_t *to, const __m256i *rows, __m256i *before, const size_t side) {
#pragma GCC unroll 2
  for (size_t i = 0; i < side / 2; i++) put_plane(to + i * PLANE, rows[2 * i], rows[2 * i + 1]);
  put_plane(to + side / 2 * PLANE, *before, rows[side - 1]);
  *before = rows[side - 1];
}

/* All columns under a strip, for the block of channels at `channel`. */
RE2NA_AVX2_INLINE void put_columns(const re2na_strip *of, size_t channel, uint8_t *to, const size_t side) {
  const __m256i up = _mm256_set1_epi8((char)of->offset);
  const int64_t count = (int64_t)((of->pixels - 1) * of->stride + side);
  const int64_t left = of->first < 0 ? -of->first : 0, inside = of->width - of->first;
  const uint8_t *at[RE2NA_MOST_SIDE];
  __m256i rows[RE2NA_MOST_SIDE], before = up;
  int64_t c = 0;
#pragma GCC unroll 5
  for (size_t r = 0; r < side; r++) {
    at[r] = of->rows[r] + channel + (of->first > 0 ? (size_t)of->first * of->steps[r] : 0);
    rows[r] = up;
  }
  for (; c < left && c < count; c++, to += planes_of(side) * PLANE) put_column(to, rows, &before, side);
  for (; c < inside && c < count; c++, to += planes_of(side) * PLANE) {
#pragma GCC unroll 5
    for (size_t r = 0; r < side; r++) {
      rows[r] = _mm256_xor_si256(load(at[r]), up);
      at[r] += of->steps[r];
    }
    put_column(to, rows, &before, side);
  }
#pragma GCC unroll 5
  for (size_t r = 0; r < side; r++) rows[r] = up;
  for (; c < count; c++, to += planes_of(side) * PLANE) put_column(to, rows, &before, side);
}

/* Where a pair of taps lies, from the pixel's first column on: see pack_taps.c's pair_rows. */
static inline __attribute__((always_inline)) size_t tap_plane(const size_t pair, const size_t side) {
  const size_t row = pair / side, last = side / 2, behind = 2 * (pair - last * side) + 1;
  const size_t column = row < last ? pair % side : behind < side ? behind : side - 1;
  return (column * planes_of(side) + (row < last ? row : last)) * PLANE;
}

/* The sums of some pairs, the last of which is before `stop`; none may be left. */
RE2NA_AVX2_INLINE narrow add_taps(const uint8_t *columns, const int8_t *weights, const size_t first, const size_t stop,
                                  const size_t side) {
  narrow sums = no_sums();
#pragma GCC unroll 13
  for (size_t pair = first; pair < stop; pair++) {
    const uint8_t *at = columns + tap_plane(pair, side);
    sums = add_products(sums, (narrow){load(at), load(at + RE2NA_CHANNELS)}, weights + pair * 2 * RE2NA_CHANNELS);
  }
  return sums;
}

/* Weights in two halves, those of all pairs after those of all pairs: neither half's products fit int16 with others. */
enum { TWICE = 0 };

/* A pixel's sums; `side` and `together` are constants where this is inlined. */
RE2NA_AVX2_INLINE void sum_pixel(__m256i total[QUARTERS], const uint8_t *columns, const int8_t *weights,
                                 const size_t side, const size_t together) {
  const size_t pairs = (side * side + 1) / 2;
  const int8_t *rest = weights + pairs * 2 * RE2NA_CHANNELS;
#pragma GCC unroll 13
  for (size_t pair = 0; together == TWICE && pair < pairs; pair++)
    widen(total, add_taps(columns, weights, pair, pair + 1, side), add_taps(columns, rest, pair, pair + 1, side));
#pragma GCC unroll 7
  for (size_t first = 0; together != TWICE && first < pairs; first += 2 * together) {
    const size_t middle = first + together < pairs ? first + together : pairs;
    const size_t stop = middle + together < pairs ? middle + together : pairs;
    widen(total, add_taps(columns, weights, first, middle, side), add_taps(columns, weights, middle, stop, side));
  }
}

/* For pixels of which a sum has left the accumulator's range, or results wrap. */
RE2NA_AVX2 static uint64_t finish_plainly(const __m256i total[QUARTERS], int8_t *to, size_t count,
                                          const re2na_cut *how) {
  int32_t sums[RE2NA_CHANNELS];
  for (int i = 0; i < QUARTERS; i++) put_quarter(sums, total[i], i);
  return re2na_finish_line(sums, to, count, how);
}

/* A block of `count` channels of a strip whose columns are there. */
typedef struct block {
  const uint8_t *columns;
  const int8_t *weights;
  const int32_t *start;
  int8_t *to;
  size_t count;
} block;

RE2NA_AVX2_INLINE __m256i results(const __m256i total[QUARTERS], const __m256i lsb[QUARTERS], const re2na_ways *by) {
  return re2na_bytes_of(_mm256_srav_epi32(total[0], lsb[0]), _mm256_srav_epi32(total[1], lsb[1]),
                        _mm256_srav_epi32(total[2], lsb[2]), _mm256_srav_epi32(total[3], lsb[3]), by);
}

RE2NA_AVX2_INLINE uint64_t form_pixels(const re2na_strip *of, const block *at, const re2na_cut *how, const size_t side,
                                       const size_t together) {
  const re2na_ways by = re2na_ways_of(how);
  const size_t step = of->stride * planes_of(side) * PLANE;
  __m256i start[QUARTERS], lsb[QUARTERS], total[QUARTERS];
  uint64_t outside = 0;
  for (int i = 0; i < QUARTERS; i++) {
    start[i] = quarter_of(at->start, i);
    lsb[i] = how->lsbs ? quarter_of(how->lsbs, i) : _mm256_set1_epi32(how->lsb);
  }
  for (size_t p = 0; p < of->pixels; p++) {
    int8_t *to = at->to + (int64_t)p * of->to_step;
#pragma GCC unroll 4
    for (int i = 0; i < QUARTERS; i++) total[i] = start[i];
    sum_pixel(total, at->columns + p * step, at->weights, side, together);
    if (!re2na_all_within(total, &by, QUARTERS)) {
      outside += finish_plainly(total, to, at->count, how);
    } else if (at->count == RE2NA_CHANNELS) {
      _mm256_storeu_si256((__m256i *)to, results(total, lsb, &by));
    } else {
      int8_t bytes[RE2NA_CHANNELS];
      _mm256_storeu_si256((__m256i *)bytes, results(total, lsb, &by));
      re2na_put_some(to, bytes, at->count);
    }
  }
  return outside;
}

/* One for each number of pairs that pack_taps.c tries, and for weights in halves. */
#define FORM(side, together)                                                                                          \
  RE2NA_AVX2 static uint64_t form_##side##_##together(const re2na_strip *of, const block *at, const re2na_cut *how) { \
    return form_pixels(of, at, how, side, together);                                                                  \
  }
FORM(3, TWICE)
FORM(3, 1)
FORM(3, 2)
FORM(3, 3)
FORM(3, 5)
FORM(5, TWICE)
FORM(5, 1)
FORM(5, 2)
FORM(5, 3)
FORM(5, 4)
FORM(5, 5)
FORM(5, 7)
FORM(5, 13)

RE2NA_AVX2 static uint64_t form_3(const re2na_strip *of, const block *at, const re2na_cut *how) {
  switch (of->together) {
    case 5: return form_3_5(of, at, how);
    case 3: return form_3_3(of, at, how);
    case 2: return form_3_2(of, at, how);
    case 1: return form_3_1(of, at, how);
    default: return form_3_TWICE(of, at, how);
  }
}

RE2NA_AVX2 static uint64_t form_5(const re2na_strip *of, const block *at, const re2na_cut *how) {
  switch (of->together) {
    case 13: return form_5_13(of, at, how);
    case 7: return form_5_7(of, at, how);
    case 5: return form_5_5(of, at, how);
    case 4: return form_5_4(of, at, how);
    case 3: return form_5_3(of, at, how);
    case 2: return form_5_2(of, at, how);
    case 1: return form_5_1(of, at, how);
    default: return form_5_TWICE(of, at, how);
  }
}

RE2NA_AVX2 uint64_t re2na_avx2_strip(const re2na_strip *of, const re2na_cut *how, uint8_t *room) {
  uint64_t outside = 0;
  for (size_t first = 0; first < of->channels; first += RE2NA_CHANNELS) {
    const size_t left = of->channels - first;
    const block at = {room, of->weights + first * 2 * of->pairs, of->start + first, of->to + first,
                      left < RE2NA_CHANNELS ? left : RE2NA_CHANNELS};
    re2na_cut cut = *how;
    if (how->lsbs) cut.lsbs += first;
    if (of->side == 3) {
      put_columns(of, first, room, 3);
      outside += form_3(of, &at, &cut);
    } else {
      put_columns(of, first, room, 5);
      outside += form_5(of, &at, &cut);
    }
  }
  return outside;
}

#endif
