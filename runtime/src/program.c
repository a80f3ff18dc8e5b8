/* Loading a program, and what one can ask of it. */
#include <stdlib.h>

#include "pack.h"

int32_t re2na_program_load(const void *bytes, uint64_t size, re2na_program **program, re2na_error *error) {
  return re2na_program_load_for(bytes, size, RE2NA_KERNEL_AUTO, program, error);
}

int32_t re2na_program_load_for(const void *bytes, uint64_t size, int32_t kernel_number, re2na_program **program, re2na_error *error) {
  return re2na_program_load_limited(bytes, size, kernel_number, NULL, program, error);
}

int32_t re2na_program_load_limited(const void *bytes, uint64_t size, int32_t kernel_number, const re2na_limits *limits,
                                   re2na_program **program, re2na_error *error) {
  const kernel *with = re2na_find_kernel(kernel_number);
  re2na_program *made;
  int32_t code;
  if (!bytes || !program) return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_program_load: bytes or program is NULL");
  *program = NULL;
  if (!with)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_program_load: kernel %d is unknown, or this processor does not have it",
                      kernel_number);
  made = calloc(1, sizeof *made);
  if (!made) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for a program");
  made->bytes = bytes;
  made->size = size;
  made->kernel = with;
  made->holders = 1;
  made->limits = limits ? *limits : (re2na_limits){RE2NA_DEFAULT_MEMORY_BYTES, RE2NA_DEFAULT_WORK};
  pthread_mutex_init(&made->lock, NULL);
  code = re2na_load_container(made, error);
  if (!code) code = re2na_validate_instructions(made, error);
  if (!code) code = re2na_validate_sequence(made, error);
  if (!code) code = re2na_replay(made, error);
  if (!code) code = re2na_check_limits(made, error);
  if (code) re2na_program_free(made);
  else *program = made;
  return code;
}

void re2na_program_hold(re2na_program *program) {
  pthread_mutex_lock(&program->lock);
  program->holders++;
  pthread_mutex_unlock(&program->lock);
}

void re2na_program_free(re2na_program *program) {
  bool held;
  if (!program) return;
  pthread_mutex_lock(&program->lock);
  held = --program->holders > 0;
  pthread_mutex_unlock(&program->lock);
  if (held) return;
  free(program->inputs);
  free(program->outputs);
  free(program->names);
  free(program->code);
  free(program->fixed);
  free(program->aside);
  free(program->timing);
  re2na_unprepare(program);
  pthread_mutex_destroy(&program->lock);
  free(program);
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

static re2na_limits asks_of(const re2na_program *program) {
  pthread_mutex_t *lock = (pthread_mutex_t *)&program->lock; /* the first machine may be on its way */
  re2na_limits asks;
  pthread_mutex_lock(lock);
  asks = program->asks;
  pthread_mutex_unlock(lock);
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
