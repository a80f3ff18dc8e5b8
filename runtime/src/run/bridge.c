/* The call that generated code makes. The only file of the library with process state: loaded programs, idle machines,
 * sums. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program/program.h"

typedef struct idle {
  struct idle *next;
  re2na_machine *machine;
} idle;

/* `users` calls hold the entry now; it is freed when it has left the table and the last of them has gone. */
typedef struct entry {
  const uint8_t *bytes;
  uint64_t size;
  uint32_t checksum;
  re2na_program *program;
  idle *machines;
  uint32_t users;
  bool in_table;
  uint64_t last_used;
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below but last_error */
static entry *table[RE2NA_BRIDGE_PROGRAMS];
static uint64_t clock_ticks;
static re2na_totals sums;
static uint32_t wanted_threads; /* 0: as the environment says */
static _Thread_local re2na_error last_error;

static void destroy(entry *gone) {
  while (gone->machines) {
    idle *first = gone->machines;
    gone->machines = first->next;
    re2na_machine_free(first->machine);
    free(first);
  }
  re2na_program_free(gone->program);
  free(gone);
}

static uint32_t checksum_of(const uint8_t *program, uint64_t size) {
  return size >= RE2NA_HEADER_BYTES ? re2na_u32(program + 24) : 0;
}

static entry *find(const uint8_t *bytes, uint64_t size, uint32_t checksum) {
  for (int i = 0; i < RE2NA_BRIDGE_PROGRAMS; i++) {
    entry *at = table[i];
    if (at && at->bytes == bytes && at->size == size && at->checksum == checksum) return at;
  }
  return NULL;
}

static void leave_table(int slot) {
  entry *gone = table[slot];
  table[slot] = NULL;
  gone->in_table = false;
  if (gone->users == 0) destroy(gone);
}

/* Puts the entry where there is room, or where the one unused for longest was. */
static void enter_table(entry *made) {
  int oldest = 0;
  for (int i = 0; i < RE2NA_BRIDGE_PROGRAMS; i++) {
    if (!table[i]) {
      oldest = i;
      break;
    }
    if (table[i]->last_used < table[oldest]->last_used) oldest = i;
  }
  if (table[oldest]) leave_table(oldest);
  table[oldest] = made;
  made->in_table = true;
}

/* What the environment says, where nobody has called for anything else. */
static int32_t kernel_wanted(int32_t *number) {
  const char *name = getenv("RE2NA_KERNEL");
  *number = name ? re2na_kernel_number(name) : RE2NA_KERNEL_AUTO;
  if (*number >= 0 && re2na_kernel_runs(*number)) return RE2NA_OK;
  return re2na_fail(&last_error, RE2NA_ERROR_ARGUMENT,
                    "RE2NA_KERNEL = '%s' is no kernel, or not one for this processor", name);
}

/* A limit from the environment, where it is there. */
static int32_t limit_wanted(const char *name, uint64_t *limit) {
  const char *text = getenv(name);
  char *end = NULL;
  if (!text) return RE2NA_OK;
  errno = 0;
  *limit = strtoull(text, &end, 10);
  if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0) return RE2NA_OK;
  return re2na_fail(&last_error, RE2NA_ERROR_ARGUMENT, "%s = '%s' is no number in 0..%llu", name, text,
                    (unsigned long long)UINT64_MAX);
}

static int32_t limits_wanted(re2na_limits *limits) {
  const int32_t code = limit_wanted("RE2NA_MEMORY_LIMIT", &limits->memory_bytes);
  return code ? code : limit_wanted("RE2NA_WORK_LIMIT", &limits->work);
}

static int32_t threads_wanted(uint32_t *threads) {
  const char *text = getenv("RE2NA_THREADS");
  char *end = NULL;
  long number = 1;
  pthread_mutex_lock(&lock);
  *threads = wanted_threads;
  pthread_mutex_unlock(&lock);
  if (*threads) return RE2NA_OK;
  if (text) number = strtol(text, &end, 10);
  *threads = (uint32_t)number;
  if (!text || (*text >= '0' && *text <= '9' && *end == '\0' && number >= 1 && number <= RE2NA_MOST_THREADS))
    return RE2NA_OK;
  return re2na_fail(&last_error, RE2NA_ERROR_ARGUMENT, "RE2NA_THREADS = '%s' is no number in 1..%d", text,
                    RE2NA_MOST_THREADS);
}

static entry *load(const uint8_t *bytes, uint64_t size, uint32_t checksum) {
  entry *made = calloc(1, sizeof *made);
  re2na_limits limits = {RE2NA_DEFAULT_MEMORY_BYTES, RE2NA_DEFAULT_WORK};
  int32_t number;
  if (!made) {
    re2na_fail(&last_error, RE2NA_ERROR_MEMORY, "no memory for a program");
    return NULL;
  }
  if (kernel_wanted(&number) != RE2NA_OK || limits_wanted(&limits) != RE2NA_OK ||
      re2na_program_load_limited(bytes, size, number, &limits, &made->program, &last_error) != RE2NA_OK) {
    free(made);
    return NULL;
  }
  made->bytes = bytes;
  made->size = size;
  made->checksum = checksum;
  return made;
}

