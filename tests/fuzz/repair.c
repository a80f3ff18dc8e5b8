/* From any fields to a program that is accepted: each within the limits that the instruction table gives it, what is
 * too large is halved until it fits, addresses are drawn where the bytes fit, as often as not flush with the memory's
 * end. The numbers here keep sizes small. What is refused stays possible: the mutator leaves this out at times. */
#include <string.h>

#include "insn/insn.h"
#include "parts.h"

typedef struct axis {
  int64_t *count, *stride;
} axis;

typedef struct state {
  parts *of;
  uint64_t *random;
  int64_t rows; /* of the array's shape */
  re2na_dense *unfinished;
} state;

static int64_t clip(int64_t value, int64_t low, int64_t high) {
  const int64_t size = high - low + 1;
  if (size <= 0) return low;
  return value >= low && value <= high ? value : low + (int64_t)((uint64_t)value % (uint64_t)size);
}

static void clip_to(int64_t *value, int64_t low, int64_t high) { *value = clip(*value, low, high); }

/* Every field of the body. */
static void into_limits(const state *by, re2na_instruction *at) {
  for (unsigned i = 0; i < re2na_range_count(at->opcode); i++) {
    const re2na_range range = re2na_range_of(&by->of->arch, at, i);
    clip_to((int64_t *)(void *)((char *)at + range.offset), range.low, range.high);
  }
}

static void halve(int64_t *value) { *value = (*value + 1) / 2; }

static int64_t span(const axis *axes, int count, int64_t run) {
  int64_t size = run;
  for (int i = 0; i < count; i++) {
    if (*axes[i].count == 0) return 0;
    size += (*axes[i].count - 1) * *axes[i].stride;
  }
  return size;
}

/* Where `size` bytes fit into low..high; more than that are refused wherever they lie. */
static void place(state *by, int64_t *address, int64_t size, int64_t low, int64_t high) {
  if (size > high - low) return;
  if (*address >= low && *address <= high - size && !chance(by->random, 8)) return;
  *address = chance(by->random, 2) ? high - size : low + (int64_t)below(by->random, (uint64_t)(high - size - low + 1));
}

static void fit(state *by, int64_t *address, axis *axes, int count, int64_t run, int64_t low, int64_t high) {
  while (span(axes, count, run) > high - low) {
    for (int i = 0; i < count; i++) {
      *axes[i].stride /= 2;
      if (*axes[i].stride == 0 && *axes[i].count > 1) *axes[i].count /= 2;
    }
  }
  place(by, address, span(axes, count, run), low, high);
}

static int64_t sram_of(const state *by) { return by->of->arch.sram_bytes; }

static void fit_view(state *by, re2na_view *at, int64_t *n, int64_t *height, int64_t *width, int64_t run) {
  axis axes[] = {{height, &at->row_stride}, {width, &at->pixel_stride}, {n, &at->image_stride}};
  fit(by, &at->addr, axes, 3, run, 0, sram_of(by));
}

static void fit_input(state *by, re2na_sliding *w, re2na_view *at) {
  fit_view(by, at, &w->n, &w->in_h, &w->in_w, w->in_c);
}

static void fit_output(state *by, re2na_sliding *w, re2na_view *at, int64_t channels) {
  fit_view(by, at, &w->n, &w->out_h, &w->out_w, channels);
}

/* One axis of a window as networks have it: an output for each place of the window, padding smaller than the window,
 * small strides. */
static void real_axis(state *by, int64_t *in, int64_t *out, int64_t *kernel, int64_t *stride, int64_t *dilation,
                      int64_t *pad) {
  *in = 1 + (int64_t)below(by->random, chance(by->random, 2) ? 4 : 20);
  *stride = 1 + (int64_t)below(by->random, 3);
  *dilation = 1 + chance(by->random, 4);
  *pad = (int64_t)below(by->random, (uint64_t)*kernel);
  const int64_t places = (*in + 2 * *pad - (*kernel - 1) * *dilation - 1) / *stride + 1;
  *out = places < 1 ? 1 : places > 12 ? 12 : places;
}

