// Included by the file of each instruction set (x86_….c, arm_….c), which has included vector_includes.h, enabled the
// instructions and defined
//     LANES                      floats of a vector
//     BLOCK_ROWS, BLOCK_TOKENS   rows and tokens of a product whose sums stay in registers
//     SET, ISA                   the name of the kernel set, as an identifier and as a string
// and, where the CPU has them, VNNI, DOT_PRODUCT or MATRIX_PRODUCT.
//
// Every kernel, in clang's vector extensions.  A sum is accumulated in the same order wherever its row and token are in
// a block, so results do not depend on how callers split rows and tokens.

typedef float vf __attribute__((ext_vector_type(LANES)));
typedef int32_t vi __attribute__((ext_vector_type(LANES)));
typedef uint16_t vu16 __attribute__((ext_vector_type(LANES)));
typedef uint32_t vu32 __attribute__((ext_vector_type(LANES)));
typedef _Float16 vf16 __attribute__((ext_vector_type(LANES)));

/// The first `n` elements at `x`, 0 < n <= LANES; the other lanes are 0.
INLINE vf load(const float *x, size_t n) {
    vf v = 0;
    if (n == LANES)
        memcpy(&v, x, sizeof v);  // one instruction; any other count is a call
    else
        memcpy(&v, x, n * sizeof *x);
    return v;
}

INLINE void store(float *out, vf v, size_t n) {
    if (n == LANES)
        memcpy(out, &v, sizeof v);
    else
        memcpy(out, &v, n * sizeof *out);
}

INLINE vf load_bf16(const uint16_t *x, size_t n) {
    vu16 v = 0;
    memcpy(&v, x, n == LANES ? sizeof v : n * sizeof *x);
    vu32 bits = __builtin_convertvector(v, vu32) << 16;
    return (vf)bits;
}

INLINE vf load_f16(const uint16_t *x, size_t n) {
    vf16 v = 0;
    memcpy(&v, x, n == LANES ? sizeof v : n * sizeof *x);
    return __builtin_convertvector(v, vf);
}

INLINE float f16_to_f32(uint16_t bits) {
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    return (float)half;
}

INLINE vf fma_vf(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }

