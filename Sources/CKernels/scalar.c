// The definition of each kernel, in the fewest lines: never optimized, never deleted.
#include "CKernels.h"
#include "float_formats.h"
#include "grid_blocks.h"
#include "kernel_sets.h"
#include "packed_layout.h"

#include <math.h>

static void add(float *out, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = a[i] + b[i];
}

static void multiply(float *out, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = a[i] * b[i];
}

static void multiply_add(float *out, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] += a[i] * b[i];
}

static void scale(float *out, const float *a, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = a[i] * factor;
}

static void clamp(float *out, const float *a, float low, float high, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = a[i] < low ? low : a[i] > high ? high : a[i];
}

static void gelu_multiply(float *out, const float *gate, const float *up, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float z = gate[i];
        out[i] = 0.5f * z * (1 + tanhf(0.7978845608f * (z + 0.044715f * z * z * z))) * up[i];
    }
}

static void silu(float *out, const float *x, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = x[i] / (1 + expf(-x[i]));
}

static void sigmoid_multiply(float *out, const float *value, const float *gate, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = value[i] / (1 + expf(-gate[i]));
}

static void soft_cap(float *out, const float *x, float cap, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = cap * tanhf(x[i] / cap);
}

static float maximum(const float *x, size_t count) {
    float largest = -INFINITY;
    for (size_t i = 0; i < count; i++) largest = fmaxf(largest, x[i]);
    return largest;
}

static float exponentials(float *out, const float *x, float shift, size_t count) {
    float sum = 0;
    for (size_t i = 0; i < count; i++) sum += out[i] = expf(x[i] - shift);
    return sum;
}

static void rms_norm(float *out, const float *x, const float *weight, float eps, size_t count) {
    float squares = 0;
    for (size_t i = 0; i < count; i++) squares += x[i] * x[i];
    float factor = 1 / sqrtf(squares / count + eps);
    for (size_t i = 0; i < count; i++) out[i] = x[i] * factor * (weight ? weight[i] : 1);
}

static void layer_norm(float *out, const float *x, const float *weight, float eps, size_t count) {
    float sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += x[i];
    float mean = sum / count;
    for (size_t i = 0; i < count; i++) squares += (x[i] - mean) * (x[i] - mean);
    float factor = 1 / sqrtf(squares / count + eps);
    for (size_t i = 0; i < count; i++) out[i] = (x[i] - mean) * factor * weight[i];
}

static void rotate(float *x, const float *cosine, const float *sine, size_t half) {
    for (size_t k = 0; k < half; k++) {
        float a = x[k], b = x[k + half];
        x[k] = a * cosine[k] - b * sine[k];
        x[k + half] = b * cosine[k] + a * sine[k];
    }
}

static void widen_bf16(float *out, const uint16_t *x, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = bf16_to_f32(x[i]);
}

static void widen_f16(float *out, const uint16_t *x, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = f16_to_f32(x[i]);
}

static void narrow_f16(uint16_t *out, const float *x, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = f32_to_f16(x[i]);
}

#include "decode-inl.h"

#define PRODUCT(name, type, widen)                                                             \
    static void name(float *out, const type *weight, const float *x, const product_shape *s) { \
        for (size_t t = 0; t < s->tokens; t++)                                                 \
            for (size_t r = s->first_row; r < s->end_row; r++) {                               \
                float sum = 0;                                                                 \
                for (size_t c = 0; c < s->columns; c++)                                        \
                    sum += widen(weight[r * s->weight_stride + c]) * x[t * s->x_stride + c];   \
                out[t * s->out_stride + r] = sum;                                              \
            }                                                                                  \
    }
PRODUCT(f32_product, float, )
PRODUCT(bf16_product, uint16_t, bf16_to_f32)
PRODUCT(f16_product, uint16_t, f16_to_f32)

static void transpose(float *out, size_t out_stride, const float *x, size_t x_stride, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) out[c * out_stride + r] = x[r * x_stride + c];
}

static size_t row_offset(grouped_rows shape, size_t row) {
    return row / shape.group * shape.group_stride + row % shape.group * shape.size;
}

static void interleave(float *panel, const float *x, grouped_rows shape, size_t first, size_t count) {
    for (size_t r = 0; r < PANEL_ROWS; r++)
        for (size_t c = 0; c < shape.size; c++)
            panel[c * PANEL_ROWS + r] = r < count ? x[row_offset(shape, first + r) + c] : 0;
}

