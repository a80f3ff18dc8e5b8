/* The inputs of a convolution, gathered as lines in the order of k, or found to lie so. */
#include <string.h>

#include "insn/conv_job.h"

enum { SHORT_RUN = 32 /* bytes that are copied whether all are wanted or not */ };

/* The input under a position of the kernel, or NULL in the padding. */
static const int8_t *under(const re2na_conv_job *job, re2na_corner at, int64_t ky, int64_t kx) {
  const re2na_conv *body = job->body;
  const int64_t y = at.y + ky * body->window.dilation_h, x = at.x + kx * body->window.dilation_w;
  if (y < 0 || y >= body->window.in_h || x < 0 || x >= body->window.in_w) return NULL;
  return job->input + at.image * body->input.image_stride + y * body->input.row_stride + x * body->input.pixel_stride;
}

RE2NA_CLONES
static void shift_up(const int8_t *restrict from, uint8_t *restrict to, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = (uint8_t)from[i] ^ 0x80;
}

/* `words` of eight bytes; a constant where this is inlined. */
static inline void copy_words(const int8_t *from, uint8_t *to, uint64_t offsets, const size_t words) {
  for (size_t i = 0; i < words; i++) {
    uint64_t word;
    memcpy(&word, from + 8 * i, sizeof word);
    word ^= offsets;
    memcpy(to + 8 * i, &word, sizeof word);
  }
}

/* A run of inputs to its place in a line; may write SHORT_RUN bytes whatever `count` is: what comes next overwrites
 * them. */
static inline uint8_t *copy_run(const int8_t *from, uint8_t *to, size_t count, uint8_t offset) {
  const uint64_t offsets = offset * UINT64_C(0x0101010101010101);
  if (count <= 8) copy_words(from, to, offsets, 1);
  else if (count <= SHORT_RUN) copy_words(from, to, offsets, SHORT_RUN / 8);
  else if (offset) shift_up(from, to, count);
  else memcpy(to, from, count);
  return to + count;
}

/* `pixels` runs, `step` bytes from one to the next, to lines that are `stride` apart. */
RE2NA_CLONES
static void copy_runs(const int8_t *from, int64_t step, uint8_t *to, size_t stride, size_t pixels, size_t count,
                      uint8_t offset) {
  const uint64_t offsets = offset * UINT64_C(0x0101010101010101);
  if (count <= 8)
    for (; pixels; pixels--, from += step, to += stride) copy_words(from, to, offsets, 1);
  else if (count <= 16)
    for (; pixels; pixels--, from += step, to += stride) copy_words(from, to, offsets, 2);
  else if (count <= SHORT_RUN)
    for (; pixels; pixels--, from += step, to += stride) copy_words(from, to, offsets, SHORT_RUN / 8);
  else
    for (; pixels; pixels--, from += step, to += stride) copy_run(from, to, count, offset);
}

static uint8_t *pad_run(uint8_t *to, size_t count, uint8_t offset) {
  memset(to, offset, count);
  return to + count;
}

/* A row of the kernel, where some of its columns may lie in the padding. */
static uint8_t *gather_row(const re2na_conv_job *job, re2na_corner at, int64_t ky, int64_t first_channel, uint8_t *line,
                           uint8_t offset) {
  const size_t channels = (size_t)job->channels;
  for (int64_t kx = 0; kx < job->body->window.kernel_w; kx++) {
    const int8_t *from = under(job, at, ky, kx);
    line = from ? copy_run(from + first_channel, line, channels, offset) : pad_run(line, channels, offset);
  }
  return line;
}

/* The same where its columns follow each other in memory. */
static uint8_t *gather_run(const re2na_conv_job *job, re2na_corner at, int64_t ky, int64_t first_channel, uint8_t *line,
                           uint8_t offset) {
  const re2na_sliding *w = &job->body->window;
  const int64_t all = w->kernel_w, before = at.x < 0 ? -at.x : 0, left = before < all ? before : all;
  const int64_t inside = w->in_w - at.x, stop = inside < left ? left : inside < all ? inside : all;
  const int8_t *from = under(job, (re2na_corner){at.image, at.y, at.x + left}, ky, 0);
  if (!from) return pad_run(line, (size_t)(all * job->channels), offset);
  line = pad_run(line, (size_t)(left * job->channels), offset);
  line = copy_run(from + first_channel, line, (size_t)((stop - left) * job->channels), offset);
  return pad_run(line, (size_t)((all - stop) * job->channels), offset);
}

/* The inputs of one pixel and group in the order of k, padding where there is none. */
static void gather_all(const re2na_conv_job *job, re2na_corner at, int64_t first_channel, uint8_t *line,
                       uint8_t offset) {
  const re2na_conv *body = job->body;
  const bool in_runs = body->window.dilation_w == 1 && body->input.pixel_stride == job->channels;
  for (int64_t ky = 0; ky < body->window.kernel_h; ky++)
    line = (in_runs ? gather_run : gather_row)(job, at, ky, first_channel, line, offset);
}

/* From a pixel on, of at most `most` windows in its row: in how many the same pixel has nothing of the padding beside
 * it, and takes a row of the kernel in one run. */
static int64_t windows_in_runs(const re2na_conv_job *job, re2na_corner corner, int64_t most) {
  const re2na_conv *body = job->body;
  const re2na_sliding *w = &body->window;
  const int64_t inside = w->in_w - w->kernel_w - corner.x;
  const bool in_one_run = w->kernel_w == 1 || (w->dilation_w == 1 && body->input.pixel_stride == job->channels);
  if (job->present || !in_one_run || corner.x < 0 || inside < 0) return 0;
  const int64_t fit = inside / (w->stride_w * body->pool_w) + 1;
  return fit < most ? fit : most;
}

