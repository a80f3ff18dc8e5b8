/* Absent steps: which steps of k have a line of weights. */
#include "array.h"

const uint32_t *re2na_present(re2na_machine *machine, const uint8_t *mask, int64_t k, int64_t steps, int64_t *lines) {
  int64_t found = 0;
  *lines = steps;
  if (steps == k) return NULL;
  for (int64_t step = 0; step < k && found < steps; step++) {
    if (step % 8 == 0 && mask[step / 8] == 0) step += 7;
    else if (mask[step / 8] >> (step % 8) & 1) machine->present[found++] = (uint32_t)step;
  }
  *lines = found;
  return machine->present;
}
