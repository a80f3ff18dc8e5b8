/* LOAD and STORE. */
#include <string.h>

#include "insn/insn.h"

/* ---- before a run ---- */

static int32_t check_transfer(const re2na_checker *check, const re2na_transfer *of) {
  const re2na_program *program = check->program;
  const int64_t sizes[3] = {of->bytes, of->rows, of->planes};
  uint64_t amount;
  int32_t code = re2na_check_amount(check, "bytes moved", sizes, 3, &amount);
  if (!code) code = re2na_in_dram(check, "transfer", re2na_dram_of(of));
  if (!code) code = re2na_in_sram(check, "transfer", re2na_sram_of(of));
  if (!code) program->fixed[check->index].dram_bytes = amount;
  return code;
}

/* A coded run: all its bytes are constants, which load/decode.c decodes. */
static int32_t check_coded(const re2na_checker *check, const re2na_load *body) {
  const re2na_program *program = check->program;
  const re2na_transfer *of = &body->transfer;
  const uint64_t start = (uint64_t)of->dram_addr, stop = start + (uint64_t)body->coded;
  const uint64_t first = program->constants_address, behind = first + program->constants_bytes;
  int32_t code = RE2NA_OK;
  if (of->planes > 1 || of->rows > 1 || of->bytes > UINT16_MAX)
    code =
        re2na_fail(check->error, RE2NA_ERROR_INSTRUCTION,
                   "instruction %u (LOAD): %lld planes of %lld rows of %lld bytes are coded, it can be one run of %d",
                   check->index, (long long)of->planes, (long long)of->rows, (long long)of->bytes, UINT16_MAX);
  if (!code) code = re2na_in_sram(check, "transfer", re2na_run_at(of->sram_addr, of->bytes));
  program->fixed[check->index].dram_bytes = (uint64_t)body->coded;
  if (code || (start >= first && stop <= behind)) return code;
  return re2na_fail(check->error, RE2NA_ERROR_ACCESS,
                    "instruction %u (LOAD): coded bytes at DRAM %llu..%llu, the constants are %llu..%llu", check->index,
                    (unsigned long long)start, (unsigned long long)stop, (unsigned long long)first,
                    (unsigned long long)behind);
}

static int32_t check_load(const re2na_checker *check) {
  const re2na_load *body = &check->at->body.load;
  return body->coded ? check_coded(check, body) : check_transfer(check, &body->transfer);
}

static int32_t check_store(const re2na_checker *check) {
  const re2na_program *program = check->program;
  const re2na_transfer *of = &check->at->body.store.transfer;
  const re2na_region region = re2na_dram_of(of);
  const re2na_span dram = re2na_span_of(&region);
  const re2na_span constants = {program->constants_address, program->constants_address + program->constants_bytes};
  const int32_t code = check_transfer(check, of);
  if (code || !re2na_overlap(dram, constants)) return code;
  return re2na_fail(check->error, RE2NA_ERROR_ACCESS,
                    "instruction %u (STORE): DRAM bytes %llu..%llu overlap the constants at %llu..%llu", check->index,
                    (unsigned long long)dram.start, (unsigned long long)dram.stop, (unsigned long long)constants.start,
                    (unsigned long long)constants.stop);
}

static uint64_t work_of(const re2na_transfer *of) { return RE2NA_PRODUCT(of->bytes, of->rows, of->planes); }
static uint64_t load_work(const re2na_instruction *at) { return work_of(&at->body.load.transfer); }
static uint64_t store_work(const re2na_instruction *at) { return work_of(&at->body.store.transfer); }

/* ---- moving bytes ---- */

/* Runs of one byte: a change of layout. */
static void copy_bytes(const uint8_t *from, int64_t from_stride, uint8_t *to, int64_t to_stride, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i * to_stride] = from[i * from_stride];
}

static void copy_plane(const uint8_t *from, int64_t from_stride, uint8_t *to, int64_t to_stride,
                       const re2na_transfer *of) {
  if (of->bytes == 1) {
    copy_bytes(from, from_stride, to, to_stride, of->rows);
    return;
  }
  for (int64_t row = 0; row < of->rows; row++)
    memcpy(to + row * to_stride, from + row * from_stride, (size_t)of->bytes);
}

static void load_plane(const re2na_program *program, re2na_memories memory, const re2na_transfer *of, int64_t dram,
                       uint8_t *sram) {
  const uint64_t start = (uint64_t)dram, first = program->constants_address, behind = first + program->constants_bytes;
  const uint64_t stop = start + (uint64_t)((of->rows - 1) * of->dram_row_stride + of->bytes);
  const uint8_t *from = re2na_dram_place(program, memory, start, stop);
  if (start >= first && stop <= behind) from = program->constants + (start - first);
  if (from) {
    copy_plane(from, of->dram_row_stride, sram, of->sram_row_stride, of);
    return;
  }
  for (int64_t row = 0; row < of->rows; row++)
    re2na_dram_read(program, memory, start + (uint64_t)(row * of->dram_row_stride), (uint64_t)of->bytes,
                    sram + row * of->sram_row_stride);
}

static void load(const re2na_program *program, re2na_memories memory, const re2na_transfer *of) {
  for (int64_t plane = 0; plane < of->planes; plane++)
    load_plane(program, memory, of, of->dram_addr + plane * of->dram_plane_stride,
               memory.sram + of->sram_addr + plane * of->sram_plane_stride);
}

