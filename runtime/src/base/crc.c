#include "base/base.h"

enum { SLICES = 8 };

/* Tables for eight bytes at a time, made anew for each call: cheap beside a program, and no state to share. */
static void make_tables(uint32_t table[SLICES][256]) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0 - (crc & 1)));
    table[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int slice = 1; slice < SLICES; slice++)
      table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 255];
}

uint32_t re2na_crc32(const uint8_t *bytes, uint64_t size) {
  uint32_t table[SLICES][256];
  uint32_t crc = 0xFFFFFFFF;
  make_tables(table);
  for (; size >= 8; size -= 8, bytes += 8) {
    uint32_t low = crc ^ re2na_u32(bytes), high = re2na_u32(bytes + 4);
    crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
          table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
  }
  for (; size > 0; size--, bytes++) crc = (crc >> 8) ^ table[0][(crc ^ *bytes) & 255];
  return ~crc;
}
