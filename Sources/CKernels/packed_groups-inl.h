// Included by packed_product-inl.h, within an instruction set.  Expects vector-inl.h's types and loads, and
// packed_layout.h.
//
// Reads packed blocks as groups: 16 or 32 columns of PACKED_ROWS rows that share a scale per row, unpacked to bytes.

typedef uint8_t vb __attribute__((ext_vector_type(4 * LANES)));
typedef uint8_t vb1 __attribute__((ext_vector_type(LANES)));

/// Vectors that hold one element of each of PACKED_ROWS rows; a part is LANES of these rows.
#define PARTS (PACKED_ROWS / LANES)

/// Columns of PACKED_ROWS rows that share a scale in each row.
typedef struct {
    vf scales[PARTS], minima[PARTS];  ///< weight = scale * (byte - offset) - minimum
    vb weights[8][PARTS];             ///< four columns each; groups of 16 columns use the first four
} group;

/// What the groups of a type have in common.
typedef struct {
    size_t columns;
    int32_t highest, offset;  ///< the largest byte, and the byte that stands for 0
    int has_minimum;
} group_format;

INLINE group_format group_format_of(block_type type) {
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

/// The sub-block of a super-block that is group i of a type with short sub-blocks.
///
/// Groups of q2_K, q3_K and q6_K are in the order of packed bytes: groups 4 s to 4 s + 3 share the bytes of stretch s.
INLINE size_t group_sub_block(size_t i, block_type type) {
    if (type == BLOCK_iq2_xs || type == BLOCK_iq2_s) return i;
    return 8 * (i / 8) + 2 * (i % 4) + i / 4 % 2;
}

/// The first column of group i of a block.
INLINE size_t group_column(size_t i, block_type type) {
    if (group_format_of(type).columns == BLOCK) return BLOCK * i;
    return SHORT_SUB_BLOCK * group_sub_block(i, type);
}

INLINE vb load_bytes(const uint8_t *b) {
    vb v;
    memcpy(&v, b, sizeof v);
    return v;
}

/// 255 where bit i is set, else 0: cheaper than a shift by a variable count.
INLINE vb where_bit(vb bytes, size_t i) {
    const vb bit = (vb)(uint8_t)(1 << i);
    return (vb)((bytes & bit) == bit);
}

/// LANES unsigned bytes, widened.
INLINE vi load_small(const uint8_t *b) {
    vb1 v;
    memcpy(&v, b, sizeof v);
    return __builtin_convertvector(v, vi);
}

/// LANES signed bytes, widened.
INLINE vi load_signed(const uint8_t *b) {
    typedef int8_t small __attribute__((ext_vector_type(LANES)));
    small v;
    memcpy(&v, b, sizeof v);
    return __builtin_convertvector(v, vi);
}

/// The place of a field in the packed block at `b`, whose type is a struct of packed_layout.h.  Bytes, not a pointer to the
/// struct: clang makes slower code of those.
#define FIELD(type, field) (b + offsetof(packed_##type, field))

/// LANES f16 scales or minima.
INLINE vf load_scale(const uint8_t *b) { return load_f16((const uint16_t *)b, LANES); }

/// Quad j after the one at `quads`, of LANES rows.
INLINE vb load_quad(const uint8_t *quads, size_t j) { return load_bytes(quads + sizeof(quad_of_rows) * j); }

/// 32 weights of 4 bits: the low nibbles are the first half.
INLINE void load_nibbles(vb w[8], const uint8_t *quants) {
    UNROLL_FOR (size_t j = 0; j < 4; j++) {
        vb nibbles = load_quad(quants, j);
        w[j] = nibbles & 15;
        w[4 + j] = nibbles >> 4;
    }
}

/// Fifth bits: bit i of each row's word belongs to weight i.  The product copies four bits to the lowest of four bytes.
INLINE void add_fifth_bits(vb w[8], const uint8_t *fifth_bits) {
    vi words;
    memcpy(&words, fifth_bits, sizeof words);
    UNROLL_FOR (size_t j = 0; j < 8; j++) w[j] |= (vb)(((words >> (int)(4 * j) & 15) * 0x204081 & 0x01010101) << 4);
}

/// values[code] + offset of codes of 4 bits.
INLINE vb look_up(vb codes, const int8_t values[16], uint8_t offset) {
    vb table;
    UNROLL_FOR (size_t i = 0; i < 4 * LANES; i += 16) memcpy((uint8_t *)&table + i, values, 16);
    table += offset;
#if defined(__x86_64__) && LANES == 16
    return (vb)_mm512_shuffle_epi8((__m512i)table, (__m512i)codes);
#elif defined(__x86_64__)
    return (vb)_mm256_shuffle_epi8((__m256i)table, (__m256i)codes);
#else
    UNROLL_FOR (size_t i = 0; i < 4 * LANES; i += 16) {
        uint8x16_t bytes = vqtbl1q_u8(vld1q_u8((const uint8_t *)&table), vld1q_u8((uint8_t *)&codes + i));
        vst1q_u8((uint8_t *)&codes + i, bytes);
    }
    return codes;
#endif
}

// MARK: One part of group i of a packed block

INLINE void q8_0_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = load_scale(FIELD(q8_0, scale[row]));
    UNROLL_FOR (size_t j = 0; j < 8; j++) g->weights[j][part] = load_bytes(FIELD(q8_0, quants[j][row])) ^ 128;
}