static void deinterleave(float *out, const float *panel, const float *divisors, grouped_rows shape, size_t first,
                         size_t count) {
    for (size_t r = 0; r < count; r++) {
        const float factor = divisors ? 1 / divisors[r] : 1;
        for (size_t c = 0; c < shape.size; c++)
            out[row_offset(shape, first + r) + c] = panel[c * PANEL_ROWS + r] * factor;
    }
}

static void panel_product(float *sums, size_t sum_size, const float *weight, const float *x, size_t count, size_t rows,
                          size_t columns, bool adds) {
    for (size_t p = 0; p < count; p++, sums += sum_size, x += columns * PANEL_ROWS)
        for (size_t r = 0; r < rows; r++)
            for (size_t t = 0; t < PANEL_ROWS; t++) {
                float sum = 0;
                for (size_t c = 0; c < columns; c++) sum += weight[r * PANEL_COLUMNS + c] * x[c * PANEL_ROWS + t];
                sums[r * PANEL_ROWS + t] = adds ? sums[r * PANEL_ROWS + t] + sum : sum;
            }
}

static void quantize(quantized_block *out, const float *x, size_t count) {
    for (size_t c = 0; c < count; c += 32, out++) {
        float peak = 0, none = 0;
        for (size_t i = 0; i < 32; i++) {
            peak = fmaxf(peak, fabsf(x[c + i]));
            none += x[c + i] * 0;
        }
        if (peak < QUANTIZED_LEAST) peak = 0;
        float inverse = peak > 0 ? 127 / peak : 0;
        out->scale = peak / 127 + none;
        int32_t *sums = out->minus_128_sums;
        sums[0] = sums[1] = 0;
        for (size_t i = 0; i < 32; i++) {
            out->values[i] = none == 0 ? (int8_t)rintf(x[c + i] * inverse) : 0;
            sums[i / 16] -= 128 * out->values[i];
        }
        sums[2] = sums[0] + sums[1];
        out->minus_sum = out->scale * (float)(sums[2] / 128);
    }
}

/// Dequantizes a grid type's block as unpack gives it.
#define DECODE_CODED(name, sub_block, unit, values, bits)                                    \
    static void decode_coded_##name(float *out, const uint8_t *block) {                      \
        const name##_coded *b = (const name##_coded *)block;                                 \
        for (size_t c = 0; c < SUPER_BLOCK; c++) {                                           \
            int sub_scale = b->scales[c / sub_block / 2] >> 4 * (c / sub_block % 2) & 15;    \
            out[c] = f16_at(b->scale) * (float)(2 * sub_scale + 1) * unit *                  \
                     (float)values[packed_code(b->codes + c / 32 * 4 * bits, c % 32, bits)]; \
        }                                                                                    \
    }
DECODE_CODED(iq2_xxs, BLOCK, 0.125f, iq2_values, 3)
DECODE_CODED(iq2_xs, SHORT_SUB_BLOCK, 0.125f, iq2_values, 3)
DECODE_CODED(iq2_s, SHORT_SUB_BLOCK, 0.125f, iq2_values, 3)
DECODE_CODED(iq3_xxs, BLOCK, 0.25f, iq3_xxs_values, 4)
DECODE_CODED(iq3_s, BLOCK, 1.0f, iq3_s_values, 4)
#undef DECODE_CODED

/// Unpacks and dequantizes a block of row r.
static void decode_packed(float *out, const uint8_t *packed, size_t r, block_type type) {
    uint8_t block[UNPACKED_BYTES];
    unpack(block, packed, r % PACKED_ROWS, type);
    switch (type) {
        case BLOCK_iq2_xxs: return decode_coded_iq2_xxs(out, block);
        case BLOCK_iq2_xs: return decode_coded_iq2_xs(out, block);
        case BLOCK_iq2_s: return decode_coded_iq2_s(out, block);
        case BLOCK_iq3_xxs: return decode_coded_iq3_xxs(out, block);
        case BLOCK_iq3_s: return decode_coded_iq3_s(out, block);
        default: return decode(out, block, 1, type);
    }
}

static void packed_product(float *out, const uint8_t *weight, const quantized_block *x, const product_shape *s,
                           block_type type) {
    const size_t length = packed_size(type).length, bytes = packed_size(type).bytes;
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t r = s->first_row; r < s->end_row; r++) {
            const uint8_t *row = weight + r / PACKED_ROWS * PACKED_ROWS * s->weight_stride;
            float sum = 0;
            for (size_t c = 0; c < s->columns; c += length) {
                float w[SUPER_BLOCK];
                decode_packed(w, row + c / length * bytes, r, type);
                for (size_t i = 0; i < length; i++) {
                    const quantized_block *block = x + (t * s->columns + c + i) / 32;
                    sum += w[i] * ((float)block->values[i % 32] * block->scale);
                }
            }
            out[t * s->out_stride + r] = sum;
        }
}

