/* peak KERNEL: the processor's peak of int8 multiply-adds, in GMAC/s: independent chains of a kernel's instructions, all in registers.
 * 0 where this file knows none for it. `python benchmarks/simulator.py` compiles and runs it. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)

enum { ROUNDS = 25000000 };

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* In assembly, as the compiler would lift a product of constants out of the loop; what the registers hold does not matter. */

/* An unsigned byte times a signed one, 32 products added in pairs to int16. */
#define PAIRS(sum, product)                              \
  "vpmaddubsw %%ymm1, %%ymm0, %%ymm" #product "\n\t" \
  "vpaddw %%ymm" #product ", %%ymm" #sum ", %%ymm" #sum "\n\t"

static double avx2(void) {
  const double start = seconds();
  for (long round = 0; round < ROUNDS; round++)
    __asm__ volatile(PAIRS(2, 10) PAIRS(3, 11) PAIRS(4, 12) PAIRS(5, 13) PAIRS(6, 10) PAIRS(7, 11) PAIRS(8, 12) PAIRS(9, 13)
                     :
                     :
                     : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
  return 1e-9 * ROUNDS * 8 * 32 / (seconds() - start);
}

/* The same, 64 products added in fours to int32. */
#define FOURS(sum) "vpdpbusd %%zmm1, %%zmm0, %%zmm" #sum "\n\t"

__attribute__((target("avx512f,avx512vnni"))) static double avx512(void) {
  const double start = seconds();
  for (long round = 0; round < ROUNDS; round++)
    __asm__ volatile(FOURS(2) FOURS(3) FOURS(4) FOURS(5) FOURS(6) FOURS(7) FOURS(8) FOURS(9) FOURS(10) FOURS(11) FOURS(12) FOURS(13)
                     :
                     :
                     : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
  return 1e-9 * ROUNDS * 12 * 64 / (seconds() - start);
}

int main(int count, char **words) {
  const char *kernel = count > 1 ? words[1] : "";
  printf("%.1f\n", strcmp(kernel, "avx512") == 0 ? avx512() : strcmp(kernel, "avx2") == 0 ? avx2() : 0.0);
  return 0;
}
#else
int main(void) {
  puts("0");
  return 0;
}
#endif
