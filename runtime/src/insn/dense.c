/* DENSE: the sums stay in the PEs (exact, or clamped where the accumulator saturates) from the first part to the last.
 * Every weight is used once for an image or a few, so that reading them is the work: they are taken as they lie in the
 * program. */
#include <string.h>

#include "insn/insn.h"

enum {
  CHUNK = 2048, /* steps of k that are widened at a time */
  GRAIN = 2048  /* outputs for a thread: long runs of memory, which is what a dense layer waits for */
};

/* ---- before a run ---- */

static re2na_region input_of(const re2na_dense *body) {
  return re2na_runs_at(body->in_addr, body->in_c, body->n, body->in_image_stride);
}

static re2na_region output_of(const re2na_dense *body) {
  return re2na_runs_at(body->out_addr, body->out_c, body->n, body->out_image_stride);
}

static int32_t check(const re2na_checker *by) {
  const re2na_dense *body = &by->at->body.dense;
  const re2na_arch *arch = &by->program->arch;
  const int64_t outputs = body->n * body->out_c;
  int32_t code = re2na_in_range(by, "n * out_c", outputs, 1, arch->array_rows * arch->array_columns);
  if (!code) code = re2na_in_sram(by, "input", input_of(body));
  if (!code) code = re2na_check_weights(by, body->weight_addr, body->mask_addr, body->steps, body->in_c, body->out_c);
  if (!code && body->first) code = re2na_in_sram(by, "biases", re2na_run_at(body->bias_addr, 4 * body->out_c));
  if (!code && body->last) code = re2na_in_sram(by, "output", output_of(body));
  if (!code) by->program->fixed[by->index].macs = (uint64_t)outputs * (uint64_t)body->steps;
  return code;
}

static int64_t mode(const re2na_instruction *at) {
  (void)at;
  return RE2NA_MODE_DENSE;
}

static int32_t order(re2na_sequence *state, const re2na_instruction *at, uint32_t index, re2na_error *error) {
  const re2na_dense *body = &at->body.dense, *before = state->unfinished;
  if (body->first && before)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (DENSE): first = 1 while sums are unfinished",
                      index);
  if (!body->first && !before)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (DENSE): first = 0, but no sums are in the PEs",
                      index);
  if (before && (before->n != body->n || before->out_c != body->out_c))
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE,
                      "instruction %u (DENSE): n = %lld, out_c = %lld go on from sums of n = %lld, out_c = %lld", index,
                      (long long)body->n, (long long)body->out_c, (long long)before->n, (long long)before->out_c);
  state->unfinished = body->last ? NULL : body;
  return RE2NA_OK;
}

static uint64_t work(const re2na_instruction *at) {
  const re2na_dense *body = &at->body.dense;
  return re2na_plus(RE2NA_PRODUCT(body->n, body->out_c, body->steps + 1), RE2NA_PRODUCT(body->n + 1, body->in_c));
}

static void trace(re2na_tracer *of, uint32_t index) {
  const re2na_dense *body = &of->program->code[index].body.dense;
  re2na_operands *found = &of->found[index];
  const uint64_t outputs = (uint64_t)body->out_c, k = (uint64_t)body->in_c;
  found->bound = re2na_trace_read(of, input_of(body));
  found->weights =
      (const int8_t *)re2na_trace_constant(of, body->weight_addr, (uint64_t)body->steps * outputs, RE2NA_SLACK);
  if (body->first) found->bias = re2na_trace_constant(of, body->bias_addr, 4 * outputs, 0);
  if (body->steps < body->in_c) found->mask = re2na_trace_constant(of, body->mask_addr, re2na_ceil(k, 8), 0);
  if (body->last) re2na_trace_write(of, output_of(body), re2na_bound_of(body->lo, body->hi));
}

static int32_t prepare(const re2na_program *program, uint32_t index, re2na_error *error) {
  const re2na_dense *body = &program->code[index].body.dense;
  re2na_room *room = &program->prepared->room;
  (void)error;
  re2na_need(&room->column_bytes, sizeof(int16_t) * RE2NA_IMAGES * CHUNK);
  re2na_need(&room->sum_items, RE2NA_IMAGES * re2na_round_up((uint64_t)body->out_c, RE2NA_LANES));
  re2na_need(&room->dense_items, (uint64_t)(body->n * body->out_c));
  return RE2NA_OK;
}

/* ---- a run ---- */

typedef struct dense_job {
  const re2na_dense *body;
  const re2na_loops *with;
  const int8_t *input, *weights;
  const uint32_t *present; /* steps that have a line of weights; NULL: all */
  int64_t lines;
  re2na_cut how;
} dense_job;