static float round_to_step(float x, float step) {
    float nearest = rintf(x / step);
    return nearest < -128 ? -128 : nearest > 127 ? 127 : nearest;
}

static void quantize_steps(int8_t *out, int32_t *sum, float *scale, const float *x, float step, size_t count) {
    *sum = 0;
    *scale = step;
    for (size_t i = 0; i < count; i++) {
        if (isnan(x[i])) *scale = NAN;
        *sum += out[i] = isnan(x[i]) ? 0 : (int8_t)round_to_step(x[i], step);
    }
}

static void round_to_steps(float *out, const float *x, float step, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = round_to_step(x[i], step) * step;
}

static void integer_product(float *out, const uint8_t *weight, const float *row_scales, const integer_rows *x,
                            const product_shape *s, float out_step, block_type type) {
    for (size_t t = 0; t < s->tokens; t++)
        for (size_t r = s->first_row; r < s->end_row; r++) {
            const uint8_t *row = weight + r / PACKED_ROWS * PACKED_ROWS * s->weight_stride;
            int32_t sum = 0;
            for (size_t c = 0; c < s->columns; c += 32) {
                float w[BLOCK];
                decode_packed(w, row + c / 32 * packed_size(type).bytes, r, type);
                for (size_t i = 0; i < 32; i++) sum += (int32_t)w[i] * x->values[t * s->columns + c + i];
            }
            const float y = (float)sum * (x->scales[t] * row_scales[r]);
            out[t * s->out_stride + r] = out_step == 0 ? y : round_to_step(y, out_step) * out_step;
        }
}

static void weighted_rows(float *out, const float *weights, const float *rows, size_t stride, size_t count,
                          size_t columns) {
    for (size_t j = 0; j < count; j++)
        for (size_t c = 0; c < columns; c++) out[c] += weights[j] * rows[j * stride + c];
}

static void attend(float *state, float *scores, const float *queries, const float *keys, const float *values,
                   const attention_shape *s) {
    for (size_t row = 0; row < s->rows; row++) {
        const size_t panel = row / PANEL_ROWS, r = row % PANEL_ROWS;
        const float *query = queries + panel * s->size * PANEL_ROWS + r;
        float *sums = state + panel * (s->size + 2) * PANEL_ROWS + r;
        float *maximum = sums + s->size * PANEL_ROWS, *total = maximum + PANEL_ROWS;
        float largest = *maximum;
        for (int64_t j = s->first_seen[row]; j < s->end_seen[row]; j++) {
            scores[j] = 0;
            for (size_t c = 0; c < s->size; c++) scores[j] += query[c * PANEL_ROWS] * keys[c * s->key_stride + j];
            if (scores[j] > largest) largest = scores[j];
        }
        const float shift = largest > -INFINITY ? largest : 0, factor = expf(*maximum - shift);
        *maximum = largest;
        *total *= factor;
        for (size_t c = 0; c < s->size; c++) sums[c * PANEL_ROWS] *= factor;
        for (int64_t j = s->first_seen[row]; j < s->end_seen[row]; j++) {
            const float weight = expf(scores[j] - shift);
            *total += weight;
            for (size_t c = 0; c < s->size; c++) sums[c * PANEL_ROWS] += weight * values[j * s->stride + c];
        }
    }
}

static void join_softmax(float *state, const float *other, size_t size) {
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        float *maximum = state + size * PANEL_ROWS + r;
        const float theirs = other[size * PANEL_ROWS + r], largest = theirs > *maximum ? theirs : *maximum;
        const float shift = largest > -INFINITY ? largest : 0;
        const float keep = expf(*maximum - shift), take = expf(theirs - shift);
        for (size_t c = 0; c < size + 2; c++)
            state[c * PANEL_ROWS + r] = keep * state[c * PANEL_ROWS + r] + take * other[c * PANEL_ROWS + r];
        *maximum = largest;
    }
}

