// Fits the scales of quantized blocks: tries several, and refines each by least squares for the integers that it gives.
#include "CKernels.h"
#include "compiler.h"

#include <math.h>
#include <string.h>

typedef float v16 __attribute__((ext_vector_type(16)));

#define ATTEMPTS 25

/// Rounds to nearest, for magnitudes under 2^22; without SSE4.1 rintf would be a call.
#define NEAREST(v) (((v) + ROUND_TO_INTEGER) - ROUND_TO_INTEGER)

INLINE float sum(float *lanes) {
    UNROLL_FOR (size_t half = 8; half > 0; half /= 2)
        UNROLL_FOR (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/// The sum of the lanes, by halves.  (A macro, because a vector wider than registers as an argument is a warning.)
#define SUM(v)                \
    ({                        \
        v16 lanes = (v);      \
        sum((float *)&lanes); \
    })

#define CLAMPED(v, low, high)                                      \
    ({                                                             \
        v16 clamped = (v);                                         \
        clamped = clamped > (high) ? (v16)(float)(high) : clamped; \
        clamped < (low) ? (v16)(float)(low) : clamped;             \
    })

/// The value of largest magnitude.
INLINE float extreme_value(const float *x, size_t count) {
    float extreme = 0;
    for (size_t i = 0; i < count; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    return extreme;
}

/// A least-squares fit of x by scale * q.  The error is sum(x^2) - gain, gain = sum(x q)^2 / sum(q^2), at scale = sum(x
/// q) / sum(q^2).
typedef struct {
    float gain, scale;
} scale_fit;

INLINE void keep_better(scale_fit *best, float q2, float xq) {
    if (q2 > 0 && xq * xq > best->gain * q2) *best = (scale_fit){xq * xq / q2, xq / q2};
}

float fit_signed_scale(const float *x, float half) {
    v16 values;
    memcpy(&values, x, sizeof values);
    const float extreme = extreme_value(x, 16);
    if (extreme == 0) return 0;
    scale_fit best = {-1, 0};
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        v16 q = NEAREST(values * (-(half + 0.1f * (float)(attempt - ATTEMPTS / 2)) / extreme));
        q = CLAMPED(q, -half, half - 1);
        keep_better(&best, SUM(q * q), SUM(values * q));
    }
    return best.scale;
}

/// fit_scale_and_minimum of `parts` times 16 values.
INLINE void scale_and_minimum(const float *x, size_t parts, float highest, float *scale, float *minimum) {
    const float count = 16 * (float)parts;
    v16 values[2], sums = 0;
    memcpy(values, x, parts * sizeof *values);
    float low = 0, high = 0, best = INFINITY;
    for (size_t i = 0; i < 16 * parts; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    // All values are equal and not positive: the minimum is all.
    *scale = 0;
    *minimum = -low;
    if (high == low) return;
    UNROLL_FOR (size_t p = 0; p < parts; p++) sums += values[p];
    const float x1 = SUM(sums);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        v16 q1s = 0, q2s = 0, xqs = 0, errors = 0;
        UNROLL_FOR (size_t p = 0; p < parts; p++) {
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
        UNROLL_FOR (size_t p = 0; p < parts; p++) {
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

/// The bound between a quant and the next, halfway between their values.
INLINE float iq4_bound(size_t number) { return 0.5f * (float)(iq4_values[number] + iq4_values[number + 1]); }

float fit_iq4_scale(const float *x) {
    v16 values[2];
    memcpy(values, x, sizeof values);
    const float extreme = extreme_value(x, 32);
    if (extreme == 0) return 0;
    scale_fit best = {-1, 0};
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const float inverse = (float)(iq4_values[0] + attempt - ATTEMPTS / 2) / extreme;
        v16 q2s = 0, xqs = 0;
        UNROLL_FOR (size_t p = 0; p < 2; p++) {
            v16 q = (float)iq4_values[0];
            UNROLL_FOR (size_t i = 0; i < 15; i++)
                q = values[p] * inverse > iq4_bound(i) ? (v16)(float)iq4_values[i + 1] : q;
            q2s += q * q;
            xqs += values[p] * q;
        }
        keep_better(&best, SUM(q2s), SUM(xqs));
    }
    return best.scale;
}

uint8_t nearest_iq4(float value) {
    uint8_t number = 0;
    while (number < 15 && value > iq4_bound(number)) number++;
    return number;
}
