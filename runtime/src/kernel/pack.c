/* Packing weights: what is packed, and the memory for it. */
#include "kernel/pack.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/pack_parts.h"

/* Whether some steps are absent, and are left out of the lines of inputs. */
static bool leaves_out(const re2na_weights *of) { return re2na_packed_steps(of->k, of->steps) < of->k; }

/* Whether some steps are absent, and are packed with weights of 0. */
static bool fills_in(const re2na_weights *of) { return of->steps < of->k && !leaves_out(of); }

static void find_lines(re2na_packed *made) {
  const re2na_weights *of = &made->of;
  made->lines = leaves_out(of) ? re2na_list_present(of->mask, of->k, of->steps, made->present) : of->k;
  if (!fills_in(of)) return;
  uint32_t found = 0;
  for (int64_t step = 0; step < of->k; step++) {
    const bool present = found < of->steps && of->mask[step / 8] >> (step % 8) & 1;
    made->lines_of[step] = present ? found++ : (uint32_t)RE2NA_ABSENT;
  }
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
    for (int64_t step = 0; made->offset && step < made->lines; step++) sum += re2na_pack_weight(made, step, o);
    made->wide_start[o] = bias_of(&made->of, o) - made->offset * sum;
    made->start[o] = made->wide ? 0 : (int32_t)made->wide_start[o];
  }
}

static uint8_t offset_for(const re2na_weights *of, const re2na_loops *with) {
  return with->unsigned_inputs && of->bound == RE2NA_SIGNED ? 128 : 0;
}

static uint64_t blocks_of(const re2na_weights *of) {
  return re2na_ceil((uint64_t)(of->outputs / of->groups), RE2NA_LANES) * (uint64_t)of->groups;
}

static uint64_t steps_of(const re2na_weights *of) { return (uint64_t)re2na_packed_steps(of->k, of->steps); }

static uint64_t chunks_of(const re2na_weights *of) {
  return re2na_max(re2na_ceil(steps_of(of), RE2NA_CHUNK * RE2NA_QUAD), 1);
}

static uint64_t most_pieces(const re2na_weights *of) { return of->depthwise ? 0 : blocks_of(of) * chunks_of(of); }

/* Quads or pairs of large weights take two; a group in each chunk may not be full. */
static uint64_t most_vectors(const re2na_weights *of) {
  if (of->depthwise) return re2na_ceil((uint64_t)of->outputs, RE2NA_CHANNELS) * 2 * re2na_ceil(steps_of(of), 2);
  return blocks_of(of) *
         (2 * (uint64_t)re2na_packed_quads(of->k, of->steps) + chunks_of(of) * (RE2NA_MOST_TOGETHER - 1));
}

/* Everything but the vectors. */
static bool reserve(re2na_packed *made) {
  const re2na_weights *of = &made->of;
  made->start = calloc(re2na_round_up((uint64_t)of->outputs, RE2NA_CHANNELS) + RE2NA_LANES, sizeof *made->start);
  made->wide_start = malloc((uint64_t)of->outputs * sizeof *made->wide_start);
  made->pieces = calloc(most_pieces(of) + 1, sizeof *made->pieces);
  made->taps = calloc(of->depthwise ? 4 * (steps_of(of) + 1) : 1, sizeof *made->taps);
  if (leaves_out(of)) made->present = calloc((uint64_t)of->steps + 1, sizeof *made->present);
  if (fills_in(of)) made->lines_of = calloc((uint64_t)of->k, sizeof *made->lines_of);
  return made->start && made->wide_start && made->pieces && made->taps && (made->present || !leaves_out(of)) &&
         (made->lines_of || !fills_in(of));
}

static bool reserve_vectors(re2na_packed *made, uint64_t count) {
  made->vectors = aligned_alloc(RE2NA_VECTOR, (count + 1) * RE2NA_VECTOR);
  made->places = malloc((count + 1) * sizeof *made->places);
  return made->vectors && made->places;
}

void re2na_pack_form(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  *made = (re2na_packed){.of = *of, .wide = true, .offset = offset_for(of, with)};
  made->line_bytes = (uint32_t)re2na_round_up(steps_of(of), RE2NA_QUAD);
}

uint64_t re2na_pack_bytes(const re2na_weights *of, const re2na_loops *with) {
  const uint64_t outputs = (uint64_t)of->outputs;
  re2na_packed made;
  re2na_pack_form(&made, of, with);
  return most_vectors(of) * (RE2NA_VECTOR + sizeof *made.places) + most_pieces(of) * sizeof *made.pieces +
         outputs * (sizeof *made.start + sizeof *made.wide_start) + 5 * steps_of(of) * sizeof *made.taps + 2048;
}

bool re2na_pack_reserve(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  re2na_pack_form(made, of, with);
  return reserve(made) && reserve_vectors(made, most_vectors(of));
}

void re2na_pack_again(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  made->of = *of;
  made->offset = offset_for(of, with);
  find_lines(made);
  made->wide = is_wide(made);
  list_starts(made);
  if (of->depthwise) re2na_pack_taps(made, with);
  else re2na_pack_quads(made, with);
}

/* Gives back the room for vectors that turned out not to be needed. */
static bool trim(re2na_packed *made) {
  int8_t *vectors = made->vectors;
  uint32_t *places = made->places;
  if (made->of.depthwise) return true;
  const bool done = reserve_vectors(made, made->vector_count);
  if (done) {
    memcpy(made->vectors, vectors, made->vector_count * RE2NA_VECTOR);
    memcpy(made->places, places, made->vector_count * sizeof *places);
  }
  free(vectors);
  free(places);
  return done;
}

bool re2na_pack(re2na_packed *made, const re2na_weights *of, const re2na_loops *with) {
  if (!re2na_pack_reserve(made, of, with)) return false;
  re2na_pack_again(made, of, with);
  return trim(made);
}

void re2na_pack_free(re2na_packed *made) {
  free(made->start);
  free(made->wide_start);
  free(made->pieces);
  free(made->taps);
  free(made->present);
  free(made->lines_of);
  free(made->places);
  free(made->vectors);
}
