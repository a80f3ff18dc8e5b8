/* Sums that are parked in SRAM between the parts of a convolution: 32 bits of each, whatever the accumulator. */
#include "insn/conv_job.h"

enum { SMALL = 1 << 30 }; /* below it, as with biases (RE2NA_NARROW_K) */

/* Those of a pixel lie side by side, and pixels in the order of the image, window or not. */
static int64_t parked_at(const re2na_conv *body, re2na_pixel at) {
  const re2na_sliding *w = &body->window;
  const int64_t row = (at.image * w->out_h + at.y) * body->pool_h + at.i;
  return 4 * body->out_c * ((row * w->out_w + at.x) * body->pool_w + at.j);
}

RE2NA_CLONES
static bool resume_line(const uint8_t *restrict from, const int32_t *restrict start, int32_t *restrict sums,
                        size_t count) {
  uint32_t large = 0; /* its highest bit */
  for (size_t o = 0; o < count; o++) {
    const uint32_t sum = re2na_u32(from + 4 * o);
    large |= sum + SMALL;
    sums[o] = (int32_t)(sum + (uint32_t)start[o]);
  }
  return large >> 31 == 0;
}

bool re2na_resume(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  bool small = true;
  for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at))
    small &= resume_line(job->resumed + parked_at(job->body, at), job->pack->start,
                         by->sums + (size_t)p * part->sum_stride, (size_t)part->outputs);
  return small;
}

void re2na_resume_wide(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at)) {
    const uint8_t *from = job->resumed + parked_at(job->body, at);
    for (int64_t o = 0; o < part->outputs; o++) by->partials[p * part->outputs + o] += (int32_t)re2na_u32(from + 4 * o);
  }
}

void re2na_resume_saturated(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  uint64_t uncounted = 0;
  re2na_saturating_start(by->sums, job->resumed + parked_at(job->body, part->at), (size_t)part->outputs, &job->how,
                         &uncounted);
}

static void put_sum(uint32_t sum, uint8_t *to) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(sum >> 8 * i);
}

RE2NA_CLONES
static void park_sums(const int32_t *restrict sums, uint8_t *restrict to, size_t count) {
  for (size_t o = 0; o < count; o++) put_sum((uint32_t)sums[o], to + 4 * o);
}

void re2na_park(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at))
    park_sums(by->sums + (size_t)p * part->sum_stride, job->parked + parked_at(job->body, at), (size_t)part->outputs);
}

void re2na_park_wide(const re2na_conv_job *job, const re2na_worker *by, const re2na_block *part) {
  re2na_pixel at = part->at;
  for (int64_t p = 0; p < part->pixels; p++, re2na_next_pixel(job->body, &at))
    for (int64_t o = 0; o < part->outputs; o++)
      put_sum((uint32_t)(uint64_t)by->partials[p * part->outputs + o], job->parked + parked_at(job->body, at) + 4 * o);
}