/// The sum of the lanes, by halves.
INLINE float sum_lanes(vf v) {
    float lanes[LANES];
    memcpy(lanes, &v, sizeof v);
    UNROLL_FOR (size_t half = LANES / 2; half > 0; half /= 2) {
        UNROLL_FOR (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

/// Runs the statements with variables `i` = 0, LANES, 2 LANES, … and `n`, the number of elements from i on: LANES, or
/// fewer at the end.
#define FOR_LANES(count, ...)                  \
    do {                                       \
        const size_t end = count;              \
        size_t i = 0;                          \
        for (; i + LANES <= end; i += LANES) { \
            const size_t n = LANES;            \
            __VA_ARGS__;                       \
        }                                      \
        if (i < end) {                         \
            const size_t n = end - i;          \
            __VA_ARGS__;                       \
        }                                      \
    } while (0)

// MARK: Elementary functions

/// q of e^r = 1 + r + r^2 q(r), |r| <= ln 2 / 2: minimax of degree 4, relative error 2^-27.
INLINE vf exponential_tail(vf r) {
    vf q = fma_vf(r, (vf)0.00139411236f, (vf)0.00836318079f);
    q = fma_vf(q, r, (vf)0.0416663736f);
    q = fma_vf(q, r, (vf)0.166665763f);
    return fma_vf(q, r, (vf)0.5f);
}

/// e^x within 2 ulp; 0 under the smallest subnormal, infinity over the range, NaN of NaN.
/// e^x = 2^n e^r, |r| <= ln 2 / 2.
INLINE vf exponential(vf x) {
    x = x > 89.0f ? (vf)89.0f : x;
    x = x < -104.0f ? (vf)-104.0f : x;
    const vf round = ROUND_TO_INTEGER;
    vf shifted = fma_vf(x, (vf)1.44269504f, round);
    vf n = shifted - round;
    vf r = fma_vf(n, (vf)-0.693145752f, x);  // ln 2 in two parts; the first times n is exact
    r = fma_vf(n, (vf)-1.42860677e-6f, r);
    vf e = fma_vf(exponential_tail(r) * r, r, r) + 1.0f;
    vi power = (vi)shifted - (vi)round, half = power >> 1;  // 2^n in two factors: the product may be subnormal
    return e * (vf)((half + 127) << 23) * (vf)((power - half + 127) << 23);
}

/// tanh(x) within 3 ulp: x + x^3 g(x^2) under 1/2, g minimax of degree 4; else 1 - 2 / (e^2x + 1).
INLINE vf hyperbolic_tangent(vf x) {
    vf z = x * x;
    vf g = fma_vf(z, (vf)-0.00695102895f, (vf)0.0214747321f);
    g = fma_vf(g, z, (vf)-0.0539341047f);
    g = fma_vf(g, z, (vf)0.133332282f);
    g = fma_vf(g, z, (vf)-0.333333313f);
    vf small = fma_vf(g * z, x, x);
    vf magnitude = __builtin_elementwise_abs(x);
    vf large = __builtin_elementwise_copysign(1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f), x);
    return magnitude > 0.5f ? large : small;
}

// MARK: Elementwise

static void add(float *out, const float *a, const float *b, size_t count) {
    FOR_LANES(count, store(out + i, load(a + i, n) + load(b + i, n), n));
}

static void multiply(float *out, const float *a, const float *b, size_t count) {
    FOR_LANES(count, store(out + i, load(a + i, n) * load(b + i, n), n));
}

static void multiply_add(float *out, const float *a, const float *b, size_t count) {
    FOR_LANES(count, store(out + i, fma_vf(load(a + i, n), load(b + i, n), load(out + i, n)), n));
}

static void scale(float *out, const float *a, float factor, size_t count) {
    FOR_LANES(count, store(out + i, load(a + i, n) * factor, n));
}

static void clamp(float *out, const float *a, float low, float high, size_t count) {
    FOR_LANES(count, {
        vf v = load(a + i, n);
        v = v < low ? (vf)low : v;
        store(out + i, v > high ? (vf)high : v, n);
    });
}

static void gelu_multiply(float *out, const float *gate, const float *up, size_t count) {
    FOR_LANES(count, {
        vf z = load(gate + i, n);
        // (1 + tanh u) / 2 = 1 / (1 + e^-2u)
        vf exponent = z * fma_vf(z * z, (vf)(-2 * 0.7978845608f * 0.044715f), (vf)(-2 * 0.7978845608f));
        store(out + i, z / (1.0f + exponential(exponent)) * load(up + i, n), n);
    });
}

static void silu(float *out, const float *x, size_t count) {
    FOR_LANES(count, {
        vf v = load(x + i, n);
        store(out + i, v / (1.0f + exponential(-v)), n);
    });
}

static void sigmoid_multiply(float *out, const float *value, const float *gate, size_t count) {
    FOR_LANES(count, store(out + i, load(value + i, n) / (1.0f + exponential(-load(gate + i, n))), n));
}

static void soft_cap(float *out, const float *x, float cap, size_t count) {
    FOR_LANES(count, store(out + i, cap * hyperbolic_tangent(load(x + i, n) / cap), n));
}

static void widen_bf16(float *out, const uint16_t *x, size_t count) {
    FOR_LANES(count, store(out + i, load_bf16(x + i, n), n));
}

static void widen_f16(float *out, const uint16_t *x, size_t count) {
    FOR_LANES(count, store(out + i, load_f16(x + i, n), n));
}

static void narrow_f16(uint16_t *out, const float *x, size_t count) {
    FOR_LANES(count, {
        vf16 v = __builtin_convertvector(load(x + i, n), vf16);
        memcpy(out + i, &v, n == LANES ? sizeof v : n * sizeof *out);
    });
}

// MARK: Rows

static float maximum(const float *x, size_t count) {
    vf largest = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf v = load(x + i, LANES);
        largest = v > largest ? v : largest;
    }
    float result = -INFINITY;
    for (; i < count; i++) result = fmaxf(result, x[i]);
    for (size_t lane = 0; lane < LANES; lane++) result = fmaxf(result, largest[lane]);
    return result;
}

static float exponentials(float *out, const float *x, float shift, size_t count) {
    vf sum = 0;
    FOR_LANES(count, {
        vf e = exponential(load(x + i, n) - shift);
        store(out + i, e, n);
        sum += load((const float *)&e, n);
    });
    return sum_lanes(sum);
}

static void rms_norm(float *out, const float *x, const float *weight, float eps, size_t count) {
    vf squares = 0;
    FOR_LANES(count, {
        vf v = load(x + i, n);
        squares = fma_vf(v, v, squares);
    });
    float factor = 1 / sqrtf(sum_lanes(squares) / count + eps);
    if (weight) {
        FOR_LANES(count, store(out + i, load(x + i, n) * factor * load(weight + i, n), n));
    } else {
        scale(out, x, factor, count);
    }
}

static void layer_norm(float *out, const float *x, const float *weight, float eps, size_t count) {
    vf sum = 0, squares = 0;
    FOR_LANES(count, sum += load(x + i, n));
    float mean = sum_lanes(sum) / count;
    FOR_LANES(count, {
        vf v = load(x + i, n) - mean;
        v = load((const float *)&v, n);
        squares = fma_vf(v, v, squares);
    });
    float factor = 1 / sqrtf(sum_lanes(squares) / count + eps);
    FOR_LANES(count, store(out + i, (load(x + i, n) - mean) * factor * load(weight + i, n), n));
}

static void rotate(float *x, const float *cosine, const float *sine, size_t half) {
    FOR_LANES(half, {
        vf a = load(x + i, n), b = load(x + half + i, n), c = load(cosine + i, n), s = load(sine + i, n);
        store(x + i, a * c - b * s, n);
        store(x + half + i, b * c + a * s, n);
    });
}

#include "decode-inl.h"

// MARK: Products

// The rows of the next block are prefetched: rows are too short for the hardware prefetcher.
#define PRODUCT(name, type, read)                                                                                  \
    INLINE void name##_block(float *out, const type *weight, const float *x, const product_shape *s, size_t rows,  \
                             size_t tokens) {                                                                      \
        vf sums[BLOCK_ROWS][BLOCK_TOKENS] = {0};                                                                   \
        FOR_LANES(s->columns, {                                                                                    \
            vf w[BLOCK_ROWS];                                                                                      \
            UNROLL_FOR (size_t r = 0; r < rows; r++) {                                                             \
                w[r] = read(weight + r * s->weight_stride + i, n);                                                 \
                __builtin_prefetch(weight + (r + BLOCK_ROWS) * s->weight_stride + i, 0, 2);                        \
            }                                                                                                      \
            UNROLL_FOR (size_t t = 0; t < tokens; t++) {                                                           \
                vf v = load(x + t * s->x_stride + i, n);                                                           \
                UNROLL_FOR (size_t r = 0; r < rows; r++) sums[r][t] = fma_vf(w[r], v, sums[r][t]);                 \
            }                                                                                                      \
        });                                                                                                        \
        UNROLL_FOR (size_t t = 0; t < tokens; t++)                                                                 \
            UNROLL_FOR (size_t r = 0; r < rows; r++) out[t * s->out_stride + r] = sum_lanes(sums[r][t]);           \
    }                                                                                                              \
    INLINE void name##_rows(float *out, const type *weight, const float *x, const product_shape *s, size_t rows) { \
        size_t t = 0;                                                                                              \
        for (; t + BLOCK_TOKENS <= s->tokens; t += BLOCK_TOKENS)                                                   \
            name##_block(out + t * s->out_stride, weight, x + t * s->x_stride, s, rows, BLOCK_TOKENS);             \
        for (; BLOCK_TOKENS > 2 && t + 2 <= s->tokens; t += 2)                                                     \
            name##_block(out + t * s->out_stride, weight, x + t * s->x_stride, s, rows, 2);                        \
        if (t < s->tokens) name##_block(out + t * s->out_stride, weight, x + t * s->x_stride, s, rows, 1);         \
    }                                                                                                              \
    static void name(float *out, const type *weight, const float *x, const product_shape *s) {                     \
        size_t r = s->first_row;                                                                                   \
        for (; r + BLOCK_ROWS <= s->end_row; r += BLOCK_ROWS)                                                      \
            name##_rows(out + r, weight + r * s->weight_stride, x, s, BLOCK_ROWS);                                 \
        for (; r < s->end_row; r++) name##_rows(out + r, weight + r * s->weight_stride, x, s, 1);                  \
    }