/// q4_0, q4_1, q5_0 and q5_1, which have minima and fifth bits or NULL.  Without a minimum 0 is the middle of the range.
INLINE void short_group(group *g, size_t part, const uint8_t *scale, const uint8_t *minimum, const uint8_t *fifth_bits,
                        const uint8_t *quants) {
    vb w[8];
    load_nibbles(w, quants);
    if (fifth_bits) add_fifth_bits(w, fifth_bits);
    g->scales[part] = load_scale(scale);
    if (minimum) g->minima[part] = -load_scale(minimum);
    UNROLL_FOR (size_t j = 0; j < 8; j++) g->weights[j][part] = w[j];
}

INLINE void q4_0_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    short_group(g, part, FIELD(q4_0, scale[row]), NULL, NULL, FIELD(q4_0, quants[0][row]));
}
INLINE void q4_1_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    short_group(g, part, FIELD(q4_1, scale[row]), FIELD(q4_1, minimum[row]), NULL, FIELD(q4_1, quants[0][row]));
}
INLINE void q5_0_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    short_group(g, part, FIELD(q5_0, scale[row]), NULL, FIELD(q5_0, fifth_bits[0][row]), FIELD(q5_0, quants[0][row]));
}
INLINE void q5_1_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    short_group(g, part, FIELD(q5_1, scale[row]), FIELD(q5_1, minimum[row]), FIELD(q5_1, fifth_bits[0][row]),
                FIELD(q5_1, quants[0][row]));
}

INLINE void look_up_group(group *g, size_t part, const uint8_t *nibbles, const int8_t values[16], uint8_t offset) {
    vb w[8];
    load_nibbles(w, nibbles);
    UNROLL_FOR (size_t j = 0; j < 8; j++) g->weights[j][part] = look_up(w[j], values, offset);
}

INLINE void iq4_nl_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = load_scale(FIELD(iq4_nl, scale[row]));
    look_up_group(g, part, FIELD(iq4_nl, quants[0][row]), iq4_values, 128);
}

INLINE void iq4_xs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    vi scale = load_small(FIELD(iq4_xs, low_scales[i / 2][row])) >> (int)(4 * (i % 2)) & 15;
    scale |= (load_small(FIELD(iq4_xs, high_scales[i / 4][row])) >> (int)(2 * (i % 4)) & 3) << 4;
    g->scales[part] = load_scale(FIELD(iq4_xs, scale[row])) * __builtin_convertvector(scale - 32, vf);
    look_up_group(g, part, FIELD(iq4_xs, quants[4 * i][row]), iq4_values, 128);
}

INLINE void mxfp4_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    const vi e = load_small(FIELD(mxfp4, exponent[row])), subnormal = (e + 1) << 21, nan = (vi)0x7FC00000;
    const vi bits = e < 2 ? subnormal : (e - 1) << 23;
    g->scales[part] = (vf)(e == 255 ? nan : bits);
    look_up_group(g, part, FIELD(mxfp4, quants[0][row]), mxfp4_values, 12);
}

