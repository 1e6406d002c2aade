// Products of 2-, 4- and 8-bit integer weights, one scale per row, with int8 activations quantized with static scales: a
// dot product accumulates integers over all columns, exact in any order, and is multiplied by the scales once.
//
// For few tokens the weights are unpacked in registers as they stream from memory.  For many, blocks of columns of a few
// rows are unpacked into a buffer in cache and multiplied by tiles of tokens; partial sums are kept in `out` between blocks.

/// Whether a sum of four products fits a lane of 32 bits at once, without 16 bits in between.
#if defined(__x86_64__) && !defined(VNNI)
#define INTEGER_PAIRS 1
#else
#define INTEGER_PAIRS 0
#endif

/// Vectors of rows, or with INTEGER_PAIRS nibbles of one, that a tile has, and its tokens.
#define TILE_VECTORS 2
#define TILE_TOKENS (MANY_REGISTERS ? 12 : LANES == 16 ? 8 : 4)
/// Columns that are unpacked at once: 32 KB.
#define TILE_COLUMNS (64 * 1024 / (4 * LANES * TILE_VECTORS) / 2 * 4)

/// What the bytes count from; of signed bytes 0.
INLINE int32_t integer_offset(block_type type) {
    if (type == BLOCK_i2) return 2;
    if (type == BLOCK_i4) return 8;
#if defined(__x86_64__)
    return 128;
#else
    return 0;
#endif
}

/// Columns 4m to 4m + 3 of LANES rows of a block that begins at `b`, at `part` of its rows; of 2 bits those under `mask`.
INLINE vb integer_bytes(const uint8_t *b, size_t part, size_t m, block_type type, uint8_t mask) {
    const size_t first = 4 * part * LANES;
    if (type == BLOCK_i2) return load_bytes(b + 64 * (m / 4) + first) >> (uint8_t)(2 * (m % 4)) & mask;
    if (type == BLOCK_i4) return m < 4 ? load_bytes(b + 64 * m + first) & 15 : load_bytes(b + 64 * (m - 4) + first) >> 4;
#if defined(__x86_64__)
    return load_bytes(b + 64 * m + first) ^ 128;
#else
    return load_bytes(b + 64 * m + first);
#endif
}

INLINE vi four_values(const int8_t *x) {
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return (vi)bytes;
}

/// The integer of -128…127 that is nearest to x / step.
INLINE vf nearest_step(vf x, float step) {
    vf nearest = __builtin_elementwise_rint(x / step);
    nearest = nearest < -128.0f ? (vf)-128.0f : nearest;
    return nearest > 127.0f ? (vf)127.0f : nearest;
}

/// Sums times scales, rounded to steps.
INLINE vf scaled_sums(vi sums, float scale, vf row_scales, float out_step) {
    vf y = __builtin_convertvector(sums, vf) * (scale * row_scales);
    if (out_step == 0) return y;
    return nearest_step(y, out_step) * out_step;
}

#if INTEGER_PAIRS

INLINE vi add_pairs(vi pairs, vb w, vi x4) {
    return (vi)X86(add_epi16)((bytes)pairs, X86(maddubs_epi16)((bytes)w, (bytes)x4));
}