PRODUCT(f32_product, float, load)
PRODUCT(bf16_product, uint16_t, load_bf16)
PRODUCT(f16_product, uint16_t, load_f16)

/// weighted_rows of `vectors` times LANES columns, or of one vector of `n`.
INLINE void add_rows(float *out, const float *weights, const float *rows, size_t stride, size_t count, size_t vectors,
                     size_t n) {
    vf sums[4];
    UNROLL_FOR (size_t v = 0; v < vectors; v++) sums[v] = load(out + v * LANES, n);
    for (size_t j = 0; j < count; j++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++)
            sums[v] = fma_vf((vf)weights[j], load(rows + j * stride + v * LANES, n), sums[v]);
    UNROLL_FOR (size_t v = 0; v < vectors; v++) store(out + v * LANES, sums[v], n);
}

static void weighted_rows(float *out, const float *weights, const float *rows, size_t stride, size_t count,
                          size_t columns) {
    size_t c = 0;
    for (; c + 4 * LANES <= columns; c += 4 * LANES) add_rows(out + c, weights, rows + c, stride, count, 4, LANES);
    for (; c < columns; c += LANES)
        add_rows(out + c, weights, rows + c, stride, count, 1, columns - c < LANES ? columns - c : LANES);
}

#include "transpose-inl.h"
#include "panel_product-inl.h"
#include "attention-inl.h"
#include "attention_f16-inl.h"
#include "packed_product-inl.h"
#include "integer_product-inl.h"
#include "attention_quantized-inl.h"
#include "attention_rotated-inl.h"

const kernel_set SET = KERNELS(ISA);
