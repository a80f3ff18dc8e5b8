#include "kernel.h"
const kernel *re2na_kernel_avx512(void) { return NULL; }
