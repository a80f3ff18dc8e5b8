/* What a program asks of the host: sums that stay at the largest number instead of overflowing, held against
 * re2na_limits. */
#include "program/program.h"

int32_t re2na_ask_memory(const re2na_program *program, uint64_t bytes, re2na_error *error) {
  re2na_limits *asks = &program->prepared->asks;
  const uint64_t sum = re2na_plus(asks->memory_bytes, bytes);
  if (sum > program->limits.memory_bytes)
    return re2na_fail(error, RE2NA_ERROR_LIMIT, "the program takes %llu bytes of the host's memory, the limit is %llu",
                      (unsigned long long)sum, (unsigned long long)program->limits.memory_bytes);
  asks->memory_bytes = sum;
  return RE2NA_OK;
}

int32_t re2na_ask_work(const re2na_program *program, uint64_t steps, re2na_error *error) {
  re2na_limits *asks = &program->prepared->asks;
  const uint64_t sum = re2na_plus(asks->work, steps);
  if (sum > program->limits.work)
    return re2na_fail(error, RE2NA_ERROR_LIMIT, "a run takes %llu element steps, the limit is %llu",
                      (unsigned long long)sum, (unsigned long long)program->limits.work);
  asks->work = sum;
  return RE2NA_OK;
}
