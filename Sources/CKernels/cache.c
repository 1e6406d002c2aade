// Quantizes keys and values into cache blocks and dequantizes them, one position at a time.
#include "CKernels.h"
#include "compiler.h"
#include "float_formats.h"

#include <math.h>

/// Rounds to nearest, ties to even; |x| < 2^22.
static inline float nearest(float x) { return (x + ROUND_TO_INTEGER) - ROUND_TO_INTEGER; }

static uint8_t *scale_at(uint8_t *block, size_t c, size_t place, size_t size, cache_part part, cache_type type) {
    size_t first = type == CACHE_q8_0 ? 32 * size + part * size : 14 * size + part * 32;
    return block + first + 2 * ((type == CACHE_q8_0 ? c / 32 * KEYS_TOGETHER : 0) + place);
}

static void write_scale(uint8_t *block, size_t c, size_t place, size_t size, cache_part part, cache_type type,
                        float scale) {
    uint16_t bits = f32_to_f16(scale);
    memcpy(scale_at(block, c, place, size, part, type), &bits, 2);
}

static float read_scale(const uint8_t *block, size_t c, size_t place, size_t size, cache_part part, cache_type type) {
    uint16_t bits;
    memcpy(&bits, scale_at((uint8_t *)block, c, place, size, part, type), 2);
    return f16_to_f32(bits);
}

static size_t q8_0_offset(size_t c, size_t place, size_t size, cache_part part) {
    return part == CACHE_keys ? (c / 2 * KEYS_TOGETHER + place) * 2 + c % 2
                              : 16 * size + (c / 16 * 8 + place / 2) * 32 + c % 16 * 2 + place % 2;
}

/// A contiguous run of bits of a code: `mask`, shifted left by `shift`, in the word at `offset`.
typedef struct {
    size_t offset;
    uint32_t shift, mask;
} bit_field;

static bit_field key_field(size_t c, size_t place) {
    return (bit_field){(c / 8 * KEYS_TOGETHER + place) * 4, (uint32_t)(c % 4 * 8 + c % 8 / 4 * 4), 15};
}

static bit_field low_value_field(size_t c, size_t place, size_t size) {
    return (bit_field){8 * size + c / 32 * 192 + c % 32 * 4, (uint32_t)(place % 4 * 8 + place / 4 * 2), 3};
}

static bit_field high_value_field(size_t c, size_t place, size_t size) {
    const uint32_t bit = (uint32_t)(place / 4 + c % 32 / 16 * 4 + 2) % 8;
    return (bit_field){8 * size + c / 32 * 192 + 128 + c % 16 * 4, bit + (uint32_t)(place % 4) * 8, 1};
}

static void write_bits(uint8_t *block, bit_field field, uint32_t bits) {
    uint32_t word;
    memcpy(&word, block + field.offset, 4);
    word = (word & ~(field.mask << field.shift)) | bits << field.shift;
    memcpy(block + field.offset, &word, 4);
}

static uint32_t read_bits(const uint8_t *block, bit_field field) {
    uint32_t word;
    memcpy(&word, block + field.offset, 4);
    return word >> field.shift & field.mask;
}

static void write_q8_0(uint8_t *block, size_t place, const float *x, size_t size, cache_part part) {
    for (size_t first = 0; first < size; first += 32) {
        float peak = 0, none = 0;
        for (size_t c = first; c < first + 32; c++) {
            peak = fabsf(x[c]) > peak ? fabsf(x[c]) : peak;
            none += x[c] * 0;
        }
        const float inverse = peak > 0 && none == 0 ? 127 / peak : 0;
        write_scale(block, first, place, size, part, CACHE_q8_0, peak / 127 + none);
        for (size_t c = first; c < first + 32; c++)
            block[q8_0_offset(c, place, size, part)] =
                (uint8_t)(int8_t)(none == 0 ? x[c] * inverse + copysignf(0.5f, x[c]) : 0);
    }
}

