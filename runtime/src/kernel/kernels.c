/* The choice of a kernel. */
#include <string.h>

#include "kernel/kernel.h"

static const re2na_loops *fastest(void) {
  const re2na_loops *found = re2na_kernel_avx512();
  if (!found) found = re2na_kernel_avx2();
  if (!found) found = re2na_kernel_neon();
  return found ? found : re2na_kernel_portable();
}

const re2na_loops *re2na_find_kernel(int32_t number) {
  switch (number) {
    case RE2NA_KERNEL_AUTO: return fastest();
    case RE2NA_KERNEL_PORTABLE: return re2na_kernel_portable();
    case RE2NA_KERNEL_AVX2: return re2na_kernel_avx2();
    case RE2NA_KERNEL_AVX512: return re2na_kernel_avx512();
    case RE2NA_KERNEL_NEON: return re2na_kernel_neon();
    default: return NULL;
  }
}

int32_t re2na_kernel_number(const char *name) {
  static const char *const names[] = {"auto", "portable", "avx2", "avx512", "neon"}; /* in the order of re2na_kernel */
  for (int32_t i = 0; name && i < (int32_t)(sizeof names / sizeof *names); i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

int32_t re2na_kernel_runs(int32_t number) { return re2na_find_kernel(number) != NULL; }
