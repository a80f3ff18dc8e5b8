/* A convolution on its way: what the files share that form it. */
#ifndef RE2NA_CONV_H
#define RE2NA_CONV_H

#include "array.h"

typedef struct conv {
  const re2na_conv *body;
  const packed *pack; /* NULL: saturating */
  const kernel *with;
  const int8_t *input;
  cut how;
  target to;
  int64_t channels;        /* input channels of a group */
  int64_t lines;           /* steps of k that have a line of weights */
  const uint32_t *present; /* which; NULL: all */
  /* Saturating accumulators only. */
  const int8_t *weights;
  const uint8_t *bias;
  /* The output path. */
  int64_t window; /* pixels whose maximum is kept */
  target operand; /* to be added */
  cut sum;
  scaling by;
} conv;

/* A pixel of the convolution: (i, j) of the window that becomes the output (y, x). */
typedef struct pixel {
  int64_t image, y, x, i, j;
} pixel;

/* Where the top left position of the kernel lies in the input. */
typedef struct corner {
  int64_t image, y, x;
} corner;

/* Some pixels, and some outputs of each. */
typedef struct block {
  pixel at; /* the first */
  int64_t index, pixels;
  int64_t group, first, outputs; /* output channels */
  size_t sum_stride;
} block;

/* Lines of inputs: one for each pixel of a block, `stride` apart. */
typedef struct columns {
  const uint8_t *first;
  size_t stride;
} columns;

static inline void next_pixel(const re2na_conv *body, pixel *at) {
  if (++at->j < body->pool_w) return;
  at->j = 0;
  if (++at->i < body->pool_h) return;
  at->i = 0;
  if (++at->x < body->out_w) return;
  at->x = 0;
  if (++at->y < body->out_h) return;
  at->y = 0;
  at->image++;
}

static inline corner corner_of(const re2na_conv *body, pixel at) {
  return (corner){at.image, (at.y * body->pool_h + at.i) * body->stride_h - body->pad_top,
                  (at.x * body->pool_w + at.j) * body->stride_w - body->pad_left};
}

/* With room behind: a run's copy may write more than the run (conv_inputs.c). */
static inline size_t line_stride(const packed *pack) { return (size_t)re2na_round_up(pack->line_bytes, 64) + 64; }

/* conv_inputs.c: the inputs of one pixel and group to a line, in the order of k. */
void re2na_gather(const conv *job, pixel at, int64_t first_channel, uint8_t *line, uint8_t offset);
/* conv_inputs.c: those of a block, gathered in the worker's columns if they do not lie as lines already. */
columns re2na_conv_lines(const conv *job, const worker *by, const block *part);

#endif
