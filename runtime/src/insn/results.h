/* Where an instruction's results go. */
#ifndef RE2NA_RESULTS_H
#define RE2NA_RESULTS_H

#include "insn/insn.h"

/* The way from pixel to pixel, row to row, image to image. */
typedef struct re2na_target {
  int8_t *base;
  int64_t pixel, row, image;
} re2na_target;

static inline re2na_target re2na_target_at(int8_t *sram, const re2na_view *at) {
  return (re2na_target){sram + at->addr, at->pixel_stride, at->row_stride, at->image_stride};
}

/* Results (n, out_h, out_w, channels) that are formed elsewhere: one behind the other. */
re2na_target re2na_target_elsewhere(int8_t *results, const re2na_sliding *window, int64_t channels);
/* Writes those to where they belong. */
void re2na_scatter(const int8_t *results, re2na_target to, const re2na_sliding *window, int64_t channels);

#endif
