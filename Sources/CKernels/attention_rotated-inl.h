// Included by vector-inl.h, within an instruction set, after attention_quantized-inl.h.
//
// Attention to keys and values of few bits after a rotation, with products of bytes: queries and weights in 8 bits too.
//
// attend_rotated reads blocks where they lie, for a few rows: lanes are keys for the scores and columns for the values.
// attend_rotated_tile takes keys and values that unpack_rotated has made bytes of, for panels of rows, which are its
// lanes. The sums are integers and exact, what follows is the same arithmetic for each row, and so are the bits.

/// Added to levels to make them unsigned.
#define LEVEL_OFFSET 127
/// The largest of a row's integer weights. The difference of two rounded sums may be one more.
#define LARGEST_WEIGHT 254
/// Added to queries to make them unsigned.
#define QUERY_OFFSET 128

/// sum + the products of four unsigned and four signed bytes in each lane.
INLINE vi add_byte_products(vi sum, vb a, vb b) {
#if defined(__x86_64__) && LANES == 16 && defined(VNNI)
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__x86_64__) && defined(VNNI)
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    // Odd and even bytes as 16-bit integers: two products of bytes exceed the range of those.
    typedef int16_t vi16 __attribute__((ext_vector_type(2 * LANES)));
    vi16 low = (vi16)a & 0x00FF, high = (vi16)((typeof(low))a >> 8) & 0x00FF;
    vi16 other_low = (vi16)b << 8 >> 8, other_high = (vi16)b >> 8;
    return add_pair_products(add_pair_products(sum, (vi)low, (vi)other_low), (vi)high, (vi)other_high);
#else
    uint8x16_t as[LANES / 4];
    int8x16_t bs[LANES / 4];
    int32x4_t sums[LANES / 4];
    memcpy(as, &a, sizeof as);
    memcpy(bs, &b, sizeof bs);
    memcpy(sums, &sum, sizeof sums);
    UNROLL_FOR (size_t i = 0; i < LANES / 4; i++) {
#if defined(MATRIX_PRODUCT)
        sums[i] = vusdotq_s32(sums[i], as[i], bs[i]);
#elif defined(DOT_PRODUCT)
        uint8x16_t half = vshrq_n_u8(as[i], 1);
        sums[i] = vdotq_s32(sums[i], vreinterpretq_s8_u8(half), bs[i]);
        sums[i] = vdotq_s32(sums[i], vreinterpretq_s8_u8(vsubq_u8(as[i], half)), bs[i]);
#else
        int16x8_t a_low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(as[i]))), b_low = vmovl_s8(vget_low_s8(bs[i]));
        int16x8_t a_high = vreinterpretq_s16_u16(vmovl_high_u8(as[i])), b_high = vmovl_high_s8(bs[i]);
        int32x4_t first = vpaddq_s32(vmull_s16(vget_low_s16(a_low), vget_low_s16(b_low)), vmull_high_s16(a_low, b_low));
        int32x4_t last =
            vpaddq_s32(vmull_s16(vget_low_s16(a_high), vget_low_s16(b_high)), vmull_high_s16(a_high, b_high));
        sums[i] = vaddq_s32(sums[i], vpaddq_s32(first, last));
#endif
    }
    memcpy(&sum, sums, sizeof sum);
    return sum;
#endif
}

/// The same four bytes in each lane.
INLINE vb same_quad(const void *quad) { return (vb)same_pair(quad); }

/// Elements 8 `octet` + 4 `half` and the three that follow, of LANES keys; `offset` is added.
INLINE vb key_quad(const uint8_t *keys, size_t octet, size_t half, size_t v, uint8_t offset) {
    vi words = load_words(keys + (octet * KEYS_TOGETHER + v * LANES) * 4);
    return look_up((vb)(words >> (int32_t)(4 * half) & 0x0F0F0F0F), cache_key_levels, offset);
}

