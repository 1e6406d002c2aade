// Included by vector-inl.h, within an instruction set, after panel_product-inl.h.
//
// Attention of panels of queries, with the running maximum and sum of online softmax (Milakov and Gimelshein, 2018).

/// What vector v of some panels has so far: its sums follow from `sums` on, element for element.
typedef struct {
    float *sums, *maximum, *total;
} softmax_vector;

INLINE softmax_vector softmax_vector_at(float *state, size_t size, size_t v) {
    float *sums = panel_vector((panels){state, (size + 2) * PANEL_ROWS}, 0, v);
    return (softmax_vector){sums, sums + size * PANEL_ROWS, sums + (size + 1) * PANEL_ROWS};
}

INLINE void scale_sums(softmax_vector s, size_t size, vf factor) {
    if (__builtin_reduce_and(factor == 1.0f)) return;
    for (size_t c = 0; c < size; c++) {
        float *sum = s.sums + c * PANEL_ROWS;
        store(sum, load(sum, LANES) * factor, LANES);
    }
}

/// The shift of a stable softmax: the maximum, or 0 while every score is masked.
INLINE vf finite_or_zero(vf largest) { return largest > -INFINITY ? largest : (vf)0.0f; }

/// e^x of x <= 0 within (2 + |x| / 16) ulp, and 0 below e^-87, where numbers cease to be normal; NaN of NaN.  See
/// exponential; ln 2 is one number here, which errs by 2^-29 of it, and 2^n is added to the exponent.
INLINE vf exponential_of_negative(vf x) {
    const vf round = ROUND_TO_INTEGER;  // its low 9 bits are 0
    vf shifted = fma_vf(x, (vf)1.44269504f, round), n = shifted - round;
    vf r = fma_vf(n, (vf)-0.693147182f, x);
    vf e = fma_vf(fma_vf(exponential_tail(r), r, (vf)1.0f), r, (vf)1.0f);
    return x < -87.0f ? (vf)0.0f : (vf)((vi)e + ((vi)shifted << 23));
}

/// Whether any of rows `first` to `first + count` attends to a key of this tile.
INLINE bool sees_some(const attention_shape *s, size_t first, size_t count) {
    bool seen = false;
    for (size_t r = first; r < s->rows && r < first + count; r++) seen |= s->first_seen[r] < s->end_seen[r];
    return seen;
}

/// Whether any of LANES rows from `first` on has masked keys.
INLINE bool hides_some(const attention_shape *s, size_t first) {
    bool hidden = false;
    for (size_t r = first; r < s->rows && r < first + LANES; r++)
        hidden |= s->first_seen[r] > 0 || s->end_seen[r] < (int64_t)s->keys;
    return hidden;
}

/// Masks scores: -infinity for the keys that LANES rows from `row` on do not attend to.
INLINE void hide_scores(float *scores, const attention_shape *s, size_t row) {
    vi first, end;
    memcpy(&first, s->first_seen + row, sizeof first);
    memcpy(&end, s->end_seen + row, sizeof end);
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
                           const attention_shape *s, size_t first, size_t vectors) {
    const panels sums = {state, (s->size + 2) * PANEL_ROWS}, products = {scores, s->keys * PANEL_ROWS};
    const panels some = {(float *)queries, s->size * PANEL_ROWS};
    multiply_panels(products, (matrix){keys, 1, s->key_stride}, some, s->keys, s->size, new_sums, vectors);
    for (size_t v = 0; v < vectors; v++) {
        float *mine = panel_vector(products, 0, v);
        if (hides_some(s, first + v * LANES)) hide_scores(mine, s, first + v * LANES);
        softmax_vector rows = softmax_vector_at(state, s->size, v);
        scale_sums(rows, s->size, weigh_scores(rows.maximum, rows.total, mine, s));
    }
    multiply_panels(sums, (matrix){values, 1, s->stride}, products, s->size, s->keys, continued_sums, vectors);
}

static void attend(float *state, float *scores, const float *queries, const float *keys, const float *values,
                   const attention_shape *s) {
    for (size_t first = 0; first < s->rows; first += PANELS_AT_ONCE * PANEL_ROWS) {
        const size_t left = (s->rows - first + LANES - 1) / LANES, panel = first / PANEL_ROWS;
        if (!sees_some(s, first, PANELS_AT_ONCE * PANEL_ROWS)) continue;
        WITH_VECTORS(left < MOST_VECTORS ? left : MOST_VECTORS,
                     attend_vectors(state + panel * (s->size + 2) * PANEL_ROWS, scores,
                                    queries + panel * s->size * PANEL_ROWS, keys, values, s, first, vectors));
    }
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
