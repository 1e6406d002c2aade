// GGUF's quantised blocks as f32, one decoder for each type; compiled once for every instruction set.
//
// A block is a run of 32 or 256 weights of one row with their scales.  Bytes are read one by one or copied: blocks lie
// at any address.  Every operation rounds to f32 in the order written, so all sets give the same bits as scalar.
//
// Source: the layouts of ggml-common.h, checked against the Python package gguf.
#pragma STDC FP_CONTRACT OFF

/// Half of 2^(e - 127); of 255, which stands for no number, NaN.
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

/// f16 d; i8 q[32]
static inline void decode_q8_0(float *out, const uint8_t *b) {
    float d = f16_at(b);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)b[2 + i];
}

/// f16 d; u8 q[16]: the low nibbles are the first half
static inline void decode_q4_0(float *out, const uint8_t *b) {
    float d = f16_at(b);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((b[2 + i] & 15) - 8);
        out[16 + i] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

/// f16 d; f16 m; u8 q[16]
static inline void decode_q4_1(float *out, const uint8_t *b) {
    float d = f16_at(b), m = f16_at(b + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(b[4 + i] & 15) + m;
        out[16 + i] = d * (float)(b[4 + i] >> 4) + m;
    }
}

/// f16 d; u32 h, the fifth bits; u8 q[16]
static inline void decode_q5_0(float *out, const uint8_t *b) {
    float d = f16_at(b);
    uint32_t h;
    memcpy(&h, b + 2, sizeof h);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((int)((b[6 + i] & 15) | (h >> i & 1) << 4) - 16);
        out[16 + i] = d * (float)((int)(b[6 + i] >> 4 | (h >> (i + 16) & 1) << 4) - 16);
    }
}

/// f16 d; f16 m; u32 h; u8 q[16]
static inline void decode_q5_1(float *out, const uint8_t *b) {
    float d = f16_at(b), m = f16_at(b + 2);
    uint32_t h;
    memcpy(&h, b + 4, sizeof h);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((b[8 + i] & 15) | (h >> i & 1) << 4) + m;
        out[16 + i] = d * (float)(b[8 + i] >> 4 | (h >> (i + 16) & 1) << 4) + m;
    }
}

/// u8 s[16], scale and minimum of 16 weights; u8 q[64]; f16 d; f16 dmin
static inline void decode_q2_K(float *out, const uint8_t *b) {
    float d = f16_at(b + 80), dmin = f16_at(b + 82);
    for (int g = 0; g < 16; g++) {
        float scale = d * (float)(b[g] & 15), minimum = dmin * (float)(b[g] >> 4);
        const uint8_t *q = b + 16 + 32 * (g / 8) + 16 * (g % 2);
        int shift = 2 * (g / 2 % 4);
        for (int i = 0; i < 16; i++) out[16 * g + i] = scale * (float)(q[i] >> shift & 3) - minimum;
    }
}

/// u8 h[32], the third bits, 1 for no offset; u8 q[64]; u8 s[12], sixteen 6-bit scales; f16 d
static inline void decode_q3_K(float *out, const uint8_t *b) {
    float d = f16_at(b + 108);
    const uint8_t *s = b + 96;
    for (int g = 0; g < 16; g++) {
        int scale = (s[g % 8] >> 4 * (g / 8) & 15) | (s[8 + g % 4] >> 2 * (g / 4) & 3) << 4;
        float scaled = d * (float)(scale - 32);
        const uint8_t *q = b + 32 + 32 * (g / 8) + 16 * (g % 2), *h = b + 16 * (g % 2);
        int shift = 2 * (g / 2 % 4), bit = g / 2;
        for (int i = 0; i < 16; i++) out[16 * g + i] = scaled * (float)((q[i] >> shift & 3) - (h[i] >> bit & 1 ? 0 : 4));
    }
}

/// Six-bit scale and minimum of group g of a q4_K or q5_K block, from its 12 bytes.
static inline void q4_K_scales(const uint8_t *s, int g, int *scale, int *minimum) {
    *scale = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
    *minimum = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | s[g] >> 6 << 4;
}

/// f16 d; f16 dmin; u8 s[12], scale and minimum of 32 weights; u8 q[128]
static inline void decode_q4_K(float *out, const uint8_t *b) {
    float d = f16_at(b), dmin = f16_at(b + 2);
    for (int g = 0; g < 8; g++) {
        int scale, minimum;
        q4_K_scales(b + 4, g, &scale, &minimum);
        float scaled = d * (float)scale, lowest = dmin * (float)minimum;
        const uint8_t *q = b + 16 + 32 * (g / 2);
        int shift = 4 * (g % 2);
        for (int i = 0; i < 32; i++) out[32 * g + i] = scaled * (float)(q[i] >> shift & 15) - lowest;
    }
}

