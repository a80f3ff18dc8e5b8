/* Every instruction by itself: fields within their limits, every access within its memory. */
#include <stdlib.h>

#include "internal.h"

typedef struct checker {
  re2na_program *program;
  uint32_t index;
  const re2na_instruction *at;
  re2na_error *error;
} checker;

/* `count` steps of `stride` bytes. */
typedef struct axis {
  int64_t count, stride;
} axis;

typedef struct span {
  uint64_t start, stop;
} span;

static const char *name(const checker *check) { return re2na_opcode_name(check->at->opcode); }

static int32_t in_range(const checker *check, const char *field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return RE2NA_OK;
  return re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION, "instruction %u (%s): %s = %lld is outside %lld..%lld",
                    check->index, name(check), field, (long long)value, (long long)low, (long long)high);
}

#define IN_RANGE(check, body, field, low, high)                                  \
  do {                                                                           \
    int32_t code_ = in_range((check), #field, (body)->field, (low), (high));     \
    if (code_) return code_;                                                     \
  } while (0)

/* First byte and the one behind the last of `run` bytes repeated along three axes; saturates far outside any memory. */
static span touched(int64_t start, int64_t run, axis a, axis b, axis c) {
  const uint64_t far = UINT64_C(1) << 62;
  const axis axes[3] = {a, b, c};
  uint64_t stop = (uint64_t)start + (uint64_t)run;
  for (int i = 0; i < 3; i++) {
    uint64_t steps, stride = (uint64_t)axes[i].stride;
    if (axes[i].count == 0 || run == 0) return (span){(uint64_t)start, (uint64_t)start};
    steps = (uint64_t)axes[i].count - 1;
    if (stride && steps > (far - stop) / stride) return (span){(uint64_t)start, far};
    stop += steps * stride;
  }
  return (span){(uint64_t)start, stop};
}

static span run_of(int64_t start, int64_t bytes) { return touched(start, bytes, (axis){1, 0}, (axis){1, 0}, (axis){1, 0}); }

static int32_t in_memory(const checker *check, const char *what, const char *memory, span bytes, uint64_t size) {
  if (bytes.stop <= size) return RE2NA_OK;
  return re2na_fail(check->error, RE2NA_ERROR_ACCESS, "instruction %u (%s): %s at %s bytes %llu..%llu, the %s has %llu",
                    check->index, name(check), what, memory, (unsigned long long)bytes.start,
                    (unsigned long long)bytes.stop, memory, (unsigned long long)size);
}

static int32_t in_sram(const checker *check, const char *what, span bytes) {
  int32_t code = in_memory(check, what, "SRAM", bytes, (uint64_t)check->program->arch.sram_bytes);
  if (!code) check->program->sram_used = re2na_max(check->program->sram_used, bytes.stop);
  return code;
}

static bool overlap(span a, span b) { return a.start < b.stop && b.start < a.stop; }

static void need(uint64_t *size, uint64_t wanted) { *size = re2na_max(*size, wanted); }

static void run_aside(const checker *check, uint64_t results) {
  check->program->aside[check->index] = 1;
  need(&check->program->result_bytes, results);
}

/* No instruction makes or moves more elements than the SRAM has bytes; so nothing that is counted can overflow. */
static int32_t check_amount(const checker *check, const char *what, const int64_t *sizes, int count, uint64_t *product) {
  uint64_t limit = (uint64_t)check->program->arch.sram_bytes;
  *product = 1;
  for (int i = 0; i < count; i++) {
    if (sizes[i] != 0 && *product > limit / (uint64_t)sizes[i])
      return re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION, "instruction %u (%s): more %s than the SRAM has bytes, %llu",
                        check->index, name(check), what, (unsigned long long)limit);
    *product *= (uint64_t)sizes[i];
  }
  return RE2NA_OK;
}