/// The scale of sub-block i of a grid type: sub-scales of 4 bits stand for odd numbers.
#define ODD_SCALES(type, unit) odd_scales(FIELD(type, scale[row]), FIELD(type, scales[i / 2][row]), i, unit)
INLINE vf odd_scales(const uint8_t *scale, const uint8_t *sub_scales, size_t i, float unit) {
    vi sub_scale = load_small(sub_scales) >> (int)(4 * (i % 2)) & 15;
    return load_scale(scale) * (__builtin_convertvector(2 * sub_scale + 1, vf) * unit);
}

INLINE void iq3_xxs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = ODD_SCALES(iq3_xxs, 0.25f);
    look_up_group(g, part, FIELD(iq3_xxs, codes[i][0][row]), iq3_xxs_values, 62);
}

INLINE void iq3_s_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = ODD_SCALES(iq3_s, 1);
    look_up_group(g, part, FIELD(iq3_s, codes[i][0][row]), iq3_s_values, 15);
}

/// `count` of the eight vectors of four columns whose codes are in three quads, from vector `begin` on; see packed_code.
INLINE void iq2_columns(group *g, size_t part, const uint8_t *codes, size_t begin, size_t count) {
    int8_t values[16];
    UNROLL_FOR (size_t k = 0; k < 16; k++) values[k] = iq2_values[k % 8];
    const vb quads[3] = {load_quad(codes, 0), load_quad(codes, 1), load_quad(codes, 2)};
    UNROLL_FOR (size_t j = begin; j < begin + count; j++) {
        vb code =
            j < 6 ? quads[j / 2] >> (uint8_t)(3 * (j % 2)) & 7 : quads[j - 6] >> 6 | (quads[2] >> (uint8_t)(j - 2) & 4);
        g->weights[j - begin][part] = look_up(code, values, 43);
    }
}

INLINE void iq2_xxs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = ODD_SCALES(iq2_xxs, 0.125f);
    iq2_columns(g, part, FIELD(iq2_xxs, codes[i][0][row]), 0, 8);
}

INLINE void iq2_xs_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = ODD_SCALES(iq2_xs, 0.125f);
    iq2_columns(g, part, FIELD(iq2_xs, codes[i / 2][0][row]), 4 * (i % 2), 4);
}

INLINE void iq2_s_group(group *g, size_t part, const uint8_t *b, size_t i) { iq2_xs_group(g, part, b, i); }

// q2_K, q3_K and q6_K: four consecutive groups are 16 columns of each quarter of 128 columns, whose bits share bytes: a
// stretch.

INLINE void q2_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES, stretch = i / 4, quarter = i % 4;
    vi s = load_small(FIELD(q2_K, scales[group_sub_block(i, BLOCK_q2_K)][row]));
    g->scales[part] = load_scale(FIELD(q2_K, scale[row])) * __builtin_convertvector(s & 15, vf);
    g->minima[part] = load_scale(FIELD(q2_K, minimum[row])) * __builtin_convertvector(s >> 4, vf);
    UNROLL_FOR (size_t j = 0; j < 4; j++)
        g->weights[j][part] = load_bytes(FIELD(q2_K, quants[4 * stretch + j][row])) >> (uint8_t)(2 * quarter) & 3;
}

INLINE void q3_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES, stretch = i / 4, quarter = i % 4;
    const size_t sub_block = group_sub_block(i, BLOCK_q3_K);
    vi scale = load_small(FIELD(q3_K, scales[sub_block % 8][row])) >> (int)(4 * (sub_block / 8)) & 15;
    scale |= (load_small(FIELD(q3_K, scales[8 + sub_block % 4][row])) >> (int)(2 * (sub_block / 4)) & 3) << 4;
    g->scales[part] = load_scale(FIELD(q3_K, scale[row])) * __builtin_convertvector(scale - 32, vf);
    UNROLL_FOR (size_t j = 0; j < 4; j++) {
        vb low = load_bytes(FIELD(q3_K, quants[4 * stretch + j][row])) >> (uint8_t)(2 * quarter) & 3;
        vb third = where_bit(load_bytes(FIELD(q3_K, third_bits[4 * (stretch % 2) + j][row])), sub_block / 2);
        g->weights[j][part] = low | (third & 4);
    }
}

