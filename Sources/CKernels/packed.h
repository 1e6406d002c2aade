// Products of quantised weights with activations of 8 bits: sums of bytes, which are exact, times scales.
//
// Four columns of LANES rows are one vector, which meets the same four activations in every lane.  Few tokens take each
// group of columns as it is read, in registers; many take the groups of a stretch of columns from the cache, a tile of
// tokens at a time.
//
// Every sum is made group after group by the same operations wherever its row and token lie, so results do not depend
// on how callers cut their rows and tokens.

#include "groups.h"

/// Whether there are registers for twelve tokens: 32, each with a row in a lane, and no sums of 16 bits beside.
#if LANES == 16 && defined(VNNI)
#define MANY_REGISTERS 1
#else
#define MANY_REGISTERS 0
#endif

/// Tokens whose sums stay in registers.
#define PACKED_TOKENS (MANY_REGISTERS ? 12 : LANES == 16 ? 8 : 4)

/// The 16 or 32 activations that a group meets, of several tokens.
typedef struct {
    const quantized_block *blocks[PACKED_TOKENS];
    size_t first, which;  ///< the first activation of a block; which of its sums
} activations;

/// What the group meets that begins at `column`, of tokens whose columns begin at `blocks`.
INLINE activations activations_at(const quantized_block *const *blocks, size_t column, size_t tokens, block_type type) {
    const size_t half = column / 16 % 2;
    activations some = {.first = 16 * half, .which = format_of(type).columns == 32 ? 2 : half};
    UNROLL for (size_t t = 0; t < tokens; t++) some.blocks[t] = blocks[t] + column / 32;
    return some;
}

/// -factor * the sum of the activations of token t.
INLINE int32_t minus_sum(const activations *x, size_t t, int32_t factor) {
    const int32_t of_128 = x->blocks[t]->minus_128_sums[x->which];
    return factor == 128 ? of_128 : (of_128 >> 7) * factor;
}

/// Activations 4j to 4j + 3 of token t for every lane.
INLINE vi four(const activations *x, size_t t, size_t j) {
    int32_t bytes;
    memcpy(&bytes, x->blocks[t]->values + x->first + 4 * j, sizeof bytes);
    return (vi)bytes;
}

// Finishes v before what follows is read: else the compiler holds numbers of all tokens, more than there are registers.
#if defined(__x86_64__)
#define DONE(v) __asm__ volatile("" : "+v"(v) : : "memory")
#else
#define DONE(v)
#endif

/// sum += a * b, and with many registers where sum is: the compiler would write it over a or b, and copy it back.
INLINE void add_product(vf *sum, vf a, vf b) {
#if MANY_REGISTERS
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b) : "memory");
#else
    *sum = fma_vf(a, b, *sum);
#endif
}

// multiply_bytes: sums[t][part] = the sum of (byte - offset) * activation of the group's columns and token t.
#if defined(VNNI)
INLINE vi add_four(vi sum, vb w, vi x4) {
#if LANES == 16
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x4);
#else
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, (__m256i)x4);
#endif
}

INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t part = 0; part < PARTS; part++) sums[t][part] = (vi)minus_sum(x, t, f.offset);
    UNROLL for (size_t j = 0; j < f.columns / 4; j++)
        UNROLL for (size_t t = 0; t < tokens; t++)
            UNROLL for (size_t part = 0; part < PARTS; part++)
                sums[t][part] = add_four(sums[t][part], g->weights[j][part], four(x, t, j));
}
#elif defined(DOT_PRODUCT)
#if defined(MATRIX_PRODUCT)
/// The same for pairs of rows and pairs of tokens, eight columns at a time.
INLINE void multiply_pairs(vi sums[][PARTS], const group *g, const activations *x, group_format f) {
    const int is_signed = f.highest > 127;
    int32x4_t acc[PACKED_TOKENS / 2][8];  // of rows r and r + 1 and tokens t and t + 1: (r, t), (r, t + 1), (r + 1, t), …
    memset(acc, 0, sizeof acc);
    UNROLL for (size_t j = 0; j < f.columns / 4; j += 2) {
        int8x16_t values[PACKED_TOKENS / 2];
        UNROLL for (size_t pair = 0; pair < PACKED_TOKENS / 2; pair++)
            values[pair] = vcombine_s8(vld1_s8(x->blocks[2 * pair]->values + x->first + 4 * j),
                                       vld1_s8(x->blocks[2 * pair + 1]->values + x->first + 4 * j));
        UNROLL for (size_t i = 0; i < 4; i++) {
            uint32x4_t first = vld1q_u32((const uint32_t *)g->weights[j] + 4 * i);
            uint32x4_t next = vld1q_u32((const uint32_t *)g->weights[j + 1] + 4 * i);
            uint8x16_t flip = vdupq_n_u8(is_signed ? 128 : 0);
            uint8x16_t rows[2] = {veorq_u8(vreinterpretq_u8_u32(vzip1q_u32(first, next)), flip),
                                  veorq_u8(vreinterpretq_u8_u32(vzip2q_u32(first, next)), flip)};
            UNROLL for (size_t pair = 0; pair < PACKED_TOKENS / 2; pair++)
                UNROLL for (size_t half = 0; half < 2; half++)
                    acc[pair][2 * i + half] =
                        vmmlaq_s32(acc[pair][2 * i + half], vreinterpretq_s8_u8(rows[half]), values[pair]);
        }
    }
    UNROLL for (size_t t = 0; t < PACKED_TOKENS; t++) {
        int32x4_t four_rows[4];
        UNROLL for (size_t i = 0; i < 4; i++) {
            int32x4_t low = acc[t / 2][2 * i], high = acc[t / 2][2 * i + 1];
            four_rows[i] = vaddq_s32(t % 2 ? vuzp2q_s32(low, high) : vuzp1q_s32(low, high),
                                     vdupq_n_s32(is_signed ? 0 : minus_sum(x, t, f.offset)));
        }
        memcpy(sums[t], four_rows, sizeof four_rows);
    }
}
#endif

/// Bytes of 8 bits are read as signed numbers: they count from their offset.
INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
#if defined(MATRIX_PRODUCT)
    if (tokens == PACKED_TOKENS) return multiply_pairs(sums, g, x, f);
#endif
    const int is_signed = f.highest > 127;
    int32x4_t acc[PACKED_TOKENS][4];  // four rows each
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t i = 0; i < 4; i++) acc[t][i] = vdupq_n_s32(is_signed ? 0 : minus_sum(x, t, f.offset));
    UNROLL for (size_t j = 0; j < f.columns / 4; j += 4) {
        int8x16_t values[PACKED_TOKENS];
        UNROLL for (size_t t = 0; t < tokens; t++)
            values[t] = vld1q_s8(x->blocks[t]->values + x->first + 4 * j);
#define ADD_FOUR(lane)                                                                                          \
    UNROLL for (size_t i = 0; i < 4; i++) {                                                                     \
        uint8x16_t w = vld1q_u8((const uint8_t *)g->weights[j + lane] + 16 * i);                                \
        if (is_signed) w = veorq_u8(w, vdupq_n_u8(128));                                                        \
        UNROLL for (size_t t = 0; t < tokens; t++)                                                              \
            acc[t][i] = vdotq_laneq_s32(acc[t][i], vreinterpretq_s8_u8(w), values[t], lane);                    \
    }
        ADD_FOUR(0)
        ADD_FOUR(1)
        ADD_FOUR(2)
        ADD_FOUR(3)
#undef ADD_FOUR
    }
    UNROLL for (size_t t = 0; t < tokens; t++) memcpy(sums[t], acc[t], sizeof acc[t]);
}
#elif defined(__x86_64__)
#if LANES == 16
typedef __m512i bytes;
#define X86(name) _mm512_##name
INLINE bytes turned(bytes x, bytes w) {
    return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
}
#else
typedef __m256i bytes;
#define X86(name) _mm256_##name
INLINE bytes turned(bytes x, bytes w) { return _mm256_sign_epi8(x, w); }
#endif
/// What of a byte is multiplied.
typedef enum { BOTH, LOW, HIGH } nibble;

/// sums[t][part] += factor * the products of the bytes, or of one nibble of each: two products are added in 16 bits,
/// and as many of these sums as fit, before they become 32.
INLINE void add_products(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, size_t columns,
                         int32_t highest, nibble which, int16_t factor) {
    const size_t together = INT16_MAX / (2 * 127 * highest);
    UNROLL for (size_t first = 0; first < columns / 4; first += together) {
        bytes pairs[PACKED_TOKENS][PARTS];
        UNROLL for (size_t j = first; j < columns / 4 && j < first + together; j++) {
            vb w[PARTS];
            UNROLL for (size_t part = 0; part < PARTS; part++) {
                w[part] = g->weights[j][part];
                if (which == LOW) w[part] &= 15;
                if (which == HIGH) w[part] >>= 4;
            }
            UNROLL for (size_t t = 0; t < tokens; t++) {
                const bytes x4 = (bytes)four(x, t, j);
                UNROLL for (size_t part = 0; part < PARTS; part++) {
                    bytes products = X86(maddubs_epi16)((bytes)w[part], x4);
                    pairs[t][part] = j == first ? products : X86(add_epi16)(pairs[t][part], products);
                }
                UNROLL for (size_t part = 0; part < PARTS; part++) DONE(pairs[t][part]);
            }
        }
        UNROLL for (size_t t = 0; t < tokens; t++)
            UNROLL for (size_t part = 0; part < PARTS; part++)
                sums[t][part] += (vi)X86(madd_epi16)(pairs[t][part], X86(set1_epi16)(factor));
    }
}

INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t part = 0; part < PARTS; part++) sums[t][part] = 0;
    if (f.highest > 127 && tokens == 1) {  // the signs go to the activations
        UNROLL for (size_t j = 0; j < f.columns / 4; j++)
            UNROLL for (size_t part = 0; part < PARTS; part++) {
                bytes w = (bytes)(g->weights[j][part] ^ 128);
                bytes products = X86(maddubs_epi16)(X86(abs_epi8)(w), turned((bytes)four(x, 0, j), w));
                sums[0][part] += (vi)X86(madd_epi16)(products, X86(set1_epi16)(1));
            }
        return;
    }
    if (f.highest < 128) {
        add_products(sums, g, x, tokens, f.columns, f.highest, BOTH, 1);
    } else {  // two products of 8 bits each would not fit 16
        add_products(sums, g, x, tokens, f.columns, 15, LOW, 1);
        add_products(sums, g, x, tokens, f.columns, 15, HIGH, 16);
    }
    if (f.offset)
        UNROLL for (size_t t = 0; t < tokens; t++)
            UNROLL for (size_t part = 0; part < PARTS; part++) sums[t][part] += (vi)minus_sum(x, t, f.offset);
}
#else
INLINE void multiply_bytes(vi sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t part = 0; part < PARTS; part++) {
            sums[t][part] = (vi)minus_sum(x, t, f.offset);
            UNROLL for (size_t j = 0; j < f.columns / 4; j++)
                UNROLL for (size_t lane = 0; lane < LANES; lane++)
                    UNROLL for (size_t k = 0; k < 4; k++)
                        sums[t][part][lane] += g->weights[j][part][4 * lane + k] *
                                               x->blocks[t]->values[x->first + 4 * j + k];
        }
}
#endif

/// sums[t][part] += the products of a group with the activations of `tokens` tokens.
INLINE void add_group(vf sums[][PARTS], const group *g, const activations *x, size_t tokens, group_format f) {
    vi products[PACKED_TOKENS][PARTS];
    multiply_bytes(products, g, x, tokens, f);
    UNROLL for (size_t t = 0; t < tokens; t++) {
        const float scale = x->blocks[t]->scale;
        const vf minus = (vf)(f.columns == 32 ? x->blocks[t]->minus_sum : scale * (float)minus_sum(x, t, 1));
        UNROLL for (size_t part = 0; part < PARTS; part++) {
            vf product = __builtin_convertvector(products[t][part], vf);
            if (f.has_minimum) add_product(&sums[t][part], g->minima[part], minus);
            add_product(&sums[t][part], product, g->scales[part] * scale);
        }
        if (!MANY_REGISTERS)
            UNROLL for (size_t part = 0; part < PARTS; part++) DONE(sums[t][part]);
    }
}

/// Runs the statement with `part` and `n` for the parts of 16 rows that hold the first `rows`, and how many each holds.
#define FOR_PARTS(rows, statement)                                              \
    UNROLL for (size_t part = 0; part < PARTS; part++)                          \
        if (part * LANES < rows) {                                              \
            size_t left = rows - part * LANES, n = left < LANES ? left : LANES; \
            statement;                                                          \
        }

/// How far ahead of its use a weight is asked for, in bytes: early into the second cache, which waits for more lines at a time
/// than the first, and then into the first.  In small portions between the products: a whole block of 256 columns at once
/// makes them wait.
#define FAR_AHEAD 8192
#define AHEAD 2048

/// Asks for the `count` bytes, whole cache lines, that come so far after `weight`.
INLINE void prefetch_weight(const uint8_t *weight, size_t count) {
    UNROLL for (size_t line = 0; line < count; line += 64) {
        __builtin_prefetch(weight + FAR_AHEAD + line, 0, 1);
        __builtin_prefetch(weight + AHEAD + line, 0, 3);
    }
}

