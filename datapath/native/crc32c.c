// CRC32C by the processor's instruction. One instruction takes three cycles but a new one can start each cycle, so long
// runs are cut into three stripes that are summed side by side; the sums are then joined by "shifting" a sum over the
// bytes that follow it (multiplication by x^8n, a linear map kept as four tables of 256).
#include "pureflash.h"
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define PF_TARGET __attribute__((target("sse4.2")))
#define CRC_8(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC_1(crc, byte) (_mm_crc32_u8((crc), (byte)))
static bool processor_can(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#define PF_TARGET __attribute__((target("+crc")))
#define CRC_8(crc, word) (__crc32cd((crc), (word)))
#define CRC_1(crc, byte) (__crc32cb((crc), (byte)))
static bool processor_can(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
#define PF_NO_INSTRUCTION
#endif

#ifdef PF_NO_INSTRUCTION
bool pf_crc32c_init(void) { return false; }
uint32_t pf_crc32c(uint32_t seed, const uint8_t *bytes, size_t length) {
  (void)bytes;
  (void)length;
  return seed;
}
#else

// Three long stripes and 16 bytes are one 4 KiB block.
#define LONG_STRIPE 1360
#define SHORT_STRIPE 256

static uint32_t long_shift[4][256];
static uint32_t short_shift[4][256];

static inline uint64_t load_8(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, 8);
  return word;
}

PF_TARGET static void build_shift(uint32_t table[4][256], size_t stripe) {
  uint32_t of_bit[32];
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = (uint32_t)1 << bit;
    for (size_t at = 0; at < stripe; at += 8) crc = CRC_8(crc, 0);
    of_bit[bit] = crc;
  }
  for (int part = 0; part < 4; part++) {
    for (int byte = 0; byte < 256; byte++) {
      uint32_t sum = 0;
      for (int bit = 0; bit < 8; bit++)
        if (byte >> bit & 1) sum ^= of_bit[part * 8 + bit];
      table[part][byte] = sum;
    }
  }
}

static inline uint32_t shift(uint32_t table[4][256], uint32_t crc) {
  return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^ table[3][crc >> 24];
}

PF_TARGET static inline uint32_t three_stripes(uint32_t crc, const uint8_t *bytes, size_t stripe, uint32_t table[4][256]) {
  uint32_t second = 0, third = 0;
  for (size_t at = 0; at < stripe; at += 8) {
    crc = CRC_8(crc, load_8(bytes + at));
    second = CRC_8(second, load_8(bytes + stripe + at));
    third = CRC_8(third, load_8(bytes + 2 * stripe + at));
  }
  return shift(table, shift(table, crc) ^ second) ^ third;
}

bool pf_crc32c_init(void) {
  if (!processor_can()) return false;
  // Threads that load the addon at the same time write the same values.
  build_shift(long_shift, LONG_STRIPE);
  build_shift(short_shift, SHORT_STRIPE);
  return true;
}

PF_TARGET uint32_t pf_crc32c(uint32_t seed, const uint8_t *bytes, size_t length) {
  uint32_t crc = ~seed;
  for (; length >= 3 * LONG_STRIPE; bytes += 3 * LONG_STRIPE, length -= 3 * LONG_STRIPE)
    crc = three_stripes(crc, bytes, LONG_STRIPE, long_shift);
  for (; length >= 3 * SHORT_STRIPE; bytes += 3 * SHORT_STRIPE, length -= 3 * SHORT_STRIPE)
    crc = three_stripes(crc, bytes, SHORT_STRIPE, short_shift);
  for (; length >= 8; bytes += 8, length -= 8) crc = CRC_8(crc, load_8(bytes));
  for (; length > 0; bytes++, length--) crc = CRC_1(crc, *bytes);
  return ~crc;
}
#endif
