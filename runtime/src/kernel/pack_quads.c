/* Weights of blocks of outputs, a quad of k after the other, in an order in which many products may be added in int16
 * before they are widened. */
#include <string.h>

#include "kernel/pack_parts.h"

enum {
  LARGEST = RE2NA_MOST_TOGETHER,
  SUMS = 2 * RE2NA_LANES, /* int16 sums of a vector: two for each lane */
  MOST = 2 * RE2NA_CHUNK, /* vectors of a chunk: quads of large weights take two */
  SIZES = 2 * 128 + 1,    /* two weights of -128 */
  NOTHING = UINT16_MAX    /* a vector of zeros, to fill a group */
};

static const uint32_t GROUPS[] = {2, 3, 4, 6, 8, LARGEST};

/* How far an int16 sum can go up and down from zero, per unit of the input. */
typedef struct reach {
  uint16_t up[SUMS], down[SUMS];
} reach;

/* A block of outputs and a chunk of k. */
typedef struct place {
  int64_t output, outputs; /* of all groups; at most LANES */
  uint32_t block, first, quads;
} place;

/* What a chunk's vectors are made of: its quads, less those that are all zeros. */
typedef struct vector_list {
  uint32_t count;
  struct {
    uint16_t quad;
    re2na_part which;
  } of[MOST];
  reach reaches[MOST];
  uint16_t sizes[MOST]; /* the largest number of a reach */
} vector_list;

/* An order of vectors: groups of `together`, which may hold NOTHING, then those that are widened one by one. */
typedef struct arrangement {
  uint32_t together, grouped, singles;
  uint16_t order[MOST + LARGEST];
} arrangement;

/* The line of weights of a packed step; zeros where it is absent, or behind the last. */
static const int8_t *line_of(const re2na_packed *made, const place *at, int64_t step) {
  static const int8_t nothing[RE2NA_LANES];
  const int64_t line = step >= made->lines ? made->of.steps : made->lines_of ? made->lines_of[step] : step;
  return line < made->of.steps ? made->of.lines + line * made->of.outputs + at->output : nothing;
}

/* The quad's weights, lane by lane. */
static void read_quad(const re2na_packed *made, const place *at, uint32_t quad, int8_t *to) {
  const int64_t step = ((int64_t)at->first + quad) * RE2NA_QUAD;
  const int8_t *a = line_of(made, at, step), *b = line_of(made, at, step + 1);
  const int8_t *c = line_of(made, at, step + 2), *d = line_of(made, at, step + 3);
  memset(to, 0, RE2NA_VECTOR);
  for (int64_t lane = 0; lane < at->outputs; lane++, to += RE2NA_QUAD) {
    to[0] = a[lane];
    to[1] = b[lane];
    to[2] = c[lane];
    to[3] = d[lane];
  }
}

/* Returns the largest number of the reach. */
RE2NA_CLONES
static uint16_t measure(const int8_t *restrict vector, reach *restrict of) {
  uint16_t most = 0;
  for (int i = 0; i < SUMS; i++) {
    const int16_t a = vector[2 * i], b = vector[2 * i + 1];
    const int16_t up = (int16_t)((a > 0 ? a : 0) + (b > 0 ? b : 0)), down = (int16_t)(up - a - b);
    of->up[i] = (uint16_t)up;
    of->down[i] = (uint16_t)down;
    most = of->up[i] > most ? of->up[i] : most;
    most = of->down[i] > most ? of->down[i] : most;
  }
  return most;
}

/* Whether the sums of some vectors fit int16. */
RE2NA_CLONES
static bool all_fit(const reach *reaches, const uint16_t *which, uint32_t count, uint32_t bound) {
  uint16_t up[SUMS] = {0}, down[SUMS] = {0}, most_up = 0, most_down = 0; /* at most LARGEST * 2 * 128 */
  for (uint32_t n = 0; n < count; n++) {
    const reach *of = &reaches[which[n]];
    for (int i = 0; i < SUMS; i++) {
      up[i] = (uint16_t)(up[i] + of->up[i]);
      down[i] = (uint16_t)(down[i] + of->down[i]);
    }
  }
  for (int i = 0; i < SUMS; i++) {
    most_up = up[i] > most_up ? up[i] : most_up;
    most_down = down[i] > most_down ? down[i] : most_down;
  }
  return re2na_fits_int16(most_up, most_down, bound);
}

static void append(vector_list *to, const int8_t *vector, uint32_t quad, re2na_part which) {
  to->sizes[to->count] = measure(vector, &to->reaches[to->count]);
  to->of[to->count].quad = (uint16_t)quad;
  to->of[to->count].which = which;
  if (to->sizes[to->count]) to->count++;
}

static void take_part(const int8_t *vector, re2na_part which, int8_t *to) {
  for (int i = 0; i < RE2NA_VECTOR; i++) to[i] = re2na_part_of(vector[i], which);
}

static void list_vectors(vector_list *to, const re2na_packed *made, const place *at, bool narrow) {
  const uint16_t self = 0;
  int8_t vector[RE2NA_VECTOR], part[RE2NA_VECTOR];
  to->count = 0;
  for (uint32_t quad = 0; quad < at->quads; quad++) {
    const uint32_t before = to->count;
    read_quad(made, at, quad, vector);
    append(to, vector, quad, RE2NA_WHOLE);
    if (!narrow || to->count == before || all_fit(&to->reaches[before], &self, 1, made->of.bound)) continue;
    to->count = before;
    for (re2na_part which = RE2NA_HALF; which <= RE2NA_REST; which++) { /* of at most 64 each: every pair fits */
      take_part(vector, which, part);
      append(to, part, quad, which);
    }
  }
}

