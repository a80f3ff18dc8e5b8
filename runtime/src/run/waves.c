/* Which instructions may run at the same time: those one behind the other of which none writes what another touches. */
#include <stdlib.h>

#include "insn/insn.h"
#include "run/prepare.h"

enum { MOST_TOUCHED = 4 * RE2NA_MOST_BESIDE }; /* by a wave */

typedef struct finder {
  re2na_prepared *to;
  const re2na_touch *touched[MOST_TOUCHED]; /* by the wave's instructions so far */
  uint32_t count;
  bool alone; /* the wave's instruction wants nobody beside it */
  uint64_t looks;
} finder;

/* Bytes of a region in steps of `stride` from 0 on, as far as all its runs lie alike there. */
static bool lies_in_steps(const re2na_region *at, int64_t stride) {
  return (at->pixels == 1 || at->pixel % stride == 0) && (at->rows == 1 || at->row % stride == 0) &&
         (at->images == 1 || at->image % stride == 0) && at->start % stride + at->run <= stride;
}

/* Channels of pixels lie between each other: other bytes of every step. */
static bool lie_between(const re2na_region *a, const re2na_region *b) {
  const int64_t stride = a->pixels > 1 ? a->pixel : b->pixel;
  if (stride <= 0 || !lies_in_steps(a, stride) || !lies_in_steps(b, stride)) return false;
  const int64_t first = a->start % stride, other = b->start % stride;
  return first + a->run <= other || other + b->run <= first;
}

static bool conflict(const re2na_touch *a, const re2na_touch *b) {
  return (a->writes || b->writes) && re2na_overlap(re2na_span_of(&a->at), re2na_span_of(&b->at)) &&
         !lie_between(&a->at, &b->at);
}

static bool conflicts(finder *with, const re2na_touch *first, uint64_t count) {
  with->looks += count * with->count;
  for (uint64_t i = 0; i < count; i++)
    for (uint32_t j = 0; j < with->count; j++)
      if (conflict(&first[i], with->touched[j])) return true;
  return false;
}

static void start_wave(finder *at) {
  re2na_prepared *to = at->to;
  const re2na_wave *last = to->wave_count ? &to->waves[to->wave_count - 1] : NULL;
  to->waves[to->wave_count++] = (re2na_wave){last ? last->work + last->count : 0, 0};
  at->count = 0;
  at->alone = false;
}

/* The instruction joins the last wave, or begins one. */
static void add(finder *at, uint32_t index, const re2na_touch *first, uint64_t count) {
  re2na_prepared *to = at->to;
  const re2na_program *program = &to->program;
  const re2na_company company = re2na_insn_of(&program->code[index])->company(program, index);
  const bool alone = company == RE2NA_ALONE || to->operands[index].crowded || count > MOST_TOUCHED;
  re2na_wave *wave = to->wave_count ? &to->waves[to->wave_count - 1] : NULL;
  if (!wave || (company != RE2NA_IDLE && wave->count > 0 &&
                (alone || at->alone || wave->count == RE2NA_MOST_BESIDE || at->count + count > MOST_TOUCHED ||
                 conflicts(at, first, count)))) {
    start_wave(at);
    wave = &to->waves[to->wave_count - 1];
  }
  if (company == RE2NA_IDLE) return;
  to->works[wave->work + wave->count++] = index;
  at->alone = alone;
  for (uint64_t i = 0; i < count && !alone; i++) at->touched[at->count++] = &first[i];
}

int32_t re2na_find_waves(re2na_prepared *to, const re2na_touches *touches, re2na_error *error) {
  const uint32_t count = to->program.count;
  finder at = {.to = to};
  uint64_t first = 0, stop = 0;
  to->waves = calloc(count, sizeof *to->waves);
  to->works = calloc(count, sizeof *to->works);
  if (!to->waves || !to->works) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %u instructions", count);
  for (uint32_t i = 0; i < count; i++, first = stop) {
    while (stop < touches->count && touches->all[stop].by == i) stop++;
    add(&at, i, touches->all + first, stop - first);
  }
  return re2na_ask_work(&to->program, at.looks, error);
}
