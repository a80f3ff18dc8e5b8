/* CONV. Pixels are formed in blocks: their inputs are gathered as lines in the order of k, multiplied by packed weights, and cut. A
 * depthwise convolution takes its inputs where they lie. Saturating accumulators go step by step. What the output path does with
 * the results of a pixel stands in `landing` and `deliver`. */
#include <string.h>

#include "conv.h"

enum {
  COLUMNS_BYTES = 128 << 10, /* of a block's inputs, so that they stay in the second cache */
  FEWEST_PIXELS = 6,
  DEPTHWISE_PIXELS = 8, /* of a block; their sums stay in the first cache */
};

/* Window after window, in the order of the output. */
static pixel pixel_at(const conv *job, int64_t index) {
  const re2na_conv *body = job->body;
  const int64_t inside = index % job->window, output = index / job->window, row = output / body->out_w;
  return (pixel){row / body->out_h, row % body->out_h, output % body->out_w, inside / body->pool_w, inside % body->pool_w};
}

static int8_t *place(const target *of, pixel at) { return of->base + at.image * of->image + at.y * of->row + at.x * of->pixel; }

/* Where results go first: to their place, unless the output path has something to do with them. */
static void find_places(const conv *job, const worker *by, const block *part) {
  pixel at = part->at;
  for (int64_t p = 0; p < part->pixels; p++, next_pixel(job->body, &at)) {
    const bool waits = job->body->add || at.i || at.j;
    by->places[p] = waits ? by->lines + p * part->outputs : place(&job->to, at) + part->first;
  }
}

/* The output path, for results that are in their places. */
static void deliver(const conv *job, const worker *by, const block *part) {
  pixel at = part->at;
  if (!job->body->add && job->window == 1) return;
  for (int64_t p = 0; p < part->pixels; p++, next_pixel(job->body, &at)) {
    int8_t *to = place(&job->to, at) + part->first;
    if (job->body->add)
      re2na_add_line(by->places[p], place(&job->operand, at) + part->first, to, (size_t)part->outputs, job->by, &job->sum);
    else if (at.i || at.j)
      re2na_raise_line(to, by->places[p], (size_t)part->outputs);
  }
}

/* Sums of the block to results. */
static void finish(const conv *job, worker *by, const block *part, const cut *how) {
  find_places(job, by, part);
  by->overflows += job->with->finish(by->sums, part->sum_stride, by->places, (size_t)part->pixels, (size_t)part->outputs, how);
  deliver(job, by, part);
}

/* The same for those in `partials`, which have no room between their lines. */
static void finish_wide(const conv *job, worker *by, const block *part) {
  find_places(job, by, part);
  for (int64_t p = 0; p < part->pixels; p++)
    re2na_cut_wide_line(by->partials + p * part->outputs, by->places[p], (size_t)part->outputs, &job->how, &by->overflows);
  deliver(job, by, part);
}

/* ---- sums ---- */

static void multiply(const conv *job, const worker *by, const block *part, columns x, const piece *at) {
  int32_t *sums = by->sums + at->block * RE2NA_LANES;
  const int32_t *from = at->begins ? job->pack->start + part->first + at->block * RE2NA_LANES : sums;
  job->with->multiply(sums, part->sum_stride, from, at->begins ? 0 : part->sum_stride, x.first + (size_t)at->first * RE2NA_QUAD,
                      x.stride, (size_t)part->pixels, job->pack->vectors + at->offset, at->quads, at->together);
}

static void narrow_block(const conv *job, worker *by, const block *part, columns x) {
  const piece *pieces = job->pack->pieces + (size_t)part->group * job->pack->pieces_in_group;
  for (int64_t p = 0; !job->lines && p < part->pixels; p++)
    memcpy(by->sums + (size_t)p * part->sum_stride, job->pack->start + part->first, (size_t)part->outputs * sizeof *by->sums);
  for (uint32_t i = 0; i < job->pack->pieces_in_group; i++)
    if (pieces[i].quads) multiply(job, by, part, x, &pieces[i]);
  finish(job, by, part, &job->how);
}