/// sum += factor * the pairs.
INLINE vi add_wide(vi sum, vi pairs, int16_t factor) {
    return sum + (vi)X86(madd_epi16)((bytes)pairs, X86(set1_epi16)(factor));
}
#elif !defined(VNNI)
/// sum + the products of four bytes in each lane; both are signed.
INLINE vi add_four(vi sum, vb w, vi x4) {
#if defined(DOT_PRODUCT)
    int32x4_t parts[LANES / 4];
    int8x16_t ws[LANES / 4], xs[LANES / 4];
    memcpy(parts, &sum, sizeof parts);
    memcpy(ws, &w, sizeof ws);
    memcpy(xs, &x4, sizeof xs);
    UNROLL for (size_t i = 0; i < LANES / 4; i++) parts[i] = vdotq_s32(parts[i], ws[i], xs[i]);
    memcpy(&sum, parts, sizeof sum);
#elif defined(__aarch64__)
    int32x4_t parts[LANES / 4];
    int8x16_t ws[LANES / 4], xs[LANES / 4];
    memcpy(parts, &sum, sizeof parts);
    memcpy(ws, &w, sizeof ws);
    memcpy(xs, &x4, sizeof xs);
    UNROLL for (size_t i = 0; i < LANES / 4; i++) {
        int16x8_t low = vmull_s8(vget_low_s8(ws[i]), vget_low_s8(xs[i])), high = vmull_high_s8(ws[i], xs[i]);
        parts[i] = vaddq_s32(parts[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
    }
    memcpy(&sum, parts, sizeof sum);
#endif
    return sum;
}
#endif

// MARK: Few tokens

/// Sums of one token, or of few, that are added up apart, so that an addition need not wait for the last.
#define SUMS_APART(tokens) (8 / (tokens) * LANES / 16 > 1 ? 8 / (tokens) * LANES / 16 : 1)

/// How far bits are left of their place: with VNNI few tokens meet them where they lie in their bytes, and the sums are
/// shifted at the end.
INLINE int shift_of(size_t m, size_t apart, block_type type) {
#if defined(VNNI)
    if (type == BLOCK_i2 && apart >= 4) return (int)(2 * (m % 4));
    if (type == BLOCK_i4 && apart >= 2) return m < 4 ? 0 : 4;
#endif
    return 0;
}

/// Which of the sums takes up columns 4m to 4m + 3: one whose columns have the same shift.
INLINE size_t sum_of(size_t m, size_t apart, block_type type) {
    if (type == BLOCK_i4 && apart >= 2) return m / 4 * (apart / 2) + m % (apart / 2);
    return m % apart;
}

INLINE vb shifted_bytes(const uint8_t *b, size_t part, size_t m, int shift, block_type type) {
    if (shift == 0) return integer_bytes(b, part, m, type, 3);
    const size_t unit = type == BLOCK_i2 ? m / 4 : m % 4;
    return load_bytes(b + 64 * unit + 4 * part * LANES) & (vb)(uint8_t)((type == BLOCK_i2 ? 3 : 15) << shift);
}

/// sums[t][part] = the products of all columns with 16 rows.
INLINE void integer_sums(vi sums[][PARTS], const uint8_t *weight, const int8_t *x, size_t columns, size_t tokens,
                         block_type type) {
    const size_t size = 16 * size_of(type).bytes;
#if INTEGER_PAIRS
    // Of 2 bits every second number stays where it is in its byte, at four times its value, and the others are multiplied by
    // four with the pairs.  8 bits are two nibbles, each with pairs of its own.
    const int is_short = type == BLOCK_i2, is_long = type == BLOCK_i8;
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t part = 0; part < PARTS; part++) sums[t][part] = 0;
    for (size_t c = 0; c < columns; c += 32, weight += size) {
        prefetch_weight(weight, size);
        UNROLL for (size_t part = 0; part < PARTS; part++) {
            vi low[PACKED_TOKENS], high[PACKED_TOKENS];
            UNROLL for (size_t t = 0; t < tokens; t++) low[t] = high[t] = 0;
            UNROLL for (size_t m = 0; m < 8; m++) {
                const int is_high = is_short && m % 2;
                const vb w = is_high ? integer_bytes(weight, part, m - 1, type, 12) : integer_bytes(weight, part, m, type, 3);
                UNROLL for (size_t t = 0; t < tokens; t++) {
                    const vi x4 = four_values(x + t * columns + c + 4 * m);
                    if (is_high)
                        high[t] = add_pairs(high[t], w, x4);
                    else
                        low[t] = add_pairs(low[t], is_long ? w & 15 : w, x4);
                    if (is_long) high[t] = add_pairs(high[t], w >> 4, x4);
                }
            }
            UNROLL for (size_t t = 0; t < tokens; t++) {
                sums[t][part] = add_wide(sums[t][part], low[t], is_short ? 4 : 1);
                if (is_short || is_long) sums[t][part] = add_wide(sums[t][part], high[t], is_short ? 1 : 16);
            }
        }
    }
    if (is_short)
        UNROLL for (size_t t = 0; t < tokens; t++)
            UNROLL for (size_t part = 0; part < PARTS; part++) sums[t][part] >>= 2;
#else
    const size_t apart = SUMS_APART(tokens);
    vi some[PACKED_TOKENS][PARTS][8];
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t part = 0; part < PARTS; part++)
            UNROLL for (size_t i = 0; i < apart; i++) some[t][part][i] = 0;
    for (size_t c = 0; c < columns; c += 32, weight += size) {
        prefetch_weight(weight, size);
        UNROLL for (size_t m = 0; m < 8; m++)
            UNROLL for (size_t part = 0; part < PARTS; part++) {
                const vb w = shifted_bytes(weight, part, m, shift_of(m, apart, type), type);
                UNROLL for (size_t t = 0; t < tokens; t++) {
                    vi *sum = &some[t][part][sum_of(m, apart, type)];
                    *sum = add_four(*sum, w, four_values(x + t * columns + c + 4 * m));
                }
            }
    }
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t part = 0; part < PARTS; part++) {
            sums[t][part] = 0;
            UNROLL for (size_t i = 0; i < apart; i++) {
                // Any of the columns that it took up has its shift.
                size_t m = 0;
                UNROLL for (size_t k = 0; k < 8; k++)
                    if (sum_of(k, apart, type) == i) m = k;
                sums[t][part] += some[t][part][i] >> shift_of(m, apart, type);
            }
        }