/// Batch size up to which each group is unpacked in registers for every PACKED_TOKENS tokens, not once into the cache.
#define FEW_TOKENS (MANY_REGISTERS ? 32 : LANES == 16 ? 16 : 8)

/// The format of groups that lie unpacked.  With VNNI bytes count from 128, so that products begin with the sums of the
/// activations as they are stored.
INLINE group_format tile_format(block_type type) {
    group_format f = format_of(type);
#if defined(VNNI)
    if (f.offset) f.offset = 128;
#endif
    return f;
}

INLINE void read_tile_group(group *g, const uint8_t *b, size_t i, block_type type) {
    read_group(g, b, i, type);
    const int32_t raised = tile_format(type).offset - format_of(type).offset;
    if (raised)
        UNROLL for (size_t j = 0; j < format_of(type).columns / 4; j++)
            UNROLL for (size_t part = 0; part < PARTS; part++) g->weights[j][part] += (vb)(uint8_t)raised;
}

/// Moves the pointers on. Each stays in a register of its own: the compiler would make them of a common index, and spill.
INLINE void advance(const quantized_block **blocks, size_t count, size_t tokens) {
    UNROLL for (size_t t = 0; t < tokens; t++) {
        blocks[t] += count;
        __asm__ volatile("" : "+r"(blocks[t]));
    }
}

/// The first `rows` of 16 rows times `tokens` tokens.
INLINE void packed_rows(float *out, size_t out_stride, const uint8_t *weight, const quantized_block *x, size_t columns,
                        size_t rows, size_t tokens, block_type type) {
    const size_t length = size_of(type).length, groups = length / format_of(type).columns;
    const size_t share = 16 * size_of(type).bytes / groups;
    // Several tokens have a pointer each, in a register, and the groups are unrolled whose offsets from it are constants.
    const int has_pointers = MANY_REGISTERS && tokens >= 4;
    const size_t most = tokens == 1 ? 4 : format_of(type).columns == 32 ? 1 : has_pointers ? 8 : 4;
    const size_t together = groups < most ? groups : most;
    const group_format f = has_pointers ? tile_format(type) : format_of(type);
    vf sums[PACKED_TOKENS][PARTS] = {0};
    const quantized_block *blocks[PACKED_TOKENS];
    UNROLL for (size_t t = 0; t < tokens; t++) blocks[t] = x + t * (columns / 32);
    for (size_t c = 0; c < columns; c += length, weight += 16 * size_of(type).bytes)
        for (size_t first = 0; first < groups; first += together) {
            UNROLL for (size_t i = first; i < first + together; i++) {
                group g;
                prefetch_weight(weight + i * share, share);
                if (has_pointers)
                    read_tile_group(&g, weight, i, type);
                else
                    read_group(&g, weight, i, type);
                const size_t column = has_pointers ? column_of(i - first, type) : c + column_of(i, type);
                const activations some = activations_at(blocks, column, tokens, type);
                add_group(sums, &g, &some, tokens, f);
            }
            if (has_pointers) advance(blocks, together * f.columns / 32, tokens);
        }
    UNROLL for (size_t t = 0; t < tokens; t++)
        FOR_PARTS(rows, store(out + t * out_stride + part * LANES, sums[t][part], n));
}

/// Groups that lie unpacked at once, 40 KB.
#define GROUPS 64

/// sums += the groups, whose columns go on in order after every `stretch` of them.
INLINE void add_groups(vf sums[][PARTS], const group *groups, size_t count, const quantized_block *x, size_t x_stride,
                       size_t tokens, size_t stretch, block_type type) {
    const group_format f = tile_format(type);
    const quantized_block *blocks[PACKED_TOKENS];
    UNROLL for (size_t t = 0; t < tokens; t++) blocks[t] = x + t * x_stride;
    for (size_t i = 0; i < count; i += stretch) {
        UNROLL for (size_t k = 0; k < stretch; k++) {
            const activations some = activations_at(blocks, column_of(k, type), tokens, type);
            add_group(sums, groups + i + k, &some, tokens, f);
        }
        advance(blocks, stretch * f.columns / 32, tokens);
    }
}

/// The same, each group at its column: there are too few registers for eight groups at once.
INLINE void add_groups_by_index(vf sums[][PARTS], const group *groups, size_t count, const quantized_block *x,
                                size_t x_stride, size_t tokens, block_type type) {
    const size_t together = size_of(type).length / format_of(type).columns;
    const quantized_block *blocks[PACKED_TOKENS];
    UNROLL for (size_t t = 0; t < tokens; t++) blocks[t] = x + t * x_stride;
    for (size_t i = 0; i < count; i++) {
        const size_t c = i / together * size_of(type).length + column_of(i % together, type);
        const activations some = activations_at(blocks, c, tokens, type);
        add_group(sums, groups + i, &some, tokens, tile_format(type));
    }
}

