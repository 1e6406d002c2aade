// Products of f32 whose rows lie in panels, PANEL_ROWS of them next to each other, so that a vector holds one element of
// several rows and meets single numbers of the other factor wherever they lie: nothing else has to be rearranged.
//
// A sum is made in the order of its terms, wherever its row lies.

/// Vectors of an element of all rows, and sums that stay in registers: enough to hide the latency of an addition, and in
/// AVX2's 16 registers 6 rows of 2 vectors, for which 8 loads feed 12 multiplications.
#define PANEL_VECTORS (PANEL_ROWS / LANES)
#define PANEL_SUMS (LANES == 8 ? 12 : 16)

typedef struct {
    const float *start;
    size_t row, column;  ///< from one row, and from one column, to the next
} matrix;

/// out[i][r] = sum over j of a[i][j] * b[j][r] for i < n, to which `keep` adds what was there.
INLINE void panel_block(float *out, matrix a, const float *b, size_t count, bool keep, size_t n, size_t vectors) {
    vf sums[PANEL_SUMS][PANEL_VECTORS];
    UNROLL for (size_t i = 0; i < n; i++)
        UNROLL for (size_t v = 0; v < vectors; v++)
            sums[i][v] = keep ? load(out + i * PANEL_ROWS + v * LANES, LANES) : (vf)0.0f;
    _Pragma("clang loop unroll_count(4)") for (size_t j = 0; j < count; j++) {
        vf rows[PANEL_VECTORS];
        UNROLL for (size_t v = 0; v < vectors; v++) rows[v] = load(b + j * PANEL_ROWS + v * LANES, LANES);
        UNROLL for (size_t i = 0; i < n; i++) {
            vf factor = a.start[i * a.row + j * a.column];
            UNROLL for (size_t v = 0; v < vectors; v++) sums[i][v] = fma_vf(factor, rows[v], sums[i][v]);
        }
    }
    UNROLL for (size_t i = 0; i < n; i++)
        UNROLL for (size_t v = 0; v < vectors; v++) store(out + i * PANEL_ROWS + v * LANES, sums[i][v], LANES);
}

/// The same for `rows` rows of a.
INLINE void multiply_panel(float *out, matrix a, const float *b, size_t rows, size_t count, bool keep, size_t vectors) {
    const size_t n = PANEL_SUMS / vectors;
    for (; rows >= n; rows -= n, out += n * PANEL_ROWS, a.start += n * a.row)
        panel_block(out, a, b, count, keep, n, vectors);
    for (; n > 4 && rows >= 4; rows -= 4, out += 4 * PANEL_ROWS, a.start += 4 * a.row)
        panel_block(out, a, b, count, keep, 4, vectors);
    for (; n > 2 && rows >= 2; rows -= 2, out += 2 * PANEL_ROWS, a.start += 2 * a.row)
        panel_block(out, a, b, count, keep, 2, vectors);
    for (; rows > 0; rows--, out += PANEL_ROWS, a.start += a.row) panel_block(out, a, b, count, keep, 1, vectors);
}

static void panel_product(float *sums, const float *weight, const float *panel, const float *next, size_t rows,
                          size_t columns, bool adds) {
    const size_t n = PANEL_SUMS / PANEL_VECTORS;
    float block[PANEL_SUMS * LANES];
    for (size_t r = 0; r < rows; r += n) {
        const size_t count = rows - r < n ? rows - r : n;
        // The next panel arrives in equal parts; its columns are cache lines.
        for (size_t c = r * columns / rows; next && c < (r + count) * columns / rows; c++)
            __builtin_prefetch(next + c * PANEL_ROWS);
        // The stride is a constant, so that addresses are too.
        const matrix some = {weight + r * PANEL_COLUMNS, PANEL_COLUMNS, 1};
        float *out = sums + r * PANEL_ROWS;
        multiply_panel(adds ? block : out, some, panel, count, columns, false, PANEL_VECTORS);
        if (adds) add(out, out, block, count * PANEL_ROWS);
    }
}
