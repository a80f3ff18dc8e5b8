/* Follows a program's data from instruction to instruction, without their values: which operands are constants, and how large
 * inputs can be. A program runs straight through, so what is found holds for every run. */
#include "provenance.h"

#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "pack.h"

/* Bytes of SRAM that hold constants as they lie in the program. */
typedef struct copied {
  uint64_t start, stop;
  const uint8_t *from; /* what lies at `start` */
  uint32_t load;       /* the instruction that brought it */
} copied;

typedef struct tracer {
  const re2na_program *program;
  operands *found;
  copied *copies; /* in no order; none overlaps another */
  uint64_t count, room;
  uint64_t looks; /* at copies */
  re2na_machine spare; /* its memories hold, for each byte, RE2NA_SIGNED less the largest value it can have: nothing is 0, so that
                        * pages nobody writes need not be there */
} tracer;

/* ---- constants ---- */

static void add_copy(tracer *to, copied copy) {
  if (copy.start == copy.stop) return;
  if (to->count < to->room) to->copies[to->count++] = copy;
  else to->found[copy.load].needless = false; /* it is in SRAM, and only there does anyone look for it */
}

/* Something is written to start..stop, to every byte if `all`. */
static void overwrite(tracer *of, uint64_t start, uint64_t stop, bool all) {
  of->looks += of->count;
  for (uint64_t i = of->count; i-- > 0;) {
    const copied copy = of->copies[i];
    if (copy.stop <= start || stop <= copy.start) continue;
    if (!all) of->found[copy.load].needless = false; /* some of it may still be there */
    of->copies[i] = of->copies[--of->count];
    if (copy.start < start) add_copy(of, (copied){copy.start, start, copy.from, copy.load});
    if (stop < copy.stop) add_copy(of, (copied){stop, copy.stop, copy.from + (stop - copy.start), copy.load});
  }
}

/* SRAM is read from start to stop, where constants may lie. */
static void read_sram(tracer *of, uint64_t start, uint64_t stop) {
  of->looks += of->count;
  for (uint64_t i = 0; i < of->count; i++)
    if (of->copies[i].start < stop && start < of->copies[i].stop) of->found[of->copies[i].load].needless = false;
}

static const copied *copy_at(tracer *of, uint64_t address) {
  of->looks += of->count;
  for (uint64_t i = 0; i < of->count; i++)
    if (of->copies[i].start <= address && address < of->copies[i].stop) return &of->copies[i];
  return NULL;
}

/* Where the bytes lie in the program, if they all lie there in one piece with `slack` bytes behind it; if not, they have to be read
 * in SRAM. */
static const uint8_t *constant(tracer *of, int64_t address, uint64_t bytes, uint64_t slack) {
  const uint64_t start = (uint64_t)address, stop = start + bytes;
  const copied *copy = copy_at(of, start);
  const uint8_t *from = copy ? copy->from + (start - copy->start) : NULL;
  uint64_t at = start;
  while (copy && copy->from + (at - copy->start) == from + (at - start) && copy->stop < stop && of->looks <= of->program->limits.work) {
    at = copy->stop;
    copy = copy_at(of, at);
  }
  if (copy && bytes && stop <= copy->stop && copy->from + (at - copy->start) == from + (at - start) &&
      (uint64_t)(of->program->bytes + of->program->size - from) >= bytes + slack)
    return from;
  read_sram(of, start, stop);
  return NULL;
}

/* ---- values ---- */

static uint8_t *spare_at(const tracer *of, int64_t sram) { return of->spare.sram + sram; }

static uint8_t larger(uint8_t a, uint8_t b) { return a > b ? a : b; }

static uint8_t largest_of(const uint8_t *spare, int64_t count) {
  uint8_t least = RE2NA_SIGNED;
  for (int64_t i = 0; i < count; i++) least = spare[i] < least ? spare[i] : least;
  return (uint8_t)(RE2NA_SIGNED - least);
}

/* Along three axes, as in the instructions. */
typedef struct region {
  int64_t start, run, pixels, pixel, rows, row, images, image;
} region;

static uint8_t largest_in(const tracer *of, const region *at) {
  uint8_t largest = 0;
  for (int64_t i = 0; i < at->images; i++)
    for (int64_t y = 0; y < at->rows && largest <= INT8_MAX; y++)
      for (int64_t x = 0; x < at->pixels; x++)
        largest = larger(largest, largest_of(spare_at(of, at->start + i * at->image + y * at->row + x * at->pixel), at->run));
  return largest > INT8_MAX ? RE2NA_SIGNED : largest;
}

static uint64_t end_of(const region *at) {
  return (uint64_t)(at->start + (at->images - 1) * at->image + (at->rows - 1) * at->row + (at->pixels - 1) * at->pixel + at->run);
}

static bool is_empty(const region *at) { return !at->run || !at->pixels || !at->rows || !at->images; }

static bool has_gaps(const region *at) {
  return (at->pixels > 1 && at->pixel != at->run) || (at->rows > 1 && at->row != at->pixels * at->run) ||
         (at->images > 1 && at->image != at->rows * at->pixels * at->run);
}

