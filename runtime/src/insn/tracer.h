/* Follows a program's data from instruction to instruction, without their values: which operands are constants, and how
 * large inputs can be. A program runs straight through, so what is found holds for every run. */
#ifndef RE2NA_TRACER_H
#define RE2NA_TRACER_H

#include "insn/region.h"
#include "machine/memory.h"

enum { RE2NA_MANY_RUNS = 64 }; /* no LOAD of weights has more; of such a one constants are not followed */

/* Bytes of SRAM that hold constants as they lie in the program. */
typedef struct re2na_copied {
  uint64_t start, stop;
  const uint8_t *from; /* what lies at `start`, in the program or decoded */
  uint32_t load;       /* the instruction that brought it */
} re2na_copied;

/* Bytes of SRAM that the instruction `by` reads, or writes. */
typedef struct re2na_touch {
  re2na_region at;
  uint32_t by;
  bool writes;
} re2na_touch;

/* In the order of the instructions. */
typedef struct re2na_touches {
  re2na_touch *all;
  uint64_t count, most;
} re2na_touches;

typedef struct re2na_tracer {
  const re2na_program *program;
  re2na_operands *found;
  re2na_copied *copies; /* in no order; none overlaps another */
  uint64_t count, most;
  uint64_t looks; /* at copies */
  uint32_t index; /* of the instruction that is followed */
  re2na_touches *touches;
  re2na_memories spare; /* for each byte, RE2NA_SIGNED less the largest value it can have: nothing is 0, so that pages
                         * nobody writes need not be there */
} re2na_tracer;

/* One entry for each instruction, and what they touch, to be freed. Accesses have been validated; looking for them is
 * work of its own, which is asked for as it is done. */
int32_t re2na_trace_operands(const re2na_program *program, re2na_operands **found, re2na_touches *touches,
                             re2na_error *error);

/* For the instructions. `bound`: the largest value, or RE2NA_SIGNED. */

/* An operand is read: what it can hold. */
uint8_t re2na_trace_read(re2na_tracer *of, re2na_region at);
void re2na_trace_write(re2na_tracer *of, re2na_region at, uint8_t bound);
/* Where the bytes lie in the program, if they all lie there in one piece with `slack` bytes behind it; if not, they
 * have to be read in SRAM. */
const uint8_t *re2na_trace_constant(re2na_tracer *of, int64_t address, uint64_t bytes, uint64_t slack);
/* SRAM is read where constants may lie. */
void re2na_trace_constants_read(re2na_tracer *of, re2na_span at);
/* Where constants are overwritten, every byte of them if `all`. */
void re2na_trace_overwrite(re2na_tracer *of, re2na_span at, bool all);
void re2na_trace_copy(re2na_tracer *of, re2na_copied copy);
/* The instruction touches SRAM: as the others do, but for re2na_trace_overwrite. */
void re2na_trace_touch(re2na_tracer *of, re2na_region at, bool writes);

/* The bound of results that are clamped to lo..hi. */
static inline uint8_t re2na_bound_of(int64_t lo, int64_t hi) { return lo < 0 ? RE2NA_SIGNED : (uint8_t)hi; }
static inline uint8_t re2na_larger(uint8_t a, uint8_t b) { return a > b ? a : b; }

#endif
