// How the blocks of each type become groups: 16 or 32 columns of bytes that share a scale.
//
// Sixteen rows of a weight lie together.  A packed block is that block of the 16 rows, cut into units of 1, 2 or 4
// bytes that take turns: the first unit of each row, then the second of each, ….  So four bytes of each of LANES rows are
// one vector, and a block is as large as in the file, but for the types of grids.  pack.c lays the parts of a block in the
// order in which they are read here: out of order, q6_K came at half the memory's speed.

typedef uint8_t vb __attribute__((ext_vector_type(4 * LANES)));
typedef uint8_t vb1 __attribute__((ext_vector_type(LANES)));

/// Vectors that hold 16 rows.
#define PARTS (16 / LANES)

/// Columns of 16 rows that share a scale in each row.
typedef struct {
    vf scales[PARTS], minima[PARTS];  ///< weight = scale * (byte - offset) - minimum
    vb weights[8][PARTS];             ///< four columns each; of 16 columns the first four
} group;

/// What the groups of a type have in common.
typedef struct {
    size_t columns;
    int32_t highest, offset;  ///< of the bytes, which count from 0
    int has_minimum;
} group_format;

INLINE group_format format_of(block_type type) {
    switch (type) {
        case BLOCK_q4_0: return (group_format){32, 15, 8, 0};
        case BLOCK_q4_1:
        case BLOCK_q4_K: return (group_format){32, 15, 0, 1};
        case BLOCK_q5_0: return (group_format){32, 31, 16, 0};
        case BLOCK_q5_1:
        case BLOCK_q5_K: return (group_format){32, 31, 0, 1};
        case BLOCK_q2_K: return (group_format){16, 3, 0, 1};
        case BLOCK_q3_K: return (group_format){16, 7, 4, 0};
        case BLOCK_q6_K: return (group_format){16, 63, 32, 0};
        case BLOCK_q8_0:
        case BLOCK_iq4_nl:
        case BLOCK_iq4_xs: return (group_format){32, 255, 128, 0};
        case BLOCK_mxfp4: return (group_format){32, 24, 12, 0};
        case BLOCK_iq2_xxs: return (group_format){32, 86, 43, 0};
        case BLOCK_iq2_xs:
        case BLOCK_iq2_s: return (group_format){16, 86, 43, 0};
        case BLOCK_iq3_xxs: return (group_format){32, 124, 62, 0};
        case BLOCK_iq3_s: return (group_format){32, 30, 15, 0};
        case BLOCK_i2: return (group_format){32, 3, 2, 0};
        case BLOCK_i4: return (group_format){32, 15, 8, 0};
        case BLOCK_i8: return (group_format){32, 255, 128, 0};
    }
}

/// The first column of group i of a block.
INLINE size_t column_of(size_t i, block_type type) {
    if (format_of(type).columns == 32) return 32 * i;
    if (type == BLOCK_iq2_xs || type == BLOCK_iq2_s) return 16 * i;
    return 16 * (8 * (i / 8) + 2 * (i % 4) + i / 4 % 2);
}

INLINE vb load_bytes(const uint8_t *b) {
    vb v;
    memcpy(&v, b, sizeof v);
    return v;
}

/// 255 where bit i is set, else 0: cheaper than a shift by a number that is not known to the compiler.
INLINE vb where_bit(vb bytes, size_t i) {
    const vb bit = (vb)(uint8_t)(1 << i);
    return (vb)((bytes & bit) == bit);
}

INLINE vi load_small(const uint8_t *b) {
    vb1 v;
    memcpy(&v, b, sizeof v);
    return __builtin_convertvector(v, vi);
}

INLINE vi load_signed(const int8_t *b) {
    typedef int8_t small __attribute__((ext_vector_type(LANES)));
    small v;
    memcpy(&v, b, sizeof v);
    return __builtin_convertvector(v, vi);
}

/// 32 weights of 4 bits, the low nibbles are the first half.
INLINE void load_nibbles(vb w[8], const uint8_t *b) {
    UNROLL for (size_t j = 0; j < 4; j++) {
        vb nibbles = load_bytes(b + 64 * j);
        w[j] = nibbles & 15;
        w[4 + j] = nibbles >> 4;
    }
}

