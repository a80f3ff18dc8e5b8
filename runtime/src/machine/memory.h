/* The two memories of a machine, and of whoever follows a program without running it. */
#ifndef RE2NA_MEMORY_H
#define RE2NA_MEMORY_H

#include "program/program.h"

/* The constants are read where they lie in the program's bytes. */
typedef struct re2na_memories {
  uint8_t *sram;
  uint8_t *dram; /* everything but the constants: the bytes below them, then those above */
} re2na_memories;

/* From DRAM to the host's memory; the range has been validated. */
void re2na_dram_read(const re2na_program *program, re2na_memories of, uint64_t address, uint64_t bytes, uint8_t *out);
/* Where the range lies, if it lies in one piece of the image; otherwise NULL. */
uint8_t *re2na_dram_place(const re2na_program *program, re2na_memories of, uint64_t start, uint64_t stop);

#endif
