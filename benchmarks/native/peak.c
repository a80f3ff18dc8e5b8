/* The processor's peak of int8 multiply-adds, in GMAC/s: independent chains of the kernels' instructions, all in registers. 0 where this
 * file knows none for it. `python benchmarks/simulator.py` compiles and runs it. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)

enum { ROUNDS = 25000000, CHAINS = 8, PRODUCTS = 32 };

/* An unsigned byte times a signed one, 32 products added in pairs to int16, as the AVX2 kernel forms them. In assembly, as the compiler
 * would lift a product of constants out of the loop; what the registers hold does not matter. */
#define STEP(sum, product)                                  \
  "vpmaddubsw %%ymm1, %%ymm0, %%ymm" #product "\n\t" \
  "vpaddw %%ymm" #product ", %%ymm" #sum ", %%ymm" #sum "\n\t"

static double measure(void) {
  struct timespec start, stop;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  for (long round = 0; round < ROUNDS; round++)
    __asm__ volatile(STEP(2, 10) STEP(3, 11) STEP(4, 12) STEP(5, 13) STEP(6, 10) STEP(7, 11) STEP(8, 12) STEP(9, 13) ""
                     :
                     :
                     : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &stop);
  const double seconds = (double)(stop.tv_sec - start.tv_sec) + 1e-9 * (double)(stop.tv_nsec - start.tv_nsec);
  return 1e-9 * ROUNDS * CHAINS * PRODUCTS / seconds;
}

int main(void) {
  printf("%.1f\n", __builtin_cpu_supports("avx2") ? measure() : 0.0);
  return 0;
}
#else
int main(void) {
  puts("0");
  return 0;
}
#endif