static void attend_f16(float *state, float *scores, const float *queries, const uint16_t *const *keys,
                       const uint16_t *const *values, const attention_shape *s) {
    for (size_t r = 0; r < s->rows; r++) {
        float *sums = state + r * s->size, *maximum = state + s->rows * s->size + r, *total = maximum + PANEL_ROWS;
        float largest = *maximum;
        for (int64_t j = s->first_seen[r]; j < s->end_seen[r]; j++) {
            float score = 0;
            for (size_t c = 0; c < s->size; c++) {
                float key;
                widen_f16(&key, keys[j / KEYS_TOGETHER] + c * KEYS_TOGETHER + j % KEYS_TOGETHER, 1);
                score += queries[r * s->size + c] * key;
            }
            scores[j * PANEL_ROWS + r] = score;
            if (score > largest) largest = score;
        }
        const float shift = largest > -INFINITY ? largest : 0, factor = expf(*maximum - shift);
        *maximum = largest;
        *total *= factor;
        for (size_t c = 0; c < s->size; c++) sums[c] *= factor;
        for (int64_t j = s->first_seen[r]; j < s->end_seen[r]; j++) {
            const float weight = expf(scores[j * PANEL_ROWS + r] - shift);
            *total += weight;
            for (size_t c = 0; c < s->size; c++) {
                float value;
                widen_f16(&value, values[j / KEYS_TOGETHER] + j % KEYS_TOGETHER * s->stride + c, 1);
                sums[c] += weight * value;
            }
        }
    }
}

static void attend_q8_0(float *state, float *scores, const integer_queries *queries, const uint8_t *const *blocks,
                        const attention_shape *s) {
    for (size_t r = 0; r < s->rows; r++) {
        const int16_t *query = (const int16_t *)queries->values + r * s->size;
        float *sums = state + r * s->size, *maximum = state + s->rows * s->size + r, *total = maximum + PANEL_ROWS;
        float largest = *maximum, x[CACHE_SIZE];
        for (int64_t j = s->first_seen[r]; j < s->end_seen[r]; j++) {
            float score = 0;
            cache_read(x, blocks[j / KEYS_TOGETHER], j % KEYS_TOGETHER, s->size, CACHE_keys, CACHE_q8_0);
            for (size_t c = 0; c < s->size; c++) score += query[c] * x[c];
            scores[j * PANEL_ROWS + r] = score *= queries->scales[r];
            if (score > largest) largest = score;
        }
        const float shift = largest > -INFINITY ? largest : 0, factor = expf(*maximum - shift);
        *maximum = largest;
        *total *= factor;
        for (size_t c = 0; c < s->size; c++) sums[c] *= factor;
        for (int64_t j = s->first_seen[r]; j < s->end_seen[r]; j++) {
            const float weight = expf(scores[j * PANEL_ROWS + r] - shift);
            *total += weight;
            cache_read(x, blocks[j / KEYS_TOGETHER], j % KEYS_TOGETHER, s->size, CACHE_values, CACHE_q8_0);
            for (size_t c = 0; c < s->size; c++) sums[c] += weight * x[c];
        }
    }
}

/// Rotated keys and values, in blocks or in a tile.
typedef struct {
    const uint8_t *const *blocks;  ///< NULL: of the tile
    const rotated_tile *tile;
    size_t size;
} rotated_source;

static int8_t level_at(const rotated_source *s, size_t j, size_t c, cache_part part) {
    if (s->blocks) return cache_level(s->blocks[j / KEYS_TOGETHER], c, j % KEYS_TOGETHER, s->size, part);
    return part == CACHE_keys ? s->tile->keys[j * s->size + c] : s->tile->values[c * CACHE_KEYS + j];
}

static float unit_at(const rotated_source *s, size_t j, cache_part part) {
    const float *scales = part == CACHE_keys ? s->tile->key_scales : s->tile->value_scales;
    const float scale =
        s->blocks ? cache_scale(s->blocks[j / KEYS_TOGETHER], j % KEYS_TOGETHER, s->size, part) : scales[j];
    return scale / cache_unit(part);
}

/// One row: `query` is `[size]`, `state` is `[size]` sums.
static void attend_rotated_row(float *state, float *maximum, float *total, float *scores, const int32_t *query,
                               float query_scale, const rotated_source *s, int64_t first, int64_t end) {
    float largest = *maximum;
    for (int64_t j = first; j < end; j++) {
        int32_t product = 0;
        for (size_t c = 0; c < s->size; c++) product += query[c] * level_at(s, (size_t)j, c, CACHE_keys);
        scores[j] = (float)product * unit_at(s, (size_t)j, CACHE_keys) * query_scale;
        if (scores[j] > largest) largest = scores[j];
    }
    const float shift = largest > -INFINITY ? largest : 0, factor = expf(*maximum - shift);
    *maximum = largest;
    *total *= factor;
    for (size_t c = 0; c < s->size; c++) state[c] *= factor;
    for (int64_t j = first; j < end; j++) {
        const float weight = expf(scores[j] - shift), unit = unit_at(s, (size_t)j, CACHE_values);
        *total += weight;
        for (size_t c = 0; c < s->size; c++) state[c] += weight * (unit * level_at(s, (size_t)j, c, CACHE_values));
    }
}

