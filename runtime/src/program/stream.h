/* Coded streams of weights: docs/coding.md. */
#ifndef RE2NA_STREAM_H
#define RE2NA_STREAM_H

#include "base/base.h"

enum { RE2NA_MOST_LANES = 256 };

/* Decodes a stream that is `size` bytes long to `bytes` bytes, on a machine that can. Returns NULL, or what is wrong
 * with it; nothing behind either end is touched. */
const char *re2na_decode_stream(const re2na_arch *arch, const uint8_t *stream, uint64_t size, uint8_t *to,
                                uint64_t bytes);

#endif
