/* What every file of the library may use. Nothing here is exported. */
#ifndef RE2NA_BASE_H
#define RE2NA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "re2na.h"

/* A host buffer may be read (not written) this far behind what it holds, by kernels that read whole vectors. */
enum { RE2NA_SLACK = 128 };

/* Bytes that processors pass between them: a line of their caches, and the one that is fetched with it. */
enum { RE2NA_LINE = 128 };

/* Several versions of a loop for several processors, chosen when the library is loaded. No two have the same name,
 * though they are static: clang makes symbols of them. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(RE2NA_ONE_VERSION)
#define RE2NA_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define RE2NA_CLONES
#endif

/* error.c: fills in `error` (which may be NULL) and returns `code`. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int32_t re2na_fail(re2na_error *error, int32_t code, const char *format, ...);

/* crc.c: CRC-32 as in zlib. */
uint32_t re2na_crc32(const uint8_t *bytes, uint64_t size);

static inline uint32_t re2na_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t re2na_u64(const uint8_t *at) {
  return (uint64_t)re2na_u32(at) | (uint64_t)re2na_u32(at + 4) << 32;
}

static inline uint64_t re2na_round_up(uint64_t a, uint64_t to) { return re2na_ceil(a, to) * to; }

/* `size` becomes `wanted`, if it is less. */
static inline void re2na_need(uint64_t *size, uint64_t wanted) { *size = re2na_max(*size, wanted); }

/* A product that stays at the largest number instead of overflowing. */
static inline uint64_t re2na_product(const int64_t *factors, size_t count) {
  uint64_t result = 1;
  for (size_t i = 0; i < count; i++) result = re2na_times(result, (uint64_t)factors[i]);
  return result;
}

#define RE2NA_PRODUCT(...) \
  re2na_product((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static inline int32_t re2na_clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

/* The lowest 32 - `spare` bits, as a signed number. */
static inline int32_t re2na_wrap(int32_t value, int32_t spare) { return (int32_t)((uint32_t)value << spare) >> spare; }

#endif
