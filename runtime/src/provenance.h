/* What is known of an instruction's operands before any run. */
#ifndef RE2NA_PROVENANCE_H
#define RE2NA_PROVENANCE_H

#include "internal.h"

/* Constants lie in the program's bytes; NULL where an operand comes from elsewhere and has to be read in SRAM. */
typedef struct operands {
  const int8_t *weights;
  const uint8_t *bias, *mask;
  uint8_t bound; /* the largest input (an addition's operands aside), or RE2NA_SIGNED where it may be negative */
  bool needless; /* a LOAD of constants that nobody reads in SRAM */
} operands;

/* provenance.c: one entry for each instruction, to be freed. Accesses have been validated; looking for them is work of its own, which
 * is asked for as it is done. */
int32_t re2na_trace_operands(re2na_program *program, operands **found, re2na_error *error);

#endif
