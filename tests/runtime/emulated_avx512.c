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

#define EACH(name, result)                             \
  static vector name(vector a, vector b) {             \
    for (int i = 0; i < 16; i++) a.lane[i] = (result); \
    return a;                                          \
  }
EACH(add, (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i]))
EACH(either, a.lane[i] | b.lane[i])
EACH(shift, a.lane[i] >> b.lane[i])
EACH(least, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
EACH(most, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])

static uint16_t common(vector a, vector b) {
  uint16_t found = 0;
  for (int i = 0; i < 16; i++) found |= (uint16_t)((a.lane[i] & b.lane[i]) != 0) << i;
  return found;
}

static void store_bytes(int8_t *to, uint16_t which, vector stored) {
  for (int i = 0; i < 16; i++)
    if (which >> i & 1) to[i] = (int8_t)stored.lane[i];
}

#define __m512i vector
#define __mmask16 uint16_t
#define _mm512_add_epi32 add
#define _mm512_or_si512 either
#define _mm512_srav_epi32 shift
#define _mm512_min_epi32 least
#define _mm512_max_epi32 most
#define _mm512_test_epi32_mask common
#define _mm512_mask_cvtepi32_storeu_epi8 store_bytes
#define _mm512_loadu_si512 load
#define _mm512_load_si512 load
#define _mm512_storeu_si512 store
#define _mm512_set1_epi32 broadcast
#define _mm512_dpbusd_epi32 dot
#define __builtin_cpu_supports(feature) 1
#define __attribute__(list)

#include "kernel/avx512.c"