/// Values of positions 4 `i` to 4 `i` + 3 in LANES columns: of the first or second 16 of 32 columns.
INLINE vb value_quad(const uint8_t *values, size_t second, size_t i, size_t v) {
    vi low = load_words(values + (second * 16 + v * LANES) * 4) >> (int32_t)(2 * i) & 0x03030303;
    vi high = load_words(values + 128 + v * LANES * 4);
    const size_t bit = (i + 4 * second + 2) % 8;
    high = bit < 2 ? high << (int32_t)(2 - bit) : high >> (int32_t)(bit - 2);
    return look_up((vb)(low | (high & 0x04040404)), cache_value_levels, 0);
}

#define ROTATED_VALUE_BYTES 192  // of 32 columns of a block

INLINE const uint8_t *rotated_values(const uint8_t *block, size_t size) { return block + 8 * size; }

INLINE vf rotated_scales(const uint8_t *block, size_t size, size_t v, cache_part part) {
    return load_f16((const uint16_t *)(block + 14 * size + part * 32) + v * LANES, LANES);
}

INLINE float query_unit(void) { return 1 / cache_unit(CACHE_keys); }

/// Weights times the scales of values as integers, four keys in a lane, for LANES rows of a panel: each row's largest
/// product becomes LARGEST_WEIGHT. A running sum is rounded instead of the products, so that many small ones keep
/// their share.
/// - Parameter weights: `[keys][PANEL_ROWS]`; `quads`: `[keys / 4][PANEL_ROWS]`.
/// - Returns: weight * value is about integer * level * this.
INLINE vf quantize_weights(int32_t *quads, const float *weights, const float *scales, size_t keys) {
    vf peak = 0, none = 0;
    for (size_t j = 0; j < keys; j++) {
        vf weight = load(weights + j * PANEL_ROWS, LANES);
        vf product = weight > 0.0f ? weight * scales[j] : (vf)0.0f;  // whatever the scales of hidden keys
        peak = product > peak ? product : peak;
        none = fma_vf(product, (vf)0.0f, none);
    }
    const vf factor = peak > QUANTIZED_LEAST ? (float)LARGEST_WEIGHT / peak : (vf)0.0f;
    vf sum = 0.5f;
    vi before = 0;
    for (size_t j = 0; j < keys; j += 4) {
        vi quad = 0;
        UNROLL_FOR (size_t i = 0; i < 4; i++) {
            vf product = load(weights + (j + i) * PANEL_ROWS, LANES) * scales[j + i] * factor;
            sum += product > 0.0f ? product : (vf)0.0f;
            vi rounded = __builtin_convertvector(sum, vi);
            quad |= (rounded - before) << (int32_t)(8 * i);
            before = rounded;
        }
        memcpy(quads + j / 4 * PANEL_ROWS, &quad, sizeof quad);
    }
    return peak / (LARGEST_WEIGHT * cache_unit(CACHE_values)) + none;
}

// MARK: A few rows

/// scores[k][r] of n rows and the keys of a block; prefetches the values of the block if `fetches`.
INLINE void score_rotated(float *scores, const int8_t *queries, const float *query_scales, const int32_t *query_sums,
                          const uint8_t *block, size_t size, size_t n, bool fetches) {
    vi products[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) products[r][v] = (vi)(-LEVEL_OFFSET * query_sums[r]);
    for (size_t octet = 0; octet < size / 8; octet++) {
        if (fetches) __builtin_prefetch(rotated_values(block, size) + octet * ROTATED_VALUE_BYTES / 4);
        UNROLL_FOR (size_t half = 0; half < 2; half++) {
            vb quads[KEY_VECTORS];
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) quads[v] = key_quad(block, octet, half, v, LEVEL_OFFSET);
            UNROLL_FOR (size_t r = 0; r < n; r++) {
                vb query = same_quad(queries + r * size + 8 * octet + 4 * half);
                UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                    products[r][v] = add_byte_products(products[r][v], quads[v], query);
            }
        }
    }
    UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
        const vf scales = rotated_scales(block, size, v, CACHE_keys);
        UNROLL_FOR (size_t r = 0; r < n; r++) {
            vf scaled = __builtin_convertvector(products[r][v], vf) * scales * (query_scales[r] * query_unit());
            UNROLL_FOR (size_t k = 0; k < LANES; k++) scores[(v * LANES + k) * PANEL_ROWS + r] = scaled[k];
        }
    }
}

