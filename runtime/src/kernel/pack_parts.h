/* What the files share that pack weights. */
#ifndef RE2NA_PACK_PARTS_H
#define RE2NA_PACK_PARTS_H

#include "kernel/pack.h"

enum {
  RE2NA_CHUNK = 144,       /* quads: their vectors and a few lines of inputs fit the first cache */
  RE2NA_MOST_TOGETHER = 16 /* vectors whose products are added in int16 */
};

/* Large weights are taken in two halves. */
typedef enum re2na_part { RE2NA_WHOLE, RE2NA_HALF, RE2NA_REST } re2na_part;

static inline int8_t re2na_part_of(int8_t weight, re2na_part which) {
  const int half = weight / 2;
  return (int8_t)(which == RE2NA_WHOLE ? weight : which == RE2NA_HALF ? half : weight - half);
}

/* Whether a sum of products fits int16, which can go so far up and down per unit of the input. */
static inline bool re2na_fits_int16(uint32_t up, uint32_t down, uint32_t bound) {
  return bound * up <= INT16_MAX && bound * down <= -INT16_MIN;
}

/* The weight of a packed step; 0 if it is absent. */
static inline int8_t re2na_pack_weight(const re2na_packed *made, int64_t step, int64_t output) {
  const int64_t line = made->lines_of ? made->lines_of[step] : step;
  return line < made->of.steps ? made->of.lines[line * made->of.outputs + output] : 0;
}

/* pack_quads.c, pack_taps.c: everything that depends on the weights' order. */
void re2na_pack_quads(re2na_packed *made, const re2na_loops *with);
void re2na_pack_taps(re2na_packed *made, const re2na_loops *with);

#endif
