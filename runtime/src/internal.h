/* What the library's files share. Nothing here is exported. */
#ifndef RE2NA_INTERNAL_H
#define RE2NA_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "re2na.h"

/* A host buffer may be read (not written) this far behind what it holds, by kernels that read whole vectors. */
enum { RE2NA_SLACK = 128 };

enum { RE2NA_LINE = 128 }; /* bytes that processors pass between them: a line of their caches, and the one that is fetched with it */

enum { RE2NA_INSTRUCTION_ROOM = 768 }; /* bytes that all tables together hold for an instruction, at most */

enum { RE2NA_MOST_SOURCES = 1 << 16 }; /* what an instruction's `source` can name */

enum { RE2NA_MOST_COPIES = 1 << 14 }; /* pieces of constants that are followed through the SRAM, at most */

enum { RE2NA_PAIR_LOOKS = 32 }; /* at each weight of a depthwise convolution while it is packed, at most: its taps have less than 2^16 */

enum { RE2NA_NARROW_K = 1 << 16 }; /* steps of k whose sum of int8 products, and a bias below 2^30, surely fits 32 bits */

/* Several versions of a loop for several processors, chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && !defined(RE2NA_ONE_VERSION)
#define RE2NA_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define RE2NA_CLONES
#endif

struct kernel;
struct operands;
struct packed;

struct re2na_program {
  const uint8_t *bytes;
  uint64_t size;
  re2na_arch arch;
  uint64_t dram_bytes;
  uint64_t constants_address, constants_bytes;
  const uint8_t *constants;
  re2na_tensor *inputs, *outputs;
  uint32_t input_count, output_count;
  char *names; /* all tensors' names, each with its final zero */
  re2na_instruction *code;
  uint32_t count;
  uint32_t source_count;
  re2na_counters *fixed; /* per instruction: what does not depend on the data */
  re2na_limits limits, asks; /* what it may ask of the host, and what it does */
  uint8_t *aside;        /* per instruction: 1 where the output overlaps what is read, or itself */
  re2na_timing *timing;
  uint64_t cycles;
  const struct kernel *kernel;
  /* What prepare.c finds out for the first machine; the lock guards it until it is there, and the number of holders. */
  pthread_mutex_t lock;
  uint64_t holders; /* whoever loaded it, and its machines: the last one frees it */
  bool prepared;
  struct operands *operands; /* per instruction */
  struct packed **packed;    /* per instruction: its weights, packed; NULL where there are none, or none before a run */
  struct packed **packs;     /* each once */
  uint32_t pack_count;
  /* What a machine has to allocate; those up to `tap_items` for every worker. */
  uint64_t column_bytes;  /* inputs of a block of pixels, one line of k each */
  uint64_t sum_items;     /* int32: sums of a block of pixels */
  uint64_t partial_items; /* int64: the same, where 32 bits are too few */
  uint64_t line_bytes;    /* results of pixels on their way through the output path */
  uint64_t tap_items;     /* of a depthwise convolution */
  uint64_t dense_items;   /* int64: sums of a dense layer */
  uint64_t sram_used;     /* highest byte of SRAM that any instruction touches */
  uint64_t result_bytes;  /* results of an instruction that overwrites what it reads */
  uint64_t present_items; /* uint32: steps of k that have a line of weights */
  uint64_t blank_bytes;   /* channels of a pixel of padding */
};

/* Fills in `error` (which may be NULL) and returns `code`. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
int32_t re2na_fail(re2na_error *error, int32_t code, const char *format, ...);

/* CRC-32 as in zlib. */
uint32_t re2na_crc32(const uint8_t *bytes, uint64_t size);

static inline uint32_t re2na_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
static inline uint64_t re2na_u64(const uint8_t *at) { return (uint64_t)re2na_u32(at) | (uint64_t)re2na_u32(at + 4) << 32; }

/* A STORE's body is read as a LOAD's. */
#define RE2NA_ALIKE(field) (offsetof(re2na_load, field) == offsetof(re2na_store, field))
_Static_assert(sizeof(re2na_load) == sizeof(re2na_store) && RE2NA_ALIKE(dram_addr) && RE2NA_ALIKE(sram_addr) && RE2NA_ALIKE(bytes) &&
                   RE2NA_ALIKE(rows) && RE2NA_ALIKE(dram_row_stride) && RE2NA_ALIKE(sram_row_stride) && RE2NA_ALIKE(planes) &&
                   RE2NA_ALIKE(dram_plane_stride) && RE2NA_ALIKE(sram_plane_stride),
               "the two bodies are alike");

/* One input and one output channel in each of several groups. */
static inline bool re2na_is_depthwise(const re2na_conv *body) {
  return body->groups > 1 && body->in_c == body->groups && body->out_c == body->groups;
}

static inline uint64_t re2na_round_up(uint64_t a, uint64_t to) { return re2na_ceil(a, to) * to; }

/* load.c: the container. Fills in everything up to `source_count`; pointers are freed by re2na_program_free. */
int32_t re2na_load_container(re2na_program *program, re2na_error *error);
/* tensors.c: the TENSORS section. */
int32_t re2na_load_tensors(re2na_program *program, const uint8_t *table, uint64_t size, re2na_error *error);
/* validate.c: every instruction by itself; fills in `fixed` and the machine's sizes. */
int32_t re2na_validate_instructions(re2na_program *program, re2na_error *error);
/* sequence.c: what an instruction may follow. */
/* The array mode that an instruction runs in; -1 for one that runs in any. */
int64_t re2na_mode_needed(const re2na_instruction *at);
int32_t re2na_validate_sequence(const re2na_program *program, re2na_error *error);
/* program.c: one more holder, to be given up with re2na_program_free. */
void re2na_program_hold(re2na_program *program);
/* limits.c: one more thing that the program asks of the host; refused where all of them together are beyond its limits. */
int32_t re2na_ask_memory(re2na_program *program, uint64_t bytes, re2na_error *error);
int32_t re2na_ask_work(re2na_program *program, uint64_t steps, re2na_error *error);
/* limits.c: what is known of a validated program: its memories, its tensors, and the work of a run. */
int32_t re2na_check_limits(re2na_program *program, re2na_error *error);
/* prepare.c: all that a run needs and that does not depend on its data; done once, whoever asks first. */
int32_t re2na_prepare(re2na_program *program, re2na_error *error);
void re2na_unprepare(re2na_program *program);
/* timing.c: replays the engines' queues; fills in `timing` and `cycles`. */
int32_t re2na_replay(re2na_program *program, re2na_error *error);

#endif
