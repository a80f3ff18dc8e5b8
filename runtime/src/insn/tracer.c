#include "insn/tracer.h"

#include <stdlib.h>
#include <string.h>

#include "insn/insn.h"

/* ---- what is touched ---- */

enum { MOST_TOUCHES = 6 }; /* of an instruction, on an average */

void re2na_trace_touch(re2na_tracer *of, re2na_region at, bool writes) {
  re2na_touches *to = of->touches;
  if (re2na_is_empty(&at)) return;
  if (to->count < to->most) to->all[to->count++] = (re2na_touch){at, of->index, writes};
  else of->found[of->index].crowded = true;
}

/* ---- constants ---- */

void re2na_trace_copy(re2na_tracer *of, re2na_copied copy) {
  if (copy.start == copy.stop) return;
  if (of->count < of->most) of->copies[of->count++] = copy;
  else of->found[copy.load].needless = false; /* it is in SRAM, and only there does anyone look for it */
}

void re2na_trace_overwrite(re2na_tracer *of, re2na_span at, bool all) {
  of->looks += of->count;
  for (uint64_t i = of->count; i-- > 0;) {
    const re2na_copied copy = of->copies[i];
    if (copy.stop <= at.start || at.stop <= copy.start) continue;
    if (!all) of->found[copy.load].needless = false; /* some of it may still be there */
    of->copies[i] = of->copies[--of->count];
    if (copy.start < at.start) re2na_trace_copy(of, (re2na_copied){copy.start, at.start, copy.from, copy.load});
    if (at.stop < copy.stop)
      re2na_trace_copy(of, (re2na_copied){at.stop, copy.stop, copy.from + (at.stop - copy.start), copy.load});
  }
}

static void read_constants(re2na_tracer *of, re2na_span at) {
  of->looks += of->count;
  for (uint64_t i = 0; i < of->count; i++)
    if (of->copies[i].start < at.stop && at.start < of->copies[i].stop) of->found[of->copies[i].load].needless = false;
}

void re2na_trace_constants_read(re2na_tracer *of, re2na_span at) {
  re2na_trace_touch(of, re2na_run_at((int64_t)at.start, (int64_t)(at.stop - at.start)), false);
  read_constants(of, at);
}

static const re2na_copied *copy_at(re2na_tracer *of, uint64_t address) {
  of->looks += of->count;
  for (uint64_t i = 0; i < of->count; i++)
    if (of->copies[i].start <= address && address < of->copies[i].stop) return &of->copies[i];
  return NULL;
}

/* How many bytes may be read from there on, among the program's or those that were decoded. */
static uint64_t readable_from(const re2na_program *program, const uint8_t *from) {
  const uint8_t *decoded = program->decoded_bytes, *bytes = program->bytes;
  if (decoded && from >= decoded && from < decoded + program->decoded_size)
    return (uint64_t)(decoded + program->decoded_size + RE2NA_SLACK - from);
  return (uint64_t)(bytes + program->size - from);
}

const uint8_t *re2na_trace_constant(re2na_tracer *of, int64_t address, uint64_t bytes, uint64_t slack) {
  const uint64_t start = (uint64_t)address, stop = start + bytes;
  const re2na_copied *copy = copy_at(of, start);
  const uint8_t *from = copy ? copy->from + (start - copy->start) : NULL;
  uint64_t at = start;
  while (copy && copy->from + (at - copy->start) == from + (at - start) && copy->stop < stop &&
         of->looks <= of->program->limits.work) {
    at = copy->stop;
    copy = copy_at(of, at);
  }
  if (copy && bytes && stop <= copy->stop && copy->from + (at - copy->start) == from + (at - start) &&
      readable_from(of->program, from) >= bytes + slack)
    return from;
  re2na_trace_constants_read(of, (re2na_span){start, stop});
  return NULL;
}

/* ---- values ---- */

static uint8_t *spare_at(const re2na_tracer *of, int64_t sram) { return of->spare.sram + sram; }

static uint8_t largest_of(const uint8_t *spare, int64_t count) {
  uint8_t least = RE2NA_SIGNED;
  for (int64_t i = 0; i < count; i++) least = spare[i] < least ? spare[i] : least;
  return (uint8_t)(RE2NA_SIGNED - least);
}

static uint8_t largest_in(const re2na_tracer *of, const re2na_region *at) {
  uint8_t largest = 0;
  for (int64_t i = 0; i < at->images; i++)
    for (int64_t y = 0; y < at->rows && largest <= INT8_MAX; y++)
      for (int64_t x = 0; x < at->pixels; x++)
        largest = re2na_larger(
            largest, largest_of(spare_at(of, at->start + i * at->image + y * at->row + x * at->pixel), at->run));
  return largest > INT8_MAX ? RE2NA_SIGNED : largest;
}

uint8_t re2na_trace_read(re2na_tracer *of, re2na_region at) {
  if (re2na_is_empty(&at)) return 0;
  re2na_trace_touch(of, at, false);
  read_constants(of, re2na_span_of(&at));
  return largest_in(of, &at);
}

void re2na_trace_write(re2na_tracer *of, re2na_region at, uint8_t bound) {
  re2na_trace_touch(of, at, true);
  re2na_trace_overwrite(of, re2na_span_of(&at), !re2na_has_gaps(&at));
  for (int64_t i = 0; i < at.images; i++)
    for (int64_t y = 0; y < at.rows; y++)
      for (int64_t x = 0; x < at.pixels; x++)
        memset(spare_at(of, at.start + i * at.image + y * at.row + x * at.pixel), RE2NA_SIGNED - bound, (size_t)at.run);
}

/* ---- a program ---- */

enum { MOST_COPIES = 1 << 14 }; /* pieces of constants that are followed through the SRAM, at most */

/* No compiled program comes near. */
static uint64_t most_copies(const re2na_program *program) {
  const uint64_t most = (uint64_t)program->count * RE2NA_MANY_RUNS;
  return most < MOST_COPIES ? most : MOST_COPIES;
}

int32_t re2na_trace_operands(const re2na_program *program, re2na_operands **found, re2na_touches *touches,
                             re2na_error *error) {
  const uint64_t dram = program->dram_bytes - program->constants_bytes;
  re2na_tracer of = {.program = program, .most = most_copies(program), .touches = touches};
  touches->most = (uint64_t)program->count * MOST_TOUCHES;
  int32_t code = re2na_ask_memory(program, of.most * sizeof *of.copies + touches->most * sizeof *touches->all, error);
  if (code) return code;
  touches->all = malloc(touches->most * sizeof *touches->all);
  of.found = calloc(program->count, sizeof *of.found);
  of.copies = malloc(of.most * sizeof *of.copies);
  of.spare.sram = calloc((size_t)program->sram_used + RE2NA_SLACK, 1);
  of.spare.dram = calloc((size_t)dram + RE2NA_SLACK, 1);
  const bool enough = touches->all && of.found && of.copies && of.spare.sram && of.spare.dram;
  if (!enough)
    code = re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for what is known of %u instructions", program->count);
  for (uint32_t i = 0; enough && i < program->count && !code; i++) {
    of.looks = 0;
    of.index = i;
    re2na_insn_of(&program->code[i])->trace(&of, i);
    code = re2na_ask_work(program, of.looks, error);
  }
  free(of.copies);
  free(of.spare.sram);
  free(of.spare.dram);
  if (!code) *found = of.found;
  else free(of.found);
  return code;
}
