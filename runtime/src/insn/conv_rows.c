/* Depthwise convolutions by rows: the inputs under some pixels of a row are brought into order once, and their sums
 * become results without being stored. */
#include "insn/conv_job.h"

bool re2na_conv_by_rows(const re2na_conv_job *job) {
  return job->with->strip && job->pack->of.side && !job->pack->wide && !job->resumed && !job->parked &&
         !job->body->add && job->pooled == 1;
}

/* Where the rows under a row of the output lie; `blank` stands for padding. */
static void point_at_rows(const re2na_conv_job *job, int64_t image, int64_t row, const uint8_t *blank,
                          re2na_strip *to) {
  const re2na_conv *body = job->body;
  const uint8_t *first = (const uint8_t *)job->input + image * body->input.image_stride;
  for (int64_t r = 0; r < body->window.kernel_h; r++) {
    const int64_t y = row * body->window.stride_h - body->window.pad_top + r * body->window.dilation_h;
    const bool inside = y >= 0 && y < body->window.in_h;
    to->rows[r] = inside ? first + y * body->input.row_stride : blank;
    to->steps[r] = inside ? (size_t)body->input.pixel_stride : 0;
  }
}

void re2na_conv_rows(void *shared, re2na_machine *machine, re2na_worker *by, int64_t first, int64_t stop) {
  const re2na_conv_job *job = shared;
  const re2na_sliding *window = &job->body->window;
  const re2na_packed *pack = job->pack;
  re2na_strip strip = {
      .side = pack->of.side,
      .stride = (size_t)window->stride_w,
      .channels = (size_t)job->body->out_c,
      .width = window->in_w,
      .to_step = job->to.pixel,
      .weights = pack->vectors,
      .start = pack->start,
      .pairs = pack->pairs,
      .together = pack->twice ? 0 : pack->together,
      .offset = pack->offset,
  };
  for (int64_t index = first; index < stop; index += (int64_t)strip.pixels) {
    const int64_t x = index % window->out_w, line = index / window->out_w, left = window->out_w - x;
    const int64_t image = line / window->out_h, y = line % window->out_h,
                  all = left < stop - index ? left : stop - index;
    strip.pixels = (size_t)(all < RE2NA_STRIP ? all : RE2NA_STRIP);
    strip.first = x * window->stride_w - window->pad_left;
    strip.to = job->to.base + image * job->to.image + y * job->to.row + x * job->to.pixel;
    point_at_rows(job, image, y, machine->blank, &strip);
    by->overflows += job->with->strip(&strip, &job->how, by->columns);
  }
}
