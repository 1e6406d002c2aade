// Interleaves the rows of a weight: packed_layout.h has the result.
#include "compiler.h"
#include "grid_blocks.h"
#include "packed_layout.h"

#include <string.h>

/// Consecutive units of one row's block that are consecutive in the packed block too.
typedef struct {
    size_t source;  ///< offset in one row's block
    size_t target;  ///< offset in the packed block
    size_t unit;    ///< bytes of a unit: 1 or 2 for scales, 4 for weights
    size_t count;   ///< units
} run;

// clang-format off

/// A whole field of a block; of a grid type, of its coded block.
#define RUN(type, field, unit) FIELD_RUN(type##_block, packed_##type, field, unit)
#define CODED_RUN(type, field, unit) FIELD_RUN(type##_coded, packed_##type, field, unit)
#define FIELD_RUN(row, packed, field, unit) \
    {offsetof(row, field), offsetof(packed, field), unit, sizeof(((row *)0)->field) / (unit)}

/// Of q6_K: 16 columns of each quarter of 128 weights.
#define Q6_K_STRETCH(i)                                                                                            \
    {offsetof(q6_K_block, low_bits[64 * ((i) / 2) + 16 * ((i) % 2)]),                                              \
     offsetof(packed_q6_K, stretches[i].low_bits[0]), 4, QUADS(16)},                                               \
    {offsetof(q6_K_block, low_bits[64 * ((i) / 2) + 16 * ((i) % 2) + 32]),                                         \
     offsetof(packed_q6_K, stretches[i].low_bits[1]), 4, QUADS(16)},                                               \
    {offsetof(q6_K_block, high_bits[32 * ((i) / 2) + 16 * ((i) % 2)]),                                             \
     offsetof(packed_q6_K, stretches[i].high_bits), 4, QUADS(16)}

#define MAX_RUNS 14

/// The runs of each type in the order of the packed block; a count of 0 ends them.
static const run runs_of[][MAX_RUNS + 1] = {
    [BLOCK_q4_0] = {RUN(q4_0, scale, 2), RUN(q4_0, quants, 4)},
    [BLOCK_q4_1] = {RUN(q4_1, scale, 2), RUN(q4_1, minimum, 2), RUN(q4_1, quants, 4)},
    [BLOCK_q5_0] = {RUN(q5_0, scale, 2), RUN(q5_0, fifth_bits, 4), RUN(q5_0, quants, 4)},
    [BLOCK_q5_1] = {RUN(q5_1, scale, 2), RUN(q5_1, minimum, 2), RUN(q5_1, fifth_bits, 4), RUN(q5_1, quants, 4)},
    [BLOCK_q8_0] = {RUN(q8_0, scale, 2), RUN(q8_0, quants, 4)},
    [BLOCK_q2_K] = {RUN(q2_K, scale, 2), RUN(q2_K, minimum, 2), RUN(q2_K, scales, 1), RUN(q2_K, quants, 4)},
    [BLOCK_q3_K] = {RUN(q3_K, scale, 2), RUN(q3_K, scales, 1), RUN(q3_K, third_bits, 4), RUN(q3_K, quants, 4)},
    [BLOCK_q4_K] = {RUN(q4_K, scale, 2), RUN(q4_K, minimum, 2), RUN(q4_K, scales, 1), RUN(q4_K, quants, 4)},
    [BLOCK_q5_K] = {RUN(q5_K, scale, 2), RUN(q5_K, minimum, 2), RUN(q5_K, scales, 1), RUN(q5_K, fifth_bits, 4),
                    RUN(q5_K, quants, 4)},
    [BLOCK_q6_K] = {RUN(q6_K, scale, 2), RUN(q6_K, scales, 1), Q6_K_STRETCH(0), Q6_K_STRETCH(1), Q6_K_STRETCH(2),
                    Q6_K_STRETCH(3)},
    [BLOCK_iq4_nl] = {RUN(iq4_nl, scale, 2), RUN(iq4_nl, quants, 4)},
    [BLOCK_iq4_xs] = {RUN(iq4_xs, scale, 2), RUN(iq4_xs, high_scales, 1), RUN(iq4_xs, low_scales, 1),
                      RUN(iq4_xs, quants, 4)},
    [BLOCK_mxfp4] = {RUN(mxfp4, exponent, 1), RUN(mxfp4, quants, 4)},
    [BLOCK_iq2_xxs] = {CODED_RUN(iq2_xxs, scale, 2), CODED_RUN(iq2_xxs, scales, 1), CODED_RUN(iq2_xxs, codes, 4)},
    [BLOCK_iq2_xs] = {CODED_RUN(iq2_xs, scale, 2), CODED_RUN(iq2_xs, scales, 1), CODED_RUN(iq2_xs, codes, 4)},
    [BLOCK_iq2_s] = {CODED_RUN(iq2_s, scale, 2), CODED_RUN(iq2_s, scales, 1), CODED_RUN(iq2_s, codes, 4)},
    [BLOCK_iq3_xxs] = {CODED_RUN(iq3_xxs, scale, 2), CODED_RUN(iq3_xxs, scales, 1), CODED_RUN(iq3_xxs, codes, 4)},
    [BLOCK_iq3_s] = {CODED_RUN(iq3_s, scale, 2), CODED_RUN(iq3_s, scales, 1), CODED_RUN(iq3_s, codes, 4)},
    [BLOCK_i2] = {RUN(i2, quants, 4)},
    [BLOCK_i4] = {RUN(i4, quants, 4)},
    [BLOCK_i8] = {RUN(i8, quants, 4)},
};

