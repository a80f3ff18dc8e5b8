/* Between loading and running: where operands come from, weights laid out for the kernel, and what a machine has to
 * allocate. */
#include "run/prepare.h"

#include <stdlib.h>

#include "insn/insn.h"

static int32_t pack(re2na_prepared *to, re2na_error *error) {
  const re2na_program *program = &to->program;
  int32_t code = RE2NA_OK;
  to->packed = calloc(program->count, sizeof *to->packed);
  to->packs = calloc(program->count, sizeof *to->packs);
  if (!to->packed || !to->packs) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for the weights of a program");
  for (uint32_t i = 0; i < program->count && !code; i++)
    code = re2na_insn_of(&program->code[i])->prepare(program, i, error);
  return code ? code : re2na_ask_memory(program, re2na_room_bytes(program), error);
}

static int32_t prepare(re2na_prepared *to, re2na_error *error) {
  re2na_touches touches = {0};
  int32_t code = re2na_trace_operands(&to->program, &to->operands, &touches, error);
  if (!code) code = pack(to, error);
  if (!code) code = re2na_find_waves(to, &touches, error);
  free(touches.all);
  return code;
}

int32_t re2na_prepare(re2na_prepared *to, re2na_error *error) {
  int32_t code = RE2NA_OK;
  pthread_mutex_lock(&to->lock);
  const re2na_limits asks = to->asks;
  if (!to->done) code = prepare(to, error);
  if (code == RE2NA_OK) {
    to->done = true;
  } else {
    re2na_unprepare(to);
    to->asks = asks;
  }
  pthread_mutex_unlock(&to->lock);
  return code;
}
