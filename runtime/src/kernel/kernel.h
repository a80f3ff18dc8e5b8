/* What depends on the host's processor: the loops in which a run spends its time. */
#ifndef RE2NA_KERNEL_H
#define RE2NA_KERNEL_H

#include "kernel/cut.h"

enum {
  RE2NA_LANES = 16,                        /* outputs whose sums are formed together */
  RE2NA_QUAD = 4,                          /* steps of k that are added together */
  RE2NA_VECTOR = RE2NA_LANES * RE2NA_QUAD, /* bytes of packed weights: those of a quad, lane by lane */
  RE2NA_MOST_PIXELS = 48,                  /* of a convolution that are formed together */
  RE2NA_CHANNELS = 32,                     /* channels of a depthwise convolution that are formed together */
  RE2NA_MOST_SIDE = 5,                     /* of a depthwise kernel that is formed by rows: 3 or 5 */
  RE2NA_STRIP = 32,                        /* pixels of a row that are formed together */
  RE2NA_IMAGES = 6                         /* images of a dense layer that share a pass over its weights */
};

enum {
  RE2NA_NARROW_K = 1 << 16
}; /* steps of k whose sum of int8 products, and a bias below 2^30, surely fits 32 bits */

/* Lines of inputs times weights of RE2NA_LANES outputs. Strides in items. */
typedef struct re2na_panel {
  const uint8_t *x; /* the first pixel's line */
  size_t x_stride, pixels;
  const int32_t *from; /* what the sums start from; with a stride of 0, a line for all pixels */
  size_t from_stride;
  /* Quads of weights [lane][4], aligned, and where their inputs lie in a line. `together` of the first `grouped` may
   * be added in int16; `singles` behind them. */
  const int8_t *vectors;
  const uint32_t *places;
  uint32_t grouped, together, singles;
  const re2na_cut *how; /* NULL: sums are stored */
  int32_t *sums;        /* may be `from` */
  size_t sum_stride;
  int8_t *const *results; /* of each pixel, `first` the lanes' first output; `count` lanes are outputs */
  size_t first, count;
} re2na_panel;

typedef uint64_t re2na_multiply(const re2na_panel *of);
typedef void re2na_depthwise_block(int32_t *sums, const int32_t *from, const uint8_t *const *x, size_t channels,
                                   size_t pairs, const int8_t *weights, unsigned together, uint8_t offset);
typedef void re2na_add_lines(int32_t *sums, size_t sum_stride, const int16_t *x, size_t x_stride, size_t images,
                             const int8_t *weights, size_t weight_stride, size_t k, size_t outputs);
typedef uint64_t re2na_finish_pixels(const int32_t *sums, size_t sum_stride, int8_t *const *places, size_t pixels,
                                     size_t count, const re2na_cut *how);

/* Some pixels of a row of a depthwise convolution, side by side, with what lies under them. */
typedef struct re2na_strip {
  size_t side, stride, pixels, channels; /* kernel side x side; columns from pixel to pixel; at most STRIP pixels */
  const uint8_t *rows[RE2NA_MOST_SIDE]; /* column 0 of each row of the input; channels of padding where there is none */
  size_t steps[RE2NA_MOST_SIDE];        /* bytes from column to column; 0 in the padding */
  int64_t first, width;                 /* the first pixel's first column; columns of the input, padding around them */
  int8_t *to;                           /* the first pixel's results */
  int64_t to_step;
  const int8_t *weights; /* as for `depthwise`, but pairs in the order of pack_taps.c's pair_rows */
  size_t pairs;          /* of weights */
  const int32_t *start;  /* of each channel, whole blocks */
  unsigned together;     /* 0: weights in halves, those of all pairs one after the other, each pair by itself */
  uint8_t offset;
} re2na_strip;
typedef uint64_t re2na_depthwise_strip(const re2na_strip *of, const re2na_cut *how, uint8_t *room);

/* Bytes of room that it needs: two bytes of every channel in a block for each pair of rows and column. */
static inline uint64_t re2na_strip_room(uint64_t side, uint64_t stride) {
  return ((RE2NA_STRIP - 1) * stride + side) * (side / 2 + 1) * 2 * RE2NA_CHANNELS;
}

/* Where a channel of a block lies in a pair's weights: as the lines of a pair lie once their bytes are interleaved,
 * 16 at a time. */
static inline uint32_t re2na_channel_place(uint32_t channel) {
  return (channel & 7) | (channel & 8) << 1 | (channel & 16) >> 1;
}

typedef struct re2na_loops {
  const char *name;
  unsigned tile; /* pixels that `multiply` forms at once, at its best; divides RE2NA_MOST_PIXELS */
  /* Inputs are bytes. Where a kernel multiplies unsigned ones, those that may be negative come with 128 added. */
  bool unsigned_inputs;
  /* Products are added in int16 before they are widened: no more of them at a time than are sure to fit (pack_*.c).
   * Those of quads, in `multiply`; those of pairs, in `depthwise`. */
  bool narrow_quads, narrow_pairs;

  /* Exact sums, stored or as results; returns how many left the accumulator's range, 0 if they are not to be counted.
   */
  re2na_multiply *multiply;
  /* sums[c] = from[c] + x[2 * pairs][c] times weights[block of c][pairs][place of c][2], x being pointers to lines of
   * channels. `together` pairs at a time may be added in int16. `offset` is yet to be added to the inputs. Sums, and
   * what is read, are whole blocks; `from` is not `sums`. */
  re2na_depthwise_block *depthwise;
  /* Exact sums of a strip to results; returns how many left the accumulator's range, 0 if they are not to be counted.
   * NULL: there is none. */
  re2na_depthwise_strip *strip;
  /* sums[p][o] += x[p][k] times weights[k][o], weights as they lie in a program. x has k rounded up to even, the item
   * behind an odd k being 0; lines of sums have room for `outputs` rounded up to RE2NA_LANES. Reads up to RE2NA_SLACK
   * bytes behind the weights. `k` <= RE2NA_NARROW_K. */
  re2na_add_lines *lines;
  /* Exact sums of some pixels to results, `count` to each of the places; returns how many left the accumulator's range,
   * 0 if they are not to be counted. Lines of sums have room for `count` rounded up to RE2NA_LANES. */
  re2na_finish_pixels *finish;
} re2na_loops;

/* kernels.c: that of a re2na_kernel number, RE2NA_KERNEL_AUTO being the fastest that this processor has; NULL if it has
 * it not. */
const re2na_loops *re2na_find_kernel(int32_t number);

/* One file each. NULL where the compiler or the processor cannot. */
const re2na_loops *re2na_kernel_portable(void);
const re2na_loops *re2na_kernel_avx2(void);
const re2na_loops *re2na_kernel_avx512(void);
const re2na_loops *re2na_kernel_neon(void);

/* The parts that other kernels use as well. */
re2na_depthwise_block re2na_depthwise, re2na_avx2_depthwise;
re2na_depthwise_strip re2na_avx2_strip;
re2na_add_lines re2na_lines, re2na_avx2_lines;
re2na_finish_pixels re2na_finish, re2na_avx2_finish;
/* portable.c: sums of some pixels, RE2NA_LANES each, to where a panel wants them. */
uint64_t re2na_put_sums(const re2na_panel *of, size_t pixel, size_t pixels, const int32_t *sums);
uint64_t re2na_finish_line(const int32_t *sums, int8_t *out, size_t count, const re2na_cut *how);

#endif
