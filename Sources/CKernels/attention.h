// Attention of a panel of queries, with the running maximum and sum of online softmax (Milakov and Gimelshein, 2018).

/// What vector v of a panel has so far: its sums follow from `sums` on, element for element.
typedef struct {
    float *sums, *maximum, *total;
} softmax_vector;

INLINE softmax_vector softmax_vector_at(float *state, size_t size, size_t v) {
    float *sums = state + v * LANES;
    return (softmax_vector){sums, sums + size * PANEL_ROWS, sums + (size + 1) * PANEL_ROWS};
}

INLINE void scale_sums(softmax_vector s, size_t size, vf factor) {
    if (__builtin_reduce_and(factor == 1.0f)) return;
    for (size_t c = 0; c < size; c++) {
        float *sum = s.sums + c * PANEL_ROWS;
        store(sum, load(sum, LANES) * factor, LANES);
    }
}

/// What is taken from the scores: the largest, or 0 where there is none yet.
INLINE vf finite_or_zero(vf largest) { return largest > -INFINITY ? largest : (vf)0.0f; }

/// e^x of x <= 0 within (2 + |x| / 16) ulp, and 0 below e^-87, where numbers cease to be normal; NaN of NaN.  See
/// exponential; ln 2 is one number here, which errs by 2^-29 of it, and 2^n is added to the exponent.
INLINE vf exponential_of_negative(vf x) {
    const vf round = 12582912.0f;  // its low 9 bits are 0
    vf shifted = fma_vf(x, (vf)1.44269504f, round), n = shifted - round;
    vf r = fma_vf(n, (vf)-0.693147182f, x);
    vf e = fma_vf(fma_vf(exponential_tail(r), r, (vf)1.0f), r, (vf)1.0f);
    return x < -87.0f ? (vf)0.0f : (vf)((vi)e + ((vi)shifted << 23));
}

/// -infinity in place of the scores that a query does not see.
INLINE void hide_scores(float *scores, const attention_shape *s, size_t v) {
    vi first, end;
    memcpy(&first, s->first_seen + v * LANES, sizeof first);
    memcpy(&end, s->end_seen + v * LANES, sizeof end);
    for (size_t j = 0; j < s->keys; j++) {
        vi key = (vi)(int32_t)j, seen = (key >= first) & (key < end);
        vf score = load(scores + j * PANEL_ROWS, LANES);
        store(scores + j * PANEL_ROWS, seen ? score : (vf)-INFINITY, LANES);
    }
}

/// Makes of the scores their weights, and takes them up in maximum and total.
/// - Returns: what the sums of the rows have to be multiplied by.
INLINE vf weigh_scores(float *maximum, float *total, float *scores, const attention_shape *s) {
    const vf before = load(maximum, LANES);
    vf largest = before;
    for (size_t j = 0; j < s->keys; j++) {
        vf score = load(scores + j * PANEL_ROWS, LANES);
        largest = score > largest ? score : largest;
    }
    const vf shift = finite_or_zero(largest), factor = exponential(before - shift);
    vf weights = 0;
    for (size_t j = 0; j < s->keys; j++) {
        vf weight = exponential_of_negative(load(scores + j * PANEL_ROWS, LANES) - shift);
        store(scores + j * PANEL_ROWS, weight, LANES);
        weights += weight;
    }
    store(total, fma_vf(load(total, LANES), factor, weights), LANES);
    store(maximum, largest, LANES);
    return factor;
}

INLINE void attend_vectors(float *state, float *scores, const float *queries, const float *keys, const float *values,
                           const attention_shape *s, size_t vectors) {
    bool hidden = false;
    for (size_t r = 0; r < s->rows; r++) hidden |= s->first_seen[r] > 0 || s->end_seen[r] < (int64_t)s->keys;
    multiply_panel(scores, (matrix){keys, 1, s->key_stride}, queries, s->keys, s->size, false, vectors);
    for (size_t v = 0; v < vectors; v++) {
        if (hidden) hide_scores(scores + v * LANES, s, v);
        softmax_vector rows = softmax_vector_at(state, s->size, v);
        scale_sums(rows, s->size, weigh_scores(rows.maximum, rows.total, scores + v * LANES, s));
    }
    multiply_panel(state, (matrix){values, 1, s->stride}, scores, s->size, s->keys, true, vectors);
}

static void attend(float *state, float *scores, const float *queries, const float *keys, const float *values,
                   const attention_shape *s) {
    if (s->rows <= LANES)
        attend_vectors(state, scores, queries, keys, values, s, 1);
    else
        attend_vectors(state, scores, queries, keys, values, s, PANEL_VECTORS);
}

/// Joins maximum and total with those of other keys; sums are to become keep * mine + take * theirs.
INLINE void join_totals(float *maximum, float *total, const float *their_maximum, const float *their_total, vf *keep,
                        vf *take) {
    vf a = load(maximum, LANES), b = load(their_maximum, LANES), largest = a > b ? a : b;
    vf shift = finite_or_zero(largest);
    *keep = exponential(a - shift), *take = exponential(b - shift);
    store(maximum, largest, LANES);
    store(total, fma_vf(load(their_total, LANES), *take, load(total, LANES) * *keep), LANES);
}

static void join_softmax(float *state, const float *other, size_t size) {
    for (size_t v = 0; v < PANEL_VECTORS; v++) {
        softmax_vector mine = softmax_vector_at(state, size, v), theirs = softmax_vector_at((float *)other, size, v);
        vf keep, take;
        join_totals(mine.maximum, mine.total, theirs.maximum, theirs.total, &keep, &take);
        for (size_t c = 0; c < size; c++) {
            float *sum = mine.sums + c * PANEL_ROWS;
            store(sum, fma_vf(load(theirs.sums + c * PANEL_ROWS, LANES), take, load(sum, LANES) * keep), LANES);
        }
    }
}
