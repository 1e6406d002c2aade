#ifndef CKERNELS_H
#define CKERNELS_H

// The contract of every kernel: its mathematics, its shapes, its error bound.
//
// A kernel never allocates, starts a thread, prints or fails; threads are one level up and hand it rows.  All arrays
// are dense and f32 unless said; `out` may be the same array as an input of the same shape, and overlaps nothing
// otherwise.  NaN propagates.  "Within n ulp" is against the exact value of the formula, for finite input; where that
// is under 2^-126, within 2^-148.  eps = 2^-24.  The bounds of elementary functions were measured over all floats.

#include "ggml_blocks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How one product walks its operands: out[t, r] = sum over c of weight[r, c] * x[t, c].
typedef struct {
    size_t tokens;         ///< rows of x and of out
    size_t columns;        ///< elements of a row of weight and of x
    size_t weight_stride;  ///< elements from one row of weight to the next, >= columns
    size_t x_stride;       ///< elements from one row of x to the next, >= columns
    size_t out_stride;     ///< elements from one row of out to the next, >= end_row
    size_t first_row;      ///< first row of weight to multiply
    size_t end_row;        ///< one past the last; columns of out outside the range are left untouched
} product_shape;

/// Rows of a panel of f32, which are interleaved, `[elements][PANEL_ROWS]`, for every instruction set.
#define PANEL_ROWS 16
/// Most columns of a panel of panel_product, and the stride of its weights.
#define PANEL_COLUMNS 256

/// Positions whose f16 keys are interleaved in the KV cache: `[elements][KEYS_TOGETHER]`.
#define KEYS_TOGETHER 16

/// Rows of a matrix in groups: row r begins at r / group * group_stride + r % group * size.
typedef struct {
    size_t group, group_stride, size;
} grouped_rows;

/// Rows of queries that `attend` takes at most.
#define ATTENTION_ROWS 64

/// Some queries, and keys and values for them.
typedef struct {
    size_t rows;  ///< queries, at most ATTENTION_ROWS; of attend_f16 and attend_quantized at most PANEL_ROWS
    size_t size;  ///< elements of a query, a key and a value
    size_t keys;
    size_t stride;      ///< elements from one value to the next, >= size
    size_t key_stride;  ///< of attend: from one element of the keys to the next, >= keys
    int32_t first_seen[ATTENTION_ROWS],
        end_seen[ATTENTION_ROWS];  ///< the keys j that a row sees: first_seen <= j < end_seen
} attention_shape;

/// Layouts of quantized keys and values: blocks of KEYS_TOGETHER positions of one head, which attention reads in place.
///
/// q8_0: int8, one scale for 32 elements.
///     i8  keys[size / 2][KEYS_TOGETHER][2], values[size / 16][KEYS_TOGETHER / 2][16][2]
///     f16 key_scales[size / 32][KEYS_TOGETHER], value_scales[size / 32][KEYS_TOGETHER]
/// rotated: vectors after a random rotation, which makes their elements nearly Gaussian; keys in 4 and values in 3 bits,
/// one scale for each vector.  Source: TurboQuant, arXiv 2504.19874.
///     u32 keys[size / 8][KEYS_TOGETHER], element 4 h + i of 8 in the 4 bits from 4 h of byte i on
///     u32 values[size / 32][48]: the low two bits of 32 columns, those of position 4 j + i from bit 2 j of byte i on; then
///         the high bits of columns c and 16 + c, those of position 4 j + i at bit (j + 2) % 8 and (j + 6) % 8 of byte i
///     f16 key_scales[KEYS_TOGETHER], value_scales[KEYS_TOGETHER]
typedef enum { CACHE_q8_0, CACHE_rotated } cache_type;

/// Most elements of a head in such a cache: a multiple of 32, for `rotated` a power of two.  Sums stay within 32 bits.
#define CACHE_SIZE 512
/// Most keys of one call of attend_quantized and attend_rotated_tile.
#define CACHE_KEYS 256

static inline __attribute__((always_inline)) size_t cache_block_bytes(size_t size, cache_type type) {
    return type == CACHE_q8_0 ? 34 * size : 14 * size + 64;
}

typedef enum { CACHE_keys, CACHE_values } cache_part;

