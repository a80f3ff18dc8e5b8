/* ELTWISE: one operand, or the sum of two, each shifted right and rounded before the addition. */
#include <string.h>

#include "insn/insn.h"

/* Whether the output would overwrite an operand before it is read. */
static bool overlaps_partly(const re2na_eltwise *body) {
  const re2na_region a = re2na_run_at(body->a_addr, body->bytes), b = re2na_run_at(body->b_addr, body->bytes);
  const re2na_region output = re2na_run_at(body->out_addr, body->bytes);
  const re2na_span to = re2na_span_of(&output);
  return (re2na_overlap(to, re2na_span_of(&a)) && output.start != a.start) ||
         (!body->unary && re2na_overlap(to, re2na_span_of(&b)) && output.start != b.start);
}

static int32_t check(const re2na_checker *by) {
  const re2na_eltwise *body = &by->at->body.eltwise;
  int32_t code = re2na_in_sram(by, "first operand", re2na_run_at(body->a_addr, body->bytes));
  if (!code && !body->unary) code = re2na_in_sram(by, "second operand", re2na_run_at(body->b_addr, body->bytes));
  if (!code) code = re2na_in_sram(by, "output", re2na_run_at(body->out_addr, body->bytes));
  if (!code && overlaps_partly(body)) re2na_form_elsewhere(by, (uint64_t)body->bytes);
  return code;
}

static int64_t mode(const re2na_instruction *at) {
  (void)at;
  return RE2NA_MODE_ELTWISE;
}

static uint64_t work(const re2na_instruction *at) { return RE2NA_PRODUCT(at->body.eltwise.bytes, 2); }

/* Neither a shift nor an addition makes a sign, unless the result wraps. */
static void trace(re2na_tracer *of, uint32_t index) {
  const re2na_eltwise *body = &of->program->code[index].body.eltwise;
  re2na_operands *found = &of->found[index];
  uint8_t bound = re2na_bound_of(body->lo, body->hi);
  found->bound = re2na_trace_read(of, re2na_run_at(body->a_addr, body->bytes));
  if (!body->unary)
    found->bound = re2na_larger(found->bound, re2na_trace_read(of, re2na_run_at(body->b_addr, body->bytes)));
  if (bound == RE2NA_SIGNED && found->bound != RE2NA_SIGNED && body->hi >= 0 &&
      of->program->arch.cut_overflow == RE2NA_CUT_OVERFLOW_SATURATE)
    bound = (uint8_t)body->hi;
  re2na_trace_write(of, re2na_run_at(body->out_addr, body->bytes), bound);
}

/* `out` may be `a`. */
static void one_operand(const int8_t *a, int8_t *out, size_t count, const int8_t table[256]) {
  for (size_t i = 0; i < count; i++) out[i] = table[(uint8_t)a[i]];
}

static void run(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_eltwise *body = &program->code[index].body.eltwise;
  const bool elsewhere = program->buffered[index];
  const re2na_cut how = re2na_make_cut(&program->arch, 0, body->lo, body->hi);
  const re2na_scaling by = re2na_make_scaling(&program->arch, body->shift_a, body->shift_b);
  int8_t *sram = (int8_t *)machine->memory.sram, *out = elsewhere ? machine->results : sram + body->out_addr;
  const size_t count = (size_t)body->bytes;
  (void)overflows;
  if (body->unary) {
    int8_t table[256];
    for (int i = 0; i < 256; i++) table[i] = (int8_t)re2na_finish_sum(((int8_t)i + by.half_a) >> by.shift_a, &how);
    one_operand(sram + body->a_addr, out, count, table);
  } else {
    re2na_add_line(sram + body->a_addr, sram + body->b_addr, out, count, by, &how);
  }
  if (elsewhere) memcpy(sram + body->out_addr, out, count);
}

RE2NA_INSN(ELTWISE, check, mode, re2na_any_order, work, trace, re2na_needs_no_room, re2na_reserves_nothing,
           re2na_runs_whole, run);
