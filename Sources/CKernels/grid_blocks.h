// The blocks of the IQ2 and IQ3 types: a byte or two are the index of a grid, which stands for the magnitudes of eight or
// four weights; their signs lie apart.
//
// Source: the layouts of ggml-common.h, checked against the Python package gguf.
#ifndef GRID_BLOCKS_H
#define GRID_BLOCKS_H

#include "CKernels.h"
#include "grids.h"

#include <string.h>

/// Eight weights: the numbers of their magnitudes, of 2 or 4 bits, the first lowest; and a bit for each that is negative.
typedef struct {
    uint32_t magnitudes;
    uint8_t signs;
} grid_run;

static inline uint32_t grid_word(const uint8_t *b) {
    uint32_t word;
    memcpy(&word, b, sizeof word);
    return word;
}

/// Seven signs, and an eighth that makes the number of negative weights even.
static inline uint8_t even_signs(uint32_t seven) { return (uint8_t)(seven | (uint32_t)__builtin_parity(seven) << 7); }

/// f16 d; for 32 weights: u8 index[4], u32 of four times seven signs and a scale of 4 bits
static inline grid_run iq2_xxs_run(const uint8_t *b, size_t r) {
    const uint8_t *group = b + 2 + 8 * (r / 4);
    return (grid_run){iq2_xxs_grid[group[r % 4]], even_signs(grid_word(group + 4) >> 7 * (r % 4) & 127)};
}
static inline uint32_t iq2_xxs_scale(const uint8_t *b, size_t g) { return grid_word(b + 6 + 8 * g) >> 28; }

/// f16 d; u16 q[32], an index of 9 bits and seven signs; u8 s[8], sixteen 4-bit scales
static inline grid_run iq2_xs_run(const uint8_t *b, size_t r) {
    const uint32_t q = b[2 + 2 * r] | (uint32_t)b[3 + 2 * r] << 8;
    return (grid_run){iq2_xs_grid[q & 511], even_signs(q >> 9)};
}
static inline uint32_t iq2_xs_scale(const uint8_t *b, size_t g) { return b[66 + g / 2] >> 4 * (g % 2) & 15; }

/// f16 d; u8 q[32]; u8 signs[32]; u8 h[8], bits 9 and 10 of an index; u8 s[8], sixteen 4-bit scales
static inline grid_run iq2_s_run(const uint8_t *b, size_t r) {
    return (grid_run){iq2_s_grid[b[2 + r] | (b[66 + r / 4] >> 2 * (r % 4) & 3) << 8], b[34 + r]};
}
static inline uint32_t iq2_s_scale(const uint8_t *b, size_t g) { return b[74 + g / 2] >> 4 * (g % 2) & 15; }

/// f16 d; u8 index[64]; for 32 weights a u32 of four times seven signs and a scale of 4 bits
static inline grid_run iq3_xxs_run(const uint8_t *b, size_t r) {
    return (grid_run){iq3_xxs_grid[b[2 + 2 * r]] | (uint32_t)iq3_xxs_grid[b[3 + 2 * r]] << 16,
                      even_signs(grid_word(b + 66 + 4 * (r / 4)) >> 7 * (r % 4) & 127)};
}
static inline uint32_t iq3_xxs_scale(const uint8_t *b, size_t g) { return grid_word(b + 66 + 4 * g) >> 28; }

/// f16 d; u8 q[64]; u8 h[8], the ninth bits of the indices; u8 signs[32]; u8 s[4], eight 4-bit scales
static inline grid_run iq3_s_run(const uint8_t *b, size_t r) {
    const uint32_t high = b[66 + r / 4] >> 2 * (r % 4);
    return (grid_run){iq3_s_grid[b[2 + 2 * r] | (high & 1) << 8] |
                          (uint32_t)iq3_s_grid[b[3 + 2 * r] | (high >> 1 & 1) << 8] << 16,
                      b[74 + r]};
}
static inline uint32_t iq3_s_scale(const uint8_t *b, size_t g) { return b[106 + g / 2] >> 4 * (g % 2) & 15; }

/// The numbers of a run among its type's values, a byte each: those of negative weights have the next higher bit.
static inline uint64_t grid_numbers(grid_run run, size_t width) {
    uint64_t x = run.magnitudes;
    if (width == 4) {
        x = (x | x << 16) & 0x0000FFFF0000FFFF;
        x = (x | x << 8) & 0x00FF00FF00FF00FF;
        x = (x | x << 4) & 0x0F0F0F0F0F0F0F0F;
    } else {
        x = (x | x << 24) & 0x000000FF000000FF;
        x = (x | x << 12) & 0x000F000F000F000F;
        x = (x | x << 6) & 0x0303030303030303;
    }
    const uint64_t bits = (uint64_t)run.signs * 0x0101010101010101 & 0x8040201008040201;  // bit i in byte i
    const uint64_t signs = (bits + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101;
    return x | signs << (width == 4 ? 3 : 2);
}

#endif
