/* DENSE: the sums stay in the PEs (exact, or clamped where the accumulator saturates) from the first part to the last. Every weight is
 * used once for an image or a few, so that reading them is the work: they are taken as they lie in the program. */
#include <string.h>

#include "array.h"

enum {
  CHUNK = 2048, /* steps of k that are widened at a time */
  GRAIN = 2048  /* outputs for a thread: long runs of memory, which is what a dense layer waits for */
};

typedef struct dense {
  const re2na_dense *body;
  const kernel *with;
  const int8_t *input, *weights;
  const uint32_t *present; /* steps that have a line of weights; NULL: all */
  int64_t lines;
  cut how;
} dense;

static void start_sums(re2na_machine *machine, const re2na_dense *body, const uint8_t *bias, const cut *how, uint64_t *overflows) {
  for (int64_t image = 0; image < body->n; image++)
    for (int64_t o = 0; o < body->out_c; o++) {
      int64_t value = (int32_t)re2na_u32(bias + 4 * o);
      if (how->saturates && (value < how->acc_min || value > how->acc_max)) {
        value = value < how->acc_min ? how->acc_min : how->acc_max;
        ++*overflows;
      }
      machine->dense[image * body->out_c + o] = value;
    }
}

/* With a zero behind an odd number. */
static void gather(const dense *job, int64_t image, int64_t first, int64_t count, int16_t *line) {
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
static void add_chunk(const dense *job, int64_t *totals, const worker *by, const part *of, int64_t k, int64_t steps) {
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
static void add_lines(void *shared, re2na_machine *machine, worker *by, int64_t first, int64_t stop) {
  const dense *job = shared;
  for (int64_t image = 0; image < job->body->n; image += RE2NA_IMAGES) {
    const int64_t left = job->body->n - image;
    const part of = {image, left < RE2NA_IMAGES ? left : RE2NA_IMAGES, first, stop - first};
    for (int64_t k = 0; k < job->lines; k += CHUNK)
      add_chunk(job, machine->dense, by, &of, k, job->lines - k < CHUNK ? job->lines - k : CHUNK);
  }
}

static void add_saturating(const dense *job, re2na_machine *machine, uint64_t *overflows) {
  const re2na_dense *body = job->body;
  int32_t *sums = machine->workers[0].sums;
  for (int64_t image = 0; image < body->n; image++) {
    const int8_t *x = job->input + image * body->in_image_stride;
    int64_t *totals = machine->dense + image * body->out_c;
    for (int64_t o = 0; o < body->out_c; o++) sums[o] = (int32_t)totals[o];
    for (int64_t k = 0; k < job->lines; k++)
      re2na_saturating_step(sums, x[job->present ? job->present[k] : k], job->weights + k * body->out_c, (size_t)body->out_c, &job->how,
                            overflows);
    for (int64_t o = 0; o < body->out_c; o++) totals[o] = sums[o];
  }
}

void re2na_dense_room(re2na_program *program, const re2na_dense *body) {
  program->column_bytes = re2na_max(program->column_bytes, sizeof(int16_t) * RE2NA_IMAGES * CHUNK);
  program->sum_items = re2na_max(program->sum_items, RE2NA_IMAGES * re2na_round_up((uint64_t)body->out_c, RE2NA_LANES));
  program->dense_items = re2na_max(program->dense_items, (uint64_t)(body->n * body->out_c));
}

void re2na_run_dense(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_dense *body = &program->code[index].body.dense;
  const operands *known = &program->operands[index];
  const int8_t *sram = (const int8_t *)machine->sram;
  dense job = {
      .body = body,
      .with = program->kernel,
      .input = sram + body->in_addr,
      .weights = known->weights ? known->weights : sram + body->weight_addr,
      .how = re2na_make_cut(&program->arch, body->lsb, body->lo, body->hi),
  };
  job.how.counts = machine->counts;
  job.present = re2na_present(machine, known->mask ? known->mask : machine->sram + body->mask_addr, body->in_c, body->steps, &job.lines);
  if (body->first) start_sums(machine, body, known->bias ? known->bias : machine->sram + body->bias_addr, &job.how, overflows);
  if (job.how.saturates) add_saturating(&job, machine, overflows);
  else re2na_share(machine, add_lines, &job, body->out_c, GRAIN, program->fixed[index].macs);
  if (!body->last) return;
  for (int64_t image = 0; image < body->n; image++) /* a saturated sum is in range: no overflow is counted here */
    re2na_cut_wide_line(machine->dense + image * body->out_c, (int8_t *)machine->sram + body->out_addr + image * body->out_image_stride,
                        (size_t)body->out_c, &job.how, overflows);
}
