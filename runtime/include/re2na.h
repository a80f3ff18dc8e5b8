/* The Re2Na simulator: loads a .re2na program, runs it bit-exactly, counts, and models its cycles.
 *
 * A program may be shared by any number of machines and threads; its first machine has its weights laid out, once. A
 * machine belongs to one thread at a time. The library keeps no state of its own, with one exception: the bridge (last
 * part of this file), which keeps loaded programs between calls and is safe to call from any thread.
 *
 * Every function that can fail returns a re2na_status and, where `error` is not NULL, a message that names the field,
 * the value and the limit. Nothing here aborts, prints or allocates during a run. A handle or table that is NULL is an
 * error of that call; where a function returns a number or a pointer, it is 0 or NULL for a handle that is NULL.
 */
#ifndef RE2NA_H
#define RE2NA_H

#include <stdint.h>

#include "re2na_isa.h"

#if defined(_WIN32)
#define RE2NA_API __declspec(dllexport)
#else
#define RE2NA_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum re2na_status {
  RE2NA_OK = 0,
  RE2NA_ERROR_ARGUMENT = 1,    /* a NULL pointer or an index that is not there */
  RE2NA_ERROR_FORMAT = 2,      /* no program: magic, version, sections, tables */
  RE2NA_ERROR_SIZE = 3,        /* truncated or extended */
  RE2NA_ERROR_CHECKSUM = 4,    /* damaged */
  RE2NA_ERROR_ARCH = 5,        /* a number of the machine is outside its limits */
  RE2NA_ERROR_TENSOR = 6,      /* an input or output is wrong */
  RE2NA_ERROR_INSTRUCTION = 7, /* an instruction's field is outside its limits */
  RE2NA_ERROR_ACCESS = 8,      /* an instruction reads or writes outside a memory, or writes constants */
  RE2NA_ERROR_SEQUENCE = 9,    /* mode, partial sums, or HALT out of order */
  RE2NA_ERROR_TOKENS = 10,     /* engines wait for each other for ever, or a token is never taken */
  RE2NA_ERROR_MEMORY = 11,     /* the host has no memory left */
  RE2NA_ERROR_LIMIT = 12       /* the program asks the host for more than re2na_limits */
};

typedef struct re2na_error {
  int32_t code; /* re2na_status */
  char message[508];
} re2na_error;

/* The loops in which a run spends its time, each for a kind of processor. All give the same bits. */
enum re2na_kernel {
  RE2NA_KERNEL_AUTO = 0, /* the fastest that this processor has */
  RE2NA_KERNEL_PORTABLE = 1,
  RE2NA_KERNEL_AVX2 = 2,
  RE2NA_KERNEL_AVX512 = 3, /* with VNNI */
  RE2NA_KERNEL_NEON = 4    /* with dot products */
};

enum { RE2NA_MOST_THREADS = 256 };

/* What a program may ask of the host. Programs of a few hundred bytes can ask for gigabytes and for years. */
typedef struct re2na_limits {
  uint64_t memory_bytes; /* of the program's tables and one machine: DRAM image, SRAM, packed weights, room for one
                          * thread; and of the inputs and outputs, which are the caller's */
  uint64_t work; /* element steps of one run: multiply-accumulates (those of padding and zeros too), comparisons, bytes
                  * moved, gathered and looked at */
} re2na_limits;

#define RE2NA_DEFAULT_MEMORY_BYTES (UINT64_C(1) << 31) /* ResNet-50 at 3x224x224, in batches of 16: 0.16 GB */
#define RE2NA_DEFAULT_WORK (UINT64_C(1) << 44)         /* ResNet-50 at 3x224x224, in batches of 16: 2^36 */

typedef struct re2na_program re2na_program;
typedef struct re2na_machine re2na_machine;

/* An input or output. `shape` is the caller's, row-major (N, C, H, W), or (N, C) with ones behind where rank is 2. */
typedef struct re2na_tensor {
  const char *name; /* lives as long as the program */
  uint64_t address; /* in DRAM */
  uint32_t rank;    /* 2 or 4 */
  uint32_t shape[4];
  uint32_t stored[4]; /* N, C, H, W of the copy in DRAM, which lies as N, H, W, C */
} re2na_tensor;

typedef struct re2na_counters {
  uint64_t macs;       /* multiply-accumulates, those with padding included */
  uint64_t overflows;  /* accumulators that left their range: outputs in wrap mode, clipped steps in saturate mode */
  uint64_t dram_bytes; /* bytes over the DRAM bus */
} re2na_counters;

/* When an instruction has its engine, and when its tokens are given (a transfer's latency counted). Cycles from the
 * start. */
