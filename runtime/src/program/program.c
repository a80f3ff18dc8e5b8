/* Who holds a program, and what one can ask of it. */
#include "program/program.h"

#include <stdlib.h>

re2na_program *re2na_program_new(void) {
  re2na_prepared *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  made->program.prepared = made;
  made->holders = 1;
  pthread_mutex_init(&made->lock, NULL);
  return &made->program;
}

void re2na_program_hold(const re2na_program *program) {
  re2na_prepared *of = program->prepared;
  pthread_mutex_lock(&of->lock);
  of->holders++;
  pthread_mutex_unlock(&of->lock);
}

void re2na_unprepare(re2na_prepared *prepared) {
  for (uint32_t i = 0; i < prepared->pack_count; i++) {
    re2na_pack_free(prepared->packs[i]);
    free(prepared->packs[i]);
  }
  free(prepared->packs);
  free(prepared->packed);
  free(prepared->operands);
  free(prepared->waves);
  free(prepared->works);
  prepared->pack_count = 0;
  prepared->packs = NULL;
  prepared->packed = NULL;
  prepared->operands = NULL;
  prepared->waves = NULL;
  prepared->works = NULL;
  prepared->wave_count = 0;
}

void re2na_program_release(const re2na_program *program) {
  re2na_prepared *of = program->prepared;
  bool held;
  pthread_mutex_lock(&of->lock);
  held = --of->holders > 0;
  pthread_mutex_unlock(&of->lock);
  if (held) return;
  free(program->inputs);
  free(program->outputs);
  free(program->names);
  free(program->code);
  free(program->fixed);
  free(program->buffered);
  free(program->timing);
  free(program->decoded);
  free(program->decoded_bytes);
  re2na_unprepare(of);
  pthread_mutex_destroy(&of->lock);
  free(of);
}

void re2na_program_free(re2na_program *program) {
  if (program) re2na_program_release(program);
}

#define OR_NOTHING(value, nothing) (program ? (value) : (nothing))
const re2na_arch *re2na_program_arch(const re2na_program *program) { return OR_NOTHING(&program->arch, NULL); }
uint32_t re2na_program_input_count(const re2na_program *program) { return OR_NOTHING(program->input_count, 0); }
uint32_t re2na_program_output_count(const re2na_program *program) { return OR_NOTHING(program->output_count, 0); }
uint32_t re2na_program_instruction_count(const re2na_program *program) { return OR_NOTHING(program->count, 0); }
uint32_t re2na_program_source_count(const re2na_program *program) { return OR_NOTHING(program->source_count, 0); }
uint64_t re2na_program_dram_bytes(const re2na_program *program) { return OR_NOTHING(program->dram_bytes, 0); }
const char *re2na_program_kernel(const re2na_program *program) { return OR_NOTHING(program->kernel->name, NULL); }
uint64_t re2na_program_cycles(const re2na_program *program) { return OR_NOTHING(program->cycles, 0); }
const re2na_timing *re2na_program_timing(const re2na_program *program) { return OR_NOTHING(program->timing, NULL); }

/* The first machine may be on its way. */
static re2na_limits asks_of(const re2na_program *program) {
  re2na_prepared *of = program->prepared;
  re2na_limits asks;
  pthread_mutex_lock(&of->lock);
  asks = of->asks;
  pthread_mutex_unlock(&of->lock);
  return asks;
}

uint64_t re2na_program_memory(const re2na_program *program) { return OR_NOTHING(asks_of(program).memory_bytes, 0); }
uint64_t re2na_program_work(const re2na_program *program) { return OR_NOTHING(asks_of(program).work, 0); }

int32_t re2na_program_input(const re2na_program *program, uint32_t index, re2na_tensor *tensor) {
  if (!program || !tensor || index >= program->input_count) return RE2NA_ERROR_ARGUMENT;
  *tensor = program->inputs[index];
  return RE2NA_OK;
}

int32_t re2na_program_output(const re2na_program *program, uint32_t index, re2na_tensor *tensor) {
  if (!program || !tensor || index >= program->output_count) return RE2NA_ERROR_ARGUMENT;
  *tensor = program->outputs[index];
  return RE2NA_OK;
}
