/* The kernel for AVX-512 with its instructions written out in C, for processors that have none. */
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel/kernel.h"

typedef struct vector {
  int32_t lane[16];
} vector;

static vector load(const void *from) {
  vector loaded;
  memcpy(&loaded, from, sizeof loaded);
  return loaded;
}

static void store(void *to, vector stored) { memcpy(to, &stored, sizeof stored); }

static vector broadcast(int32_t value) {
  vector made;
  for (int i = 0; i < 16; i++) made.lane[i] = value;
  return made;
}

/* VPDPBUSD: each lane of `sums` plus four products of an unsigned and a signed byte. */
static vector dot(vector sums, vector a, vector b) {
  uint8_t unsigned_bytes[64];
  int8_t signed_bytes[64];
  memcpy(unsigned_bytes, &a, sizeof a);
  memcpy(signed_bytes, &b, sizeof b);
  for (int i = 0; i < 64; i++)
    sums.lane[i / 4] = (int32_t)((uint32_t)sums.lane[i / 4] + (uint32_t)(unsigned_bytes[i] * signed_bytes[i]));
  return sums;
}

#define __m512i vector
#define _mm512_loadu_si512 load
#define _mm512_load_si512 load
#define _mm512_storeu_si512 store
#define _mm512_set1_epi32 broadcast
#define _mm512_dpbusd_epi32 dot
#define __builtin_cpu_supports(feature) 1
#define __attribute__(list)

#include "kernel/avx512.c"