#endif
}

/// The operands of a product from one token and row on.
typedef struct {
    float *out;
    const uint8_t *weight;
    const float *row_scales;
    integer_rows x;
    const product_shape *shape;
    float out_step;
} integer_operands;

/// The same from token t and row r on.
INLINE integer_operands operands_at(integer_operands o, size_t t, size_t r) {
    o.out += t * o.shape->out_stride + r;
    o.weight += r * o.shape->weight_stride;
    o.row_scales += r;
    o.x.values += t * o.shape->columns;
    o.x.sums += t;
    o.x.scales += t;
    return o;
}

/// The first `rows` of 16 rows times `tokens` tokens.
INLINE void integer_few(integer_operands o, size_t rows, size_t tokens, block_type type) {
    vi sums[PACKED_TOKENS][PARTS];
    integer_sums(sums, o.weight, o.x.values, o.shape->columns, tokens, type);
    UNROLL for (size_t t = 0; t < tokens; t++)
        FOR_PARTS(rows, {
            const vi sum = sums[t][part] - integer_offset(type) * o.x.sums[t];
            const vf scales = load(o.row_scales + part * LANES, n);
            store(o.out + t * o.shape->out_stride + part * LANES,
                  scaled_sums(sum, o.x.scales[t], scales, o.out_step), n);
        });
}

// MARK: Many tokens

/// Unpacks `count` columns of `vectors` vectors of rows: [count / 4][TILE_VECTORS].  With INTEGER_PAIRS 8 bits become two
/// vectors of nibbles, the low ones first.
INLINE void unpack_tile(vb *tile, const uint8_t *weight, size_t stride, size_t first_row, size_t column, size_t count,
                        size_t vectors, block_type type) {
    const size_t size = 16 * size_of(type).bytes;
    for (size_t v = 0; v < vectors; v++) {
        const size_t row = first_row + v * LANES;
        const uint8_t *b = weight + row / 16 * 16 * stride + column / 32 * size;
        for (size_t c = 0; c < count; c += 32, b += size)
            UNROLL for (size_t m = 0; m < 8; m++) {
                vb *target = tile + (c / 4 + m) * TILE_VECTORS;
                const vb w = integer_bytes(b, row % 16 / LANES, m, type, 3);
                if (INTEGER_PAIRS && type == BLOCK_i8) {
                    target[0] = w & 15;
                    target[1] = w >> 4;
                } else {
                    target[v] = w;
                }
            }
    }
}

