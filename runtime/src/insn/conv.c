/* CONV. Its sums, and the output path behind them, are conv_sums.c's; where its inputs come from is conv_inputs.c's. */
#include <stdlib.h>
#include <string.h>

#include "insn/conv_job.h"
#include "insn/weights.h"

/* ---- while loading ---- */

/* What lies at bias_addr: biases where the sums begin, and behind them an lsb of each channel where they end. */
static int64_t bias_bytes(const re2na_conv *body) { return (4 * body->first + body->cuts * body->last) * body->out_c; }

static int32_t check_output_path(const re2na_checker *by, const re2na_conv *body) {
  const re2na_arch *arch = &by->program->arch;
  const int64_t window = body->pool_h * body->pool_w, columns = arch->array_rows * arch->array_columns / body->rows;
  const int32_t code = re2na_in_range(by, "pool_h * pool_w", window, 1, columns);
  if (code || !body->add) return code;
  return re2na_in_range(by, "pool_h * pool_w (add = 1)", window, 1, 1);
}

static int32_t check_relations(const re2na_checker *by, const re2na_conv *body) {
  int32_t code = re2na_check_shape(by, body->rows, true);
  if (!code) code = re2na_in_range(by, "in_c modulo groups", body->window.in_c % body->groups, 0, 0);
  if (!code) code = re2na_in_range(by, "out_c modulo groups", body->out_c % body->groups, 0, 0);
  return code ? code : check_output_path(by, body);
}

/* Where the operand lies just where the output goes, a pixel's is read before the pixel is written. */
static bool in_place(const re2na_conv *body) {
  const re2na_view *a = &body->operand, *b = &body->output;
  return a->addr == b->addr && a->pixel_stride == b->pixel_stride && a->row_stride == b->row_stride &&
         a->image_stride == b->image_stride;
}

static re2na_region output_of(const re2na_conv *body) {
  return re2na_output_of(&body->window, &body->output, body->out_c);
}

/* Empty where there is none. */
static re2na_region operand_of(const re2na_conv *body) {
  return re2na_output_of(&body->window, &body->operand, body->add && body->last ? body->out_c : 0);
}

/* All sums, parked. */
static re2na_region sums_of(const re2na_conv *body) {
  const re2na_sliding *w = &body->window;
  return re2na_run_at(body->sum_addr, 4 * w->n * w->out_h * body->pool_h * w->out_w * body->pool_w * body->out_c);
}

static re2na_region written_of(const re2na_conv *body) { return body->last ? output_of(body) : sums_of(body); }

/* Whether a result would be written over what is yet to be read, or over another. A sum that is parked where it came
 * from is read before. */
static bool overwrites(const re2na_conv *body) {
  const re2na_region region = written_of(body), input = re2na_input_of(&body->window, &body->input);
  const re2na_region weights = re2na_run_at(body->weight_addr, body->steps * body->out_c), operand = operand_of(body);
  const re2na_region bias = re2na_run_at(body->bias_addr, bias_bytes(body)), sums = sums_of(body);
  const re2na_span output = re2na_span_of(&region);
  return re2na_overlap(output, re2na_span_of(&input)) || re2na_overlap(output, re2na_span_of(&weights)) ||
         re2na_overlap(output, re2na_span_of(&bias)) ||
         (re2na_overlap(output, re2na_span_of(&operand)) && !in_place(body)) ||
         (!body->first && body->last && re2na_overlap(output, re2na_span_of(&sums))) || !re2na_is_nested(&region);
}

static int32_t check(const re2na_checker *by) {
  const re2na_conv *body = &by->at->body.conv;
  const re2na_sliding *window = &body->window;
  const int64_t sizes[4] = {window->n, window->out_h, window->out_w, body->out_c}, pooled = body->pool_h * body->pool_w;
  const uint64_t steps = (uint64_t)body->steps;
  uint64_t outputs;
  int32_t code = check_relations(by, body);
  if (code) return code;
  code = re2na_check_amount(by, "outputs", sizes, 4, &outputs);
  if (!code) code = re2na_in_sram(by, "input", re2na_input_of(window, &body->input));
  if (!code)
    code = re2na_check_weights(by, body->weight_addr, body->mask_addr, body->steps, re2na_conv_k(body), body->out_c);
  if (!code && bias_bytes(body)) code = re2na_in_sram(by, "biases", re2na_run_at(body->bias_addr, bias_bytes(body)));
  if (!code && body->add && body->last) code = re2na_in_sram(by, "second operand", operand_of(body));
  if (!code && !(body->first && body->last)) code = re2na_in_sram(by, "parked sums", sums_of(body));
  if (!code && body->last) code = re2na_in_sram(by, "output", output_of(body));
  if (code) return code;
  by->program->fixed[by->index].macs = re2na_times(outputs * (uint64_t)pooled, steps);
  if (overwrites(body)) re2na_form_elsewhere(by, body->last ? outputs : (uint64_t)sums_of(body).run);
  return RE2NA_OK;
}

