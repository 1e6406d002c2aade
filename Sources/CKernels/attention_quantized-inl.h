// Included by vector-inl.h, within an instruction set, after attention_f16-inl.h and packed_product-inl.h.
//
// Attention to quantized keys and values, read in place from the cache, with products of pairs of 16-bit integers: a lane
// holds two elements of a key, or one column of two values.
//
// A code is dequantized by a table lookup of bytes. Levels are stored as unsigned offsets from the lowest, -127, so that
// the upper byte of each 16-bit level is 0.  The offset's share of a sum is computed beforehand and subtracted.

#define LEVEL_OFFSET 127
#define VALUE_PAIRS (KEYS_TOGETHER / 2)

/// sum + the products of the two 16-bit integers in each lane; modulo 2^32.
INLINE vi add_pair_products(vi sum, vi a, vi b) {
#if defined(__x86_64__) && LANES == 16 && defined(VNNI)
    return (vi)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__x86_64__) && LANES == 16
    return (vi)_mm512_add_epi32((__m512i)sum, _mm512_madd_epi16((__m512i)a, (__m512i)b));
#elif defined(__x86_64__) && defined(VNNI)
    return (vi)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return (vi)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16((__m256i)a, (__m256i)b));
#else
    int32x4_t sums[LANES / 4];
    int16x8_t as[LANES / 4], bs[LANES / 4];
    memcpy(sums, &sum, sizeof sums);
    memcpy(as, &a, sizeof as);
    memcpy(bs, &b, sizeof bs);
    UNROLL_FOR (size_t i = 0; i < LANES / 4; i++) {
        int32x4_t low = vmull_s16(vget_low_s16(as[i]), vget_low_s16(bs[i])), high = vmull_high_s16(as[i], bs[i]);
        sums[i] = vaddq_s32(sums[i], vpaddq_s32(low, high));
    }
    memcpy(&sum, sums, sizeof sum);
    return sum;
#endif
}

/// The same pair in each lane.
INLINE vi same_pair(const void *pair) {
    int32_t bits;
    memcpy(&bits, pair, sizeof bits);
    return (vi)bits;
}

INLINE vi load_words(const uint8_t *b) {
    vi v;
    memcpy(&v, b, sizeof v);
    return v;
}

/// 2 LANES bytes as 16-bit integers.
INLINE vi widen_bytes(const uint8_t *b) {
    typedef int8_t narrow __attribute__((ext_vector_type(2 * LANES)));
    typedef int16_t wide __attribute__((ext_vector_type(2 * LANES)));
    narrow v;
    memcpy(&v, b, sizeof v);
    return (vi) __builtin_convertvector(v, wide);
}

/// Elements 2 p and 2 p + 1, p = 4 `quad` + i, of LANES keys.
INLINE vi key_pair(const uint8_t *keys, size_t quad, size_t i, size_t v, cache_type type) {
    if (type == CACHE_q8_0) return widen_bytes(keys + ((4 * quad + i) * KEYS_TOGETHER + v * LANES) * 2);
    vi words = load_words(keys + (quad * KEYS_TOGETHER + v * LANES) * 4);
    return (vi)look_up((vb)(words >> (int32_t)(4 * i) & 0x000F000F), cache_key_levels, LEVEL_OFFSET);
}

/// Values of positions 2 i and 2 i + 1 in LANES columns: of the first or second 16 of 32 columns.
INLINE vi value_pair(const uint8_t *values, size_t second, size_t i, size_t v, cache_type type) {
    if (type == CACHE_q8_0) return widen_bytes(values + (second * VALUE_PAIRS + i) * 32 + v * LANES * 2);
    vi low = load_words(values + (second * 16 + v * LANES) * 4) >> (int32_t)(2 * i) & 0x00030003;
    vi high = load_words(values + 128 + v * LANES * 4);
    const size_t bit = (i + 8 * second + 2) % 16;
    high = bit < 2 ? high << (int32_t)(2 - bit) : high >> (int32_t)(bit - 2);
    return (vi)look_up((vb)(low | (high & 0x00040004)), cache_value_levels, LEVEL_OFFSET);
}

