// Interleaves 16 rows of a weight, so that one vector holds the same columns of each.
#include "pack.h"
#include "grid_blocks.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

/// A run of units of one row's block: scales are single units, weights units of four bytes.
typedef struct {
    size_t offset, bytes, count;
} run;

#define ROWS 16
#define RUNS 14

/// The runs of each type in the order in which the kernels read them; a count of 0 ends them.
static const run runs_of[][RUNS + 1] = {
    [BLOCK_q4_0] = {{0, 2, 1}, {2, 4, 4}},
    [BLOCK_q4_1] = {{0, 2, 2}, {4, 4, 4}},
    [BLOCK_q5_0] = {{0, 2, 1}, {2, 4, 1}, {6, 4, 4}},
    [BLOCK_q5_1] = {{0, 2, 2}, {4, 4, 1}, {8, 4, 4}},
    [BLOCK_q8_0] = {{0, 2, 1}, {2, 4, 8}},
    [BLOCK_q2_K] = {{80, 2, 2}, {0, 1, 16}, {16, 4, 16}},
    [BLOCK_q3_K] = {{108, 2, 1}, {96, 1, 12}, {0, 4, 8}, {32, 4, 16}},
    [BLOCK_q4_K] = {{0, 2, 2}, {4, 1, 12}, {16, 4, 32}},
    [BLOCK_q5_K] = {{0, 2, 2}, {4, 1, 12}, {16, 4, 40}},
    // For 16 columns of each quarter of 128: low bits of quarters 1 and 3, of 2 and 4, high bits of all.
    [BLOCK_q6_K] = {{208, 2, 1}, {192, 1, 16},
                    {0, 4, 4}, {32, 4, 4}, {128, 4, 4}, {16, 4, 4}, {48, 4, 4}, {144, 4, 4},
                    {64, 4, 4}, {96, 4, 4}, {160, 4, 4}, {80, 4, 4}, {112, 4, 4}, {176, 4, 4}},
    [BLOCK_iq4_nl] = {{0, 2, 1}, {2, 4, 4}},
    [BLOCK_iq4_xs] = {{0, 2, 1}, {2, 1, 6}, {8, 4, 32}},
    [BLOCK_mxfp4] = {{0, 1, 1}, {1, 4, 4}},
    [BLOCK_iq2_xxs] = {{0, 2, 1}, {2, 1, 4}, {6, 4, 24}},
    [BLOCK_iq2_xs] = {{0, 2, 1}, {2, 1, 8}, {10, 4, 24}},
    [BLOCK_iq2_s] = {{0, 2, 1}, {2, 1, 8}, {10, 4, 24}},
    [BLOCK_iq3_xxs] = {{0, 2, 1}, {2, 1, 4}, {6, 4, 32}},
    [BLOCK_iq3_s] = {{0, 2, 1}, {2, 1, 4}, {6, 4, 32}},
    [BLOCK_i2] = {{0, 4, 2}},
    [BLOCK_i4] = {{0, 4, 4}},
    [BLOCK_i8] = {{0, 4, 8}},
};

/// The numbers of 32 columns, eight in each of four words, as packed_number reads them.
INLINE void pack_numbers(uint8_t *out, const uint64_t n[4], size_t bits) {
    if (bits == 4) {
        const uint64_t halves[2] = {n[0] | n[2] << 4, n[1] | n[3] << 4};
        memcpy(out, halves, sizeof halves);
        return;
    }
    const uint64_t low = 0x03030303;
    uint32_t parts[3];
    for (size_t i = 0; i < 3; i++) parts[i] = (uint32_t)(n[i] | n[i] >> 32 << 3);
    parts[0] |= (uint32_t)((n[3] & low) << 6);
    parts[1] |= (uint32_t)((n[3] >> 32 & low) << 6);
    parts[2] |= (uint32_t)((n[3] & 0x04040404) << 4 | (n[3] >> 32 & 0x04040404) << 5);
    memcpy(out, parts, sizeof parts);
}

