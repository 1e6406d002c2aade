// Included by vector-inl.h, within an instruction set.
//
// Products of quantized weights with int8 activations: integer dot products,
// which are exact, times scales.
//
// A vector has four columns of LANES rows; four activations are broadcast to
// every lane.  For few tokens each group of columns is unpacked in registers;
// for many, the groups of a range of columns are unpacked into the cache and
// multiplied by tiles of tokens.
//
// Every sum is accumulated group by group by the same operations wherever its
// row and token are in a tile, so results do not depend on how callers split
// rows and tokens.

#include "packed_groups-inl.h"

/// Whether there are registers for twelve tokens: 32 of 16 lanes, and no 16-bit
/// sums to hold.
#if LANES == 16 && defined(VNNI)
#define MANY_REGISTERS 1
#else
#define MANY_REGISTERS 0
#endif

/// Tokens whose sums stay in registers.
#define PACKED_TOKENS (MANY_REGISTERS ? 12 : LANES == 16 ? 8 : 4)

/// The 16 or 32 activations that a group is multiplied by, of several tokens.
typedef struct {
    const quantized_block *blocks[PACKED_TOKENS];
    size_t offset;  ///< of the first activation in its block
    size_t sum;     ///< index of their sum in minus_128_sums
} activations;

/// The activations of the group that begins at `column`, of tokens whose
/// columns begin at `blocks`.
INLINE activations activations_at(const quantized_block *const *blocks, size_t column, size_t tokens, block_type type) {
    const size_t half = column / 16 % 2;
    activations x = {.offset = 16 * half, .sum = group_format_of(type).columns == BLOCK ? 2 : half};
    UNROLL_FOR (size_t t = 0; t < tokens; t++) x.blocks[t] = blocks[t] + column / 32;
    return x;
}

/// -factor * the sum of the activations of token t.
INLINE int32_t minus_sum(const activations *x, size_t t, int32_t factor) {
    const int32_t minus_128_sum = x->blocks[t]->minus_128_sums[x->sum];
    return factor == 128 ? minus_128_sum : (minus_128_sum >> 7) * factor;
}

/// Activations 4j to 4j + 3 of token t in every lane.
INLINE vi broadcast_four(const activations *x, size_t t, size_t j) {
    int32_t bytes;
    memcpy(&bytes, x->blocks[t]->values + x->offset + 4 * j, sizeof bytes);
    return (vi)bytes;
}

// Keeps loads of later tokens from being hoisted above the computation of v,
// which would spill registers.
#if defined(__x86_64__)
#define COMPILER_BARRIER(v) __asm__ volatile("" : "+v"(v) : : "memory")
#else
#define COMPILER_BARRIER(v)
#endif

/// sum += a * b.  With many registers the result is pinned to the register of
/// `sum`: the compiler may choose the form of the instruction that overwrites a
/// or b, and add a move.
INLINE void add_product(vf *sum, vf a, vf b) {
#if MANY_REGISTERS
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b) : "memory");
#else
    *sum = fma_vf(a, b, *sum);
#endif
}

// multiply_bytes: sums[t][part] = sum of (byte - offset) * activation over the
// columns of the group, for token t.
#if defined(VNNI)
INLINE vi add_four(vi sum, vb w, vi x4) {
#if LANES == 16
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x4);
#else
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x4);
#endif
}

INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) sums[t][part] = (vi)minus_sum(x, t, f.offset);
    UNROLL_FOR (size_t j = 0; j < f.columns / 4; j++)
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++)
                sums[t][part] = add_four(sums[t][part], g->weights[j][part], broadcast_four(x, t, j));
}
#elif defined(DOT_PRODUCT)
#if defined(MATRIX_PRODUCT)
/// multiply_bytes with products of 2 x 8 by 8 x 2 matrices: pairs of rows and
/// pairs of tokens, eight columns at a time.
INLINE void multiply_pairs(vi sums[][PARTS], const group *g, const activations *x, group_format f) {
    const int is_signed = f.highest > 127;
    int32x4_t acc[PACKED_TOKENS / 2][8];  // of rows r and r + 1 and tokens t and t
                                          // + 1: (r, t), (r, t + 1), (r + 1, t), …
    memset(acc, 0, sizeof acc);
    UNROLL_FOR (size_t j = 0; j < f.columns / 4; j += 2) {
        int8x16_t values[PACKED_TOKENS / 2];
        UNROLL_FOR (size_t pair = 0; pair < PACKED_TOKENS / 2; pair++)
            values[pair] = vcombine_s8(vld1_s8(x->blocks[2 * pair]->values + x->offset + 4 * j),
                                       vld1_s8(x->blocks[2 * pair + 1]->values + x->offset + 4 * j));
        UNROLL_FOR (size_t i = 0; i < 4; i++) {
            uint32x4_t even = vld1q_u32((const uint32_t *)g->weights[j] + 4 * i);
            uint32x4_t odd = vld1q_u32((const uint32_t *)g->weights[j + 1] + 4 * i);
            uint8x16_t flip = vdupq_n_u8(is_signed ? 128 : 0);
            uint8x16_t rows[2] = {veorq_u8(vreinterpretq_u8_u32(vzip1q_u32(even, odd)), flip),
                                  veorq_u8(vreinterpretq_u8_u32(vzip2q_u32(even, odd)), flip)};
            UNROLL_FOR (size_t pair = 0; pair < PACKED_TOKENS / 2; pair++)
                UNROLL_FOR (size_t half = 0; half < 2; half++)
                    acc[pair][2 * i + half] =
                        vmmlaq_s32(acc[pair][2 * i + half], vreinterpretq_s8_u8(rows[half]), values[pair]);
        }
    }
    UNROLL_FOR (size_t t = 0; t < PACKED_TOKENS; t++) {
        int32x4_t four_rows[4];
        UNROLL_FOR (size_t i = 0; i < 4; i++) {
            int32x4_t low = acc[t / 2][2 * i], high = acc[t / 2][2 * i + 1];
            four_rows[i] = vaddq_s32(t % 2 ? vuzp2q_s32(low, high) : vuzp1q_s32(low, high),
                                     vdupq_n_s32(is_signed ? 0 : minus_sum(x, t, f.offset)));
        }
        memcpy(sums[t], four_rows, sizeof four_rows);
    }
}
#endif

/// Weights of 8 bits are converted to signed bytes; then there is no offset.
INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
#if defined(MATRIX_PRODUCT)
    if (tokens == PACKED_TOKENS) return multiply_pairs(sums, g, x, f);
#endif
    const int is_signed = f.highest > 127;
    int32x4_t acc[PACKED_TOKENS][4];  // four rows each
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t i = 0; i < 4; i++) acc[t][i] = vdupq_n_s32(is_signed ? 0 : minus_sum(x, t, f.offset));
    UNROLL_FOR (size_t j = 0; j < f.columns / 4; j += 4) {
        int8x16_t values[PACKED_TOKENS];
        UNROLL_FOR (size_t t = 0; t < tokens; t++) values[t] = vld1q_s8(x->blocks[t]->values + x->offset + 4 * j);
#define ADD_FOUR(lane)                                                                       \
    UNROLL_FOR (size_t i = 0; i < 4; i++) {                                                  \
        uint8x16_t w = vld1q_u8((const uint8_t *)g->weights[j + lane] + 16 * i);             \
        if (is_signed) w = veorq_u8(w, vdupq_n_u8(128));                                     \
        UNROLL_FOR (size_t t = 0; t < tokens; t++)                                           \
            acc[t][i] = vdotq_laneq_s32(acc[t][i], vreinterpretq_s8_u8(w), values[t], lane); \
    }
        ADD_FOUR(0)
        ADD_FOUR(1)
        ADD_FOUR(2)
        ADD_FOUR(3)
#undef ADD_FOUR
    }
    UNROLL_FOR (size_t t = 0; t < tokens; t++) memcpy(sums[t], acc[t], sizeof acc[t]);
}
#elif defined(__x86_64__)
#if LANES == 16
typedef __m512i bytes;
#define X86(name) _mm512_##name
INLINE bytes with_sign_of(bytes x, bytes w) {
    return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
}
#else
typedef __m256i bytes;
#define X86(name) _mm256_##name
INLINE bytes with_sign_of(bytes x, bytes w) { return _mm256_sign_epi8(x, w); }
#endif
/// The part of a byte that is multiplied.
typedef enum { WHOLE_BYTE, LOW_NIBBLE, HIGH_NIBBLE } byte_part;

