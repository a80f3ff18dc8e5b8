/* Where an operand lies in SRAM or DRAM: what the validator holds against a memory's size, and the tracer follows. */
#ifndef RE2NA_REGION_H
#define RE2NA_REGION_H

#include "base/base.h"

/* Runs of bytes along three axes, as in the instructions: `pixels` of them, `pixel` bytes apart, in each row, and so
 * on. */
typedef struct re2na_region {
  int64_t start, run, pixels, pixel, rows, row, images, image;
} re2na_region;

/* The first byte, and the one behind the last. */
typedef struct re2na_span {
  uint64_t start, stop;
} re2na_span;

static inline re2na_region re2na_run_at(int64_t start, int64_t bytes) {
  return (re2na_region){start, bytes, 1, 0, 1, 0, 1, 0};
}

/* `count` runs, `stride` bytes apart. */
static inline re2na_region re2na_runs_at(int64_t start, int64_t bytes, int64_t count, int64_t stride) {
  return (re2na_region){start, bytes, 1, 0, 1, 0, count, stride};
}

static inline re2na_region re2na_input_of(const re2na_sliding *window, const re2na_view *at) {
  return (re2na_region){
      .start = at->addr,
      .run = window->in_c,
      .pixels = window->in_w,
      .pixel = at->pixel_stride,
      .rows = window->in_h,
      .row = at->row_stride,
      .images = window->n,
      .image = at->image_stride,
  };
}

static inline re2na_region re2na_output_of(const re2na_sliding *window, const re2na_view *at, int64_t channels) {
  return (re2na_region){
      .start = at->addr,
      .run = channels,
      .pixels = window->out_w,
      .pixel = at->pixel_stride,
      .rows = window->out_h,
      .row = at->row_stride,
      .images = window->n,
      .image = at->image_stride,
  };
}

/* Either side of a transfer: its rows are pixels here, its planes rows. */
static inline re2na_region re2na_sram_of(const re2na_transfer *of) {
  return (re2na_region){
      .start = of->sram_addr,
      .run = of->bytes,
      .pixels = of->rows,
      .pixel = of->sram_row_stride,
      .rows = of->planes,
      .row = of->sram_plane_stride,
      .images = 1,
      .image = 0,
  };
}

static inline re2na_region re2na_dram_of(const re2na_transfer *of) {
  return (re2na_region){
      .start = of->dram_addr,
      .run = of->bytes,
      .pixels = of->rows,
      .pixel = of->dram_row_stride,
      .rows = of->planes,
      .row = of->dram_plane_stride,
      .images = 1,
      .image = 0,
  };
}

static inline bool re2na_is_empty(const re2na_region *at) {
  return !at->run || !at->pixels || !at->rows || !at->images;
}

/* Saturates far outside any memory. */
static inline re2na_span re2na_span_of(const re2na_region *at) {
  const uint64_t far = UINT64_C(1) << 62, start = (uint64_t)at->start;
  const int64_t counts[3] = {at->pixels, at->rows, at->images}, strides[3] = {at->pixel, at->row, at->image};
  uint64_t stop = start + (uint64_t)at->run;
  if (re2na_is_empty(at)) return (re2na_span){start, start};
  for (int i = 0; i < 3; i++) {
    const uint64_t steps = (uint64_t)counts[i] - 1, stride = (uint64_t)strides[i];
    if (stride && steps > (far - stop) / stride) return (re2na_span){start, far};
    stop += steps * stride;
  }
  return (re2na_span){start, stop};
}

static inline bool re2na_overlap(re2na_span a, re2na_span b) { return a.start < b.stop && b.start < a.stop; }

/* Whether there is a byte between the first and the last that is in no run, or the runs come in another order. */
static inline bool re2na_has_gaps(const re2na_region *at) {
  return (at->pixels > 1 && at->pixel != at->run) || (at->rows > 1 && at->row != at->pixels * at->run) ||
         (at->images > 1 && at->image != at->rows * at->pixels * at->run);
}

/* Whether no two runs share a byte, as far as a look at the strides can tell. */
static inline bool re2na_is_nested(const re2na_region *at) {
  const int64_t row = (at->pixels - 1) * at->pixel + at->run, image = (at->rows - 1) * at->row + row;
  return (at->pixels == 1 || at->pixel >= at->run) && (at->rows == 1 || at->row >= row) &&
         (at->images == 1 || at->image >= image);
}

#endif
