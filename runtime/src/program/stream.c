#include "program/stream.h"

#include <string.h>

enum {
  GOLOMB = 1, /* weight_coding */
  MAGNITUDES = 129,
  ESCAPE = 7,    /* ones before a number as it is */
  RAW_BITS = 8,  /* of that */
  MOST_KEPT = 7, /* low bits */
  MOST_PARAMETER = 15,
  HUFFMAN_BITS = 11, /* of a word, at most */
  WINDOW = 16,       /* bits in which every word lies, with its sign */
};

/* A word's magnitude, and its bits without the sign; 0: no word begins so. */
typedef struct word {
  uint8_t magnitude, bits;
} word;

typedef struct book {
  bool is_golomb;
  unsigned parameter;
  word words[1 << HUFFMAN_BITS]; /* by the first bits of the window */
} book;

/* Bits that were taken and not used yet, the next one highest. */
typedef struct lane {
  uint32_t bits, count;
} lane;

/* ---- the code ---- */

/* Canonical words for lengths that stand in nibbles. */
static const char *read_lengths(book *to, const uint8_t *nibbles, unsigned count) {
  uint32_t next = 0; /* word of HUFFMAN_BITS bits */
  memset(to->words, 0, sizeof to->words);
  for (unsigned bits = 1; bits <= HUFFMAN_BITS; bits++)
    for (unsigned magnitude = 0; magnitude < count; magnitude++) {
      const uint32_t covered = UINT32_C(1) << (HUFFMAN_BITS - bits);
      if ((nibbles[magnitude / 2] >> (magnitude % 2 * 4) & 15) != bits) continue;
      if (next + covered > UINT32_C(1) << HUFFMAN_BITS) return "its words are more than there are bits for";
      for (uint32_t i = 0; i < covered; i++) to->words[next + i] = (word){(uint8_t)magnitude, (uint8_t)bits};
      next += covered;
    }
  for (unsigned magnitude = 0; magnitude < count; magnitude++)
    if ((nibbles[magnitude / 2] >> (magnitude % 2 * 4) & 15) > HUFFMAN_BITS) return "a word of it is too long";
  return NULL;
}

/* The code's parameters at `*at`, which goes on behind them. */
static const char *read_book(const re2na_arch *arch, book *to, const uint8_t **at, const uint8_t *stop) {
  const char *wrong;
  if (*at == stop) return "it ends before its code";
  const unsigned parameter = *(*at)++;
  to->is_golomb = arch->weight_coding == GOLOMB;
  to->parameter = parameter;
  if (to->is_golomb) return parameter > MOST_PARAMETER ? "its code has a number above 15" : NULL;
  if (parameter > MAGNITUDES) return "its code has more than 129 magnitudes";
  if ((parameter + 1) / 2 > (uint64_t)(stop - *at)) return "it ends before its code";
  wrong = read_lengths(to, *at, parameter);
  *at += (parameter + 1) / 2;
  return wrong;
}

/* Where zeros are frequent, the first bit says whether there is another number than 0, which is less by 1 then. */
static inline word golomb_word(unsigned parameter, uint32_t window) {
  const uint32_t kept = parameter & MOST_KEPT, zeros = parameter > MOST_KEPT;
  uint32_t ones = zeros, bits = ESCAPE + RAW_BITS, number;
  if (zeros && !(window >> (WINDOW - 1))) return (word){0, 1};
  while (ones < ESCAPE && window >> (WINDOW - 1 - ones) & 1) ones++;
  if (ones == ESCAPE) {
    number = window >> (WINDOW - bits) & ((1U << RAW_BITS) - 1);
    if (number >> kept < ESCAPE - zeros) bits = 0; /* its word is another one */
  } else {
    bits = ones + 1 + kept;
    number = (ones - zeros) << kept | (window >> (WINDOW - bits) & ((1U << kept) - 1));
  }
  number += zeros;
  return number < MAGNITUDES ? (word){(uint8_t)number, (uint8_t)bits} : (word){0, 0};
}

/* The word that begins the window. What is not known of the window is zeros: a word that reaches there is none yet. */
static inline word find_word(const book *of, uint32_t window) {
  return of->is_golomb ? golomb_word(of->parameter, window) : of->words[window >> (WINDOW - HUFFMAN_BITS)];
}

/* ---- the stream ---- */

static const char *decode_values(const book *with, uint64_t lanes, const uint8_t *at, const uint8_t *stop, uint8_t *to,
                                 uint64_t count) {
  lane all[RE2NA_MOST_LANES] = {{0, 0}};
  uint64_t turn = 0;
  for (uint64_t i = 0; i < count; i++) {
    lane *mine = &all[turn];
    word found;
    uint32_t needed;
    turn = turn + 1 == lanes ? 0 : turn + 1;
    for (;;) {
      found = find_word(with, mine->bits >> WINDOW);
      needed = found.bits + (found.magnitude ? 1U : 0U);
      if (found.bits && needed <= mine->count) break;
      if (mine->count >= WINDOW) return "no word of its code begins so";
      if (at == stop) return "it ends before its last value";
      mine->bits |= (uint32_t)*at++ << (32 - 8 - mine->count);
      mine->count += 8;
    }
    const bool negative = found.magnitude && (mine->bits << found.bits) >> 31;
    to[i] = (uint8_t)(negative ? -(int)found.magnitude : (int)found.magnitude);
    mine->bits <<= needed;
    mine->count -= needed;
  }
  return at == stop ? NULL : "it is longer than its values";
}

const char *re2na_decode_stream(const re2na_arch *arch, const uint8_t *stream, uint64_t size, uint8_t *to,
                                uint64_t bytes) {
  const uint8_t *at = stream, *stop = stream + size;
  const char *wrong;
  uint64_t plain;
  book with;
  if (size < 2) return "it ends before its plain bytes are counted";
  plain = (uint64_t)at[0] | (uint64_t)at[1] << 8;
  at += 2;
  wrong = read_book(arch, &with, &at, stop);
  if (wrong) return wrong;
  if (plain > bytes) return "it has more plain bytes than are wanted";
  if (plain > (uint64_t)(stop - at)) return "it ends before its plain bytes do";
  memcpy(to, at, (size_t)plain);
  return decode_values(&with, (uint64_t)arch->decoder_bytes_per_cycle, at + plain, stop, to + plain, bytes - plain);
}