typedef struct re2na_timing {
  uint64_t start, finish;
} re2na_timing;

/* ---- programs ---- */

/* Check `size` bytes at `bytes` and make a program of them. The bytes are borrowed, constants included: keep them,
 * unchanged, until re2na_program_free. After success no run can fail and none can leave its memories. The limits are
 * the default ones. */
RE2NA_API int32_t re2na_program_load(const void *bytes, uint64_t size, re2na_program **program, re2na_error *error);
/* The same for a kernel of re2na_kernel, which the processor must have. */
RE2NA_API int32_t re2na_program_load_for(const void *bytes, uint64_t size, int32_t kernel, re2na_program **program,
                                         re2na_error *error);
/* The same with limits; NULL: the default ones. What packed weights, and following constants through the SRAM, take is
 * not known before the first machine: it is re2na_machine_create that refuses those. */
RE2NA_API int32_t re2na_program_load_limited(const void *bytes, uint64_t size, int32_t kernel,
                                             const re2na_limits *limits, re2na_program **program, re2na_error *error);
RE2NA_API void re2na_program_free(re2na_program *program);

/* The number of a kernel's name; -1 if it is none. */
RE2NA_API int32_t re2na_kernel_number(const char *name);
/* Whether this processor, and this build of the library, has it. */
RE2NA_API int32_t re2na_kernel_runs(int32_t kernel);
RE2NA_API const char *re2na_program_kernel(const re2na_program *program); /* "portable", "avx2", ... */
RE2NA_API const re2na_arch *re2na_program_arch(const re2na_program *program);
RE2NA_API uint32_t re2na_program_input_count(const re2na_program *program);
RE2NA_API uint32_t re2na_program_output_count(const re2na_program *program);
RE2NA_API int32_t re2na_program_input(const re2na_program *program, uint32_t index, re2na_tensor *tensor);
RE2NA_API int32_t re2na_program_output(const re2na_program *program, uint32_t index, re2na_tensor *tensor);
RE2NA_API uint32_t re2na_program_instruction_count(const re2na_program *program);
RE2NA_API uint32_t re2na_program_source_count(const re2na_program *program);
RE2NA_API uint64_t re2na_program_dram_bytes(const re2na_program *program); /* size of the DRAM image */
RE2NA_API uint64_t re2na_program_cycles(const re2na_program *program);     /* of one run; independent of the data */
/* As in re2na_limits, packed weights once they are known; work is UINT64_MAX where it is that or more. */
RE2NA_API uint64_t re2na_program_memory(const re2na_program *program);
RE2NA_API uint64_t re2na_program_work(const re2na_program *program);
/* One entry per instruction, in program order; lives as long as the program. */
RE2NA_API const re2na_timing *re2na_program_timing(const re2na_program *program);

/* ---- machines ---- */

/* A machine keeps its program, which may be freed before it (not its bytes before a run). What SRAM and DRAM hold
 * before a program writes them is unspecified. */
RE2NA_API int32_t re2na_machine_create(const re2na_program *program, re2na_machine **machine, re2na_error *error);
RE2NA_API void re2na_machine_free(re2na_machine *machine);

/* How many threads work on a run, the caller's included: 1 until this is called. Bits and counters are the same for any
 * number. The threads are the machine's own and end with it; in a forked process the caller does their part. After an
 * error the machine is as before. */
RE2NA_API int32_t re2na_machine_set_threads(re2na_machine *machine, uint32_t threads, re2na_error *error);
RE2NA_API uint32_t re2na_machine_threads(const re2na_machine *machine);
/* Whether wrapping accumulators are watched for overflows (they are, until told otherwise); if not, `overflows` stays
 * 0. */
RE2NA_API void re2na_machine_set_counting(re2na_machine *machine, int32_t counts);

/* Whether the next runs take the host's time of every instruction (they do not, until told). */
RE2NA_API int32_t re2na_machine_set_profiling(re2na_machine *machine, int32_t profiles, re2na_error *error);
/* Nanoseconds of each instruction in the last run; NULL without profiling. */
RE2NA_API const uint64_t *re2na_machine_nanoseconds(const re2na_machine *machine);

/* Run the program once. `inputs` and `outputs` hold one int8 tensor each per input and output of the program, row-major
 * in its `shape`. `totals` may be NULL. */
RE2NA_API int32_t re2na_run(re2na_machine *machine, const int8_t *const *inputs, int8_t *const *outputs,
                            re2na_counters *totals, re2na_error *error);

/* Run the program `count` times, one run after the other. `inputs` and `outputs` hold those of the first run, then
 * those of the second, and so on. Each of the tables may be NULL, or has room for the counters of every run in turn:
 * `totals` one for each run, `instructions` one for each instruction, `sources` one for each source operator. */
