/* Loading a program, and what one can ask of it. */
#include <stdlib.h>

#include "pack.h"

int32_t re2na_program_load(const void *bytes, uint64_t size, re2na_program **program, re2na_error *error) {
  return re2na_program_load_for(bytes, size, RE2NA_KERNEL_AUTO, program, error);
}

int32_t re2na_program_load_for(const void *bytes, uint64_t size, int32_t kernel_number, re2na_program **program, re2na_error *error) {
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
  pthread_mutex_init(&made->lock, NULL);
  code = re2na_load_container(made, error);
  if (!code) code = re2na_validate_instructions(made, error);
  if (!code) code = re2na_validate_sequence(made, error);
  if (!code) code = re2na_replay(made, error);
  if (code) re2na_program_free(made);
  else *program = made;
  return code;
}

void re2na_program_free(re2na_program *program) {
  if (!program) return;
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

const re2na_arch *re2na_program_arch(const re2na_program *program) { return &program->arch; }
uint32_t re2na_program_input_count(const re2na_program *program) { return program->input_count; }
uint32_t re2na_program_output_count(const re2na_program *program) { return program->output_count; }
uint32_t re2na_program_instruction_count(const re2na_program *program) { return program->count; }
uint32_t re2na_program_source_count(const re2na_program *program) { return program->source_count; }
uint64_t re2na_program_dram_bytes(const re2na_program *program) { return program->dram_bytes; }
const char *re2na_program_kernel(const re2na_program *program) { return program->kernel->name; }
uint64_t re2na_program_cycles(const re2na_program *program) { return program->cycles; }
const re2na_timing *re2na_program_timing(const re2na_program *program) { return program->timing; }

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
