/* Weights of depthwise convolutions: pairs of taps for blocks of channels. */
#include <string.h>

#include "kernel/pack_parts.h"

static int8_t tap_weight(const re2na_packed *made, uint32_t tap, int64_t channel, re2na_part which) {
  return made->taps[tap] == RE2NA_ABSENT ? 0 : re2na_part_of(re2na_pack_weight(made, made->taps[tap], channel), which);
}

static bool pairs_fit(const re2na_packed *made, uint32_t together) {
  for (int64_t channel = 0; channel < made->of.outputs; channel++)
    for (uint32_t first = 0; first < made->pairs; first += together) {
      uint32_t up = 0, down = 0;
      for (uint32_t tap = 2 * first; tap < 2 * (first + together) && tap < 2 * made->pairs; tap++) {
        const int weight = tap_weight(made, tap, channel, RE2NA_WHOLE);
        if (weight > 0) up += (uint32_t)weight;
        else down += (uint32_t)-weight;
      }
      if (!re2na_fits_int16(up, down, made->of.bound)) return false;
    }
  return true;
}

/* Pairs in each of as few runs as fit, or nearly: numbers of runs are tried that soon grow by half (RE2NA_PAIR_LOOKS).
 * 0 where not even one pair fits. */
static uint32_t most_together(const re2na_packed *made) {
  uint32_t together = made->pairs ? made->pairs : 1;
  for (uint32_t runs = 1; !pairs_fit(made, together); together = (uint32_t)re2na_ceil(made->pairs, runs)) {
    if (together == 1) return 0;
    runs += runs < 4 ? 1 : runs / 2;
  }
  return together;
}

static void fill_pairs(re2na_packed *made, uint32_t first, uint32_t stop, re2na_part which) {
  const int64_t blocks = (int64_t)re2na_ceil((uint64_t)made->of.outputs, RE2NA_CHANNELS);
  for (int64_t block = 0; block < blocks; block++)
    for (uint32_t pair = first; pair < stop; pair++)
      for (uint32_t c = 0; c < RE2NA_CHANNELS; c++)
        for (uint32_t i = 0; i < 2; i++) {
          const int64_t channel = block * RE2NA_CHANNELS + c;
          made->vectors[((block * made->pairs + pair) * RE2NA_CHANNELS + re2na_channel_place(c)) * 2 + i] =
              channel < made->of.outputs ? tap_weight(made, 2 * pair + i, channel, which) : 0;
        }
}

/* Pairs of a kernel that is formed by rows, in the order of re2na_depthwise_strip: the taps of two rows, column after
 * column, and those of the last row side by side. */
static void pair_rows(re2na_packed *made, int32_t side) {
  int32_t *tap = made->taps, row = 0;
  for (; row + 1 < side; row += 2)
    for (int32_t x = 0; x < side; x++) {
      *tap++ = row * side + x;
      *tap++ = (row + 1) * side + x;
    }
  for (int32_t x = 0; x + 1 < side; x++) *tap++ = row * side + x;
  *tap++ = RE2NA_ABSENT;
  *tap++ = row * side + side - 1;
}

/* `twice`: large weights in two halves, one after the other. */
static void pair_taps(re2na_packed *made, bool twice) {
  const uint32_t pairs = (uint32_t)re2na_ceil((uint64_t)made->lines, 2);
  made->pairs = twice ? 2 * pairs : pairs;
  for (uint32_t tap = 0; tap < 2 * pairs; tap++) made->taps[tap] = tap < made->lines ? (int32_t)tap : RE2NA_ABSENT;
  if (made->of.side) pair_rows(made, made->of.side);
  if (twice) memcpy(made->taps + 2 * pairs, made->taps, 2 * pairs * sizeof *made->taps);
}

void re2na_pack_taps(re2na_packed *made, const re2na_loops *with) {
  pair_taps(made, false);
  made->together = with->narrow_pairs ? most_together(made) : made->pairs ? made->pairs : 1;
  made->twice = !made->together;
  if (!made->twice) {
    fill_pairs(made, 0, made->pairs, RE2NA_WHOLE);
  } else {
    pair_taps(made, true);
    made->together = 1;
    fill_pairs(made, 0, made->pairs / 2, RE2NA_HALF);
    fill_pairs(made, made->pairs / 2, made->pairs, RE2NA_REST);
  }
}
