/* Absent steps: which steps of k have a line of weights. */
#include "kernel/pack.h"

int64_t re2na_list_present(const uint8_t *mask, int64_t k, int64_t steps, uint32_t *present) {
  int64_t found = 0;
  for (int64_t step = 0; step < k && found < steps; step++) {
    if (step % 8 == 0 && mask[step / 8] == 0) step += 7;
    else if (mask[step / 8] >> (step % 8) & 1) present[found++] = (uint32_t)step;
  }
  return found;
}