/// sums[t][part] += factor * the products of the bytes, or of one nibble of
/// each.  Pairs of products are added in 16 bits, and as many pairs as cannot
/// overflow, before they are widened to 32 bits.
INLINE void add_products(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, size_t columns,
                         int32_t highest, byte_part multiplied, int16_t factor) {
    const size_t max_pairs = INT16_MAX / (2 * 127 * highest);
    UNROLL_FOR (size_t begin = 0; begin < columns / 4; begin += max_pairs) {
        bytes pairs[PACKED_TOKENS][PARTS];
        UNROLL_FOR (size_t j = begin; j < columns / 4 && j < begin + max_pairs; j++) {
            vb w[PARTS];
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
                w[part] = g->weights[j][part];
                if (multiplied == LOW_NIBBLE) w[part] &= 15;
                if (multiplied == HIGH_NIBBLE) w[part] >>= 4;
            }
            UNROLL_FOR (size_t t = 0; t < tokens; t++) {
                const bytes x4 = (bytes)broadcast_four(x, t, j);
                UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
                    bytes products = X86(maddubs_epi16)((bytes)w[part], x4);
                    pairs[t][part] = j == begin ? products : X86(add_epi16)(pairs[t][part], products);
                }
                UNROLL_FOR (size_t part = 0; part < PARTS; part++) COMPILER_BARRIER(pairs[t][part]);
            }
        }
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++)
                sums[t][part] += (vi)X86(madd_epi16)(pairs[t][part], X86(set1_epi16)(factor));
    }
}

INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) sums[t][part] = 0;
    if (f.highest > 127 && tokens == 1) {  // |weight| * activation with the sign of the weight
        UNROLL_FOR (size_t j = 0; j < f.columns / 4; j++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
                bytes w = (bytes)(g->weights[j][part] ^ 128);
                bytes products = X86(maddubs_epi16)(X86(abs_epi8)(w), with_sign_of((bytes)broadcast_four(x, 0, j), w));
                sums[0][part] += (vi)X86(madd_epi16)(products, X86(set1_epi16)(1));
            }
        return;
    }
    if (f.highest < 128) {
        add_products(sums, g, x, tokens, f.columns, f.highest, WHOLE_BYTE, 1);
    } else {  // a pair of products of whole bytes would overflow 16 bits
        add_products(sums, g, x, tokens, f.columns, 15, LOW_NIBBLE, 1);
        add_products(sums, g, x, tokens, f.columns, 15, HIGH_NIBBLE, 16);
    }
    if (f.offset)
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) sums[t][part] += (vi)minus_sum(x, t, f.offset);
}
#else
INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
            sums[t][part] = (vi)minus_sum(x, t, f.offset);
            UNROLL_FOR (size_t j = 0; j < f.columns / 4; j++)
                UNROLL_FOR (size_t lane = 0; lane < LANES; lane++)
                    UNROLL_FOR (size_t k = 0; k < 4; k++)
                        sums[t][part][lane] +=
                            g->weights[j][part][4 * lane + k] * x->blocks[t]->values[x->offset + 4 * j + k];
        }
}
#endif

/// sums[t][part] += the products of a group with the activations of `tokens`
/// tokens.
INLINE void add_group(vf sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    vi products[PACKED_TOKENS][PARTS];
    multiply_bytes(products, g, x, tokens, f);
    UNROLL_FOR (size_t t = 0; t < tokens; t++) {
        const float scale = x->blocks[t]->scale;
        const vf minus = (vf)(f.columns == BLOCK ? x->blocks[t]->minus_sum : scale * (float)minus_sum(x, t, 1));
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
            vf product = __builtin_convertvector(products[t][part], vf);
            if (f.has_minimum) add_product(&sums[t][part], g->minima[part], minus);
            add_product(&sums[t][part], product, g->scales[part] * scale);
        }
        if (!MANY_REGISTERS)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) COMPILER_BARRIER(sums[t][part]);
    }
}

