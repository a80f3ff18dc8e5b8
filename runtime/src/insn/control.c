/* RECONFIGURE and HALT: they take time, and order what comes before and after. */
#include "insn/insn.h"

static uint64_t work(const re2na_instruction *at) {
  (void)at;
  return 1;
}

static void run(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  (void)machine, (void)index, (void)overflows;
}

static int32_t check_reconfigure(const re2na_checker *check) {
  const re2na_reconfigure *body = &check->at->body.reconfigure;
  const bool any = body->mode == RE2NA_MODE_CONV || body->mode == RE2NA_MODE_GROUPED;
  return re2na_check_shape(check, body->rows, any);
}

static int32_t order_reconfigure(re2na_sequence *state, const re2na_instruction *at, uint32_t index,
                                 re2na_error *error) {
  (void)index, (void)error;
  state->mode = at->body.reconfigure.mode;
  state->rows = at->body.reconfigure.rows;
  return RE2NA_OK;
}

static int32_t check_halt(const re2na_checker *check) {
  (void)check;
  return RE2NA_OK;
}

RE2NA_INSN(RECONFIGURE, check_reconfigure, re2na_any_mode, order_reconfigure, work, re2na_touches_nothing,
           re2na_needs_no_room, re2na_reserves_nothing, re2na_is_idle, run);
RE2NA_INSN(HALT, check_halt, re2na_any_mode, re2na_any_order, work, re2na_touches_nothing, re2na_needs_no_room,
           re2na_reserves_nothing, re2na_is_idle, run);