/* Sizes of a window that stay small: of any kind, or as networks have them, which is where kernels find that inputs lie
 * ready. */
static void clip_window(state *by, re2na_sliding *w, re2na_view *input) {
  const bool point = chance(by->random, 4), real = chance(by->random, 2), large = chance(by->random, 32);
  clip_to(&w->n, 1, 4);
  clip_to(&w->in_h, 0, 20);
  clip_to(&w->in_w, 0, 20);
  clip_to(&w->out_h, 1, 12);
  clip_to(&w->out_w, 1, 12);
  if (point || !large) {
    clip_to(&w->kernel_h, 1, point ? 1 : 6);
    clip_to(&w->kernel_w, 1, point ? 1 : 6);
  }
  if (!real) return;
  real_axis(by, &w->in_h, &w->out_h, &w->kernel_h, &w->stride_h, &w->dilation_h, &w->pad_top);
  real_axis(by, &w->in_w, &w->out_w, &w->kernel_w, &w->stride_w, &w->dilation_w, &w->pad_left);
  input->pixel_stride = w->in_c;
  input->row_stride = w->in_c * w->in_w;
  input->image_stride = input->row_stride * w->in_h;
}

/* `steps` is no more than `k`. */
static void repair_weights(state *by, int64_t *steps, int64_t k, int64_t out_c, int64_t *weights, int64_t *mask,
                           int64_t *bias) {
  if (chance(by->random, 2)) *steps = k;
  while (*steps * out_c > sram_of(by)) *steps /= 2;
  place(by, weights, *steps * out_c, 0, sram_of(by));
  if (*steps < k) place(by, mask, (k + 7) / 8, 0, sram_of(by));
  place(by, bias, 4 * out_c, 0, sram_of(by));
}

static void repair_groups(state *by, re2na_instruction *at) {
  re2na_conv *body = &at->body.conv;
  int64_t *in_c = &body->window.in_c;
  clip_to(&body->out_c, 1, 70);
  clip_to(in_c, 1, chance(by->random, 8) ? 300 : 70);
  into_limits(by, at);
  if (body->out_c % body->groups == 0 && *in_c % body->groups == 0) return;
  if (chance(by->random, 2)) { /* depthwise, or nearly */
    body->groups = body->out_c;
    *in_c = body->groups * (int64_t)(1 + chance(by->random, 4));
  } else {
    body->groups = 1;
  }
}

static int64_t sum_bytes(const re2na_conv *body) {
  const re2na_sliding *w = &body->window;
  return 4 * w->n * w->out_h * w->out_w * body->pool_h * body->pool_w * body->out_c;
}

static void repair_conv(state *by, re2na_instruction *at) {
  re2na_conv *body = &at->body.conv;
  const re2na_arch *arch = &by->of->arch;
  const int64_t columns = arch->array_rows * arch->array_columns / by->rows;
  re2na_sliding *w = &body->window;
  body->rows = by->rows;
  if (!chance(by->random, 3)) body->first = body->last = 1;
  into_limits(by, at);
  repair_groups(by, at);
  clip_window(by, w, &body->input);
  clip_to(&body->pool_h, 1, 3);
  clip_to(&body->pool_w, 1, 3);
  if (body->add || body->pool_h * body->pool_w > columns) body->pool_h = body->pool_w = 1;
  while (w->n * w->out_h * w->out_w * body->out_c > sram_of(by)) halve(&w->out_h), halve(&w->out_w);
  while (!(body->first && body->last) && sum_bytes(body) > sram_of(by)) {
    halve(&w->n), halve(&w->out_h), halve(&w->out_w), halve(&body->out_c);
    body->pool_h = body->pool_w = 1;
  }
  fit_input(by, w, &body->input);
  fit_output(by, w, &body->output, body->out_c);
  if (body->add) fit_output(by, w, &body->operand, body->out_c);
  fit_output(by, w, &body->output, body->out_c);
  fit_input(by, w, &body->input);
  into_limits(by, at);
  repair_weights(by, &body->steps, w->kernel_h * w->kernel_w * (w->in_c / body->groups), body->out_c,
                 &body->weight_addr, &body->mask_addr, &body->bias_addr);
  place(by, &body->bias_addr, (4 + body->cuts) * body->out_c, 0, sram_of(by));
  if (!(body->first && body->last)) place(by, &body->sum_addr, sum_bytes(body), 0, sram_of(by));
}