static int64_t mode(const re2na_instruction *at) {
  return at->body.conv.groups > 1 ? RE2NA_MODE_GROUPED : RE2NA_MODE_CONV;
}

static int32_t order(re2na_sequence *state, const re2na_instruction *at, uint32_t index, re2na_error *error) {
  if (at->body.conv.rows == state->rows) return RE2NA_OK;
  return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (CONV): rows = %lld, the array's shape has %lld",
                    index, (long long)at->body.conv.rows, (long long)state->rows);
}

/* Every pixel's inputs are gathered whether they have weights or not, and multiplied in whole quads; what may lie in
 * the inputs, the weights and the bitmap are looked at once, the weights of a depthwise one a few times. A parked sum
 * is a step of its own. */
static uint64_t work(const re2na_instruction *at) {
  const re2na_conv *body = &at->body.conv;
  const re2na_sliding *w = &body->window;
  const int64_t k = re2na_conv_k(body), looks = re2na_is_depthwise(body) ? RE2NA_PAIR_LOOKS : 1;
  const int64_t packed = re2na_packed_steps(k, body->steps), steps = RE2NA_QUAD * re2na_packed_quads(k, body->steps);
  const uint64_t pixels = RE2NA_PRODUCT(w->n, w->out_h, w->out_w, body->pool_h, body->pool_w);
  const uint64_t all_k = RE2NA_PRODUCT(w->kernel_h, w->kernel_w, w->in_c);
  const uint64_t each = re2na_plus(RE2NA_PRODUCT(body->out_c, steps + 2 - body->first), all_k);
  const uint64_t seen =
      re2na_plus(RE2NA_PRODUCT(w->n, w->in_h, w->in_w, w->in_c), RE2NA_PRODUCT(packed, body->out_c, looks));
  return re2na_plus(re2na_plus(re2na_times(pixels, each), seen), all_k);
}

/* ---- before the first machine ---- */

static uint8_t bound_of(const re2na_conv *body) {
  if (!body->last) return RE2NA_SIGNED; /* bytes of sums */
  return body->add ? re2na_bound_of(body->add_lo, body->add_hi) : re2na_bound_of(body->lo, body->hi);
}

static void trace(re2na_tracer *of, uint32_t index) {
  const re2na_conv *body = &of->program->code[index].body.conv;
  re2na_operands *found = &of->found[index];
  const re2na_region sums = sums_of(body);
  const uint64_t outputs = (uint64_t)body->out_c;
  const int64_t k = re2na_conv_k(body);
  found->bound = re2na_trace_read(of, re2na_input_of(&body->window, &body->input));
  found->weights = (const int8_t *)re2na_trace_constant(of, body->weight_addr, (uint64_t)body->steps * outputs, 0);
  if (bias_bytes(body)) found->bias = re2na_trace_constant(of, body->bias_addr, (uint64_t)bias_bytes(body), 0);
  if (body->steps < k) found->mask = re2na_trace_constant(of, body->mask_addr, re2na_ceil((uint64_t)k, 8), 0);
  if (body->add && body->last) re2na_trace_read(of, operand_of(body));
  if (!body->first) re2na_trace_constants_read(of, re2na_span_of(&sums));
  re2na_trace_write(of, written_of(body), bound_of(body));
}

/* Those of its operands that are constants, or NULL. */
static re2na_weights weights_of(const re2na_program *program, uint32_t index) {
  const re2na_conv *body = &program->code[index].body.conv;
  const re2na_operands *known = &program->prepared->operands[index];
  return (re2na_weights){
      .lines = known->weights,
      .bias = known->bias,
      .mask = known->mask,
      .k = re2na_conv_k(body),
      .steps = body->steps,
      .outputs = body->out_c,
      .groups = body->groups,
      .begins = body->first,
      .depthwise = re2na_is_depthwise(body),
      .bound = known->bound,
      .side = re2na_conv_side(body),
  };
}

static bool saturates(const re2na_program *program) {
  return program->arch.acc_overflow == RE2NA_ACC_OVERFLOW_SATURATE;
}

static bool all_known(const re2na_weights *of) {
  return of->lines && (of->bias || !of->begins) && (of->mask || of->steps == of->k);
}

static int32_t prepare(const re2na_program *program, uint32_t index, re2na_error *error) {
  const re2na_conv *body = &program->code[index].body.conv;
  const re2na_weights of = weights_of(program, index);
  re2na_prepared *to = program->prepared;
  re2na_packed form = {0};
  int32_t code = RE2NA_OK;
  if (body->cuts) re2na_need(&to->room.lsb_items, (uint64_t)body->out_c + 2 * RE2NA_LANES);
  if (saturates(program)) {
    re2na_conv_room(&to->room, body, NULL);
  } else if (all_known(&of)) {
    code = re2na_pack_once(program, &of, &to->packed[index], error);
    if (!code) re2na_conv_room(&to->room, body, to->packed[index]);
  } else {
    code = re2na_ask_memory(program, re2na_pack_bytes(&of, program->kernel), error);
    re2na_pack_form(&form, &of, program->kernel);
    re2na_conv_room(&to->room, body, &form);
  }
  return code;
}

