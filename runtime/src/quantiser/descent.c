/* Coordinate descent over the integer weights of a layer, for the quantiser. It alone here computes in float.
 *
 * The time goes into the gradient: every weight that moves changes it for all weights of the same output. Few weights
 * move, and other outputs do not care, so each output follows its own moves only; a matrix product would multiply
 * mostly zeros. The moves of a block of weights reach the gradient together, strip by strip, while the strips of the
 * matrix are in the cache. */
#include <stddef.h>
#include <string.h>

#include "re2na.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* GCC's default for C11: the same weights whatever compiled this */
#endif

enum {
  BLOCK = 64,   /* weights whose moves reach the gradient together */
  OUTPUTS = 32, /* that share a block of the matrix while it is in the cache */
  STRIP = 1024, /* of the gradient */
  LANES = 64    /* sums under way at once */
};

#define INLINE static inline __attribute__((always_inline))
/* 1.5 * 2**23: added and taken away again, it rounds small numbers to integers, ties to even. */
#define ROUNDING 12582912.0f
#define LARGEST 4194304.0f /* 2**22: what it rounds */

typedef struct moves {
  uint32_t count;
  uint8_t index[BLOCK];
  float change[BLOCK];
} moves;

typedef struct problem {
  const float *gram;
  float *left, *weight;
  size_t inputs;
  uint32_t outputs;
  float low, high;
} problem;

/* One output's weights begin..begin+size, in order; the gradient of the others has to follow. */
INLINE void descend_block(const problem *p, size_t begin, uint32_t size, uint32_t output, moves *moved) {
  float *weight = p->weight + output * p->inputs + begin, own[BLOCK];
  memcpy(own, p->left + output * p->inputs + begin, size * sizeof *own);
  moved->count = 0;
  for (uint32_t i = 0; i < size; i++) {
    const float *row = p->gram + (begin + i) * p->inputs + begin;
    float best = weight[i] + own[i] / row[i];
    best = best < p->low ? p->low : best > p->high ? p->high : best;
    best = (best + ROUNDING) - ROUNDING;
    const float change = best - weight[i];
    if (change == 0) continue;
    weight[i] = best;
    moved->index[moved->count] = (uint8_t)i;
    moved->change[moved->count++] = change;
    for (uint32_t j = i + 1; j < size; j++) own[j] -= row[j] * change;
  }
}

/* `lanes` is a constant where this is inlined; `fused`: the processor rounds a product and its addition once. */
INLINE void follow(const float *rows, size_t inputs, const moves *moved, float *left, const int lanes,
                   const int fused) {
  float sum[LANES] = {0};
  for (uint32_t m = 0; m < moved->count; m++) {
    const float *row = rows + moved->index[m] * inputs, change = moved->change[m];
    for (int k = 0; k < lanes; k++) sum[k] = fused ? __builtin_fmaf(row[k], change, sum[k]) : sum[k] + row[k] * change;
  }
  for (int k = 0; k < lanes; k++) left[k] -= sum[k];
}

INLINE void follow_all(const float *rows, size_t inputs, const moves *moved, float *left, size_t count,
                       const int fused) {
  size_t j = 0;
  for (; j + LANES <= count; j += LANES) follow(rows + j, inputs, moved, left + j, LANES, fused);
  for (; j < count; j++) follow(rows + j, inputs, moved, left + j, 1, fused);
}

typedef void follower(const float *rows, size_t inputs, const moves *moved, float *left, size_t count);

INLINE void follow_strip(const problem *p, size_t begin, size_t from, size_t to, const moves *moved,
                         follower *follow_moves) {
  const float *rows = p->gram + begin * p->inputs + from;
  for (uint32_t o = 0; o < p->outputs; o++)
    if (moved[o].count) follow_moves(rows, p->inputs, &moved[o], p->left + o * p->inputs + from, to - from);
}

