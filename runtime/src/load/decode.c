/* What LOADs decode are constants: it is decoded once, before any run. */
#include <stdlib.h>

#include "insn/insn.h"
#include "load/load.h"
#include "program/stream.h"

/* A coded run, whoever loads it. */
typedef struct run {
  uint64_t address, coded, bytes;
  uint32_t index;
} run;

static int compare(const void *one, const void *other) {
  const run *a = one, *b = other;
  if (a->address != b->address) return a->address < b->address ? -1 : 1;
  if (a->coded != b->coded) return a->coded < b->coded ? -1 : 1;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
  return a->index < b->index ? -1 : 1;
}

static bool same(const run *a, const run *b) {
  return a->address == b->address && a->coded == b->coded && a->bytes == b->bytes;
}

/* In the order of the DRAM, so that neighbours there are neighbours when they are decoded. */
static uint32_t list_runs(const re2na_program *program, run *runs) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->count; i++) {
    const re2na_load *body = &program->code[i].body.load;
    if (program->code[i].opcode != RE2NA_LOAD || !body->coded) continue;
    runs[count++] = (run){(uint64_t)body->transfer.dram_addr, (uint64_t)body->coded, (uint64_t)body->transfer.bytes, i};
  }
  qsort(runs, count, sizeof *runs, compare);
  return count;
}

static int32_t decode(re2na_program *program, const run *of, uint8_t *to, re2na_error *error) {
  const uint8_t *from = program->constants + (of->address - program->constants_address);
  const char *wrong = re2na_decode_stream(&program->arch, from, of->coded, to, of->bytes);
  if (!wrong) return RE2NA_OK;
  return re2na_fail(error, RE2NA_ERROR_INSTRUCTION, "instruction %u (LOAD): the coded bytes at DRAM %llu..%llu: %s",
                    of->index, (unsigned long long)of->address, (unsigned long long)(of->address + of->coded), wrong);
}

static int32_t decode_all(re2na_program *program, const run *runs, uint32_t count, re2na_error *error) {
  uint64_t size = 0, at = 0;
  int32_t code;
  for (uint32_t i = 0; i < count; i++)
    if (!i || !same(&runs[i], &runs[i - 1])) size += runs[i].bytes;
  code = re2na_ask_memory(program, size, error);
  if (!code) code = re2na_ask_work(program, size, error);
  if (code) return code;
  program->decoded = calloc(program->count, sizeof *program->decoded);
  program->decoded_bytes = malloc((size_t)size + RE2NA_SLACK);
  if (!program->decoded || !program->decoded_bytes)
    return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %llu decoded bytes", (unsigned long long)size);
  program->decoded_size = size;
  for (uint32_t i = 0; i < RE2NA_SLACK; i++) program->decoded_bytes[size + i] = 0;
  for (uint32_t i = 0; i < count && !code; i++) {
    const bool again = i && same(&runs[i], &runs[i - 1]);
    uint8_t *to = program->decoded_bytes + at;
    program->decoded[runs[i].index] = again ? program->decoded[runs[i - 1].index] : to;
    if (!again) code = decode(program, &runs[i], to, error);
    if (!again) at += runs[i].bytes;
  }
  return code;
}

int32_t re2na_decode_constants(re2na_program *program, re2na_error *error) {
  run *runs;
  uint32_t count;
  int32_t code = RE2NA_OK;
  if (!program->arch.weight_coding) return RE2NA_OK;
  runs = malloc(program->count * sizeof *runs);
  if (!runs) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %u coded runs", program->count);
  count = list_runs(program, runs);
  if (count) code = decode_all(program, runs, count, error);
  free(runs);
  return code;
}