// clang-format on

/// The runs cover every byte: packed blocks are as large as those of their rows together.
#define COVERS(row, packed) static_assert(sizeof(packed) == PACKED_ROWS * sizeof(row), #packed)
COVERS(q4_0_block, packed_q4_0);
COVERS(q4_1_block, packed_q4_1);
COVERS(q5_0_block, packed_q5_0);
COVERS(q5_1_block, packed_q5_1);
COVERS(q8_0_block, packed_q8_0);
COVERS(q2_K_block, packed_q2_K);
COVERS(q3_K_block, packed_q3_K);
COVERS(q4_K_block, packed_q4_K);
COVERS(q5_K_block, packed_q5_K);
COVERS(q6_K_block, packed_q6_K);
COVERS(iq4_nl_block, packed_iq4_nl);
COVERS(iq4_xs_block, packed_iq4_xs);
COVERS(mxfp4_block, packed_mxfp4);
COVERS(iq2_xxs_coded, packed_iq2_xxs);
COVERS(iq2_xs_coded, packed_iq2_xs);
COVERS(iq2_s_coded, packed_iq2_s);
COVERS(iq3_xxs_coded, packed_iq3_xxs);
COVERS(iq3_s_coded, packed_iq3_s);
COVERS(i2_block, packed_i2);
COVERS(i4_block, packed_i4);
COVERS(i8_block, packed_i8);
#undef COVERS

size_t packed_block_bytes(block_type type) { return packed_size(type).bytes / PACKED_ROWS; }

/// The codes of 32 columns, eight in the bytes of each of four words, in the order of packed_code.
INLINE void pack_codes(uint8_t *out, const uint64_t words[4], size_t bits) {
    if (bits == 4) {
        const uint64_t nibbles[2] = {words[0] | words[2] << 4, words[1] | words[3] << 4};
        memcpy(out, nibbles, sizeof nibbles);
        return;
    }
    const uint64_t magnitudes = 0x03030303, signs = 0x04040404;
    uint32_t quads[3];
    for (size_t i = 0; i < 3; i++) quads[i] = (uint32_t)(words[i] | words[i] >> 32 << 3);
    quads[0] |= (uint32_t)((words[3] & magnitudes) << 6);
    quads[1] |= (uint32_t)((words[3] >> 32 & magnitudes) << 6);
    quads[2] |= (uint32_t)((words[3] & signs) << 4 | (words[3] >> 32 & signs) << 5);
    memcpy(out, quads, sizeof quads);
}