/// Dequantization levels of `rotated`: Lloyd-Max levels of a Gaussian, as integers.
static const int8_t cache_key_levels[16] = {-127, -96, -75, -58, -44, -31, -18, -6, 6, 18, 31, 44, 58, 75, 96, 127};
static const int8_t cache_value_levels[16] = {-127, -79, -45, -14, 14, 45, 79, 127};
/// One standard deviation in these integers, such that the outermost level, 2.7326 or 2.1519, is 127.
static inline __attribute__((always_inline)) float cache_unit(cache_part part) {
    return part == CACHE_keys ? 127 / 2.7326f : 127 / 2.1519f;
}

/// Quantizes a key or a value (for `rotated`: after the rotation) into position `place` of a block.  A non-finite
/// element makes every element that shares its scale NaN.
void cache_write(uint8_t *block, size_t place, const float *x, size_t size, cache_part part, cache_type type);
/// The level of an element of a rotated block, and the scale of a vector.
int8_t cache_level(const uint8_t *block, size_t c, size_t place, size_t size, cache_part part);
float cache_scale(const uint8_t *block, size_t place, size_t size, cache_part part);
/// Dequantizes position `place` of a block.
void cache_read(float *out, const uint8_t *block, size_t place, size_t size, cache_part part, cache_type type);

/// Quantized queries: x[r, c] is about values[r, c] * scales[r].
typedef struct {
    const void *values;  ///< [rows, size]: int16_t of at most 32767 for q8_0, int8_t of at most 127 for rotated
    const float *scales;
    const int32_t *sums;  ///< of each row's values
} integer_queries;
/// |x - value * scale| <= scale * (1/2 + 2^-8); the scale of a row with NaN or infinity is NaN.
void quantize_query(void *out, float *scale, int32_t *sum, const float *x, size_t size, cache_type type);

/// Keys and values of up to CACHE_KEYS positions of one head of a rotated cache, as bytes: what many queries share.
typedef struct {
    int8_t *keys;                      ///< [CACHE_KEYS][size] levels
    int8_t *values;                    ///< [size][CACHE_KEYS] levels
    int32_t *key_offsets;              ///< -128 * the sum of a key's levels
    float *key_scales, *value_scales;  ///< [CACHE_KEYS] each
} rotated_tile;

/// Panels of the queries' bytes, plus 128, four elements of a row next to each other: `[panels][size / 4][PANEL_ROWS]`.
void interleave_queries(int32_t *panels, const int8_t *queries, size_t rows, size_t size);

/// Rows of a weight that pack interleaves.
#define PACKED_ROWS 16

/// Bytes of a packed block for one row: as many as in the file, but more for the grid types, whose packed weights have
/// codes of values in place of indices of grids.
size_t packed_block_bytes(block_type type);

/// 32 activations quantized to int8: x[c] is about values[c] * scale.
typedef struct {
    float scale, minus_sum;     ///< minus_sum: -scale * sum of values
    int32_t minus_128_sums[3];  ///< -128 times the sums of the first 16 values, of the other 16, and of all 32
    int8_t values[32];          ///< -127 to 127
} quantized_block;

/// The smallest largest magnitude that is quantized; below, 127 / x may overflow.
#define QUANTIZED_LEAST 0x1p-100f

/// Activations quantized to int8 with a scale per token: x[t, c] is about values[t, c] * scales[t].
typedef struct {
    const int8_t *values;  ///< [tokens, columns]
    const int32_t *sums;   ///< the sum of each token's values
    const float *scales;
} integer_rows;

/// Most columns of a weight of integer_product: sums of products of bytes stay within 32 bits.
#define INTEGER_COLUMNS 65536

/// The scale, of either sign, for which scale * q with integers q of -half…half - 1 is nearest to 16 values.
float fit_signed_scale(const float *x, float half);
/// The scale and the minimum, neither negative, for which scale * q - minimum with integers q of 0…highest is nearest
/// to `count` values, 16 or 32.
void fit_scale_and_minimum(const float *x, size_t count, float highest, float *scale, float *minimum);

