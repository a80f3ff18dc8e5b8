/* CONV: plain and grouped through the multiply-accumulate loop, depthwise along the channels, saturating step by step. What the
 * output path does with the results of a pixel stands in `landing` and `deliver`. */
#include <string.h>

#include "array.h"

typedef struct conv {
  const re2na_conv *body;
  const int8_t *input, *weights;
  const uint8_t *bias;
  cut how;
  target to;
  int64_t channels; /* input channels of a group */
  int64_t lines;           /* steps of k that have a line of weights */
  const uint32_t *present; /* which; NULL: all */
  uint64_t *overflows;
  /* The output path. */
  int64_t window;        /* pixels whose maximum is kept */
  target operand;        /* to be added */
  cut sum;
  scaling by;
  int8_t *line; /* a pixel's results on their way */
} conv;

/* A pixel of the convolution: (i, j) of the window that becomes the output (y, x). */
typedef struct pixel {
  int64_t image, y, x, i, j;
} pixel;

/* Where the top left position of the kernel lies in the input. */
typedef struct corner {
  int64_t image, y, x;
} corner;

/* Window after window, in the order of the output. */
static pixel pixel_at(const conv *job, int64_t index) {
  const re2na_conv *body = job->body;
  const int64_t inside = index % job->window, output = index / job->window, row = output / body->out_w;
  return (pixel){row / body->out_h, row % body->out_h, output % body->out_w, inside / body->pool_w, inside % body->pool_w};
}

