#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define FIELD(group, name, bit, bits, is_signed) \
  {#name, bit, bits, is_signed, offsetof(re2na_instruction, body.group.name)},
#define TABLE(group, FIELDS) static const field group##_table[] = {FIELDS}
#define RECONFIGURE_FIELD(name, bit, bits, is_signed) FIELD(reconfigure, name, bit, bits, is_signed)
#define LOAD_FIELD(name, bit, bits, is_signed) FIELD(load, name, bit, bits, is_signed)
#define STORE_FIELD(name, bit, bits, is_signed) FIELD(store, name, bit, bits, is_signed)
#define CONV_FIELD(name, bit, bits, is_signed) FIELD(conv, name, bit, bits, is_signed)
#define DENSE_FIELD(name, bit, bits, is_signed) FIELD(dense, name, bit, bits, is_signed)
#define POOL_FIELD(name, bit, bits, is_signed) FIELD(pool, name, bit, bits, is_signed)
#define ELTWISE_FIELD(name, bit, bits, is_signed) FIELD(eltwise, name, bit, bits, is_signed)
#define LOOKUP_FIELD(name, bit, bits, is_signed) FIELD(lookup, name, bit, bits, is_signed)
#define HALT_FIELD(name, bit, bits, is_signed)
static const field halt_table[1];
TABLE(reconfigure, RE2NA_RECONFIGURE_FIELDS(RECONFIGURE_FIELD));
TABLE(load, RE2NA_LOAD_FIELDS(LOAD_FIELD));
TABLE(store, RE2NA_STORE_FIELDS(STORE_FIELD));
TABLE(conv, RE2NA_CONV_FIELDS(CONV_FIELD));
TABLE(dense, RE2NA_DENSE_FIELDS(DENSE_FIELD));
TABLE(pool, RE2NA_POOL_FIELDS(POOL_FIELD));
TABLE(eltwise, RE2NA_ELTWISE_FIELDS(ELTWISE_FIELD));
TABLE(lookup, RE2NA_LOOKUP_FIELDS(LOOKUP_FIELD));

/* HALT's table has one entry without a name, which is none. */
#define FORMAT(NAME, label, bytes, ENGINE)     \
  {RE2NA_##NAME, RE2NA_ENGINE_##ENGINE, bytes, \
   label##_table[0].name ? sizeof label##_table / sizeof *label##_table : 0, label##_table},

const format *format_at(unsigned index) {
  static format formats[FORMATS];
  const format made[FORMATS] = {RE2NA_INSTRUCTIONS(FORMAT)};
  if (!formats[0].bytes) memcpy(formats, made, sizeof made);
  return &formats[index];
}

const format *format_of(uint32_t opcode) {
  for (unsigned i = 0; i < FORMATS; i++)
    if (format_at(i)->opcode == opcode) return format_at(i);
  return NULL;
}

/* ---- reading ---- */

typedef struct section {
  const uint8_t *bytes;
  uint64_t size;
} section;

static bool read_sections(const uint8_t *bytes, size_t size, section *out) {
  if (size < RE2NA_HEADER_BYTES + RE2NA_SECTION_KINDS * RE2NA_SECTION_ENTRY_BYTES || memcmp(bytes, RE2NA_MAGIC, 8) != 0)
    return false;
  for (unsigned i = 0; i < RE2NA_SECTION_KINDS; i++) {
    const uint8_t *entry = bytes + RE2NA_HEADER_BYTES + i * RE2NA_SECTION_ENTRY_BYTES;
    const uint32_t kind = re2na_u32(entry);
    const uint64_t offset = re2na_u64(entry + 8), length = re2na_u64(entry + 16);
    if (kind < 1 || kind > RE2NA_SECTION_KINDS || offset > size || length > size - offset) return false;
    out[kind] = (section){bytes + offset, length};
  }
  return true;
}

enum { RECORD = 52 };

static bool read_tensors(section from, parts *out) {
  uint64_t at = 4;
  if (from.size < 4 || re2na_u32(from.bytes) > MOST_TENSORS) return false;
  out->tensor_count = re2na_u32(from.bytes);
  for (uint32_t i = 0; i < out->tensor_count; i++) {
    const uint8_t *record = from.bytes + at;
    fuzz_tensor *tensor = &out->tensors[i];
    if (from.size - at < RECORD || re2na_u32(record + 48) > from.size - at - RECORD) return false;
    tensor->kind = re2na_u32(record);
    tensor->rank = re2na_u32(record + 4);
    for (int axis = 0; axis < 4; axis++) {
      tensor->shape[axis] = re2na_u32(record + 8 + 4 * axis);
      tensor->stored[axis] = re2na_u32(record + 24 + 4 * axis);
    }
    tensor->address = re2na_u64(record + 40);
    at += RECORD + re2na_round_up(re2na_u32(record + 48), 4);
    if (at > from.size) return false;
  }
  return true;
}

static bool read_code(section from, parts *out) {
  out->count = 0;
  for (uint64_t at = 0; at < from.size;) {
    const int size =
        out->count < MOST_INSTRUCTIONS ? re2na_decode(from.bytes + at, from.size - at, &out->code[out->count]) : -1;
    if (size <= 0) return false;
    out->count++;
    at += (uint64_t)size;
  }
  return out->count > 0;
}

bool take_apart(const uint8_t *bytes, size_t size, parts *out) {
  section sections[RE2NA_SECTION_KINDS + 1] = {{0}};
  unsigned word = 0;
  memset(out, 0, sizeof *out);
  if (!read_sections(bytes, size, sections)) return false;
  const section arch = sections[RE2NA_SECTION_ARCH], memory = sections[RE2NA_SECTION_MEMORY],
                constants = sections[RE2NA_SECTION_CONST];
  if (arch.size != 8 * RE2NA_ARCH_WORDS || memory.size != 16 || constants.size > MOST_CONSTANTS) return false;
#define READ(name, low, high) out->arch.name = (int64_t)re2na_u64(arch.bytes + 8 * word++);
  RE2NA_ARCH_FIELDS(READ)
#undef READ
  out->dram_bytes = re2na_u64(memory.bytes);
  out->constants_address = re2na_u64(memory.bytes + 8);
  out->constants_bytes = constants.size;
  if (constants.size) memcpy(out->constants, constants.bytes, constants.size);
  return read_tensors(sections[RE2NA_SECTION_TENSORS], out) && read_code(sections[RE2NA_SECTION_CODE], out);
}

/* ---- writing ---- */

typedef struct writer {
  uint8_t *bytes;
  size_t size, room;
  bool fits;
} writer;

static uint8_t *add(writer *to, size_t size) {
  uint8_t *at = to->bytes + to->size;
  if (!to->fits || size > to->room - to->size) {
    to->fits = false;
    return NULL;
  }
  memset(at, 0, size);
  to->size += size;
  return at;
}

static void put(uint8_t *at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void add_number(writer *to, uint64_t value, int bytes) {
  uint8_t *at = add(to, (size_t)bytes);
  if (at) put(at, value, bytes);
}

static void put_bits(uint8_t *code, unsigned first, unsigned width, uint64_t value) {
  for (unsigned i = 0; i < width; i++)
    if (value >> i & 1) code[(first + i) / 8] |= (uint8_t)(1 << (first + i) % 8);
}

static void add_instruction(writer *to, re2na_instruction at) {
  const format *of = format_of(at.opcode);
  uint8_t *code = of ? add(to, of->bytes) : NULL;
  if (!code) return;
#define PUT(name, bit, bits, is_signed) put_bits(code, bit, bits, at.name);
  RE2NA_HEADER_FIELDS(PUT)
#undef PUT
  for (uint32_t i = 0; i < of->count; i++)
    put_bits(code, of->fields[i].bit, of->fields[i].bits, (uint64_t)*field_at(&at, &of->fields[i]));
}

static void add_tensors(writer *to, const parts *of) {
  add_number(to, of->tensor_count, 4);
  for (uint32_t i = 0; i < of->tensor_count; i++) {
    const fuzz_tensor *tensor = &of->tensors[i];
    add_number(to, tensor->kind, 4);
    add_number(to, tensor->rank, 4);
    for (int axis = 0; axis < 4; axis++) add_number(to, tensor->shape[axis], 4);
    for (int axis = 0; axis < 4; axis++) add_number(to, tensor->stored[axis], 4);
    add_number(to, tensor->address, 8);
    add_number(to, 2, 4);
    add_number(to, (uint64_t)(tensor->kind ? 'y' : 'x') | (uint64_t)('0' + i) << 8, 4);
  }
}

static void add_section(writer *to, const parts *of, uint32_t kind) {
  uint8_t *at;
  if (kind == RE2NA_SECTION_ARCH) {
#define WRITE(name, low, high) add_number(to, (uint64_t)of->arch.name, 8);
    RE2NA_ARCH_FIELDS(WRITE)
#undef WRITE
  } else if (kind == RE2NA_SECTION_MEMORY) {
    add_number(to, of->dram_bytes, 8);
    add_number(to, of->constants_address, 8);
  } else if (kind == RE2NA_SECTION_TENSORS) {
    add_tensors(to, of);
  } else if (kind == RE2NA_SECTION_CODE) {
    for (uint32_t i = 0; i < of->count; i++) add_instruction(to, of->code[i]);
  } else {
    const char *text = kind == RE2NA_SECTION_SOURCES ? "[{\"name\":\"a\",\"op\":\"b\",\"macs\":0}]" : "{}";
    const bool constants = kind == RE2NA_SECTION_CONST;
    at = add(to, constants ? of->constants_bytes : strlen(text));
    if (at) memcpy(at, constants ? (const char *)of->constants : text, constants ? of->constants_bytes : strlen(text));
  }
}

void repair_checksum(uint8_t *bytes, size_t size) {
  if (size < RE2NA_HEADER_BYTES) return;
  put(bytes + 16, size, 8);
  put(bytes + 24, re2na_crc32(bytes + RE2NA_HEADER_BYTES, size - RE2NA_HEADER_BYTES), 4);
}

size_t put_together(const parts *of, uint8_t *bytes, size_t room) {
  writer to = {bytes, 0, room, true};
  if (!add(&to, RE2NA_HEADER_BYTES + RE2NA_SECTION_KINDS * RE2NA_SECTION_ENTRY_BYTES)) return 0;
  memcpy(bytes, RE2NA_MAGIC, 8);
  put(bytes + 8, RE2NA_FORMAT_VERSION, 4);
  put(bytes + 12, RE2NA_SECTION_KINDS, 4);
  for (uint32_t kind = 1; kind <= RE2NA_SECTION_KINDS; kind++) {
    uint8_t *entry = bytes + RE2NA_HEADER_BYTES + (kind - 1) * RE2NA_SECTION_ENTRY_BYTES;
    add(&to, (size_t)re2na_round_up(to.size, RE2NA_SECTION_ALIGNMENT) - to.size);
    const size_t start = to.size;
    add_section(&to, of, kind);
    put(entry, kind, 4);
    put(entry + 8, start, 8);
    put(entry + 16, to.size - start, 8);
  }
  if (!to.fits) return 0;
  repair_checksum(bytes, to.size);
  return to.size;
}