/// Codes of numbers of unit variance: how many bounds between neighboring levels lie below each.  The scale is the one
/// for which the product with the vector itself is exact: one of least squares would make all scores a little smaller.
static void write_rotated(uint8_t *block, size_t place, const float *x, size_t size, cache_part part) {
    const int8_t *levels = part == CACHE_keys ? cache_key_levels : cache_value_levels;
    const int count = part == CACHE_keys ? 16 : 8;
    float squares = 0, product = 0, scaled[CACHE_SIZE];
    int32_t codes[CACHE_SIZE] = {0};
    for (size_t c = 0; c < size; c++) squares += x[c] * x[c];
    const float deviation = sqrtf(squares / (float)size);
    const float inverse = deviation > 0 ? cache_unit(part) / deviation : 0;
    for (size_t c = 0; c < size; c++) scaled[c] = x[c] * inverse;
    for (int i = 0; i + 1 < count; i++) {
        const float bound = (float)(levels[i] + levels[i + 1]) / 2;
        for (size_t c = 0; c < size; c++) codes[c] += scaled[c] > bound;
    }
    for (size_t c = 0; c < size; c++) {
        product += scaled[c] * (float)levels[codes[c]];
        if (part == CACHE_keys) {
            write_bits(block, key_field(c, place), (uint32_t)codes[c]);
        } else {
            write_bits(block, low_value_field(c, place, size), (uint32_t)codes[c] & 3);
            write_bits(block, high_value_field(c, place, size), (uint32_t)codes[c] >> 2);
        }
    }
    const float unit = cache_unit(part), whole = unit * unit * (float)size;
    const float exact = product > 0 ? deviation * (whole / product) : deviation;
    write_scale(block, 0, place, size, part, CACHE_rotated, exact + (deviation - deviation));  // NaN of infinity
}

void cache_write(uint8_t *block, size_t place, const float *x, size_t size, cache_part part, cache_type type) {
    if (type == CACHE_q8_0)
        write_q8_0(block, place, x, size, part);
    else
        write_rotated(block, place, x, size, part);
}

int8_t cache_level(const uint8_t *block, size_t c, size_t place, size_t size, cache_part part) {
    if (part == CACHE_keys) return cache_key_levels[read_bits(block, key_field(c, place))];
    const uint32_t high = read_bits(block, high_value_field(c, place, size));
    return cache_value_levels[read_bits(block, low_value_field(c, place, size)) | high << 2];
}

float cache_scale(const uint8_t *block, size_t place, size_t size, cache_part part) {
    return read_scale(block, 0, place, size, part, CACHE_rotated);
}

void cache_read(float *out, const uint8_t *block, size_t place, size_t size, cache_part part, cache_type type) {
    for (size_t c = 0; c < size; c++) {
        const float scale = read_scale(block, c, place, size, part, type);
        if (type == CACHE_q8_0)
            out[c] = scale * (float)(int8_t)block[q8_0_offset(c, place, size, part)];
        else
            out[c] = scale * (float)cache_level(block, c, place, size, part) / cache_unit(part);
    }
}

void quantize_query(void *out, float *scale, int32_t *sum, const float *x, size_t size, cache_type type) {
    const float largest = type == CACHE_q8_0 ? 32767 : 127;
    float peak = 0, none = 0;
    for (size_t c = 0; c < size; c++) {
        peak = fabsf(x[c]) > peak ? fabsf(x[c]) : peak;
        none += x[c] * 0;
    }
    const float inverse = peak >= QUANTIZED_LEAST && none == 0 ? largest / peak : 0;
    *scale = peak / largest + none;
    *sum = 0;
    for (size_t c = 0; c < size; c++) {
        const int16_t value = (int16_t)(none == 0 ? nearest(x[c] * inverse) : 0);
        if (type == CACHE_q8_0)
            ((int16_t *)out)[c] = value;
        else
            ((int8_t *)out)[c] = (int8_t)value;
        *sum += value;
    }
}

void interleave_queries(int32_t *panels, const int8_t *queries, size_t rows, size_t size) {
    for (size_t first = 0; first < rows; first += PANEL_ROWS)
        for (size_t i = 0; i < size / 4; i++, panels += PANEL_ROWS)
            for (size_t r = 0; r < PANEL_ROWS; r++) {
                int32_t four = 0;
                if (first + r < rows) memcpy(&four, queries + (first + r) * size + 4 * i, sizeof four);
                panels[r] = four ^ (int32_t)0x80808080;
            }
}
