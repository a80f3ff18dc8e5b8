#include "insn/insn.h"

#define ENTRY(NAME, name, bytes, ENGINE) [RE2NA_##NAME] = &re2na_insn_##NAME,
static const re2na_insn *const table[] = {RE2NA_INSTRUCTIONS(ENTRY)};
#undef ENTRY

/* The decoder knows no other opcodes. */
const re2na_insn *re2na_insn_of(const re2na_instruction *at) { return table[at->opcode]; }

int64_t re2na_any_mode(const re2na_instruction *at) {
  (void)at;
  return RE2NA_ANY_MODE;
}

int32_t re2na_any_order(re2na_sequence *state, const re2na_instruction *at, uint32_t index, re2na_error *error) {
  (void)state, (void)at, (void)index, (void)error;
  return RE2NA_OK;
}

void re2na_touches_nothing(re2na_tracer *of, uint32_t index) { (void)of, (void)index; }

int32_t re2na_needs_no_room(const re2na_program *program, uint32_t index, re2na_error *error) {
  (void)program, (void)index, (void)error;
  return RE2NA_OK;
}

bool re2na_reserves_nothing(re2na_machine *machine, uint32_t index) {
  (void)machine, (void)index;
  return true;
}

re2na_company re2na_runs_alone(const re2na_program *program, uint32_t index) {
  (void)program, (void)index;
  return RE2NA_ALONE;
}

re2na_company re2na_is_idle(const re2na_program *program, uint32_t index) {
  (void)program, (void)index;
  return RE2NA_IDLE;
}

re2na_company re2na_runs_whole(const re2na_program *program, uint32_t index) {
  return program->buffered[index] ? RE2NA_ALONE : RE2NA_WHOLE;
}

re2na_company re2na_runs_in_parts(const re2na_program *program, uint32_t index) {
  return program->buffered[index] ? RE2NA_ALONE : RE2NA_IN_PARTS;
}