/// Fifth bits: bit i of each row's word belongs to weight i.  The product copies four bits to the lowest of four bytes.
INLINE void add_fifth_bits(vb w[8], const uint8_t *b) {
    vi words;
    memcpy(&words, b, sizeof words);
    UNROLL for (size_t j = 0; j < 8; j++) w[j] |= (vb)(((words >> (int)(4 * j) & 15) * 0x204081 & 0x01010101) << 4);
}

/// What numbers of 4 bits stand for, counted from -offset.
INLINE vb look_up(vb numbers, const int8_t values[16], uint8_t offset) {
    vb table;
    UNROLL for (size_t i = 0; i < 4 * LANES; i += 16) memcpy((uint8_t *)&table + i, values, 16);
    table += offset;
#if defined(__x86_64__) && LANES == 16
    return (vb)_mm512_shuffle_epi8((__m512i)table, (__m512i)numbers);
#elif defined(__x86_64__)
    return (vb)_mm256_shuffle_epi8((__m256i)table, (__m256i)numbers);
#else
    UNROLL for (size_t i = 0; i < 4 * LANES; i += 16) {
        uint8x16_t part = vqtbl1q_u8(vld1q_u8((const uint8_t *)&table), vld1q_u8((uint8_t *)&numbers + i));
        vst1q_u8((uint8_t *)&numbers + i, part);
    }
    return numbers;
#endif
}

// One part of group i of a packed block.

INLINE void q8_0_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t first = part * LANES;
    g->scales[part] = load_f16((const uint16_t *)b + first, LANES);
    UNROLL for (size_t j = 0; j < 8; j++) g->weights[j][part] = load_bytes(b + 32 + 64 * j + 4 * first) ^ 128;
}

/// q4_0, q4_1, q5_0 and q5_1: scale, minimum, fifth bits, nibbles.  Without a minimum weights count from the middle.
INLINE void short_group(group *g, size_t part, const uint8_t *b, int has_minimum, int has_fifth) {
    const size_t first = part * LANES;
    const uint8_t *fifth = b + (has_minimum ? 64 : 32) + 4 * first;
    vb w[8];
    load_nibbles(w, fifth + (has_fifth ? 64 : 0));
    if (has_fifth) add_fifth_bits(w, fifth);
    g->scales[part] = load_f16((const uint16_t *)b + first, LANES);
    if (has_minimum) g->minima[part] = -load_f16((const uint16_t *)b + 16 + first, LANES);
    UNROLL for (size_t j = 0; j < 8; j++) g->weights[j][part] = w[j];
}

INLINE void q4_0_group(group *g, size_t part, const uint8_t *b, size_t i) { short_group(g, part, b, 0, 0); }
INLINE void q4_1_group(group *g, size_t part, const uint8_t *b, size_t i) { short_group(g, part, b, 1, 0); }
INLINE void q5_0_group(group *g, size_t part, const uint8_t *b, size_t i) { short_group(g, part, b, 0, 1); }
INLINE void q5_1_group(group *g, size_t part, const uint8_t *b, size_t i) { short_group(g, part, b, 1, 1); }

INLINE void look_up_group(group *g, size_t part, const uint8_t *nibbles, const int8_t values[16], uint8_t offset) {
    vb w[8];
    load_nibbles(w, nibbles + 4 * part * LANES);
    UNROLL for (size_t j = 0; j < 8; j++) g->weights[j][part] = look_up(w[j], values, offset);
}

INLINE void iq4_nl_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = load_f16((const uint16_t *)b + part * LANES, LANES);
    look_up_group(g, part, b + 32, iq4_values, 128);
}

INLINE void iq4_xs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const uint8_t *high = b + 32 + part * LANES, *low = b + 64 + part * LANES;
    vi scale = load_small(low + 16 * (i / 2)) >> (int)(4 * (i % 2)) & 15;
    scale |= (load_small(high + 16 * (i / 4)) >> (int)(2 * (i % 4)) & 3) << 4;
    g->scales[part] = load_f16((const uint16_t *)b + part * LANES, LANES) * __builtin_convertvector(scale - 32, vf);
    look_up_group(g, part, b + 128 + 256 * i, iq4_values, 128);
}

