/* The steps of loading that follow the container (program/container.c). */
#ifndef RE2NA_LOAD_H
#define RE2NA_LOAD_H

#include "program/program.h"

/* validate.c: every instruction by itself; fills in `fixed`, `buffered` and the sizes beside them. */
int32_t re2na_validate_instructions(re2na_program *program, re2na_error *error);
/* sequence.c: what an instruction may follow. */
int32_t re2na_validate_sequence(const re2na_program *program, re2na_error *error);
/* timing.c: replays the engines' queues; fills in `timing` and `cycles`. */
int32_t re2na_replay(re2na_program *program, re2na_error *error);
/* limits.c: what is known of a validated program: its memories, its tensors, and the work of a run. */
int32_t re2na_check_limits(const re2na_program *program, re2na_error *error);
/* decode.c: what LOADs decode; fills in `decoded`. */
int32_t re2na_decode_constants(re2na_program *program, re2na_error *error);

#endif
