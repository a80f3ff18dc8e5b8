/* A program as it was loaded, and what is found out about it later. */
#ifndef RE2NA_PROGRAM_H
#define RE2NA_PROGRAM_H

#include <pthread.h>

#include "base/base.h"
#include "kernel/pack.h"

enum { RE2NA_INSTRUCTION_BYTES = 768 }; /* that all tables together hold for an instruction, at most */

enum { RE2NA_MOST_SOURCES = 1 << 16 }; /* what an instruction's `source` can name */

typedef struct re2na_prepared re2na_prepared;

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
  uint8_t *buffered; /* per instruction: 1 where the output overlaps what is read, or itself: it is formed elsewhere */
  re2na_timing *timing;
  uint8_t **decoded;      /* per instruction: what it decodes; NULL where none does */
  uint8_t *decoded_bytes; /* all of that, RE2NA_SLACK behind it */
  uint64_t decoded_size;
  uint64_t cycles;
  uint64_t sram_used;     /* highest byte of SRAM that any instruction touches */
  uint64_t result_bytes;  /* of the largest output that is formed elsewhere */
  uint64_t present_items; /* steps of k that have a line of weights, at most */
  re2na_limits limits;
  const re2na_loops *kernel;
  re2na_prepared *prepared;
};

/* What is known of an instruction's operands before any run. Constants lie in the program's bytes; NULL where an
 * operand comes from elsewhere and has to be read in SRAM. */
typedef struct re2na_operands {
  const int8_t *weights; /* or a table */
  const uint8_t *bias, *mask;
  uint8_t bound; /* the largest input (an addition's operands are none), or RE2NA_SIGNED where it may be negative */
  bool needless; /* a LOAD of constants that nobody reads in SRAM */
  bool crowded;  /* it touches more than is kept track of */
} re2na_operands;

/* What a machine has to allocate for the instructions besides its memories; for every worker, unless it says otherwise.
 */
typedef struct re2na_room {
  uint64_t column_bytes;  /* inputs of a block of pixels, one line of k each */
  uint64_t sum_items;     /* int32: sums of a block of pixels */
  uint64_t partial_items; /* int64: the same, where 32 bits are too few */
  uint64_t line_bytes;    /* results of pixels on their way through the output path */
  uint64_t tap_items;     /* of a depthwise convolution */
  uint64_t blank_bytes;   /* channels of a pixel of padding; once for all workers */
  uint64_t dense_items;   /* int64: sums of a dense layer; once for all workers */
  uint64_t lsb_items;     /* int32: of the channels of a convolution */
} re2na_room;

enum { RE2NA_MOST_BESIDE = 64 }; /* instructions that run at the same time */

/* `count` instructions, from `work` on in a list; where they are several, none writes what another touches. */
typedef struct re2na_wave {
  uint32_t work, count;
} re2na_wave;

/* A program with what changes after it is loaded, although machines hold it as a constant: the lock guards the number
 * of holders, what is asked of the host, and the rest until it is there. */
struct re2na_prepared {
  re2na_program program;
  pthread_mutex_t lock;
  uint64_t holders;         /* whoever loaded it, and its machines: the last one frees it */
  re2na_limits asks;        /* of the host */
  bool done;                /* what follows, which run/prepare.c finds out for the first machine */
  re2na_operands *operands; /* per instruction */
  re2na_packed **packed;    /* per instruction: its weights, packed; NULL where there are none, or none before a run */
  re2na_packed **packs;     /* each once */
  uint32_t pack_count;
  re2na_wave *waves;
  uint32_t wave_count;
  uint32_t *works; /* the waves' instructions: all that have something to run, in the program's order */
  re2na_room room;
};

/* program.c: an empty program with one holder; NULL where the host has no memory. */
re2na_program *re2na_program_new(void);
/* program.c: one more holder, and one less. */
void re2na_program_hold(const re2na_program *program);
void re2na_program_release(const re2na_program *program);
/* program.c: forgets what was prepared. */
void re2na_unprepare(re2na_prepared *prepared);
/* container.c: header, sections, code. Fills in everything up to `source_count`. */
int32_t re2na_load_container(re2na_program *program, re2na_error *error);
/* tensors.c: the TENSORS section. */
int32_t re2na_load_tensors(re2na_program *program, const uint8_t *table, uint64_t size, re2na_error *error);
/* sources.c: how many operators the SOURCES section lists. */
uint64_t re2na_count_sources(const uint8_t *text, uint64_t size);
/* asks.c: one more thing that the program asks of the host; refused where all of them together are beyond its limits.
 */
int32_t re2na_ask_memory(const re2na_program *program, uint64_t bytes, re2na_error *error);
int32_t re2na_ask_work(const re2na_program *program, uint64_t steps, re2na_error *error);

#endif
