// How packed weights lie in memory: one struct for each block type, used by pack.c, which writes it, and by
// packed_groups-inl.h, which reads it.
//
// Packing interleaves PACKED_ROWS rows of a weight, block by block.  A block of each row is cut into units of 1, 2 or 4
// bytes, and the units with the same place in their blocks are stored side by side.  So one vector load reads the
// same columns of several rows.  A packed weight is as large as in the file, but for the grid types.
//
// A packed block of type q4_K, with the offset of each row of the picture in bytes; r0 to r15 are the rows of the
// weight:
//
//            r0              r1              r2                    r15
//          +---------------+---------------+---------------+ ... +---------------+
//       0  | scale         | scale         | scale         |     | scale         |  f16
//      32  | minimum       | minimum       | minimum       |     | minimum       |  f16
//          +---------------+---------------+---------------+ ... +---------------+
//      64  | scales[0]     | scales[0]     | scales[0]     |     | scales[0]     |  u8
//          |   …                                                                 |
//     240  | scales[11]    | scales[11]    | scales[11]    |     | scales[11]    |
//          +---------------+---------------+---------------+ ... +---------------+
//     256  | quants[0…3]   | quants[0…3]   | quants[0…3]   |     | quants[0…3]   |  4 x u8: weights 0…3 low nibbles,
//     320  | quants[4…7]   | quants[4…7]   | quants[4…7]   |     | quants[4…7]   |  32…35 high nibbles
//          |   …                                                                 |
//    2240  | quants[124…7] | quants[124…7] | quants[124…7] |     | quants[124…7] |
//          +---------------+---------------+---------------+ ... +---------------+
//    2304 = PACKED_ROWS * sizeof(q4_K_block)
//
// Fields are in the order in which the kernels read them: out of order, q6_K was read at half the speed of memory.
#ifndef PACKED_LAYOUT_H
#define PACKED_LAYOUT_H

#include "CKernels.h"
#include "compiler.h"

/// One unit of each row.
typedef uint8_t byte_of_rows[PACKED_ROWS];
typedef uint8_t f16_of_rows[PACKED_ROWS][sizeof(f16_bytes)];
typedef uint8_t quad_of_rows[PACKED_ROWS][4];

/// Units of four bytes that hold `count` bytes of each row.
#define QUADS(count) ((count) / 4)

typedef struct {
    f16_of_rows scale;
    quad_of_rows quants[QUADS(16)];
} packed_q4_0, packed_iq4_nl;

typedef struct {
    f16_of_rows scale, minimum;
    quad_of_rows quants[QUADS(16)];
} packed_q4_1;

typedef struct {
    f16_of_rows scale;
    quad_of_rows fifth_bits[1], quants[QUADS(16)];
} packed_q5_0;

typedef struct {
    f16_of_rows scale, minimum;
    quad_of_rows fifth_bits[1], quants[QUADS(16)];
} packed_q5_1;

typedef struct {
    f16_of_rows scale;
    quad_of_rows quants[QUADS(32)];
} packed_q8_0;

typedef struct {
    f16_of_rows scale, minimum;
    byte_of_rows scales[16];
    quad_of_rows quants[QUADS(64)];
} packed_q2_K;

typedef struct {
    f16_of_rows scale;
    byte_of_rows scales[12];
    quad_of_rows third_bits[QUADS(32)], quants[QUADS(64)];
} packed_q3_K;

typedef struct {
    f16_of_rows scale, minimum;
    byte_of_rows scales[12];
    quad_of_rows quants[QUADS(128)];
} packed_q4_K;

typedef struct {
    f16_of_rows scale, minimum;
    byte_of_rows scales[12];
    quad_of_rows fifth_bits[QUADS(32)], quants[QUADS(128)];
} packed_q5_K;

typedef struct {
    f16_of_rows scale;
    byte_of_rows scales[16];
    /// Of each 128 weights the first, then the other 16 columns of each quarter of 32: the bytes that four groups
    /// share.
    struct {
        quad_of_rows low_bits[2][QUADS(16)];  ///< of quarters 0 and 2, of quarters 1 and 3
        quad_of_rows high_bits[QUADS(16)];    ///< of all four
    } stretches[4];
} packed_q6_K;