INLINE void descend(const problem *p, uint32_t sweeps, follower *follow_moves) {
  moves moved[OUTPUTS];
  int moving = 1;
  for (; sweeps && moving; sweeps--) {
    moving = 0;
    for (size_t begin = 0; begin < p->inputs; begin += BLOCK) {
      const size_t size = p->inputs - begin < BLOCK ? p->inputs - begin : BLOCK;
      for (uint32_t o = 0; o < p->outputs; o++) {
        descend_block(p, begin, (uint32_t)size, o, &moved[o]);
        moving |= moved[o].count != 0;
      }
      const size_t first = sweeps == 1 ? begin + size : 0; /* in the last sweep nobody comes back */
      for (size_t from = first; from < p->inputs; from += STRIP)
        follow_strip(p, begin, from, p->inputs - from < STRIP ? p->inputs : from + STRIP, moved, follow_moves);
    }
  }
}

static void follow_portable(const float *rows, size_t inputs, const moves *moved, float *left, size_t count) {
  follow_all(rows, inputs, moved, left, count, 0);
}

static void descend_portable(const problem *p, uint32_t sweeps) { descend(p, sweeps, follow_portable); }

#if defined(__x86_64__) && defined(__GNUC__)
#define FUSED __attribute__((target("avx2,fma")))
enum { VECTOR = 8, VECTORS = LANES / VECTOR };

/* By hand, since GCC makes single numbers of `follow`, two moves at a time. */
FUSED static void follow_fused(const float *rows, size_t inputs, const moves *moved, float *left, size_t count) {
  for (; count >= LANES; count -= LANES, rows += LANES, left += LANES) {
    __m256 sum[VECTORS];
    for (int v = 0; v < VECTORS; v++) sum[v] = _mm256_setzero_ps();
    for (uint32_t m = 0; m < moved->count; m++) {
      const float *row = rows + moved->index[m] * inputs;
      const __m256 change = _mm256_set1_ps(moved->change[m]);
      for (int v = 0; v < VECTORS; v++) sum[v] = _mm256_fmadd_ps(_mm256_loadu_ps(row + VECTOR * v), change, sum[v]);
    }
    for (int v = 0; v < VECTORS; v++)
      _mm256_storeu_ps(left + VECTOR * v, _mm256_sub_ps(_mm256_loadu_ps(left + VECTOR * v), sum[v]));
  }
  follow_all(rows, inputs, moved, left, count, 1);
}

FUSED static void descend_fused(const problem *p, uint32_t sweeps) { descend(p, sweeps, follow_fused); }
static int has_fused(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#elif defined(__aarch64__)
static void follow_fused(const float *rows, size_t inputs, const moves *moved, float *left, size_t count) {
  follow_all(rows, inputs, moved, left, count, 1);
}

static void descend_fused(const problem *p, uint32_t sweeps) { descend(p, sweeps, follow_fused); }
static int has_fused(void) { return 1; }
#else
#define descend_fused descend_portable
static int has_fused(void) { return 0; }
#endif

int32_t re2na_descend(const float *gram, float *left, float *weight, uint32_t groups, uint32_t outputs, uint32_t inputs,
                      float low, float high, uint32_t sweeps) {
  if (!gram || !left || !weight || !(low >= -LARGEST && low <= high && high <= LARGEST)) return RE2NA_ERROR_ARGUMENT;
  void (*const run)(const problem *, uint32_t) = has_fused() ? descend_fused : descend_portable;
  for (uint32_t g = 0; g < groups; g++)
    for (size_t o = 0; o < outputs; o += OUTPUTS) {
      const size_t at = ((size_t)g * outputs + o) * inputs;
      const uint32_t count = outputs - o < OUTPUTS ? (uint32_t)(outputs - o) : OUTPUTS;
      const problem p = {gram + (size_t)g * inputs * inputs, left + at, weight + at, inputs, count, low, high};
      run(&p, sweeps);
    }
  return RE2NA_OK;
}
