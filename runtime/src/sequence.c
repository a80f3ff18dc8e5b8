/* What an instruction may follow: the array's mode, the sums that stay in the PEs, and the end. */
#include "internal.h"

typedef struct sequence {
  int64_t mode, rows;            /* set by the last RECONFIGURE; -1 before the first */
  const re2na_dense *unfinished; /* whose sums are in the PEs */
} sequence;

int64_t re2na_mode_needed(const re2na_instruction *at) {
  switch (at->opcode) {
    case RE2NA_CONV: return at->body.conv.groups > 1 ? RE2NA_MODE_GROUPED : RE2NA_MODE_CONV;
    case RE2NA_DENSE: return RE2NA_MODE_DENSE;
    case RE2NA_POOL: return RE2NA_MODE_POOL;
    case RE2NA_ELTWISE: return RE2NA_MODE_ELTWISE;
    default: return -1;
  }
}

static int32_t check_dense(sequence *state, const re2na_dense *body, uint32_t index, re2na_error *error) {
  const re2na_dense *before = state->unfinished;
  if (body->first && before)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (DENSE): first = 1 while sums are unfinished", index);
  if (!body->first && !before)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (DENSE): first = 0, but no sums are in the PEs", index);
  if (before && (before->n != body->n || before->out_c != body->out_c))
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (DENSE): n = %lld, out_c = %lld go on from sums of n = %lld, out_c = %lld",
                      index, (long long)body->n, (long long)body->out_c, (long long)before->n, (long long)before->out_c);
  state->unfinished = body->last ? NULL : body;
  return RE2NA_OK;
}

static int32_t check_step(const re2na_program *program, sequence *state, uint32_t index, re2na_error *error) {
  const re2na_instruction *at = &program->code[index];
  const char *name = re2na_opcode_name(at->opcode);
  int64_t mode = re2na_mode_needed(at);
  bool is_last = index + 1 == program->count;
  if ((at->opcode == RE2NA_HALT) != is_last)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (%s): HALT must be the last instruction, %u, and no other",
                      index, name, program->count - 1);
  if (at->engine == RE2NA_ENGINE_ARRAY && at->opcode != RE2NA_DENSE && state->unfinished)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (%s): the sums of a DENSE without last = 1 are in the PEs",
                      index, name);
  if (at->opcode == RE2NA_RECONFIGURE) {
    state->mode = at->body.reconfigure.mode;
    state->rows = at->body.reconfigure.rows;
  }
  if (mode >= 0 && mode != state->mode)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (%s): needs mode %s, the array is in mode %s", index, name,
                      re2na_mode_name(mode), re2na_mode_name(state->mode));
  if (at->opcode == RE2NA_CONV && at->body.conv.rows != state->rows)
    return re2na_fail(error, RE2NA_ERROR_SEQUENCE, "instruction %u (CONV): rows = %lld, the array's shape has %lld", index,
                      (long long)at->body.conv.rows, (long long)state->rows);
  if (at->opcode == RE2NA_DENSE) return check_dense(state, &at->body.dense, index, error);
  return RE2NA_OK;
}

int32_t re2na_validate_sequence(const re2na_program *program, re2na_error *error) {
  sequence state = {-1, -1, NULL};
  for (uint32_t i = 0; i < program->count; i++) {
    int32_t code = check_step(program, &state, i, error);
    if (code) return code;
  }
  return RE2NA_OK;
}