static int32_t check_transfer(const checker *check, const re2na_load *body) {
  re2na_program *program = check->program;
  const int64_t sizes[3] = {body->bytes, body->rows, body->planes};
  span dram = touched(body->dram_addr, body->bytes, (axis){body->rows, body->dram_row_stride},
                      (axis){body->planes, body->dram_plane_stride}, (axis){1, 0});
  span sram = touched(body->sram_addr, body->bytes, (axis){body->rows, body->sram_row_stride},
                      (axis){body->planes, body->sram_plane_stride}, (axis){1, 0});
  span constants = {program->constants_address, program->constants_address + program->constants_bytes};
  uint64_t amount;
  int32_t code;
  IN_RANGE(check, body, bytes, 1, program->arch.sram_bytes);
  IN_RANGE(check, body, rows, 1, UINT32_MAX);
  IN_RANGE(check, body, planes, 1, UINT16_MAX);
  code = check_amount(check, "bytes moved", sizes, 3, &amount);
  if (!code) code = in_memory(check, "transfer", "DRAM", dram, program->dram_bytes);
  if (!code) code = in_sram(check, "transfer", sram);
  if (!code && check->at->opcode == RE2NA_STORE && overlap(dram, constants))
    code = re2na_fail(check->error, RE2NA_ERROR_ACCESS, "instruction %u (STORE): DRAM bytes %llu..%llu overlap the constants at %llu..%llu",
                      check->index, (unsigned long long)dram.start, (unsigned long long)dram.stop,
                      (unsigned long long)constants.start, (unsigned long long)constants.stop);
  if (!code) program->fixed[check->index].dram_bytes = amount;
  return code;
}

static int32_t check_clamp(const checker *check, int64_t lo, int64_t hi) {
  return in_range(check, "lo", lo, INT8_MIN, hi);
}

/* The fields that CONV and POOL share. */
#define CHECK_WINDOW(check, body)                        \
  do {                                                   \
    IN_RANGE(check, body, n, 1, UINT16_MAX);             \
    IN_RANGE(check, body, in_c, 1, UINT16_MAX);          \
    IN_RANGE(check, body, out_h, 1, UINT16_MAX);         \
    IN_RANGE(check, body, out_w, 1, UINT16_MAX);         \
    IN_RANGE(check, body, kernel_h, 1, UINT8_MAX);       \
    IN_RANGE(check, body, kernel_w, 1, UINT8_MAX);       \
    IN_RANGE(check, body, stride_h, 1, UINT8_MAX);       \
    IN_RANGE(check, body, stride_w, 1, UINT8_MAX);       \
    IN_RANGE(check, body, dilation_h, 1, UINT8_MAX);     \
    IN_RANGE(check, body, dilation_w, 1, UINT8_MAX);     \
  } while (0)

#define INPUT_SPAN(body)                                                                                         \
  touched((body)->in_addr, (body)->in_h && (body)->in_w ? (body)->in_c : 0, (axis){(body)->in_w, (body)->in_pixel_stride}, \
          (axis){(body)->in_h, (body)->in_row_stride}, (axis){(body)->n, (body)->in_image_stride})
#define OUTPUT_SPAN(body, channels)                                                                               \
  touched((body)->out_addr, (channels), (axis){(body)->out_w, (body)->out_pixel_stride},                          \
          (axis){(body)->out_h, (body)->out_row_stride}, (axis){(body)->n, (body)->out_image_stride})

/* Whether no two outputs share a byte, as far as a look at the strides can tell. */
#define NESTED(body, channels)                                                                                     \
  (((body)->out_w == 1 || (body)->out_pixel_stride >= (channels)) &&                                               \
   ((body)->out_h == 1 || (body)->out_row_stride >= ((body)->out_w - 1) * (body)->out_pixel_stride + (channels)) && \
   ((body)->n == 1 || (body)->out_image_stride >= ((body)->out_h - 1) * (body)->out_row_stride +                   \
                                                      ((body)->out_w - 1) * (body)->out_pixel_stride + (channels)))

/* `rows`: of the array's own shape, or where `any` of a further one. */
static int32_t check_shape(const checker *check, int64_t rows, bool any) {
  const re2na_arch *arch = &check->program->arch;
  const bool further = any && rows > 0 && (rows & (rows - 1)) == 0 && (arch->array_shapes & rows);
  if (rows == arch->array_rows || further) return RE2NA_OK;
  return re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION,
                    "instruction %u (%s): rows = %lld, the array has %lld%s (array_shapes = %lld)", check->index, name(check),
                    (long long)rows, (long long)arch->array_rows, any ? " or those of a further shape" : " in this mode",
                    (long long)arch->array_shapes);
}

/* The lines of weights that are there, and the bitmap where they are not all. */
static int32_t check_weights(const checker *check, int64_t weight_addr, int64_t mask_addr, int64_t steps, int64_t k,
                             int64_t out_c) {
  const int64_t sizes[2] = {steps, out_c};
  uint64_t weights;
  int32_t code = in_range(check, "steps", steps, 0, k);
  if (!code) code = check_amount(check, "weights", sizes, 2, &weights);
  if (!code) code = in_sram(check, "weights", run_of(weight_addr, steps * out_c));
  if (!code && steps < k) {
    code = in_sram(check, "bitmap", run_of(mask_addr, k / 8 + (k % 8 != 0)));
    need(&check->program->present_items, (uint64_t)steps);
  }
  return code;
}

