/* Between loading and running: where operands come from, weights laid out for the kernel, and what a machine has to allocate. */
#include <stdlib.h>
#include <string.h>

#include "array.h"

static int32_t no_memory(re2na_error *error) { return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for the weights of a program"); }

static bool same(const weights *a, const weights *b) {
  return a->lines == b->lines && a->bias == b->bias && a->mask == b->mask && a->k == b->k && a->steps == b->steps &&
         a->outputs == b->outputs && a->groups == b->groups && a->depthwise == b->depthwise && a->bound == b->bound;
}

/* Strips of a layer share its weights. The latest are looked at first: strips follow each other. */
static packed *find(const re2na_program *program, const weights *of) {
  for (uint32_t i = program->pack_count; i-- > 0;)
    if (same(&program->packs[i]->of, of)) return program->packs[i];
  return NULL;
}

static packed *pack(re2na_program *program, const weights *of) {
  packed *made = find(program, of);
  if (made) return made;
  made = calloc(1, sizeof *made);
  if (!made) return NULL;
  program->packs[program->pack_count++] = made; /* freed with the program, whole or not */
  return re2na_pack(made, of, program->kernel) ? made : NULL;
}

static bool all_known(const weights *of) { return of->lines && of->bias && (of->mask || of->steps == of->k); }

static int32_t prepare_conv(re2na_program *program, uint32_t index, re2na_error *error) {
  const re2na_conv *body = &program->code[index].body.conv;
  const weights of = re2na_conv_weights(body, &program->operands[index]);
  packed room = {0};
  if (program->arch.acc_overflow == RE2NA_ACC_OVERFLOW_SATURATE) {
    re2na_conv_room(program, body, NULL);
  } else if (all_known(&of)) {
    program->packed[index] = pack(program, &of);
    if (!program->packed[index]) return no_memory(error);
    re2na_conv_room(program, body, program->packed[index]);
  } else {
    re2na_pack_form(&room, &of, program->kernel);
    re2na_conv_room(program, body, &room);
  }
  return RE2NA_OK;
}

static int32_t prepare(re2na_program *program, re2na_error *error) {
  program->operands = re2na_trace_operands(program);
  program->packed = calloc(program->count, sizeof *program->packed);
  program->packs = calloc(program->count, sizeof *program->packs);
  if (!program->operands || !program->packed || !program->packs) return no_memory(error);
  for (uint32_t i = 0; i < program->count; i++) {
    const re2na_instruction *at = &program->code[i];
    if (at->opcode == RE2NA_CONV && prepare_conv(program, i, error) != RE2NA_OK) return RE2NA_ERROR_MEMORY;
    if (at->opcode == RE2NA_DENSE) re2na_dense_room(program, &at->body.dense);
  }
  return RE2NA_OK;
}

void re2na_unprepare(re2na_program *program) {
  for (uint32_t i = 0; i < program->pack_count; i++) {
    re2na_pack_free(program->packs[i]);
    free(program->packs[i]);
  }
  free(program->packs);
  free(program->packed);
  free(program->operands);
  program->pack_count = 0;
  program->packs = NULL;
  program->packed = NULL;
  program->operands = NULL;
}

int32_t re2na_prepare(re2na_program *program, re2na_error *error) {
  int32_t code = RE2NA_OK;
  pthread_mutex_lock(&program->lock);
  if (!program->prepared) code = prepare(program, error);
  if (code == RE2NA_OK) program->prepared = true;
  else re2na_unprepare(program);
  pthread_mutex_unlock(&program->lock);
  return code;
}