/* Pieces of so few steps of k that their sums fit 32 bits, which are then added up in 64. */
static void wide_block(const conv *job, worker *by, const block *part, columns x) {
  const piece *at = job->pack->pieces + (size_t)part->group * job->pack->pieces_in_group, *end = at + job->pack->pieces_in_group;
  for (int64_t p = 0; p < part->pixels; p++)
    memcpy(by->partials + p * part->outputs, job->pack->wide_start + part->first, (size_t)part->outputs * sizeof *by->partials);
  while (at < end) {
    const uint64_t stop = (uint64_t)at->first + RE2NA_WIDE_QUADS;
    memset(by->sums, 0, (size_t)part->pixels * part->sum_stride * sizeof *by->sums);
    for (; at < end && at->first < stop; at++)
      if (at->quads) multiply(job, by, part, x, at);
    for (int64_t p = 0; p < part->pixels; p++)
      for (int64_t o = 0; o < part->outputs; o++)
        by->partials[p * part->outputs + o] += by->sums[(size_t)p * part->sum_stride + (size_t)o];
  }
  finish_wide(job, by, part);
}

static int64_t most_pixels(const packed *pack) {
  const int64_t fit = COLUMNS_BYTES / (int64_t)line_stride(pack);
  return fit < FEWEST_PIXELS ? FEWEST_PIXELS : fit > RE2NA_MOST_PIXELS ? RE2NA_MOST_PIXELS : fit;
}

/* The same for blocks of `pixels`, none much smaller than the others, and of whole tiles where these fit. */
static int64_t even_pixels(const packed *pack, int64_t pixels, int64_t tile) {
  const int64_t most = most_pixels(pack), blocks = (pixels + most - 1) / most, even = (pixels + blocks - 1) / blocks;
  const int64_t whole = (int64_t)re2na_round_up((uint64_t)even, (uint64_t)tile);
  return whole <= most ? whole : even;
}

/* Outputs first..stop; each is a window of pixels. */
static void conv_blocks(void *shared, re2na_machine *machine, worker *by, int64_t first, int64_t stop) {
  const conv *job = shared;
  const re2na_conv *body = job->body;
  const int64_t end = stop * job->window, most = even_pixels(job->pack, (stop - first) * job->window, job->with->tile);
  block part = {.outputs = body->out_c / body->groups};
  (void)machine;
  part.sum_stride = (size_t)re2na_round_up((uint64_t)part.outputs, RE2NA_LANES);
  for (part.index = first * job->window; part.index < end; part.index += most) {
    part.at = pixel_at(job, part.index);
    part.pixels = end - part.index < most ? end - part.index : most;
    for (part.group = 0; part.group < body->groups; part.group++) {
      const columns x = re2na_conv_lines(job, by, &part);
      part.first = part.group * part.outputs;
      if (job->pack->wide) wide_block(job, by, &part, x);
      else narrow_block(job, by, &part, x);
    }
  }
}

/* ---- depthwise ---- */

/* What a tap is to the corner of a pixel: a position of the kernel, and bytes. */
static void list_taps(const conv *job, tap *taps) {
  const re2na_conv *body = job->body;
  for (uint32_t i = 0; i < 2 * job->pack->pairs; i++) {
    const int32_t line = job->pack->taps[i];
    const int64_t position = line == RE2NA_ABSENT ? 0 : job->present ? (int64_t)job->present[line] : line;
    const int64_t y = position / body->kernel_w * body->dilation_h, x = position % body->kernel_w * body->dilation_w;
    taps[i] = (tap){line != RE2NA_ABSENT, y, x, y * body->in_row_stride + x * body->in_pixel_stride};
  }
}

static bool is_inside(const re2na_conv *body, corner at) {
  return at.y >= 0 && at.y + (body->kernel_h - 1) * body->dilation_h < body->in_h && at.x >= 0 &&
         at.x + (body->kernel_w - 1) * body->dilation_w < body->in_w;
}

/* Where the taps of a pixel lie; `blank` stands for padding. A tap that is not there has weights of 0: it lies anywhere. */
static void point_at_taps(const conv *job, corner at, const uint8_t *blank, worker *by) {
  const re2na_conv *body = job->body;
  const int64_t first = at.image * body->in_image_stride + at.y * body->in_row_stride + at.x * body->in_pixel_stride;
  const uint8_t *input = (const uint8_t *)job->input; /* `first` can lie before it: each address is formed at once */
  const bool inside = is_inside(body, at);
  for (uint32_t i = 0; i < 2 * job->pack->pairs; i++) {
    const tap *of = &by->taps[i];
    const int64_t y = at.y + of->y, x = at.x + of->x;
    const bool seen = inside || (of->there && y >= 0 && y < body->in_h && x >= 0 && x < body->in_w);
    by->pointers[i] = seen ? input + (first + of->offset) : blank;
  }
}