static void attend_quantized(float *state, float *scores, const integer_queries *queries, const uint8_t *const *blocks,
                             const attention_shape *s, cache_type type) {
    if (type == CACHE_q8_0) return attend_q8_0(state, scores, queries, blocks, s);
    const rotated_source source = {blocks, NULL, s->size};
    float *maximum = state + s->rows * s->size;
    for (size_t r = 0; r < s->rows; r++) {
        int32_t query[CACHE_SIZE];
        for (size_t c = 0; c < s->size; c++) query[c] = ((const int8_t *)queries->values)[r * s->size + c];
        attend_rotated_row(state + r * s->size, maximum + r, maximum + PANEL_ROWS + r, scores, query,
                           queries->scales[r], &source, s->first_seen[r], s->end_seen[r]);
    }
}

/// `count` sums of a row, `stride` apart, take up those of other keys.
static void join_row(float *sums, float *maximum, float *total, size_t stride, const float *other, float their_maximum,
                     float their_total, size_t count) {
    const float largest = their_maximum > *maximum ? their_maximum : *maximum,
                shift = largest > -INFINITY ? largest : 0;
    const float keep = expf(*maximum - shift), take = expf(their_maximum - shift);
    for (size_t c = 0; c < count; c++) sums[c * stride] = keep * sums[c * stride] + take * other[c];
    *total = keep * *total + take * their_total;
    *maximum = largest;
}

static void join_rows(float *state, const float *other, size_t size, size_t rows) {
    for (size_t r = 0; r < rows; r++) {
        float *maximum = state + rows * size + r;
        const float *theirs = other + rows * size + r;
        join_row(state + r * size, maximum, maximum + PANEL_ROWS, 1, other + r * size, theirs[0], theirs[PANEL_ROWS],
                 size);
    }
}

static void unpack_rotated(rotated_tile *tile, size_t first, const uint8_t *block, size_t size) {
    for (size_t place = 0; place < KEYS_TOGETHER; place++) {
        const size_t k = first + place;
        int32_t sum = 0;
        for (size_t c = 0; c < size; c++)
            sum += tile->keys[k * size + c] = cache_level(block, c, place, size, CACHE_keys);
        for (size_t c = 0; c < size; c++)
            tile->values[c * CACHE_KEYS + k] = cache_level(block, c, place, size, CACHE_values);
        tile->key_offsets[k] = -128 * sum;
        tile->key_scales[k] = cache_scale(block, place, size, CACHE_keys);
        tile->value_scales[k] = cache_scale(block, place, size, CACHE_values);
    }
}

static void attend_rotated_tile(float *state, float *scores, const int32_t *queries, const float *query_scales,
                                const rotated_tile *tile, const attention_shape *s) {
    const uint8_t *bytes = (const uint8_t *)queries;
    const rotated_source source = {NULL, tile, s->size};
    for (size_t r = 0; r < s->rows; r++) {
        const size_t panel = r / PANEL_ROWS, lane = r % PANEL_ROWS, size = s->size;
        float *sums = state + panel * (size + 2) * PANEL_ROWS + lane, *maximum = sums + size * PANEL_ROWS;
        float own[CACHE_SIZE] = {0}, own_maximum = -INFINITY, own_total = 0;
        int32_t query[CACHE_SIZE];
        for (size_t c = 0; c < size; c++)
            query[c] = bytes[((panel * size / 4 + c / 4) * PANEL_ROWS + lane) * 4 + c % 4] - 128;
        attend_rotated_row(own, &own_maximum, &own_total, scores, query, query_scales[r], &source, s->first_seen[r],
                           s->end_seen[r]);
        join_row(sums, maximum, maximum + PANEL_ROWS, PANEL_ROWS, own, own_maximum, own_total, size);
    }
}

static void hadamard(float *x, size_t size) {
    for (size_t half = 1; half < size; half *= 2)
        for (size_t i = 0; i < size; i++)
            if (!(i & half)) {
                const float a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
}

const kernel_set scalar_kernels = KERNELS("scalar");
