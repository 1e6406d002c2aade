// Scales for weights in blocks: several are tried, and for the integers that each gives the best is found by least squares.
#include "CKernels.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

typedef float v16 __attribute__((ext_vector_type(16)));

#define ATTEMPTS 25

/// To the nearest integers, for magnitudes under 2^22; rintf is a call where SSE4.1 may be missing.
#define NEAREST(v) (((v) + 12582912.0f) - 12582912.0f)

INLINE float sum(float *lanes) {
    UNROLL for (size_t half = 8; half > 0; half /= 2)
        UNROLL for (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/// The sum of the lanes: halves of halves.  (A vector as argument would warn where registers are narrower.)
#define SUM(v)                \
    ({                        \
        v16 lanes = (v);      \
        sum((float *)&lanes); \
    })

#define CLAMPED(v, low, high)                              \
    ({                                                     \
        v16 some = (v);                                    \
        some = some > (high) ? (v16)(float)(high) : some;  \
        some < (low) ? (v16)(float)(low) : some;           \
    })

INLINE float of_largest_magnitude(const float *x, size_t count) {
    float extreme = 0;
    for (size_t i = 0; i < count; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    return extreme;
}

/// The least squares of x - scale * q: sum(x^2) - sum(x q)^2 / sum(q^2) at scale = sum(x q) / sum(q^2).
typedef struct {
    float gain, scale;
} fitted;

INLINE void take_better(fitted *best, float q2, float xq) {
    if (q2 > 0 && xq * xq > best->gain * q2) *best = (fitted){xq * xq / q2, xq / q2};
}

float fit_signed_scale(const float *x, float half) {
    v16 values;
    memcpy(&values, x, sizeof values);
    const float extreme = of_largest_magnitude(x, 16);
    if (extreme == 0) return 0;
    fitted best = {-1, 0};
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        v16 q = NEAREST(values * (-(half + 0.1f * (float)(attempt - ATTEMPTS / 2)) / extreme));
        q = CLAMPED(q, -half, half - 1);
        take_better(&best, SUM(q * q), SUM(values * q));
    }
    return best.scale;
}

/// For 16 times `parts` numbers.
INLINE void scale_and_minimum(const float *x, size_t parts, float highest, float *scale, float *minimum) {
    const float count = 16 * (float)parts;
    v16 values[2], sums = 0;
    memcpy(values, x, parts * sizeof *values);
    float low = 0, high = 0, best = INFINITY;
    for (size_t i = 0; i < 16 * parts; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    // Nothing but numbers of one sign below zero: their minimum alone.
    *scale = 0;
    *minimum = -low;
    if (high == low) return;
    UNROLL for (size_t p = 0; p < parts; p++) sums += values[p];
    const float x1 = SUM(sums);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        v16 q1s = 0, q2s = 0, xqs = 0, errors = 0;
        UNROLL for (size_t p = 0; p < parts; p++) {
            v16 q = NEAREST((values[p] - low) * ((highest - 1.6f + 0.1f * (float)attempt) / (high - low)));
            q = CLAMPED(q, 0, highest);
            q1s += q;
            q2s += q * q;
            xqs += values[p] * q;
        }
        const float q1 = SUM(q1s), q2 = SUM(q2s), xq = SUM(xqs), determinant = count * q2 - q1 * q1;
        float s = 0, m = 0;
        if (determinant > 0) {
            s = (count * xq - x1 * q1) / determinant;
            m = (q1 * xq - q2 * x1) / determinant;
        }
        if (determinant <= 0 || m < 0) {
            s = q2 > 0 ? xq / q2 : 0;
            m = 0;
        }
        if (!(s > 0)) continue;
        UNROLL for (size_t p = 0; p < parts; p++) {
            v16 differences = CLAMPED(NEAREST((values[p] + m) / s), 0, highest) * s - m - values[p];
            errors += differences * differences;
        }
        const float error = SUM(errors);
        if (error < best) {
            best = error;
            *scale = s;
            *minimum = m;
        }
    }
}

void fit_scale_and_minimum(const float *x, size_t count, float highest, float *scale, float *minimum) {
    if (count == 16)
        scale_and_minimum(x, 1, highest, scale, minimum);
    else
        scale_and_minimum(x, 2, highest, scale, minimum);
}

/// Halfway from each value to the next.
INLINE float iq4_limit(size_t number) { return 0.5f * (float)(iq4_values[number] + iq4_values[number + 1]); }

float fit_iq4_scale(const float *x) {
    v16 values[2];
    memcpy(values, x, sizeof values);
    const float extreme = of_largest_magnitude(x, 32);
    if (extreme == 0) return 0;
    fitted best = {-1, 0};
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const float inverse = (float)(iq4_values[0] + attempt - ATTEMPTS / 2) / extreme;
        v16 q2s = 0, xqs = 0;
        UNROLL for (size_t p = 0; p < 2; p++) {
            v16 q = (float)iq4_values[0];
            UNROLL for (size_t i = 0; i < 15; i++)
                q = values[p] * inverse > iq4_limit(i) ? (v16)(float)iq4_values[i + 1] : q;
            q2s += q * q;
            xqs += values[p] * q;
        }
        take_better(&best, SUM(q2s), SUM(xqs));
    }
    return best.scale;
}

uint8_t nearest_iq4(float value) {
    uint8_t number = 0;
    while (number < 15 && value > iq4_limit(number)) number++;
    return number;
}