/// Runs the statement for the parts of PACKED_ROWS rows that have any of the
/// first `rows`, with `part` and with `n`, the number of its rows, as variables
/// of these names.
#define FOR_PARTS(part, n, rows, statement)                                                    \
    UNROLL_FOR (size_t part = 0; part < PARTS; part++)                                         \
        if (part * LANES < rows) {                                                             \
            size_t remaining = rows - part * LANES, n = remaining < LANES ? remaining : LANES; \
            statement;                                                                         \
        }

/// How far ahead of its use a weight is prefetched, in bytes: first into L2,
/// which has more misses in flight than L1, then into L1.  A few lines at a
/// time between the products: prefetching a whole super-block at once stalls
/// them.
#define PREFETCH_L2_BYTES 8192
#define PREFETCH_L1_BYTES 2048

/// Prefetches `count` bytes, whole cache lines, at both distances after
/// `weight`.
INLINE void prefetch_weight(const uint8_t *weight, size_t count) {
    UNROLL_FOR (size_t line = 0; line < count; line += 64) {
        __builtin_prefetch(weight + PREFETCH_L2_BYTES + line, 0, 1);
        __builtin_prefetch(weight + PREFETCH_L1_BYTES + line, 0, 3);
    }
}

/// Tokens up to which groups are unpacked in registers, again for every
/// PACKED_TOKENS tokens, rather than once into the cache.
#define FEW_TOKENS (MANY_REGISTERS ? 32 : LANES == 16 ? 16 : 8)

/// The format of the groups of a tile.  With VNNI the byte 128 stands for 0, so
/// that sums begin with minus_128_sums as they are.
INLINE group_format tile_format(block_type type) {
    group_format f = group_format_of(type);
#if defined(VNNI)
    if (f.offset) f.offset = 128;
#endif
    return f;
}

INLINE void read_tile_group(group *g, const uint8_t *b, size_t i, block_type type) {
    read_group(g, b, i, type);
    const int32_t raised = tile_format(type).offset - group_format_of(type).offset;
    if (raised)
        UNROLL_FOR (size_t j = 0; j < group_format_of(type).columns / 4; j++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) g->weights[j][part] += (vb)(uint8_t)raised;
}

/// Advances the pointers, each in a register of its own: derived from a common
/// index, they would be spilled.
INLINE void advance_blocks(const quantized_block **blocks, size_t count, size_t tokens) {
    UNROLL_FOR (size_t t = 0; t < tokens; t++) {
        blocks[t] += count;
        __asm__ volatile("" : "+r"(blocks[t]));
    }
}

/// The first `rows` of PACKED_ROWS rows times `tokens` tokens.
INLINE void packed_rows(float *out, size_t out_stride, const uint8_t *weight, const quantized_block *x, size_t columns,
                        size_t rows, size_t tokens, block_type type) {
    const size_t length = packed_size(type).length, block_bytes = packed_size(type).bytes;
    const size_t groups = length / group_format_of(type).columns, group_bytes = block_bytes / groups;
    // With a pointer to each token's activations as many groups are unrolled as
    // make all offsets from it constants.
    const int has_pointers = MANY_REGISTERS && tokens >= 4, is_short = group_format_of(type).columns == SHORT_SUB_BLOCK;
    // Several groups of 32 columns and several tokens need more registers than
    // there are.
    const size_t max_unrolled = tokens == 1 ? 4 : !is_short ? 1 : has_pointers ? 8 : 4;
    const size_t unrolled = groups < max_unrolled ? groups : max_unrolled;
    const group_format f = has_pointers ? tile_format(type) : group_format_of(type);
    vf sums[PACKED_TOKENS][PARTS] = {0};
    const quantized_block *blocks[PACKED_TOKENS];
    UNROLL_FOR (size_t t = 0; t < tokens; t++) blocks[t] = x + t * (columns / 32);
    for (size_t c = 0; c < columns; c += length, weight += block_bytes)
        for (size_t begin = 0; begin < groups; begin += unrolled) {
            UNROLL_FOR (size_t i = begin; i < begin + unrolled; i++) {
                group g;
                prefetch_weight(weight + i * group_bytes, group_bytes);
                if (has_pointers)
                    read_tile_group(&g, weight, i, type);
                else
                    read_group(&g, weight, i, type);
                const size_t column = has_pointers ? group_column(i - begin, type) : c + group_column(i, type);
                const activations operands = activations_at(blocks, column, tokens, type);
                add_group(sums, &g, &operands, tokens, f);
            }
            if (has_pointers) advance_blocks(blocks, unrolled * f.columns / 32, tokens);
        }
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        FOR_PARTS(part, n, rows, store(out + t * out_stride + part * LANES, sums[t][part], n));
}

