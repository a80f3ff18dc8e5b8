/* Every instruction by itself: fields within their limits, every access within its memory. */
#include <stdlib.h>

#include "insn/insn.h"
#include "load/load.h"

static int32_t check_instruction(const re2na_checker *check) {
  const re2na_instruction *at = check->at;
  const re2na_insn *insn = re2na_insn_of(at);
  if (check->program->source_count > 0 || at->source > 0) {
    int32_t code = re2na_in_range(check, "source", at->source, 0, (int64_t)check->program->source_count - 1);
    if (code) return code;
  }
  if ((at->wait | at->signal) >> at->engine & 1)
    return re2na_fail(check->error, RE2NA_ERROR_TOKENS, "instruction %u (%s): wait or signal names its own engine",
                      check->index, insn->name);
  const int32_t code = re2na_check_fields(check);
  return code ? code : insn->check(check);
}

int32_t re2na_validate_instructions(re2na_program *program, re2na_error *error) {
  program->fixed = calloc(program->count, sizeof *program->fixed);
  program->buffered = calloc(program->count, sizeof *program->buffered);
  if (!program->fixed || !program->buffered)
    return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for %u counters", program->count);
  for (uint32_t i = 0; i < program->count; i++) {
    re2na_checker check = {program, i, &program->code[i], error};
    int32_t code = check_instruction(&check);
    if (code) return code;
  }
  return RE2NA_OK;
}
