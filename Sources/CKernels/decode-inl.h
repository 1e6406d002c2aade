// Included by scalar.c and vector-inl.h, which have included grid_blocks.h and defined f16_to_f32.
//
// Dequantizes GGUF's blocks to f32, one function per type; compiled once for every instruction set.  Every operation
// rounds to f32 in the order written, so all sets give the same bits as scalar.
#pragma STDC FP_CONTRACT OFF

/// 2^(e - 128); NaN if e is 255.
static inline float e8m0_half_to_f32(uint8_t e) {
    uint32_t bits = e == 255 ? 0x7FC00000 : e < 2 ? (e + 1u) << 21 : (e - 1u) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float f16_at(const uint8_t *bytes) {
    uint16_t bits;
    memcpy(&bits, bytes, sizeof bits);
    return f16_to_f32(bits);
}

static inline void decode_q8_0(float *out, const q8_0_block *b) {
    float scale = f16_at(b->scale);
    for (int i = 0; i < 32; i++) out[i] = scale * (float)b->quants[i];
}

static inline void decode_q4_0(float *out, const q4_0_block *b) {
    float scale = f16_at(b->scale);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)((b->quants[i] & 15) - 8);
        out[16 + i] = scale * (float)((b->quants[i] >> 4) - 8);
    }
}

static inline void decode_q4_1(float *out, const q4_1_block *b) {
    float scale = f16_at(b->scale), minimum = f16_at(b->minimum);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)(b->quants[i] & 15) + minimum;
        out[16 + i] = scale * (float)(b->quants[i] >> 4) + minimum;
    }
}

static inline void decode_q5_0(float *out, const q5_0_block *b) {
    float scale = f16_at(b->scale);
    uint32_t fifth;
    memcpy(&fifth, b->fifth_bits, sizeof fifth);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)((int)((b->quants[i] & 15) | (fifth >> i & 1) << 4) - 16);
        out[16 + i] = scale * (float)((int)(b->quants[i] >> 4 | (fifth >> (i + 16) & 1) << 4) - 16);
    }
}

static inline void decode_q5_1(float *out, const q5_1_block *b) {
    float scale = f16_at(b->scale), minimum = f16_at(b->minimum);
    uint32_t fifth;
    memcpy(&fifth, b->fifth_bits, sizeof fifth);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)((b->quants[i] & 15) | (fifth >> i & 1) << 4) + minimum;
        out[16 + i] = scale * (float)(b->quants[i] >> 4 | (fifth >> (i + 16) & 1) << 4) + minimum;
    }
}

static inline void decode_q2_K(float *out, const q2_K_block *b) {
    float scale = f16_at(b->scale), minimum = f16_at(b->minimum);
    for (int g = 0; g < 16; g++) {
        float step = scale * (float)(b->scales[g] & 15), lowest = minimum * (float)(b->scales[g] >> 4);
        const uint8_t *quants = b->quants + 32 * (g / 8) + 16 * (g % 2);
        int shift = 2 * (g / 2 % 4);
        for (int i = 0; i < 16; i++) out[16 * g + i] = step * (float)(quants[i] >> shift & 3) - lowest;
    }
}

static inline void decode_q3_K(float *out, const q3_K_block *b) {
    float scale = f16_at(b->scale);
    const uint8_t *scales = b->scales;
    for (int g = 0; g < 16; g++) {
        int sub_scale = (scales[g % 8] >> 4 * (g / 8) & 15) | (scales[8 + g % 4] >> 2 * (g / 4) & 3) << 4;
        float step = scale * (float)(sub_scale - 32);
        const uint8_t *quants = b->quants + 32 * (g / 8) + 16 * (g % 2), *third = b->third_bits + 16 * (g % 2);
        int shift = 2 * (g / 2 % 4), bit = g / 2;
        for (int i = 0; i < 16; i++)
            out[16 * g + i] = step * (float)((quants[i] >> shift & 3) - (third[i] >> bit & 1 ? 0 : 4));
    }
}

/// Six-bit scale and minimum of sub-block g of a q4_K or q5_K block, from its 12 bytes.
static inline void q4_K_scales_of(const uint8_t *scales, int g, int *scale, int *minimum) {
    *scale = g < 4 ? scales[g] & 63 : (scales[g + 4] & 15) | scales[g - 4] >> 6 << 4;
    *minimum = g < 4 ? scales[g + 4] & 63 : scales[g + 4] >> 4 | scales[g] >> 6 << 4;
}

static inline void decode_q4_K(float *out, const q4_K_block *b) {
    float scale = f16_at(b->scale), minimum = f16_at(b->minimum);
    for (int g = 0; g < 8; g++) {
        int sub_scale, sub_minimum;
        q4_K_scales_of(b->scales, g, &sub_scale, &sub_minimum);
        float step = scale * (float)sub_scale, lowest = minimum * (float)sub_minimum;
        const uint8_t *quants = b->quants + 32 * (g / 2);
        int shift = 4 * (g % 2);
        for (int i = 0; i < 32; i++) out[32 * g + i] = step * (float)(quants[i] >> shift & 15) - lowest;
    }
}

