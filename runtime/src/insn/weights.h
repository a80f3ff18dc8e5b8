/* Packed weights, each once for all instructions of a program that have them. */
#ifndef RE2NA_INSN_WEIGHTS_H
#define RE2NA_INSN_WEIGHTS_H

#include "program/program.h"

/* Packs what is not packed yet, and asks the host for it. */
int32_t re2na_pack_once(const re2na_program *program, const re2na_weights *of, re2na_packed **found,
                        re2na_error *error);

#endif