/* The entry for these bytes, one more user of it, and an idle machine of it if there is one. */
static entry *acquire(const uint8_t *bytes, uint64_t size, idle **machine) {
  const uint32_t checksum = checksum_of(bytes, size);
  entry *at, *made = NULL;
  pthread_mutex_lock(&lock);
  at = find(bytes, size, checksum);
  if (!at) { /* validate without the lock: other programs run on meanwhile */
    pthread_mutex_unlock(&lock);
    made = load(bytes, size, checksum);
    if (!made) return NULL;
    pthread_mutex_lock(&lock);
    at = find(bytes, size, checksum); /* another thread may have been faster */
    if (!at) {
      enter_table(made);
      at = made;
      made = NULL;
    }
  }
  at->users++;
  at->last_used = ++clock_ticks;
  *machine = at->machines;
  if (*machine) at->machines = (*machine)->next;
  pthread_mutex_unlock(&lock);
  if (made) destroy(made);
  return at;
}

static void release(entry *at, idle *machine, const re2na_counters *counters) {
  pthread_mutex_lock(&lock);
  if (counters) {
    sums.runs++;
    sums.cycles += re2na_program_cycles(at->program);
    sums.macs += counters->macs;
    sums.overflows += counters->overflows;
    sums.dram_bytes += counters->dram_bytes;
  }
  if (machine) {
    machine->next = at->machines;
    at->machines = machine;
  }
  if (--at->users == 0 && !at->in_table) destroy(at);
  pthread_mutex_unlock(&lock);
}

static idle *make_machine(const re2na_program *program) {
  idle *made = calloc(1, sizeof *made);
  if (!made) {
    re2na_fail(&last_error, RE2NA_ERROR_MEMORY, "no memory for a machine");
    return NULL;
  }
  if (re2na_machine_create(program, &made->machine, &last_error) == RE2NA_OK) return made;
  free(made);
  return NULL;
}

static int32_t set_threads(re2na_machine *machine) {
  uint32_t threads;
  int32_t code = threads_wanted(&threads);
  if (code == RE2NA_OK && re2na_machine_threads(machine) != threads)
    code = re2na_machine_set_threads(machine, threads, &last_error);
  return code;
}

/* The pointers as re2na_run wants them; most programs have few. */
static int32_t run(re2na_machine *machine, const re2na_program *program, const uint64_t *pointers,
                   re2na_counters *counters) {
  enum { FEW = 16 };
  const uint32_t inputs = program->input_count, count = inputs + program->output_count;
  int8_t *few[FEW], **all = count <= FEW ? few : calloc(count, sizeof *all);
  int32_t code;
  if (!all) return re2na_fail(&last_error, RE2NA_ERROR_MEMORY, "no memory for %u pointers", count);
  for (uint32_t i = 0; i < count; i++) all[i] = (int8_t *)(uintptr_t)pointers[i];
  code = re2na_run(machine, (const int8_t *const *)all, all + inputs, counters, &last_error);
  if (all != few) free(all);
  return code;
}

int32_t re2na_execute(const uint8_t *program, int64_t size, const uint64_t *pointers) {
  re2na_counters counters = {0, 0, 0};
  idle *machine = NULL;
  entry *at;
  int32_t code;
  last_error.code = RE2NA_OK;
  last_error.message[0] = '\0';
  if (!program || !pointers || size < 0)
    return re2na_fail(&last_error, RE2NA_ERROR_ARGUMENT,
                      "re2na_execute: program or pointers is NULL, or size %lld is negative", (long long)size);
  at = acquire(program, (uint64_t)size, &machine);
  if (!at) return last_error.code;
  if (!machine) machine = make_machine(at->program);
  code = machine ? set_threads(machine->machine) : last_error.code;
  if (machine && code == RE2NA_OK) code = run(machine->machine, at->program, pointers, &counters);
  release(at, machine, code == RE2NA_OK ? &counters : NULL);
  return code;
}

int32_t re2na_bridge_set_threads(uint32_t threads) {
  if (threads < 1 || threads > RE2NA_MOST_THREADS) return RE2NA_ERROR_ARGUMENT;
  pthread_mutex_lock(&lock);
  wanted_threads = threads;
  pthread_mutex_unlock(&lock);
  return RE2NA_OK;
}

const char *re2na_bridge_last_error(void) { return last_error.message; }

const char *re2na_bridge_failure(void) {
  static _Thread_local char line[sizeof last_error.message + 32];
  snprintf(line, sizeof line, "Re2Na: error %d: %s", last_error.code, last_error.message);
  return line;
}

void re2na_bridge_totals(re2na_totals *totals) {
  if (!totals) return;
  pthread_mutex_lock(&lock);
  *totals = sums;
  pthread_mutex_unlock(&lock);
}

void re2na_bridge_forget(const uint8_t *program, uint64_t size) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < RE2NA_BRIDGE_PROGRAMS; i++)
    if (table[i] && table[i]->bytes == program && table[i]->size == size) leave_table(i);
  pthread_mutex_unlock(&lock);
}

void re2na_bridge_reset(void) {
  pthread_mutex_lock(&lock);
  memset(&sums, 0, sizeof sums);
  for (int i = 0; i < RE2NA_BRIDGE_PROGRAMS; i++)
    if (table[i]) leave_table(i);
  pthread_mutex_unlock(&lock);
}
