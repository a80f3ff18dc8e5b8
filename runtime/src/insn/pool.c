/* POOL: the maximum over a window. */
#include <string.h>

#include "insn/insn.h"
#include "insn/results.h"

/* ---- before a run ---- */

static int32_t check(const re2na_checker *by) {
  const re2na_pool *body = &by->at->body.pool;
  const re2na_sliding *window = &body->window;
  const re2na_region input = re2na_input_of(window, &body->input);
  const re2na_region output = re2na_output_of(window, &body->output, window->in_c);
  const int64_t sizes[4] = {window->n, window->out_h, window->out_w, window->in_c};
  uint64_t outputs;
  int32_t code = re2na_check_amount(by, "outputs", sizes, 4, &outputs);
  if (!code) code = re2na_in_sram(by, "input", input);
  if (!code) code = re2na_in_sram(by, "output", output);
  if (!code && (re2na_overlap(re2na_span_of(&output), re2na_span_of(&input)) || !re2na_is_nested(&output)))
    re2na_form_elsewhere(by, outputs);
  return code;
}

static int64_t mode(const re2na_instruction *at) {
  (void)at;
  return RE2NA_MODE_POOL;
}

static uint64_t work(const re2na_instruction *at) {
  const re2na_sliding *of = &at->body.pool.window;
  return re2na_plus(RE2NA_PRODUCT(of->n, of->out_h, of->out_w, of->in_c, of->kernel_h, of->kernel_w),
                    RE2NA_PRODUCT(of->n, of->in_h, of->in_w, of->in_c));
}

/* Whether each window has a row, or column, that is not padding. */
static bool always_sees(int64_t in, int64_t out, int64_t window, int64_t stride, int64_t dilation, int64_t pad) {
  return dilation == 1 && in > 0 && pad < window && (out - 1) * stride - pad < in;
}

/* A maximum is as large as what it is taken of. */
static void trace(re2na_tracer *of, uint32_t index) {
  const re2na_pool *body = &of->program->code[index].body.pool;
  const re2na_sliding *w = &body->window;
  re2na_operands *found = &of->found[index];
  const bool sees = always_sees(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->dilation_h, w->pad_top) &&
                    always_sees(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->dilation_w, w->pad_left);
  uint8_t bound = re2na_bound_of(body->lo, body->hi);
  found->bound = re2na_trace_read(of, re2na_input_of(w, &body->input));
  if (bound == RE2NA_SIGNED && sees && found->bound != RE2NA_SIGNED && body->hi >= 0)
    bound = re2na_larger(found->bound, body->pad_value > 0 ? (uint8_t)body->pad_value : 0);
  re2na_trace_write(of, re2na_output_of(w, &body->output, w->in_c), bound);
}

/* ---- a run ---- */

/* Called for every position of a window. */
RE2NA_CLONES
static void keep_larger(int8_t *restrict best, const int8_t *restrict line, size_t count) {
  re2na_raise(best, line, count);
}

RE2NA_CLONES
static void clamp_line(int8_t *line, size_t count, int8_t lo, int8_t hi) {
  for (size_t c = 0; c < count; c++) {
    int8_t value = line[c] < lo ? lo : line[c];
    line[c] = value > hi ? hi : value;
  }
}

/* The maximum over one window whose first row and column are y0 and x0 of the image. */
static void pool_pixel(const re2na_pool *body, const int8_t *image, int64_t y0, int64_t x0, int8_t *best) {
  const re2na_sliding *w = &body->window;
  const size_t channels = (size_t)w->in_c;
  int64_t seen = 0;
  for (int64_t ky = 0; ky < w->kernel_h; ky++)
    for (int64_t kx = 0; kx < w->kernel_w; kx++) {
      const int64_t y = y0 + ky * w->dilation_h, x = x0 + kx * w->dilation_w;
      if (y < 0 || y >= w->in_h || x < 0 || x >= w->in_w) continue;
      const int8_t *from = image + y * body->input.row_stride + x * body->input.pixel_stride;
      if (seen++) keep_larger(best, from, channels);
      else memcpy(best, from, channels);
    }
  if (seen == 0) memset(best, (int)body->pad_value, channels);
  else if (seen < w->kernel_h * w->kernel_w) clamp_line(best, channels, (int8_t)body->pad_value, INT8_MAX);
  clamp_line(best, channels, (int8_t)body->lo, (int8_t)body->hi);
}

typedef struct pool {
  const re2na_pool *body;
  re2na_target to;
} pool;

/* Rows first..stop of the output, one image's behind the other's. */
static void pool_rows(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const pool *job = shared;
  const re2na_pool *body = job->body;
  const re2na_sliding *w = &body->window;
  (void)by;
  for (int64_t row = first; row < stop; row++) {
    const int64_t image = row / w->out_h, y = row % w->out_h;
    const int8_t *from = (const int8_t *)machine->memory.sram + body->input.addr + image * body->input.image_stride;
    int8_t *to = job->to.base + image * job->to.image + y * job->to.row;
    for (int64_t x = 0; x < w->out_w; x++, to += job->to.pixel)
      pool_pixel(body, from, y * w->stride_h - w->pad_top, x * w->stride_w - w->pad_left, to);
  }
}

static void run(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_pool *body = &program->code[index].body.pool;
  const re2na_sliding *w = &body->window;
  const bool elsewhere = program->buffered[index];
  const re2na_target real = re2na_target_at((int8_t *)machine->memory.sram, &body->output);
  const int64_t rows = w->n * w->out_h;
  pool job = {body, elsewhere ? re2na_target_elsewhere(machine->results, w, w->in_c) : real};
  (void)overflows;
  re2na_share(machine, pool_rows, &job, rows, 1, (uint64_t)(rows * w->out_w * w->in_c * w->kernel_h * w->kernel_w));
  if (elsewhere) re2na_scatter(machine->results, real, w, w->in_c);
}

RE2NA_INSN(POOL, check, mode, re2na_any_order, work, trace, re2na_needs_no_room, re2na_reserves_nothing,
           re2na_runs_in_parts, run);