/// sums[t][v] = the products of the tile's columns with `tokens` tokens.
INLINE void tile_sums(vi sums[][TILE_VECTORS], const vb *tile, const int8_t *x, size_t x_stride, size_t count,
                      size_t tokens, size_t vectors, block_type type) {
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t v = 0; v < vectors; v++) sums[t][v] = 0;
    const int8_t *rows[TILE_TOKENS];
    UNROLL for (size_t t = 0; t < tokens; t++) rows[t] = x + t * x_stride;
#if INTEGER_PAIRS
    // Pairs of 2 bits fit 42 times.
    const size_t together = type == BLOCK_i2 ? 32 : 8;
    for (size_t first = 0; first < count / 4; first += together) {
        vi pairs[TILE_TOKENS][TILE_VECTORS];
        UNROLL for (size_t t = 0; t < tokens; t++)
            UNROLL for (size_t v = 0; v < vectors; v++) pairs[t][v] = 0;
        const size_t end = first + together < count / 4 ? first + together : count / 4;
        for (size_t j = first; j < end; j++)
            UNROLL for (size_t t = 0; t < tokens; t++) {
                const vi x4 = four_values(rows[t] + 4 * j);
                UNROLL for (size_t v = 0; v < vectors; v++)
                    pairs[t][v] = add_pairs(pairs[t][v], tile[j * TILE_VECTORS + v], x4);
            }
        UNROLL for (size_t t = 0; t < tokens; t++)
            UNROLL for (size_t v = 0; v < vectors; v++) sums[t][v] = add_wide(sums[t][v], pairs[t][v], 1);
    }
#else
    for (size_t j = 0; j < count / 4; j++) {
        vb w[TILE_VECTORS];
        UNROLL for (size_t v = 0; v < vectors; v++) w[v] = tile[j * TILE_VECTORS + v];
        UNROLL for (size_t t = 0; t < tokens; t++) {
            const vi x4 = four_values(rows[t] + 4 * j);
            UNROLL for (size_t v = 0; v < vectors; v++) sums[t][v] = add_four(sums[t][v], w[v], x4);
        }
    }
#endif
}

/// What of the columns a tile has.
typedef struct {
    size_t first, count;
    int is_last;
} tile_columns;

/// The tile's columns times `tokens` tokens; `vectors` of rows, of which `rows` rows count.
INLINE void integer_tile(integer_operands o, const vb *tile, tile_columns columns, size_t rows, size_t tokens,
                         size_t vectors, block_type type) {
    vi sums[TILE_TOKENS][TILE_VECTORS];
    const size_t nibbles = INTEGER_PAIRS && type == BLOCK_i8 ? 2 : 1;
    tile_sums(sums, tile, o.x.values + columns.first, o.shape->columns, columns.count, tokens, vectors * nibbles, type);
    UNROLL for (size_t t = 0; t < tokens; t++)
        UNROLL for (size_t v = 0; v < vectors; v++) {
            const size_t n = rows - v * LANES < LANES ? rows - v * LANES : LANES;
            float *place = o.out + t * o.shape->out_stride + v * LANES;
            vi sum = nibbles == 2 ? sums[t][0] + 16 * sums[t][1] : sums[t][v];
            if (columns.first > 0) sum += (vi)load(place, n);
            if (!columns.is_last) {
                store(place, (vf)sum, n);
                continue;
            }
            const vf scales = load(o.row_scales + v * LANES, n);
            sum -= integer_offset(type) * o.x.sums[t];
            store(place, scaled_sums(sum, o.x.scales[t], scales, o.out_step), n);
        }
}

