/* A program taken apart, so that it can be changed in ways that mean something, and put together again with sizes and
 * checksum. */
#ifndef FUZZ_PARTS_H
#define FUZZ_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "re2na_isa.h"

enum { MOST_INSTRUCTIONS = 24, MOST_TENSORS = 6, MOST_CONSTANTS = 1 << 15 };

typedef struct fuzz_tensor {
  uint32_t kind, rank, shape[4], stored[4];
  uint64_t address;
} fuzz_tensor;

typedef struct parts {
  re2na_arch arch;
  uint64_t dram_bytes, constants_address, constants_bytes;
  uint32_t tensor_count, count;
  fuzz_tensor tensors[MOST_TENSORS];
  re2na_instruction code[MOST_INSTRUCTIONS];
  uint8_t constants[MOST_CONSTANTS];
} parts;

/* One field of an instruction's body. */
typedef struct field {
  const char *name;
  unsigned bit, bits;
  int is_signed;
  size_t offset; /* in re2na_instruction */
} field;

typedef struct format {
  uint32_t opcode, engine, bytes, count;
  const field *fields;
} format;

enum {
  FORMATS = 0
#define COUNT(NAME, name, bytes, ENGINE) +1
  RE2NA_INSTRUCTIONS(COUNT)
#undef COUNT
};

/* Of all instructions, in the table's order; NULL for an opcode that is none. */
const format *format_at(unsigned index);
const format *format_of(uint32_t opcode);
static inline int64_t *field_at(re2na_instruction *at, const field *of) {
  return (int64_t *)(void *)((char *)at + of->offset);
}

/* False where the bytes are no program, or one too large to be worth it. */
bool take_apart(const uint8_t *bytes, size_t size, parts *out);
/* Bytes written, or 0 where there is no room. */
size_t put_together(const parts *of, uint8_t *bytes, size_t room);
void repair_checksum(uint8_t *bytes, size_t size);

/* repair.c: whatever the fields hold, makes the program one that is accepted, mostly; `random` decides what is open. */
void repair(parts *of, uint64_t *random);

/* splitmix64 */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}
static inline uint64_t below(uint64_t *state, uint64_t limit) { return next_random(state) % limit; }
static inline bool chance(uint64_t *state, unsigned of) { return below(state, of) == 0; }

#endif
