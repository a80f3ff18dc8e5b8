/* LOOKUP: each byte replaced by its entry of a table. */
#include "insn/insn.h"
#include "insn/results.h"

enum { ENTRIES = 256 };

/* ---- before a run ---- */

/* Input and output are as large as each other. */
static re2na_region region_of(const re2na_lookup *body, const re2na_view *at) {
  return (re2na_region){
      .start = at->addr,
      .run = body->in_c,
      .pixels = body->out_w,
      .pixel = at->pixel_stride,
      .rows = body->out_h,
      .row = at->row_stride,
      .images = body->n,
      .image = at->image_stride,
  };
}

static bool is_same(const re2na_view *a, const re2na_view *b) {
  return a->addr == b->addr && a->pixel_stride == b->pixel_stride && a->row_stride == b->row_stride &&
         a->image_stride == b->image_stride;
}

/* Whether a result would lie where something is yet to be read, or another result. */
static bool overlaps(const re2na_lookup *body) {
  const re2na_region input = region_of(body, &body->input), output = region_of(body, &body->output);
  const re2na_span to = re2na_span_of(&output),
                   table = {(uint64_t)body->table_addr, (uint64_t)body->table_addr + ENTRIES};
  const bool in_place = is_same(&body->input, &body->output);
  return (!in_place && re2na_overlap(to, re2na_span_of(&input))) || re2na_overlap(to, table) ||
         !re2na_is_nested(&output);
}

static int32_t check(const re2na_checker *by) {
  const re2na_lookup *body = &by->at->body.lookup;
  const int64_t sizes[4] = {body->n, body->out_h, body->out_w, body->in_c};
  uint64_t outputs;
  int32_t code = re2na_check_amount(by, "outputs", sizes, 4, &outputs);
  if (!by->program->arch.activation_table)
    return re2na_fail(by->error, RE2NA_ERROR_INSTRUCTION,
                      "instruction %u (LOOKUP): the machine has no activation table (activation_table = 0)", by->index);
  if (!code) code = re2na_in_sram(by, "input", region_of(body, &body->input));
  if (!code) code = re2na_in_sram(by, "output", region_of(body, &body->output));
  if (!code) code = re2na_in_sram(by, "table", re2na_run_at(body->table_addr, ENTRIES));
  if (!code && overlaps(body)) re2na_form_elsewhere(by, outputs);
  return code;
}

static uint64_t work(const re2na_instruction *at) {
  const re2na_lookup *of = &at->body.lookup;
  return re2na_plus(RE2NA_PRODUCT(of->n, of->out_h, of->out_w, of->in_c, 2), ENTRIES);
}

/* The largest entry, if none is below 0; of a table that is no constant nothing is known. */
static uint8_t bound_of(const int8_t *table) {
  uint8_t largest = 0;
  for (int i = 0; table && i < ENTRIES; i++) largest = re2na_larger(largest, (uint8_t)table[i]);
  return !table || largest > INT8_MAX ? RE2NA_SIGNED : largest;
}

static void trace(re2na_tracer *of, uint32_t index) {
  const re2na_lookup *body = &of->program->code[index].body.lookup;
  re2na_operands *found = &of->found[index];
  found->weights = (const int8_t *)re2na_trace_constant(of, body->table_addr, ENTRIES, 0);
  found->bound = re2na_trace_read(of, region_of(body, &body->input));
  re2na_trace_write(of, region_of(body, &body->output), bound_of(found->weights));
}

/* ---- a run ---- */

typedef struct lookup {
  const re2na_lookup *body;
  const int8_t *table;
  re2na_target to;
} lookup;

static void replace(const int8_t *from, int8_t *to, int64_t count, const int8_t *table) {
  for (int64_t i = 0; i < count; i++) to[i] = table[(uint8_t)from[i]];
}

/* Rows first..stop, one image's behind the other's. */
static void replace_rows(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const lookup *job = shared;
  const re2na_lookup *body = job->body;
  const re2na_target from = re2na_target_at((int8_t *)machine->memory.sram, &body->input), to = job->to;
  const bool whole = from.pixel == body->in_c && to.pixel == body->in_c;
  const int64_t pixels = whole ? 1 : body->out_w, run = whole ? body->out_w * body->in_c : body->in_c;
  (void)by;
  for (int64_t row = first; row < stop; row++) {
    const int64_t image = row / body->out_h, y = row % body->out_h;
    const int8_t *line = from.base + image * from.image + y * from.row;
    int8_t *results = to.base + image * to.image + y * to.row;
    for (int64_t x = 0; x < pixels; x++) replace(line + x * from.pixel, results + x * to.pixel, run, job->table);
  }
}

static void run(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  const re2na_lookup *body = &program->code[index].body.lookup;
  const bool elsewhere = program->buffered[index];
  const re2na_sliding sizes = {.n = body->n, .out_h = body->out_h, .out_w = body->out_w};
  const int8_t *known = program->prepared->operands[index].weights;
  int8_t *sram = (int8_t *)machine->memory.sram;
  const re2na_target real = re2na_target_at(sram, &body->output);
  const int64_t rows = body->n * body->out_h;
  lookup job = {body, known ? known : sram + body->table_addr,
                elsewhere ? re2na_target_elsewhere(machine->results, &sizes, body->in_c) : real};
  (void)overflows;
  re2na_share(machine, replace_rows, &job, rows, 1, (uint64_t)(rows * body->out_w * body->in_c));
  if (elsewhere) re2na_scatter(machine->results, real, &sizes, body->in_c);
}

RE2NA_INSN(LOOKUP, check, re2na_any_mode, re2na_any_order, work, trace, re2na_needs_no_room, re2na_reserves_nothing,
           re2na_runs_in_parts, run);
