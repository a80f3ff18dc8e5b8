/* What a program's first machine has to wait for. */
#ifndef RE2NA_PREPARE_H
#define RE2NA_PREPARE_H

#include "insn/tracer.h"

/* waves.c: the program's waves, from what its instructions touch. */
int32_t re2na_find_waves(re2na_prepared *to, const re2na_touches *touches, re2na_error *error);

/* All of a program that a run needs and that does not depend on its data; done once, whoever asks first. */
int32_t re2na_prepare(re2na_prepared *to, re2na_error *error);

#endif
