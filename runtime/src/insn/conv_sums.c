/* The sums of a convolution, and what the output path does with them. Pixels are formed in blocks: their inputs are
 * gathered as lines in the order of k, multiplied by packed weights, and cut. A depthwise convolution takes its inputs
 * where they lie. Saturating accumulators go step by step. */
#include <string.h>

#include "insn/conv_job.h"

enum {
  COLUMNS_BYTES = 128 << 10, /* of a block's inputs, so that they stay in the second cache */
  FEWEST_PIXELS = 6,
  DEPTHWISE_PIXELS = 8, /* of a block; their sums stay in the first cache */
};

/* Window after window, in the order of the output. */
static re2na_pixel pixel_at(const re2na_conv_job *job, int64_t index) {
  const re2na_conv *body = job->body;
  const int64_t inside = index % job->pooled, output = index / job->pooled, row = output / body->window.out_w;
  return (re2na_pixel){row / body->window.out_h, row % body->window.out_h, output % body->window.out_w,
                       inside / body->pool_w, inside % body->pool_w};
}

static int8_t *place(const re2na_target *of, re2na_pixel at) {
  return of->base + at.image * of->image + at.y * of->row + at.x * of->pixel;
}

/* Places side by side in a row, and row after row. */
static void follow_rows(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  int8_t *to = place(&job->to, at) + part->first;
  for (int64_t p = 0; p < part->pixels; p++, to += job->to.pixel, at.x++) {
    if (at.x == job->body->window.out_w) {
      re2na_next_row(job->body, &at);
      to = place(&job->to, at) + part->first;
    }
    by->places[p] = to;
  }
}

/* Where results go first: to their place, unless the output path has something to do with them. */
static void find_places(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  if (!job->body->add && job->pooled == 1) {
    follow_rows(job, by, part);
    return;
  }
  for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at)) {
    const bool waits = job->body->add || at.i || at.j;
    by->places[p] = waits ? by->lines + p * part->outputs : place(&job->to, at) + part->first;
  }
}

/* Results that wait one behind the other, with what is added to them, row after row. */
static void add_operand(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  const int64_t width = job->body->window.out_w;
  re2na_pixel at = part->at;
  for (int64_t p = 0, some; p < part->pixels; p += some) {
    some = width - at.x < part->pixels - p ? width - at.x : part->pixels - p;
    re2na_add_pixels(by->lines + p * part->outputs, place(&job->operand, at) + part->first, job->operand.pixel,
                     place(&job->to, at) + part->first, job->to.pixel, (size_t)some, (size_t)part->outputs, job->by,
                     &job->sum);
    at.x += some - 1;
    re2na_next_pixel(job->body, &at);
  }
}

/* The output path, for results that are in their places; with an addition, every window is one pixel. */
static void deliver(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  if (job->body->add) add_operand(job, by, part);
  for (int64_t p = 0; job->pooled > 1 && p < part->pixels; p++, re2na_next_pixel(job->body, &at))
    if (at.i || at.j) re2na_raise_line(place(&job->to, at) + part->first, by->places[p], (size_t)part->outputs);
}

/* For the block's channels. */
static re2na_cut cut_of(const re2na_cut *how, const re2na_block *part) {
  re2na_cut found = *how;
  if (how->lsbs) found.lsbs += part->first;
  return found;
}

/* Sums of the block to results, unless they are parked. */
static void finish(const re2na_conv_job *job, re2na_worker *by, const re2na_block *part, const re2na_cut *how) {
  const re2na_cut cut = cut_of(how, part);
  if (job->parked) {
    re2na_park(job, by, part);
    return;
  }
  find_places(job, by, part);
  by->overflows +=
      job->with->finish(by->sums, part->sum_stride, by->places, (size_t)part->pixels, (size_t)part->outputs, &cut);
  deliver(job, by, part);
}

/* The same for those in `partials`, which have no room between their lines. */
static void finish_wide(const re2na_conv_job *job, re2na_worker *by, const re2na_block *part) {
  const re2na_cut cut = cut_of(&job->how, part);
  if (job->parked) {
    re2na_park_wide(job, by, part);
    return;
  }
  find_places(job, by, part);
  for (int64_t p = 0; p < part->pixels; p++)
    re2na_cut_wide_line(by->partials + p * part->outputs, by->places[p], (size_t)part->outputs, &cut, &by->overflows);
  deliver(job, by, part);
}