static inline void decode_q5_K(float *out, const q5_K_block *b) {
    float scale = f16_at(b->scale), minimum = f16_at(b->minimum);
    for (int g = 0; g < 8; g++) {
        int sub_scale, sub_minimum;
        q4_K_scales_of(b->scales, g, &sub_scale, &sub_minimum);
        float step = scale * (float)sub_scale, lowest = minimum * (float)sub_minimum;
        const uint8_t *fifth = b->fifth_bits, *quants = b->quants + 32 * (g / 2);
        int shift = 4 * (g % 2);
        for (int i = 0; i < 32; i++)
            out[32 * g + i] = step * (float)((quants[i] >> shift & 15) | (fifth[i] >> g & 1) << 4) - lowest;
    }
}

static inline void decode_q6_K(float *out, const q6_K_block *b) {
    float scale = f16_at(b->scale);
    for (int g = 0; g < 16; g++) {
        float step = scale * (float)b->scales[g];
        int half = g / 8, quarter = g / 2 % 4, column = 16 * (g % 2);
        const uint8_t *low = b->low_bits + 64 * half + 32 * (quarter % 2) + column;
        const uint8_t *high = b->high_bits + 32 * half + column;
        int low_shift = 4 * (quarter / 2), high_shift = 2 * quarter;
        for (int i = 0; i < 16; i++)
            out[16 * g + i] = step * (float)((int)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
    }
}

static inline void decode_iq4_nl(float *out, const iq4_nl_block *b) {
    float scale = f16_at(b->scale);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)iq4_values[b->quants[i] & 15];
        out[16 + i] = scale * (float)iq4_values[b->quants[i] >> 4];
    }
}

static inline void decode_iq4_xs(float *out, const iq4_xs_block *b) {
    float scale = f16_at(b->scale);
    for (int g = 0; g < 8; g++) {
        int sub_scale = (b->low_scales[g / 2] >> 4 * (g % 2) & 15) | (b->high_scales[g / 4] >> 2 * (g % 4) & 3) << 4;
        float step = scale * (float)(sub_scale - 32);
        const uint8_t *quants = b->quants + 16 * g;
        for (int i = 0; i < 16; i++) {
            out[32 * g + i] = step * (float)iq4_values[quants[i] & 15];
            out[32 * g + 16 + i] = step * (float)iq4_values[quants[i] >> 4];
        }
    }
}

static inline void decode_mxfp4(float *out, const mxfp4_block *b) {
    float scale = e8m0_half_to_f32(b->exponent);
    for (int i = 0; i < 16; i++) {
        out[i] = scale * (float)mxfp4_values[b->quants[i] & 15];
        out[16 + i] = scale * (float)mxfp4_values[b->quants[i] >> 4];
    }
}

/// Grid types: sub-scales of 4 bits stand for odd numbers; `unit` is the value of 1 in `values`.
#define DECODE_GRID(name, sub_block, unit, values, width)                                              \
    static inline void decode_##name(float *out, const name##_block *b) {                              \
        float scale = f16_at(b->scale);                                                                \
        for (size_t r = 0; r < 32; r++) {                                                              \
            float step = scale * (float)(2 * name##_scale(b, 8 * r / sub_block) + 1) * unit;           \
            uint64_t codes = grid_codes(name##_run(b, r), width);                                      \
            for (size_t i = 0; i < 8; i++) out[8 * r + i] = step * (float)values[codes >> 8 * i & 15]; \
        }                                                                                              \
    }
DECODE_GRID(iq2_xxs, BLOCK, 0.125f, iq2_values, 2)
DECODE_GRID(iq2_xs, SHORT_SUB_BLOCK, 0.125f, iq2_values, 2)
DECODE_GRID(iq2_s, SHORT_SUB_BLOCK, 0.125f, iq2_values, 2)
DECODE_GRID(iq3_xxs, BLOCK, 0.25f, iq3_xxs_values, 4)
DECODE_GRID(iq3_s, BLOCK, 1.0f, iq3_s_values, 4)
#undef DECODE_GRID

static inline void decode_i2(float *out, const i2_block *b) {
    for (int i = 0; i < 32; i++) out[i] = (float)((b->quants[i / 4] >> 2 * (i % 4) & 3) - 2);
}

static inline void decode_i4(float *out, const i4_block *b) {
    for (int i = 0; i < 32; i++) out[i] = (float)((b->quants[i / 2] >> 4 * (i % 2) & 15) - 8);
}

static inline void decode_i8(float *out, const i8_block *b) {
    for (int i = 0; i < 32; i++) out[i] = (float)b->quants[i];
}

static void decode(float *out, const uint8_t *blocks, size_t count, block_type type) {
    switch (type) {
#define DECODE(name, length, scales)                                                                    \
    case BLOCK_##name:                                                                                  \
        for (size_t i = 0; i < count; i++)                                                              \
            decode_##name(out + i * length, (const name##_block *)(blocks + i * sizeof(name##_block))); \
        break;
        BLOCK_TYPES(DECODE)
#undef DECODE
    }
}

#pragma STDC FP_CONTRACT DEFAULT
