/* Absent steps: which steps of k have a line of weights. */
#include "array.h"

const uint32_t *re2na_present(re2na_machine *machine, int64_t mask_addr, int64_t k, int64_t steps, int64_t *lines) {
  const uint8_t *bitmap = machine->sram + mask_addr;
  int64_t found = 0;
  *lines = steps;
  if (steps == k) return NULL;
  for (int64_t step = 0; step < k && found < steps; step++) {
    if (step % 8 == 0 && bitmap[step / 8] == 0) step += 7;
    else if (bitmap[step / 8] >> (step % 8) & 1) machine->present[found++] = (uint32_t)step;
  }
  *lines = found;
  return machine->present;
}
