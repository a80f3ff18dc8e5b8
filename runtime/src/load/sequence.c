/* What an instruction may follow: the array's mode, the sums that stay in the PEs, and the end. */
#include "insn/insn.h"
#include "load/load.h"

static int32_t check_step(const re2na_program *program, re2na_sequence *state, uint32_t index, re2na_error *error) {
  const re2na_instruction *at = &program->code[index];
  const re2na_insn *insn = re2na_insn_of(at);
  const int64_t mode = insn->mode(at);
  const bool is_last = index + 1 == program->count;
  if ((at->opcode == RE2NA_HALT) != is_last)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE,
                      "instruction %u (%s): HALT must be the last instruction, %u, and no other", index, insn->name,
                      program->count - 1);
  if (at->engine == RE2NA_ENGINE_ARRAY && at->opcode != RE2NA_DENSE && state->unfinished)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE,
                      "instruction %u (%s): the sums of a DENSE without last = 1 are in the PEs", index, insn->name);
  if (mode != RE2NA_ANY_MODE && mode != state->mode)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (%s): needs mode %s, the array is in mode %s", index,
                      insn->name, re2na_mode_name(mode), re2na_mode_name(state->mode));
  return insn->order(state, at, index, error);
}

int32_t re2na_validate_sequence(const re2na_program *program, re2na_error *error) {
  re2na_sequence state = {RE2NA_ANY_MODE, -1, NULL};
  for (uint32_t i = 0; i < program->count; i++) {
    int32_t code = check_step(program, &state, i, error);
    if (code) return code;
  }
  return RE2NA_OK;
}
