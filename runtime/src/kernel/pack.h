/* Weights as the kernels want them: quads of k for blocks of outputs, or pairs of taps for blocks of channels. */
#ifndef RE2NA_PACK_H
#define RE2NA_PACK_H

#include "kernel/kernel.h"

enum {
  RE2NA_SIGNED = 255, /* bound of inputs that may be negative */
  RE2NA_ABSENT = -1   /* a tap that is not there */
};

/* Quads of k whose products surely fit 32 bits: a multiple of RE2NA_CHUNK, below RE2NA_NARROW_K steps. */
enum { RE2NA_WIDE_QUADS = 16272 };

/* At each weight of a depthwise convolution while it is packed, at most: its taps have less than 2^16. */
enum { RE2NA_PAIR_LOOKS = 32 };

/* The weights of a CONV, as they lie in a program, and what is known of it. */
typedef struct re2na_weights {
  const int8_t *lines; /* `steps` lines of `outputs` bytes */
  const uint8_t *bias; /* int32 little-endian; not read where sums go on from others */
  const uint8_t *mask; /* bitmap of the steps of k that have a line; not read where steps = k */
  int64_t k, steps;    /* of a group */
  int64_t outputs, groups;
  bool begins;    /* sums start from the biases */
  bool depthwise; /* one input and one output channel in each group */
  uint8_t bound;  /* largest input, or RE2NA_SIGNED */
  uint8_t side;   /* of a depthwise kernel that can be formed by rows (re2na_depthwise_strip), or 0 */
} re2na_weights;

/* The steps of k that are packed: all, unless those with a line of weights are so few that lines of inputs would be
 * much longer than need be. Absent ones have weights of 0; a quad of which all are absent has no vector. */
static inline int64_t re2na_packed_steps(int64_t k, int64_t steps) { return k / 16 <= steps + 256 ? k : steps; }

/* Quads with a vector, at most. */
static inline int64_t re2na_packed_quads(int64_t k, int64_t steps) {
  const int64_t quads = (re2na_packed_steps(k, steps) + RE2NA_QUAD - 1) / RE2NA_QUAD;
  return quads < steps ? quads : steps;
}

/* The weights of a block of RE2NA_LANES outputs of a group, and of a chunk of k. */
typedef struct re2na_piece {
  uint32_t first;             /* quad of k */
  uint32_t block;             /* of outputs */
  uint32_t together, grouped; /* vectors that are added in int16, so many at a time; a multiple */
  uint32_t singles;           /* vectors behind them, each by itself */
  bool begins, ends;          /* the block's sums */
  uint64_t vector;            /* the first */
} re2na_piece;

typedef struct re2na_packed {
  re2na_weights of;
  int64_t lines;       /* steps that are packed */
  uint32_t *present;   /* which; NULL: all */
  uint32_t *lines_of;  /* which line of weights each has, or RE2NA_ABSENT; NULL: they are the same */
  bool wide;           /* a sum may not fit 32 bits */
  uint8_t offset;      /* added to every input */
  uint32_t line_bytes; /* of a line of inputs that the pieces read, a multiple of QUAD */
  /* Per output, rounded up to whole blocks: the bias, less what the offset adds; 0 where sums are wide. */
  int32_t *start;
  int64_t *wide_start; /* the same, of the outputs, wide or not */
  re2na_piece *pieces; /* group after group, each in the order of k */
  uint32_t pieces_in_group;
  int32_t *taps;            /* depthwise: two per pair, as indices into the lines */
  uint32_t pairs, together; /* depthwise: pairs of taps, and those that may be added in int16 */
  bool twice;               /* depthwise: weights in two halves, those of all pairs one after the other */
  int8_t *vectors;
  uint32_t *places; /* of each vector, unless depthwise: where its quad lies in its chunk of a line, in bytes */
  uint64_t vector_count;
} re2na_packed;

/* Pack for a kernel. False where the host has no memory; free it in any case. */
bool re2na_pack(re2na_packed *made, const re2na_weights *of, const re2na_loops *with);

/* Where the weights are not known before a run: what they can take at most, memory for it, and packing without an
 * allocation. */
void re2na_pack_form(re2na_packed *made, const re2na_weights *of, const re2na_loops *with);
bool re2na_pack_reserve(re2na_packed *made, const re2na_weights *of, const re2na_loops *with);
void re2na_pack_again(re2na_packed *made, const re2na_weights *of, const re2na_loops *with);
void re2na_pack_free(re2na_packed *made);
/* What packing takes at most, buffers included. */
uint64_t re2na_pack_bytes(const re2na_weights *of, const re2na_loops *with);

/* present.c: lists the steps of k that have a line of weights, in their order, and returns how many they are. Whatever
 * the bitmap holds, there are at most `steps`, each below k. */
int64_t re2na_list_present(const uint8_t *mask, int64_t k, int64_t steps, uint32_t *present);

#endif
