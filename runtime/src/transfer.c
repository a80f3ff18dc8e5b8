/* LOAD and STORE. The constants are read where they lie in the program's bytes; the machine owns the rest of the DRAM. */
#include <string.h>

#include "array.h"

uint8_t *re2na_dram_place(const re2na_machine *machine, uint64_t start, uint64_t stop) {
  const re2na_program *program = machine->program;
  const uint64_t first = program->constants_address, behind = first + program->constants_bytes;
  if (stop <= first) return machine->dram + start;
  if (start >= behind) return machine->dram + (start - program->constants_bytes);
  return NULL;
}

void re2na_dram_read(const re2na_machine *machine, uint64_t address, uint64_t bytes, uint8_t *out) {
  const re2na_program *program = machine->program;
  const uint64_t first = program->constants_address, behind = first + program->constants_bytes;
  while (bytes > 0) {
    uint64_t run = bytes;
    const uint8_t *from;
    if (address < first) {
      run = re2na_min(run, first - address);
      from = machine->dram + address;
    } else if (address < behind) {
      run = re2na_min(run, behind - address);
      from = program->constants + (address - first);
    } else {
      from = machine->dram + (address - program->constants_bytes);
    }
    memcpy(out, from, run);
    address += run;
    out += run;
    bytes -= run;
  }
}

/* Runs of one byte: a change of layout. */
static void copy_bytes(const uint8_t *from, int64_t from_stride, uint8_t *to, int64_t to_stride, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i * to_stride] = from[i * from_stride];
}

static void copy_plane(const uint8_t *from, int64_t from_stride, uint8_t *to, int64_t to_stride, const re2na_load *body) {
  if (body->bytes == 1) {
    copy_bytes(from, from_stride, to, to_stride, body->rows);
    return;
  }
  for (int64_t row = 0; row < body->rows; row++) memcpy(to + row * to_stride, from + row * from_stride, (size_t)body->bytes);
}

static void store_plane(re2na_machine *machine, const re2na_load *body, int64_t dram, const uint8_t *sram) {
  uint8_t *to = re2na_dram_place(machine, (uint64_t)dram, (uint64_t)dram + 1);
  if (to) copy_plane(sram, body->sram_row_stride, to, body->dram_row_stride, body); /* none goes to constants: validate.c */
}

static void load_plane(re2na_machine *machine, const re2na_load *body, int64_t dram, uint8_t *sram) {
  const re2na_program *program = machine->program;
  const uint64_t start = (uint64_t)dram, first = program->constants_address, behind = first + program->constants_bytes;
  const uint64_t stop = start + (uint64_t)((body->rows - 1) * body->dram_row_stride + body->bytes);
  const uint8_t *from = re2na_dram_place(machine, start, stop);
  if (start >= first && stop <= behind) from = program->constants + (start - first);
  if (from) {
    copy_plane(from, body->dram_row_stride, sram, body->sram_row_stride, body);
    return;
  }
  for (int64_t row = 0; row < body->rows; row++)
    re2na_dram_read(machine, start + (uint64_t)(row * body->dram_row_stride), (uint64_t)body->bytes,
                    sram + row * body->sram_row_stride);
}

void re2na_run_transfer(re2na_machine *machine, const re2na_load *body, bool is_load) {
  for (int64_t plane = 0; plane < body->planes; plane++) {
    const int64_t dram = body->dram_addr + plane * body->dram_plane_stride;
    uint8_t *sram = machine->sram + body->sram_addr + plane * body->sram_plane_stride;
    if (is_load) load_plane(machine, body, dram, sram);
    else store_plane(machine, body, dram, sram);
  }
}
