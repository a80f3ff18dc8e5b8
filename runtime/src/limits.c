/* What a program asks of the host: sums that stay at the largest number instead of overflowing, held against re2na_limits. */
#include "internal.h"

static uint64_t product(const int64_t *factors, int count) {
  uint64_t result = 1;
  for (int i = 0; i < count; i++) result = re2na_times(result, (uint64_t)factors[i]);
  return result;
}

#define PRODUCT(...) product((const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* Every pixel's inputs are gathered whether they have weights or not; what may lie in the inputs, the weights and the bitmap are looked
 * at once, the weights of a depthwise one a few times. */
static uint64_t conv_work(const re2na_conv *at) {
  const int64_t looks = re2na_is_depthwise(at) ? RE2NA_PAIR_LOOKS : 1;
  const uint64_t pixels = PRODUCT(at->n, at->out_h, at->out_w, at->pool_h, at->pool_w);
  const uint64_t each = re2na_plus(PRODUCT(at->out_c, at->steps + 1), PRODUCT(at->kernel_h, at->kernel_w, at->in_c));
  const uint64_t seen = re2na_plus(PRODUCT(at->n, at->in_h, at->in_w, at->in_c), PRODUCT(at->steps, at->out_c, looks));
  return re2na_plus(re2na_plus(re2na_times(pixels, each), seen), PRODUCT(at->kernel_h, at->kernel_w, at->in_c));
}

static uint64_t dense_work(const re2na_dense *at) {
  return re2na_plus(PRODUCT(at->n, at->out_c, at->steps + 1), PRODUCT(at->n + 1, at->in_c));
}

static uint64_t pool_work(const re2na_pool *at) {
  return re2na_plus(PRODUCT(at->n, at->out_h, at->out_w, at->in_c, at->kernel_h, at->kernel_w),
                    PRODUCT(at->n, at->in_h, at->in_w, at->in_c));
}

static uint64_t work_of(const re2na_instruction *at) {
  switch (at->opcode) {
    case RE2NA_LOAD:
    case RE2NA_STORE: return PRODUCT(at->body.load.bytes, at->body.load.rows, at->body.load.planes); /* the two bodies are alike */
    case RE2NA_CONV: return conv_work(&at->body.conv);
    case RE2NA_DENSE: return dense_work(&at->body.dense);
    case RE2NA_POOL: return pool_work(&at->body.pool);
    case RE2NA_ELTWISE: return PRODUCT(at->body.eltwise.bytes, 2);
    default: return 1;
  }
}

static uint64_t bytes_of(const re2na_tensor *tensors, uint32_t count) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t *size = tensors[i].stored;
    sum = re2na_plus(sum, PRODUCT(size[0], size[1], size[2], size[3]));
  }
  return sum;
}

int32_t re2na_ask_memory(re2na_program *program, uint64_t bytes, re2na_error *error) {
  const uint64_t sum = re2na_plus(program->asks.memory_bytes, bytes);
  if (sum > program->limits.memory_bytes)
    return re2na_fail(error, RE2NA_ERROR_LIMIT, "the program takes %llu bytes of the host's memory, the limit is %llu",
                      (unsigned long long)sum, (unsigned long long)program->limits.memory_bytes);
  program->asks.memory_bytes = sum;
  return RE2NA_OK;
}

int32_t re2na_ask_work(re2na_program *program, uint64_t steps, re2na_error *error) {
  const uint64_t sum = re2na_plus(program->asks.work, steps);
  if (sum > program->limits.work)
    return re2na_fail(error, RE2NA_ERROR_LIMIT, "a run takes %llu element steps, the limit is %llu", (unsigned long long)sum,
                      (unsigned long long)program->limits.work);
  program->asks.work = sum;
  return RE2NA_OK;
}

int32_t re2na_check_limits(re2na_program *program, re2na_error *error) {
  const uint64_t tensors =
      re2na_plus(bytes_of(program->inputs, program->input_count), bytes_of(program->outputs, program->output_count));
  const uint64_t memories = program->dram_bytes - program->constants_bytes + program->sram_used + program->result_bytes;
  uint64_t work = re2na_plus(tensors, program->source_count);
  int32_t code = re2na_ask_memory(program, re2na_plus(tensors, memories), error);
  for (uint32_t i = 0; i < program->count; i++) work = re2na_plus(work, work_of(&program->code[i]));
  return code ? code : re2na_ask_work(program, work, error);
}
