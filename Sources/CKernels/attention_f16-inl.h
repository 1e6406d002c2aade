// Included by vector-inl.h, within an instruction set, after attention-inl.h.
//
// Attention of a few rows to keys and values of f16 where they lie in the cache: vectors run along keys for the scores
// and along columns for the values, so that they are full however few the rows are.
//
// Every sum has the terms that it has in attention-inl.h, in the same order, and so the same bits.

#define KEY_VECTORS (KEYS_TOGETHER / LANES)
/// Elements of a cache line.
#define LINE (64 / sizeof(uint16_t))
/// Rows whose sums of KEYS_TOGETHER stay in registers.
#define ROWS_AT_ONCE (LANES == 16 ? 8 : 4)

INLINE void score_columns(vf sums[ROWS_AT_ONCE][KEY_VECTORS], const float *queries, const uint16_t *keys, size_t size,
                          size_t first, size_t end, size_t n) {
    for (size_t c = first; c < end; c++) {
        vf some[KEY_VECTORS];
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) some[v] = load_f16(keys + c * KEYS_TOGETHER + v * LANES, LANES);
        UNROLL_FOR (size_t r = 0; r < n; r++) {
            vf query = queries[r * size + c];
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) sums[r][v] = fma_vf(some[v], query, sums[r][v]);
        }
    }
}

/// scores[k][r] = sum over c of queries[r][c] * keys[c][k] for n rows and KEYS_TOGETHER keys; meanwhile memory fetches
/// the values, `stride` apart, if there are any.
INLINE void score_rows(float *scores, const float *queries, const uint16_t *keys, size_t size, size_t n,
                       const uint16_t *values, size_t stride) {
    vf sums[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) sums[r][v] = 0;
    size_t c = 0;
    if (values && size % LINE == 0)  // a line of values for every two columns of keys
        for (size_t k = 0; k < KEYS_TOGETHER; k++)
            for (size_t line = 0; line < size; line += LINE, c += 2) {
                __builtin_prefetch(values + k * stride + line);
                score_columns(sums, queries, keys, size, c, c + 2, n);
            }
    score_columns(sums, queries, keys, size, c, size, n);
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++)
            UNROLL_FOR (size_t k = 0; k < LANES; k++) scores[(v * LANES + k) * PANEL_ROWS + r] = sums[r][v][k];
}

/// sums[r][c] += weights[k][r] * values[k][c] for n rows, KEYS_TOGETHER columns and k < count.
INLINE void add_values(float *sums, size_t size, const float *weights, const uint16_t *values, size_t stride,
                       size_t count, size_t n) {
    vf mine[ROWS_AT_ONCE][KEY_VECTORS];
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) mine[r][v] = load(sums + r * size + v * LANES, LANES);
    for (size_t k = 0; k < count; k++) {
        vf some[KEY_VECTORS];
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) some[v] = load_f16(values + k * stride + v * LANES, LANES);
        UNROLL_FOR (size_t r = 0; r < n; r++) {
            vf weight = weights[k * PANEL_ROWS + r];
            UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) mine[r][v] = fma_vf(some[v], weight, mine[r][v]);
        }
    }
    UNROLL_FOR (size_t r = 0; r < n; r++)
        UNROLL_FOR (size_t v = 0; v < KEY_VECTORS; v++) store(sums + r * size + v * LANES, mine[r][v], LANES);
}

/// Runs a statement for rows r to r + n until all have had their turn.
#define FOR_ROWS_AT_ONCE(rows, ...)                            \
    do {                                                       \
        size_t r = 0;                                          \
        for (; ROWS_AT_ONCE == 8 && r + 8 <= (rows); r += 8) { \
            const size_t n = 8;                                \
            __VA_ARGS__;                                       \
        }                                                      \
        for (; r + 4 <= (rows); r += 4) {                      \
            const size_t n = 4;                                \
            __VA_ARGS__;                                       \
        }                                                      \
        for (; r + 2 <= (rows); r += 2) {                      \
            const size_t n = 2;                                \
            __VA_ARGS__;                                       \
        }                                                      \
        for (; r < (rows); r++) {                              \
            const size_t n = 1;                                \
            __VA_ARGS__;                                       \
        }                                                      \
    } while (0)

/// The sums of all rows take up the values of one block; meanwhile memory fetches the keys that come next.
INLINE void add_block(float *sums, const float *weights, const uint16_t *values, const uint16_t *next, size_t count,
                      const attention_shape *s) {
    size_t c = 0;
    for (; c + KEYS_TOGETHER <= s->size; c += KEYS_TOGETHER) {
        for (size_t i = 0; i < KEYS_TOGETHER * KEYS_TOGETHER; i += LINE)
            __builtin_prefetch(next + c * KEYS_TOGETHER + i);
        FOR_ROWS_AT_ONCE(
            s->rows, { add_values(sums + r * s->size + c, s->size, weights + r, values + c, s->stride, count, n); });
    }
    for (; c < s->size; c++)
        for (size_t r = 0; r < s->rows; r++)
            for (size_t k = 0; k < count; k++) {
                float *sum = sums + r * s->size + c;
                *sum = __builtin_fmaf(f16_to_f32(values[k * s->stride + c]), weights[k * PANEL_ROWS + r], *sum);
            }
}

static void attend_f16(float *state, float *scores, const float *queries, const uint16_t *const *keys,
                       const uint16_t *const *values, const attention_shape *s) {
    const size_t blocks = (s->keys + KEYS_TOGETHER - 1) / KEYS_TOGETHER, block_scores = KEYS_TOGETHER * PANEL_ROWS;
    float *maximum = state + s->rows * s->size, *total = maximum + PANEL_ROWS;
    memset(scores, 0, blocks * block_scores * sizeof *scores);
    for (size_t b = 0; b < blocks; b++)
        FOR_ROWS_AT_ONCE(s->rows, {
            score_rows(scores + b * block_scores + r, queries + r * s->size, keys[b], s->size, n,
                       r > 0 ? NULL : values[b], s->stride);
        });
    for (size_t first = 0; first < s->rows; first += LANES) {
        hide_scores(scores + first, s, first);
        vf factor = weigh_scores(maximum + first, total + first, scores + first, s);
        for (size_t r = first; r < s->rows && r < first + LANES; r++)
            if (factor[r - first] != 1) scale(state + r * s->size, state + r * s->size, factor[r - first], s->size);
    }
    for (size_t b = 0; b < blocks; b++) {
        const size_t left = s->keys - b * KEYS_TOGETHER;
        add_block(state, scores + b * block_scores, values[b], keys[b] + blocks * KEYS_TOGETHER * s->stride,
                  left < KEYS_TOGETHER ? left : KEYS_TOGETHER, s);
    }
}

static void join_rows(float *state, const float *other, size_t size, size_t rows) {
    for (size_t first = 0; first < rows; first += LANES) {
        float *maximum = state + rows * size + first, *total = maximum + PANEL_ROWS;
        const float *theirs = other + rows * size + first;
        vf keep, take;
        join_totals(maximum, total, theirs, theirs + PANEL_ROWS, &keep, &take);
        for (size_t r = first; r < rows && r < first + LANES; r++) {
            float *sums = state + r * size;
            const vf mine = keep[r - first], added = take[r - first];
            FOR_LANES(size, store(sums + i, fma_vf(load(other + r * size + i, n), added, load(sums + i, n) * mine), n));
        }
    }
}