/// sums[r][c] += weight * value of all keys, for n rows from `row` on and the first or second 16 of 32 columns.
INLINE void add_rotated_values(float *sums, const int32_t *quads, const float *steps, const uint8_t *const *blocks,
                               size_t offset, size_t count, size_t size, size_t n, size_t second) {
    vi products[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) products[r][v] = 0;
    for (size_t b = 0; b < count; b++)
        UNROLL_FOR (size_t i = 0; i < KEYS_TOGETHER / 4; i++) {
            vb values[KEY_VECTORS];
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) values[v] = value_quad(blocks[b] + offset, second, i, v);
            UNROLL_FOR (size_t r = 0; r < n; r++) {
                vb weight = same_quad(quads + (b * KEYS_TOGETHER / 4 + i) * PANEL_ROWS + r);
                UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
                    products[r][v] = add_byte_products(products[r][v], weight, values[v]);
            }
        }
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
            float *sum = sums + r * size + 16 * second + v * LANES;
            store(sum, fma_vf(__builtin_convertvector(products[r][v], vf), (vf)steps[r], load(sum, LANES)), LANES);
        }
}

static void attend_rotated(float *state, float *scores, const integer_queries *q, const uint8_t *const *blocks,
                           const attention_shape *s) {
    const size_t count = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, block_scores = KEYS_TOGETHER * PANEL_ROWS;
    float *maximum = state + s->rows * s->size, *total = maximum + PANEL_ROWS;
    int32_t quads[CACHE_KEYS / 4][PANEL_ROWS];
    float scales[CACHE_KEYS], steps[PANEL_ROWS];
    memset(scores, 0, count * block_scores * sizeof *scores);
    for (size_t b = 0; b < count; b++) {
        FOR_ROWS_AT_ONCE(s->rows, score_rotated(scores + b * block_scores + r, (const int8_t *)q->values + r * s->size,
                                                q->scales + r, q->sums + r, blocks[b], s->size, n, r == 0));
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
            store(scales + b * KEYS_TOGETHER + v * LANES, rotated_scales(blocks[b], s->size, v, CACHE_values), LANES);
    }
    for (size_t first = 0; first < s->rows; first += LANES) {
        hide_scores(scores + first, s, first);
        vf factor = weigh_scores(maximum + first, total + first, scores + first, s);
        for (size_t r = first; r < s->rows && r < first + LANES; r++)
            if (factor[r - first] != 1) scale(state + r * s->size, state + r * s->size, factor[r - first], s->size);
        for (size_t j = s->keys; j < count * KEYS_TOGETHER; j++)
            store(scores + j * PANEL_ROWS + first, (vf)0.0f, LANES);
        store(steps + first, quantize_weights(quads[0] + first, scores + first, scales, count * KEYS_TOGETHER), LANES);
    }
    for (size_t c = 0; c < s->size; c += 32) {
        for (size_t b = 0; b < count; b++)
            for (size_t i = 0; i < 256; i += 64) __builtin_prefetch(blocks[b] + count * s->stride + c * 8 + i);
        const size_t offset = 8 * s->size + c / 32 * ROTATED_VALUE_BYTES;
        FOR_ROWS_AT_ONCE(s->rows, float *sums = state + r * s->size + c;
                         add_rotated_values(sums, quads[0] + r, steps + r, blocks, offset, count, s->size, n, 0);
                         add_rotated_values(sums, quads[0] + r, steps + r, blocks, offset, count, s->size, n, 1));
    }
}

// MARK: Panels of rows

