/* The container: header, section table, and the sections that are plain numbers. */
#include <stdlib.h>
#include <string.h>

#include "program/program.h"

typedef struct section {
  const uint8_t *bytes;
  uint64_t size;
  bool there;
} section;

static int32_t check_header(const re2na_program *program, re2na_error *error) {
  const uint8_t *bytes = program->bytes;
  uint64_t size = program->size;
  if (size < 8 || memcmp(bytes, RE2NA_MAGIC, 8) != 0)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "no Re2Na program: it does not start with " RE2NA_MAGIC);
  if (size < RE2NA_HEADER_BYTES)
    return re2na_fail(error, RE2NA_ERROR_SIZE, "truncated: %llu bytes, the header takes %d", (unsigned long long)size,
                      RE2NA_HEADER_BYTES);
  if (re2na_u32(bytes + 8) != RE2NA_FORMAT_VERSION)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "format version %u, this release reads %d", re2na_u32(bytes + 8),
                      RE2NA_FORMAT_VERSION);
  if (re2na_u64(bytes + 16) != size)
    return re2na_fail(error, RE2NA_ERROR_SIZE, "truncated or extended: %llu bytes, the header says %llu",
                      (unsigned long long)size, (unsigned long long)re2na_u64(bytes + 16));
  if (re2na_u32(bytes + 28) != 0)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "header: the last word is %u, must be 0", re2na_u32(bytes + 28));
  if (re2na_crc32(bytes + RE2NA_HEADER_BYTES, size - RE2NA_HEADER_BYTES) != re2na_u32(bytes + 24))
    return re2na_fail(error, RE2NA_ERROR_CHECKSUM, "damaged: the checksum does not match");
  return RE2NA_OK;
}

static int32_t read_table(const re2na_program *program, section *sections, re2na_error *error) {
  uint32_t count = re2na_u32(program->bytes + 12);
  if (count > (program->size - RE2NA_HEADER_BYTES) / RE2NA_SECTION_ENTRY_BYTES)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "section table of %u entries does not fit %llu bytes", count,
                      (unsigned long long)program->size);
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *entry = program->bytes + RE2NA_HEADER_BYTES + (uint64_t)i * RE2NA_SECTION_ENTRY_BYTES;
    uint32_t kind = re2na_u32(entry);
    uint64_t offset = re2na_u64(entry + 8), size = re2na_u64(entry + 16);
    if (kind < 1 || kind > RE2NA_SECTION_KINDS || sections[kind].there)
      return re2na_fail(error, RE2NA_ERROR_FORMAT, "section %u: kind %u is unknown or there twice", i, kind);
    if (re2na_u32(entry + 4) != 0)
      return re2na_fail(error, RE2NA_ERROR_FORMAT, "section %u: reserved word is %u, must be 0", i,
                        re2na_u32(entry + 4));
    if (offset % RE2NA_SECTION_ALIGNMENT != 0 || offset > program->size || size > program->size - offset)
      return re2na_fail(error, RE2NA_ERROR_FORMAT,
                        "section %s: %llu bytes at %llu, the file has %llu; offsets are multiples of %d",
                        re2na_section_name(kind), (unsigned long long)size, (unsigned long long)offset,
                        (unsigned long long)program->size, RE2NA_SECTION_ALIGNMENT);
    sections[kind] = (section){program->bytes + offset, size, true};
  }
  for (uint32_t kind = 1; kind <= RE2NA_SECTION_KINDS; kind++)
    if (!sections[kind].there)
      return re2na_fail(error, RE2NA_ERROR_FORMAT, "section %s is missing", re2na_section_name(kind));
  return RE2NA_OK;
}

/* Every shape has all PEs: `array_shapes` is a set of powers of two that divide their number. */
static int32_t check_shapes(const re2na_arch *arch, re2na_error *error) {
  const int64_t pes = arch->array_rows * arch->array_columns;
  for (int64_t rows = 1; rows <= arch->array_shapes; rows *= 2)
    if ((arch->array_shapes & rows) && pes % rows)
      return re2na_fail(error, RE2NA_ERROR_ARCH, "architecture: array_shapes = %lld: %lld rows do not divide %lld PEs",
                        (long long)arch->array_shapes, (long long)rows, (long long)pes);
  return RE2NA_OK;
}

static int32_t read_arch(re2na_program *program, const section *part, re2na_error *error) {
  unsigned word = 0;
  if (part->size != 8 * RE2NA_ARCH_WORDS)
    return re2na_fail(error, RE2NA_ERROR_ARCH, "architecture has %llu bytes, this version knows %d",
                      (unsigned long long)part->size, 8 * RE2NA_ARCH_WORDS);
#define READ(field, low, high)                                                                          \
  program->arch.field = (int64_t)re2na_u64(part->bytes + 8 * word++);                                   \
  if (program->arch.field < (low) || program->arch.field > (high))                                      \
    return re2na_fail(error, RE2NA_ERROR_ARCH, "architecture: " #field " = %lld is outside %lld..%lld", \
                      (long long)program->arch.field, (long long)(low), (long long)(high));
  RE2NA_ARCH_FIELDS(READ)
#undef READ
  return check_shapes(&program->arch, error);
}

