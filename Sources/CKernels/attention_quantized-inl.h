// Included by vector-inl.h, within an instruction set, after attention_f16-inl.h and packed_product-inl.h.
//
// Attention to keys and values of q8_0, read in place from the cache, with products of pairs of 16-bit integers: a lane
// holds two elements of a key, or one column of two values.

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

/// The scales of 32 columns from `first` on of LANES positions.
INLINE vf load_scales(const uint8_t *block, size_t size, size_t first, size_t v, cache_part part) {
    return load_f16((const uint16_t *)(block + 32 * size + part * size + first) + v * LANES, LANES);
}

/// Elements 2 `pair` and 2 `pair` + 1 of LANES keys.
INLINE vi key_pair(const uint8_t *keys, size_t pair, size_t v) {
    return widen_bytes(keys + (pair * KEYS_TOGETHER + v * LANES) * 2);
}

/// scores[k][r] of n rows and the keys of a block; prefetches the values of the block if `fetches`.
INLINE void score_block(float *scores, const int16_t *queries, const float *query_scales, const uint8_t *block,
                        size_t size, size_t n, bool fetches) {
    const uint8_t *values = block + KEYS_TOGETHER * size;
    vf sums[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) sums[r][v] = 0;
    for (size_t first = 0; first < size; first += 32) {
        vi products[ROWS_AT_ONCE][KEY_VECTORS];
        UNROLL_FOR (size_t r = 0; r < n; r++)
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) products[r][v] = 0;
        for (size_t c = first; c < first + 32; c += 8) {
            if (fetches)
                UNROLL_FOR (size_t i = 0; i < 8 * KEYS_TOGETHER; i += 64)
                    __builtin_prefetch(values + c * KEYS_TOGETHER + i);
            UNROLL_FOR (size_t i = 0; i < 4; i++) {
                vi pairs[KEY_VECTORS];
                UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) pairs[v] = key_pair(block, c / 2 + i, v);
                UNROLL_FOR (size_t r = 0; r < n; r++) {
                    vi query = same_pair(queries + r * size + c + 2 * i);
                    UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                        products[r][v] = add_pair_products(products[r][v], pairs[v], query);
                }
            }
        }
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
            vf scales = load_scales(block, size, first, v, CACHE_keys);
            UNROLL_FOR (size_t r = 0; r < n; r++)
                sums[r][v] = fma_vf(__builtin_convertvector(products[r][v], vf), scales, sums[r][v]);
        }
    }
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
            vf scaled = sums[r][v] * query_scales[r];
            UNROLL_FOR (size_t k = 0; k < LANES; k++) scores[(v * LANES + k) * PANEL_ROWS + r] = scaled[k];
        }
}

/// Softmax weights times value scales, quantized to 16 bits: for each row in pairs of positions.
typedef struct {
    int32_t pairs[CACHE_KEYS / 2][PANEL_ROWS];
    float steps[PANEL_ROWS];           ///< weight * scale is about step * integer
    float scales[CACHE_KEYS];          ///< of the columns in question
    float largest_scales[CACHE_KEYS];  ///< of all columns
} integer_weights;

INLINE void read_scales(float *scales, const uint8_t *const *blocks, size_t count, size_t size, size_t first) {
    for (size_t b = 0; b < count; b++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
            store(scales + b * KEYS_TOGETHER + v * LANES, load_scales(blocks[b], size, first, v, CACHE_values), LANES);
}

/// Scales `weights`, `[keys][PANEL_ROWS]`, such that the largest product of a row with a scale is 32767.
INLINE void scale_weights(integer_weights *w, float *weights, const uint8_t *const *blocks, const attention_shape *s) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, keys = count * KEYS_TOGETHER;
    read_scales(w->largest_scales, blocks, count, s->size, 0);
    for (size_t c = 32; c < s->size; c += 32) {
        read_scales(w->scales, blocks, count, s->size, c);
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
        store(w->steps + first, peak / 32767.0f + none, LANES);
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
                          const attention_shape *s) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, keys = count * KEYS_TOGETHER;
    read_scales(w->scales, blocks, count, s->size, column);
    for (size_t j = s->keys; j < keys; j++) w->scales[j] = 0;
    for (size_t first = 0; first < s->rows; first += LANES) {
        for (size_t j = 0; j < keys; j += 2) {
            vf a = load(weights + j * PANEL_ROWS + first, LANES),
               b = load(weights + (j + 1) * PANEL_ROWS + first, LANES);
            vi low = nearest_weight(a, w->scales[j]), high = nearest_weight(b, w->scales[j + 1]),
               pair = low | high << 16;
            memcpy(w->pairs[j / 2] + first, &pair, sizeof pair);
        }
    }
}

/// sums[r][c] += weight * value of all keys, for n rows from `row` on and the first or second 16 of 32 columns.
INLINE void add_quantized_values(float *sums, const integer_weights *w, size_t row, const uint8_t *const *blocks,
                                 size_t offset, size_t count, size_t size, size_t n, size_t second) {
    vi products[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) products[r][v] = 0;
    for (size_t b = 0; b < count; b++)
        UNROLL_FOR (size_t i = 0; i < VALUE_PAIRS; i++) {
            vi pairs[KEY_VECTORS];
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                pairs[v] = widen_bytes(blocks[b] + offset + (second * VALUE_PAIRS + i) * 32 + v * LANES * 2);
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

static void attend_q8_0(float *state, float *scores, const integer_queries *q, const uint8_t *const *blocks,
                        const attention_shape *s) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, block_scores = KEYS_TOGETHER * PANEL_ROWS;
    float *maximum = state + s->rows * s->size, *total = maximum + PANEL_ROWS;
    memset(scores, 0, count * block_scores * sizeof *scores);
    for (size_t b = 0; b < count; b++)
        FOR_ROWS_AT_ONCE(s->rows, score_block(scores + b * block_scores + r, (const int16_t *)q->values + r * s->size,
                                              q->scales + r, blocks[b], s->size, n, r == 0));
    for (size_t first = 0; first < s->rows; first += LANES) {
        hide_scores(scores + first, s, first);
        vf factor = weigh_scores(maximum + first, total + first, scores + first, s);
        for (size_t r = first; r < s->rows && r < first + LANES; r++)
            if (factor[r - first] != 1) scale(state + r * s->size, state + r * s->size, factor[r - first], s->size);
    }
    integer_weights w;
    scale_weights(&w, scores, blocks, s);
    const size_t column_bytes = 32 * KEYS_TOGETHER;  // keys or values of 32 columns
    for (size_t c = 0; c < s->size; c += 32) {
        round_weights(&w, scores, blocks, c, s);
        for (size_t b = 0; b < count; b++)
            for (size_t i = 0; i < column_bytes; i += 64)
                __builtin_prefetch(blocks[b] + count * s->stride + c / 32 * column_bytes + i);
        const size_t offset = KEYS_TOGETHER * s->size + c / 32 * column_bytes;
        FOR_ROWS_AT_ONCE(s->rows, float *sums = state + r * s->size + c;
                         add_quantized_values(sums, &w, r, blocks, offset, count, s->size, n, 0);
                         add_quantized_values(sums, &w, r, blocks, offset, count, s->size, n, 1));
    }
}