RE2NA_API int32_t re2na_run_many(re2na_machine *machine, uint64_t count, const int8_t *const *inputs,
                                 int8_t *const *outputs, re2na_counters *totals, re2na_counters *instructions,
                                 re2na_counters *sources, re2na_error *error);

/* Counters of the last run, per instruction and per source operator; valid until the next run. */
RE2NA_API const re2na_counters *re2na_machine_instruction_counters(const re2na_machine *machine);
RE2NA_API const re2na_counters *re2na_machine_source_counters(const re2na_machine *machine);

/* ---- the quantiser's inner loops, which have nothing to do with programs ---- */

/* Integer weights of least squared error by coordinate descent: each in turn becomes the best integer within low..high,
 * the others held, until none moves or all have been seen `sweeps` times. For every group, `gram` is inputs * inputs,
 * symmetric, with a positive diagonal; `weight` (outputs * inputs) is where to begin, and what was found; `left`, of
 * the same shape, is the negative gradient of half the squared error there, and is used up. low <= high lie within
 * -2**22..2**22. */
RE2NA_API int32_t re2na_descend(const float *gram, float *left, float *weight, uint32_t groups, uint32_t outputs,
                                uint32_t inputs, float low, float high, uint32_t sweeps);

/* A convolution over some pixels of its result, as many of each image; `across`: the result's width. */
typedef struct re2na_window {
  uint32_t images, channels, height, width, groups, pixels, across;
  uint32_t kernel[2], strides[2], dilations[2], top, left;
} re2na_window;

/* `rows` (groups, images * pixels, inputs): the inputs of each of the `pixels` (images, pixels), in the order of a
 * weight's, from `source` (images, channels, height, width); 0 outside. `groups` divides `channels`; neither it nor
 * `across` is 0, no pixel is negative, and sizes and places stay below 2**61. */
RE2NA_API int32_t re2na_rows(const int8_t *source, const int64_t *pixels, const re2na_window *window, int8_t *rows);

/* For every group `sums` (pixels, outputs) = `rows` (pixels, inputs) times `weights` (inputs, outputs). Exact up to
 * 2**24, if inputs <= 2**13; beyond it, or of more inputs, sums are rounded as floats are. RE2NA_ERROR_MEMORY where the
 * host has none. */
RE2NA_API int32_t re2na_products(const int8_t *rows, const int8_t *weights, float *sums, uint32_t groups,
                                 uint32_t pixels, uint32_t inputs, uint32_t outputs);

/* ---- the bridge: one plain call for generated code; the only part of the library with state ---- */

enum { RE2NA_BRIDGE_PROGRAMS = 32 }; /* programs kept loaded; beyond it the one unused for longest is dropped */

typedef struct re2na_totals {
  uint64_t runs, cycles, macs, overflows, dram_bytes;
} re2na_totals;

/* Run the program at `program` (`size` bytes, 64-byte aligned or not). `pointers`: addresses of the inputs' int8 data,
 * then the outputs', in program order. The program is validated at its first call and recognised by address, size and
 * the checksum it carries after that, so the bytes must not change while they are in use, nor others take their place
 * (re2na_bridge_forget). Returns a re2na_status. */
RE2NA_API int32_t re2na_execute(const uint8_t *program, int64_t size, const uint64_t *pointers);
/* How many threads work on a call: as re2na_machine_set_threads, for all programs, from the next call on. Until this is
 * called: the environment variable RE2NA_THREADS, or 1. RE2NA_KERNEL (auto, portable, avx2, avx512, neon) chooses the
 * kernel of programs that are loaded from then on, RE2NA_MEMORY_LIMIT and RE2NA_WORK_LIMIT (whole numbers) are their
 * re2na_limits. A variable that holds anything else is an error of the next call. */
RE2NA_API int32_t re2na_bridge_set_threads(uint32_t threads);
/* Message of this thread's last failed re2na_execute; "" if there was none. */
RE2NA_API const char *re2na_bridge_last_error(void);
/* The same in one line with its code, "Re2Na: error 3: ...". It stays until this thread asks again. */
RE2NA_API const char *re2na_bridge_failure(void);
/* Sums over all successful calls of all threads since the last reset. */
RE2NA_API void re2na_bridge_totals(re2na_totals *totals);
/* Forget the program at `program`, whose bytes are about to go or to change: nothing of it stays, once the calls that
 * run it have ended. */
RE2NA_API void re2na_bridge_forget(const uint8_t *program, uint64_t size);
/* Forget the sums, and all programs that are not running. */
RE2NA_API void re2na_bridge_reset(void);

#ifdef __cplusplus
}
#endif

#endif