static void unpack_rotated(rotated_tile *tile, size_t first, const uint8_t *block, size_t size) {
    int32_t words[4][LANES];
    int32_t key_sums[KEYS_TOGETHER];
    UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
        int8_t *keys = tile->keys + (first + v * LANES) * size;
        vi sums = 0;
        for (size_t octet = 0; octet < size / 8; octet++)
            UNROLL_FOR (size_t half = 0; half < 2; half++) {
                vb quad = key_quad(block, octet, half, v, 0);
                sums = add_byte_products(sums, (vb)(vi)0x01010101, quad);
                memcpy(words[half], &quad, sizeof quad);
                for (size_t k = 0; k < LANES; k++) memcpy(keys + k * size + 8 * octet + 4 * half, words[half] + k, 4);
            }
        memcpy(key_sums + v * LANES, &sums, sizeof sums);
        store(tile->key_scales + first + v * LANES, rotated_scales(block, size, v, CACHE_keys), LANES);
        store(tile->value_scales + first + v * LANES, rotated_scales(block, size, v, CACHE_values), LANES);
    }
    for (size_t k = 0; k < KEYS_TOGETHER; k++) tile->key_offsets[first + k] = -QUERY_OFFSET * key_sums[k];
    for (size_t c = 0; c < size; c += 32)
        UNROLL_FOR (size_t second = 0; second < 2; second++)
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) {
                const uint8_t *packed = rotated_values(block, size) + c / 32 * ROTATED_VALUE_BYTES;
                int8_t *values = tile->values + (c + 16 * second + v * LANES) * CACHE_KEYS + first;
                UNROLL_FOR (size_t i = 0; i < 4; i++) {
                    vb quad = value_quad(packed, second, i, v);
                    memcpy(words[i], &quad, sizeof quad);
                }
                for (size_t k = 0; k < LANES; k++)
                    UNROLL_FOR (size_t i = 0; i < 4; i++) memcpy(values + k * CACHE_KEYS + 4 * i, words[i] + k, 4);
            }
}

/// Four bytes of each row of a vector of panels, `size` quads a panel.
INLINE vb panel_quad(const int32_t *quads, size_t size, size_t i, size_t v) {
    return (vb)load_words(
        (const uint8_t *)(quads + (v / PANEL_VECTORS * size + i) * PANEL_ROWS + v % PANEL_VECTORS * LANES));
}

/// sums[i][v] = sum over j of quads of rows times quads of `bytes`, n rows of bytes `stride` apart.
INLINE void add_panel_bytes(vi sums[PANEL_SUMS][MOST_VECTORS], const int32_t *rows, size_t size, const int8_t *bytes,
                            size_t stride, size_t count, size_t n, size_t vectors) {
    _Pragma("clang loop unroll_count(2)") for (size_t j = 0; j < count; j++) {
        vb quads[MOST_VECTORS];
        UNROLL_FOR (size_t v = 0; v < vectors; v++) quads[v] = panel_quad(rows, size, j, v);
        UNROLL_FOR (size_t i = 0; i < n; i++) {
            vb same = same_quad(bytes + i * stride + 4 * j);
            UNROLL_FOR (size_t v = 0; v < vectors; v++) sums[i][v] = add_byte_products(sums[i][v], quads[v], same);
        }
    }
}

INLINE void tile_scores(panels scores, const int32_t *queries, const float *query_scales, const rotated_tile *tile,
                        size_t first, size_t size, size_t n, size_t vectors) {
    vi products[PANEL_SUMS][MOST_VECTORS];
    UNROLL_FOR (size_t i = 0; i < n; i++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) products[i][v] = (vi)tile->key_offsets[first + i];
    add_panel_bytes(products, queries, size / 4, tile->keys + first * size, size, size / 4, n, vectors);
    UNROLL_FOR (size_t i = 0; i < n; i++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) {
            vf scaled = __builtin_convertvector(products[i][v], vf) * tile->key_scales[first + i];
            store(panel_vector(scores, first + i, v), scaled * (load(query_scales + v * LANES, LANES) * query_unit()),
                  LANES);
        }
}

/// What becomes of the sums of LANES rows: keep * sum + take * step * integer.
typedef struct {
    vf keep, take, step;
} tile_factors;