INLINE void q6_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES, stretch = i / 4, quarter = i % 4;
    vi scale = load_signed(FIELD(q6_K, scales[group_sub_block(i, BLOCK_q6_K)][row]));
    g->scales[part] = load_scale(FIELD(q6_K, scale[row])) * __builtin_convertvector(scale, vf);
    UNROLL_FOR (size_t j = 0; j < 4; j++) {
        vb nibbles = load_bytes(FIELD(q6_K, stretches[stretch].low_bits[quarter % 2][j][row]));
        vb high = load_bytes(FIELD(q6_K, stretches[stretch].high_bits[j][row]));
        g->weights[j][part] = (quarter / 2 ? nibbles >> 4 : nibbles & 15) | (high >> (uint8_t)(2 * quarter) & 3) << 4;
    }
}

/// q4_K and q5_K, which has fifth bits: those of weight c of every group share byte c.
INLINE void scaled_group(group *g, size_t part, const uint8_t *scale, const uint8_t *minimum, const uint8_t *scales,
                         const uint8_t *fifth_bits, const uint8_t *quants, size_t i) {
    vi sub_scale, sub_minimum;
    if (i < 4) {
        sub_scale = load_small(scales + sizeof(byte_of_rows) * i) & 63;
        sub_minimum = load_small(scales + sizeof(byte_of_rows) * (i + 4)) & 63;
    } else {
        vi low_bits = load_small(scales + sizeof(byte_of_rows) * (i + 4));
        sub_scale = (low_bits & 15) | load_small(scales + sizeof(byte_of_rows) * (i - 4)) >> 6 << 4;
        sub_minimum = low_bits >> 4 | load_small(scales + sizeof(byte_of_rows) * i) >> 6 << 4;
    }
    g->scales[part] = load_scale(scale) * __builtin_convertvector(sub_scale, vf);
    g->minima[part] = load_scale(minimum) * __builtin_convertvector(sub_minimum, vf);
    UNROLL_FOR (size_t j = 0; j < 8; j++) {
        vb nibbles = load_quad(quants, 8 * (i / 2) + j);
        g->weights[j][part] = i % 2 ? nibbles >> 4 : nibbles & 15;
        if (fifth_bits) g->weights[j][part] |= where_bit(load_quad(fifth_bits, j), i) & 16;
    }
}

INLINE void q4_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    scaled_group(g, part, FIELD(q4_K, scale[row]), FIELD(q4_K, minimum[row]), FIELD(q4_K, scales[0][row]), NULL,
                 FIELD(q4_K, quants[0][row]), i);
}
INLINE void q5_K_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    scaled_group(g, part, FIELD(q5_K, scale[row]), FIELD(q5_K, minimum[row]), FIELD(q5_K, scales[0][row]),
                 FIELD(q5_K, fifth_bits[0][row]), FIELD(q5_K, quants[0][row]), i);
}

// i2, i4 and i8: the product is multiplied by the row's scale.

/// Bits 2 (m % 4) and 2 (m % 4) + 1 of quad m / 4 are columns 4 m to 4 m + 3.
INLINE void i2_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = 1;
    UNROLL_FOR (size_t m = 0; m < 8; m++)
        g->weights[m][part] = load_bytes(FIELD(i2, quants[m / 4][row])) >> (uint8_t)(2 * (m % 4)) & 3;
}

INLINE void i4_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    vb w[8];
    load_nibbles(w, FIELD(i4, quants[0][row]));
    g->scales[part] = 1;
    UNROLL_FOR (size_t m = 0; m < 8; m++) g->weights[m][part] = w[m];
}

INLINE void i8_group(group *g, size_t part, const uint8_t *b, size_t i) {
    const size_t row = part * LANES;
    g->scales[part] = 1;
    UNROLL_FOR (size_t m = 0; m < 8; m++) g->weights[m][part] = load_bytes(FIELD(i8, quants[m][row])) ^ 128;
}

INLINE void read_group(group *g, const uint8_t *b, size_t i, block_type type) {
    UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
#define GROUP(name, length, scales) \
    if (type == BLOCK_##name) name##_group(g, part, b, i);
        BLOCK_TYPES(GROUP)
#undef GROUP
    }
}