/* ---- sums ---- */

/* A piece of a block. `begins`: from what the pack starts from, otherwise from what the sums are. `how`: to results,
 * otherwise to sums. */
static uint64_t multiply(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part, re2na_columns x,
                         const re2na_piece *at, bool begins, const re2na_cut *how) {
  const int64_t first = at->block * RE2NA_LANES, left = part->outputs - first;
  int32_t *sums = by->sums + first;
  const re2na_panel of = {
      .x = x.first + (size_t)at->first * RE2NA_QUAD,
      .x_stride = x.stride,
      .pixels = (size_t)part->pixels,
      .from = begins ? job->pack->start + part->first + first : sums,
      .from_stride = begins ? 0 : part->sum_stride,
      .vectors = job->pack->vectors + at->vector * RE2NA_VECTOR,
      .places = job->pack->places + at->vector,
      .grouped = at->grouped,
      .together = at->together,
      .singles = at->singles,
      .how = how,
      .sums = sums,
      .sum_stride = part->sum_stride,
      .results = by->places,
      .first = (size_t)first,
      .count = (size_t)(left < RE2NA_LANES ? left : RE2NA_LANES),
  };
  return job->with->multiply(&of);
}

/* Pieces of so few steps of k that their sums fit 32 bits, which are then added up in 64. */
static void wide_block(const re2na_conv_job *job, re2na_worker *by, const re2na_block *part, re2na_columns x) {
  const re2na_piece *at = job->pack->pieces + (size_t)part->group * job->pack->pieces_in_group,
                    *end = at + job->pack->pieces_in_group;
  for (int64_t p = 0; p < part->pixels; p++)
    memcpy(by->partials + p * part->outputs, job->pack->wide_start + part->first,
           (size_t)part->outputs * sizeof *by->partials);
  if (job->resumed) re2na_resume_wide(job, by, part);
  while (at < end) {
    const uint64_t stop = (uint64_t)at->first + RE2NA_WIDE_QUADS;
    memset(by->sums, 0, (size_t)part->pixels * part->sum_stride * sizeof *by->sums);
    for (; at < end && at->first < stop; at++) multiply(job, by, part, x, at, false, NULL);
    for (int64_t p = 0; p < part->pixels; p++)
      for (int64_t o = 0; o < part->outputs; o++)
        by->partials[p * part->outputs + o] += by->sums[(size_t)p * part->sum_stride + (size_t)o];
  }
  finish_wide(job, by, part);
}

/* Parked sums that may leave 32 bits are as rare as biases that large: such a block is formed as a wide one. */
static void narrow_block(const re2na_conv_job *job, re2na_worker *by, const re2na_block *part, re2na_columns x) {
  const re2na_piece *pieces = job->pack->pieces + (size_t)part->group * job->pack->pieces_in_group;
  if (job->resumed && !re2na_resume(job, by, part)) {
    wide_block(job, by, part, x);
    return;
  }
  const re2na_cut cut = cut_of(&job->how, part);
  if (!job->parked) find_places(job, by, part);
  for (uint32_t i = 0; i < job->pack->pieces_in_group; i++)
    by->overflows += multiply(job, by, part, x, &pieces[i], pieces[i].begins && !job->resumed,
                              pieces[i].ends && !job->parked ? &cut : NULL);
  if (job->parked) re2na_park(job, by, part);
  else deliver(job, by, part);
}

static int64_t most_pixels(const re2na_packed *pack) {
  const int64_t fit = COLUMNS_BYTES / (int64_t)re2na_line_stride(pack);
  return fit < FEWEST_PIXELS ? FEWEST_PIXELS : fit > RE2NA_MOST_PIXELS ? RE2NA_MOST_PIXELS : fit;
}

/* The same for blocks of `pixels`, none much smaller than the others, of whole tiles where these fit, and of whole
 * windows. */
static int64_t even_pixels(const re2na_conv_job *job, int64_t pixels) {
  const int64_t most = most_pixels(job->pack), blocks = (pixels + most - 1) / most,
                even = (pixels + blocks - 1) / blocks;
  const int64_t whole = (int64_t)re2na_round_up((uint64_t)even, job->with->tile), some = whole <= most ? whole : even;
  return some > job->pooled ? some / job->pooled * job->pooled : some;
}