/// A block of a grid type as unpack gives it.
#define NUMBERED(name, group, bits)                                                                                  \
    static void name##_numbered(uint8_t *out, const uint8_t *b) {                                                    \
        uint8_t *scales = out + 2, *numbers = scales + 128 / group;                                                  \
        memcpy(out, b, 2);                                                                                           \
        for (size_t g = 0; g < 256 / group; g += 2)                                                                  \
            scales[g / 2] = (uint8_t)(name##_scale(b, g) | name##_scale(b, g + 1) << 4);                             \
        for (size_t r = 0; r < 32; r += 4, numbers += 4 * bits) {                                                    \
            uint64_t n[4];                                                                                           \
            for (size_t i = 0; i < 4; i++) n[i] = grid_numbers(name##_run(b, r + i), bits == 4 ? 4 : 2);             \
            pack_numbers(numbers, n, bits);                                                                          \
        }                                                                                                            \
    }
NUMBERED(iq2_xxs, 32, 3)
NUMBERED(iq2_xs, 16, 3)
NUMBERED(iq2_s, 16, 3)
NUMBERED(iq3_xxs, 32, 4)
NUMBERED(iq3_s, 32, 4)
#undef NUMBERED

/// The rows' blocks of a grid type in their packed form, in `room`; others where they are.
static void number_blocks(const uint8_t *rows[ROWS], uint8_t room[ROWS][256], block_type type) {
    void (*numbered)(uint8_t *, const uint8_t *);
    switch (type) {
        case BLOCK_iq2_xxs: numbered = iq2_xxs_numbered; break;
        case BLOCK_iq2_xs: numbered = iq2_xs_numbered; break;
        case BLOCK_iq2_s: numbered = iq2_s_numbered; break;
        case BLOCK_iq3_xxs: numbered = iq3_xxs_numbered; break;
        case BLOCK_iq3_s: numbered = iq3_s_numbered; break;
        default: return;
    }
    for (size_t row = 0; row < ROWS; row++) {
        numbered(room[row], rows[row]);
        rows[row] = room[row];
    }
}

typedef uint8_t sixteen_bytes __attribute__((ext_vector_type(16)));

/// Columns of 2 bits, so that equal bits of the four bytes of a unit are columns that follow each other: 4 x 4 columns
/// transposed.  Its own inverse.
INLINE void arrange_i2(uint8_t *block) {
    uint32_t units[2];
    memcpy(units, block, sizeof units);
    UNROLL for (size_t i = 0; i < 2; i++) {
        uint32_t changes = (units[i] ^ units[i] >> 6) & 0x00CC00CC;
        units[i] ^= changes ^ changes << 6;
        changes = (units[i] ^ units[i] >> 12) & 0x0000F0F0;
        units[i] ^= changes ^ changes << 12;
    }
    memcpy(block, units, sizeof units);
}

/// Columns of 4 bits, so that the low nibbles are the first half of the block.
INLINE void arrange_i4(uint8_t *block) {
    sixteen_bytes bytes;
    memcpy(&bytes, block, sizeof bytes);
    sixteen_bytes even = bytes & 15, odd = bytes >> 4;
    sixteen_bytes first = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    sixteen_bytes second =
        __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    bytes = first | second << 4;
    memcpy(block, &bytes, sizeof bytes);
}

/// The inverse.
INLINE void restore_i4(uint8_t *block) {
    uint8_t bytes[16];
    memcpy(bytes, block, sizeof bytes);
    for (size_t i = 0; i < 8; i++) {
        block[i] = (bytes[2 * i] & 15) | bytes[2 * i + 1] << 4;
        block[8 + i] = bytes[2 * i] >> 4 | (bytes[2 * i + 1] & 0xF0);
    }
}

typedef uint32_t four_units __attribute__((ext_vector_type(4)));

/// Four units of four bytes of 16 rows take turns: a 4 x 4 transposition for every four rows.
INLINE void interleave_four(uint8_t *out, const uint8_t *const rows[ROWS], size_t offset) {
#pragma clang loop unroll(full)
    for (size_t first = 0; first < ROWS; first += 4) {
        four_units a, b, c, d;
        memcpy(&a, rows[first] + offset, sizeof a);
        memcpy(&b, rows[first + 1] + offset, sizeof b);
        memcpy(&c, rows[first + 2] + offset, sizeof c);
        memcpy(&d, rows[first + 3] + offset, sizeof d);
        four_units ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        four_units AB = __builtin_shufflevector(a, b, 2, 6, 3, 7), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        four_units turned[4] = {
            __builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
            __builtin_shufflevector(AB, CD, 0, 1, 4, 5), __builtin_shufflevector(AB, CD, 2, 3, 6, 7)};
        for (size_t unit = 0; unit < 4; unit++) memcpy(out + 64 * unit + 4 * first, &turned[unit], sizeof turned[unit]);
    }
}

INLINE void pack_block(uint8_t *out, const uint8_t *const rows[ROWS], block_type type) {
#pragma clang loop unroll(full)
    for (size_t i = 0; i < RUNS; i++) {
        const run r = runs_of[type][i];
        const size_t bytes = r.bytes, end = r.offset + bytes * r.count;
        if (bytes == 4 && r.count % 4 == 0)
            for (size_t offset = r.offset; offset < end; offset += 16, out += 16 * ROWS)
                interleave_four(out, rows, offset);
        else
            for (size_t offset = r.offset; offset < end; offset += bytes)
#pragma clang loop unroll(full)
                for (size_t row = 0; row < ROWS; row++, out += bytes) memcpy(out, rows[row] + offset, bytes);
    }
}

/// Points `block` at copies whose columns have the order in which the kernels read them.
INLINE void arrange(uint8_t copies[ROWS][16], const uint8_t *block[ROWS], block_type type) {
    for (size_t row = 0; row < ROWS; row++) {
        memcpy(copies[row], block[row], type == BLOCK_i2 ? 8 : 16);
        if (type == BLOCK_i2)
            arrange_i2(copies[row]);
        else
            arrange_i4(copies[row]);
        block[row] = copies[row];
    }
}

void pack(uint8_t *out, const uint8_t *weight, size_t row_bytes, size_t rows, size_t columns, block_type type) {
    static const uint8_t zeros[256];
    uint8_t room[ROWS][256];
    switch (type) {
#define CASE(name, length, bytes)                                                                                    \
    case BLOCK_##name:                                                                                               \
        for (size_t c = 0; c < columns; c += length, weight += bytes, out += ROWS * packed_block_bytes(type)) {      \
            const uint8_t *block[ROWS];                                                                              \
            for (size_t row = 0; row < ROWS; row++) block[row] = row < rows ? weight + row * row_bytes : zeros;      \
            number_blocks(block, room, type);                                                                        \
            uint8_t copies[ROWS][16];                                                                                \
            if (BLOCK_##name == BLOCK_i2 || BLOCK_##name == BLOCK_i4) arrange(copies, block, BLOCK_##name);          \
            pack_block(out, block, BLOCK_##name);                                                                    \
        }                                                                                                            \
        break;
        BLOCK_TYPES(CASE)
#undef CASE
        default: break;
    }
}

void unpack(uint8_t *block, const uint8_t *packed, size_t row, block_type type) {
    for (const run *r = runs_of[type]; r->count; r++)
        for (size_t unit = 0; unit < r->count; unit++, packed += ROWS * r->bytes)
            memcpy(block + r->offset + unit * r->bytes, packed + row * r->bytes, r->bytes);
    if (type == BLOCK_i2) arrange_i2(block);
    if (type == BLOCK_i4) restore_i4(block);
}