/// Groups of a tile, unpacked: 40 KB.
#define TILE_GROUPS 64

/// sums += the groups, `count` of them; columns of groups are in order but
/// within each `stretch` of them.
INLINE void add_groups(vf sums[][PARTS], const group *groups, size_t count, const quantized_block *x, size_t x_stride,
                       size_t tokens, size_t stretch, block_type type) {
    const group_format f = tile_format(type);
    const quantized_block *blocks[PACKED_TOKENS];
    UNROLL_FOR (size_t t = 0; t < tokens; t++) blocks[t] = x + t * x_stride;
    for (size_t i = 0; i < count; i += stretch) {
        UNROLL_FOR (size_t k = 0; k < stretch; k++) {
            const activations operands = activations_at(blocks, group_column(k, type), tokens, type);
            add_group(sums, groups + i + k, &operands, tokens, f);
        }
        advance_blocks(blocks, stretch * f.columns / 32, tokens);
    }
}

/// The same, group by group: there are too few registers for eight groups at
/// once.
INLINE void add_groups_by_index(vf sums[][PARTS], const group *groups, size_t count, const quantized_block *x,
                                size_t x_stride, size_t tokens, block_type type) {
    const size_t length = packed_size(type).length, per_block = length / group_format_of(type).columns;
    const quantized_block *blocks[PACKED_TOKENS];
    UNROLL_FOR (size_t t = 0; t < tokens; t++) blocks[t] = x + t * x_stride;
    for (size_t i = 0; i < count; i++) {
        const size_t c = i / per_block * length + group_column(i % per_block, type);
        const activations operands = activations_at(blocks, c, tokens, type);
        add_group(sums, groups + i, &operands, tokens, tile_format(type));
    }
}

/// The first `rows` of PACKED_ROWS rows times `tokens` tokens over `count`
/// groups; added to `out` unless `is_first`.
INLINE void packed_tile(float *out, size_t out_stride, const group *groups, size_t count, const quantized_block *x,
                        size_t x_stride, size_t rows, size_t tokens, int is_first, block_type type) {
    vf sums[PACKED_TOKENS][PARTS] = {0};
    if (!is_first)
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            FOR_PARTS(part, n, rows, sums[t][part] = load(out + t * out_stride + part * LANES, n));
    if (group_format_of(type).columns == BLOCK)
        add_groups(sums, groups, count, x, x_stride, tokens, 1, type);
    else if (MANY_REGISTERS)
        add_groups(sums, groups, count, x, x_stride, tokens, 8, type);
    else
        add_groups_by_index(sums, groups, count, x, x_stride, tokens, type);
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        FOR_PARTS(part, n, rows, store(out + t * out_stride + part * LANES, sums[t][part], n));
}

