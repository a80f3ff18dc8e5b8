/* Instructions side by side. */
#ifndef RE2NA_BESIDE_H
#define RE2NA_BESIDE_H

#include "machine/machine.h"

/* Runs the instructions of a wave, and adds their overflows to their counters. The machine has a team. */
void re2na_run_beside(re2na_machine *machine, const re2na_wave *wave);

#endif