/* The vectors from large to small. */
static void sort(const vector_list *of, uint16_t *to) {
  uint16_t first[SIZES + 1] = {0};
  for (uint32_t n = 0; n < of->count; n++) first[SIZES - of->sizes[n]]++;
  for (int i = 1; i <= SIZES; i++) first[i] = (uint16_t)(first[i] + first[i - 1]);
  for (uint32_t n = of->count; n-- > 0;) to[--first[SIZES - of->sizes[n]]] = (uint16_t)n;
}

/* Instructions for a vector: two multiplications; two additions in int16 but for a group's first; two of each to
 * widen. In halves of that. */
static uint32_t cost_of(const arrangement *of) {
  return 2 * of->grouped + of->grouped / of->together + 3 * of->singles;
}

/* Groups of one large and otherwise small vectors, as long as they fit; false where that costs `least` or more. */
static bool arrange(arrangement *to, const vector_list *of, const uint16_t *sorted, uint32_t together, uint32_t bound,
                    uint32_t least) {
  uint16_t singles[MOST];
  uint32_t low = 0, high = of->count;
  *to = (arrangement){.together = together};
  while (low < high) {
    const uint32_t left = high - low, taken = left < together ? left : together;
    uint16_t *group = &to->order[to->grouped];
    group[0] = sorted[low];
    for (uint32_t n = 1; n < taken; n++) group[n] = sorted[high - n];
    if (2 * together + 1 < 3 * taken && all_fit(of->reaches, group, taken, bound)) {
      for (uint32_t n = taken; n < together; n++) group[n] = NOTHING;
      to->grouped += together;
      high -= taken - 1;
    } else {
      singles[to->singles++] = sorted[low];
    }
    low++;
    if (cost_of(to) >= least) return false;
  }
  memcpy(&to->order[to->grouped], singles, to->singles * sizeof *singles);
  return true;
}

/* All one after the other, as they come. */
static void leave(arrangement *to, uint32_t count) {
  *to = (arrangement){.together = 1, .singles = count};
  for (uint32_t n = 0; n < count; n++) to->order[n] = (uint16_t)n;
}

/* The order of fewest instructions. */
static void choose(arrangement *best, const vector_list *of, uint32_t bound) {
  uint16_t sorted[MOST];
  arrangement other;
  sort(of, sorted);
  leave(best, of->count);
  for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; i++)
    if (arrange(&other, of, sorted, GROUPS[i], bound, cost_of(best))) *best = other;
}

static void put_vectors(re2na_packed *made, const place *at, const vector_list *of, const arrangement *by) {
  for (uint32_t n = 0; n < by->grouped + by->singles; n++) {
    const uint64_t index = made->vector_count + n;
    const uint16_t which = by->order[n];
    int8_t *to = made->vectors + index * RE2NA_VECTOR;
    made->places[index] = which == NOTHING ? 0 : of->of[which].quad * RE2NA_QUAD;
    if (which == NOTHING) {
      memset(to, 0, RE2NA_VECTOR);
    } else {
      read_quad(made, at, of->of[which].quad, to);
      take_part(to, of->of[which].which, to);
    }
  }
}

static re2na_piece pack_place(re2na_packed *made, const place *at, const re2na_loops *with) {
  vector_list list;
  arrangement by;
  list_vectors(&list, made, at, with->narrow_quads);
  if (with->narrow_quads) choose(&by, &list, made->of.bound);
  else leave(&by, list.count);
  put_vectors(made, at, &list, &by);
  const re2na_piece piece = {
      .first = at->first,
      .block = at->block,
      .together = by.together,
      .grouped = by.grouped,
      .singles = by.singles,
      .begins = at->first == 0,
      .ends = (at->first + at->quads) * RE2NA_QUAD >= made->lines,
      .vector = made->vector_count,
  };
  made->vector_count += by.grouped + by.singles;
  return piece;
}

void re2na_pack_quads(re2na_packed *made, const re2na_loops *with) {
  const int64_t outputs = made->of.outputs / made->of.groups;
  const uint32_t quads = (uint32_t)re2na_ceil((uint64_t)made->lines, RE2NA_QUAD);
  re2na_piece *to = made->pieces;
  made->vector_count = 0;
  made->line_bytes = quads * RE2NA_QUAD;
  for (int64_t group = 0; group < made->of.groups; group++) {
    uint32_t first = 0;
    do {
      for (int64_t output = 0; output < outputs; output += RE2NA_LANES) {
        const int64_t left = outputs - output;
        const place at = {group * outputs + output, left < RE2NA_LANES ? left : RE2NA_LANES,
                          (uint32_t)(output / RE2NA_LANES), first,
                          quads - first < RE2NA_CHUNK ? quads - first : RE2NA_CHUNK};
        *to++ = pack_place(made, &at, with);
      }
      first += RE2NA_CHUNK;
    } while (first < quads);
    made->pieces_in_group = (uint32_t)((to - made->pieces) / (group + 1));
  }
}