/// For many tokens: a range of columns at a time, unpacked once for all of
/// them.
INLINE void packed_tiles(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *s,
                         block_type type) {
    const size_t length = packed_size(type).length, block_bytes = packed_size(type).bytes;
    const size_t per_block = length / group_format_of(type).columns, x_stride = s->columns / 32;
    group groups[TILE_GROUPS];
    for (size_t c = 0; c < s->columns; c += TILE_GROUPS / per_block * length)
        for (size_t r = s->first_row; r < s->end_row; r += PACKED_ROWS) {
            const uint8_t *b = weight + r * s->weight_stride + c / length * block_bytes;
            size_t count = 0;
            for (; count < TILE_GROUPS && c + count / per_block * length < s->columns; b += block_bytes)
                for (size_t i = 0; i < per_block; i++) read_tile_group(groups + count++, b, i, type);
            for (size_t t = 0, tokens; t < s->tokens; t += tokens) {
                float *tile = out + t * s->out_stride + r;
                const quantized_block *tile_x = x + t * x_stride + c / 32;
                const size_t rows = s->end_row - r < PACKED_ROWS ? s->end_row - r : PACKED_ROWS;
                const size_t remaining = s->tokens - t;
                tokens = remaining >= PACKED_TOKENS ? PACKED_TOKENS : remaining >= 4 ? 4 : 1;
#define TILE(tokens) packed_tile(tile, s->out_stride, groups, count, tile_x, x_stride, rows, tokens, c == 0, type)
                if (tokens == PACKED_TOKENS)
                    TILE(PACKED_TOKENS);
                else if (tokens == 4)
                    TILE(4);
                else
                    TILE(1);
#undef TILE
            }
        }
}

INLINE void packed_type(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *s,
                        block_type type) {
    if (s->tokens > FEW_TOKENS) return packed_tiles(out, weight, x, s, type);
    for (size_t r = s->first_row; r < s->end_row; r += PACKED_ROWS) {
        const size_t rows = s->end_row - r < PACKED_ROWS ? s->end_row - r : PACKED_ROWS;
        for (size_t t = 0, tokens; t < s->tokens; t += tokens) {
            const size_t remaining = s->tokens - t;
            tokens = remaining >= PACKED_TOKENS ? PACKED_TOKENS
                     : remaining >= 8           ? 8
                     : remaining >= 4           ? 4
                     : remaining >= 2           ? 2
                                                : 1;
#define ROWS(tokens)                                                                                                  \
    packed_rows(out + t * s->out_stride + r, s->out_stride, weight + r * s->weight_stride, x + t * (s->columns / 32), \
                s->columns, rows, tokens, type)
            switch (tokens) {
                case 1: ROWS(1); break;
                case 2: ROWS(2); break;
#if LANES == 16
                case 4: ROWS(4); break;
#endif
#if MANY_REGISTERS
                case 8: ROWS(8); break;
#endif
                default: ROWS(PACKED_TOKENS);
            }
#undef ROWS
        }
    }
}

static void packed_product(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *s,
                           block_type type) {
    switch (type) {
#define CASE(name, length, scales) \
    case BLOCK_##name: packed_type(out, weight, x, s, BLOCK_##name); break;
        BLOCK_TYPES(CASE)
#undef CASE
        default: break;
    }
}

static void quantize(quantized_block *out, const float *x, size_t count) {
    typedef int8_t vs __attribute__((ext_vector_type(LANES)));
    for (size_t c = 0; c < count; c += 32, out++) {
        vf largest = 0, zero = 0;
        UNROLL_FOR (size_t i = 0; i < 32; i += LANES) {
            vf v = load(x + c + i, LANES);
            largest = __builtin_elementwise_max(largest, __builtin_elementwise_abs(v));
            zero += v * 0.0f;  // NaN if any x is NaN or infinite
        }
        float peak = __builtin_reduce_max(largest), nan_or_zero = __builtin_reduce_or((vi)(zero != zero)) ? NAN : 0;
        if (peak < QUANTIZED_LEAST) peak = 0;
        float inverse = peak > 0 ? 127 / peak : 0;
        out->scale = peak / 127 + nan_or_zero;
        vi sums[2] = {0};
        UNROLL_FOR (size_t i = 0; i < 32; i += LANES) {
            vi rounded = __builtin_convertvector(__builtin_elementwise_rint(load(x + c + i, LANES) * inverse), vi);
            vs narrow = __builtin_convertvector(rounded, vs);
            memcpy(out->values + i, &narrow, sizeof narrow);
            sums[i / 16] -= rounded;
        }
        out->minus_128_sums[0] = 128 * __builtin_reduce_add(sums[0]);
        out->minus_128_sums[1] = 128 * __builtin_reduce_add(sums[1]);
        out->minus_128_sums[2] = out->minus_128_sums[0] + out->minus_128_sums[1];
        out->minus_sum = out->scale * (float)(out->minus_128_sums[2] / 128);
    }
}
