// The blocks in which GGUF stores quantized weights: one struct for each type, byte for byte as in the file.
//
// A block is 32 or 256 weights of one row with their scales.  Every field is made of bytes, so that a block may begin
// at any address and no compiler inserts padding.  Integers of several bytes are little-endian.
//
// Source: github.com/ggml-org/ggml, `src/ggml-common.h`, checked against the Python package gguf.
#ifndef GGML_BLOCKS_H
#define GGML_BLOCKS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/// Weights of a super-block, the block of the K types and of most IQ types.
#define SUPER_BLOCK 256
/// Weights of a block of the other types; of a sub-block of q4_K, q5_K, iq4_xs, iq2_xxs, iq3_xxs and iq3_s.
#define BLOCK 32
/// Weights of a sub-block of q2_K, q3_K, q6_K, iq2_xs and iq2_s.
#define SHORT_SUB_BLOCK 16

/// Quants of 4 bits come in pairs: quant i of a block of 32 in the low nibble of byte i, quant i + 16 in the high
/// nibble.
#define NIBBLES(count) ((count) / 2)

/// An IEEE 754 binary16 number.
typedef uint8_t f16_bytes[2];

/// weight = scale * (quant - 8)
typedef struct {
    f16_bytes scale;
    uint8_t quants[NIBBLES(BLOCK)];
} q4_0_block;

/// weight = scale * quant + minimum
typedef struct {
    f16_bytes scale, minimum;
    uint8_t quants[NIBBLES(BLOCK)];
} q4_1_block;

/// weight = scale * (quant - 16)
typedef struct {
    f16_bytes scale;
    uint8_t fifth_bits[4];  ///< bit i of a word: the highest bit of quant i
    uint8_t quants[NIBBLES(BLOCK)];
} q5_0_block;

/// weight = scale * quant + minimum
typedef struct {
    f16_bytes scale, minimum;
    uint8_t fifth_bits[4];
    uint8_t quants[NIBBLES(BLOCK)];
} q5_1_block;

/// weight = scale * quant
typedef struct {
    f16_bytes scale;
    int8_t quants[BLOCK];
} q8_0_block;

// Of each 128 weights of q2_K, q3_K and q6_K, two bits of weights i, i + 32, i + 64 and i + 96 share a byte, from the
// lowest bits on.  Of each 64 weights of q4_K and q5_K, weights i and i + 32 share one.

/// weight = scale * sub-scale * quant - minimum * sub-minimum
typedef struct {
    uint8_t scales[SUPER_BLOCK / SHORT_SUB_BLOCK];  ///< low nibble: the sub-block's scale; high nibble: its minimum
    uint8_t quants[SUPER_BLOCK / 4];
    f16_bytes scale, minimum;
} q2_K_block;

/// weight = scale * (sub-scale - 32) * (quant - 4)
typedef struct {
    uint8_t third_bits[SUPER_BLOCK / 8];  ///< bit k of byte i: the highest bit of quant 32 k + i
    uint8_t quants[SUPER_BLOCK / 4];
    uint8_t
        scales[12];  ///< 16 times 6 bits: 8 bytes of low nibbles, i beside i + 8; then 4 bytes of their upper two bits
    f16_bytes scale;
} q3_K_block;

/// weight = scale * sub-scale * quant - minimum * sub-minimum
typedef struct {
    f16_bytes scale, minimum;
    uint8_t scales[12];  ///< scale and minimum, 6 bits each, of eight sub-blocks; see q4_K_scales_of
    uint8_t quants[NIBBLES(SUPER_BLOCK)];
} q4_K_block;

/// weight = scale * sub-scale * quant - minimum * sub-minimum
typedef struct {
    f16_bytes scale, minimum;
    uint8_t scales[12];
    uint8_t fifth_bits[SUPER_BLOCK / 8];  ///< bit k of byte i: the highest bit of quant 32 k + i
    uint8_t quants[NIBBLES(SUPER_BLOCK)];
} q5_K_block;

/// weight = scale * sub-scale * (quant - 32)
typedef struct {
    uint8_t low_bits[NIBBLES(SUPER_BLOCK)];  ///< of each 128 weights: four bits of i and of i + 64 in byte i
    uint8_t high_bits[SUPER_BLOCK / 4];
    int8_t scales[SUPER_BLOCK / SHORT_SUB_BLOCK];
    f16_bytes scale;
} q6_K_block;