/* The inputs of that pixel of some such windows. */
static void gather_runs(const re2na_conv_job *job, re2na_corner at, int64_t first_channel, uint8_t *to, size_t stride,
                        int64_t windows, uint8_t offset) {
  const re2na_conv *body = job->body;
  const size_t run = (size_t)(body->window.kernel_w * job->channels);
  const int64_t step = body->pool_w * body->window.stride_w * body->input.pixel_stride;
  const int64_t start = at.image * body->input.image_stride + at.x * body->input.pixel_stride + first_channel;
  for (int64_t ky = 0; ky < body->window.kernel_h; ky++, to += run) {
    const int64_t y = at.y + ky * body->window.dilation_h;
    if (y >= 0 && y < body->window.in_h)
      copy_runs(job->input + start + y * body->input.row_stride, step, to, stride, (size_t)windows, run, offset);
    else
      for (int64_t i = 0; i < windows; i++) memset(to + (size_t)i * stride, offset, run);
  }
}

/* The same for the steps that have a line of weights. */
static void gather_present(const re2na_conv_job *job, re2na_corner at, int64_t first_channel, uint8_t *line,
                           uint8_t offset) {
  const uint32_t *step = job->present, *end = step + job->lines;
  while (step < end) {
    const int64_t position = *step / job->channels, first = position * job->channels, behind = first + job->channels;
    const int8_t *from = under(job, at, position / job->body->window.kernel_w, position % job->body->window.kernel_w);
    for (; step < end && *step < behind; step++)
      *line++ = (uint8_t)((from ? from[first_channel + *step - first] : 0) ^ offset);
  }
}

void re2na_gather(const re2na_conv_job *job, re2na_pixel at, int64_t first_channel, uint8_t *line, uint8_t offset) {
  if (job->present) gather_present(job, re2na_corner_of(job->body, at), first_channel, line, offset);
  else gather_all(job, re2na_corner_of(job->body, at), first_channel, line, offset);
}

/* Whether the inputs already lie as lines: that of pixel `index` at index * step, through the whole output. Pixel
 * (image, y, x) of the output has index (image * out_h + y) * out_w + x and, with a kernel of 1 x 1 without padding or
 * window, lies at image * in_image_stride
 * + y * stride_h * in_row_stride + x * step. The two are the same for all (image, y, x) if they are for the steps along
 * each axis: that of y counts where there is more than one row, that of the image where there is more than one,
 * whatever in_h is. All of these pixels are within in_h x in_w, which conv.c has found in the SRAM. A kernel reads a
 * line in whole quads, less than RE2NA_QUAD bytes behind it: within RE2NA_SLACK. */
static bool lie_ready(const re2na_conv_job *job) {
  const re2na_conv *body = job->body;
  const int64_t step = body->window.stride_w * body->input.pixel_stride, row = body->window.out_w * step;
  return body->window.kernel_h == 1 && body->window.kernel_w == 1 && !job->present && body->groups == 1 &&
         job->pooled == 1 && body->window.pad_top == 0 && body->window.pad_left == 0 &&
         (body->window.out_h - 1) * body->window.stride_h < body->window.in_h &&
         (body->window.out_w - 1) * body->window.stride_w < body->window.in_w &&
         (body->window.out_h == 1 || body->window.stride_h * body->input.row_stride == row) &&
         (body->window.n == 1 || body->input.image_stride == body->window.out_h * row);
}

/* The inputs of one pixel of every window of a block, the first of which it is `at`. */
static void gather_windows(const re2na_conv_job *job, const re2na_block *part, re2na_pixel at, uint8_t *to) {
  const size_t stride = re2na_line_stride(job->pack) * (size_t)job->pooled;
  const int64_t first_channel = part->group * job->channels, width = job->body->window.out_w;
  for (int64_t left = part->pixels / job->pooled, some; left; left -= some, to += (size_t)some * stride) {
    const re2na_corner corner = re2na_corner_of(job->body, at);
    some = windows_in_runs(job, corner, width - at.x < left ? width - at.x : left);
    if (some) {
      gather_runs(job, corner, first_channel, to, stride, some, job->pack->offset);
    } else {
      re2na_gather(job, at, first_channel, to, job->pack->offset);
      some = 1;
    }
    at.x += some;
    if (at.x == width) re2na_next_row(job->body, &at);
  }
}

re2na_columns re2na_conv_lines(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  const size_t stride = re2na_line_stride(job->pack);
  re2na_pixel at = part->at;
  if (lie_ready(job)) {
    const int64_t step = job->body->window.stride_w * job->body->input.pixel_stride;
    const int8_t *first = job->input + part->index * step;
    if (!job->pack->offset) return (re2na_columns){(const uint8_t *)first, (size_t)step};
    if (step == job->channels) { /* all of them at once */
      shift_up(first, by->columns, (size_t)(part->pixels * step));
      return (re2na_columns){by->columns, (size_t)step};
    }
  }
  if (part->index % job->pooled || part->pixels % job->pooled) { /* windows that are larger than blocks */
    for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at))
      re2na_gather(job, at, part->group * job->channels, by->columns + (size_t)p * stride, job->pack->offset);
  } else {
    for (int64_t p = 0; p < job->pooled; p++, re2na_next_pixel(job->body, &at))
      gather_windows(job, part, at, by->columns + (size_t)p * stride);
  }
  return (re2na_columns){by->columns, stride};
}