/// The values of quants 0…15 of iq4_nl and iq4_xs.
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
/// The values of quants 0…15 of mxfp4, times 2.
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
/// The values of two bits of magnitude and a sign of iq2_xxs, iq2_xs and iq2_s, times 8.
static const int8_t iq2_values[8] = {8, 25, 43, 0, -8, -25, -43, 0};
/// The values of three bits of magnitude and a sign, of iq3_xxs times 4, of iq3_s as they are.
static const int8_t iq3_xxs_values[16] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62};
static const int8_t iq3_s_values[16] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};
/// The scale, of either sign, for which scale * one of iq4_values each is nearest to 32 values.
float fit_iq4_scale(const float *x);
/// The quant whose value is nearest.
uint8_t nearest_iq4(float value);

/// Interleaves PACKED_ROWS rows of `columns` weights block by block; packed_layout.h draws the result.  `rows`, at most
/// PACKED_ROWS, are `row_bytes` apart; missing rows become 0.  A block becomes PACKED_ROWS * packed_block_bytes.
void pack(uint8_t *out, const uint8_t *weight, size_t row_bytes, size_t rows, size_t columns, block_type type);

typedef struct {
    const char *isa;

    /// out[i] = a[i] + b[i]
    void (*add)(float *out, const float *a, const float *b, size_t count);
    /// out[i] = a[i] * b[i]
    void (*multiply)(float *out, const float *a, const float *b, size_t count);
    /// out[i] = out[i] + a[i] * b[i]; fused or not
    void (*multiply_add)(float *out, const float *a, const float *b, size_t count);
    /// out[i] = a[i] * factor
    void (*scale)(float *out, const float *a, float factor, size_t count);
    /// out[i] = min(max(a[i], low), high); NaN stays NaN
    void (*clamp)(float *out, const float *a, float low, float high, size_t count);

    /// out[i] = GELU(gate[i]) * up[i], GELU(z) = z/2 * (1 + tanh(sqrt(2/pi) * (z + 0.044715 z^3)))
    /// Within 4 eps * |gate * up|: the two terms of 1 + tanh cancel where GELU is small.
    void (*gelu_multiply)(float *out, const float *gate, const float *up, size_t count);
    /// out[i] = x[i] / (1 + e^-x[i]).  Within 4 ulp; for x[i] < -88, where e^-x[i] leaves f32, within 2^-121.
    void (*silu)(float *out, const float *x, size_t count);
    /// out[i] = value[i] / (1 + e^-gate[i]).  Within 4 ulp; for gate[i] < -88 within 2^-127 * |value[i]|.
    void (*sigmoid_multiply)(float *out, const float *value, const float *gate, size_t count);
    /// out[i] = cap * tanh(x[i] / cap).  Within 5 ulp.
    void (*soft_cap)(float *out, const float *x, float cap, size_t count);
    /// The largest of x, NaN ignored; -infinity if nothing else is there.
    float (*maximum)(const float *x, size_t count);
    /// out[i] = e^(x[i] - shift), the difference rounded to f32; returns the sum.  Each within 2 ulp.
    float (*exponentials)(float *out, const float *x, float shift, size_t count);

    /// out[i] = x[i] * weight[i] / sqrt(mean(x^2) + eps); weight may be NULL.  Within (count + 8) eps.
    void (*rms_norm)(float *out, const float *x, const float *weight, float eps, size_t count);
    /// out[i] = (x[i] - mean(x)) * weight[i] / sqrt(variance(x) + eps), biased variance.
    /// Within (count + 8) eps * (|out[i]| + |weight[i]| * mean|x| / sqrt(variance(x) + eps)).
    void (*layer_norm)(float *out, const float *x, const float *weight, float eps, size_t count);
    /// Rotates the pairs (x[k], x[k + half]) by the angle whose cosine and sine are given, 0 <= k < half.
    void (*rotate)(float *x, const float *cosine, const float *sine, size_t half);

    /// out[i] = x[i], exactly
    void (*widen_bf16)(float *out, const uint16_t *x, size_t count);
    /// out[i] = x[i], exactly
    void (*widen_f16)(float *out, const uint16_t *x, size_t count);
    /// Rounds to the nearest f16, ties to even; infinity beyond its range.  All sets give the same bits.
    void (*narrow_f16)(uint16_t *out, const float *x, size_t count);
    /// Dequantizes `count` consecutive blocks.  All sets give the same bits.
    void (*decode)(float *out, const uint8_t *blocks, size_t count, block_type type);

    /// Products of few tokens, which stream the weights once.
    /// Within (columns + 8) eps * sum|weight * x| of scalar: f32 sums are regrouped.
    void (*f32_product)(float *out, const float *weight, const float *x, const product_shape *shape);
    void (*bf16_product)(float *out, const uint16_t *weight, const float *x, const product_shape *shape);
    void (*f16_product)(float *out, const uint16_t *weight, const float *x, const product_shape *shape);

    /// out[c * out_stride + r] = x[r * x_stride + c] for r < rows, c < columns.
    void (*transpose)(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t columns);
    /// Interleaves rows `first` to `first + count`, at most PANEL_ROWS, of x to a panel; missing rows are 0.
    void (*interleave)(float *panel, const float *x, grouped_rows shape, size_t first, size_t count);
    /// Writes the rows of a panel over rows `first` to `first + count` of out; each row is multiplied by one over its
    /// divisor unless `divisors`, PANEL_ROWS of them, is NULL.
    void (*deinterleave)(float *out, const float *panel, const float *divisors, grouped_rows shape, size_t first,
                         size_t count);

    /// One step of a product of many tokens, PANEL_ROWS a panel: sums[p][r][t] = sum over c of weight[r][c] *
    /// x[p][c][t], to which `adds` adds what was there.
    ///   sums    [panels][rows][PANEL_ROWS], those of a panel `sum_size` after the last one's
    ///   weight  [rows][PANEL_COLUMNS], of which `columns` count
    ///   x       [panels][columns][PANEL_ROWS], see interleave
    /// Within (columns + 1) eps * sum|weight * x|.  The terms of a sum are added in order: its bits do not depend on
    /// the other rows and panels.
    void (*panel_product)(float *sums, size_t sum_size, const float *weight, const float *x, size_t panels, size_t rows,
                          size_t columns, bool adds);

    /// Quantizes activations to int8: of each 32 the largest magnitude becomes 127, the others are rounded to nearest.
    /// `count` is a multiple of 32.  |x - value * scale| <= scale * (1/2 + 2^-15); all become 0 if none reaches
    /// QUANTIZED_LEAST; if one is NaN or infinite, the scale is NaN.
    void (*quantize)(quantized_block *out, const float *x, size_t count);
    /// Product of a packed weight, whose stride is in bytes of a row, with x: [tokens, columns / 32] blocks (x_stride
    /// is not used); first_row is a multiple of PACKED_ROWS. Integer sums are exact, their scaled sums f32: within
    /// (columns / 8 + 8) eps * sum(|weight * x|) of scalar; for types with minima |scaled| + |minimum| replaces
    /// |weight|.  A sum does not depend on the other tokens and rows.
    void (*packed_product)(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *shape,
                           block_type type);

    /// Quantizes activations with a static scale: out[i] is the integer of -128…127 nearest to x[i] / step, ties to
    /// even; `sum` becomes their sum and `scale` the step, or NaN if one of x is NaN.  `count` is a multiple of 32.
    /// All sets give the same bits.
    void (*quantize_steps)(int8_t *out, int32_t *sum, float *scale, const float *x, float step, size_t count);
    /// out[i] = step * the integer of -128…127 nearest to x[i] / step; NaN stays NaN.  All sets give the same bits.
    void (*round_to_steps)(float *out, const float *x, float step, size_t count);
    /// Product of a packed weight of type i2, i4 or i8 with integers; shape as for packed_product, columns at most
    /// INTEGER_COLUMNS.  out[t, r] = (sum over c of weight[r, c] * x.values[t, c]) * (x.scales[t] * row_scales[r]),
    /// then round_to_steps with out_step unless that is 0.  The sum is exact, and rounded to f32 once.  All sets give
    /// the same bits.
    void (*integer_product)(float *out, const uint8_t *weight, const float *row_scales, const integer_rows *x,
                            const product_shape *shape, float out_step, block_type type);

    /// out[c] += sum over j of weights[j] * rows[j, c], for j < count, c < columns; a row begins `stride` after the
    /// last.
    void (*weighted_rows)(float *out, const float *weights, const float *rows, size_t stride, size_t count,
                          size_t columns);

    /// Softmax attention of panels of queries to some more keys, which lie transposed, `[size][key_stride]`.  `state`,
    /// `[panels][size + 2][PANEL_ROWS]`, holds for each row the sums of its values so far, its largest score M and the
    /// total of its weights; at first 0, -infinity and 0. With score_j = sum over c of query[c] * key_j[c] for the keys
    /// j that the row sees, M' = max(M, score_j), and weight_j = e^(score_j - M'): sums = e^(M - M') sums + sum of
    /// weight_j * value_j; the total likewise, of weights alone. `scores` is room for `[keys][ATTENTION_ROWS]`.  A
    /// score errs by (size + 1) eps * sum|query * key|; where a row's scores err by d, a weight errs by 2 d + (4 +
    /// |score - M'|) eps of itself, and is 0 under e^-87; the sums err by (keys + 3) eps * sum|weight * value| more.
    void (*attend)(float *state, float *scores, const float *queries, const float *keys, const float *values,
                   const attention_shape *shape);
    /// Adds what other keys gave to the same rows.
    void (*join_softmax)(float *state, const float *other, size_t size);

    /// The same as attend, to the last bit, for queries `[rows][size]` and keys and values of f16 where they lie:
    /// KEYS_TOGETHER positions begin at each of `keys`, interleaved, and of `values`, `stride` apart; of the last ones
    /// only some count.  `state` is `[rows][size]` sums, then maximum and total, `[PANEL_ROWS]` each; `scores` is room
    /// for `[keys, rounded up to KEYS_TOGETHER][PANEL_ROWS]`.  Where memory goes on with keys of other positions,
    /// KEYS_TOGETHER * stride elements after the last, these are fetched meanwhile.
    void (*attend_f16)(float *state, float *scores, const float *queries, const uint16_t *const *keys,
                       const uint16_t *const *values, const attention_shape *shape);
    /// The same for quantized keys and values, read in place: KEYS_TOGETHER positions in each of `blocks`; at most
    /// CACHE_KEYS keys.  Products of queries and keys are exact integers.  Weights are quantized too: in each row the largest
    /// weight * scale becomes 32767 for q8_0 and 254 for rotated.  With v the largest of |value|, the sums err by
    /// keys * 2^-16 * v and keys * 2^-8 * v more than those of attend.  For rotated the rounded weights of any first keys
    /// add up to what these weights add up to, within one.  A row's result is the same whatever the other rows.
    /// shape->stride has bytes: from one block to the next of the same head; what follows these blocks is prefetched.
    void (*attend_quantized)(float *state, float *scores, const integer_queries *queries, const uint8_t *const *blocks,
                             const attention_shape *shape, cache_type type);
    /// Positions `first` to `first` + KEYS_TOGETHER of a tile, from a block.
    void (*unpack_rotated)(rotated_tile *tile, size_t first, const uint8_t *block, size_t size);
    /// The same as attend_quantized of a cleared state and then join_rows, to the last bit, for panels of queries, see
    /// interleave_queries, and a tile of CACHE_rotated.  `state` and `scores` as for attend; `query_scales` has PANEL_ROWS
    /// for each panel; `keys` is a multiple of KEYS_TOGETHER.
    void (*attend_rotated_tile)(float *state, float *scores, const int32_t *queries, const float *query_scales,
                                const rotated_tile *tile, const attention_shape *shape);
    /// x becomes its product with the Hadamard matrix of +1 and -1; `size` is a power of two, at least 32.
    void (*hadamard)(float *x, size_t size);
    /// Adds what other keys gave to the same rows of attend_f16 and attend_quantized.
    void (*join_rows)(float *state, const float *other, size_t size, size_t rows);
} kernel_set;

/// CPU features that select kernels, as far as the operating system supports them.
enum {
    CPU_AVX2 = 1,         ///< AVX2, FMA and F16C
    CPU_AVX512 = 2,       ///< AVX-512 F, BW, CD, DQ and VL
    CPU_AVX512_BF16 = 4,  ///< AVX-512 BF16
    CPU_NEON = 8,
    CPU_AVX512_VNNI = 16,  ///< AVX-512 VNNI
    CPU_AVX_VNNI = 32,     ///< VNNI of 256 bits, with or without AVX-512
    CPU_DOT_PRODUCT = 64,  ///< NEON's dot products of int8
    CPU_I8MM = 128,        ///< NEON's matrix products of int8
};
uint32_t cpu_features(void);

/// Sets this CPU can run, fastest first; the last is always "scalar".  Probed once; safe from any thread.
const kernel_set *const *kernel_sets(size_t *count);

#endif
