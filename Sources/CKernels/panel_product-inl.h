// Included by vector-inl.h, within an instruction set.
//
// Products of f32 whose rows lie in panels, PANEL_ROWS of them next to each other, so that a vector holds one element of
// several rows and meets single numbers of the other factor wherever they lie: nothing else has to be rearranged.
//
// A sum is made in the order of its terms, wherever its row lies.

/// Vectors of an element of all rows of a panel, and vectors of sums that stay in registers, beside what they are made of:
/// enough to hide the latency of an addition.  With AVX-512 several panels are multiplied at once, so that a number of the
/// other factor, which has to be loaded, serves them all.
#define PANEL_VECTORS (PANEL_ROWS / LANES)
#define PANEL_SUMS (LANES == 8 ? 12 : LANES == 16 ? 24 : 16)
#define PANELS_AT_ONCE (LANES == 16 ? 4 : 1)
#define MOST_VECTORS (PANELS_AT_ONCE * PANEL_VECTORS)

/// Runs the statements with the constant `vectors` = count, 1 <= count <= MOST_VECTORS <= 4.
#define WITH_VECTORS(count, ...)                             \
    do {                                                     \
        if ((count) == MOST_VECTORS) {                       \
            const size_t vectors = MOST_VECTORS;             \
            __VA_ARGS__;                                     \
        } else if ((count) == 1) {                           \
            const size_t vectors = 1;                        \
            __VA_ARGS__;                                     \
        } else if ((count) == 2) {                           \
            const size_t vectors = 2;                        \
            __VA_ARGS__;                                     \
        } else {                                             \
            const size_t vectors = MOST_VECTORS > 3 ? 3 : 1; \
            __VA_ARGS__;                                     \
        }                                                    \
    } while (0)

typedef struct {
    const float *start;
    size_t row, column;  ///< from one row, and from one column, to the next
} matrix;

/// Some panels of `size` elements each, one after the other.
typedef struct {
    float *start;
    size_t size;
} panels;

INLINE float *panel_vector(panels p, size_t row, size_t v) {
    return p.start + v / PANEL_VECTORS * p.size + row * PANEL_ROWS + v % PANEL_VECTORS * LANES;
}

typedef enum {
    new_sums,        ///< from 0
    continued_sums,  ///< from what was there
    added_sums,      ///< from 0, then added to what was there
} sum_kind;

/// out[i][r] = sum over j of a[i][j] * b[j][r] for i < n.
INLINE void panel_block(panels out, matrix a, panels b, size_t count, sum_kind kind, size_t n, size_t vectors) {
    vf sums[PANEL_SUMS][MOST_VECTORS];
    UNROLL_FOR (size_t i = 0; i < n; i++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++)
            sums[i][v] = kind == continued_sums ? load(panel_vector(out, i, v), LANES) : (vf)0.0f;
    _Pragma("clang loop unroll_count(4)") for (size_t j = 0; j < count; j++) {
        vf rows[MOST_VECTORS];
        UNROLL_FOR (size_t v = 0; v < vectors; v++) rows[v] = load(panel_vector(b, j, v), LANES);
        UNROLL_FOR (size_t i = 0; i < n; i++) {
            vf factor = a.start[i * a.row + j * a.column];
            UNROLL_FOR (size_t v = 0; v < vectors; v++) sums[i][v] = fma_vf(factor, rows[v], sums[i][v]);
        }
    }
    UNROLL_FOR (size_t i = 0; i < n; i++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) {
            float *sum = panel_vector(out, i, v);
            store(sum, kind == added_sums ? load(sum, LANES) + sums[i][v] : sums[i][v], LANES);
        }
}

// clang-format off
/// The same for `rows` rows of a.
INLINE void multiply_panels(panels out, matrix a, panels b, size_t rows, size_t count, sum_kind kind, size_t vectors) {
#define BLOCKS_OF(n)                                                                            \
    for (; rows >= (n); rows -= (n), out.start += (n) * PANEL_ROWS, a.start += (n) * a.row)     \
        panel_block(out, a, b, count, kind, n, vectors)
    const size_t most = PANEL_SUMS / vectors;
    BLOCKS_OF(most);
    if (most > 8) BLOCKS_OF(8);
    if (most > 4) BLOCKS_OF(4);
    if (most > 2) BLOCKS_OF(2);
    BLOCKS_OF(1);
#undef BLOCKS_OF
}
// clang-format on

static void panel_product(float *sums, size_t sum_size, const float *weight, const float *x, size_t count, size_t rows,
                          size_t columns, bool adds) {
    const size_t size = columns * PANEL_ROWS;
    for (size_t p = 0; p < count; p += PANELS_AT_ONCE) {
        const size_t now = count - p < PANELS_AT_ONCE ? count - p : PANELS_AT_ONCE, left = count - p - now;
        const size_t fetched = (left < now ? left : now) * columns;
        const panels b = {(float *)x + p * size, size};
        WITH_VECTORS(now * PANEL_VECTORS, {
            const size_t most = PANEL_SUMS / vectors;
            for (size_t r = 0; r < rows; r += most) {
                const size_t some = rows - r < most ? rows - r : most;
                // The next panels arrive in equal parts; their columns are cache lines.
                for (size_t c = r * fetched / rows; c < (r + some) * fetched / rows; c++)
                    __builtin_prefetch(b.start + now * size + c * PANEL_ROWS);
                // The stride is a constant, so that addresses are too.
                const matrix a = {weight + r * PANEL_COLUMNS, PANEL_COLUMNS, 1};
                const panels out = {sums + p * sum_size + r * PANEL_ROWS, sum_size};
                multiply_panels(out, a, b, some, columns, adds ? added_sums : new_sums, vectors);
            }
        });
    }
}