/* From a pixel to the next in its row, none of whose taps lie in the padding. */
static void move_taps(const conv *job, worker *by) {
  const int64_t step = job->body->stride_w * job->body->in_pixel_stride;
  for (uint32_t i = 0; i < 2 * job->pack->pairs; i++) by->pointers[i] += step;
}

static void depthwise_block(const conv *job, worker *by, const block *part, const uint8_t *blank) {
  const packed *pack = job->pack;
  const size_t channels = (size_t)part->outputs;
  pixel at = part->at;
  bool was_inside = false;
  for (int64_t p = 0; p < part->pixels; p++, next_pixel(job->body, &at)) {
    int32_t *sums = by->sums + (size_t)p * part->sum_stride;
    const corner place = corner_of(job->body, at);
    const bool inside = is_inside(job->body, place);
    if (inside && was_inside && at.x && job->window == 1) move_taps(job, by);
    else point_at_taps(job, place, blank, by);
    was_inside = inside;
    job->with->depthwise(sums, pack->start, by->pointers, channels, pack->pairs, pack->vectors, pack->together, pack->offset);
    for (size_t c = 0; pack->wide && c < channels; c++) by->partials[(size_t)p * channels + c] = pack->wide_start[c] + sums[c];
  }
  if (pack->wide) finish_wide(job, by, part);
  else finish(job, by, part, &job->how);
}

static void conv_depthwise(void *shared, re2na_machine *machine, worker *by, int64_t first, int64_t stop) {
  const conv *job = shared;
  const int64_t end = stop * job->window;
  block part = {.outputs = job->body->out_c};
  part.sum_stride = (size_t)re2na_round_up((uint64_t)part.outputs, RE2NA_CHANNELS);
  list_taps(job, by->taps);
  for (part.index = first * job->window; part.index < end; part.index += DEPTHWISE_PIXELS) {
    part.at = pixel_at(job, part.index);
    part.pixels = end - part.index < DEPTHWISE_PIXELS ? end - part.index : DEPTHWISE_PIXELS;
    depthwise_block(job, by, &part, machine->blank);
  }
}

/* ---- saturating ---- */

/* Every step can clip, so it is done by itself: this is many times slower than the rest. */
static void conv_saturating(void *shared, re2na_machine *machine, worker *by, int64_t first, int64_t stop) {
  const conv *job = shared;
  const re2na_conv *body = job->body;
  const int64_t outputs = body->out_c / body->groups;
  cut silent = job->how; /* nothing is left to overflow when the saturated sums are cut */
  block part = {.index = first * job->window, .pixels = 1, .outputs = body->out_c};
  part.at = pixel_at(job, part.index);
  (void)machine;
  silent.counts = false;
  for (; part.index < stop * job->window; part.index++, next_pixel(body, &part.at)) {
    re2na_saturating_start(by->sums, job->bias, (size_t)body->out_c, &job->how, &by->overflows);
    for (int64_t group = 0; group < body->groups; group++) {
      const int8_t *line = job->weights + group * outputs;
      re2na_gather(job, part.at, group * job->channels, by->columns, 0);
      for (int64_t k = 0; k < job->lines; k++, line += body->out_c)
        re2na_saturating_step(by->sums + group * outputs, (int8_t)by->columns[k], line, (size_t)outputs, &job->how, &by->overflows);
    }
    finish(job, by, &part, &silent);
  }
}

/* ---- an instruction ---- */

weights re2na_conv_weights(const re2na_conv *body, const operands *known) {
  const int64_t channels = body->in_c / body->groups;
  return (weights){
      .lines = known->weights,
      .bias = known->bias,
      .mask = known->mask,
      .k = body->kernel_h * body->kernel_w * channels,
      .steps = body->steps,
      .outputs = body->out_c,
      .groups = body->groups,
      .depthwise = re2na_is_depthwise(body),
      .bound = known->bound,
  };
}

static void need(uint64_t *size, uint64_t wanted) { *size = re2na_max(*size, wanted); }