/// weight = scale * iq4_values[quant]
typedef struct {
    f16_bytes scale;
    uint8_t quants[NIBBLES(BLOCK)];
} iq4_nl_block;

/// weight = scale * (sub-scale - 32) * iq4_values[quant]; each 32 quants as in iq4_nl
typedef struct {
    f16_bytes scale;
    uint8_t high_scales[2];  ///< upper two bits of eight sub-scales
    uint8_t low_scales[4];   ///< their low nibbles
    uint8_t quants[NIBBLES(SUPER_BLOCK)];
} iq4_xs_block;

/// weight = 2^(exponent - 128) * mxfp4_values[quant]; NaN if the exponent is 255
typedef struct {
    uint8_t exponent;
    uint8_t quants[NIBBLES(BLOCK)];
} mxfp4_block;

// Grid types: an index of a grid stands for the magnitudes of eight (iq2) or four (iq3) weights; signs are stored
// apart. weight = scale * (2 * sub-scale + 1) * unit * value, sub-scales of 4 bits.  See grid_blocks.h.

typedef struct {
    f16_bytes scale;
    struct {
        uint8_t indices[4];
        uint8_t signs_and_scale[4];  ///< a word: four times seven signs, then the sub-scale
    } sub_blocks[SUPER_BLOCK / BLOCK];
} iq2_xxs_block;

typedef struct {
    f16_bytes scale;
    uint8_t indices_and_signs[SUPER_BLOCK / 8][2];  ///< nine bits of index, seven signs
    uint8_t scales[NIBBLES(SUPER_BLOCK / SHORT_SUB_BLOCK)];
} iq2_xs_block;

typedef struct {
    f16_bytes scale;
    uint8_t indices[SUPER_BLOCK / 8];
    uint8_t signs[SUPER_BLOCK / 8];
    uint8_t high_indices[SUPER_BLOCK / 32];  ///< bits 8 and 9 of the indices
    uint8_t scales[NIBBLES(SUPER_BLOCK / SHORT_SUB_BLOCK)];
} iq2_s_block;

typedef struct {
    f16_bytes scale;
    uint8_t indices[SUPER_BLOCK / 4];
    uint8_t signs_and_scales[SUPER_BLOCK / BLOCK][4];  ///< words as in iq2_xxs
} iq3_xxs_block;

typedef struct {
    f16_bytes scale;
    uint8_t indices[SUPER_BLOCK / 4];
    uint8_t high_indices[SUPER_BLOCK / 32];  ///< bit 8 of the indices
    uint8_t signs[SUPER_BLOCK / 8];
    uint8_t scales[NIBBLES(SUPER_BLOCK / BLOCK)];
} iq3_s_block;

// Not types of GGUF: integers of 2, 4 and 8 bits, -2…1, -8…7 and -128…127, whose scale belongs to the row.  Fields of a
// byte are filled from the lowest bit; -2 and -8 are stored as 0.

typedef struct {
    uint8_t quants[BLOCK / 4];
} i2_block;

typedef struct {
    uint8_t quants[NIBBLES(BLOCK)];
} i4_block;

typedef struct {
    int8_t quants[BLOCK];
} i8_block;

// clang-format off
/// Every block type: X(name, weights per block, f16 fields: `scale`, or `scale` and `minimum`, or none).
#define BLOCK_TYPES(X)                                                                                             \
    X(q4_0, BLOCK, 1) X(q4_1, BLOCK, 2) X(q5_0, BLOCK, 1) X(q5_1, BLOCK, 2) X(q8_0, BLOCK, 1)                      \
    X(q2_K, SUPER_BLOCK, 2) X(q3_K, SUPER_BLOCK, 1) X(q4_K, SUPER_BLOCK, 2) X(q5_K, SUPER_BLOCK, 2)                \
    X(q6_K, SUPER_BLOCK, 1) X(iq4_nl, BLOCK, 1) X(iq4_xs, SUPER_BLOCK, 1) X(mxfp4, BLOCK, 0)                       \
    X(iq2_xxs, SUPER_BLOCK, 1) X(iq2_xs, SUPER_BLOCK, 1) X(iq2_s, SUPER_BLOCK, 1) X(iq3_xxs, SUPER_BLOCK, 1)       \
    X(iq3_s, SUPER_BLOCK, 1) X(i2, BLOCK, 0) X(i4, BLOCK, 0) X(i8, BLOCK, 0)
// clang-format on

typedef enum {
#define NAME(name, length, scales) BLOCK_##name,
    BLOCK_TYPES(NAME)
#undef NAME
} block_type;

