/* libFuzzer target: the C ABI call by call. The input's bytes choose functions and arguments, right ones and wrong
 * ones: NULL, truncated and damaged programs, kernels, threads and indices that are not there, limits of any size.
 * Whatever is called, the answer is a status that is in re2na.h; what was made is freed, in any order. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"
#include "parts.h"
#include "re2na.h"

enum { SLOTS = 3, ROOM = 1 << 15, PORT = 1 << 18 };

typedef struct slot {
  uint8_t *bytes; /* of exact size, as long as the program lives */
  uint64_t size;
  re2na_program *program;
  re2na_machine *machine;
} slot;

typedef struct input {
  const uint8_t *bytes;
  size_t size;
} input;

static slot slots[SLOTS];
static int8_t port[PORT];
static re2na_error error;

static uint8_t take(input *from) {
  if (!from->size) return 0;
  from->size--;
  return *from->bytes++;
}

static bool rarely(input *from) { return take(from) >= 224; }

static void expect(bool holds) {
  if (!holds) abort();
}

static int32_t status(int32_t code) {
  expect(code >= RE2NA_OK && code <= RE2NA_ERROR_LIMIT);
  return code;
}

static void drop(slot *of) {
  static bool program_first; /* either order */
  program_first = !program_first;
  if (program_first) re2na_program_free(of->program);
  re2na_machine_free(of->machine);
  if (!program_first) re2na_program_free(of->program);
  free(of->bytes);
  memset(of, 0, sizeof *of);
}

/* A program, or a piece of one, in a block of its own size. */
static void draw(slot *to, input *from) {
  static uint8_t room[ROOM];
  uint64_t random = take(from);
  to->size = draw_program(room, sizeof room, &random);
  if (rarely(from)) to->size = to->size * take(from) / 256;
  to->bytes = malloc(to->size ? to->size : 1);
  if (!to->bytes) return;
  memcpy(to->bytes, room, to->size);
  if (rarely(from) && to->size) to->bytes[(uint64_t)take(from) * 16 % to->size] ^= take(from);
  if (rarely(from)) repair_checksum(to->bytes, to->size);
}

static void load(slot *to, input *from) {
  const re2na_limits limits = {(uint64_t)take(from) << take(from) % 24, (uint64_t)take(from) << take(from) % 24};
  const int32_t kernel = take(from) % 8 - 1;
  const void *bytes;
  re2na_program **program = rarely(from) ? NULL : &to->program;
  drop(to);
  draw(to, from);
  bytes = rarely(from) ? NULL : to->bytes;
  const uint8_t how = take(from) % 4;
  if (how == 0) status(re2na_program_load(bytes, to->size, program, &error));
  else if (how == 1) status(re2na_program_load_for(bytes, to->size, kernel, program, rarely(from) ? NULL : &error));
  else
    status(re2na_program_load_limited(bytes, to->size, how == 2 ? kernel : 0, rarely(from) ? NULL : &limits, program,
                                      &error));
}

static void ask(const slot *of, input *from) {
  const re2na_program *program = rarely(from) ? NULL : of->program;
  const uint32_t index = take(from);
  re2na_tensor tensor;
  status(re2na_program_input(program, index % 3, rarely(from) ? NULL : &tensor));
  status(re2na_program_output(program, index, rarely(from) ? NULL : &tensor));
  expect((re2na_program_arch(program) != NULL) == (program != NULL) &&
         (re2na_program_kernel(program) != NULL) == (program != NULL));
  expect((re2na_program_timing(program) != NULL) == (re2na_program_instruction_count(program) > 0));
  expect(program || !(re2na_program_input_count(program) + re2na_program_output_count(program) +
                      re2na_program_source_count(program) + re2na_program_dram_bytes(program) +
                      re2na_program_cycles(program) + re2na_program_memory(program) + re2na_program_work(program)));
}

static void create(slot *of, input *from) {
  re2na_machine_free(of->machine);
  of->machine = NULL;
  if (!rarely(from)) status(re2na_machine_create(of->program, &of->machine, &error));
  else status(re2na_machine_create(rarely(from) ? of->program : NULL, NULL, &error));
}

static void set(slot *of, input *from) {
  static const uint32_t threads[] = {0, 1, 1, 1, 1, 2, 257, UINT32_MAX};
  re2na_machine *machine = rarely(from) ? NULL : of->machine;
  switch (take(from) % 4) {
    case 0: status(re2na_machine_set_threads(machine, threads[take(from) % 8], &error)); break;
    case 1: re2na_machine_set_counting(machine, take(from) % 2); break;
    case 2: status(re2na_machine_set_profiling(machine, take(from) % 2, &error)); break;
    default:
      (void)re2na_machine_threads(machine);
      (void)re2na_machine_nanoseconds(machine);
      expect((re2na_machine_instruction_counters(machine) != NULL) == (machine != NULL));
      expect((re2na_machine_source_counters(machine) != NULL) == (machine != NULL));
  }
}

