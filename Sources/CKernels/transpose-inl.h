// Included by vector-inl.h, within an instruction set.
//
// Interleaves rows into panels and back: transposes of LANES x LANES elements in registers.

#if LANES == 4
#define LOW_HALVES(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#elif LANES == 8
#define LOW_HALVES(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define LOW_HALVES(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif

/// Transposes LANES x LANES elements by log2(LANES) perfect shuffles: each rotates the bits of the index (row, column)
/// by one, so that in the end row and column are exchanged.
INLINE void transpose_square(vf rows[LANES]) {
    UNROLL_FOR (size_t round = 1; round < LANES; round *= 2) {
        vf mixed[LANES];
        UNROLL_FOR (size_t i = 0; i < LANES / 2; i++) {
            mixed[2 * i] = LOW_HALVES(rows[i], rows[i + LANES / 2]);
            mixed[2 * i + 1] = HIGH_HALVES(rows[i], rows[i + LANES / 2]);
        }
        UNROLL_FOR (size_t i = 0; i < LANES; i++) rows[i] = mixed[i];
    }
}

/// out[c * out_stride + r] = in[r][c] for r < count, and 0 for count <= r < stored <= LANES.
INLINE void transpose_rows(float *out, size_t out_stride, const float *const in[LANES], size_t count, size_t stored,
                           size_t columns) {
    FOR_LANES(columns, {
        vf rows[LANES];
        UNROLL_FOR (size_t r = 0; r < LANES; r++) rows[r] = r < count ? load(in[r] + i, n) : (vf)0.0f;
        transpose_square(rows);
        if (n == LANES && stored == LANES) {
            UNROLL_FOR (size_t c = 0; c < LANES; c++) store(out + (i + c) * out_stride, rows[c], LANES);
        } else {
            for (size_t c = 0; c < n; c++) store(out + (i + c) * out_stride, rows[c], stored);
        }
    });
}

INLINE size_t at_most_lanes(size_t count) { return count < LANES ? count : LANES; }

static void transpose(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r += LANES) {
        const size_t count = at_most_lanes(rows - r);
        const float *in[LANES];
        for (size_t i = 0; i < count; i++) in[i] = x + (r + i) * x_stride;
        transpose_rows(out + r, out_stride, in, count, count, columns);
    }
}

INLINE size_t row_offset(grouped_rows shape, size_t row) {
    return row / shape.group * shape.group_stride + row % shape.group * shape.size;
}

static void interleave(float *panel, const float *x, grouped_rows shape, size_t first, size_t count) {
    for (size_t r = 0; r < PANEL_ROWS; r += LANES) {
        const size_t row_count = r < count ? at_most_lanes(count - r) : 0;
        const float *in[LANES];
        for (size_t i = 0; i < row_count; i++) in[i] = x + row_offset(shape, first + r + i);
        transpose_rows(panel + r, PANEL_ROWS, in, row_count, LANES, shape.size);
    }
}

static void deinterleave(float *out, const float *panel, const float *divisors, grouped_rows shape, size_t first,
                         size_t count) {
    for (size_t r = 0; r < count; r += LANES) {
        const size_t row_count = at_most_lanes(count - r);
        float *rows[LANES];
        for (size_t i = 0; i < row_count; i++) rows[i] = out + row_offset(shape, first + r + i);
        const vf factors = divisors ? 1.0f / load(divisors + r, LANES) : (vf)1.0f;
        FOR_LANES(shape.size, {
            vf columns[LANES];
            UNROLL_FOR (size_t c = 0; c < LANES; c++)
                columns[c] = c < n ? load(panel + (i + c) * PANEL_ROWS + r, LANES) * factors : (vf)0.0f;
            transpose_square(columns);
            UNROLL_FOR (size_t row = 0; row < LANES; row++)
                if (row < row_count) store(rows[row] + i, columns[row], n);
        });
    }
}