// The sizes that GGUF states.
static_assert(sizeof(q4_0_block) == 18, "q4_0");
static_assert(sizeof(q4_1_block) == 20, "q4_1");
static_assert(sizeof(q5_0_block) == 22, "q5_0");
static_assert(sizeof(q5_1_block) == 24, "q5_1");
static_assert(sizeof(q8_0_block) == 34, "q8_0");
static_assert(sizeof(q2_K_block) == 84, "q2_K");
static_assert(sizeof(q3_K_block) == 110, "q3_K");
static_assert(sizeof(q4_K_block) == 144, "q4_K");
static_assert(sizeof(q5_K_block) == 176, "q5_K");
static_assert(sizeof(q6_K_block) == 210, "q6_K");
static_assert(sizeof(iq4_nl_block) == 18, "iq4_nl");
static_assert(sizeof(iq4_xs_block) == 136, "iq4_xs");
static_assert(sizeof(mxfp4_block) == 17, "mxfp4");
static_assert(sizeof(iq2_xxs_block) == 66, "iq2_xxs");
static_assert(sizeof(iq2_xs_block) == 74, "iq2_xs");
static_assert(sizeof(iq2_s_block) == 82, "iq2_s");
static_assert(sizeof(iq3_xxs_block) == 98, "iq3_xxs");
static_assert(sizeof(iq3_s_block) == 110, "iq3_s");
static_assert(sizeof(i2_block) == 8 && sizeof(i4_block) == 16 && sizeof(i8_block) == 32, "integers");

/// What Swift asks about a type.
typedef struct {
    size_t length;          ///< weights per block
    size_t bytes;           ///< bytes per block
    size_t scale_count;     ///< f16 fields, the only ones that can be NaN or infinite
    size_t scale, minimum;  ///< their offsets, as far as there are any
} block_layout;

static inline block_layout layout_of_block(block_type type) {
    switch (type) {
#define SCALES_0(name) 0, 0
#define SCALES_1(name) offsetof(name##_block, scale), 0
#define SCALES_2(name) offsetof(name##_block, scale), offsetof(name##_block, minimum)
#define LAYOUT(name, length, scales) \
    case BLOCK_##name: return (block_layout){length, sizeof(name##_block), scales, SCALES_##scales(name)};
        BLOCK_TYPES(LAYOUT)
#undef LAYOUT
#undef SCALES_2
#undef SCALES_1
#undef SCALES_0
    }
}

// clang-format off
/// Offsets of fields for Swift, where `offsetof` of an imported struct is no constant: `q6_K_scale` and so on.
enum {
#define OFFSET(type, field) type##_##field = offsetof(type##_block, field)
    OFFSET(q4_0, scale), OFFSET(q4_0, quants),
    OFFSET(q4_1, scale), OFFSET(q4_1, minimum), OFFSET(q4_1, quants),
    OFFSET(q5_0, scale), OFFSET(q5_0, fifth_bits), OFFSET(q5_0, quants),
    OFFSET(q5_1, scale), OFFSET(q5_1, minimum), OFFSET(q5_1, fifth_bits), OFFSET(q5_1, quants),
    OFFSET(q8_0, scale), OFFSET(q8_0, quants),
    OFFSET(q2_K, scales), OFFSET(q2_K, quants), OFFSET(q2_K, scale), OFFSET(q2_K, minimum),
    OFFSET(q3_K, third_bits), OFFSET(q3_K, quants), OFFSET(q3_K, scales), OFFSET(q3_K, scale),
    OFFSET(q4_K, scale), OFFSET(q4_K, minimum), OFFSET(q4_K, scales), OFFSET(q4_K, quants),
    OFFSET(q5_K, scale), OFFSET(q5_K, minimum), OFFSET(q5_K, scales), OFFSET(q5_K, fifth_bits), OFFSET(q5_K, quants),
    OFFSET(q6_K, low_bits), OFFSET(q6_K, high_bits), OFFSET(q6_K, scales), OFFSET(q6_K, scale),
    OFFSET(iq4_nl, scale), OFFSET(iq4_nl, quants),
    OFFSET(iq4_xs, scale), OFFSET(iq4_xs, high_scales), OFFSET(iq4_xs, low_scales), OFFSET(iq4_xs, quants),
    OFFSET(mxfp4, exponent), OFFSET(mxfp4, quants),
#undef OFFSET
};
// clang-format on

#endif
