// Readers of the grid types, IQ2 and IQ3: an index of 8 to 10 bits selects the magnitudes of eight or four weights from
// a grid; their signs are stored apart.  `…_run` reads eight weights, `…_scale` the sub-scale of a sub-block.
#ifndef GRID_BLOCKS_H
#define GRID_BLOCKS_H

#include "ggml_blocks.h"
#include "grids.h"

#include <string.h>

/// Eight weights: codes of their magnitudes, of 2 or 4 bits, the first lowest; and a bit for each that is negative.
typedef struct {
    uint32_t magnitudes;
    uint8_t signs;
} grid_run;

static inline uint32_t grid_word(const uint8_t *b) {
    uint32_t word;
    memcpy(&word, b, sizeof word);
    return word;
}

/// Seven stored signs, and the eighth, which makes the number of negative weights even.
static inline uint8_t even_signs(uint32_t seven) { return (uint8_t)(seven | (uint32_t)__builtin_parity(seven) << 7); }

static inline grid_run iq2_xxs_run(const iq2_xxs_block *b, size_t r) {
    const uint32_t word = grid_word(b->sub_blocks[r / 4].signs_and_scale);
    return (grid_run){iq2_xxs_grid[b->sub_blocks[r / 4].indices[r % 4]], even_signs(word >> 7 * (r % 4) & 127)};
}
static inline uint32_t iq2_xxs_scale(const iq2_xxs_block *b, size_t sub_block) {
    return grid_word(b->sub_blocks[sub_block].signs_and_scale) >> 28;
}

static inline grid_run iq2_xs_run(const iq2_xs_block *b, size_t r) {
    const uint32_t q = b->indices_and_signs[r][0] | (uint32_t)b->indices_and_signs[r][1] << 8;
    return (grid_run){iq2_xs_grid[q & 511], even_signs(q >> 9)};
}
static inline uint32_t iq2_xs_scale(const iq2_xs_block *b, size_t sub_block) {
    return b->scales[sub_block / 2] >> 4 * (sub_block % 2) & 15;
}

static inline grid_run iq2_s_run(const iq2_s_block *b, size_t r) {
    return (grid_run){iq2_s_grid[b->indices[r] | (b->high_indices[r / 4] >> 2 * (r % 4) & 3) << 8], b->signs[r]};
}
static inline uint32_t iq2_s_scale(const iq2_s_block *b, size_t sub_block) {
    return b->scales[sub_block / 2] >> 4 * (sub_block % 2) & 15;
}

static inline grid_run iq3_xxs_run(const iq3_xxs_block *b, size_t r) {
    return (grid_run){iq3_xxs_grid[b->indices[2 * r]] | (uint32_t)iq3_xxs_grid[b->indices[2 * r + 1]] << 16,
                      even_signs(grid_word(b->signs_and_scales[r / 4]) >> 7 * (r % 4) & 127)};
}
static inline uint32_t iq3_xxs_scale(const iq3_xxs_block *b, size_t sub_block) {
    return grid_word(b->signs_and_scales[sub_block]) >> 28;
}

static inline grid_run iq3_s_run(const iq3_s_block *b, size_t r) {
    const uint32_t high = b->high_indices[r / 4] >> 2 * (r % 4);
    return (grid_run){iq3_s_grid[b->indices[2 * r] | (high & 1) << 8] |
                          (uint32_t)iq3_s_grid[b->indices[2 * r + 1] | (high >> 1 & 1) << 8] << 16,
                      b->signs[r]};
}
static inline uint32_t iq3_s_scale(const iq3_s_block *b, size_t sub_block) {
    return b->scales[sub_block / 2] >> 4 * (sub_block % 2) & 15;
}

/// The codes of a run, a byte each: indices of its type's values, those of negative weights with the next higher bit.
static inline uint64_t grid_codes(grid_run run, size_t width) {
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
