/* Packing weights, and the choice of how many products may be added in int16. */
#include "kernel/pack.h"

#include <stdlib.h>
#include <string.h>

enum {
  CHUNK = 144, /* quads: their vectors and a few lines of inputs fit the first cache; a multiple of every group */
  LARGEST = 16,
  SUMS = 2 * RE2NA_LANES /* int16 sums of a vector: two for each lane */
};

static const uint32_t GROUPS[] = {16, 8, 6, 4, 3, 2, 1};

static int8_t weight_at(const re2na_weights *of, int64_t line, int64_t output) {
  return of->lines[line * of->outputs + output];
}

/* Large weights are taken in two halves. */
typedef enum part { WHOLE, HALF, REST } part;

static int8_t part_of(int8_t weight, part which) {
  const int half = weight / 2;
  return (int8_t)(which == WHOLE ? weight : which == HALF ? half : weight - half);
}

/* How far an int16 sum can go up and down from zero, per unit of the input. */
typedef struct reach {
  uint16_t up[SUMS], down[SUMS];
} reach;

static bool fits(uint32_t up, uint32_t down, uint32_t bound) {
  return bound * up <= INT16_MAX && bound * down <= -INT16_MIN;
}

RE2NA_CLONES
static bool all_fit(const reach *quads, uint32_t count, uint32_t together, uint32_t bound) {
  uint16_t most_up = 0, most_down = 0; /* at most LARGEST * 2 * 128 */
  for (uint32_t first = 0; first < count; first += together) {
    const uint32_t stop = first + together < count ? first + together : count;
    uint16_t up[SUMS] = {0}, down[SUMS] = {0};
    for (uint32_t quad = first; quad < stop; quad++)
      for (int i = 0; i < SUMS; i++) {
        up[i] = (uint16_t)(up[i] + quads[quad].up[i]);
        down[i] = (uint16_t)(down[i] + quads[quad].down[i]);
      }
    for (int i = 0; i < SUMS; i++) {
      most_up = up[i] > most_up ? up[i] : most_up;
      most_down = down[i] > most_down ? down[i] : most_down;
    }
  }
  return fits(most_up, most_down, bound);
}

/* The group that takes the fewest instructions: two for each vector, padding included, and one for each widening. 0: no
 * group does. */
static uint32_t choose_group(const reach *quads, uint32_t count, uint32_t bound) {
  uint32_t best = 0, least = UINT32_MAX;
  for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; i++) {
    const uint32_t widenings = (uint32_t)re2na_ceil(count, GROUPS[i]), cost = 2 * widenings * GROUPS[i] + widenings;
    if (cost < least && all_fit(quads, count, GROUPS[i], bound)) {
      best = GROUPS[i];
      least = cost;
    }
  }
  return best;
}

/* A block of outputs and a chunk of k. */
typedef struct place {
  int64_t output, outputs; /* of all groups; at most LANES */
  uint32_t block, first, quads;
} place;

/* The four lines of weights of a quad; zeros behind the last. */
typedef struct quad_lines {
  const int8_t *line[RE2NA_QUAD];
} quad_lines;

static quad_lines lines_of(const re2na_packed *made, const place *at, uint32_t quad) {
  static const int8_t nothing[RE2NA_LANES];
  const int64_t first = ((int64_t)at->first + quad) * RE2NA_QUAD;
  quad_lines found;
  for (int64_t i = 0; i < RE2NA_QUAD; i++)
    found.line[i] = first + i < made->lines ? made->of.lines + (first + i) * made->of.outputs + at->output : nothing;
  return found;
}

static void measure(const re2na_packed *made, const place *at, reach *quads) {
  memset(quads, 0, at->quads * sizeof *quads);
  for (uint32_t quad = 0; quad < at->quads; quad++) {
    const quad_lines of = lines_of(made, at, quad);
    for (int64_t lane = 0; lane < at->outputs; lane++)
      for (int i = 0; i < RE2NA_QUAD; i++) {
        const int weight = of.line[i][lane];
        uint16_t *way = weight > 0 ? quads[quad].up : quads[quad].down;
        way[2 * lane + i / 2] = (uint16_t)(way[2 * lane + i / 2] + abs(weight));
      }
  }
}

static void fill(re2na_packed *made, const place *at, uint32_t quads, part which) {
  int8_t *to = made->vectors + made->vector_bytes;
  memset(to, 0, (size_t)quads * RE2NA_VECTOR);
  for (uint32_t quad = 0; quad < at->quads; quad++, to += RE2NA_VECTOR) {
    const quad_lines of = lines_of(made, at, quad);
    for (int64_t lane = 0; lane < at->outputs; lane++)
      for (int i = 0; i < RE2NA_QUAD; i++)
        to[lane * RE2NA_QUAD + i] = which == WHOLE ? of.line[i][lane] : part_of(of.line[i][lane], which);
  }
}