/* None goes to constants: check_store. */
static void store(const re2na_program *program, re2na_memories memory, const re2na_transfer *of) {
  for (int64_t plane = 0; plane < of->planes; plane++) {
    const uint64_t dram = (uint64_t)(of->dram_addr + plane * of->dram_plane_stride);
    const uint8_t *sram = memory.sram + of->sram_addr + plane * of->sram_plane_stride;
    uint8_t *to = re2na_dram_place(program, memory, dram, dram + 1);
    if (to) copy_plane(sram, of->sram_row_stride, to, of->dram_row_stride, of);
  }
}

/* ---- where constants go ---- */

/* How much of what is loaded lies among the constants. */
typedef enum share { NONE, SOME, ALL } share;

static share constant_share(const re2na_program *program, const re2na_transfer *of) {
  const uint64_t first = program->constants_address, behind = first + program->constants_bytes;
  const re2na_region region = re2na_dram_of(of);
  const re2na_span dram = re2na_span_of(&region);
  if (dram.start >= first && dram.stop <= behind) return ALL;
  return re2na_overlap(dram, (re2na_span){first, behind}) ? SOME : NONE;
}

/* Run after run; one copy where all lie side by side. Many short runs are no weights: they are not followed. */
static void copy_constants(re2na_tracer *of, uint32_t index, const re2na_transfer *body) {
  const re2na_region to = re2na_sram_of(body), dram = re2na_dram_of(body);
  const uint8_t *from = of->program->constants + ((uint64_t)body->dram_addr - of->program->constants_address);
  const bool whole = !re2na_has_gaps(&to) && !re2na_has_gaps(&dram);
  re2na_trace_write(of, to, RE2NA_SIGNED);
  if (!whole && body->planes * body->rows > RE2NA_MANY_RUNS) return;
  of->found[index].needless = true;
  if (whole) {
    const re2na_span all = re2na_span_of(&to);
    re2na_trace_copy(of, (re2na_copied){all.start, all.stop, from, index});
    return;
  }
  for (int64_t plane = 0; plane < body->planes; plane++)
    for (int64_t row = 0; row < body->rows; row++) {
      const uint64_t start =
          (uint64_t)(body->sram_addr + plane * body->sram_plane_stride + row * body->sram_row_stride);
      const re2na_span one = {start, start + (uint64_t)body->bytes};
      re2na_trace_overwrite(of, one, true);
      re2na_trace_copy(of, (re2na_copied){one.start, one.stop,
                                          from + plane * body->dram_plane_stride + row * body->dram_row_stride, index});
    }
}

/* What an instruction decodes, or NULL. */
static const uint8_t *decoded_by(const re2na_program *program, uint32_t index) {
  return program->decoded ? program->decoded[index] : NULL;
}

static void trace_decoded(re2na_tracer *of, uint32_t index, const uint8_t *from) {
  const re2na_transfer *body = &of->program->code[index].body.load.transfer;
  const re2na_region to = re2na_run_at(body->sram_addr, body->bytes);
  const re2na_span all = re2na_span_of(&to);
  re2na_trace_write(of, to, RE2NA_SIGNED);
  of->found[index].needless = true;
  re2na_trace_copy(of, (re2na_copied){all.start, all.stop, from, index});
}

static void trace_load(re2na_tracer *of, uint32_t index) {
  const re2na_transfer *body = &of->program->code[index].body.load.transfer;
  const uint8_t *decoded = decoded_by(of->program, index);
  if (decoded) {
    trace_decoded(of, index, decoded);
    return;
  }
  const re2na_region to = re2na_sram_of(body);
  const share constants = constant_share(of->program, body);
  if (constants == ALL) {
    copy_constants(of, index, body);
  } else if (constants == SOME) {
    re2na_trace_write(of, to, RE2NA_SIGNED);
  } else {
    re2na_trace_touch(of, to, true);
    re2na_trace_overwrite(of, re2na_span_of(&to), !re2na_has_gaps(&to));
    load(of->program, of->spare, body);
  }
}

static void trace_store(re2na_tracer *of, uint32_t index) {
  const re2na_transfer *body = &of->program->code[index].body.store.transfer;
  const re2na_region from = re2na_sram_of(body);
  re2na_trace_constants_read(of, re2na_span_of(&from));
  store(of->program, of->spare, body);
}

/* No STORE runs beside it, which might write what it reads. */
static re2na_company load_company(const re2na_program *program, uint32_t index) {
  return program->prepared->operands[index].needless ? RE2NA_IDLE : RE2NA_WHOLE;
}

/* ---- a run ---- */

static void run_load(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  const re2na_program *program = machine->program;
  (void)overflows;
  const re2na_transfer *of = &program->code[index].body.load.transfer;
  const uint8_t *decoded = decoded_by(program, index);
  if (program->prepared->operands[index].needless) return;
  if (decoded) memcpy(machine->memory.sram + of->sram_addr, decoded, (size_t)of->bytes);
  else load(program, machine->memory, of);
}

static void run_store(re2na_machine *machine, uint32_t index, uint64_t *overflows) {
  (void)overflows;
  store(machine->program, machine->memory, &machine->program->code[index].body.store.transfer);
}

RE2NA_INSN(LOAD, check_load, re2na_any_mode, re2na_any_order, load_work, trace_load, re2na_needs_no_room,
           re2na_reserves_nothing, load_company, run_load);
RE2NA_INSN(STORE, check_store, re2na_any_mode, re2na_any_order, store_work, trace_store, re2na_needs_no_room,
           re2na_reserves_nothing, re2na_runs_alone, run_store);
