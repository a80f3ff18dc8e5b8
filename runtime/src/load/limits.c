/* What is known of a validated program's demands on the host: its memories, its tensors, and the work of a run. */
#include "insn/insn.h"
#include "load/load.h"

static uint64_t bytes_of(const re2na_tensor *tensors, uint32_t count) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t *size = tensors[i].stored;
    sum = re2na_plus(sum, RE2NA_PRODUCT(size[0], size[1], size[2], size[3]));
  }
  return sum;
}

int32_t re2na_check_limits(const re2na_program *program, re2na_error *error) {
  const uint64_t tensors =
      re2na_plus(bytes_of(program->inputs, program->input_count), bytes_of(program->outputs, program->output_count));
  const uint64_t memories = program->dram_bytes - program->constants_bytes + program->sram_used + program->result_bytes;
  uint64_t work = re2na_plus(tensors, program->source_count);
  int32_t code = re2na_ask_memory(program, re2na_plus(tensors, memories), error);
  for (uint32_t i = 0; i < program->count; i++)
    work = re2na_plus(work, re2na_insn_of(&program->code[i])->work(&program->code[i]));
  return code ? code : re2na_ask_work(program, work, error);
}
