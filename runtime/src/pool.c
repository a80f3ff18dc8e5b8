/* POOL: the maximum over a window. */
#include <string.h>

#include "array.h"

void re2na_scatter(const int8_t *results, target to, int64_t n, int64_t height, int64_t width, int64_t channels) {
  for (int64_t image = 0; image < n; image++)
    for (int64_t y = 0; y < height; y++)
      for (int64_t x = 0; x < width; x++, results += channels)
        memcpy(to.base + image * to.image + y * to.row + x * to.pixel, results, (size_t)channels);
}

RE2NA_CLONES
static void raise_to(int8_t *restrict best, const int8_t *restrict line, size_t count) {
  for (size_t c = 0; c < count; c++) best[c] = line[c] > best[c] ? line[c] : best[c];
}

void re2na_raise_line(int8_t *restrict best, const int8_t *restrict line, size_t count) { raise_to(best, line, count); }

RE2NA_CLONES
static void clamp_line(int8_t *line, size_t count, int8_t lo, int8_t hi) {
  for (size_t c = 0; c < count; c++) {
    int8_t value = line[c] < lo ? lo : line[c];
    line[c] = value > hi ? hi : value;
  }
}

/* The maximum over one window whose first row and column are y0 and x0 of the image. */
static void pool_pixel(const re2na_pool *body, const int8_t *image, int64_t y0, int64_t x0, int8_t *best) {
  const size_t channels = (size_t)body->in_c;
  int64_t seen = 0;
  for (int64_t ky = 0; ky < body->kernel_h; ky++)
    for (int64_t kx = 0; kx < body->kernel_w; kx++) {
      const int64_t y = y0 + ky * body->dilation_h, x = x0 + kx * body->dilation_w;
      if (y < 0 || y >= body->in_h || x < 0 || x >= body->in_w) continue;
      const int8_t *from = image + y * body->in_row_stride + x * body->in_pixel_stride;
      if (seen++) raise_to(best, from, channels);
      else memcpy(best, from, channels);
    }
  if (seen == 0) memset(best, (int)body->pad_value, channels);
  else if (seen < body->kernel_h * body->kernel_w) clamp_line(best, channels, (int8_t)body->pad_value, INT8_MAX);
  clamp_line(best, channels, (int8_t)body->lo, (int8_t)body->hi);
}

typedef struct pool {
  const re2na_pool *body;
  target to;
} pool;

/* Rows first..stop of the output, one image's behind the other's. */
static void pool_rows(void *shared, re2na_machine *machine, worker *by, int64_t first, int64_t stop) {
  const pool *job = shared;
  const re2na_pool *body = job->body;
  (void)by;
  for (int64_t row = first; row < stop; row++) {
    const int64_t image = row / body->out_h, y = row % body->out_h;
    const int8_t *from = (const int8_t *)machine->sram + body->in_addr + image * body->in_image_stride;
    int8_t *to = job->to.base + image * job->to.image + y * job->to.row;
    for (int64_t x = 0; x < body->out_w; x++, to += job->to.pixel)
      pool_pixel(body, from, y * body->stride_h - body->pad_top, x * body->stride_w - body->pad_left, to);
  }
}

void re2na_run_pool(re2na_machine *machine, const re2na_pool *body, bool aside) {
  int8_t *sram = (int8_t *)machine->sram;
  const target real = {sram + body->out_addr, body->out_pixel_stride, body->out_row_stride, body->out_image_stride};
  const int64_t row = body->out_w * body->in_c, rows = body->n * body->out_h;
  pool job = {body, aside ? (target){machine->results, body->in_c, row, body->out_h * row} : real};
  re2na_share(machine, pool_rows, &job, rows, 1, (uint64_t)(rows * row * body->kernel_h * body->kernel_w));
  if (aside) re2na_scatter(machine->results, real, body->n, body->out_h, body->out_w, body->in_c);
}
