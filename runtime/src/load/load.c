/* Loading: everything that has to hold before a program may run, in order. */
#include "load/load.h"

int32_t re2na_program_load(const void *bytes, uint64_t size, re2na_program **program, re2na_error *error) {
  return re2na_program_load_for(bytes, size, RE2NA_KERNEL_AUTO, program, error);
}

int32_t re2na_program_load_for(const void *bytes, uint64_t size, int32_t kernel_number, re2na_program **program,
                               re2na_error *error) {
  return re2na_program_load_limited(bytes, size, kernel_number, NULL, program, error);
}

int32_t re2na_program_load_limited(const void *bytes, uint64_t size, int32_t kernel_number, const re2na_limits *limits,
                                   re2na_program **program, re2na_error *error) {
  const re2na_loops *with = re2na_find_kernel(kernel_number);
  re2na_program *made;
  int32_t code;
  if (!bytes || !program)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT, "re2na_program_load: bytes or program is NULL");
  *program = NULL;
  if (!with)
    return re2na_fail(error, RE2NA_ERROR_ARGUMENT,
                      "re2na_program_load: kernel %d is unknown, or this processor does not have it", kernel_number);
  made = re2na_program_new();
  if (!made) return re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for a program");
  made->bytes = bytes;
  made->size = size;
  made->kernel = with;
  made->limits = limits ? *limits : (re2na_limits){RE2NA_DEFAULT_MEMORY_BYTES, RE2NA_DEFAULT_WORK};
  code = re2na_load_container(made, error);
  if (!code) code = re2na_validate_instructions(made, error);
  if (!code) code = re2na_validate_sequence(made, error);
  if (!code) code = re2na_replay(made, error);
  if (!code) code = re2na_check_limits(made, error);
  if (!code) code = re2na_decode_constants(made, error);
  if (code) re2na_program_free(made);
  else *program = made;
  return code;
}
