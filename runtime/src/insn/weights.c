#include "insn/weights.h"

#include <stdlib.h>

static bool same(const re2na_weights *a, const re2na_weights *b) {
  return a->lines == b->lines && a->bias == b->bias && a->mask == b->mask && a->k == b->k && a->steps == b->steps &&
         a->outputs == b->outputs && a->groups == b->groups && a->begins == b->begins && a->depthwise == b->depthwise &&
         a->bound == b->bound && a->side == b->side;
}

/* Strips of a layer share its weights. The latest are looked at first: strips follow each other. */
static re2na_packed *find(const re2na_prepared *in, const re2na_weights *of) {
  for (uint32_t i = in->pack_count; i-- > 0;)
    if (same(&in->packs[i]->of, of)) return in->packs[i];
  return NULL;
}

static int32_t no_memory(re2na_error *error) {
  return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for the weights of a program");
}

int32_t re2na_pack_once(const re2na_program *program, const re2na_weights *of, re2na_packed **found,
                        re2na_error *error) {
  re2na_prepared *in = program->prepared;
  re2na_packed *made = find(in, of);
  int32_t code;
  *found = made;
  if (made) return RE2NA_OK;
  code = re2na_ask_memory(program, re2na_pack_bytes(of, program->kernel), error);
  if (!code) code = re2na_ask_work(program, in->pack_count, error); /* that were looked at */
  if (code) return code;
  made = calloc(1, sizeof *made);
  if (!made) return no_memory(error);
  in->packs[in->pack_count++] = made; /* freed with the program, whole or not */
  *found = made;
  return re2na_pack(made, of, program->kernel) ? RE2NA_OK : no_memory(error);
}
