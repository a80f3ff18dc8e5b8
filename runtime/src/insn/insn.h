/* THE table of what instructions are to this library. An instruction is one file, which ends with its entry. */
#ifndef RE2NA_INSN_H
#define RE2NA_INSN_H

#include "insn/check.h"
#include "insn/tracer.h"
#include "machine/machine.h"

enum { RE2NA_ANY_MODE = -1 };

/* Where a program has got to, as far as the array is concerned. */
typedef struct re2na_sequence {
  int64_t mode, rows;            /* set by the last RECONFIGURE; RE2NA_ANY_MODE before the first */
  const re2na_dense *unfinished; /* whose sums are in the PEs */
} re2na_sequence;

/* While loading, after the fields' limits. How fields stand to each other, and accesses; fills in the program's
 * `fixed`, and `buffered`. */
typedef int32_t re2na_check_insn(const re2na_checker *check);
/* The array mode that it runs in, or RE2NA_ANY_MODE. */
typedef int64_t re2na_insn_mode(const re2na_instruction *at);
/* What it may follow, besides the mode, and what follows from it. */
typedef int32_t re2na_order_insn(re2na_sequence *state, const re2na_instruction *at, uint32_t index,
                                 re2na_error *error);
/* The element steps of a run that it takes, for re2na_limits. */
typedef uint64_t re2na_insn_work(const re2na_instruction *at);
/* Before the first machine. Where its operands come from, how large its inputs can be, what it writes. */
typedef void re2na_trace_insn(re2na_tracer *of, uint32_t index);
/* Weights that are known, packed; what a machine has to allocate for it, in the program's room. */
typedef int32_t re2na_prepare_insn(const re2na_program *program, uint32_t index, re2na_error *error);
/* Of every machine. What this instruction alone needs; false where the host has no memory. */
typedef bool re2na_reserve_insn(re2na_machine *machine, uint32_t index);
/* Before the first machine, behind `prepare`. What of it may run at the same time as others that touch no byte it
 * writes, and write none that it touches. */
typedef enum re2na_company {
  RE2NA_ALONE,    /* nothing: it needs what a machine has once */
  RE2NA_WHOLE,    /* all of it, in one thread */
  RE2NA_IN_PARTS, /* any part of its one re2na_share by itself, which is all that it does */
  RE2NA_IDLE      /* there is nothing to run */
} re2na_company;
typedef re2na_company re2na_company_insn(const re2na_program *program, uint32_t index);
/* A run. Accesses have been validated. It reads everything before it writes, or forms its output elsewhere first. Adds
 * its overflows. */
typedef void re2na_run_insn(re2na_machine *machine, uint32_t index, uint64_t *overflows);

typedef struct re2na_insn {
  const char *name;
  re2na_check_insn *check;
  re2na_insn_mode *mode;
  re2na_order_insn *order;
  re2na_insn_work *work;
  re2na_trace_insn *trace;
  re2na_prepare_insn *prepare;
  re2na_reserve_insn *reserve;
  re2na_company_insn *company;
  re2na_run_insn *run;
} re2na_insn;

/* An entry names all of them, in this order: what an instruction does not do it says (re2na_any_mode, ...). */
#define RE2NA_INSN(NAME, check, mode, order, work, trace, prepare, reserve, company, run) \
  const re2na_insn re2na_insn_##NAME = {#NAME, check, mode, order, work, trace, prepare, reserve, company, run}

/* The table has an entry for each instruction of the instruction table: without one the library is not linked. */
#define RE2NA_DECLARE_INSN(NAME, name, bytes, ENGINE) extern const re2na_insn re2na_insn_##NAME;
RE2NA_INSTRUCTIONS(RE2NA_DECLARE_INSN)
#undef RE2NA_DECLARE_INSN

const re2na_insn *re2na_insn_of(const re2na_instruction *at);

/* table.c: for instructions to which it does not matter. */
re2na_insn_mode re2na_any_mode;
re2na_order_insn re2na_any_order;
re2na_trace_insn re2na_touches_nothing;
re2na_prepare_insn re2na_needs_no_room;
re2na_reserve_insn re2na_reserves_nothing;
re2na_company_insn re2na_runs_alone, re2na_is_idle;
/* Unless the output is formed elsewhere. */
re2na_company_insn re2na_runs_whole, re2na_runs_in_parts;

#endif