enum { MOST_RUNS = 3, MOST_PORTS = MOST_RUNS * MOST_TENSORS };

/* A port for each, which is large enough for any tensor that `draw_program` makes. */
static void fill(int8_t **ports, input *from) {
  for (int i = 0; i < MOST_PORTS; i++) ports[i] = port;
  if (rarely(from)) ports[take(from) % MOST_PORTS] = NULL;
}

static void run(slot *of, input *from) {
  int8_t *ports[MOST_PORTS];
  re2na_machine *machine = rarely(from) ? NULL : of->machine;
  const uint32_t instructions = re2na_program_instruction_count(of->program),
                 sources = re2na_program_source_count(of->program);
  const uint64_t count = take(from) % (MOST_RUNS + 1);
  re2na_counters totals[MOST_RUNS], *tables[2] = {NULL, NULL};
  fill(ports, from);
  if (rarely(from)) tables[0] = malloc(MOST_RUNS * instructions * sizeof *tables[0] + 1);
  if (rarely(from)) tables[1] = malloc(MOST_RUNS * sources * sizeof *tables[1] + 1);
  const int8_t *const *in = rarely(from) ? NULL : (const int8_t *const *)ports;
  if (take(from) % 2) status(re2na_run(machine, in, ports, rarely(from) ? NULL : totals, &error));
  else status(re2na_run_many(machine, count, in, rarely(from) ? NULL : ports, totals, tables[0], tables[1], &error));
  free(tables[0]);
  free(tables[1]);
}

/* The bytes of a program that the bridge knows have to stay: a reset before they go. */
static void bridge(const slot *of, input *from) {
  uint64_t pointers[2 * MOST_TENSORS];
  re2na_totals totals;
  for (int i = 0; i < 2 * MOST_TENSORS; i++) pointers[i] = rarely(from) ? 0 : (uint64_t)(uintptr_t)port;
  status(re2na_bridge_set_threads(take(from) % 2 ? 1 : rarely(from) ? 999 : 0));
  const int32_t code = re2na_execute(rarely(from) ? NULL : of->bytes, rarely(from) ? -1 : (int64_t)of->size,
                                     rarely(from) ? NULL : pointers);
  expect((status(code) == RE2NA_OK) == (*re2na_bridge_last_error() == '\0'));
  re2na_bridge_totals(rarely(from) ? NULL : &totals);
  if (take(from) % 2) re2na_bridge_forget(rarely(from) ? NULL : of->bytes, of->size);
  re2na_bridge_reset();
}

static void quantise(input *from) {
  enum { MOST = 12 };
  static const float limits[] = {-128, 127, 0, 3e38f, -3e38f, NAN, 4194304, -4194305};
  float gram[MOST * MOST], left[MOST], weight[MOST], sums[MOST * MOST];
  int8_t rows[512];
  const uint32_t inputs = 1 + take(from) % MOST, groups = take(from) % 3, pixels_each = take(from) % 3,
                 outputs = take(from) % 3;
  const uint32_t kernel = 1 + take(from) % 5, huge = rarely(from) ? UINT32_MAX >> take(from) % 32 : 1;
  const re2na_window window = {1,         take(from) % 5, 4, 4, take(from) % 4, 2, take(from) % 3, {kernel, 3},
                               {huge, 1}, {1, huge},      1, 1};
  const int64_t pixels[2] = {rarely(from) ? -1 : 0, rarely(from) ? INT64_MAX : 1};
  const float low = rarely(from) ? limits[take(from) % 8] : -128, high = rarely(from) ? limits[take(from) % 8] : 127;
  for (int i = 0; i < MOST * MOST; i++) gram[i] = i % (int)(inputs + 1) ? 0.1f : 2.0f;
  for (int i = 0; i < MOST; i++) left[i] = (float)take(from), weight[i] = (float)(int8_t)take(from);
  status(re2na_descend(rarely(from) ? NULL : gram, left, weight, take(from) % 2, 1, inputs, low, high, take(from) % 4));
  status(re2na_rows(port, rarely(from) ? NULL : pixels, rarely(from) ? NULL : &window, rows));
  status(re2na_products(rarely(from) ? NULL : port, port + 64, rarely(from) ? NULL : sums, groups, pixels_each,
                        rarely(from) ? 0 : inputs, outputs));
  expect(re2na_kernel_number(rarely(from) ? NULL : "avx2") <= RE2NA_KERNEL_NEON);
  (void)re2na_kernel_runs((int32_t)take(from) - 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  input from = {bytes, size};
  for (int calls = 0; from.size && calls < 64; calls++) {
    slot *at = &slots[take(&from) % SLOTS];
    switch (take(&from) % 8) {
      case 0:
      case 1: load(at, &from); break;
      case 2: ask(at, &from); break;
      case 3: create(at, &from); break;
      case 4: set(at, &from); break;
      case 5: run(at, &from); break;
      case 6: bridge(at, &from); break;
      default: quantise(&from);
    }
  }
  for (int i = 0; i < SLOTS; i++) drop(&slots[i]);
  return 0;
}
