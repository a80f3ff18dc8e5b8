/* faulty_memory PROGRAM...: for each program and every n, the n-th allocation of loading, running and the bridge fails:
 * a status that says so, and nothing is left behind. Linked with --wrap, so that the library's allocations come here;
 * to standard output go the numbers of allocations that were made to fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "re2na.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);

static uint64_t allocations, fails_at, live; /* fails_at 0: none does */

static int fails(void) { return ++allocations == fails_at; }

static void *counted(void *block) {
  live += block != NULL;
  return block;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : counted(__real_malloc(size)); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : counted(__real_calloc(count, size)); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
  return fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}
void __wrap_free(void *block) {
  live -= block != NULL;
  __real_free(block);
}
void *__wrap_realloc(void *old, size_t size) {
  void *made;
  if (fails()) return NULL;
  made = __real_realloc(old, size);
  live += made && !old;
  return made;
}

static uint8_t *read_file(const char *path, uint64_t *size) {
  static uint8_t bytes[1 << 20];
  FILE *file = fopen(path, "rb");
  if (!file) exit(2);
  *size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  return bytes;
}

enum { PORTS = 8, PORT = 1 << 20 };
static int8_t ports[PORTS][PORT];

/* Everything that allocates, in turn; the first error ends it. */
static int32_t use(const uint8_t *bytes, uint64_t size, re2na_error *error) {
  re2na_program *program = NULL;
  re2na_machine *machine = NULL;
  int8_t *places[PORTS];
  for (int i = 0; i < PORTS; i++) places[i] = ports[i];
  int32_t code = re2na_program_load(bytes, size, &program, error);
  if (!code) code = re2na_machine_create(program, &machine, error);
  if (!code) code = re2na_machine_set_profiling(machine, 1, error);
  if (!code) code = re2na_machine_set_threads(machine, 3, error);
  if (!code) code = re2na_run(machine, (const int8_t *const *)places, places + PORTS / 2, NULL, error);
  re2na_machine_free(machine);
  re2na_program_free(program);
  return code;
}

static int32_t execute(const uint8_t *bytes, uint64_t size, re2na_error *error) {
  uint64_t pointers[PORTS];
  int32_t code;
  for (int i = 0; i < PORTS; i++) pointers[i] = (uint64_t)(uintptr_t)ports[i];
  code = re2na_execute(bytes, (int64_t)size, pointers);
  snprintf(error->message, sizeof error->message, "%s", re2na_bridge_last_error());
  re2na_bridge_reset();
  return code;
}

typedef int32_t user(const uint8_t *bytes, uint64_t size, re2na_error *error);

/* How many allocations were made to fail; exits where one of them is not an error of its kind, or leaves something. */
static uint64_t walk(user *of, const uint8_t *bytes, uint64_t size) {
  for (uint64_t n = 1;; n++) {
    re2na_error error = {0};
    allocations = live = 0;
    fails_at = n;
    const int32_t code = of(bytes, size, &error);
    const int reached = allocations >= n;
    fails_at = 0;
    if (code != (reached ? RE2NA_ERROR_MEMORY : RE2NA_OK) || (reached && !strstr(error.message, "no memory")) ||
        live != 0) {
      fprintf(stderr, "allocation %llu: status %d, %llu blocks left: %s\n", (unsigned long long)n, code,
              (unsigned long long)live, error.message);
      exit(1);
    }
    if (!reached) return n - 1;
  }
}

int main(int count, char **words) {
  for (int i = 1; i < count; i++) {
    uint64_t size;
    const uint8_t *bytes = read_file(words[i], &size);
    const uint64_t own = walk(use, bytes, size), bridge = walk(execute, bytes, size);
    printf("%llu %llu\n", (unsigned long long)own, (unsigned long long)bridge);
  }
  return 0;
}