static void add_piece(re2na_packed *made, uint32_t *count, const place *at, uint32_t together, part which) {
  const uint32_t quads = (uint32_t)re2na_round_up(at->quads, together), read = (at->first + quads) * RE2NA_QUAD;
  made->pieces[(*count)++] =
      (re2na_piece){at->first, quads, at->block, together, !at->first && which != REST, made->vector_bytes};
  if (made->vectors) fill(made, at, quads, which);
  made->vector_bytes += (uint64_t)quads * RE2NA_VECTOR;
  if (read > made->line_bytes) made->line_bytes = read;
}

static void add_place(re2na_packed *made, uint32_t *count, const place *at, const re2na_loops *with) {
  reach quads[CHUNK];
  uint32_t together = 1;
  if (with->narrow_quads) {
    measure(made, at, quads);
    together = choose_group(quads, at->quads, made->of.bound);
  }
  if (together) {
    add_piece(made, count, at, together, WHOLE);
  } else { /* two halves of at most 64 each: every pair of them fits */
    add_piece(made, count, at, 1, HALF);
    add_piece(made, count, at, 1, REST);
  }
}

/* Groups have the same number of pieces: `pieces_in_group`, those that are not needed being empty. */
static void pack_blocks(re2na_packed *made, const re2na_loops *with) {
  const int64_t outputs = made->of.outputs / made->of.groups;
  const uint32_t quads = (uint32_t)re2na_ceil((uint64_t)made->lines, RE2NA_QUAD);
  made->vector_bytes = 0;
  made->line_bytes = 0;
  for (int64_t group = 0; group < made->of.groups; group++) {
    uint32_t count = (uint32_t)group * made->pieces_in_group;
    const uint32_t stop = count + made->pieces_in_group;
    for (uint32_t first = 0; first < quads; first += CHUNK)
      for (int64_t output = 0; output < outputs; output += RE2NA_LANES) {
        const int64_t left = outputs - output;
        const place at = {group * outputs + output, left < RE2NA_LANES ? left : RE2NA_LANES,
                          (uint32_t)(output / RE2NA_LANES), first, quads - first < CHUNK ? quads - first : CHUNK};
        add_place(made, &count, &at, with);
      }
    for (; count < stop; count++) made->pieces[count] = (re2na_piece){0, 0, 0, 1, false, 0};
  }
}

/* ---- depthwise ---- */

static int8_t tap_weight(const re2na_packed *made, uint32_t tap, int64_t channel, part which) {
  return made->taps[tap] == RE2NA_ABSENT ? 0 : part_of(weight_at(&made->of, made->taps[tap], channel), which);
}