static int32_t check_output_path(const checker *check, const re2na_conv *body) {
  const re2na_arch *arch = &check->program->arch;
  const int64_t window = body->pool_h * body->pool_w, columns = arch->array_rows * arch->array_columns / body->rows;
  int32_t code;
  IN_RANGE(check, body, pool_h, 1, UINT8_MAX);
  IN_RANGE(check, body, pool_w, 1, UINT8_MAX);
  code = in_range(check, "pool_h * pool_w", window, 1, columns);
  if (code || !body->add) return code;
  IN_RANGE(check, body, shift_a, 0, arch->acc_bits - 1);
  IN_RANGE(check, body, shift_b, 0, arch->acc_bits - 1);
  IN_RANGE(check, body, add_lo, INT8_MIN, body->add_hi);
  return in_range(check, "pool_h * pool_w (add = 1)", window, 1, 1);
}

static int32_t check_conv_fields(const checker *check, const re2na_conv *body) {
  int32_t code;
  CHECK_WINDOW(check, body);
  code = check_shape(check, body->rows, true);
  if (code) return code;
  IN_RANGE(check, body, out_c, 1, body->rows);
  IN_RANGE(check, body, groups, 1, body->out_c);
  IN_RANGE(check, body, lsb, 0, check->program->arch.acc_bits - 1);
  code = check_clamp(check, body->lo, body->hi);
  if (!code) code = in_range(check, "in_c modulo groups", body->in_c % body->groups, 0, 0);
  if (!code) code = in_range(check, "out_c modulo groups", body->out_c % body->groups, 0, 0);
  return code ? code : check_output_path(check, body);
}

/* Where the operand lies just where the output goes, a pixel's is read before the pixel is written. */
static bool in_place(const re2na_conv *body) {
  return body->add_addr == body->out_addr && body->add_pixel_stride == body->out_pixel_stride &&
         body->add_row_stride == body->out_row_stride && body->add_image_stride == body->out_image_stride;
}

static int32_t check_conv(const checker *check, const re2na_conv *body) {
  re2na_program *program = check->program;
  const span input = INPUT_SPAN(body), output = OUTPUT_SPAN(body, body->out_c), bias = run_of(body->bias_addr, 4 * body->out_c);
  const span operand = touched(body->add_addr, body->add ? body->out_c : 0, (axis){body->out_w, body->add_pixel_stride},
                               (axis){body->out_h, body->add_row_stride}, (axis){body->n, body->add_image_stride});
  const int64_t sizes[4] = {body->n, body->out_h, body->out_w, body->out_c}, window = body->pool_h * body->pool_w;
  const uint64_t steps = (uint64_t)body->steps;
  uint64_t outputs;
  int32_t code = check_conv_fields(check, body);
  if (code) return code;
  const int64_t k = body->kernel_h * body->kernel_w * (body->in_c / body->groups);
  code = check_amount(check, "outputs", sizes, 4, &outputs);
  if (!code) code = in_sram(check, "input", input);
  if (!code) code = check_weights(check, body->weight_addr, body->mask_addr, body->steps, k, body->out_c);
  if (!code) code = in_sram(check, "biases", bias);
  if (!code && body->add) code = in_sram(check, "second operand", operand);
  if (!code) code = in_sram(check, "output", output);
  if (code) return code;
  program->fixed[check->index].macs = re2na_times(outputs * (uint64_t)window, steps);
  if (overlap(output, input) || overlap(output, run_of(body->weight_addr, body->steps * body->out_c)) ||
      overlap(output, bias) || (overlap(output, operand) && !in_place(body)) || !NESTED(body, body->out_c))
    run_aside(check, outputs);
  return RE2NA_OK;
}

