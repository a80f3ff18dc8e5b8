#include "kernel.h"
const kernel *re2na_kernel_neon(void) { return NULL; }
