// Scales for weights in blocks: several are tried, and for the integers that each gives the best is found by least squares.
#include "CKernels.h"

#include <math.h>
#include <string.h>

typedef float v16 __attribute__((ext_vector_type(16)));
typedef float v32 __attribute__((ext_vector_type(32)));

#define ATTEMPTS 25

/// To the nearest integers, for magnitudes under 2^22; rintf is a call where SSE4.1 may be missing.
#define NEAREST(v) (((v) + 12582912.0f) - 12582912.0f)

/// The sum of the lanes of an expression, whose type is one of these vectors: halves of halves.
#define SUM(v)                                                  \
    ({                                                          \
        __typeof__(v) lanes = (v);                              \
        sum((float *)&lanes, sizeof lanes / sizeof(float));     \
    })

static inline __attribute__((always_inline)) float sum(float *lanes, size_t count) {
#pragma clang loop unroll(full)
    for (size_t half = count / 2; half > 0; half /= 2)
#pragma clang loop unroll(full)
        for (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

float fit_signed_scale(const float *x) {
    v16 values;
    memcpy(&values, x, sizeof values);
    float extreme = 0;
    for (int i = 0; i < 16; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    if (extreme == 0) return 0;
    // For given integers q the error is the least for s = sum(x q) / sum(q^2): sum(x^2) - sum(x q)^2 / sum(q^2).
    float best = -1, scale = 0;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        v16 q = NEAREST(values * (-(32 + 0.1f * (float)(attempt - ATTEMPTS / 2)) / extreme));
        q = q > 31.0f ? (v16)31.0f : q;
        q = q < -32.0f ? (v16)-32.0f : q;
        float q2 = SUM(q * q), xq = SUM(values * q);
        if (q2 > 0 && xq * xq > best * q2) {
            best = xq * xq / q2;
            scale = xq / q2;
        }
    }
    return scale;
}

void fit_scale_and_minimum(const float *x, float *scale, float *minimum) {
    v32 values;
    memcpy(&values, x, sizeof values);
    float low = 0, high = 0, best = INFINITY;
    for (int i = 0; i < 32; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    // Nothing but numbers of one sign below zero: their minimum alone.
    *scale = 0;
    *minimum = -low;
    if (high == low) return;
    float x1 = SUM(values);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        v32 q = NEAREST((values - low) * ((13.4f + 0.1f * (float)attempt) / (high - low)));
        q = q > 15.0f ? (v32)15.0f : q;
        float q1 = SUM(q), q2 = SUM(q * q), xq = SUM(values * q), determinant = 32 * q2 - q1 * q1;
        float s = 0, m = 0;
        if (determinant > 0) {
            s = (32 * xq - x1 * q1) / determinant;
            m = (q1 * xq - q2 * x1) / determinant;
        }
        if (determinant <= 0 || m < 0) {
            s = q2 > 0 ? xq / q2 : 0;
            m = 0;
        }
        if (!(s > 0)) continue;
        v32 rounded = NEAREST((values + m) / s);
        rounded = rounded > 15.0f ? (v32)15.0f : rounded;
        rounded = rounded < 0.0f ? (v32)0.0f : rounded;
        v32 differences = rounded * s - m - values;
        float error = SUM(differences * differences);
        if (error < best) {
            best = error;
            *scale = s;
            *minimum = m;
        }
    }
}
