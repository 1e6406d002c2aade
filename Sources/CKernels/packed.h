// Products of quantised weights with activations of 8 bits: sums of bytes, which are exact, times scales.
//
// Sixteen rows of a weight lie together.  A packed block is that block of the 16 rows, cut into units of 1, 2 or 4 bytes
// that take turns: the first unit of each row, then the second of each, ….  So it is as large as in the file, four
// bytes of each of LANES rows are one vector, and `dot` multiplies them by the same four activations.  pack.c lays the
// parts of a block in the order in which they are read here: out of order, q6_K came at half the memory's speed.
//
// Every sum is made block after block by the same operations wherever its row and token lie, so results do not depend
// on how callers cut their rows and tokens.

typedef uint8_t vb __attribute__((ext_vector_type(4 * LANES)));
typedef uint8_t vb1 __attribute__((ext_vector_type(LANES)));

INLINE vb load_bytes(const uint8_t *b) {
    vb v;
    memcpy(&v, b, sizeof v);
    return v;
}

INLINE vi load_small(const uint8_t *b) {
    vb1 v;
    memcpy(&v, b, sizeof v);
    return __builtin_convertvector(v, vi);
}

/// Four activations for every lane.
INLINE int32_t four(const int8_t *x) {
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return bytes;
}

// dot: acc + the sums of n times four products in each lane, weights 0…highest, n activations of four bytes at `x`.
// dot_signed: the same for weights -128…127, of acc that start_signed made from minus the sum of the activations.
#if defined(VNNI)
INLINE vi dot(vi acc, const vb *w, const int8_t *x, size_t n, int32_t highest) {
    UNROLL for (size_t j = 0; j < n; j++)
        acc = (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)w[j], _mm512_set1_epi32(four(x + 4 * j)));
    return acc;
}
INLINE vi start_signed(int32_t minus_sum) { return (vi)minus_sum * 128; }
INLINE vi dot_signed(vi acc, const vb *w, const int8_t *x, size_t n) {
    UNROLL for (size_t j = 0; j < n; j++)
        acc = (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)(w[j] ^ 128), _mm512_set1_epi32(four(x + 4 * j)));
    return acc;
}
#else
INLINE vi start_signed(int32_t minus_sum) { return (vi)(0 * minus_sum); }
#if defined(__x86_64__)
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
/// Sums of two products in 16 bits, as many as fit, before they become 32.
INLINE vi dot(vi acc, const vb *w, const int8_t *x, size_t n, int32_t highest) {
    const size_t together = INT16_MAX / (2 * 127 * highest);
    UNROLL for (size_t j = 0; j < n; j += together) {
        bytes pairs = X86(maddubs_epi16)((bytes)w[j], X86(set1_epi32)(four(x + 4 * j)));
        UNROLL for (size_t k = j + 1; k < n && k < j + together; k++)
            pairs = X86(add_epi16)(pairs, X86(maddubs_epi16)((bytes)w[k], X86(set1_epi32)(four(x + 4 * k))));
        acc += (vi)X86(madd_epi16)(pairs, X86(set1_epi16)(1));
    }
    return acc;
}
INLINE vi dot_signed(vi acc, const vb *w, const int8_t *x, size_t n) {
    UNROLL for (size_t j = 0; j < n; j++) {
        bytes x4 = turned(X86(set1_epi32)(four(x + 4 * j)), (bytes)w[j]);
        acc += (vi)X86(madd_epi16)(X86(maddubs_epi16)(X86(abs_epi8)((bytes)w[j]), x4), X86(set1_epi16)(1));
    }
    return acc;
}
#else
INLINE vi dot_signed(vi acc, const vb *w, const int8_t *x, size_t n) {
    UNROLL for (size_t j = 0; j < n; j++)
        UNROLL for (size_t lane = 0; lane < LANES; lane++)
            UNROLL for (size_t k = 0; k < 4; k++) acc[lane] += (int8_t)w[j][4 * lane + k] * x[4 * j + k];
    return acc;
}
INLINE vi dot(vi acc, const vb *w, const int8_t *x, size_t n, int32_t highest) { return dot_signed(acc, w, x, n); }
#endif
#endif