#define CODE(name, sub_block, bits)                                                                        \
    static void code_##name(uint8_t *out, const uint8_t *block) {                                          \
        const name##_block *b = (const name##_block *)block;                                               \
        name##_coded *coded = (name##_coded *)out;                                                         \
        uint8_t *codes = coded->codes;                                                                     \
        memcpy(coded->scale, b->scale, sizeof b->scale);                                                   \
        for (size_t i = 0; i < SUPER_BLOCK / sub_block; i += 2)                                            \
            coded->scales[i / 2] = (uint8_t)(name##_scale(b, i) | name##_scale(b, i + 1) << 4);            \
        for (size_t r = 0; r < SUPER_BLOCK / 8; r += 4, codes += 4 * bits) {                               \
            uint64_t words[4];                                                                             \
            for (size_t i = 0; i < 4; i++) words[i] = grid_codes(name##_run(b, r + i), bits == 4 ? 4 : 2); \
            pack_codes(codes, words, bits);                                                                \
        }                                                                                                  \
    }
CODE(iq2_xxs, BLOCK, 3)
CODE(iq2_xs, SHORT_SUB_BLOCK, 3)
CODE(iq2_s, SHORT_SUB_BLOCK, 3)
CODE(iq3_xxs, BLOCK, 4)
CODE(iq3_s, BLOCK, 4)
#undef CODE

/// Points `rows` at coded copies of the blocks of a grid type; leaves other types as they are.
static void code_blocks(const uint8_t *rows[PACKED_ROWS], uint8_t copies[PACKED_ROWS][UNPACKED_BYTES],
                        block_type type) {
    void (*code)(uint8_t *, const uint8_t *);
    switch (type) {
        case BLOCK_iq2_xxs: code = code_iq2_xxs; break;
        case BLOCK_iq2_xs: code = code_iq2_xs; break;
        case BLOCK_iq2_s: code = code_iq2_s; break;
        case BLOCK_iq3_xxs: code = code_iq3_xxs; break;
        case BLOCK_iq3_s: code = code_iq3_s; break;
        default: return;
    }
    for (size_t row = 0; row < PACKED_ROWS; row++) {
        code(copies[row], rows[row]);
        rows[row] = copies[row];
    }
}

typedef uint8_t sixteen_bytes __attribute__((ext_vector_type(16)));

/// Transposes 4 x 4 columns of 2 bits, so that equal bits of the four bytes of a quad are consecutive columns.  Its own
/// inverse.
INLINE void arrange_i2(uint8_t *block) {
    uint32_t units[2];
    memcpy(units, block, sizeof units);
    UNROLL_FOR (size_t i = 0; i < 2; i++) {
        uint32_t changes = (units[i] ^ units[i] >> 6) & 0x00CC00CC;
        units[i] ^= changes ^ changes << 6;
        changes = (units[i] ^ units[i] >> 12) & 0x0000F0F0;
        units[i] ^= changes ^ changes << 12;
    }
    memcpy(block, units, sizeof units);
}

/// Reorders columns of 4 bits, so that the low nibbles are the first half of the block.
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

/// The inverse of arrange_i4.
INLINE void restore_i4(uint8_t *block) {
    uint8_t bytes[16];
    memcpy(bytes, block, sizeof bytes);
    for (size_t i = 0; i < 8; i++) {
        block[i] = (bytes[2 * i] & 15) | bytes[2 * i + 1] << 4;
        block[8 + i] = bytes[2 * i] >> 4 | (bytes[2 * i + 1] & 0xF0);
    }
}

typedef uint32_t four_quads __attribute__((ext_vector_type(4)));

/// Interleaves four consecutive quads of every row: a 4 x 4 transpose for every four rows.
INLINE void interleave_quads(uint8_t *out, const uint8_t *const rows[PACKED_ROWS], size_t offset) {
    UNROLL_FOR (size_t row = 0; row < PACKED_ROWS; row += 4) {
        four_quads a, b, c, d;
        memcpy(&a, rows[row] + offset, sizeof a);
        memcpy(&b, rows[row + 1] + offset, sizeof b);
        memcpy(&c, rows[row + 2] + offset, sizeof c);
        memcpy(&d, rows[row + 3] + offset, sizeof d);
        four_quads ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        four_quads AB = __builtin_shufflevector(a, b, 2, 6, 3, 7), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        four_quads columns[4] = {
            __builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
            __builtin_shufflevector(AB, CD, 0, 1, 4, 5), __builtin_shufflevector(AB, CD, 2, 3, 6, 7)};
        for (size_t quad = 0; quad < 4; quad++)
            memcpy(out + sizeof(quad_of_rows) * quad + 4 * row, &columns[quad], sizeof columns[quad]);
    }
}

INLINE void pack_block(uint8_t *out, const uint8_t *const rows[PACKED_ROWS], block_type type) {
    UNROLL_FOR (size_t i = 0; i < MAX_RUNS; i++) {
        const run r = runs_of[type][i];
        const size_t unit = r.unit, end = r.source + unit * r.count;
        uint8_t *target = out + r.target;
        if (unit == 4 && r.count % 4 == 0)
            for (size_t offset = r.source; offset < end; offset += 16, target += 16 * PACKED_ROWS)
                interleave_quads(target, rows, offset);
        else
            for (size_t offset = r.source; offset < end; offset += unit)
                UNROLL_FOR (size_t row = 0; row < PACKED_ROWS; row++, target += unit)
                    memcpy(target, rows[row] + offset, unit);
    }
}

/// Points `rows` at copies of blocks of type i2 or i4 whose columns are in the order in which the kernels read them.
INLINE void arrange(uint8_t copies[PACKED_ROWS][16], const uint8_t *rows[PACKED_ROWS], block_type type) {
    for (size_t row = 0; row < PACKED_ROWS; row++) {
        memcpy(copies[row], rows[row], type == BLOCK_i2 ? sizeof(i2_block) : sizeof(i4_block));
        if (type == BLOCK_i2)
            arrange_i2(copies[row]);
        else
            arrange_i4(copies[row]);
        rows[row] = copies[row];
    }
}

void pack(uint8_t *out, const uint8_t *weight, size_t row_bytes, size_t rows, size_t columns, block_type type) {
    static const uint8_t zeros[UNPACKED_BYTES];
    uint8_t coded[PACKED_ROWS][UNPACKED_BYTES];
    switch (type) {
#define CASE(name, length, scales)                                                                                   \
    case BLOCK_##name:                                                                                               \
        for (size_t c = 0; c < columns; c += length, weight += sizeof(name##_block), out += sizeof(packed_##name)) { \
            const uint8_t *blocks[PACKED_ROWS];                                                                      \
            for (size_t row = 0; row < PACKED_ROWS; row++)                                                           \
                blocks[row] = row < rows ? weight + row * row_bytes : zeros;                                         \
            code_blocks(blocks, coded, type);                                                                        \
            uint8_t arranged[PACKED_ROWS][16];                                                                       \
            if (BLOCK_##name == BLOCK_i2 || BLOCK_##name == BLOCK_i4) arrange(arranged, blocks, BLOCK_##name);       \
            pack_block(out, blocks, BLOCK_##name);                                                                   \
        }                                                                                                            \
        break;
        BLOCK_TYPES(CASE)
#undef CASE
        default: break;
    }
}

void unpack(uint8_t *block, const uint8_t *packed, size_t row, block_type type) {
    for (const run *r = runs_of[type]; r->count; r++)
        for (size_t i = 0; i < r->count; i++)
            memcpy(block + r->source + i * r->unit, packed + r->target + (i * PACKED_ROWS + row) * r->unit, r->unit);
    if (type == BLOCK_i2) arrange_i2(block);
    if (type == BLOCK_i4) restore_i4(block);
}