static uint8_t read_region(tracer *of, const region *at) {
  if (is_empty(at)) return 0;
  read_sram(of, (uint64_t)at->start, end_of(at));
  return largest_in(of, at);
}

static void write_region(tracer *of, const region *at, uint8_t bound) {
  overwrite(of, (uint64_t)at->start, end_of(at), !has_gaps(at));
  for (int64_t i = 0; i < at->images; i++)
    for (int64_t y = 0; y < at->rows; y++)
      for (int64_t x = 0; x < at->pixels; x++)
        memset(spare_at(of, at->start + i * at->image + y * at->row + x * at->pixel), RE2NA_SIGNED - bound, (size_t)at->run);
}

/* Of results that are clamped to lo..hi. */
static uint8_t clamped(int64_t lo, int64_t hi) { return lo < 0 ? RE2NA_SIGNED : (uint8_t)hi; }

#define INPUT_OF(body) \
  {(body)->in_addr, (body)->in_c, (body)->in_w, (body)->in_pixel_stride, (body)->in_h, (body)->in_row_stride, (body)->n, (body)->in_image_stride}
#define OUTPUT_OF(body, side, channels)                                                                            \
  {(body)->side##_addr,       (channels), (body)->out_w, (body)->side##_pixel_stride, (body)->out_h, (body)->side##_row_stride, \
   (body)->n, (body)->side##_image_stride}

/* ---- instructions ---- */

static region transfer_of(const re2na_load *body) {
  return (region){body->sram_addr, body->bytes, body->rows, body->sram_row_stride, body->planes, body->sram_plane_stride, 1, 0};
}

/* How much of what is loaded lies among the constants. */
typedef enum share { NONE, SOME, ALL } share;

static share constant_share(const re2na_program *program, const re2na_load *body) {
  const uint64_t start = (uint64_t)body->dram_addr, first = program->constants_address, behind = first + program->constants_bytes;
  const uint64_t stop = start + (uint64_t)((body->planes - 1) * body->dram_plane_stride + (body->rows - 1) * body->dram_row_stride + body->bytes);
  if (start >= first && stop <= behind) return ALL;
  return start < behind && first < stop ? SOME : NONE;
}

enum { MANY_RUNS = 64 };

/* No compiled program comes near. */
static uint64_t most_copies(const re2na_program *program) {
  const uint64_t most = (uint64_t)program->count * MANY_RUNS;
  return most < RE2NA_MOST_COPIES ? most : RE2NA_MOST_COPIES;
}

/* Run after run; one copy where all lie side by side. Many short runs are no weights: they are not followed. */
static void copy_constants(tracer *of, uint32_t index, const re2na_load *body) {
  const region to = transfer_of(body);
  const uint8_t *from = of->program->constants + ((uint64_t)body->dram_addr - of->program->constants_address);
  const bool whole = !has_gaps(&to) && (body->rows == 1 || body->dram_row_stride == body->bytes) &&
                     (body->planes == 1 || body->dram_plane_stride == body->rows * body->bytes);
  write_region(of, &to, RE2NA_SIGNED);
  if (!whole && body->planes * body->rows > MANY_RUNS) return;
  of->found[index].needless = true;
  if (whole) {
    add_copy(of, (copied){(uint64_t)to.start, end_of(&to), from, index});
    return;
  }
  for (int64_t plane = 0; plane < body->planes; plane++)
    for (int64_t row = 0; row < body->rows; row++) {
      const uint64_t start = (uint64_t)(body->sram_addr + plane * body->sram_plane_stride + row * body->sram_row_stride);
      overwrite(of, start, start + (uint64_t)body->bytes, true);
      add_copy(of, (copied){start, start + (uint64_t)body->bytes,
                            from + plane * body->dram_plane_stride + row * body->dram_row_stride, index});
    }
}

static void trace_load(tracer *of, uint32_t index, const re2na_load *body) {
  const region to = transfer_of(body);
  const share constants = constant_share(of->program, body);
  if (constants == ALL) {
    copy_constants(of, index, body);
  } else if (constants == SOME) {
    write_region(of, &to, RE2NA_SIGNED);
  } else {
    overwrite(of, (uint64_t)to.start, end_of(&to), !has_gaps(&to));
    re2na_run_transfer(&of->spare, body, true);
  }
}

static void trace_store(tracer *of, const re2na_load *body) {
  const region from = transfer_of(body);
  read_sram(of, (uint64_t)from.start, end_of(&from));
  re2na_run_transfer(&of->spare, body, false);
}

static void trace_conv(tracer *of, operands *found, const re2na_conv *body) {
  const int64_t k = body->kernel_h * body->kernel_w * (body->in_c / body->groups);
  const region input = INPUT_OF(body), operand = OUTPUT_OF(body, add, body->out_c), output = OUTPUT_OF(body, out, body->out_c);
  found->bound = read_region(of, &input);
  found->weights = (const int8_t *)constant(of, body->weight_addr, (uint64_t)(body->steps * body->out_c), 0);
  found->bias = constant(of, body->bias_addr, 4 * (uint64_t)body->out_c, 0);
  if (body->steps < k) found->mask = constant(of, body->mask_addr, re2na_ceil((uint64_t)k, 8), 0);
  if (body->add) read_region(of, &operand);
  write_region(of, &output, body->add ? clamped(body->add_lo, body->add_hi) : clamped(body->lo, body->hi));
}

static void trace_dense(tracer *of, operands *found, const re2na_dense *body) {
  const region input = {body->in_addr, body->in_c, 1, 0, 1, 0, body->n, body->in_image_stride};
  const region output = {body->out_addr, body->out_c, 1, 0, 1, 0, body->n, body->out_image_stride};
  found->bound = read_region(of, &input);
  found->weights = (const int8_t *)constant(of, body->weight_addr, (uint64_t)(body->steps * body->out_c), RE2NA_SLACK);
  if (body->first) found->bias = constant(of, body->bias_addr, 4 * (uint64_t)body->out_c, 0);
  if (body->steps < body->in_c) found->mask = constant(of, body->mask_addr, re2na_ceil((uint64_t)body->in_c, 8), 0);
  if (body->last) write_region(of, &output, clamped(body->lo, body->hi));
}

/* Whether each window has a row, or column, that is not padding. */
static bool always_sees(int64_t in, int64_t out, int64_t window, int64_t stride, int64_t dilation, int64_t pad) {
  return dilation == 1 && in > 0 && pad < window && (out - 1) * stride - pad < in;
}

/* A maximum is as large as what it is taken of. */
static void trace_pool(tracer *of, operands *found, const re2na_pool *body) {
  const region input = INPUT_OF(body), output = OUTPUT_OF(body, out, body->in_c);
  const bool sees = always_sees(body->in_h, body->out_h, body->kernel_h, body->stride_h, body->dilation_h, body->pad_top) &&
                    always_sees(body->in_w, body->out_w, body->kernel_w, body->stride_w, body->dilation_w, body->pad_left);
  uint8_t bound = clamped(body->lo, body->hi);
  found->bound = read_region(of, &input);
  if (bound == RE2NA_SIGNED && sees && found->bound != RE2NA_SIGNED && body->hi >= 0)
    bound = larger(found->bound, body->pad_value > 0 ? (uint8_t)body->pad_value : 0);
  write_region(of, &output, bound);
}

/* Neither a shift nor an addition makes a sign, unless the result wraps. */
static void trace_eltwise(tracer *of, operands *found, const re2na_eltwise *body) {
  const region a = {body->a_addr, body->bytes, 1, 0, 1, 0, 1, 0}, b = {body->b_addr, body->bytes, 1, 0, 1, 0, 1, 0};
  const region output = {body->out_addr, body->bytes, 1, 0, 1, 0, 1, 0};
  uint8_t bound = clamped(body->lo, body->hi);
  found->bound = read_region(of, &a);
  if (!body->unary) found->bound = larger(found->bound, read_region(of, &b));
  if (bound == RE2NA_SIGNED && found->bound != RE2NA_SIGNED && body->hi >= 0 &&
      of->program->arch.cut_overflow == RE2NA_CUT_OVERFLOW_SATURATE)
    bound = (uint8_t)body->hi;
  write_region(of, &output, bound);
}

static void trace(tracer *of, uint32_t index) {
  const re2na_instruction *at = &of->program->code[index];
  operands *found = &of->found[index];
  switch (at->opcode) {
    case RE2NA_LOAD: trace_load(of, index, &at->body.load); break;
    case RE2NA_STORE: trace_store(of, &at->body.load); break;
    case RE2NA_CONV: trace_conv(of, found, &at->body.conv); break;
    case RE2NA_DENSE: trace_dense(of, found, &at->body.dense); break;
    case RE2NA_POOL: trace_pool(of, found, &at->body.pool); break;
    case RE2NA_ELTWISE: trace_eltwise(of, found, &at->body.eltwise); break;
    default: break;
  }
}

int32_t re2na_trace_operands(re2na_program *program, operands **found, re2na_error *error) {
  const uint64_t dram = program->dram_bytes - program->constants_bytes;
  tracer of = {.program = program, .room = most_copies(program)};
  int32_t code = re2na_ask_memory(program, of.room * sizeof *of.copies, error);
  if (code) return code;
  of.found = calloc(program->count, sizeof *of.found);
  of.copies = malloc(of.room * sizeof *of.copies);
  of.spare.program = program;
  of.spare.sram = calloc((size_t)program->sram_used + RE2NA_SLACK, 1);
  of.spare.dram = calloc((size_t)dram + RE2NA_SLACK, 1);
  const bool enough = of.found && of.copies && of.spare.sram && of.spare.dram;
  if (!enough) code = re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for what is known of %u instructions", program->count);
  for (uint32_t i = 0; enough && i < program->count && !code; i++) {
    of.looks = 0;
    trace(&of, i);
    code = re2na_ask_work(program, of.looks, error);
  }
  free(of.copies);
  free(of.spare.sram);
  free(of.spare.dram);
  if (!code) *found = of.found;
  else free(of.found);
  return code;
}