/* Outputs first..stop; each is a window of pixels. */
void re2na_conv_blocks(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const re2na_conv_job *job = shared;
  const re2na_conv *body = job->body;
  const int64_t end = stop * job->pooled, most = even_pixels(job, (stop - first) * job->pooled);
  re2na_block part = {.outputs = body->out_c / body->groups};
  (void)machine;
  part.sum_stride = (size_t)re2na_round_up((uint64_t)part.outputs, RE2NA_LANES);
  for (part.index = first * job->pooled; part.index < end; part.index += most) {
    part.at = pixel_at(job, part.index);
    part.pixels = end - part.index < most ? end - part.index : most;
    for (part.group = 0; part.group < body->groups; part.group++) {
      const re2na_columns x = re2na_conv_lines(job, by, &part);
      part.first = part.group * part.outputs;
      if (job->pack->wide) wide_block(job, by, &part, x);
      else narrow_block(job, by, &part, x);
    }
  }
}

/* ---- depthwise ---- */

/* What a tap is to the corner of a pixel: a position of the kernel, and bytes. */
static void place_taps(const re2na_conv_job *job, re2na_tap *taps) {
  const re2na_conv *body = job->body;
  for (uint32_t i = 0; i < 2 * job->pack->pairs; i++) {
    const int32_t line = job->pack->taps[i];
    const int64_t position = line == RE2NA_ABSENT ? 0 : job->present ? (int64_t)job->present[line] : line;
    const int64_t y = position / body->window.kernel_w * body->window.dilation_h,
                  x = position % body->window.kernel_w * body->window.dilation_w;
    taps[i] = (re2na_tap){line != RE2NA_ABSENT, y, x, y * body->input.row_stride + x * body->input.pixel_stride};
  }
}

static bool is_inside(const re2na_conv *body, re2na_corner at) {
  return at.y >= 0 && at.y + (body->window.kernel_h - 1) * body->window.dilation_h < body->window.in_h && at.x >= 0 &&
         at.x + (body->window.kernel_w - 1) * body->window.dilation_w < body->window.in_w;
}

/* Where the taps of a pixel lie; `blank` stands for padding. A tap that is not there has weights of 0: it lies
 * anywhere. */
static void point_at_taps(const re2na_conv_job *job, re2na_corner at, const uint8_t *blank, re2na_worker *by) {
  const re2na_conv *body = job->body;
  const int64_t first =
      at.image * body->input.image_stride + at.y * body->input.row_stride + at.x * body->input.pixel_stride;
  const uint8_t *input = (const uint8_t *)job->input; /* `first` can lie before it: each address is formed at once */
  const bool inside = is_inside(body, at);
  for (uint32_t i = 0; i < 2 * job->pack->pairs; i++) {
    const re2na_tap *of = &by->taps[i];
    const int64_t y = at.y + of->y, x = at.x + of->x;
    const bool seen = inside || (of->there && y >= 0 && y < body->window.in_h && x >= 0 && x < body->window.in_w);
    by->pointers[i] = seen ? input + (first + of->offset) : blank;
  }
}

/* From a pixel to the next in its row, none of whose taps lie in the padding. */
static void move_taps(const re2na_conv_job *job, re2na_worker *by) {
  const int64_t step = job->body->window.stride_w * job->body->input.pixel_stride;
  for (uint32_t i = 0; i < 2 * job->pack->pairs; i++) by->pointers[i] += step;
}

static void depthwise_block(const re2na_conv_job *job, re2na_worker *by, const re2na_block *part,
                            const uint8_t *blank) {
  const re2na_packed *pack = job->pack;
  const size_t channels = (size_t)part->outputs;
  re2na_pixel at = part->at;
  bool was_inside = false;
  for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at)) {
    int32_t *sums = by->sums + (size_t)p * part->sum_stride;
    const re2na_corner place = re2na_corner_of(job->body, at);
    const bool inside = is_inside(job->body, place);
    if (inside && was_inside && at.x && job->pooled == 1) move_taps(job, by);
    else point_at_taps(job, place, blank, by);
    was_inside = inside;
    job->with->depthwise(sums, pack->start, by->pointers, channels, pack->pairs, pack->vectors, pack->together,
                         pack->offset);
    for (size_t c = 0; pack->wide && c < channels; c++)
      by->partials[(size_t)p * channels + c] = pack->wide_start[c] + sums[c];
  }
  if (pack->wide) finish_wide(job, by, part);
  else finish(job, by, part, &job->how);
}

