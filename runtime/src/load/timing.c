/* The cycle model: docs/timing.md. The formulas are generated (re2na_duration); runtime/timing.py replays the queues
 * the same. */
#include <stdlib.h>

#include "load/load.h"

#define MOST_CYCLES (UINT64_C(1) << 40) /* of one instruction: more is taken for a mistake */

typedef struct replay {
  re2na_program *program;
  uint64_t next[RE2NA_ENGINE_COUNT];                      /* index of each engine's next instruction */
  uint64_t free[RE2NA_ENGINE_COUNT];                      /* when the engine is free */
  uint64_t bus;                                           /* when the DRAM bus is free */
  uint64_t given[RE2NA_ENGINE_COUNT][RE2NA_ENGINE_COUNT]; /* tokens from one engine to another, so far */
  uint64_t taken[RE2NA_ENGINE_COUNT][RE2NA_ENGINE_COUNT];
  uint64_t *times[RE2NA_ENGINE_COUNT][RE2NA_ENGINE_COUNT]; /* when each token was given */
  uint64_t end;                                            /* latest finish of all */
} replay;

static uint64_t find_next(const re2na_program *program, uint32_t engine, uint64_t from) {
  while (from < program->count && program->code[from].engine != engine) from++;
  return from;
}

static bool is_transfer(uint32_t engine) { return engine != RE2NA_ENGINE_ARRAY; }

/* Whether the engine's next instruction has its tokens, and when it could start. */
static bool ready(const replay *state, uint32_t engine, uint64_t *start) {
  uint64_t index = state->next[engine], count = state->program->count;
  if (index == count) return false;
  const re2na_instruction *at = &state->program->code[index];
  *start = state->free[engine];
  if (is_transfer(engine)) *start = re2na_max(*start, state->bus);
  if (at->opcode == RE2NA_HALT) {
    if (state->next[RE2NA_ENGINE_LOAD] != count || state->next[RE2NA_ENGINE_STORE] != count) return false;
    *start = re2na_max(*start, state->end);
  }
  for (uint32_t from = 0; from < RE2NA_ENGINE_COUNT; from++) {
    if (!(at->wait >> from & 1)) continue;
    if (state->taken[from][engine] == state->given[from][engine]) return false;
    *start = re2na_max(*start, state->times[from][engine][state->taken[from][engine]]);
  }
  return true;
}

static int32_t execute(replay *state, uint32_t engine, uint64_t start, re2na_error *error) {
  re2na_program *program = state->program;
  uint64_t index = state->next[engine], busy = re2na_duration(&program->arch, &program->code[index]);
  const re2na_instruction *at = &program->code[index];
  re2na_timing *timing = &program->timing[index];
  if (busy > MOST_CYCLES || start > UINT64_MAX / 4)
    return re2na_fail(error, RE2NA_ERROR_INSTRUCTION,
                      "instruction %llu (%s): takes %llu cycles from cycle %llu, more than %llu",
                      (unsigned long long)index, re2na_opcode_name(at->opcode), (unsigned long long)busy,
                      (unsigned long long)start, (unsigned long long)MOST_CYCLES);
  timing->start = start;
  timing->finish = start + busy;
  state->free[engine] = timing->finish;
  if (is_transfer(engine)) {
    state->bus = timing->finish;
    timing->finish += (uint64_t)program->arch.dram_latency;
  }
  state->end = re2na_max(state->end, timing->finish);
  for (uint32_t other = 0; other < RE2NA_ENGINE_COUNT; other++) {
    if (at->wait >> other & 1) state->taken[other][engine]++;
    if (at->signal >> other & 1) state->times[engine][other][state->given[engine][other]++] = timing->finish;
  }
  state->next[engine] = find_next(program, engine, index + 1);
  return RE2NA_OK;
}

static int32_t deadlock(const replay *state, re2na_error *error) {
  for (uint32_t engine = 0; engine < RE2NA_ENGINE_COUNT; engine++) {
    uint64_t index = state->next[engine];
    if (index == state->program->count) continue;
    const re2na_instruction *at = &state->program->code[index];
    for (uint32_t from = 0; from < RE2NA_ENGINE_COUNT; from++)
      if (at->wait >> from & 1 && state->taken[from][engine] == state->given[from][engine])
        return re2na_fail(error, RE2NA_ERROR_TOKENS,
                          "instruction %llu (%s): waits for ever for a token from the %s engine",
                          (unsigned long long)index, re2na_opcode_name(at->opcode), re2na_engine_name(from));
  }
  return re2na_fail(error, RE2NA_ERROR_TOKENS, "the engines wait for each other for ever");
}

static int32_t check_tokens_left(const replay *state, re2na_error *error) {
  for (int from = 0; from < RE2NA_ENGINE_COUNT; from++)
    for (int to = 0; to < RE2NA_ENGINE_COUNT; to++)
      if (state->given[from][to] != state->taken[from][to])
        return re2na_fail(error, RE2NA_ERROR_TOKENS, "%llu tokens from the %s engine to the %s engine are never taken",
                          (unsigned long long)(state->given[from][to] - state->taken[from][to]),
                          re2na_engine_name(from), re2na_engine_name(to));
  return RE2NA_OK;
}

static int32_t run_all(replay *state, re2na_error *error) {
  for (uint64_t done = 0; done < state->program->count; done++) {
    uint64_t best_start = 0;
    uint32_t best = RE2NA_ENGINE_COUNT;
    int32_t code;
    for (uint32_t engine = 0; engine < RE2NA_ENGINE_COUNT; engine++) {
      uint64_t start;
      if (ready(state, engine, &start) && (best == RE2NA_ENGINE_COUNT || start < best_start)) {
        best = engine;
        best_start = start;
      }
    }
    if (best == RE2NA_ENGINE_COUNT) return deadlock(state, error);
    code = execute(state, best, best_start, error);
    if (code) return code;
  }
  state->program->cycles = state->end;
  return check_tokens_left(state, error);
}

int32_t re2na_replay(re2na_program *program, re2na_error *error) {
  replay state = {.program = program};
  const uint64_t count = program->count;
  uint64_t *tokens = calloc(count * RE2NA_ENGINE_COUNT * RE2NA_ENGINE_COUNT, sizeof *tokens);
  int32_t code;
  program->timing = calloc(count, sizeof *program->timing);
  if (tokens && program->timing) {
    for (uint32_t from = 0; from < RE2NA_ENGINE_COUNT; from++) {
      state.next[from] = find_next(program, from, 0);
      for (uint32_t to = 0; to < RE2NA_ENGINE_COUNT; to++)
        state.times[from][to] = tokens + count * (from * RE2NA_ENGINE_COUNT + to);
    }
    code = run_all(&state, error);
  } else {
    code = re2na_fail(error, RE2NA_ERROR_MEMORY, "no memory for the timing of %u instructions", program->count);
  }
  free(tokens);
  return code;
}
