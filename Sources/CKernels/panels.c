// Rows into panels and back: transposes of 4 x 4 elements, the last columns one by one.
#include "CKernels.h"

#include <string.h>

typedef float f32x4 __attribute__((ext_vector_type(4)));

/// Element c of in[r] becomes element r of row c of out.
static inline void transpose_4x4(float *out, size_t out_stride, const float *const in[4]) {
    f32x4 a, b, c, d;
    memcpy(&a, in[0], sizeof a), memcpy(&b, in[1], sizeof b), memcpy(&c, in[2], sizeof c), memcpy(&d, in[3], sizeof d);
    const f32x4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const f32x4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const f32x4 columns[4] = {
        __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
        __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (size_t i = 0; i < 4; i++) memcpy(out + i * out_stride, &columns[i], sizeof columns[i]);
}

static void transpose_rows(float *out, size_t out_stride, const float *const rows[4], size_t count, size_t columns) {
    size_t c = 0;
    for (; count == 4 && c + 4 <= columns; c += 4)
        transpose_4x4(out + c * out_stride, out_stride,
                      (const float *const[]){rows[0] + c, rows[1] + c, rows[2] + c, rows[3] + c});
    for (; c < columns; c++)
        for (size_t r = 0; r < count; r++) out[c * out_stride + r] = rows[r][c];
}

void transpose(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r += 4) {
        const float *const in[4] = {x + r * x_stride, x + (r + 1) * x_stride, x + (r + 2) * x_stride, x + (r + 3) * x_stride};
        transpose_rows(out + r, out_stride, in, rows - r < 4 ? rows - r : 4, columns);
    }
}

static size_t row_offset(grouped_rows shape, size_t row) {
    return row / shape.group * shape.group_stride + row % shape.group * shape.size;
}

void interleave(float *panel, const float *x, grouped_rows shape, size_t first, size_t count) {
    if (count < PANEL_ROWS) memset(panel, 0, shape.size * PANEL_ROWS * sizeof *panel);
    for (size_t r = 0; r < count; r += 4) {
        const float *rows[4];
        for (size_t i = 0; i < 4; i++) rows[i] = x + row_offset(shape, first + r + i);
        transpose_rows(panel + r, PANEL_ROWS, rows, count - r < 4 ? count - r : 4, shape.size);
    }
}

void deinterleave(float *out, const float *panel, const float *divisors, grouped_rows shape, size_t first, size_t count) {
    for (size_t r = 0; r < count; r += 4) {
        const size_t n = count - r < 4 ? count - r : 4;
        float *rows[4];
        for (size_t i = 0; i < n; i++) rows[i] = out + row_offset(shape, first + r + i);
        size_t c = 0;
        for (; n == 4 && c + 4 <= shape.size; c += 4) {
            const float *in = panel + c * PANEL_ROWS + r;
            float block[4][4];
            transpose_4x4(block[0], 4,
                          (const float *const[]){in, in + PANEL_ROWS, in + 2 * PANEL_ROWS, in + 3 * PANEL_ROWS});
            for (size_t i = 0; i < 4; i++) memcpy(rows[i] + c, block[i], sizeof block[i]);
        }
        for (; c < shape.size; c++)
            for (size_t i = 0; i < n; i++) rows[i][c] = panel[c * PANEL_ROWS + r + i];
        if (!divisors) continue;
        for (size_t i = 0; i < n; i++) {
            const float factor = 1 / divisors[r + i];
            for (size_t c = 0; c < shape.size; c++) rows[i][c] *= factor;
        }
    }
}