/// f16 d; f16 dmin; u8 s[12]; u8 h[32], the fifth bits; u8 q[128]
static inline void decode_q5_K(float *out, const uint8_t *b) {
    float d = f16_at(b), dmin = f16_at(b + 2);
    for (int g = 0; g < 8; g++) {
        int scale, minimum;
        q4_K_scales(b + 4, g, &scale, &minimum);
        float scaled = d * (float)scale, lowest = dmin * (float)minimum;
        const uint8_t *h = b + 16, *q = b + 48 + 32 * (g / 2);
        int shift = 4 * (g % 2);
        for (int i = 0; i < 32; i++)
            out[32 * g + i] = scaled * (float)((q[i] >> shift & 15) | (h[i] >> g & 1) << 4) - lowest;
    }
}

/// u8 ql[128]; u8 qh[64]; i8 scale[16], one for 16 weights; f16 d
static inline void decode_q6_K(float *out, const uint8_t *b) {
    float d = f16_at(b + 208);
    for (int g = 0; g < 16; g++) {
        float scaled = d * (float)(int8_t)b[192 + g];
        int half = g / 8, quarter = g / 2 % 4, first = 16 * (g % 2);
        const uint8_t *low = b + 64 * half + 32 * (quarter % 2) + first, *high = b + 128 + 32 * half + first;
        int low_shift = 4 * (quarter / 2), high_shift = 2 * quarter;
        for (int i = 0; i < 16; i++)
            out[16 * g + i] = scaled * (float)((int)((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
    }
}

/// f16 d; u8 q[16], each the number of one of 16 values
static inline void decode_iq4_nl(float *out, const uint8_t *b) {
    float d = f16_at(b);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)iq4_values[b[2 + i] & 15];
        out[16 + i] = d * (float)iq4_values[b[2 + i] >> 4];
    }
}

/// f16 d; u16 high and u8 low[4], eight 6-bit scales; u8 q[128]
static inline void decode_iq4_xs(float *out, const uint8_t *b) {
    float d = f16_at(b);
    for (int g = 0; g < 8; g++) {
        int scale = (b[4 + g / 2] >> 4 * (g % 2) & 15) | (b[2 + g / 4] >> 2 * (g % 4) & 3) << 4;
        float scaled = d * (float)(scale - 32);
        const uint8_t *q = b + 8 + 16 * g;
        for (int i = 0; i < 16; i++) {
            out[32 * g + i] = scaled * (float)iq4_values[q[i] & 15];
            out[32 * g + 16 + i] = scaled * (float)iq4_values[q[i] >> 4];
        }
    }
}

/// u8 e, the scale as a power of two; u8 q[16], each the number of one of 16 values
static inline void decode_mxfp4(float *out, const uint8_t *b) {
    float d = e8m0_half_to_f32(b[0]);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)mxfp4_values[b[1 + i] & 15];
        out[16 + i] = d * (float)mxfp4_values[b[1 + i] >> 4];
    }
}

/// Types of grids: a scale is d times an odd number, in parts of the unit; `group` weights share it.
#define DECODE_GRID(name, group, part, values, width)                                                \
    static inline void decode_##name(float *out, const uint8_t *b) {                                 \
        float d = f16_at(b);                                                                         \
        for (size_t r = 0; r < 32; r++) {                                                            \
            float scaled = d * (float)(2 * name##_scale(b, 8 * r / group) + 1) * part;               \
            uint64_t numbers = grid_numbers(name##_run(b, r), width);                                \
            for (size_t i = 0; i < 8; i++) out[8 * r + i] = scaled * (float)values[numbers >> 8 * i & 15]; \
        }                                                                                            \
    }
DECODE_GRID(iq2_xxs, 32, 0.125f, iq2_values, 2)
DECODE_GRID(iq2_xs, 16, 0.125f, iq2_values, 2)
DECODE_GRID(iq2_s, 16, 0.125f, iq2_values, 2)
DECODE_GRID(iq3_xxs, 32, 0.25f, iq3_xxs_values, 4)
DECODE_GRID(iq3_s, 32, 1.0f, iq3_s_values, 4)
#undef DECODE_GRID

/// Integers of 2 bits, counted from -2, the first in the lowest bits; their scale belongs to the row
static inline void decode_i2(float *out, const uint8_t *b) {
    for (int i = 0; i < 32; i++) out[i] = (float)((b[i / 4] >> 2 * (i % 4) & 3) - 2);
}

/// Integers of 4 bits, counted from -8, the first in the lowest bits
static inline void decode_i4(float *out, const uint8_t *b) {
    for (int i = 0; i < 32; i++) out[i] = (float)((b[i / 2] >> 4 * (i % 2) & 15) - 8);
}

static inline void decode_i8(float *out, const uint8_t *b) {
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)b[i];
}

static void decode(float *out, const uint8_t *blocks, size_t count, block_type type) {
    switch (type) {
#define DECODE(name, length, bytes)                                                                 \
    case BLOCK_##name:                                                                              \
        for (size_t i = 0; i < count; i++) decode_##name(out + i * length, blocks + i * bytes); \
        break;
    BLOCK_TYPES(DECODE)
#undef DECODE
    }
}

#pragma STDC FP_CONTRACT DEFAULT