INLINE void add_tile_values(panels sums, const tile_factors *factors, const int32_t *quads, const rotated_tile *tile,
                            size_t c, size_t keys, size_t n, size_t vectors) {
    vi products[PANEL_SUMS][MOST_VECTORS];
    UNROLL_FOR (size_t i = 0; i < n; i++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) products[i][v] = 0;
    add_panel_bytes(products, quads, CACHE_KEYS / 4, tile->values + c * CACHE_KEYS, CACHE_KEYS, keys / 4, n, vectors);
    UNROLL_FOR (size_t i = 0; i < n; i++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) {
            float *sum = panel_vector(sums, c + i, v);
            vf added = fma_vf(__builtin_convertvector(products[i][v], vf), factors[v].step, (vf)0.0f);
            store(sum, fma_vf(added, factors[v].take, load(sum, LANES) * factors[v].keep), LANES);
        }
}

/// Runs the statement for i to i + n until `count` have been served.
#define FOR_PANEL_SUMS(count, ...)                                               \
    do {                                                                         \
        size_t i = 0;                                                            \
        for (; i + PANEL_SUMS / vectors <= (count); i += PANEL_SUMS / vectors) { \
            const size_t n = PANEL_SUMS / vectors;                               \
            __VA_ARGS__;                                                         \
        }                                                                        \
        for (; i + 4 <= (count); i += 4) {                                       \
            const size_t n = 4;                                                  \
            __VA_ARGS__;                                                         \
        }                                                                        \
        for (; i < (count); i++) {                                               \
            const size_t n = 1;                                                  \
            __VA_ARGS__;                                                         \
        }                                                                        \
    } while (0)

INLINE void attend_tile_vectors(float *state, float *scores, const int32_t *queries, const float *query_scales,
                                const rotated_tile *tile, const attention_shape *s, size_t first, size_t vectors) {
    const size_t size = s->size, keys = s->keys;
    const panels sums = {state, (size + 2) * PANEL_ROWS}, weights = {scores, keys * PANEL_ROWS};
    int32_t quads[MOST_VECTORS / PANEL_VECTORS][CACHE_KEYS / 4][PANEL_ROWS];
    tile_factors factors[MOST_VECTORS];
    FOR_PANEL_SUMS(keys, tile_scores(weights, queries, query_scales, tile, i, size, n, vectors));
    for (size_t v = 0; v < vectors; v++) {
        float *mine = panel_vector(weights, 0, v), maximum[LANES], total[LANES];
        if (hides_some(s, first + v * LANES)) hide_scores(mine, s, first + v * LANES);
        store(maximum, (vf)-INFINITY, LANES);
        store(total, (vf)0.0f, LANES);
        weigh_scores(maximum, total, mine, s);
        softmax_vector rows = softmax_vector_at(state, size, v);
        join_totals(rows.maximum, rows.total, maximum, total, &factors[v].keep, &factors[v].take);
        int32_t *mine_quads = quads[v / PANEL_VECTORS][0] + v % PANEL_VECTORS * LANES;
        factors[v].step = quantize_weights(mine_quads, mine, tile->value_scales, keys);
    }
    FOR_PANEL_SUMS(size, add_tile_values(sums, factors, quads[0][0], tile, i, keys, n, vectors));
}

static void attend_rotated_tile(float *state, float *scores, const int32_t *queries, const float *query_scales,
                                const rotated_tile *tile, const attention_shape *s) {
    for (size_t first = 0; first < s->rows; first += PANELS_AT_ONCE * PANEL_ROWS) {
        const size_t left = (s->rows - first + LANES - 1) / LANES, panel = first / PANEL_ROWS;
        if (!sees_some(s, first, PANELS_AT_ONCE * PANEL_ROWS)) continue;
        WITH_VECTORS(left < MOST_VECTORS ? left : MOST_VECTORS,
                     attend_tile_vectors(state + panel * (s->size + 2) * PANEL_ROWS, scores,
                                         queries + panel * s->size / 4 * PANEL_ROWS, query_scales + first, tile, s,
                                         first, vectors));
    }
}

static void attend_quantized(float *state, float *scores, const integer_queries *queries, const uint8_t *const *blocks,
                             const attention_shape *s, cache_type type) {
    if (type == CACHE_q8_0)
        attend_q8_0(state, scores, queries, blocks, s);
    else
        attend_rotated(state, scores, queries, blocks, s);
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
