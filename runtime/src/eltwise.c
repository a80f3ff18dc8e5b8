/* ELTWISE: one operand, or the sum of two, each shifted right and rounded before the addition. */
#include <string.h>

#include "array.h"

static int32_t finish(int32_t value, const cut *how) {
  if (how->cut_wraps) value = (int32_t)((uint32_t)value << how->data_spare) >> how->data_spare;
  return re2na_clamp(re2na_clamp(value, how->data_min, how->data_max), how->lo, how->hi);
}

enum { CHUNK = 512 };

/* `out` may be `a` or `b`: a chunk is computed aside, so that the loops over it can be vectors. */
static void one_operand(const int8_t *a, int8_t *out, size_t count, const int8_t table[256]) {
  for (size_t i = 0; i < count; i++) out[i] = table[(uint8_t)a[i]];
}

RE2NA_CLONES
static void add_chunk(const int8_t *restrict a, const int8_t *restrict b, int8_t *restrict out, size_t count, scaling by,
                      const cut *how) {
  const int32_t low = re2na_clamp(how->data_min, how->lo, how->hi), high = re2na_clamp(how->data_max, how->lo, how->hi);
  if (how->cut_wraps) {
    for (size_t i = 0; i < count; i++)
      out[i] = (int8_t)finish(((a[i] + by.half_a) >> by.shift_a) + ((b[i] + by.half_b) >> by.shift_b), how);
  } else if (by.shift_a == 0 && by.shift_b == 0) {
    for (size_t i = 0; i < count; i++) out[i] = (int8_t)re2na_clamp((int16_t)(a[i] + b[i]), low, high);
  } else {
    for (size_t i = 0; i < count; i++)
      out[i] = (int8_t)re2na_clamp(((a[i] + by.half_a) >> by.shift_a) + ((b[i] + by.half_b) >> by.shift_b), low, high);
  }
}

void re2na_add_line(const int8_t *a, const int8_t *b, int8_t *out, size_t count, scaling by, const cut *how) {
  int8_t chunk[CHUNK];
  for (size_t i = 0; i < count; i += CHUNK) {
    const size_t some = count - i < CHUNK ? count - i : CHUNK;
    add_chunk(a + i, b + i, chunk, some, by, how);
    memcpy(out + i, chunk, some);
  }
}

static int32_t half(const re2na_arch *arch, int64_t shift) {
  return shift > 0 && arch->rounding == RE2NA_ROUNDING_HALF_UP ? 1 << (shift - 1) : 0;
}

scaling re2na_make_scaling(const re2na_arch *arch, int64_t shift_a, int64_t shift_b) {
  return (scaling){half(arch, shift_a), half(arch, shift_b), (int32_t)shift_a, (int32_t)shift_b};
}

void re2na_run_eltwise(re2na_machine *machine, const re2na_eltwise *body, bool aside) {
  const re2na_arch *arch = &machine->program->arch;
  const cut how = re2na_make_cut(arch, 0, body->lo, body->hi);
  const scaling by = re2na_make_scaling(arch, body->shift_a, body->shift_b);
  int8_t *sram = (int8_t *)machine->sram, *out = aside ? machine->results : sram + body->out_addr;
  const size_t count = (size_t)body->bytes;
  if (body->unary) {
    int8_t table[256];
    for (int i = 0; i < 256; i++) table[i] = (int8_t)finish(((int8_t)i + by.half_a) >> by.shift_a, &how);
    one_operand(sram + body->a_addr, out, count, table);
  } else {
    re2na_add_line(sram + body->a_addr, sram + body->b_addr, out, count, by, &how);
  }
  if (aside) memcpy(sram + body->out_addr, out, count);
}