static int32_t check_dense(const checker *check, const re2na_dense *body) {
  re2na_program *program = check->program;
  const re2na_arch *arch = &program->arch;
  const axis one = {1, 0};
  int32_t code;
  IN_RANGE(check, body, n, 1, UINT16_MAX);
  IN_RANGE(check, body, in_c, 1, arch->sram_bytes);
  IN_RANGE(check, body, out_c, 1, UINT16_MAX);
  IN_RANGE(check, body, lsb, 0, arch->acc_bits - 1);
  code = check_clamp(check, body->lo, body->hi);
  if (!code) code = in_range(check, "n * out_c", body->n * body->out_c, 1, arch->array_rows * arch->array_columns);
  if (!code) code = in_sram(check, "input", touched(body->in_addr, body->in_c, (axis){body->n, body->in_image_stride}, one, one));
  if (!code) code = check_weights(check, body->weight_addr, body->mask_addr, body->steps, body->in_c, body->out_c);
  if (!code && body->first) code = in_sram(check, "biases", run_of(body->bias_addr, 4 * body->out_c));
  if (!code && body->last)
    code = in_sram(check, "output", touched(body->out_addr, body->out_c, (axis){body->n, body->out_image_stride}, one, one));
  if (!code) program->fixed[check->index].macs = (uint64_t)(body->n * body->out_c) * (uint64_t)body->steps;
  return code;
}

static int32_t check_reconfigure(const checker *check, const re2na_reconfigure *body) {
  const bool any = body->mode == RE2NA_MODE_CONV || body->mode == RE2NA_MODE_GROUPED;
  IN_RANGE(check, body, mode, 0, RE2NA_MODE_COUNT - 1);
  return check_shape(check, body->rows, any);
}

static int32_t check_pool(const checker *check, const re2na_pool *body) {
  const int64_t sizes[4] = {body->n, body->out_h, body->out_w, body->in_c};
  span input = INPUT_SPAN(body), output = OUTPUT_SPAN(body, body->in_c);
  uint64_t outputs;
  int32_t code;
  CHECK_WINDOW(check, body);
  code = check_clamp(check, body->lo, body->hi);
  if (!code) code = check_amount(check, "outputs", sizes, 4, &outputs);
  if (code) return code;
  code = in_sram(check, "input", input);
  if (!code) code = in_sram(check, "output", output);
  if (!code && (overlap(output, input) || !NESTED(body, body->in_c))) run_aside(check, outputs);
  return code;
}

static int32_t check_eltwise(const checker *check, const re2na_eltwise *body) {
  const int64_t acc_bits = check->program->arch.acc_bits;
  span a = run_of(body->a_addr, body->bytes), b = run_of(body->b_addr, body->bytes);
  span output = run_of(body->out_addr, body->bytes);
  bool partly;
  int32_t code;
  IN_RANGE(check, body, bytes, 1, check->program->arch.sram_bytes);
  IN_RANGE(check, body, shift_a, 0, acc_bits - 1);
  IN_RANGE(check, body, shift_b, 0, acc_bits - 1);
  code = check_clamp(check, body->lo, body->hi);
  if (!code) code = in_sram(check, "first operand", a);
  if (!code && !body->unary) code = in_sram(check, "second operand", b);
  if (!code) code = in_sram(check, "output", output);
  partly = (overlap(output, a) && output.start != a.start) ||
           (!body->unary && overlap(output, b) && output.start != b.start);
  if (!code && partly) run_aside(check, (uint64_t)body->bytes);
  return code;
}

static int32_t check_instruction(const checker *check) {
  const re2na_instruction *at = check->at;
  if (check->program->source_count > 0 || at->source > 0) {
    int32_t code = in_range(check, "source", at->source, 0, (int64_t)check->program->source_count - 1);
    if (code) return code;
  }
  if ((at->wait | at->signal) >> at->engine & 1)
    return re2na_fail(check->error, RE2NA_ERROR_TOKENS, "instruction %u (%s): wait or signal names its own engine",
                      check->index, name(check));
  switch (at->opcode) {
    case RE2NA_RECONFIGURE: return check_reconfigure(check, &at->body.reconfigure);
    case RE2NA_LOAD:
    case RE2NA_STORE: return check_transfer(check, &at->body.load); /* the two bodies are alike */
    case RE2NA_CONV: return check_conv(check, &at->body.conv);
    case RE2NA_DENSE: return check_dense(check, &at->body.dense);
    case RE2NA_POOL: return check_pool(check, &at->body.pool);
    case RE2NA_ELTWISE: return check_eltwise(check, &at->body.eltwise);
    default: return RE2NA_OK;
  }
}

int32_t re2na_validate_instructions(re2na_program *program, re2na_error *error) {
  program->fixed = calloc(program->count, sizeof *program->fixed);
  program->aside = calloc(program->count, sizeof *program->aside);
  if (!program->fixed || !program->aside) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %u counters", program->count);
  for (uint32_t i = 0; i < program->count; i++) {
    checker check = {program, i, &program->code[i], error};
    int32_t code = check_instruction(&check);
    if (code) return code;
  }
  return RE2NA_OK;
}