static int32_t read_memory(re2na_program *program, const section *part, const section *constants, re2na_error *error) {
  const uint64_t limit = UINT64_C(1) << 32; /* what an instruction's address can reach */
  if (part->size != 16)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "section MEMORY has %llu bytes, must be 16",
                      (unsigned long long)part->size);
  program->dram_bytes = re2na_u64(part->bytes);
  program->constants_address = re2na_u64(part->bytes + 8);
  program->constants = constants->bytes;
  program->constants_bytes = constants->size;
  if (program->dram_bytes > limit)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "DRAM of %llu bytes, addresses reach %llu",
                      (unsigned long long)program->dram_bytes, (unsigned long long)limit);
  if (program->constants_address > program->dram_bytes ||
      constants->size > program->dram_bytes - program->constants_address)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "constants: %llu bytes at %llu do not fit the DRAM of %llu",
                      (unsigned long long)constants->size, (unsigned long long)program->constants_address,
                      (unsigned long long)program->dram_bytes);
  if (!constants->size) program->constants_address = 0; /* no constants lie nowhere: they part no tensor */
  return RE2NA_OK;
}

static int32_t decode_at(const section *part, uint64_t offset, re2na_instruction *out, re2na_error *error) {
  int size = re2na_decode(part->bytes + offset, (size_t)(part->size - offset), out);
  if (size == RE2NA_DECODE_OPCODE)
    re2na_fail(error, RE2NA_ERROR_INSTRUCTION, "code offset %llu: unknown opcode 0x%02x", (unsigned long long)offset,
               part->bytes[offset]);
  else if (size == RE2NA_DECODE_SHORT)
    re2na_fail(error, RE2NA_ERROR_INSTRUCTION, "code offset %llu: an instruction begins, but only %llu bytes are left",
               (unsigned long long)offset, (unsigned long long)(part->size - offset));
  else if (size == RE2NA_DECODE_RESERVED)
    re2na_fail(error, RE2NA_ERROR_INSTRUCTION, "code offset %llu: %s has bits set that are zero by definition",
               (unsigned long long)offset, re2na_opcode_name(out->opcode));
  return size;
}

static int32_t read_code(re2na_program *program, const section *part, re2na_error *error) {
  uint64_t most = part->size / 8, count = 0;
  if (most == 0 || most > UINT32_MAX)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "section CODE has %llu bytes", (unsigned long long)part->size);
  for (uint64_t offset = 0; offset < part->size; count++) {
    re2na_instruction ignored;
    int32_t size = decode_at(part, offset, &ignored, error);
    if (size < 0) return RE2NA_ERROR_INSTRUCTION;
    offset += (uint64_t)size;
  }
  /* Tables of the program, of its preparation and of its machine: a file of small instructions takes many times its
   * size. */
  if (re2na_ask_memory(program, count * RE2NA_INSTRUCTION_BYTES, error)) return RE2NA_ERROR_LIMIT;
  program->code = calloc(count, sizeof *program->code);
  if (!program->code)
    return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %llu instructions", (unsigned long long)count);
  program->count = (uint32_t)count;
  for (uint64_t offset = 0, i = 0; i < count; i++)
    offset += (uint64_t)re2na_decode(part->bytes + offset, (size_t)(part->size - offset), &program->code[i]);
  return RE2NA_OK;
}

static int32_t read_sources(re2na_program *program, const section *part, re2na_error *error) {
  const uint64_t count = re2na_count_sources(part->bytes, part->size);
  if (count > RE2NA_MOST_SOURCES)
    return re2na_fail(error, RE2NA_ERROR_FORMAT, "section SOURCES has %llu operators, instructions can name %d",
                      (unsigned long long)count, RE2NA_MOST_SOURCES);
  program->source_count = (uint32_t)count;
  return re2na_ask_memory(program, count * sizeof(re2na_counters), error);
}

int32_t re2na_load_container(re2na_program *program, re2na_error *error) {
  section sections[RE2NA_SECTION_KINDS + 1] = {{0}};
  int32_t code = check_header(program, error);
  if (!code) code = read_table(program, sections, error);
  if (!code) code = read_arch(program, &sections[RE2NA_SECTION_ARCH], error);
  if (!code) code = read_memory(program, &sections[RE2NA_SECTION_MEMORY], &sections[RE2NA_SECTION_CONST], error);
  if (!code)
    code =
        re2na_load_tensors(program, sections[RE2NA_SECTION_TENSORS].bytes, sections[RE2NA_SECTION_TENSORS].size, error);
  if (!code) code = read_code(program, &sections[RE2NA_SECTION_CODE], error);
  if (!code) code = read_sources(program, &sections[RE2NA_SECTION_SOURCES], error);
  return code;
}
