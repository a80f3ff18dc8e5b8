/* Changes that mean something: fields by the instruction table, instructions, machines, constants; then repair, mostly.
 */
#include <string.h>

#include "mutate.h"
#include "parts.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most); /* libFuzzer's */

static int64_t limit_of(const field *of) {
  return of->bits >= 32 ? INT64_C(0xFFFFFFFF) : (INT64_C(1) << (of->bits - (unsigned)of->is_signed)) - 1;
}

/* A value that is small, near the old one, a power of two or next to one, another field's, or anything. */
static int64_t draw_value(uint64_t *random, int64_t old, int64_t other, int64_t most) {
  switch (below(random, 7)) {
    case 0:
    case 1: return (int64_t)below(random, 9);
    case 2: return old + (int64_t)below(random, 7) - 3;
    case 3: return (INT64_C(1) << below(random, 17)) + (int64_t)below(random, 3) - 1;
    case 4: return other;
    case 5: return most - (int64_t)below(random, 4);
    default: return (int64_t)below(random, (uint64_t)most + 1);
  }
}

static void change_field(re2na_instruction *at, uint64_t *random) {
  const format *of = format_of(at->opcode);
  if (!of->count) return;
  const field *what = &of->fields[below(random, of->count)], *other = &of->fields[below(random, of->count)];
  int64_t *value = field_at(at, what);
  const uint64_t bits =
      (uint64_t)draw_value(random, *value, *field_at(at, other), limit_of(what)) & ((UINT64_C(1) << what->bits) - 1);
  const bool negative = what->is_signed && bits >> (what->bits - 1);
  *value = (int64_t)bits - (negative ? INT64_C(1) << what->bits : 0);
}

static void insert(parts *of, uint64_t *random) {
  const format *what = format_at((unsigned)below(random, FORMATS));
  const uint32_t at = (uint32_t)below(random, of->count);
  if (of->count == MOST_INSTRUCTIONS) return;
  memmove(of->code + at + 1, of->code + at, (of->count - at) * sizeof *of->code);
  of->count++;
  of->code[at] = (re2na_instruction){.opcode = what->opcode, .engine = what->engine};
  for (uint32_t i = 0; i < what->count; i++) {
    const field *f = &what->fields[i];
    const int64_t most = limit_of(f);
    *field_at(&of->code[at], f) =
        most == 1 || f->is_signed
            ? (int64_t)below(random, (uint64_t)most + 1) - (f->is_signed && chance(random, 2) ? most : 0)
            : draw_value(random, 1, (int64_t)below(random, 4096) & most, most) & most;
  }
}

static void drop_one(parts *of, uint64_t *random) {
  const uint32_t at = (uint32_t)below(random, of->count);
  if (of->count < 2) return;
  of->count--;
  memmove(of->code + at, of->code + at + 1, (of->count - at) * sizeof *of->code);
}

static void swap(parts *of, uint64_t *random) {
  re2na_instruction *a = &of->code[below(random, of->count)], *b = &of->code[below(random, of->count)], old = *a;
  *a = *b;
  if (chance(random, 2)) *b = old;
}

static void change_arch(re2na_arch *arch, uint64_t *random) {
  enum { WORDS = RE2NA_ARCH_WORDS };
  const uint64_t chosen = below(random, WORDS);
  uint64_t word = 0;
#define CHANGE(name, low, high) \
  if (word++ == chosen) arch->name = draw_value(random, arch->name, (low), (high));
  RE2NA_ARCH_FIELDS(CHANGE)
#undef CHANGE
}

/* Weights and biases: bytes, runs of one value, and words that are small biases. */
static void change_constants(parts *of, uint64_t *random) {
  if (chance(random, 8) || !of->constants_bytes) {
    of->constants_bytes = below(random, 4096);
    of->constants_address = chance(random, 2) ? 0 : below(random, 2048);
    return;
  }
  const uint64_t start = below(random, of->constants_bytes), left = of->constants_bytes - start;
  const uint64_t count = 1 + below(random, left < 300 ? left : 300);
  const uint64_t kind = below(random, 4);
  for (uint64_t i = 0; i < count; i++) {
    uint8_t *byte = &of->constants[start + i];
    if (kind == 0) *byte = (uint8_t)next_random(random);
    else if (kind == 1) *byte = (uint8_t)(0x7F + (start & 1)); /* the largest and the smallest weight */
    else if (kind == 2) *byte &= 0x1F;
    else *byte = 0;
  }
}

static void change_memory(parts *of, uint64_t *random) {
  fuzz_tensor *tensor = of->tensor_count ? &of->tensors[below(random, of->tensor_count)] : NULL;
  switch (below(random, 4)) {
    case 0: of->dram_bytes = (uint64_t)draw_value(random, (int64_t)of->dram_bytes, 4096, 1 << 17); break;
    case 1:
      if (tensor) tensor->shape[below(random, 4)] = (uint32_t)draw_value(random, 1, 16, 4096);
      break;
    case 2:
      if (tensor) tensor->address = (uint64_t)draw_value(random, (int64_t)tensor->address, 0, 1 << 16);
      break;
    default:
      if (tensor) {
        const uint32_t a = (uint32_t)below(random, 4), b = (uint32_t)below(random, 4), old = tensor->stored[a];
        tensor->stored[a] = tensor->stored[b];
        tensor->stored[b] = old;
      }
  }
}

static void change(parts *of, uint64_t *random) {
  re2na_instruction *at = &of->code[below(random, of->count)];
  switch (below(random, 16)) {
    case 0: insert(of, random); break;
    case 1: drop_one(of, random); break;
    case 2: swap(of, random); break;
    case 3: change_arch(&of->arch, random); break;
    case 4: change_constants(of, random); break;
    case 5: change_memory(of, random); break;
    case 6: at->wait ^= 1u << below(random, 3); break;
    default: change_field(at, random);
  }
}

size_t draw_program(uint8_t *bytes, size_t room, uint64_t *random) {
  static parts of;
  memset(&of, 0, sizeof of);
  of.arch = (re2na_arch){.array_rows = 16, .array_columns = 16, .sram_bytes = 2048, .acc_bits = 17, .data_bits = 8};
  of.constants_bytes = 1024;
  for (uint64_t i = 0; i < of.constants_bytes; i++) of.constants[i] = (uint8_t)next_random(random);
  of.dram_bytes = 4096;
  of.tensor_count = 2;
  of.tensors[1].kind = 1;
  of.count = 1; /* HALT */
  of.code[0].engine = RE2NA_ENGINE_ARRAY;
  for (uint64_t i = 0, count = 2 + below(random, 8); i < count; i++) insert(&of, random);
  for (int i = 0; i < 4; i++) change(&of, random);
  repair(&of, random);
  return put_together(&of, bytes, room);
}

size_t mutate(uint8_t *data, size_t size, size_t most, unsigned seed) {
  static parts of;
  uint64_t random = seed;
  if (chance(&random, 16) || !take_apart(data, size, &of)) {
    size = LLVMFuzzerMutate(data, size, most);
    if (!chance(&random, 4)) repair_checksum(data, size);
    return size;
  }
  for (uint64_t i = 0, changes = 1 + below(&random, 4); i < changes; i++) change(&of, &random);
  if (!chance(&random, 10)) repair(&of, &random);
  const size_t made = put_together(&of, data, most);
  return made ? made : size;
}