/// The first `rows` of 16 rows times `tokens` tokens, over `count` groups; added to `out` unless they are the first.
INLINE void packed_tile(float *out, size_t out_stride, const group *groups, size_t count, const quantized_block *x,
                        size_t x_stride, size_t rows, size_t tokens, int is_first, block_type type) {
    vf sums[PACKED_TOKENS][PARTS] = {0};
    if (!is_first)
        UNROLL for (size_t t = 0; t < tokens; t++)
            FOR_PARTS(rows, sums[t][part] = load(out + t * out_stride + part * LANES, n));
    if (format_of(type).columns == 32)
        add_groups(sums, groups, count, x, x_stride, tokens, 1, type);
    else if (MANY_REGISTERS)
        add_groups(sums, groups, count, x, x_stride, tokens, 8, type);
    else
        add_groups_by_index(sums, groups, count, x, x_stride, tokens, type);
    UNROLL for (size_t t = 0; t < tokens; t++)
        FOR_PARTS(rows, store(out + t * out_stride + part * LANES, sums[t][part], n));
}

/// The rows times several tokens, a stretch of columns at a time.
INLINE void packed_tiles(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *s,
                         block_type type) {
    const size_t length = size_of(type).length, per_block = length / format_of(type).columns, x_stride = s->columns / 32;
    group groups[GROUPS];
    for (size_t c = 0; c < s->columns; c += GROUPS / per_block * length)
        for (size_t r = s->first_row; r < s->end_row; r += 16) {
            const uint8_t *b = weight + r * s->weight_stride + c / length * 16 * size_of(type).bytes;
            size_t count = 0;
            for (; count < GROUPS && c + count / per_block * length < s->columns; b += 16 * size_of(type).bytes)
                for (size_t i = 0; i < per_block; i++) read_tile_group(groups + count++, b, i, type);
            for (size_t t = 0, taken; t < s->tokens; t += taken) {
                float *tile = out + t * s->out_stride + r;
                const quantized_block *first = x + t * x_stride + c / 32;
                const size_t rows = s->end_row - r < 16 ? s->end_row - r : 16, left = s->tokens - t;
                taken = left >= PACKED_TOKENS ? PACKED_TOKENS : left >= 4 ? 4 : 1;
                if (taken == PACKED_TOKENS)
                    packed_tile(tile, s->out_stride, groups, count, first, x_stride, rows, PACKED_TOKENS, c == 0, type);
                else if (taken == 4)
                    packed_tile(tile, s->out_stride, groups, count, first, x_stride, rows, 4, c == 0, type);
                else
                    packed_tile(tile, s->out_stride, groups, count, first, x_stride, rows, 1, c == 0, type);
            }
        }
}

INLINE void packed_type(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *s,
                        block_type type) {
    if (s->tokens > FEW_TOKENS) return packed_tiles(out, weight, x, s, type);
    for (size_t r = s->first_row; r < s->end_row; r += 16) {
        const size_t rows = s->end_row - r < 16 ? s->end_row - r : 16;
        for (size_t t = 0, taken; t < s->tokens; t += taken) {
            float *first = out + t * s->out_stride + r;
            const uint8_t *b = weight + r * s->weight_stride;
            const quantized_block *some = x + t * (s->columns / 32);
            const size_t left = s->tokens - t;
            taken = left >= PACKED_TOKENS ? PACKED_TOKENS : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
#define ROWS(tokens) packed_rows(first, s->out_stride, b, some, s->columns, rows, tokens, type)
            switch (taken) {
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
#define CASE(name, length, bytes) \
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
        UNROLL for (size_t i = 0; i < 32; i += LANES) {
            vf v = load(x + c + i, LANES);
            largest = __builtin_elementwise_max(largest, __builtin_elementwise_abs(v));
            zero += v * 0.0f;  // NaN if any x is NaN or infinite
        }
        float peak = __builtin_reduce_max(largest), none = __builtin_reduce_or((vi)(zero != zero)) ? NAN : 0;
        if (peak < QUANTIZED_LEAST) peak = 0;
        float inverse = peak > 0 ? 127 / peak : 0;
        out->scale = peak / 127 + none;
        vi sums[2] = {0};
        UNROLL for (size_t i = 0; i < 32; i += LANES) {
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