/// Minus the sum of the `count` activations, 16 or 32, of token t from column c on.
INLINE int32_t minus_sum(const quantized_rows *x, size_t t, size_t c, size_t count) {
    return x->minus_sums[(t * (x->columns / 32) + c / 32) * 3 + (count == 32 ? 2 : c / 16 % 2)];
}

/// Tokens whose sums stay in registers.
#define PACKED_TOKENS (LANES == 16 ? 8 : 4)

/// sums[t] += factor * scale(t) * the products of 4n columns from column c on; weights 0…highest count from -offset.
INLINE void add_products(vf *sums, const vb *w, size_t n, int32_t highest, vf factor, int32_t offset,
                         const quantized_rows *x, size_t c, size_t tokens) {
    UNROLL for (size_t t = 0; t < tokens; t++) {
        const int8_t *values = x->values + t * x->columns + c;
        vi acc = (vi)minus_sum(x, t, c, 4 * n) * offset;
        acc = dot(acc, w, values, n, highest);
        sums[t] = fma_vf(__builtin_convertvector(acc, vf), factor * x->scales[t * (x->columns / 32) + c / 32], sums[t]);
    }
}

/// The same for 32 columns of weights -128…127.
INLINE void add_signed_products(vf *sums, const vb *w, vf factor, const quantized_rows *x, size_t c, size_t tokens) {
    UNROLL for (size_t t = 0; t < tokens; t++) {
        const int8_t *values = x->values + t * x->columns + c;
        vi acc = dot_signed(start_signed(minus_sum(x, t, c, 32)), w, values, 8);
        sums[t] = fma_vf(__builtin_convertvector(acc, vf), factor * x->scales[t * (x->columns / 32) + c / 32], sums[t]);
    }
}

/// sums[t] -= minimum * the sum of the activations of `count` columns, 16 or 32, from column c on.
INLINE void subtract_minimum(vf *sums, vf minimum, size_t count, const quantized_rows *x, size_t c, size_t tokens) {
    UNROLL for (size_t t = 0; t < tokens; t++) {
        float scaled = x->scales[t * (x->columns / 32) + c / 32] * (float)minus_sum(x, t, c, count);
        sums[t] = fma_vf(minimum, (vf)scaled, sums[t]);
    }
}

/// 32 weights of 4 bits, the low nibbles are the first half.
INLINE void load_nibbles(vb w[8], const uint8_t *b) {
    UNROLL for (size_t j = 0; j < 4; j++) {
        vb nibbles = load_bytes(b + 64 * j);
        w[j] = nibbles & 15;
        w[4 + j] = nibbles >> 4;
    }
}

/// Fifth bits: bit i of each row's word belongs to weight i.  The product copies four bits to the lowest of four bytes.
INLINE void add_fifth_bits(vb w[8], const uint8_t *b) {
    vi words;
    memcpy(&words, b, sizeof words);
    UNROLL for (size_t j = 0; j < 8; j++) w[j] |= (vb)(((words >> (int)(4 * j) & 15) * 0x204081 & 0x01010101) << 4);
}

/// The values that the sixteen numbers of iq4_nl and iq4_xs stand for.
INLINE vb look_up(vb numbers) {
    vb table;
    UNROLL for (size_t i = 0; i < 4 * LANES; i += 16) memcpy((uint8_t *)&table + i, iq4_values, 16);
#if defined(__x86_64__) && LANES == 16
    return (vb)_mm512_shuffle_epi8((__m512i)table, (__m512i)numbers);
#elif defined(__x86_64__)
    return (vb)_mm256_shuffle_epi8((__m256i)table, (__m256i)numbers);
#else
    UNROLL for (size_t i = 0; i < 4 * LANES; i += 16) {
        uint8x16_t part = vqtbl1q_u8(vld1q_u8((const uint8_t *)iq4_values), vld1q_u8((uint8_t *)&numbers + i));
        vst1q_u8((uint8_t *)&table + i, part);
    }
    return table;
#endif
}

// One block of LANES of the 16 rows, `first` is the first of them: sums[t] += weights * activations from column c on.

