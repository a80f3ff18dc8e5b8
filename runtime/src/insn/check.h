/* What the instructions' checks have in common. Fields are within the limits that the instruction table gives them
 * before an instruction's own check sees them: what is left to it is how they stand to each other, and every access. */
#ifndef RE2NA_CHECK_H
#define RE2NA_CHECK_H

#include "insn/region.h"
#include "program/program.h"

typedef struct re2na_checker {
  re2na_program *program;
  uint32_t index;
  const re2na_instruction *at;
  re2na_error *error;
} re2na_checker;

int32_t re2na_in_range(const re2na_checker *check, const char *field, int64_t value, int64_t low, int64_t high);

/* Each field of the body, by the instruction table. */
int32_t re2na_check_fields(const re2na_checker *check);

int32_t re2na_in_sram(const re2na_checker *check, const char *what, re2na_region bytes);
int32_t re2na_in_dram(const re2na_checker *check, const char *what, re2na_region bytes);

/* No instruction makes or moves more elements than the SRAM has bytes; so nothing that is counted can overflow. */
int32_t re2na_check_amount(const re2na_checker *check, const char *what, const int64_t *sizes, int count,
                           uint64_t *product);
/* `rows`: of the array's own shape, or where `any` of a further one. */
int32_t re2na_check_shape(const re2na_checker *check, int64_t rows, bool any);
/* The lines of weights that are there, and the bitmap where they are not all. */
int32_t re2na_check_weights(const re2na_checker *check, int64_t weight_addr, int64_t mask_addr, int64_t steps,
                            int64_t k, int64_t out_c);

/* The output overlaps what is read, or itself: its `results` are formed elsewhere, then written in the order of the
 * output. */
void re2na_form_elsewhere(const re2na_checker *check, uint64_t results);

#endif
