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

static int32_t pack(re2na_program *program, const weights *of, packed **found, re2na_error *error) {
  packed *made = find(program, of);
  int32_t code;
  *found = made;
  if (made) return RE2NA_OK;
  code = re2na_ask_memory(program, re2na_pack_bytes(of, program->kernel), error);
  if (!code) code = re2na_ask_work(program, program->pack_count, error); /* that were looked at */
  if (code) return code;
  made = calloc(1, sizeof *made);
  if (!made) return no_memory(error);
  program->packs[program->pack_count++] = made; /* freed with the program, whole or not */
  *found = made;
  return re2na_pack(made, of, program->kernel) ? RE2NA_OK : no_memory(error);
}

static bool all_known(const weights *of) { return of->lines && of->bias && (of->mask || of->steps == of->k); }

static int32_t prepare_conv(re2na_program *program, uint32_t index, re2na_error *error) {
  const re2na_conv *body = &program->code[index].body.conv;
  const weights of = re2na_conv_weights(body, &program->operands[index]);
  packed room = {0};
  int32_t code = RE2NA_OK;
  if (program->arch.acc_overflow == RE2NA_ACC_OVERFLOW_SATURATE) {
    re2na_conv_room(program, body, NULL);
  } else if (all_known(&of)) {
    code = pack(program, &of, &program->packed[index], error);
    if (!code) re2na_conv_room(program, body, program->packed[index]);
  } else {
    code = re2na_ask_memory(program, re2na_pack_bytes(&of, program->kernel), error);
    re2na_pack_form(&room, &of, program->kernel);
    re2na_conv_room(program, body, &room);
  }
  return code;
}

/* What a machine with one worker allocates besides its memories. */
static uint64_t workspace(const re2na_program *program) {
  return program->column_bytes + program->line_bytes + program->blank_bytes + 4 * (program->sum_items + program->present_items) +
         8 * (program->partial_items + program->dense_items) + (sizeof(tap) + sizeof(uint8_t *)) * program->tap_items;
}

static int32_t prepare(re2na_program *program, re2na_error *error) {
  int32_t code = re2na_trace_operands(program, &program->operands, error);
  if (code) return code;
  program->packed = calloc(program->count, sizeof *program->packed);
  program->packs = calloc(program->count, sizeof *program->packs);
  if (!program->packed || !program->packs) return no_memory(error);
  for (uint32_t i = 0; i < program->count && !code; i++) {
    const re2na_instruction *at = &program->code[i];
    if (at->opcode == RE2NA_CONV) code = prepare_conv(program, i, error);
    if (at->opcode == RE2NA_DENSE) re2na_dense_room(program, &at->body.dense);
  }
  return code ? code : re2na_ask_memory(program, workspace(program), error);
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
  const re2na_limits asks = program->asks;
  if (!program->prepared) code = prepare(program, error);
  if (code == RE2NA_OK) {
    program->prepared = true;
  } else {
    re2na_unprepare(program);
    program->asks = asks;
  }
  pthread_mutex_unlock(&program->lock);
  return code;
}