/// Bytes of the values of 32 columns of a block.
INLINE size_t value_bytes(cache_type type) { return type == CACHE_q8_0 ? 32 * KEYS_TOGETHER : 192; }

INLINE size_t values_offset(size_t size, cache_type type) { return type == CACHE_q8_0 ? 16 * size : 8 * size; }

/// Columns that share a scale.
INLINE size_t scaled_columns(size_t size, cache_type type) { return type == CACHE_q8_0 ? 32 : size; }

/// The scales of columns from `first` on of LANES positions.
INLINE vf load_scales(const uint8_t *block, size_t size, size_t first, size_t v, cache_part part, cache_type type) {
    const uint8_t *scales =
        type == CACHE_q8_0 ? block + 32 * size + part * size + first : block + 14 * size + part * 32;
    return load_f16((const uint16_t *)scales + v * LANES, LANES);
}

/// scores[k][r] of n rows and the keys of a block; prefetches the values of the block if `fetches`.
INLINE void score_block(float *scores, const int16_t *queries, const float *query_scales, const int32_t *query_sums,
                        const uint8_t *block, size_t size, size_t n, bool fetches, cache_type type) {
    const size_t group = scaled_columns(size, type);
    const uint8_t *values = block + values_offset(size, type);
    vf sums[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) sums[r][v] = 0;
    for (size_t first = 0; first < size; first += group) {
        vi products[ROWS_AT_ONCE][KEY_VECTORS];
        UNROLL_FOR (size_t r = 0; r < n; r++)
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                products[r][v] = type == CACHE_q8_0 ? (vi)0 : (vi)(-LEVEL_OFFSET * query_sums[r]);
        for (size_t quad = first / 8; quad < (first + group) / 8; quad++) {
            if (fetches) {
                const size_t bytes = value_bytes(type) / 4;  // of 8 columns
                UNROLL_FOR (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(values + quad * bytes + i);
            }
            UNROLL_FOR (size_t i = 0; i < 4; i++) {
                vi pairs[KEY_VECTORS];
                UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) pairs[v] = key_pair(block, quad, i, v, type);
                UNROLL_FOR (size_t r = 0; r < n; r++) {
                    vi query = same_pair(queries + r * size + 8 * quad + 2 * i);
                    UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                        products[r][v] = add_pair_products(products[r][v], pairs[v], query);
                }
            }
        }
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
            vf scales = load_scales(block, size, first, v, CACHE_keys, type);
            UNROLL_FOR (size_t r = 0; r < n; r++)
                sums[r][v] = fma_vf(__builtin_convertvector(products[r][v], vf), scales, sums[r][v]);
        }
    }
    const float factor = type == CACHE_q8_0 ? 1 : 1 / cache_unit(CACHE_keys);
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
            vf scaled = sums[r][v] * (query_scales[r] * factor);
            UNROLL_FOR (size_t k = 0; k < LANES; k++) scores[(v * LANES + k) * PANEL_ROWS + r] = scaled[k];
        }
}

/// Softmax weights times value scales, quantized to 16 bits: for each row in pairs of positions.
typedef struct {
    int32_t pairs[CACHE_KEYS / 2][PANEL_ROWS];
    int32_t sums[PANEL_ROWS];
    float steps[PANEL_ROWS];           ///< weight * scale is about step * integer
    float scales[CACHE_KEYS];          ///< of the columns in question
    float largest_scales[CACHE_KEYS];  ///< of all columns
} integer_weights;

