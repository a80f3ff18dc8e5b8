/* DENSE: the sums stay in the PEs (exact, or clamped where the accumulator saturates) from the first part to the last. */
#include <string.h>

#include "array.h"

enum { STEPS = 64 }; /* of k over all outputs before the next: keeps the lines of weights in the cache */

static void start_sums(re2na_machine *machine, const re2na_dense *body, const cut *how, uint64_t *overflows) {
  const uint8_t *bias = machine->sram + body->bias_addr;
  for (int64_t image = 0; image < body->n; image++)
    for (int64_t o = 0; o < body->out_c; o++) {
      int64_t value = (int32_t)re2na_u32(bias + 4 * o);
      if (how->saturates && (value < how->acc_min || value > how->acc_max)) {
        value = value < how->acc_min ? how->acc_min : how->acc_max;
        ++*overflows;
      }
      machine->partials[image * body->out_c + o] = value;
    }
}

/* Steps that have a line of weights; `present` says which they are, NULL: all. */
typedef struct lines {
  const uint32_t *present;
  int64_t count;
} lines;

static void gather(const int8_t *image, const lines *of, int64_t first, int64_t count, int16_t *line) {
  if (of->present)
    for (int64_t i = 0; i < count; i++) line[i] = image[of->present[first + i]];
  else
    for (int64_t i = 0; i < count; i++) line[i] = image[first + i];
  if (count % 2) line[count] = 0;
}

/* Adds `steps` lines, from line `k` on, for some images. */
static void add_chunk(re2na_machine *machine, const re2na_dense *body, const lines *of, int64_t image, int64_t images, int64_t k,
                      int64_t steps) {
  const int8_t *sram = (const int8_t *)machine->sram;
  const size_t stride = (size_t)re2na_round_up((uint64_t)body->out_c, RE2NA_LANES);
  for (int64_t p = 0; p < images; p++)
    gather(sram + body->in_addr + (image + p) * body->in_image_stride, of, k, steps, machine->columns + p * RE2NA_DENSE_CHUNK);
  memset(machine->sums, 0, (size_t)images * stride * sizeof *machine->sums);
  for (int64_t i = 0; i < steps; i += STEPS)
    re2na_gemm(machine->sums, stride, machine->columns + i, RE2NA_DENSE_CHUNK,
               sram + body->weight_addr + (k + i) * body->out_c, (size_t)body->out_c, (size_t)images,
               (size_t)(steps - i < STEPS ? steps - i : STEPS), (size_t)body->out_c);
  for (int64_t p = 0; p < images; p++)
    for (int64_t o = 0; o < body->out_c; o++)
      machine->partials[(image + p) * body->out_c + o] += machine->sums[(size_t)p * stride + (size_t)o];
}

static void add_all(re2na_machine *machine, const re2na_dense *body, const lines *of) {
  for (int64_t image = 0; image < body->n; image += RE2NA_PIXELS) {
    int64_t images = body->n - image < RE2NA_PIXELS ? body->n - image : RE2NA_PIXELS;
    for (int64_t k = 0; k < of->count; k += RE2NA_DENSE_CHUNK) {
      int64_t steps = of->count - k < RE2NA_DENSE_CHUNK ? of->count - k : RE2NA_DENSE_CHUNK;
      add_chunk(machine, body, of, image, images, k, steps);
    }
  }
}

static void add_saturating(re2na_machine *machine, const re2na_dense *body, const lines *of, const cut *how,
                           uint64_t *overflows) {
  const int8_t *sram = (const int8_t *)machine->sram;
  for (int64_t image = 0; image < body->n; image++) {
    int64_t *partials = machine->partials + image * body->out_c;
    for (int64_t o = 0; o < body->out_c; o++) machine->sums[o] = (int32_t)partials[o];
    for (int64_t k = 0; k < of->count; k++)
      re2na_saturating_step(machine->sums,
                            sram[body->in_addr + image * body->in_image_stride + (of->present ? of->present[k] : k)],
                            sram + body->weight_addr + k * body->out_c, (size_t)body->out_c, how, overflows);
    for (int64_t o = 0; o < body->out_c; o++) partials[o] = machine->sums[o];
  }
}

void re2na_run_dense(re2na_machine *machine, const re2na_dense *body, uint64_t *overflows) {
  const cut how = re2na_make_cut(&machine->program->arch, body->lsb, body->lo, body->hi);
  lines of;
  of.present = re2na_present(machine, body->mask_addr, body->in_c, body->steps, &of.count);
  if (body->first) start_sums(machine, body, &how, overflows);
  if (how.saturates) add_saturating(machine, body, &of, &how, overflows);
  else add_all(machine, body, &of);
  if (!body->last) return;
  for (int64_t image = 0; image < body->n; image++) /* a saturated sum is in range: no overflow is counted here */
    re2na_cut_wide_line(machine->partials + image * body->out_c,
                        (int8_t *)machine->sram + body->out_addr + image * body->out_image_stride, (size_t)body->out_c,
                        &how, overflows);
}