static void repair_pool(state *by, re2na_instruction *at) {
  re2na_pool *body = &at->body.pool;
  re2na_sliding *w = &body->window;
  into_limits(by, at);
  clip_to(&w->in_c, 1, 70);
  clip_window(by, w, &body->input);
  while (w->n * w->out_h * w->out_w * w->in_c > sram_of(by)) halve(&w->out_h), halve(&w->out_w);
  fit_output(by, w, &body->output, w->in_c);
  fit_input(by, w, &body->input);
}

static void repair_dense(state *by, re2na_instruction *at) {
  re2na_dense *body = &at->body.dense;
  const re2na_arch *arch = &by->of->arch;
  const int64_t pes = arch->array_rows * arch->array_columns;
  into_limits(by, at);
  clip_to(&body->n, 1, 8);
  clip_to(&body->out_c, 1, 100);
  clip_to(&body->in_c, 1, chance(by->random, 8) ? 3000 : 90);
  if (by->unfinished) body->n = by->unfinished->n, body->out_c = by->unfinished->out_c;
  else if (body->n * body->out_c > pes) body->n = 1, body->out_c = clip(body->out_c, 1, pes);
  body->first = !by->unfinished;
  into_limits(by, at);
  int64_t n = body->n;
  axis in[] = {{&n, &body->in_image_stride}}, out[] = {{&n, &body->out_image_stride}};
  while (span(in, 1, body->in_c) > sram_of(by)) body->in_image_stride /= 2;
  while (span(out, 1, body->out_c) > sram_of(by)) body->out_image_stride /= 2;
  place(by, &body->in_addr, span(in, 1, body->in_c), 0, sram_of(by));
  place(by, &body->out_addr, span(out, 1, body->out_c), 0, sram_of(by));
  repair_weights(by, &body->steps, body->in_c, body->out_c, &body->weight_addr, &body->mask_addr, &body->bias_addr);
  by->unfinished = body->last ? NULL : body;
}

static void repair_eltwise(state *by, re2na_instruction *at) {
  re2na_eltwise *body = &at->body.eltwise;
  into_limits(by, at);
  clip_to(&body->bytes, 1, 1500);
  place(by, &body->a_addr, body->bytes, 0, sram_of(by));
  place(by, &body->b_addr, body->bytes, 0, sram_of(by));
  place(by, &body->out_addr, body->bytes, 0, sram_of(by));
}

/* One in eight on a machine that has no table. */
static void repair_lookup(state *by, re2na_instruction *at) {
  re2na_lookup *body = &at->body.lookup;
  if (!chance(by->random, 8)) by->of->arch.activation_table = 1;
  into_limits(by, at);
  clip_to(&body->n, 1, 4);
  clip_to(&body->in_c, 1, 70);
  clip_to(&body->out_h, 1, 12);
  clip_to(&body->out_w, 1, 12);
  while (body->n * body->out_h * body->out_w * body->in_c > sram_of(by)) halve(&body->out_h), halve(&body->out_w);
  if (chance(by->random, 4)) body->output = body->input;
  fit_view(by, &body->input, &body->n, &body->out_h, &body->out_w, body->in_c);
  fit_view(by, &body->output, &body->n, &body->out_h, &body->out_w, body->in_c);
  fit_view(by, &body->input, &body->n, &body->out_h, &body->out_w, body->in_c);
  place(by, &body->table_addr, 256, 0, sram_of(by));
}