INLINE void mxfp4_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const vi e = load_small(b + part * LANES), small = (e + 1) << 21, none = (vi)0x7FC00000;
    const vi bits = e < 2 ? small : (e - 1) << 23;
    g->scales[part] = (vf)(e == 255 ? none : bits);
    look_up_group(g, part, b + 16, mxfp4_values, 12);
}

/// Of a type of grids: scales of 4 bits stand for odd numbers.
INLINE vf odd_scales(const uint8_t *b, size_t part, size_t i, float unit) {
    vi scale = load_small(b + 32 + 16 * (i / 2) + part * LANES) >> (int)(4 * (i % 2)) & 15;
    return load_f16((const uint16_t *)b + part * LANES, LANES) * (__builtin_convertvector(2 * scale + 1, vf) * unit);
}

INLINE void iq3_xxs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = odd_scales(b, part, i, 0.25f);
    look_up_group(g, part, b + 96 + 256 * i, iq3_xxs_values, 62);
}

INLINE void iq3_s_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = odd_scales(b, part, i, 1);
    look_up_group(g, part, b + 96 + 256 * i, iq3_s_values, 15);
}

/// Eight vectors of four columns, of which the first, or all but the first, `count` are wanted; see packed_number.
INLINE void iq2_columns(group *g, size_t part, const uint8_t *b, size_t first, size_t count) {
    int8_t values[16];
    UNROLL for (size_t k = 0; k < 16; k++) values[k] = iq2_values[k % 8];
    const vb four[3] = {load_bytes(b + 4 * part * LANES), load_bytes(b + 64 + 4 * part * LANES),
                        load_bytes(b + 128 + 4 * part * LANES)};
    UNROLL for (size_t j = first; j < first + count; j++) {
        vb numbers = j < 6 ? four[j / 2] >> (uint8_t)(3 * (j % 2)) & 7 : four[j - 6] >> 6 | (four[2] >> (uint8_t)(j - 2) & 4);
        g->weights[j - first][part] = look_up(numbers, values, 43);
    }
}

INLINE void iq2_xxs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = odd_scales(b, part, i, 0.125f);
    iq2_columns(g, part, b + 96 + 192 * i, 0, 8);
}

INLINE void iq2_xs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = odd_scales(b, part, i, 0.125f);
    iq2_columns(g, part, b + 160 + 192 * (i / 2), 4 * (i % 2), 4);
}

INLINE void iq2_s_group(group *g, size_t part, const uint8_t *b, size_t i) { iq2_xs_group(g, part, b, i); }

// q2_K, q3_K and q6_K: four groups on end hold 16 columns each of the four quarters of 128, whose bits share bytes.

INLINE void q2_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t first = part * LANES, stretch = i / 4, quarter = i % 4;
    vi s = load_small(b + 64 + first + column_of(i, BLOCK_q2_K));
    g->scales[part] = load_f16((const uint16_t *)b + first, LANES) * __builtin_convertvector(s & 15, vf);
    g->minima[part] = load_f16((const uint16_t *)b + 16 + first, LANES) * __builtin_convertvector(s >> 4, vf);
    UNROLL for (size_t j = 0; j < 4; j++)
        g->weights[j][part] = load_bytes(b + 320 + 64 * (4 * stretch + j) + 4 * first) >> (uint8_t)(2 * quarter) & 3;
}

INLINE void q3_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t first = part * LANES, stretch = i / 4, quarter = i % 4, nth = column_of(i, BLOCK_q3_K) / 16;
    const uint8_t *scales = b + 32 + first, *third = b + 224 + 4 * first, *weights = b + 736 + 4 * first;
    vi scale = load_small(scales + 16 * (nth % 8)) >> (int)(4 * (nth / 8)) & 15;
    scale |= (load_small(scales + 16 * (8 + nth % 4)) >> (int)(2 * (nth / 4)) & 3) << 4;
    g->scales[part] = load_f16((const uint16_t *)b + first, LANES) * __builtin_convertvector(scale - 32, vf);
    UNROLL for (size_t j = 0; j < 4; j++) {
        vb low = load_bytes(weights + 64 * (4 * stretch + j)) >> (uint8_t)(2 * quarter) & 3;
        g->weights[j][part] = low | (where_bit(load_bytes(third + 64 * (4 * (stretch % 2) + j)), nth / 2) & 4);
    }
}

