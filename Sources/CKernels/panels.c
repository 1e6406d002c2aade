// Rows into panels and back.
#include "CKernels.h"

void interleave(float *panel, const float *x, grouped_rows shape, size_t first, size_t count) {
    const float *rows[PANEL_ROWS] = {0};
    for (size_t r = 0; r < count; r++)
        rows[r] = x + (first + r) / shape.group * shape.group_stride + (first + r) % shape.group * shape.size;
    for (size_t c = 0; c < shape.size; c++, panel += PANEL_ROWS) {
        for (size_t r = 0; r < count; r++) panel[r] = rows[r][c];
        for (size_t r = count; r < PANEL_ROWS; r++) panel[r] = 0;
    }
}

void deinterleave(float *out, const float *panel, const float *divisors, grouped_rows shape, size_t first, size_t count) {
    for (size_t r = 0; r < count; r++) {
        float *row = out + (first + r) / shape.group * shape.group_stride + (first + r) % shape.group * shape.size;
        const float factor = 1 / divisors[r];
        for (size_t c = 0; c < shape.size; c++) row[c] = panel[c * PANEL_ROWS + r] * factor;
    }
}