void re2na_conv_room(re2na_program *program, const re2na_conv *body, const packed *pack) {
  const uint64_t group_outputs = (uint64_t)(body->out_c / body->groups), steps = (uint64_t)body->steps;
  need(&program->sum_items, re2na_round_up((uint64_t)body->out_c, RE2NA_CHANNELS));
  need(&program->line_bytes, RE2NA_MOST_PIXELS * (uint64_t)body->out_c);
  if (!pack) { /* saturating */
    need(&program->column_bytes, steps);
  } else if (pack->of.depthwise) {
    need(&program->tap_items, 4 * (steps + 1));
    need(&program->sum_items, DEPTHWISE_PIXELS * re2na_round_up((uint64_t)body->out_c, RE2NA_CHANNELS));
    need(&program->partial_items, DEPTHWISE_PIXELS * (uint64_t)body->out_c);
    need(&program->blank_bytes, re2na_round_up((uint64_t)body->out_c, RE2NA_CHANNELS));
  } else {
    /* Weights that are packed before each run may turn out to have fewer lines than their form, and then more pixels at once. */
    const uint64_t pixels = pack->vectors ? (uint64_t)most_pixels(pack) : RE2NA_MOST_PIXELS;
    const uint64_t most_bytes = re2na_max(FEWEST_PIXELS * line_stride(pack), COLUMNS_BYTES);
    need(&program->column_bytes, pack->vectors ? pixels * line_stride(pack) : most_bytes);
    need(&program->sum_items, pixels * re2na_round_up(group_outputs, RE2NA_LANES));
    if (pack->wide) need(&program->partial_items, pixels * group_outputs);
  }
}

/* A packed instruction's weights; those that no run before knew are packed now. */
static const packed *find_pack(re2na_machine *machine, uint32_t index, const weights *of) {
  const packed *known = machine->program->packed[index];
  if (known || !machine->late[index]) return known;
  re2na_pack_again(machine->late[index], of, machine->program->kernel);
  return machine->late[index];
}

static void set_output_path(conv *job, const re2na_arch *arch, int8_t *sram, bool aside, int8_t *results) {
  const re2na_conv *body = job->body;
  const int64_t row = body->out_w * body->out_c;
  if (aside) job->to = (target){results, body->out_c, row, body->out_h * row};
  if (!body->add) return;
  job->operand = (target){sram + body->add_addr, body->add_pixel_stride, body->add_row_stride, body->add_image_stride};
  job->sum = re2na_make_cut(arch, 0, body->add_lo, body->add_hi);
  job->by = re2na_make_scaling(arch, body->shift_a, body->shift_b);
}

void re2na_run_conv(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_conv *body = &program->code[index].body.conv;
  const bool aside = program->aside[index];
  int8_t *sram = (int8_t *)machine->sram;
  weights of = re2na_conv_weights(body, &program->operands[index]);
  if (!of.lines) of.lines = sram + body->weight_addr;
  if (!of.bias) of.bias = machine->sram + body->bias_addr;
  if (!of.mask) of.mask = machine->sram + body->mask_addr;
  conv job = {
      .body = body,
      .pack = find_pack(machine, index, &of),
      .with = program->kernel,
      .input = sram + body->in_addr,
      .how = re2na_make_cut(&program->arch, body->lsb, body->lo, body->hi),
      .to = {sram + body->out_addr, body->out_pixel_stride, body->out_row_stride, body->out_image_stride},
      .channels = body->in_c / body->groups,
      .weights = of.lines,
      .bias = of.bias,
      .window = body->pool_h * body->pool_w,
  };
  const target real = job.to;
  job.how.counts = machine->counts;
  set_output_path(&job, &program->arch, sram, aside, machine->results);
  if (job.pack) {
    job.present = job.pack->present;
    job.lines = job.pack->lines;
  } else {
    job.present = re2na_present(machine, of.mask, of.k, of.steps, &job.lines);
  }
  *overflows += re2na_share(machine, !job.pack ? conv_saturating : of.depthwise ? conv_depthwise : conv_blocks, &job,
                            body->n * body->out_h * body->out_w, (int64_t)re2na_ceil(job.with->tile, (uint64_t)job.window), program->fixed[index].macs);
  if (aside) re2na_scatter(machine->results, real, body->n, body->out_h, body->out_w, body->out_c);
}