typedef struct {
    f16_of_rows scale;
    byte_of_rows high_scales[2], low_scales[4];
    quad_of_rows quants[QUADS(128)];
} packed_iq4_xs;

typedef struct {
    byte_of_rows exponent;
    quad_of_rows quants[QUADS(16)];
} packed_mxfp4;

// Grid types.  No instruction looks up grids at the speed of memory, so packed weights have the codes of their values
// themselves: indices of iq2_values in 3 bits, of iq3_xxs_values and iq3_s_values in 4 bits.

/// A block of a grid type as it is packed, of one row: sub-scales of 4 bits, that of an even sub-block in the low
/// nibble, and codes of 32 columns each, see packed_code.
#define CODED_BLOCK(name, sub_block, bits)                  \
    typedef struct {                                        \
        f16_bytes scale;                                    \
        uint8_t scales[NIBBLES(SUPER_BLOCK / (sub_block))]; \
        uint8_t codes[SUPER_BLOCK * (bits) / 8];            \
    } name##_coded
CODED_BLOCK(iq2_xxs, BLOCK, 3);
CODED_BLOCK(iq2_xs, SHORT_SUB_BLOCK, 3);
CODED_BLOCK(iq2_s, SHORT_SUB_BLOCK, 3);
CODED_BLOCK(iq3_xxs, BLOCK, 4);
CODED_BLOCK(iq3_s, BLOCK, 4);
#undef CODED_BLOCK

typedef struct {
    f16_of_rows scale;
    byte_of_rows scales[4];
    quad_of_rows codes[SUPER_BLOCK / BLOCK][QUADS(12)];
} packed_iq2_xxs;

typedef struct {
    f16_of_rows scale;
    byte_of_rows scales[8];
    quad_of_rows codes[SUPER_BLOCK / BLOCK][QUADS(12)];
} packed_iq2_xs, packed_iq2_s;

typedef struct {
    f16_of_rows scale;
    byte_of_rows scales[4];
    quad_of_rows codes[SUPER_BLOCK / BLOCK][QUADS(16)];
} packed_iq3_xxs, packed_iq3_s;

// Columns of i2 and i4 are transposed within a block: see arrange_i2 and arrange_i4 in pack.c.

typedef struct {
    quad_of_rows quants[QUADS(8)];
} packed_i2;

typedef struct {
    quad_of_rows quants[QUADS(16)];
} packed_i4;

typedef struct {
    quad_of_rows quants[QUADS(32)];
} packed_i8;

/// Columns of a packed block, and its bytes, of all rows.
typedef struct {
    size_t length, bytes;
} packed_block_size;

INLINE packed_block_size packed_size(block_type type) {
    switch (type) {
#define SIZE(name, length, scales) \
    case BLOCK_##name: return (packed_block_size){length, sizeof(packed_##name)};
        BLOCK_TYPES(SIZE)
#undef SIZE
    }
}

/// One row's block from a packed one; of the grid types in the form of `…_coded`.
void unpack(uint8_t *block, const uint8_t *packed, size_t row, block_type type);
/// Bytes that unpack writes at most.
#define UNPACKED_BYTES 256

/// The code of column c of 32 of a grid type.
///
/// Of 4 bits, 16 bytes: a low nibble for each of the first 16 columns, a high nibble for the others. Of 3 bits, three
/// quads for eight times four columns: two codes in the lower 6 bits of each byte.  The upper two bits of the first and
/// second quad are the magnitudes of the last eight columns, those of the third their signs.
static inline uint8_t packed_code(const uint8_t *codes, size_t c, size_t bits) {
    if (bits == 4) return codes[c % 16] >> 4 * (c / 16) & 15;
    const size_t quad = c / 4, column = c % 4;
    if (quad < 6) return codes[4 * (quad / 2) + column] >> 3 * (quad % 2) & 7;
    return (uint8_t)(codes[4 * (quad - 6) + column] >> 6 | (codes[8 + column] >> quad & 1) << 2);
}

#endif