static void repair_transfer(state *by, re2na_instruction *at, re2na_transfer *body, bool is_load) {
  const parts *of = by->of;
  const int64_t behind = (int64_t)(of->constants_address + of->constants_bytes), dram = (int64_t)of->dram_bytes;
  const bool above = behind < dram || of->constants_address == 0;
  const int64_t low = is_load || !above ? 0 : behind, high = is_load || above ? dram : (int64_t)of->constants_address;
  axis near[] = {{&body->rows, &body->sram_row_stride}, {&body->planes, &body->sram_plane_stride}};
  axis far[] = {{&body->rows, &body->dram_row_stride}, {&body->planes, &body->dram_plane_stride}};
  into_limits(by, at);
  clip_to(&body->rows, 1, 12);
  clip_to(&body->planes, 1, 5);
  if (body->bytes > high - low) body->bytes = high > low ? high - low : 1;
  while (body->bytes * body->rows * body->planes > sram_of(by))
    halve(&body->rows), halve(&body->planes), halve(&body->bytes);
  if (high <= low) return;
  fit(by, &body->sram_addr, near, 2, body->bytes, 0, sram_of(by));
  fit(by, &body->dram_addr, far, 2, body->bytes, low, high);
  fit(by, &body->sram_addr, near, 2, body->bytes, 0, sram_of(by));
}

static void repair_arch(re2na_arch *arch, uint64_t *random) {
#define CLIP(name, low, high) clip_to(&arch->name, low, high);
  RE2NA_ARCH_FIELDS(CLIP)
#undef CLIP
  const int64_t pes = arch->array_rows * arch->array_columns;
  if (arch->sram_bytes > 1 << 16) arch->sram_bytes = INT64_C(1024) << below(random, 5);
  for (int64_t rows = 1; rows <= arch->array_shapes; rows *= 2)
    if ((arch->array_shapes & rows) && pes % rows) arch->array_shapes &= ~rows;
}

static void repair_memory(parts *of) {
  if (of->constants_address > 1 << 16) of->constants_address %= 1 << 12;
  if (of->dram_bytes > 1 << 18) of->dram_bytes %= 1 << 18;
  if (of->dram_bytes < of->constants_address + of->constants_bytes + 64)
    of->dram_bytes = of->constants_address + of->constants_bytes + 64;
  for (uint32_t i = 0; i < of->tensor_count; i++) {
    fuzz_tensor *tensor = &of->tensors[i];
    const uint64_t behind = of->constants_address + of->constants_bytes, left = of->dram_bytes - behind;
    uint64_t size = 1;
    tensor->kind &= 1;
    tensor->rank = tensor->rank == 2 ? 2 : 4;
    for (int axis = 0; axis < 4; axis++) {
      if (tensor->rank == 2 && axis > 1) tensor->shape[axis] = 1;
      tensor->shape[axis] = (uint32_t)clip(tensor->shape[axis], 1, 1 << 12);
      while (size * tensor->shape[axis] > left) tensor->shape[axis] = (tensor->shape[axis] + 1) / 2;
      size *= tensor->shape[axis];
    }
    uint64_t stored = 1;
    for (int axis = 0; axis < 4; axis++) stored *= tensor->stored[axis] ? tensor->stored[axis] : 7919;
    if (stored != size) memcpy(tensor->stored, tensor->shape, sizeof tensor->shape);
    if (tensor->address < behind || tensor->address + size > of->dram_bytes) tensor->address = of->dram_bytes - size;
  }
}

/* One of the shapes. */
static int64_t draw_rows(state *by, bool any) {
  const int64_t shapes = by->of->arch.array_shapes, rows = INT64_C(1) << below(by->random, 13);
  return any && (shapes & rows) ? rows : by->of->arch.array_rows;
}

/* Some bytes as they are, of however few values: what else is decoded comes from the seeds. */
static void write_stream(parts *of, const re2na_load *body) {
  uint8_t *to = of->constants + ((uint64_t)body->transfer.dram_addr - of->constants_address);
  to[0] = (uint8_t)body->transfer.bytes;
  to[1] = (uint8_t)(body->transfer.bytes >> 8);
  to[2] = 0;
}