INLINE void integer_tiles(integer_operands o, block_type type) {
    const product_shape *s = o.shape;
    const size_t most = INTEGER_PAIRS && type == BLOCK_i8 ? 1 : TILE_VECTORS;
    vb tile[TILE_COLUMNS / 4 * TILE_VECTORS];
    for (size_t c = 0; c < s->columns; c += TILE_COLUMNS) {
        const size_t left = s->columns - c, count = left < TILE_COLUMNS ? left : TILE_COLUMNS;
        const tile_columns columns = {c, count, count == left};
        for (size_t r = s->first_row; r < s->end_row; r += most * LANES) {
            const size_t rows = s->end_row - r < most * LANES ? s->end_row - r : most * LANES;
            const size_t vectors = (rows + LANES - 1) / LANES;
            unpack_tile(tile, o.weight, s->weight_stride, r, c, count, vectors, type);
            for (size_t t = 0, taken; t < s->tokens; t += taken) {
                integer_operands some = operands_at(o, t, r);
                taken = s->tokens - t >= TILE_TOKENS ? TILE_TOKENS : s->tokens - t >= 4 ? 4 : 1;
#define TILE(tokens, vectors) integer_tile(some, tile, columns, rows, tokens, vectors, type)
                if (vectors == 2 && most == 2) {
                    if (taken == TILE_TOKENS) TILE(TILE_TOKENS, 2);
                    else if (taken == 4) TILE(4, 2);
                    else TILE(1, 2);
                } else {
                    if (taken == TILE_TOKENS) TILE(TILE_TOKENS, 1);
                    else if (taken == 4) TILE(4, 1);
                    else TILE(1, 1);
                }
#undef TILE
            }
        }
    }
}

INLINE void integer_type(integer_operands o, block_type type) {
    const product_shape *s = o.shape;
    if (s->tokens > FEW_TOKENS) return integer_tiles(o, type);
    for (size_t r = s->first_row; r < s->end_row; r += 16) {
        const size_t rows = s->end_row - r < 16 ? s->end_row - r : 16;
        for (size_t t = 0, taken; t < s->tokens; t += taken) {
            const integer_operands some = operands_at(o, t, r);
            const size_t left = s->tokens - t;
            taken = left >= PACKED_TOKENS ? PACKED_TOKENS : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
            switch (taken) {
                case 1: integer_few(some, rows, 1, type); break;
                case 2: integer_few(some, rows, 2, type); break;
#if LANES == 16
                case 4: integer_few(some, rows, 4, type); break;
#endif
#if MANY_REGISTERS
                case 8: integer_few(some, rows, 8, type); break;
#endif
                default: integer_few(some, rows, PACKED_TOKENS, type);
            }
        }
    }
}

static void integer_product(float *out, const uint8_t *weight, const float *row_scales, const integer_rows *x,
                            const product_shape *s, float out_step, block_type type) {
    const integer_operands o = {out, weight, row_scales, *x, s, out_step};
    switch (type) {
        case BLOCK_i2: integer_type(o, BLOCK_i2); break;
        case BLOCK_i4: integer_type(o, BLOCK_i4); break;
        default: integer_type(o, BLOCK_i8);
    }
}

// MARK: Activations

static void quantize_steps(int8_t *out, int32_t *sum, float *scale, const float *x, float step, size_t count) {
    typedef int8_t vs __attribute__((ext_vector_type(LANES)));
    vi sums = 0, is_nan = 0;
    for (size_t i = 0; i < count; i += LANES) {
        vf nearest = nearest_step(load(x + i, LANES), step);
        is_nan |= (vi)(nearest != nearest);
        vi integers = __builtin_convertvector(nearest == nearest ? nearest : (vf)0.0f, vi);
        vs narrow = __builtin_convertvector(integers, vs);
        memcpy(out + i, &narrow, sizeof narrow);
        sums += integers;
    }
    *sum = __builtin_reduce_add(sums);
    *scale = __builtin_reduce_or(is_nan) ? NAN : step;
}

static void round_to_steps(float *out, const float *x, float step, size_t count) {
    FOR_LANES(count, store(out + i, nearest_step(load(x + i, n), step) * step, n));
}