static bool pairs_fit(const re2na_packed *made, uint32_t together) {
  for (int64_t channel = 0; channel < made->of.outputs; channel++)
    for (uint32_t first = 0; first < made->pairs; first += together) {
      uint32_t up = 0, down = 0;
      for (uint32_t tap = 2 * first; tap < 2 * (first + together) && tap < 2 * made->pairs; tap++) {
        const int weight = tap_weight(made, tap, channel, WHOLE);
        if (weight > 0) up += (uint32_t)weight;
        else down += (uint32_t)-weight;
      }
      if (!fits(up, down, made->of.bound)) return false;
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

static void fill_pairs(re2na_packed *made, uint32_t first, uint32_t stop, part which) {
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

static void pack_taps(re2na_packed *made, const re2na_loops *with) {
  pair_taps(made, false);
  made->together = with->narrow_pairs ? most_together(made) : made->pairs ? made->pairs : 1;
  made->twice = !made->together;
  if (!made->twice) {
    fill_pairs(made, 0, made->pairs, WHOLE);
  } else {
    pair_taps(made, true);
    made->together = 1;
    fill_pairs(made, 0, made->pairs / 2, HALF);
    fill_pairs(made, made->pairs / 2, made->pairs, REST);
  }
}

/* ---- both ---- */

static void find_lines(re2na_packed *made) {
  const re2na_weights *of = &made->of;
  made->lines = of->steps < of->k ? re2na_list_present(of->mask, of->k, of->steps, made->present) : of->steps;
}

static int32_t bias_of(const re2na_weights *of, int64_t output) {
  return of->begins ? (int32_t)re2na_u32(of->bias + 4 * output) : 0;
}

/* A sum fits 32 bits if it has few steps and a small bias, or goes on from a small sum. */
static bool is_wide(const re2na_packed *made) {
  if (made->lines > RE2NA_NARROW_K) return true;
  for (int64_t o = 0; o < made->of.outputs; o++) {
    const int32_t bias = bias_of(&made->of, o);
    if (bias <= -(1 << 30) || bias >= 1 << 30) return true;
  }
  return false;
}

static void list_starts(re2na_packed *made) {
  for (int64_t o = 0; o < made->of.outputs; o++) {
    int64_t sum = 0;
    if (made->offset)
      for (int64_t line = 0; line < made->lines; line++) sum += weight_at(&made->of, line, o);
    made->wide_start[o] = bias_of(&made->of, o) - made->offset * sum;
    made->start[o] = made->wide ? 0 : (int32_t)made->wide_start[o];
  }
}

static uint8_t offset_for(const re2na_weights *of, const re2na_loops *with) {
  return with->unsigned_inputs && of->bound == RE2NA_SIGNED ? 128 : 0;
}

/* Large weights take two pieces each. */
static uint64_t pieces_in_group(const re2na_weights *of) {
  const uint64_t blocks = re2na_ceil((uint64_t)(of->outputs / of->groups), RE2NA_LANES);
  const uint64_t chunks = re2na_ceil((uint64_t)of->steps, CHUNK * RE2NA_QUAD);
  return of->depthwise ? 0 : 2 * blocks * chunks;
}

/* Everything but the vectors, whose number the pieces tell. */
static bool reserve(re2na_packed *made) {
  const re2na_weights *of = &made->of;
  made->pieces_in_group = (uint32_t)pieces_in_group(of);
  made->start = calloc(re2na_round_up((uint64_t)of->outputs, RE2NA_CHANNELS) + RE2NA_LANES, sizeof *made->start);
  made->wide_start = malloc((uint64_t)of->outputs * sizeof *made->wide_start);
  made->pieces = calloc(made->pieces_in_group * (uint64_t)of->groups + 1, sizeof *made->pieces);
  made->taps = calloc(of->depthwise ? 4 * ((uint64_t)of->steps + 1) : 1, sizeof *made->taps);
  if (of->steps < of->k) made->present = calloc((uint64_t)of->steps + 1, sizeof *made->present);
  return made->start && made->wide_start && made->pieces && made->taps && (made->present || of->steps >= of->k);
}

static bool reserve_vectors(re2na_packed *made, uint64_t bytes) {
  made->vectors = aligned_alloc(RE2NA_VECTOR, re2na_round_up(bytes + 1, RE2NA_VECTOR));
  return made->vectors != NULL;
}

static uint64_t depthwise_bytes(const re2na_packed *made, uint64_t pairs) {
  return re2na_ceil((uint64_t)made->of.outputs, RE2NA_CHANNELS) * pairs * 2 * RE2NA_CHANNELS;
}

static uint64_t most_vectors(const re2na_packed *made) {
  const re2na_weights *of = &made->of;
  const uint64_t blocks = re2na_ceil((uint64_t)(of->outputs / of->groups), RE2NA_LANES);
  if (of->depthwise) return depthwise_bytes(made, 2 * re2na_ceil((uint64_t)of->steps, 2));
  return (uint64_t)of->groups * blocks * 2 * made->line_bytes / RE2NA_QUAD * RE2NA_VECTOR;
}

void re2na_pack_form(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  *made = (re2na_packed){.of = *of, .wide = true, .offset = offset_for(of, with)};
  made->line_bytes = (uint32_t)(re2na_round_up((uint64_t)of->steps, RE2NA_QUAD) + LARGEST * RE2NA_QUAD);
}

uint64_t re2na_pack_bytes(const re2na_weights *of, const re2na_loops *with) {
  const uint64_t outputs = (uint64_t)of->outputs, steps = (uint64_t)of->steps;
  re2na_packed made;
  re2na_pack_form(&made, of, with);
  return most_vectors(&made) + pieces_in_group(of) * (uint64_t)of->groups * sizeof *made.pieces +
         outputs * (sizeof *made.start + sizeof *made.wide_start) + 5 * steps * sizeof *made.taps + 2048;
}

bool re2na_pack_reserve(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  re2na_pack_form(made, of, with);
  return reserve(made) && reserve_vectors(made, most_vectors(made));
}

void re2na_pack_again(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  made->of = *of;
  made->offset = offset_for(of, with);
  find_lines(made);
  made->wide = is_wide(made);
  list_starts(made);
  if (of->depthwise) pack_taps(made, with);
  else pack_blocks(made, with);
}

bool re2na_pack(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  re2na_pack_form(made, of, with);
  if (!reserve(made)) return false;
  if (of->depthwise) {
    if (!reserve_vectors(made, most_vectors(made))) return false;
  } else {
    find_lines(made);
    pack_blocks(made, with); /* to count the vectors */
    if (!reserve_vectors(made, made->vector_bytes)) return false;
  }
  re2na_pack_again(made, of, with);
  return true;
}

void re2na_pack_free(re2na_packed *made) {
  free(made->start);
  free(made->wide_start);
  free(made->pieces);
  free(made->taps);
  free(made->present);
  free(made->vectors);
}
