#include "insn/check.h"

static const char *name(const re2na_checker *check) { return re2na_opcode_name(check->at->opcode); }

int32_t re2na_in_range(const re2na_checker *check, const char *field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return RE2NA_OK;
  return re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION, "instruction %u (%s): %s = %lld is outside %lld..%lld",
                    check->index, name(check), field, (long long)value, (long long)low, (long long)high);
}

int32_t re2na_check_fields(const re2na_checker *check) {
  const unsigned count = re2na_range_count(check->at->opcode);
  int32_t code = RE2NA_OK;
  for (unsigned i = 0; i < count && !code; i++) {
    const re2na_range range = re2na_range_of(&check->program->arch, check->at, i);
    const int64_t *value = (const int64_t *)(const void *)((const char *)check->at + range.offset);
    code = re2na_in_range(check, range.field, *value, range.low, range.high);
  }
  return code;
}

static int32_t in_memory(const re2na_checker *check, const char *what, const char *memory, re2na_span bytes,
                         uint64_t size) {
  if (bytes.stop <= size) return RE2NA_OK;
  return re2na_fail(check->error, RE2NA_ERROR_ACCESS, "instruction %u (%s): %s at %s bytes %llu..%llu, the %s has %llu",
                    check->index, name(check), what, memory, (unsigned long long)bytes.start,
                    (unsigned long long)bytes.stop, memory, (unsigned long long)size);
}

int32_t re2na_in_sram(const re2na_checker *check, const char *what, re2na_region bytes) {
  const re2na_span span = re2na_span_of(&bytes);
  const int32_t code = in_memory(check, what, "SRAM", span, (uint64_t)check->program->arch.sram_bytes);
  if (!code) re2na_need(&check->program->sram_used, span.stop);
  return code;
}

int32_t re2na_in_dram(const re2na_checker *check, const char *what, re2na_region bytes) {
  return in_memory(check, what, "DRAM", re2na_span_of(&bytes), check->program->dram_bytes);
}

int32_t re2na_check_amount(const re2na_checker *check, const char *what, const int64_t *sizes, int count,
                           uint64_t *product) {
  const uint64_t limit = (uint64_t)check->program->arch.sram_bytes;
  *product = 1;
  for (int i = 0; i < count; i++) {
    if (sizes[i] != 0 && *product > limit / (uint64_t)sizes[i])
      return re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION,
                        "instruction %u (%s): more %s than the SRAM has bytes, %llu", check->index, name(check), what,
                        (unsigned long long)limit);
    *product *= (uint64_t)sizes[i];
  }
  return RE2NA_OK;
}

int32_t re2na_check_shape(const re2na_checker *check, int64_t rows, bool any) {
  const re2na_arch *arch = &check->program->arch;
  const bool further = any && rows > 0 && (rows & (rows - 1)) == 0 && (arch->array_shapes & rows);
  if (rows == arch->array_rows || further) return RE2NA_OK;
  return re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION,
                    "instruction %u (%s): rows = %lld, the array has %lld%s (array_shapes = %lld)", check->index,
                    name(check), (long long)rows, (long long)arch->array_rows,
                    any ? " or those of a further shape" : " in this mode", (long long)arch->array_shapes);
}

int32_t re2na_check_weights(const re2na_checker *check, int64_t weight_addr, int64_t mask_addr, int64_t steps,
                            int64_t k, int64_t out_c) {
  const int64_t sizes[2] = {steps, out_c};
  uint64_t weights;
  int32_t code = re2na_check_amount(check, "weights", sizes, 2, &weights);
  if (!code) code = re2na_in_sram(check, "weights", re2na_run_at(weight_addr, steps * out_c));
  if (!code && steps < k) {
    code = re2na_in_sram(check, "bitmap", re2na_run_at(mask_addr, k / 8 + (k % 8 != 0)));
    re2na_need(&check->program->present_items, (uint64_t)steps);
  }
  return code;
}

void re2na_form_elsewhere(const re2na_checker *check, uint64_t results) {
  check->program->buffered[check->index] = 1;
  re2na_need(&check->program->result_bytes, results);
}
