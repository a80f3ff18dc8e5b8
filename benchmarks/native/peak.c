/* The processor's peak of int8 multiply-adds, in GMAC/s: independent chains of the kernels' instructions, all in registers. 0 where this
 * file knows none for it. `python benchmarks/simulator.py` compiles and runs it. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define STEPS 200000000L
#define KEEP(vector) __asm__ volatile("" : "+x"(vector))

/* Each step: an unsigned byte times a signed one, 32 products added in pairs to int16, as the AVX2 kernel forms them. */
__attribute__((target("avx2"))) static double measure(void) {
  __m256i sums[8], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(1);
  struct timespec start, stop;
  for (int i = 0; i < 8; i++) sums[i] = _mm256_setzero_si256();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  for (long step = 0; step < STEPS / 8; step++) {
    KEEP(a);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(a, b));
      KEEP(sums[i]);
      KEEP(b);
    }
  }
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &stop);
  return STEPS * 32e-9 / ((double)(stop.tv_sec - start.tv_sec) + 1e-9 * (double)(stop.tv_nsec - start.tv_nsec));
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
