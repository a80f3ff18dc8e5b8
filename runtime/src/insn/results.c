#include "insn/results.h"

#include <string.h>

re2na_target re2na_target_elsewhere(int8_t *results, const re2na_sliding *window, int64_t channels) {
  const int64_t row = window->out_w * channels;
  return (re2na_target){results, channels, row, window->out_h * row};
}

void re2na_scatter(const int8_t *results, re2na_target to, const re2na_sliding *window, int64_t channels) {
  for (int64_t image = 0; image < window->n; image++)
    for (int64_t y = 0; y < window->out_h; y++)
      for (int64_t x = 0; x < window->out_w; x++, results += channels)
        memcpy(to.base + image * to.image + y * to.row + x * to.pixel, results, (size_t)channels);
}