INLINE void q8_0_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    vf d = load_f16((const uint16_t *)b + first, LANES);
    vb w[8];
    UNROLL for (size_t j = 0; j < 8; j++) w[j] = load_bytes(b + 32 + 64 * j + 4 * first);
    add_signed_products(sums, w, d, x, c, tokens);
}

/// q4_0, q4_1, q5_0 and q5_1: scale, minimum, fifth bits, nibbles.  Without a minimum weights count from the middle.
INLINE void short_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c,
                        size_t tokens, int has_minimum, int has_fifth) {
    const uint8_t *fifth = b + (has_minimum ? 64 : 32) + 4 * first;
    vb w[8];
    load_nibbles(w, fifth + (has_fifth ? 64 : 0));
    if (has_fifth) add_fifth_bits(w, fifth);
    if (has_minimum) subtract_minimum(sums, -load_f16((const uint16_t *)b + 16 + first, LANES), 32, x, c, tokens);
    const int32_t highest = has_fifth ? 31 : 15;
    vf d = load_f16((const uint16_t *)b + first, LANES);
    add_products(sums, w, 8, highest, d, has_minimum ? 0 : (highest + 1) / 2, x, c, tokens);
}

INLINE void q4_0_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    short_block(sums, b, first, x, c, tokens, 0, 0);
}

INLINE void q4_1_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    short_block(sums, b, first, x, c, tokens, 1, 0);
}

INLINE void q5_0_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    short_block(sums, b, first, x, c, tokens, 0, 1);
}

INLINE void q5_1_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    short_block(sums, b, first, x, c, tokens, 1, 1);
}

INLINE void iq4_nl_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    vb w[8];
    load_nibbles(w, b + 32 + 4 * first);
    UNROLL for (size_t j = 0; j < 8; j++) w[j] = look_up(w[j]);
    add_signed_products(sums, w, load_f16((const uint16_t *)b + first, LANES), x, c, tokens);
}

INLINE void iq4_xs_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    vf d = load_f16((const uint16_t *)b + first, LANES);
    const uint8_t *high = b + 32 + first, *low = b + 64 + first;
    for (size_t g = 0; g < 8; g++, c += 32) {
        vi scale = load_small(low + 16 * (g / 2)) >> (int)(4 * (g % 2)) & 15;
        scale |= (load_small(high + 16 * (g / 4)) >> (int)(2 * (g % 4)) & 3) << 4;
        vb w[8];
        load_nibbles(w, b + 128 + 256 * g + 4 * first);
        UNROLL for (size_t j = 0; j < 8; j++) w[j] = look_up(w[j]);
        add_signed_products(sums, w, d * __builtin_convertvector(scale - 32, vf), x, c, tokens);
    }
}

INLINE void q2_K_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    vf d = load_f16((const uint16_t *)b + first, LANES), dmin = load_f16((const uint16_t *)b + 16 + first, LANES);
    const uint8_t *scales = b + 64 + first, *weights = b + 320 + 4 * first;
    for (size_t part = 0; part < 4; part++, weights += 4 * 64) {  // 16 columns of each quarter of 128
        vb bits[4];
        UNROLL for (size_t j = 0; j < 4; j++) bits[j] = load_bytes(weights + 64 * j);
        UNROLL for (size_t quarter = 0; quarter < 4; quarter++) {
            size_t group = 8 * (part / 2) + 2 * quarter + part % 2;
            vi s = load_small(scales + 16 * group);
            vb w[4];
            UNROLL for (size_t j = 0; j < 4; j++) w[j] = bits[j] >> (uint8_t)(2 * quarter) & 3;
            subtract_minimum(sums, dmin * __builtin_convertvector(s >> 4, vf), 16, x, c + 16 * group, tokens);
            add_products(sums, w, 4, 3, d * __builtin_convertvector(s & 15, vf), 0, x, c + 16 * group, tokens);
        }
    }
}