static void start_sums(re2na_machine *machine, const re2na_dense *body, const uint8_t *bias, const re2na_cut *how,
                       uint64_t *overflows) {
  for (int64_t image = 0; image < body->n; image++)
    for (int64_t o = 0; o < body->out_c; o++) {
      int64_t value = (int32_t)re2na_u32(bias + 4 * o);
      if (how->saturates && (value < how->acc_min || value > how->acc_max)) {
        value = value < how->acc_min ? how->acc_min : how->acc_max;
        ++*overflows;
      }
      machine->dense_sums[image * body->out_c + o] = value;
    }
}

/* With a zero behind an odd number. */
static void gather(const dense_job *job, int64_t image, int64_t first, int64_t count, int16_t *line) {
  const int8_t *from = job->input + image * job->body->in_image_stride;
  if (job->present)
    for (int64_t i = 0; i < count; i++) line[i] = from[job->present[first + i]];
  else
    for (int64_t i = 0; i < count; i++) line[i] = from[first + i];
  if (count % 2) line[count] = 0;
}

/* Some images and some outputs. */
typedef struct part {
  int64_t image, images, output, outputs;
} part;

/* Adds `steps` lines, from line `k` on. */
static void add_chunk(const dense_job *job, int64_t *totals, const re2na_worker *by, const part *of, int64_t k,
                      int64_t steps) {
  const size_t stride = (size_t)re2na_round_up((uint64_t)of->outputs, RE2NA_LANES);
  int16_t *x = (int16_t *)by->columns;
  for (int64_t p = 0; p < of->images; p++) gather(job, of->image + p, k, steps, x + p * CHUNK);
  memset(by->sums, 0, (size_t)of->images * stride * sizeof *by->sums);
  job->with->lines(by->sums, stride, x, CHUNK, (size_t)of->images, job->weights + k * job->body->out_c + of->output,
                   (size_t)job->body->out_c, (size_t)steps, (size_t)of->outputs);
  for (int64_t p = 0; p < of->images; p++) {
    int64_t *total = totals + (of->image + p) * job->body->out_c + of->output;
    for (int64_t o = 0; o < of->outputs; o++) total[o] += by->sums[(size_t)p * stride + (size_t)o];
  }
}

/* Outputs first..stop of all images. */
static void add_lines(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const dense_job *job = shared;
  for (int64_t image = 0; image < job->body->n; image += RE2NA_IMAGES) {
    const int64_t left = job->body->n - image;
    const part of = {image, left < RE2NA_IMAGES ? left : RE2NA_IMAGES, first, stop - first};
    for (int64_t k = 0; k < job->lines; k += CHUNK)
      add_chunk(job, machine->dense_sums, by, &of, k, job->lines - k < CHUNK ? job->lines - k : CHUNK);
  }
}

static void add_saturating(const dense_job *job, re2na_machine *machine, uint64_t *overflows) {
  const re2na_dense *body = job->body;
  int32_t *sums = machine->workers[0].sums;
  for (int64_t image = 0; image < body->n; image++) {
    const int8_t *x = job->input + image * body->in_image_stride;
    int64_t *totals = machine->dense_sums + image * body->out_c;
    for (int64_t o = 0; o < body->out_c; o++) sums[o] = (int32_t)totals[o];
    for (int64_t k = 0; k < job->lines; k++)
      re2na_saturating_step(sums, x[job->present ? job->present[k] : k], job->weights + k * body->out_c,
                            (size_t)body->out_c, &job->how, overflows);
    for (int64_t o = 0; o < body->out_c; o++) totals[o] = sums[o];
  }
}

static void run(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_dense *body = &program->code[index].body.dense;
  const re2na_operands *known = &program->prepared->operands[index];
  int8_t *sram = (int8_t *)machine->memory.sram;
  const uint8_t *mask = known->mask ? known->mask : machine->memory.sram + body->mask_addr;
  const uint8_t *bias = known->bias ? known->bias : machine->memory.sram + body->bias_addr;
  dense_job job = {
      .body = body,
      .with = program->kernel,
      .input = sram + body->in_addr,
      .weights = known->weights ? known->weights : sram + body->weight_addr,
      .how = re2na_make_cut(&program->arch, body->lsb, body->lo, body->hi),
  };
  job.how.counts = machine->counts;
  job.present = re2na_present(machine, mask, body->in_c, body->steps, &job.lines);
  if (body->first) start_sums(machine, body, bias, &job.how, overflows);
  if (job.how.saturates) add_saturating(&job, machine, overflows);
  else re2na_share(machine, add_lines, &job, body->out_c, GRAIN, program->fixed[index].macs);
  if (!body->last) return;
  for (int64_t image = 0; image < body->n; image++) /* a saturated sum is in range: no overflow is counted here */
    re2na_cut_wide_line(machine->dense_sums + image * body->out_c,
                        sram + body->out_addr + image * body->out_image_stride, (size_t)body->out_c, &job.how,
                        overflows);
}

RE2NA_INSN(DENSE, check, mode, order, work, trace, prepare, re2na_reserves_nothing, re2na_runs_alone, run);
