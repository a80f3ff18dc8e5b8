#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's custom mutation of a .re2na file. */
size_t mutate(uint8_t *data, size_t size, size_t most, unsigned seed);

/* A program that is accepted, mostly. */
size_t draw_program(uint8_t *bytes, size_t room, uint64_t *random);

#endif