INLINE void read_scales(float *scales, const uint8_t *const *blocks, size_t count, size_t size, size_t first,
                        cache_type type) {
    for (size_t b = 0; b < count; b++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
            store(scales + b * KEYS_TOGETHER + v * LANES, load_scales(blocks[b], size, first, v, CACHE_values, type),
                  LANES);
}

/// Scales `weights`, `[keys][PANEL_ROWS]`, such that the largest product of a row with a scale is 32767.
INLINE void scale_weights(integer_weights *w, float *weights, const uint8_t *const *blocks, const attention_shape *s,
                          cache_type type) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, keys = count * KEYS_TOGETHER;
    read_scales(w->largest_scales, blocks, count, s->size, 0, type);
    for (size_t c = scaled_columns(s->size, type); c < s->size; c += scaled_columns(s->size, type)) {
        read_scales(w->scales, blocks, count, s->size, c, type);
        for (size_t j = 0; j < keys; j += LANES) {
            vf a = load(w->largest_scales + j, LANES), b = load(w->scales + j, LANES);
            store(w->largest_scales + j, b > a ? b : a, LANES);
        }
    }
    memset(weights + s->keys * PANEL_ROWS, 0, (keys - s->keys) * PANEL_ROWS * sizeof *weights);
    for (size_t first = 0; first < s->rows; first += LANES) {
        vf peak = 0, none = 0;
        for (size_t j = 0; j < s->keys; j++) {
            vf weight = load(weights + j * PANEL_ROWS + first, LANES);
            vf product =
                weight > 0.0f ? weight * w->largest_scales[j] : (vf)0.0f;  // whatever the scales of hidden keys
            peak = product > peak ? product : peak;
            none = fma_vf(product, (vf)0.0f, none);
        }
        const vf factor = peak > QUANTIZED_LEAST ? 32767.0f / peak : (vf)0.0f;
        const float unit = type == CACHE_q8_0 ? 1 : cache_unit(CACHE_values);
        store(w->steps + first, peak / (32767 * unit) + none, LANES);
        for (size_t j = 0; j < s->keys; j++) {
            float *weight = weights + j * PANEL_ROWS + first;
            store(weight, load(weight, LANES) * factor, LANES);
        }
    }
}

/// The integer nearest to a weight times a scale, neither negative; 0 of NaN.
INLINE vi nearest_weight(vf weight, float scale) {
    vf product = fma_vf(weight, (vf)scale, (vf)0.5f);
    return __builtin_convertvector(product > 0.0f ? product : (vf)0.0f, vi);
}

/// To the nearest integers, for columns from `column` on.
INLINE void round_weights(integer_weights *w, const float *weights, const uint8_t *const *blocks, size_t column,
                          const attention_shape *s, cache_type type) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, keys = count * KEYS_TOGETHER;
    read_scales(w->scales, blocks, count, s->size, column, type);
    for (size_t j = s->keys; j < keys; j++) w->scales[j] = 0;
    for (size_t first = 0; first < s->rows; first += LANES) {
        vi sums = 0;
        for (size_t j = 0; j < keys; j += 2) {
            vf a = load(weights + j * PANEL_ROWS + first, LANES),
               b = load(weights + (j + 1) * PANEL_ROWS + first, LANES);
            vi low = nearest_weight(a, w->scales[j]), high = nearest_weight(b, w->scales[j + 1]),
               pair = low | high << 16;
            memcpy(w->pairs[j / 2] + first, &pair, sizeof pair);
            sums += low + high;
        }
        memcpy(w->sums + first, &sums, sizeof sums);
    }
}

/// sums[r][c] += weight * value of all keys, for n rows from `row` on and the first or second 16 of 32 columns.
INLINE void add_quantized_values(float *sums, const integer_weights *w, size_t row, const uint8_t *const *blocks,
                                 size_t offset, size_t count, size_t size, size_t n, size_t second, cache_type type) {
    vi products[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
            products[r][v] = type == CACHE_q8_0 ? (vi)0 : (vi)(-LEVEL_OFFSET * w->sums[row + r]);
    for (size_t b = 0; b < count; b++)
        UNROLL_FOR (size_t i = 0; i < VALUE_PAIRS; i++) {
            vi pairs[KEY_VECTORS];
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                pairs[v] = value_pair(blocks[b] + offset, second, i, v, type);
            UNROLL_FOR (size_t r = 0; r < n; r++) {
                vi weight = same_pair(w->pairs[b * VALUE_PAIRS + i] + row + r);
                UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                    products[r][v] = add_pair_products(products[r][v], pairs[v], weight);
            }
        }
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
            float *sum = sums + r * size + 16 * second + v * LANES;
            vf step = w->steps[row + r];
            store(sum, fma_vf(__builtin_convertvector(products[r][v], vf), step, load(sum, LANES)), LANES);
        }
}

