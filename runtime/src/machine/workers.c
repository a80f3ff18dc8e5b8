/* What a machine, and each of its workers, has memory for. */
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

void *re2na_zeros(uint64_t items, size_t size) {
  if (items > SIZE_MAX / 2 / size - RE2NA_SLACK) return NULL;
  const size_t bytes = (size_t)re2na_round_up((items + RE2NA_SLACK) * size, RE2NA_LINE);
  void *made = aligned_alloc(RE2NA_LINE, bytes);
  return made ? memset(made, 0, bytes) : NULL;
}

bool re2na_add_worker(const re2na_room *room, re2na_worker *made) {
  made->columns = re2na_zeros(room->column_bytes, 1);
  made->sums = re2na_zeros(room->sum_items, sizeof *made->sums);
  made->partials = re2na_zeros(room->partial_items, sizeof *made->partials);
  made->lines = re2na_zeros(room->line_bytes, 1);
  made->places = re2na_zeros(RE2NA_MOST_PIXELS, sizeof *made->places);
  made->taps = re2na_zeros(room->tap_items, sizeof *made->taps);
  made->pointers = re2na_zeros(room->tap_items, sizeof *made->pointers);
  made->lsbs = re2na_zeros(room->lsb_items, sizeof *made->lsbs);
  return made->columns && made->sums && made->partials && made->lines && made->places && made->taps && made->pointers &&
         made->lsbs;
}

void re2na_free_workers(re2na_worker *workers, uint32_t count) {
  for (uint32_t i = 0; workers && i < count; i++) {
    free(workers[i].columns);
    free(workers[i].sums);
    free(workers[i].partials);
    free(workers[i].lines);
    free(workers[i].places);
    free(workers[i].taps);
    free(workers[i].pointers);
    free(workers[i].lsbs);
  }
  free(workers);
}

uint64_t re2na_room_bytes(const re2na_program *program) {
  const re2na_room *room = &program->prepared->room;
  return room->column_bytes + room->line_bytes + room->blank_bytes +
         4 * (room->sum_items + room->lsb_items + program->present_items) +
         8 * (room->partial_items + room->dense_items) + (sizeof(re2na_tap) + sizeof(uint8_t *)) * room->tap_items;
}