static void repair_load(state *by, re2na_instruction *at) {
  parts *of = by->of;
  re2na_load *body = &at->body.load;
  const int64_t coded = body->coded, first = (int64_t)of->constants_address, size = (int64_t)of->constants_bytes;
  repair_transfer(by, at, &body->transfer, true);
  body->coded = 0;
  if (!of->arch.weight_coding || !coded || size < 4) return;
  body->transfer.rows = body->transfer.planes = 1;
  if (chance(by->random, 2)) { /* a stream that was there */
    body->coded = coded;
    return;
  }
  clip_to(&body->transfer.bytes, 1, size - 3 < sram_of(by) ? size - 3 : sram_of(by));
  body->coded = body->transfer.bytes + 3;
  clip_to(&body->transfer.sram_addr, 0, sram_of(by) - body->transfer.bytes);
  clip_to(&body->transfer.dram_addr, first, first + size - body->coded);
  write_stream(of, body);
}

static void repair_store(state *by, re2na_instruction *at) { repair_transfer(by, at, &at->body.store.transfer, false); }

/* Both are made anew. */
static void repair_halt(state *by, re2na_instruction *at) { (void)by, (void)at; }
static void repair_reconfigure(state *by, re2na_instruction *at) { (void)by, (void)at; }

/* An instruction without a function of its own is not compiled. */
static void repair_body(state *by, re2na_instruction *at) {
#define REPAIR(NAME, name, bytes, ENGINE) \
  case RE2NA_##NAME: repair_##name(by, at); break;
  switch (at->opcode) { RE2NA_INSTRUCTIONS(REPAIR) }
#undef REPAIR
}

/* The instruction, and before it the RECONFIGURE that it needs; returns how many there are. Between the parts of a sum
 * stands none. */
static uint32_t repair_one(state *by, re2na_instruction at, re2na_instruction *code) {
  const bool array = at.engine == RE2NA_ENGINE_ARRAY, goes_on = at.opcode == RE2NA_DENSE && by->unfinished;
  const bool has_mode = array && re2na_insn_of(&at)->mode(&at) != RE2NA_ANY_MODE;
  re2na_instruction *to = has_mode && !goes_on ? code + 1 : code;
  if (array && at.opcode != RE2NA_DENSE && by->unfinished) {
    by->unfinished->last = 1;
    by->unfinished = NULL;
  }
  if (has_mode && !goes_on) by->rows = draw_rows(by, at.opcode == RE2NA_CONV);
  *to = at;
  repair_body(by, to);
  if (to == code) return 1;
  *code = (re2na_instruction){.opcode = RE2NA_RECONFIGURE, .engine = RE2NA_ENGINE_ARRAY};
  code->body.reconfigure = (re2na_reconfigure){re2na_insn_of(to)->mode(to), by->rows};
  return 2;
}

static void repair_tokens(parts *of, uint64_t *random) {
  const bool between_neighbours = chance(random, 4);
  for (uint32_t i = 0; i < of->count; i++)
    of->code[i].source = of->code[i].wait = of->code[i].signal = of->code[i].flags = 0;
  for (uint32_t i = 0; between_neighbours && i + 1 < of->count; i++)
    if (of->code[i].engine != of->code[i + 1].engine) {
      of->code[i].signal = 1u << of->code[i + 1].engine;
      of->code[i + 1].wait = 1u << of->code[i].engine;
    }
}

void repair(parts *of, uint64_t *random) {
  static re2na_instruction code[MOST_INSTRUCTIONS];
  state by = {of, random, of->arch.array_rows, NULL};
  uint32_t count = 0;
  repair_arch(&of->arch, random);
  repair_memory(of);
  for (uint32_t i = 0; i < of->count && count < MOST_INSTRUCTIONS - 2; i++) {
    const uint32_t opcode = of->code[i].opcode;
    if (opcode != RE2NA_HALT && opcode != RE2NA_RECONFIGURE) count += repair_one(&by, of->code[i], code + count);
  }
  if (by.unfinished) by.unfinished->last = 1;
  code[count++] = (re2na_instruction){.opcode = RE2NA_HALT, .engine = RE2NA_ENGINE_ARRAY};
  memcpy(of->code, code, sizeof code);
  of->count = count;
  repair_tokens(of, random);
}