INLINE void attend_quantized_type(float *state, float *scores, const integer_queries *q, const uint8_t *const *blocks,
                                  const attention_shape *s, cache_type type) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, block_scores = KEYS_TOGETHER * PANEL_ROWS;
    float *maximum = state + s->rows * s->size, *total = maximum + PANEL_ROWS;
    memset(scores, 0, count * block_scores * sizeof *scores);
    for (size_t b = 0; b < count; b++)
        FOR_ROWS_AT_ONCE(s->rows, {
            score_block(scores + b * block_scores + r, q->values + r * s->size, q->scales + r, q->sums + r, blocks[b],
                        s->size, n, r == 0, type);
        });
    for (size_t first = 0; first < s->rows; first += LANES) {
        hide_scores(scores + first, s, first);
        vf factor = weigh_scores(maximum + first, total + first, scores + first, s);
        for (size_t r = first; r < s->rows && r < first + LANES; r++)
            if (factor[r - first] != 1) scale(state + r * s->size, state + r * s->size, factor[r - first], s->size);
    }
    integer_weights w;
    scale_weights(&w, scores, blocks, s, type);
    const size_t values = values_offset(s->size, type), next = count * s->stride, key_bytes = values / s->size * 32;
    for (size_t c = 0; c < s->size; c += 32) {
        if (c % scaled_columns(s->size, type) == 0) round_weights(&w, scores, blocks, c, s, type);
        for (size_t b = 0; b < count; b++)
            for (size_t i = 0; i < key_bytes; i += 64) __builtin_prefetch(blocks[b] + next + c / 32 * key_bytes + i);
        const size_t offset = values + c / 32 * value_bytes(type);
        FOR_ROWS_AT_ONCE(s->rows, {
            float *sums = state + r * s->size + c;
            add_quantized_values(sums, &w, r, blocks, offset, count, s->size, n, 0, type);
            add_quantized_values(sums, &w, r, blocks, offset, count, s->size, n, 1, type);
        });
    }
}

static void attend_quantized(float *state, float *scores, const integer_queries *queries, const uint8_t *const *blocks,
                             const attention_shape *s, cache_type type) {
    if (type == CACHE_q8_0)
        attend_quantized_type(state, scores, queries, blocks, s, CACHE_q8_0);
    else
        attend_quantized_type(state, scores, queries, blocks, s, CACHE_rotated);
}

// MARK: The rotation

/// Sums and differences of the elements whose indices differ by `half`, within a vector.
#if LANES == 16
#define BUTTERFLY(v, half)                                                                                             \
    butterfly(                                                                                                         \
        v,                                                                                                             \
        __builtin_shufflevector(v, v, 0 ^ half, 1 ^ half, 2 ^ half, 3 ^ half, 4 ^ half, 5 ^ half, 6 ^ half, 7 ^ half,  \
                                8 ^ half, 9 ^ half, 10 ^ half, 11 ^ half, 12 ^ half, 13 ^ half, 14 ^ half, 15 ^ half), \
        half)
#else
#define BUTTERFLY(v, half)                                                                                             \
    butterfly(                                                                                                         \
        v,                                                                                                             \
        __builtin_shufflevector(v, v, 0 ^ half, 1 ^ half, 2 ^ half, 3 ^ half, 4 ^ half, 5 ^ half, 6 ^ half, 7 ^ half), \
        half)
#endif

INLINE vf butterfly(vf v, vf other, size_t half) {
    vf signs;
    UNROLL_FOR (size_t i = 0; i < LANES; i++) signs[i] = i & half ? -1 : 1;
    return fma_vf(v, signs, other);
}

static void hadamard(float *x, size_t size) {
    for (size_t i = 0; i < size; i += LANES) {
        vf v = load(x + i, LANES);
        v = BUTTERFLY(v, 1);
        v = BUTTERFLY(v, 2);
        v = BUTTERFLY(v, 4);
#if LANES == 16
        v = BUTTERFLY(v, 8);
#endif
        store(x + i, v, LANES);
    }
    for (size_t half = LANES; half < size; half *= 2)
        for (size_t first = 0; first < size; first += 2 * half)
            for (size_t i = first; i < first + half; i += LANES) {
                vf a = load(x + i, LANES), b = load(x + half + i, LANES);
                store(x + i, a + b, LANES);
                store(x + half + i, a - b, LANES);
            }
}