void re2na_conv_depthwise(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const re2na_conv_job *job = shared;
  const int64_t end = stop * job->pooled;
  re2na_block part = {.outputs = job->body->out_c};
  part.sum_stride = (size_t)re2na_round_up((uint64_t)part.outputs, RE2NA_CHANNELS);
  place_taps(job, by->taps);
  for (part.index = first * job->pooled; part.index < end; part.index += DEPTHWISE_PIXELS) {
    part.at = pixel_at(job, part.index);
    part.pixels = end - part.index < DEPTHWISE_PIXELS ? end - part.index : DEPTHWISE_PIXELS;
    depthwise_block(job, by, &part, machine->blank);
  }
}

/* ---- saturating ---- */

/* Every step can clip, so it is done by itself: this is many times slower than the rest. */
void re2na_conv_saturating(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const re2na_conv_job *job = shared;
  const re2na_conv *body = job->body;
  const int64_t outputs = body->out_c / body->groups;
  re2na_cut silent = job->how; /* nothing is left to overflow when the saturated sums are cut */
  re2na_block part = {.index = first * job->pooled, .pixels = 1, .outputs = body->out_c};
  part.at = pixel_at(job, part.index);
  (void)machine;
  silent.counts = false;
  for (; part.index < stop * job->pooled; part.index++, re2na_next_pixel(body, &part.at)) {
    if (job->resumed) re2na_resume_saturated(job, by, &part);
    else re2na_saturating_start(by->sums, job->bias, (size_t)body->out_c, &job->how, &by->overflows);
    for (int64_t group = 0; group < body->groups; group++) {
      const int8_t *line = job->weights + group * outputs;
      re2na_gather(job, part.at, group * job->channels, by->columns, 0);
      for (int64_t k = 0; k < job->lines; k++, line += body->out_c)
        re2na_saturating_step(by->sums + group * outputs, (int8_t)by->columns[k], line, (size_t)outputs, &job->how,
                              &by->overflows);
    }
    finish(job, by, &part, &silent);
  }
}

/* ---- before a run ---- */

void re2na_conv_room(re2na_room *room, const re2na_conv *body, const re2na_packed *pack) {
  const uint64_t group_outputs = (uint64_t)(body->out_c / body->groups), steps = (uint64_t)body->steps;
  re2na_need(&room->sum_items, re2na_round_up((uint64_t)body->out_c, RE2NA_CHANNELS));
  re2na_need(&room->line_bytes, RE2NA_MOST_PIXELS * (uint64_t)body->out_c);
  if (!pack) { /* saturating */
    re2na_need(&room->column_bytes, steps);
  } else if (pack->of.depthwise) {
    re2na_need(&room->tap_items, 4 * ((uint64_t)re2na_packed_steps(re2na_conv_k(body), body->steps) + 1));
    re2na_need(&room->sum_items, DEPTHWISE_PIXELS * re2na_round_up((uint64_t)body->out_c, RE2NA_CHANNELS));
    re2na_need(&room->partial_items, DEPTHWISE_PIXELS * (uint64_t)body->out_c);
    re2na_need(&room->blank_bytes, re2na_round_up((uint64_t)body->out_c, RE2NA_CHANNELS));
    if (pack->of.side)
      re2na_need(&room->column_bytes, re2na_strip_room(pack->of.side, (uint64_t)body->window.stride_w));
  } else {
    /* Weights that are packed before each run may turn out to have fewer lines than their form, and then more pixels at
     * once. */
    const uint64_t pixels = pack->vectors ? (uint64_t)most_pixels(pack) : RE2NA_MOST_PIXELS;
    const uint64_t most_bytes = re2na_max(FEWEST_PIXELS * re2na_line_stride(pack), COLUMNS_BYTES);
    re2na_need(&room->column_bytes, pack->vectors ? pixels * re2na_line_stride(pack) : most_bytes);
    re2na_need(&room->sum_items, pixels * re2na_round_up(group_outputs, RE2NA_LANES));
    if (pack->wide || !body->first) re2na_need(&room->partial_items, pixels * group_outputs);
  }
}
