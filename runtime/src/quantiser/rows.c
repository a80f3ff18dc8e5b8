/* The inputs of a layer's outputs, side by side, for the quantiser: what im2col makes of some pixels. */
#include "re2na.h"

#define SIZE_LIMIT (UINT64_C(1) << 61)
#define INLINE static inline __attribute__((always_inline))

typedef struct corner { /* of a window; outside of the image where there is padding */
  int64_t y, x;
} corner;

/* One channel's inputs under a window; `across` is a constant where this is inlined. */
INLINE int8_t *gather(const int8_t *plane, const re2na_window *w, corner at, int64_t across, int8_t *row) {
  const int64_t height = w->height, width = w->width, down = w->kernel[0], dy = w->dilations[0], dx = w->dilations[1];
  const int inside = at.y >= 0 && at.x >= 0 && at.y + (down - 1) * dy < height && at.x + (across - 1) * dx < width;
  for (int64_t y = at.y, i = 0; i < down; i++, y += dy)
    if (inside)
      for (int64_t j = 0; j < across; j++) *row++ = plane[y * width + at.x + j * dx];
    else
      for (int64_t j = 0, x = at.x; j < across; j++, x += dx)
        *row++ = y >= 0 && y < height && x >= 0 && x < width ? plane[y * width + x] : 0;
  return row;
}

INLINE void gather_row(const int8_t *planes, const re2na_window *w, corner at, int64_t across, int8_t *row) {
  const uint32_t channels = w->channels / w->groups;
  for (uint32_t c = 0; c < channels; c++) row = gather(planes + (int64_t)c * w->height * w->width, w, at, across, row);
}

static int fits(uint64_t a, uint64_t b) { return re2na_times(a, b) <= SIZE_LIMIT; }

/* Whether sizes and places can be computed with 64 bits. */
static int is_sound(const re2na_window *w, const int64_t *pixels) {
  if (!w->across || !w->groups || w->channels % w->groups) return 0;
  const uint64_t most = re2na_max(w->pixels, 1), images = re2na_max(w->images, 1);
  const uint64_t plane = (uint64_t)w->height * w->width, window = (uint64_t)w->kernel[0] * w->kernel[1];
  if (!fits(plane, re2na_times(w->channels, images)) ||
      !fits(window, re2na_times(w->channels, re2na_times(images, most))))
    return 0;
  if (!fits(w->kernel[0], w->dilations[0]) || !fits(w->kernel[1], w->dilations[1]) || !fits(w->across, w->strides[1]))
    return 0;
  for (uint64_t p = 0; p < (uint64_t)w->images * w->pixels; p++)
    if (pixels[p] < 0 || !fits((uint64_t)pixels[p] / w->across, w->strides[0])) return 0;
  return 1;
}

int32_t re2na_rows(const int8_t *source, const int64_t *pixels, const re2na_window *w, int8_t *rows) {
  if (!source || !pixels || !w || !rows || !is_sound(w, pixels)) return RE2NA_ERROR_ARGUMENT;
  const int64_t inputs = (int64_t)w->channels / w->groups * w->kernel[0] * w->kernel[1],
                plane = (int64_t)w->height * w->width;
  for (int64_t n = 0; n < w->images; n++)
    for (int64_t g = 0; g < w->groups; g++) {
      const int8_t *planes = source + (n * w->groups + g) * (w->channels / w->groups) * plane;
      int8_t *row = rows + (g * w->images + n) * w->pixels * inputs;
      for (uint32_t p = 0; p < w->pixels; p++, row += inputs) {
        const int64_t pixel = pixels[n * w->pixels + p];
        const corner at = {pixel / w->across * w->strides[0] - w->top, pixel % w->across * w->strides[1] - w->left};
        if (w->kernel[1] == 1) gather_row(planes, w, at, 1, row);
        else if (w->kernel[1] == 3) gather_row(planes, w, at, 3, row);
        else if (w->kernel[1] == 5) gather_row(planes, w, at, 5, row);
        else gather_row(planes, w, at, w->kernel[1], row);
      }
    }
  return RE2NA_OK;
}
