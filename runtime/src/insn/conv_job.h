/* A convolution on its way: what the files share that form it. */
#ifndef RE2NA_CONV_JOB_H
#define RE2NA_CONV_JOB_H

#include "insn/results.h"

typedef struct re2na_conv_job {
  const re2na_conv *body;
  const re2na_packed *pack; /* NULL: saturating */
  const re2na_loops *with;
  const int8_t *input;
  re2na_cut how;
  re2na_target to;
  const uint8_t *resumed;  /* the parked sums that it goes on from; NULL: it starts from the biases */
  uint8_t *parked;         /* where its sums are parked; NULL: they become results */
  int64_t channels;        /* input channels of a group */
  int64_t lines;           /* steps of k that have a line of weights */
  const uint32_t *present; /* which; NULL: all */
  /* Saturating accumulators only. */
  const int8_t *weights;
  const uint8_t *bias;
  /* The output path. */
  int64_t pooled;       /* pixels whose maximum is kept */
  re2na_target operand; /* to be added */
  re2na_cut sum;
  re2na_scaling by;
} re2na_conv_job;

/* A pixel of the convolution: (i, j) of the window that becomes the output (y, x). */
typedef struct re2na_pixel {
  int64_t image, y, x, i, j;
} re2na_pixel;

/* Where the top left position of the kernel lies in the input. */
typedef struct re2na_corner {
  int64_t image, y, x;
} re2na_corner;

/* Some pixels, and some outputs of each. */
typedef struct re2na_block {
  re2na_pixel at; /* the first */
  int64_t index, pixels;
  int64_t group, first, outputs; /* output channels */
  size_t sum_stride;
} re2na_block;

/* Lines of inputs: one for each pixel of a block, `stride` apart. */
typedef struct re2na_columns {
  const uint8_t *first;
  size_t stride;
} re2na_columns;

/* On to the first output of the next row. */
static inline void re2na_next_row(const re2na_conv *body, re2na_pixel *at) {
  at->x = 0;
  if (++at->y < body->window.out_h) return;
  at->y = 0;
  at->image++;
}

static inline void re2na_next_pixel(const re2na_conv *body, re2na_pixel *at) {
  if (++at->j < body->pool_w) return;
  at->j = 0;
  if (++at->i < body->pool_h) return;
  at->i = 0;
  if (++at->x == body->window.out_w) re2na_next_row(body, at);
}

static inline re2na_corner re2na_corner_of(const re2na_conv *body, re2na_pixel at) {
  return (re2na_corner){at.image, (at.y * body->pool_h + at.i) * body->window.stride_h - body->window.pad_top,
                        (at.x * body->pool_w + at.j) * body->window.stride_w - body->window.pad_left};
}

/* One input and one output channel in each group. The only group may be formed in parts, as no other can: then it is
 * not one. */
static inline bool re2na_is_depthwise(const re2na_conv *body) {
  const bool whole = body->groups > 1 || (body->first && body->last);
  return whole && body->window.in_c == body->groups && body->out_c == body->groups;
}

/* The side of a depthwise kernel that can be formed by rows, or 0. */
static inline uint8_t re2na_conv_side(const re2na_conv *body) {
  const re2na_sliding *w = &body->window;
  const bool square = w->kernel_h == w->kernel_w, known = w->kernel_h == 3 || w->kernel_h == RE2NA_MOST_SIDE;
  return re2na_is_depthwise(body) && square && known && w->dilation_w == 1 ? (uint8_t)w->kernel_h : 0;
}

/* Steps of the sum of one output. */
static inline int64_t re2na_conv_k(const re2na_conv *body) {
  return body->window.kernel_h * body->window.kernel_w * (body->window.in_c / body->groups);
}

/* With bytes behind: a run's copy may write more than the run (conv_inputs.c). */
static inline size_t re2na_line_stride(const re2na_packed *pack) {
  return (size_t)re2na_round_up(pack->line_bytes, 64) + 64;
}

/* conv_inputs.c: the inputs of one pixel and group to a line, in the order of k. */
void re2na_gather(const re2na_conv_job *job, re2na_pixel at, int64_t first_channel, uint8_t *line, uint8_t offset);
/* conv_inputs.c: those of a block, gathered in the worker's columns if they do not lie as lines already. */
re2na_columns re2na_conv_lines(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part);

/* conv_parts.c: the parked sums of a block of narrow sums, with what these start from; false where one of them is so
 * large that 32 bits might be too few. */
bool re2na_resume(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part);
/* conv_parts.c: the same added to its wide sums, and brought into the range of saturating accumulators. */
void re2na_resume_wide(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part);
void re2na_resume_saturated(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part);
/* conv_parts.c: narrow or wide sums of a block to where they are parked. */
void re2na_park(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part);
void re2na_park_wide(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part);

/* conv_rows.c: a depthwise convolution without anything behind it, row by row; whether it can be. */
re2na_work re2na_conv_rows;
bool re2na_conv_by_rows(const re2na_conv_job *job);
/* conv_sums.c: outputs first..stop, each a window of pixels, in one of three ways. */
re2na_work re2na_conv_blocks, re2na_conv_depthwise, re2na_conv_saturating;
/* conv_sums.c: what its inputs, sums and results take. `pack`: NULL where accumulators saturate. */
void re2na_conv_room(re2na_room *room, const re2na_conv *body, const re2na_packed *pack);

#endif
