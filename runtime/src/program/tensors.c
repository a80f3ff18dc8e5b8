/* The TENSORS section: the program's inputs and outputs. */
#include <stdlib.h>
#include <string.h>

#include "program/program.h"

enum { RECORD_BYTES = 2 * 4 + 4 * 4 + 4 * 4 + 8 + 4 };

typedef struct record {
  uint32_t kind;
  re2na_tensor tensor;
  const uint8_t *name;
  uint32_t name_bytes;
} record;

/* Bytes of the record at `at`, or 0 where the table ends within it. */
static uint64_t read_record(const uint8_t *at, uint64_t left, record *out) {
  uint64_t name_space;
  if (left < RECORD_BYTES) return 0;
  out->kind = re2na_u32(at);
  out->tensor.rank = re2na_u32(at + 4);
  for (int axis = 0; axis < 4; axis++) {
    out->tensor.shape[axis] = re2na_u32(at + 8 + 4 * axis);
    out->tensor.stored[axis] = re2na_u32(at + 24 + 4 * axis);
  }
  out->tensor.address = re2na_u64(at + 40);
  out->name_bytes = re2na_u32(at + 48);
  out->name = at + RECORD_BYTES;
  name_space = re2na_round_up(out->name_bytes, 4);
  return name_space > left - RECORD_BYTES ? 0 : RECORD_BYTES + name_space;
}

/* Elements, or 0 where a size is 0 or the product exceeds `limit`. */
static uint64_t elements(const uint32_t *shape, uint64_t limit) {
  uint64_t product = 1;
  for (int axis = 0; axis < 4; axis++) {
    if (shape[axis] == 0 || product > limit / shape[axis]) return 0;
    product *= shape[axis];
  }
  return product;
}

static int32_t check(const re2na_program *program, const record *entry, re2na_error *error) {
  const re2na_tensor *tensor = &entry->tensor;
  uint64_t size = elements(tensor->shape, program->dram_bytes);
  uint64_t end = program->constants_address + program->constants_bytes;
  if (entry->kind > 1)
    return re2na_fail(error, RE2NA_ERROR_TENSOR, "tensor '%s': kind %u is outside 0..1", tensor->name, entry->kind);
  if (tensor->rank != 2 && tensor->rank != 4)
    return re2na_fail(error, RE2NA_ERROR_TENSOR, "tensor '%s': rank %u is neither 2 nor 4", tensor->name, tensor->rank);
  if (tensor->rank == 2 && (tensor->shape[2] != 1 || tensor->shape[3] != 1))
    return re2na_fail(error, RE2NA_ERROR_TENSOR, "tensor '%s': rank 2 but shape (%u, %u, %u, %u)", tensor->name,
                      tensor->shape[0], tensor->shape[1], tensor->shape[2], tensor->shape[3]);
  if (size == 0 || elements(tensor->stored, program->dram_bytes) != size)
    return re2na_fail(
        error, RE2NA_ERROR_TENSOR,
        "tensor '%s': shape (%u, %u, %u, %u) stored as (%u, %u, %u, %u) is empty, of different size or larger than "
        "the DRAM of %llu bytes",
        tensor->name, tensor->shape[0], tensor->shape[1], tensor->shape[2], tensor->shape[3], tensor->stored[0],
        tensor->stored[1], tensor->stored[2], tensor->stored[3], (unsigned long long)program->dram_bytes);
  if (tensor->address > program->dram_bytes - size)
    return re2na_fail(error, RE2NA_ERROR_TENSOR, "tensor '%s': %llu bytes at address %llu do not fit the DRAM of %llu",
                      tensor->name, (unsigned long long)size, (unsigned long long)tensor->address,
                      (unsigned long long)program->dram_bytes);
  if (program->constants_bytes && tensor->address < end && program->constants_address < tensor->address + size)
    return re2na_fail(error, RE2NA_ERROR_TENSOR,
                      "tensor '%s': %llu bytes at address %llu overlap the constants at %llu..%llu", tensor->name,
                      (unsigned long long)size, (unsigned long long)tensor->address,
                      (unsigned long long)program->constants_address, (unsigned long long)end);
  return RE2NA_OK;
}

int32_t re2na_load_tensors(re2na_program *program, const uint8_t *table, uint64_t size, re2na_error *error) {
  uint32_t count = size < 4 ? 0 : re2na_u32(table);
  uint64_t offset = 4, names = 0;
  if (size < 4 || count > (size - 4) / RECORD_BYTES)
    return re2na_fail(error, RE2NA_ERROR_TENSOR, "tensor table of %u entries does not fit %llu bytes", count,
                      (unsigned long long)size);
  if (re2na_ask_memory(program, 2 * (uint64_t)count * sizeof(re2na_tensor) + size + count, error))
    return RE2NA_ERROR_LIMIT;
  program->inputs = calloc((size_t)count + 1, sizeof *program->inputs);
  program->outputs = calloc((size_t)count + 1, sizeof *program->outputs);
  program->names = calloc(1, (size_t)size + count);
  if (!program->inputs || !program->outputs || !program->names)
    return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %u tensors", count);
  for (uint32_t i = 0; i < count; i++) {
    record entry;
    int32_t code;
    uint64_t used = read_record(table + offset, size - offset, &entry);
    if (!used) return re2na_fail(error, RE2NA_ERROR_TENSOR, "tensor %u: its record ends behind the table", i);
    memcpy(program->names + names, entry.name, entry.name_bytes);
    entry.tensor.name = program->names + names;
    names += (uint64_t)entry.name_bytes + 1;
    code = check(program, &entry, error);
    if (code) return code;
    if (entry.kind == 0) program->inputs[program->input_count++] = entry.tensor;
    else program->outputs[program->output_count++] = entry.tensor;
    offset += used;
  }
  return RE2NA_OK;
}