INLINE void q3_K_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    vf d = load_f16((const uint16_t *)b + first, LANES);
    const uint8_t *scales = b + 32 + first, *third = b + 224 + 4 * first, *weights = b + 736 + 4 * first;
    for (size_t part = 0; part < 4; part++) {  // as above
        vb bits[4], thirds[4];
        UNROLL for (size_t j = 0; j < 4; j++) {
            bits[j] = load_bytes(weights + 64 * (4 * part + j));
            thirds[j] = load_bytes(third + 64 * (4 * (part % 2) + j));
        }
        UNROLL for (size_t quarter = 0; quarter < 4; quarter++) {
            size_t group = 8 * (part / 2) + 2 * quarter + part % 2;
            vi scale = load_small(scales + 16 * (group % 8)) >> (int)(4 * (group / 8)) & 15;
            scale |= (load_small(scales + 16 * (8 + group % 4)) >> (int)(2 * (group / 4)) & 3) << 4;
            vb w[4];
            UNROLL for (size_t j = 0; j < 4; j++)
                w[j] = (bits[j] >> (uint8_t)(2 * quarter) & 3) | (thirds[j] >> (uint8_t)(group / 2) & 1) << 2;
            add_products(sums, w, 4, 7, d * __builtin_convertvector(scale - 32, vf), 4, x, c + 16 * group, tokens);
        }
    }
}

/// q4_K and q5_K: the fifth bits of weight i of every group of 32 share byte i.
INLINE void scaled_groups(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens,
                          int has_fifth) {
    const uint8_t *fifth = b + 256 + 4 * first, *low = fifth + (has_fifth ? 512 : 0);
    vf d = load_f16((const uint16_t *)b + first, LANES), dmin = load_f16((const uint16_t *)b + 16 + first, LANES);
    for (size_t g = 0; g < 8; g++, c += 32) {
        const uint8_t *s = b + 64 + first;
        vi scale, minimum;
        if (g < 4) {
            scale = load_small(s + 16 * g) & 63;
            minimum = load_small(s + 16 * (g + 4)) & 63;
        } else {
            vi low = load_small(s + 16 * (g + 4));
            scale = (low & 15) | load_small(s + 16 * (g - 4)) >> 6 << 4;
            minimum = low >> 4 | load_small(s + 16 * g) >> 6 << 4;
        }
        vb w[8];
        UNROLL for (size_t j = 0; j < 8; j++) {
            vb nibbles = load_bytes(low + 64 * (8 * (g / 2) + j));
            w[j] = g % 2 ? nibbles >> 4 : nibbles & 15;
            if (has_fifth) w[j] |= (load_bytes(fifth + 64 * j) >> (uint8_t)g & 1) << 4;
        }
        subtract_minimum(sums, dmin * __builtin_convertvector(minimum, vf), 32, x, c, tokens);
        add_products(sums, w, 8, has_fifth ? 31 : 15, d * __builtin_convertvector(scale, vf), 0, x, c, tokens);
    }
}

INLINE void q4_K_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    scaled_groups(sums, b, first, x, c, tokens, 0);
}

INLINE void q5_K_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    scaled_groups(sums, b, first, x, c, tokens, 1);
}

INLINE void q6_K_block(vf *sums, const uint8_t *b, size_t first, const quantized_rows *x, size_t c, size_t tokens) {
    vf d = load_f16((const uint16_t *)b + first, LANES);
    const uint8_t *scales = b + 32 + first, *weights = b + 288 + 4 * first;
    for (size_t part = 0; part < 4; part++, weights += 12 * 64) {  // 16 columns of each quarter of 128
        vb low[8], high[4];
        UNROLL for (size_t j = 0; j < 8; j++) low[j] = load_bytes(weights + 64 * j);
        UNROLL for (size_t j = 0; j < 4; j++) high[j] = load_bytes(weights + 64 * (8 + j));
        UNROLL for (size_t quarter = 0; quarter < 4; quarter++) {
            size_t group = 8 * (part / 2) + 2 * quarter + part % 2;
            vb w[4];
            UNROLL for (size_t j = 0; j < 4; j++) {
                vb nibbles = low[4 * (quarter % 2) + j];
                w[j] = (quarter / 2 ? nibbles >> 4 : nibbles & 15) | (high[j] >> (uint8_t)(2 * quarter) & 3) << 4;
            }
            vi scale = load_small(scales + 16 * group) << 24 >> 24;
            add_products(sums, w, 4, 63, d * __builtin_convertvector(scale, vf), 32, x, c + 16 * group, tokens);
        }
    }
}

