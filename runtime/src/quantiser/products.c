/* Products of matrices of int8, exact, for the quantiser: what weights make of the inputs of many outputs. */
#include <stdlib.h>
#include <string.h>

#include "kernel/pack.h"

enum {
  INPUTS = 1 << 13 /* of a line that are multiplied at a time: the packed weights of a large layer stay small */
};

typedef struct matrices { /* of one group */
  const int8_t *rows, *weights;
  float *sums;
  int64_t pixels, inputs, outputs;
} matrices;

typedef struct buffers {
  uint8_t *lines, *bias;
  int32_t *sums;
} buffers;

RE2NA_CLONES
static void shift(const int8_t *restrict from, uint8_t *restrict to, size_t count, uint8_t offset) {
  for (size_t i = 0; i < count; i++) to[i] = (uint8_t)from[i] ^ offset; /* 128 more, where that is the offset */
}

RE2NA_CLONES
static void add_up(const int32_t *restrict from, float *restrict to, size_t count, bool begins) {
  for (size_t i = 0; i < count; i++) to[i] = (begins ? 0 : to[i]) + (float)from[i];
}

/* Some pixels, and the inputs from `first` on whose weights are packed. */
static void multiply(const matrices *of, const re2na_packed *pack, const re2na_loops *with, const buffers *in,
                     int64_t first, int64_t pixel, size_t pixels) {
  const size_t stride = (size_t)re2na_round_up(pack->line_bytes, RE2NA_VECTOR);
  const size_t sum_stride = (size_t)re2na_round_up((uint64_t)of->outputs, RE2NA_LANES);
  for (size_t p = 0; p < pixels; p++)
    shift(of->rows + (pixel + (int64_t)p) * of->inputs + first, in->lines + p * stride, (size_t)pack->lines,
          pack->offset);
  for (const re2na_piece *at = pack->pieces; at < pack->pieces + pack->pieces_in_group; at++) {
    int32_t *sums = in->sums + at->block * RE2NA_LANES;
    const re2na_panel panel = {
        .x = in->lines + (size_t)at->first * RE2NA_QUAD,
        .x_stride = stride,
        .pixels = pixels,
        .from = at->begins ? pack->start + at->block * RE2NA_LANES : sums,
        .from_stride = at->begins ? 0 : sum_stride,
        .vectors = pack->vectors + at->vector * RE2NA_VECTOR,
        .places = pack->places + at->vector,
        .grouped = at->grouped,
        .together = at->together,
        .singles = at->singles,
        .sums = sums,
        .sum_stride = sum_stride,
    };
    with->multiply(&panel);
  }
  for (size_t p = 0; p < pixels; p++)
    add_up(in->sums + p * sum_stride, of->sums + (pixel + (int64_t)p) * of->outputs, (size_t)of->outputs, first == 0);
}

static bool reserve(buffers *in, int64_t inputs, int64_t outputs) {
  const size_t most =
      (size_t)re2na_round_up((uint64_t)(inputs < INPUTS ? inputs : INPUTS), RE2NA_VECTOR) + 2 * RE2NA_VECTOR;
  in->lines = calloc(RE2NA_MOST_PIXELS, most); /* what lies behind a line is multiplied by weights of 0 */
  in->bias = calloc((size_t)outputs, 4);       /* int32 little-endian */
  in->sums = calloc(RE2NA_MOST_PIXELS * (size_t)re2na_round_up((uint64_t)outputs, RE2NA_LANES), sizeof *in->sums);
  return in->lines && in->bias && in->sums;
}

/* All pixels of a group. False where the host has no memory. */
static bool multiply_group(const matrices *of, const re2na_loops *with, const buffers *in) {
  bool done = true;
  for (int64_t first = 0; done && first < of->inputs; first += INPUTS) {
    const int64_t steps = of->inputs - first < INPUTS ? of->inputs - first : INPUTS;
    const re2na_weights part = {.lines = of->weights + first * of->outputs,
                                .bias = in->bias,
                                .k = steps,
                                .steps = steps,
                                .outputs = of->outputs,
                                .groups = 1,
                                .bound = RE2NA_SIGNED};
    re2na_packed pack;
    done = re2na_pack(&pack, &part, with);
    for (int64_t pixel = 0; done && pixel < of->pixels; pixel += RE2NA_MOST_PIXELS) {
      const int64_t left = of->pixels - pixel;
      multiply(of, &pack, with, in, first, pixel, (size_t)(left < RE2NA_MOST_PIXELS ? left : RE2NA_MOST_PIXELS));
    }
    re2na_pack_free(&pack);
  }
  return done;
}

int32_t re2na_products(const int8_t *rows, const int8_t *lines, float *sums, uint32_t groups, uint32_t pixels,
                       uint32_t inputs, uint32_t outputs) {
  if (!rows || !lines || !sums) return RE2NA_ERROR_ARGUMENT;
  if (!groups || !pixels || !outputs) return RE2NA_OK;
  if (!inputs) {
    memset(sums, 0, (size_t)groups * pixels * outputs * sizeof *sums);
    return RE2NA_OK;
  }
  const re2na_loops *with = re2na_find_kernel(RE2NA_KERNEL_AUTO);
  buffers in = {0};
  bool done = reserve(&in, inputs, outputs);
  for (uint64_t g = 0; done && g < groups; g++) {
    const matrices of = {
        rows + g * pixels * inputs, lines + g * inputs * outputs, sums + g * pixels * outputs, pixels, inputs, outputs};
    done = multiply_group(&of, with, &in);
  }
  free(in.lines);
  free(in.bias);
  free(in.sums);
  return done ? RE2NA_OK : RE2NA_ERROR_MEMORY;
}
