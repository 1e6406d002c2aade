// Every kernel set of this CPU against the scalar one, without Swift: for CPUs that are emulated (see run.sh).
//
//     kernels FASTEST     the name that the fastest set must have
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

enum { COUNT = 1031, ROWS = 48, COLUMNS = 512, TOKENS = 17, HEAD = 128, KEYS = 75, QUERIES = 13 };
#define EPS 0x1p-24f

static const kernel_set *scalar, *set;
static int failures;

// MARK: Numbers

static uint32_t seed = 1;
static uint32_t bits(void) {
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    return seed;
}

static void fill(float *x, size_t count, float low, float high) {
    for (size_t i = 0; i < count; i++) x[i] = low + (high - low) * (float)(bits() >> 8) * EPS;
}

static float *room(size_t count) { return calloc(count + 64, sizeof(float)); }

static float *numbers(size_t count, float high) {
    float *x = room(count);
    fill(x, count, -high, high);
    return x;
}

static void fail(const char *kernel, size_t place, double found, double expected) {
    if (failures++ < 20) printf("%s, %s: %.9g at %zu, expected %.9g\n", set->isa, kernel, found, place, expected);
}

/// |found - expected| <= share * |expected| + more
static void close_to(const char *kernel, const float *found, const float *expected, size_t count, double share,
                     double more) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - expected[i]) <= share * fabs(expected[i]) + more))
            return fail(kernel, i, found[i], expected[i]);
}

static void equal(const char *kernel, const void *found, const void *expected, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (((const uint8_t *)found)[i] != ((const uint8_t *)expected)[i])
            return fail(kernel, i, ((const uint8_t *)found)[i], ((const uint8_t *)expected)[i]);
}

// MARK: Kernels