/// 16 rows, of which `rows` are wanted, times `tokens` tokens.
INLINE void packed_tile(float *out, size_t out_stride, const uint8_t *weight, const quantized_rows *x, size_t rows,
                        size_t tokens, block_type type) {
    for (size_t first = 0; first < rows; first += LANES) {
        vf sums[PACKED_TOKENS] = {0};
        const uint8_t *b = weight;
#define BLOCKS(name, length, bytes)                                        \
    if (type == BLOCK_##name)                                              \
        for (size_t c = 0; c < x->columns; c += length, b += 16 * bytes)   \
            name##_block(sums, b, first, x, c, tokens);
        BLOCK_TYPES(BLOCKS)
#undef BLOCKS
        size_t n = rows - first < LANES ? rows - first : LANES;
        UNROLL for (size_t t = 0; t < tokens; t++) store(out + t * out_stride + first, sums[t], n);
    }
}

/// All rows times `tokens` tokens, so that the tokens stay in the first-level cache.
INLINE void packed_rows(float *out, const uint8_t *weight, const quantized_rows *x, const product_shape *s, size_t tokens,
                        block_type type) {
    for (size_t r = s->first_row; r < s->end_row; r += 16) {
        size_t rows = s->end_row - r < 16 ? s->end_row - r : 16;
        packed_tile(out + r, s->out_stride, weight + r * s->weight_stride, x, rows, tokens, type);
    }
}

INLINE void packed_tokens(float *out, const uint8_t *weight, const quantized_rows *x, const product_shape *s, block_type type) {
    for (size_t t = 0; t < s->tokens;) {
        quantized_rows some = {x->values + t * x->columns, x->scales + t * (x->columns / 32), x->minus_sums + t * (x->columns / 32) * 3, x->columns};
        float *first = out + t * s->out_stride;
        if (s->tokens - t >= PACKED_TOKENS) {
            packed_rows(first, weight, &some, s, PACKED_TOKENS, type);
            t += PACKED_TOKENS;
        } else {
            packed_rows(first, weight, &some, s, 1, type);
            t += 1;
        }
    }
}

static void packed_product(float *out, const uint8_t *weight, const quantized_rows *x, const product_shape *s,
                           block_type type) {
    switch (type) {
#define CASE(name, length, bytes) \
    case BLOCK_##name: packed_tokens(out, weight, x, s, BLOCK_##name); break;
        BLOCK_TYPES(CASE)
#undef CASE
        default: break;
    }
}

static void quantize(int8_t *values, float *scales, int32_t *minus_sums, const float *x, size_t count) {
    typedef int8_t vs __attribute__((ext_vector_type(LANES)));
    for (size_t c = 0; c < count; c += 32) {
        vf largest = 0, zero = 0;
        UNROLL for (size_t i = 0; i < 32; i += LANES) {
            vf v = load(x + c + i, LANES);
            largest = __builtin_elementwise_max(largest, __builtin_elementwise_abs(v));
            zero += v * 0.0f;  // NaN if any number is none, or infinite
        }
        float peak = __builtin_reduce_max(largest), none = __builtin_reduce_or((vi)(zero != zero)) ? NAN : 0;
        if (peak < QUANTIZED_LEAST) peak = 0;
        float inverse = peak > 0 ? 127 / peak : 0;
        scales[c / 32] = peak / 127 + none;
        vi sums[2] = {0};
        UNROLL for (size_t i = 0; i < 32; i += LANES) {
            vi rounded = __builtin_convertvector(__builtin_elementwise_rint(load(x + c + i, LANES) * inverse), vi);
            vs narrow = __builtin_convertvector(rounded, vs);
            memcpy(values + c + i, &narrow, sizeof narrow);
            sums[i / 16] -= rounded;
        }
        int32_t *block = minus_sums + c / 32 * 3;
        block[0] = __builtin_reduce_add(sums[0]);
        block[1] = __builtin_reduce_add(sums[1]);
        block[2] = block[0] + block[1];
    }
}
