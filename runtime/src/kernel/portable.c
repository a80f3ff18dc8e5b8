/* The kernel for any processor, and what the others are compared with. */
#include <string.h>

#include "kernel/kernel.h"

uint64_t re2na_put_sums(const re2na_panel *of, size_t pixel, size_t pixels, const int32_t *sums) {
  uint64_t outside = 0;
  re2na_cut how = {0};
  if (of->how) how = *of->how;
  if (of->how && how.lsbs) how.lsbs += of->first;
  for (; pixels; pixels--, pixel++, sums += RE2NA_LANES) {
    if (of->how) outside += re2na_finish_line(sums, of->results[pixel] + of->first, of->count, &how);
    else memcpy(of->sums + pixel * of->sum_stride, sums, RE2NA_LANES * sizeof *sums);
  }
  return outside;
}

static uint64_t multiply(const re2na_panel *of) {
  uint64_t outside = 0;
  for (size_t p = 0; p < of->pixels; p++) {
    const int8_t *line = (const int8_t *)of->x + p * of->x_stride;
    int32_t sums[RE2NA_LANES];
    memcpy(sums, of->from + p * of->from_stride, sizeof sums);
    for (size_t q = 0; q < of->grouped + of->singles; q++)
      for (size_t lane = 0; lane < RE2NA_LANES; lane++)
        for (size_t i = 0; i < RE2NA_QUAD; i++)
          sums[lane] += line[of->places[q] + i] * of->vectors[q * RE2NA_VECTOR + lane * RE2NA_QUAD + i];
    outside += re2na_put_sums(of, p, 1, sums);
  }
  return outside;
}

/* Channels whose weights lie side by side. */
enum { RUN = 8 };

void re2na_depthwise(int32_t *sums, const int32_t *from, const uint8_t *const *x, size_t channels, size_t pairs,
                     const int8_t *weights, unsigned together, uint8_t offset) {
  (void)together;
  (void)offset;
  for (size_t first = 0; first < channels; first += RUN) {
    const size_t block = first / RE2NA_CHANNELS * RE2NA_CHANNELS;
    const int8_t *run = weights + (block * pairs + re2na_channel_place((uint32_t)(first - block))) * 2;
    memcpy(sums + first, from + first, RUN * sizeof *sums);
    for (size_t pair = 0; pair < pairs; pair++)
      for (size_t i = 0; i < 2; i++)
        for (size_t c = 0; c < RUN; c++)
          sums[first + c] += (int8_t)x[2 * pair + i][first + c] * run[(pair * RE2NA_CHANNELS + c) * 2 + i];
  }
}

void re2na_lines(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, size_t images,
                 const int8_t *weights, size_t weight_stride, size_t k, size_t outputs) {
  for (size_t i = 0; i < k; i++)
    for (size_t p = 0; p < images; p++) {
      const int32_t value = x[p * x_stride + i];
      const int8_t *restrict line = weights + i * weight_stride;
      int32_t *restrict sum = sums + p * sum_stride;
      for (size_t o = 0; o < outputs; o++) sum[o] += value * line[o];
    }
}

uint64_t re2na_finish_line(const int32_t *sums, int8_t *out, size_t count, const re2na_cut *how) {
  uint64_t outside = 0;
  for (size_t o = 0; o < count; o++) {
    int32_t value = re2na_wrap(sums[o], how->acc_spare) >> (how->lsbs ? how->lsbs[o] : how->lsb);
    outside += how->counts && (sums[o] < how->acc_min || sums[o] > how->acc_max);
    if (how->cut_wraps) value = re2na_wrap(value, how->data_spare);
    out[o] = (int8_t)re2na_clamp(re2na_clamp(value, how->data_min, how->data_max), how->lo, how->hi);
  }
  return outside;
}

uint64_t re2na_finish(const int32_t *sums, size_t sum_stride, int8_t *const *places, size_t pixels, size_t count,
                      const re2na_cut *how) {
  uint64_t outside = 0;
  for (size_t p = 0; p < pixels; p++) outside += re2na_finish_line(sums + p * sum_stride, places[p], count, how);
  return outside;
}

const re2na_loops *re2na_kernel_portable(void) {
  static const re2na_loops made = {
      .name = "portable",
      .tile = 4,
      .multiply = multiply,
      .depthwise = re2na_depthwise,
      .lines = re2na_lines,
      .finish = re2na_finish,
  };
  return &made;
}