static void elementwise(void) {
    float *a = numbers(COUNT, 9), *b = numbers(COUNT, 9), *found = room(COUNT), *expected = room(COUNT);
    const double tiny = 0x1p-120;
#define CHECK(kernel, share, more, ...)                           \
    scalar->kernel(expected, __VA_ARGS__);                        \
    set->kernel(found, __VA_ARGS__);                              \
    close_to(#kernel, found, expected, COUNT, (share) * EPS, more)
    CHECK(add, 0, 0, a, b, COUNT);
    CHECK(multiply, 0, 0, a, b, COUNT);
    memcpy(found, expected, COUNT * sizeof(float));
    CHECK(multiply_add, 4, 200 * EPS, a, b, COUNT);
    CHECK(scale, 0, 0, a, 0.3f, COUNT);
    CHECK(clamp, 0, 0, a, -3, 4, COUNT);
    CHECK(gelu_multiply, 16, 8 * 81 * EPS, a, b, COUNT);
    CHECK(silu, 16, tiny, a, COUNT);
    CHECK(sigmoid_multiply, 16, tiny, a, b, COUNT);
    CHECK(soft_cap, 20, tiny, a, 5, COUNT);
    CHECK(rms_norm, 2 * (COUNT + 8), 0, a, b, 1e-6f, COUNT);
    CHECK(layer_norm, 2 * (COUNT + 8), 2 * (COUNT + 8) * 20 * EPS, a, b, 1e-6f, COUNT);
#undef CHECK
    float sums[2] = {scalar->exponentials(expected, a, 9, COUNT), set->exponentials(found, a, 9, COUNT)};
    close_to("exponentials", found, expected, COUNT, 8 * EPS, tiny);
    close_to("exponentials, sum", sums + 1, sums, 1, COUNT * EPS, 0);
    float largest[2] = {scalar->maximum(a, COUNT), set->maximum(a, COUNT)};
    equal("maximum", largest + 1, largest, sizeof(float));
    for (int which = 0; which < 2; which++) memcpy(which ? found : expected, a, COUNT * sizeof(float));
    scalar->rotate(expected, b, b + 200, 200);
    set->rotate(found, b, b + 200, 200);
    close_to("rotate", found, expected, 400, 4 * EPS, 200 * EPS);
    for (int which = 0; which < 2; which++) memcpy(which ? found : expected, a, COUNT * sizeof(float));
    scalar->hadamard(expected, 512);
    set->hadamard(found, 512);
    close_to("hadamard", found, expected, 512, 0, 16 * 512 * 9 * EPS);
    uint16_t *halves = calloc(COUNT + 64, 2), *others = calloc(COUNT + 64, 2);
    scalar->narrow_f16(halves, a, COUNT);
    set->narrow_f16(others, a, COUNT);
    equal("narrow_f16", others, halves, 2 * COUNT);
    scalar->widen_f16(expected, halves, COUNT);
    set->widen_f16(found, halves, COUNT);
    equal("widen_f16", found, expected, 4 * COUNT);
    scalar->widen_bf16(expected, halves, COUNT);
    set->widen_bf16(found, halves, COUNT);
    equal("widen_bf16", found, expected, 4 * COUNT);
    scalar->round_to_steps(expected, a, 0.1f, COUNT);
    set->round_to_steps(found, a, 0.1f, COUNT);
    equal("round_to_steps", found, expected, 4 * COUNT);
    memset(expected, 0, 4 * COUNT), memset(found, 0, 4 * COUNT);
    scalar->weighted_rows(expected, b, a, 30, 20, 27);
    set->weighted_rows(found, b, a, 30, 20, 27);
    close_to("weighted_rows", found, expected, 27, 0, 2 * 20 * 20 * 81 * EPS);
}

static void moves(void) {
    float *x = numbers(37 * 41, 1), *found = room(41 * 48), *expected = room(41 * 48);
    scalar->transpose(expected, 48, x, 41, 37, 41);
    set->transpose(found, 48, x, 41, 37, 41);
    equal("transpose", found, expected, 4 * 41 * 48);
    grouped_rows shape = {4, 41 * 8, 41};
    scalar->interleave(expected, x, shape, 3, 13);
    set->interleave(found, x, shape, 3, 13);
    equal("interleave", found, expected, 4 * 41 * PANEL_ROWS);
    float *out = room(37 * 41), *other = room(37 * 41), *divisors = numbers(PANEL_ROWS, 2);
    scalar->deinterleave(out, expected, divisors, shape, 3, 13);
    set->deinterleave(other, expected, divisors, shape, 3, 13);
    close_to("deinterleave", other, out, 37 * 41, 4 * EPS, 0);
}

static void products(void) {
    float *weight = numbers(ROWS * COLUMNS, 1), *x = numbers(TOKENS * COLUMNS, 1);
    float *found = room(TOKENS * ROWS), *expected = room(TOKENS * ROWS);
    uint16_t *halves = calloc(ROWS * COLUMNS, 2);
    const double bound = 2 * (COLUMNS + 8) * EPS * COLUMNS;
    for (size_t tokens = 1; tokens <= TOKENS; tokens += 4) {
        product_shape shape = {tokens, COLUMNS - 3, COLUMNS, COLUMNS, ROWS, 5, ROWS - 2};
        scalar->f32_product(expected, weight, x, &shape);
        set->f32_product(found, weight, x, &shape);
        close_to("f32_product", found, expected, tokens * ROWS, 0, bound);
        scalar->narrow_f16(halves, weight, ROWS * COLUMNS);
        scalar->f16_product(expected, halves, x, &shape);
        set->f16_product(found, halves, x, &shape);
        close_to("f16_product", found, expected, tokens * ROWS, 0, bound);
        for (size_t i = 0; i < ROWS * COLUMNS; i++) halves[i] = (uint16_t)(((uint32_t *)weight)[i] >> 16);
        scalar->bf16_product(expected, halves, x, &shape);
        set->bf16_product(found, halves, x, &shape);
        close_to("bf16_product", found, expected, tokens * ROWS, 0, bound);
    }
    enum { PANELS = 3, USED = 201 };
    float *panels = numbers(PANELS * USED * PANEL_ROWS, 1), *sums = numbers(PANELS * ROWS * PANEL_ROWS, 1);
    float *others = room(PANELS * ROWS * PANEL_ROWS);
    memcpy(others, sums, 4 * PANELS * ROWS * PANEL_ROWS);
    scalar->panel_product(sums, ROWS * PANEL_ROWS, weight, panels, PANELS, ROWS, USED, true);
    set->panel_product(others, ROWS * PANEL_ROWS, weight, panels, PANELS, ROWS, USED, true);
    close_to("panel_product", others, sums, PANELS * ROWS * PANEL_ROWS, 0, 2 * (USED + 1) * EPS * USED);
}

static void blocks(block_type type, size_t length, size_t bytes, const char *name) {
    const bool is_integer = type == BLOCK_i2 || type == BLOCK_i4 || type == BLOCK_i8;
    const size_t per_row = COLUMNS / length, row_bytes = per_row * bytes;
    const size_t packed_bytes = per_row * packed_block_bytes(type);
    uint8_t *weight = calloc(ROWS, row_bytes), *packed = calloc(ROWS, packed_bytes + 64);
    float *values = room(ROWS * COLUMNS), *others = room(ROWS * COLUMNS);
    for (size_t block = 0; block < ROWS * per_row; block++) {
        float largest = 0;
        do {  // scales are any bits: neither NaN nor out of proportion
            for (size_t i = 0; i < bytes; i++) weight[block * bytes + i] = (uint8_t)(bits() >> 9);
            if (is_integer) break;
            scalar->decode(values, weight + block * bytes, 1, type);
            largest = 0;
            for (size_t i = 0; i < length; i++) largest = fabsf(values[i]) <= largest ? largest : fabsf(values[i]);
        } while (!(largest < 1e3f));
    }
    if (!is_integer) {
        scalar->decode(values, weight, ROWS * per_row, type);
        set->decode(others, weight, ROWS * per_row, type);
        equal(name, others, values, 4 * ROWS * COLUMNS);
    }
    for (size_t row = 0; row < ROWS; row += 16)
        pack(packed + row * packed_bytes, weight + row * row_bytes, row_bytes, 16, COLUMNS, type);

    float *x = numbers(TOKENS * COLUMNS, 3), *found = room(TOKENS * ROWS), *expected = room(TOKENS * ROWS);
    for (size_t tokens = 1; tokens <= TOKENS; tokens += 4) {
        product_shape shape = {tokens, COLUMNS, packed_bytes, COLUMNS, ROWS, 16, ROWS - 3};
        if (is_integer) {
            int8_t *integers = calloc(TOKENS, COLUMNS), *same = calloc(TOKENS, COLUMNS);
            int32_t sums[TOKENS], other_sums[TOKENS];
            float scales[TOKENS], other_scales[TOKENS], *row_scales = numbers(ROWS, 0.1f);
            for (size_t t = 0; t < tokens; t++) {
                scalar->quantize_steps(integers + t * COLUMNS, sums + t, scales + t, x + t * COLUMNS, 0.02f, COLUMNS);
                set->quantize_steps(same + t * COLUMNS, other_sums + t, other_scales + t, x + t * COLUMNS, 0.02f, COLUMNS);
            }
            equal("quantize_steps", same, integers, tokens * COLUMNS);
            equal("quantize_steps, sums", other_sums, sums, 4 * tokens);
            integer_rows rows = {integers, sums, scales};
            scalar->integer_product(expected, packed, row_scales, &rows, &shape, 0.05f, type);
            set->integer_product(found, packed, row_scales, &rows, &shape, 0.05f, type);
            equal(name, found, expected, 4 * tokens * ROWS);
            continue;
        }
        quantized_block *quantized = calloc(TOKENS * COLUMNS / 32, sizeof *quantized);
        quantized_block *others = calloc(TOKENS * COLUMNS / 32, sizeof *others);
        scalar->quantize(quantized, x, TOKENS * COLUMNS);
        set->quantize(others, x, TOKENS * COLUMNS);
        for (size_t i = 0; i < TOKENS * COLUMNS; i++) {
            quantized_block b = others[i / 32];
            float value = b.values[i % 32] * b.scale;
            if (!(fabsf(x[i] - value) <= b.scale * 0.5001f)) fail("quantize", i, value, x[i]);
        }
        scalar->packed_product(expected, packed, quantized, &shape, type);
        set->packed_product(found, packed, quantized, &shape, type);
        // Minima and scaled parts cancel: both are at most a few times 1e3.
        close_to(name, found, expected, tokens * ROWS, 0, (COLUMNS / 8 + 8) * EPS * COLUMNS * 3e3 * 4);
    }
}

static void attention(void) {
    float *queries = numbers(PANEL_ROWS * HEAD, 1), *keys = numbers(KEYS * HEAD, 0.3f), *values = numbers(KEYS * HEAD, 1);
    const size_t state_size = (HEAD + 2) * PANEL_ROWS, padded = (KEYS + 15) / 16 * 16;
    attention_shape shape = {.rows = QUERIES, .size = HEAD, .keys = KEYS, .stride = HEAD, .key_stride = padded};
    for (int32_t row = 0; row < ATTENTION_ROWS; row++)
        shape.first_seen[row] = row % 3, shape.end_seen[row] = KEYS - (row % 5);
    float *states[2], *scores = room(padded * ATTENTION_ROWS), *panel = room(HEAD * PANEL_ROWS);
    float *transposed = room(HEAD * padded);
    scalar->transpose(transposed, padded, keys, HEAD, KEYS, HEAD);
    scalar->interleave(panel, queries, (grouped_rows){1, HEAD, HEAD}, 0, QUERIES);
    // `step`: from one element of a row's sums to the next; `maxima`: where the largest scores begin.
#define EACH(name, step, maxima, share, ...)                                                              \
    for (int which = 0; which < 2; which++) {                                                             \
        const kernel_set *k = which ? set : scalar;                                                       \
        float *state = states[which] = room(state_size), *other = room(state_size);                       \
        for (size_t i = 0; i < PANEL_ROWS; i++) state[(maxima) + i] = other[(maxima) + i] = -INFINITY;    \
        __VA_ARGS__;                                                                                      \
    }                                                                                                     \
    for (size_t row = 0; row < QUERIES; row++) {                                                          \
        const size_t total = (maxima) + PANEL_ROWS + row;                                                 \
        close_to(name ", weights", states[1] + total, states[0] + total, 1, share, 0);                    \
        for (size_t c = 0; c < HEAD; c++) {                                                               \
            const size_t place = (step) == 1 ? row * HEAD + c : c * PANEL_ROWS + row;                     \
            close_to(name, states[1] + place, states[0] + place, 1, 0, (share) * states[0][total]);       \
        }                                                                                                 \
    }
    EACH("attend", PANEL_ROWS, HEAD * PANEL_ROWS, 1e-4, k->attend(state, scores, panel, transposed, values, &shape);
         k->attend(other, scores, panel, transposed, values, &shape); k->join_softmax(state, other, HEAD));

    uint16_t *half_keys = calloc(padded * HEAD, 2), *half_values = calloc(padded * HEAD, 2);
    float *together = room(padded * HEAD);
    for (size_t j = 0; j < KEYS; j++)
        for (size_t c = 0; c < HEAD; c++)
            together[j / 16 * 16 * HEAD + c * 16 + j % 16] = keys[j * HEAD + c];
    scalar->narrow_f16(half_keys, together, padded * HEAD);
    scalar->narrow_f16(half_values, values, KEYS * HEAD);
    const uint16_t *key_places[8], *value_places[8];
    for (size_t i = 0; i < padded / 16; i++)
        key_places[i] = half_keys + i * 16 * HEAD, value_places[i] = half_values + i * 16 * HEAD;
    EACH("attend_f16", 1, HEAD * QUERIES, 1e-4, k->attend_f16(state, scores, queries, key_places, value_places, &shape);
         k->attend_f16(other, scores, queries, key_places, value_places, &shape); k->join_rows(state, other, HEAD, QUERIES));

    int16_t *integers = calloc(PANEL_ROWS * HEAD, 2);
    float scales[PANEL_ROWS];
    int32_t sums[PANEL_ROWS];
    for (size_t row = 0; row < QUERIES; row++)
        quantize_query(integers + row * HEAD, scales + row, sums + row, queries + row * HEAD, HEAD);
    integer_queries rounded = {integers, scales, sums};
    for (cache_type type = CACHE_q8_0; type <= CACHE_rotated; type++) {
        const size_t bytes = cache_block_bytes(HEAD, type);
        uint8_t *cache = calloc(padded / 16, bytes);
        const uint8_t *places[8];
        for (size_t j = 0; j < KEYS; j++) {
            places[j / 16] = cache + j / 16 * bytes;
            cache_write(cache + j / 16 * bytes, j % 16, keys + j * HEAD, HEAD, CACHE_keys, type);
            cache_write(cache + j / 16 * bytes, j % 16, values + j * HEAD, HEAD, CACHE_values, type);
        }
        attention_shape packed = shape;
        packed.stride = bytes;
        EACH("attend_quantized", 1, HEAD * QUERIES, 2e-3, k->attend_quantized(state, scores, &rounded, places, &packed, type);
             (void)other);
    }
}

int main(int count, char **arguments) {
    size_t set_count;
    const kernel_set *const *sets = kernel_sets(&set_count);
    scalar = sets[set_count - 1];
    for (size_t i = 0; i < set_count; i++) {
        set = sets[i];
        seed = 1;
        elementwise();
        moves();
        products();
#define BLOCK(name, length, bytes) blocks(BLOCK_##name, length, bytes, #name);
        BLOCK_TYPES(BLOCK)
        attention();
        printf("%s%s", i ? ", " : "kernels: ", set->isa);
    }
    printf(failures ? ": %d differences\n" : ": as scalar\n", failures);
    if (count > 1 && strcmp(arguments[1], sets[0]->isa)) {
        printf("expected %s to be the fastest, found %s\n", arguments[1], sets[0]->isa);
        return 1;
    }
    return failures > 0;
}
