/* The choice of a kernel. */
#include "kernel.h"

static const kernel *fastest(void) {
  const kernel *found = re2na_kernel_avx512();
  if (!found) found = re2na_kernel_avx2();
  if (!found) found = re2na_kernel_neon();
  return found ? found : re2na_kernel_portable();
}

const kernel *re2na_find_kernel(int32_t number) {
  switch (number) {
    case RE2NA_KERNEL_AUTO: return fastest();
    case RE2NA_KERNEL_PORTABLE: return re2na_kernel_portable();
    case RE2NA_KERNEL_AVX2: return re2na_kernel_avx2();
    case RE2NA_KERNEL_AVX512: return re2na_kernel_avx512();
    case RE2NA_KERNEL_NEON: return re2na_kernel_neon();
    default: return NULL;
  }
}