INLINE void q6_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t first = part * LANES, stretch = i / 4, quarter = i % 4;
    const uint8_t *weights = b + 288 + 12 * 64 * stretch + 4 * first;
    vi scale = load_signed((const int8_t *)b + 32 + first + column_of(i, BLOCK_q6_K));
    g->scales[part] = load_f16((const uint16_t *)b + first, LANES) * __builtin_convertvector(scale, vf);
    UNROLL for (size_t j = 0; j < 4; j++) {
        vb nibbles = load_bytes(weights + 64 * (4 * (quarter % 2) + j)), high = load_bytes(weights + 64 * (8 + j));
        g->weights[j][part] = (quarter / 2 ? nibbles >> 4 : nibbles & 15) | (high >> (uint8_t)(2 * quarter) & 3) << 4;
    }
}

/// q4_K and q5_K: the fifth bits of weight c of every group share byte c.
INLINE void scaled_group(group *g, size_t part, const uint8_t *b, size_t i, int has_fifth) {
    const size_t first = part * LANES;
    const uint8_t *fifth = b + 256 + 4 * first, *low = fifth + (has_fifth ? 512 : 0), *s = b + 64 + first;
    vi scale, minimum;
    if (i < 4) {
        scale = load_small(s + 16 * i) & 63;
        minimum = load_small(s + 16 * (i + 4)) & 63;
    } else {
        vi both = load_small(s + 16 * (i + 4));
        scale = (both & 15) | load_small(s + 16 * (i - 4)) >> 6 << 4;
        minimum = both >> 4 | load_small(s + 16 * i) >> 6 << 4;
    }
    g->scales[part] = load_f16((const uint16_t *)b + first, LANES) * __builtin_convertvector(scale, vf);
    g->minima[part] = load_f16((const uint16_t *)b + 16 + first, LANES) * __builtin_convertvector(minimum, vf);
    UNROLL for (size_t j = 0; j < 8; j++) {
        vb nibbles = load_bytes(low + 64 * (8 * (i / 2) + j));
        g->weights[j][part] = i % 2 ? nibbles >> 4 : nibbles & 15;
        if (has_fifth) g->weights[j][part] |= where_bit(load_bytes(fifth + 64 * j), i) & 16;
    }
}

INLINE void q4_K_group(group *g, size_t part, const uint8_t *b, size_t i) { scaled_group(g, part, b, i, 0); }
INLINE void q5_K_group(group *g, size_t part, const uint8_t *b, size_t i) { scaled_group(g, part, b, i, 1); }

// i2, i4 and i8: the scale of the row is multiplied by later.

/// Bits 2 (m % 4) and 2 (m % 4) + 1 of the m / 4th unit are columns 4 m to 4 m + 3.
INLINE void i2_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = 1;
    UNROLL for (size_t m = 0; m < 8; m++)
        g->weights[m][part] = load_bytes(b + 64 * (m / 4) + 4 * part * LANES) >> (uint8_t)(2 * (m % 4)) & 3;
}

INLINE void i4_group(group *g, size_t part, const uint8_t *b, size_t i) {
    vb w[8];
    load_nibbles(w, b + 4 * part * LANES);
    g->scales[part] = 1;
    UNROLL for (size_t m = 0; m < 8; m++) g->weights[m][part] = w[m];
}

INLINE void i8_group(group *g, size_t part, const uint8_t *b, size_t i) {
    g->scales[part] = 1;
    UNROLL for (size_t m = 0; m < 8; m++) g->weights[m][part] = load_bytes(b + 64 * m + 4 * part * LANES) ^ 128;
}

INLINE void read_group(group *g, const uint8_t *b, size_t i, block_type type) {
    UNROLL for (size_t part = 0; part < PARTS; part++) {
#define GROUP(name, length, bytes) \
    if (type == BLOCK_##name) name##_group(g, part, b, i);
        BLOCK_TYPES(GROUP)
#undef GROUP
    }
}

/// Weights of a block, and its bytes for one row.
typedef struct {
    size_t length, bytes;
} block_size;

INLINE block_size size_of(block_type type) {
    switch (type) {
#define SIZE(name, length, bytes) \
    case BLOCK_##name: return (block_size){length, packed_block_bytes(type)};
        BLOCK_TYPES(SIZE)
#undef SIZE
    }
}
