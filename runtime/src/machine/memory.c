/* The DRAM: constants in the program's bytes, the rest in the machine's own image. */
#include "machine/memory.h"

#include <string.h>

uint8_t *re2na_dram_place(const re2na_program *program, re2na_memories of, uint64_t start, uint64_t stop) {
  const uint64_t first = program->constants_address, behind = first + program->constants_bytes;
  if (stop <= first) return of.dram + start;
  if (start >= behind) return of.dram + (start - program->constants_bytes);
  return NULL;
}

void re2na_dram_read(const re2na_program *program, re2na_memories of, uint64_t address, uint64_t bytes, uint8_t *out) {
  const uint64_t first = program->constants_address, behind = first + program->constants_bytes;
  while (bytes > 0) {
    uint64_t run = bytes;
    const uint8_t *from;
    if (address < first) {
      run = re2na_min(run, first - address);
      from = of.dram + address;
    } else if (address < behind) {
      run = re2na_min(run, behind - address);
      from = program->constants + (address - first);
    } else {
      from = of.dram + (address - program->constants_bytes);
    }
    memcpy(out, from, run);
    address += run;
    out += run;
    bytes -= run;
  }
}