/* Weights that are packed in a run are packed once for all threads. */
static re2na_company company(const re2na_program *program, uint32_t index) {
  return program->prepared->packed[index] ? re2na_runs_in_parts(program, index) : RE2NA_ALONE;
}

/* Memory for the weights that are not known before a run. */
static bool reserve(re2na_machine *machine, uint32_t index) {
  const re2na_program *program = machine->program;
  if (program->prepared->packed[index] || saturates(program)) return true;
  const re2na_weights of = weights_of(program, index);
  machine->late[index] = calloc(1, sizeof *machine->late[index]);
  return machine->late[index] && re2na_pack_reserve(machine->late[index], &of, program->kernel);
}

/* ---- a run ---- */

/* Packed weights; those that no run before knew are packed now. NULL: accumulators saturate. */
static const re2na_packed *find_pack(re2na_machine *machine, uint32_t index, const re2na_weights *of) {
  const re2na_packed *known = machine->program->prepared->packed[index];
  if (known || !machine->late[index]) return known;
  re2na_pack_again(machine->late[index], of, machine->program->kernel);
  return machine->late[index];
}

/* Those of the channels; one that no shift can take counts as the widest. */
static const int32_t *find_lsbs(re2na_machine *machine, const re2na_conv *body, const uint8_t *bias) {
  const uint8_t *lsbs = bias + 4 * body->first * body->out_c;
  const int32_t most = (int32_t)machine->program->arch.acc_bits - 1;
  if (!body->cuts || !body->last) return NULL;
  for (int64_t c = 0; c < body->out_c; c++) machine->lsbs[c] = lsbs[c] < most ? lsbs[c] : most;
  return machine->lsbs;
}

static void set_output_path(re2na_conv_job *job, const re2na_arch *arch, int8_t *sram) {
  const re2na_conv *body = job->body;
  if (!body->add || !body->last) return;
  job->operand = re2na_target_at(sram, &body->operand);
  job->sum = re2na_make_cut(arch, 0, body->add_lo, body->add_hi);
  job->by = re2na_make_scaling(arch, body->shift_a, body->shift_b);
}

static void run(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_conv *body = &program->code[index].body.conv;
  const re2na_sliding *window = &body->window;
  const bool elsewhere = program->buffered[index];
  int8_t *sram = (int8_t *)machine->memory.sram;
  const re2na_target real = re2na_target_at(sram, &body->output);
  re2na_weights of = weights_of(program, index);
  if (!of.lines) of.lines = sram + body->weight_addr;
  if (!of.bias) of.bias = machine->memory.sram + body->bias_addr;
  if (!of.mask) of.mask = machine->memory.sram + body->mask_addr;
  re2na_conv_job job = {
      .body = body,
      .pack = find_pack(machine, index, &of),
      .with = program->kernel,
      .input = sram + body->input.addr,
      .how = re2na_make_cut(&program->arch, body->lsb, body->lo, body->hi),
      .to = elsewhere ? re2na_target_elsewhere(machine->results, window, body->out_c) : real,
      .channels = window->in_c / body->groups,
      .weights = of.lines,
      .bias = of.bias,
      .pooled = body->pool_h * body->pool_w,
  };
  if (!body->first) job.resumed = machine->memory.sram + body->sum_addr;
  if (!body->last) job.parked = elsewhere ? (uint8_t *)machine->results : machine->memory.sram + body->sum_addr;
  job.how.counts = machine->counts;
  job.how.lsbs = find_lsbs(machine, body, of.bias);
  set_output_path(&job, &program->arch, sram);
  if (job.pack) {
    job.present = job.pack->present;
    job.lines = job.pack->lines;
  } else {
    job.present = re2na_present(machine, of.mask, of.k, of.steps, &job.lines);
  }
  re2na_work *form = !job.pack                  ? re2na_conv_saturating
                     : re2na_conv_by_rows(&job) ? re2na_conv_rows
                     : of.depthwise             ? re2na_conv_depthwise
                                                : re2na_conv_blocks;
  const int64_t grain = (int64_t)re2na_ceil(job.with->tile, (uint64_t)job.pooled);
  *overflows +=
      re2na_share(machine, form, &job, window->n * window->out_h * window->out_w, grain, program->fixed[index].macs);
  if (elsewhere && body->last) re2na_scatter(machine->results, real, window, body->out_c);
  else if (elsewhere) memcpy(sram + body->sum_addr, machine->results, (size_t)sums_of(body).run);
}

RE2NA_INSN(CONV, check, mode, order, work, trace, prepare, reserve, company, run);