static void next_pixel(const re2na_conv *body, pixel *at) {
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

static int8_t *place(const target *of, pixel at) { return of->base + at.image * of->image + at.y * of->row + at.x * of->pixel; }

static corner corner_of(const re2na_conv *body, pixel at) {
  return (corner){at.image, (at.y * body->pool_h + at.i) * body->stride_h - body->pad_top,
                  (at.x * body->pool_w + at.j) * body->stride_w - body->pad_left};
}

/* The input under a position of the kernel, or NULL in the padding. */
static const int8_t *under(const conv *job, corner at, int64_t ky, int64_t kx) {
  const re2na_conv *body = job->body;
  const int64_t y = at.y + ky * body->dilation_h, x = at.x + kx * body->dilation_w;
  if (y < 0 || y >= body->in_h || x < 0 || x >= body->in_w) return NULL;
  return job->input + at.image * body->in_image_stride + y * body->in_row_stride + x * body->in_pixel_stride;
}

/* Where the cut results of a pixel go first: to their place, unless the output path has something to do with them. */
static int8_t *landing(const conv *job, pixel at, int64_t first) {
  const bool waits = job->body->add || at.i || at.j;
  return waits ? job->line : place(&job->to, at) + first;
}

/* The output path, for `count` results from output channel `first` on that are in their landing. */
static void deliver(const conv *job, pixel at, int64_t first, size_t count) {
  if (job->body->add)
    re2na_add_line(job->line, place(&job->operand, at) + first, place(&job->to, at) + first, count, job->by, &job->sum);
  else if (at.i || at.j)
    re2na_raise_line(place(&job->to, at) + first, job->line, count);
}

RE2NA_CLONES
static void widen(const int8_t *restrict from, int16_t *restrict to, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = from[i];
}

/* The inputs of one pixel and group in the order of k, zeros for padding. */
static void gather_all(const conv *job, corner at, int64_t first_channel, int16_t *line) {
  const re2na_conv *body = job->body;
  const size_t channels = (size_t)job->channels;
  const bool whole_rows = body->dilation_w == 1 && body->in_pixel_stride == job->channels && at.x >= 0 &&
                          at.x + body->kernel_w <= body->in_w;
  for (int64_t ky = 0; ky < body->kernel_h; ky++) {
    const int8_t *start = whole_rows ? under(job, at, ky, 0) : NULL;
    if (start) {
      widen(start + first_channel, line, (size_t)body->kernel_w * channels);
      line += (size_t)body->kernel_w * channels;
      continue;
    }
    for (int64_t kx = 0; kx < body->kernel_w; kx++, line += channels) {
      const int8_t *from = under(job, at, ky, kx);
      if (from) widen(from + first_channel, line, channels);
      else memset(line, 0, channels * sizeof *line);
    }
  }
}

/* The same for the steps that have a line of weights. */
static void gather_present(const conv *job, corner at, int64_t first_channel, int16_t *line) {
  const uint32_t *step = job->present, *end = step + job->lines;
  while (step < end) {
    const int64_t position = *step / job->channels, first = position * job->channels, behind = first + job->channels;
    const int8_t *from = under(job, at, position / job->body->kernel_w, position % job->body->kernel_w);
    for (; step < end && *step < behind; step++) *line++ = from ? from[first_channel + *step - first] : 0;
  }
}

/* With a zero behind an odd number of lines. */
static void gather(const conv *job, pixel at, int64_t first_channel, int16_t *line) {
  if (job->lines % 2) line[job->lines] = 0;
  if (job->present) gather_present(job, corner_of(job->body, at), first_channel, line);
  else gather_all(job, corner_of(job->body, at), first_channel, line);
}

/* Whether every sum surely fits 32 bits. */
static bool is_narrow(const conv *job) {
  if (job->lines > RE2NA_NARROW_K) return false;
  for (int64_t o = 0; o < job->body->out_c; o++) {
    int32_t bias = (int32_t)re2na_u32(job->bias + 4 * o);
    if (bias <= -(1 << 30) || bias >= 1 << 30) return false;
  }
  return true;
}

typedef struct block {
  int64_t first, outputs; /* output channels */
  int64_t pixels;
  size_t line;        /* items of a line of inputs */
  size_t sum_stride;
} block;

static void narrow_block(const conv *job, re2na_machine *machine, const block *part, pixel at) {
  int32_t *sums = machine->sums;
  for (int64_t p = 0; p < part->pixels; p++)
    for (int64_t o = 0; o < part->outputs; o++)
      sums[(size_t)p * part->sum_stride + (size_t)o] = (int32_t)re2na_u32(job->bias + 4 * (part->first + o));
  re2na_gemm(sums, part->sum_stride, machine->columns, part->line, job->weights + part->first, (size_t)job->body->out_c,
             (size_t)part->pixels, (size_t)job->lines, (size_t)part->outputs);
  for (int64_t p = 0; p < part->pixels; p++, next_pixel(job->body, &at)) {
    re2na_cut_line(sums + (size_t)p * part->sum_stride, landing(job, at, part->first), (size_t)part->outputs, &job->how,
                   job->overflows);
    deliver(job, at, part->first, (size_t)part->outputs);
  }
}

static void wide_block(const conv *job, re2na_machine *machine, const block *part, pixel at) {
  int64_t *totals = machine->partials;
  for (int64_t p = 0; p < part->pixels; p++)
    for (int64_t o = 0; o < part->outputs; o++)
      totals[p * part->outputs + o] = (int32_t)re2na_u32(job->bias + 4 * (part->first + o));
  for (int64_t k = 0; k < job->lines; k += RE2NA_NARROW_K) {
    int64_t steps = job->lines - k < RE2NA_NARROW_K ? job->lines - k : RE2NA_NARROW_K;
    memset(machine->sums, 0, (size_t)part->pixels * part->sum_stride * sizeof *machine->sums);
    re2na_gemm(machine->sums, part->sum_stride, machine->columns + k, part->line,
               job->weights + k * job->body->out_c + part->first, (size_t)job->body->out_c, (size_t)part->pixels,
               (size_t)steps, (size_t)part->outputs);
    for (int64_t p = 0; p < part->pixels; p++)
      for (int64_t o = 0; o < part->outputs; o++)
        totals[p * part->outputs + o] += machine->sums[(size_t)p * part->sum_stride + (size_t)o];
  }
  for (int64_t p = 0; p < part->pixels; p++, next_pixel(job->body, &at)) {
    re2na_cut_wide_line(totals + p * part->outputs, landing(job, at, part->first), (size_t)part->outputs, &job->how,
                        job->overflows);
    deliver(job, at, part->first, (size_t)part->outputs);
  }
}

static int64_t pixel_count(const conv *job) { return job->body->n * job->body->out_h * job->body->out_w * job->window; }

static void conv_blocks(const conv *job, re2na_machine *machine) {
  const re2na_conv *body = job->body;
  const int64_t pixels = pixel_count(job);
  const bool narrow = is_narrow(job);
  block part = {.outputs = body->out_c / body->groups, .line = (size_t)(job->lines + job->lines % 2)};
  part.sum_stride = (size_t)re2na_round_up((uint64_t)part.outputs, RE2NA_LANES);
  for (int64_t index = 0; index < pixels; index += RE2NA_PIXELS) {
    const pixel first = pixel_at(job, index);
    part.pixels = pixels - index < RE2NA_PIXELS ? pixels - index : RE2NA_PIXELS;
    for (int64_t group = 0; group < body->groups; group++) {
      pixel at = first;
      part.first = group * part.outputs;
      for (int64_t p = 0; p < part.pixels; p++, next_pixel(body, &at))
        gather(job, at, group * job->channels, machine->columns + (size_t)p * part.line);
      if (narrow) narrow_block(job, machine, &part, first);
      else wide_block(job, machine, &part, first);
    }
  }
}

RE2NA_CLONES
static void multiply_channels(int32_t *restrict sums, const int8_t *restrict x, const int8_t *restrict weights, size_t count) {
  for (size_t c = 0; c < count; c++) sums[c] += (int16_t)x[c] * (int16_t)weights[c];
}

static void depthwise_all(const conv *job, corner at, int32_t *sums) {
  const int8_t *weights = job->weights;
  const int64_t channels = job->body->out_c;
  for (int64_t ky = 0; ky < job->body->kernel_h; ky++)
    for (int64_t kx = 0; kx < job->body->kernel_w; kx++, weights += channels) {
      const int8_t *from = under(job, at, ky, kx);
      if (from) multiply_channels(sums, from, weights, (size_t)channels);
    }
}

static void depthwise_present(const conv *job, corner at, int32_t *sums) {
  const int64_t channels = job->body->out_c, width = job->body->kernel_w;
  for (int64_t j = 0; j < job->lines; j++) {
    const int8_t *from = under(job, at, job->present[j] / width, job->present[j] % width);
    if (from) multiply_channels(sums, from, job->weights + j * channels, (size_t)channels);
  }
}

/* One input and one output channel in each group. k is at most 255 x 255 here, so that narrow sums fit. */
static void conv_depthwise(const conv *job, re2na_machine *machine) {
  const int64_t pixels = pixel_count(job);
  const size_t channels = (size_t)job->body->out_c;
  pixel at = {0};
  for (int64_t index = 0; index < pixels; index++, next_pixel(job->body, &at)) {
    for (size_t c = 0; c < channels; c++) machine->sums[c] = (int32_t)re2na_u32(job->bias + 4 * c);
    if (job->present) depthwise_present(job, corner_of(job->body, at), machine->sums);
    else depthwise_all(job, corner_of(job->body, at), machine->sums);
    re2na_cut_line(machine->sums, landing(job, at, 0), channels, &job->how, job->overflows);
    deliver(job, at, 0, channels);
  }
}

static void conv_saturating(const conv *job, re2na_machine *machine) {
  const re2na_conv *body = job->body;
  const int64_t pixels = pixel_count(job), outputs = body->out_c / body->groups;
  pixel at = {0};
  for (int64_t index = 0; index < pixels; index++, next_pixel(body, &at)) {
    uint64_t ignored = 0; /* nothing is left to overflow when the saturated sums are cut */
    re2na_saturating_start(machine->sums, job->bias, (size_t)body->out_c, &job->how, job->overflows);
    for (int64_t group = 0; group < body->groups; group++) {
      const int8_t *weights = job->weights + group * outputs;
      gather(job, at, group * job->channels, machine->columns);
      for (int64_t k = 0; k < job->lines; k++, weights += body->out_c)
        re2na_saturating_step(machine->sums + group * outputs, machine->columns[k], weights, (size_t)outputs, &job->how,
                              job->overflows);
    }
    re2na_cut_line(machine->sums, landing(job, at, 0), (size_t)body->out_c, &job->how, &ignored);
    deliver(job, at, 0, (size_t)body->out_c);
  }
}

void re2na_run_conv(re2na_machine *machine, const re2na_conv *body, bool aside, uint64_t *overflows) {
  const re2na_arch *arch = &machine->program->arch;
  int8_t *sram = (int8_t *)machine->sram;
  conv job = {
      .body = body,
      .input = sram + body->in_addr,
      .weights = sram + body->weight_addr,
      .bias = machine->sram + body->bias_addr,
      .how = re2na_make_cut(arch, body->lsb, body->lo, body->hi),
      .to = {sram + body->out_addr, body->out_pixel_stride, body->out_row_stride, body->out_image_stride},
      .channels = body->in_c / body->groups,
      .overflows = overflows,
      .window = body->pool_h * body->pool_w,
      .line = machine->line,
  };
  const target real = job.to;
  const int64_t k = body->kernel_h * body->kernel_w * job.channels;
  job.present = re2na_present(machine, body->mask_addr, k, body->steps, &job.lines);
  if (body->add) {
    job.operand = (target){sram + body->add_addr, body->add_pixel_stride, body->add_row_stride, body->add_image_stride};
    job.sum = re2na_make_cut(arch, 0, body->add_lo, body->add_hi);
    job.by = re2na_make_scaling(arch, body->shift_a, body->shift_b);
  }
  if (aside) {
    const int64_t row = body->out_w * body->out_c;
    job.to = (target){machine->results, body->out_c, row, body->out_h * row};
  }
  if (job.how.saturates) conv_saturating(&job, machine);
  else if (job.channels == 1 && body->groups == body->out_c && is_narrow(&job)) conv_depthwise(&job, machine);
  else conv_blocks(&job, machine);
  if (aside) re2na_scatter(machine->results, real, body->n, body->out_h, body->out_w, body->out_c);
}
