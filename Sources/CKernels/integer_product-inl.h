// Included by vector-inl.h, within an instruction set, after packed_product-inl.h.
//
// Products of 2-, 4- and 8-bit integer weights, one scale per row, with int8 activations quantized with static scales:
// a dot product accumulates integers over all columns, exact in any order, and is multiplied by the scales once.
//
// For few tokens the weights are unpacked in registers as they stream from memory.  For many, blocks of columns of a
// few rows are unpacked into a buffer in cache and multiplied by tiles of tokens; partial sums are kept in `out`
// between blocks.

/// Whether products are summed in pairs of 16 bits first, because no instruction sums four of them to 32 bits.
#if defined(__x86_64__) && !defined(VNNI)
#define INTEGER_PAIRS 1
#else
#define INTEGER_PAIRS 0
#endif

/// Vectors of rows of a tile, or with INTEGER_PAIRS of nibbles of one vector, and its tokens.
#define TILE_VECTORS 2
#define TILE_TOKENS (MANY_REGISTERS ? 12 : LANES == 16 ? 8 : 4)
/// Columns that are unpacked at once: 32 KB.
#define TILE_COLUMNS (64 * 1024 / (4 * LANES * TILE_VECTORS) / 2 * 4)

/// The byte that stands for 0; 0 for signed bytes.
INLINE int32_t integer_offset(block_type type) {
    if (type == BLOCK_i2) return 2;
    if (type == BLOCK_i4) return 8;
#if defined(__x86_64__)
    return 128;
#else
    return 0;
#endif
}

/// Columns 4m to 4m + 3 of the packed block at `b`, of LANES rows; of i2 the bits under `mask`.
INLINE vb integer_bytes(const uint8_t *b, size_t part, size_t m, block_type type, uint8_t mask) {
    const size_t row = part * LANES;
    if (type == BLOCK_i2) return load_bytes(FIELD(i2, quants[m / 4][row])) >> (uint8_t)(2 * (m % 4)) & mask;
    if (type == BLOCK_i4)
        return m < 4 ? load_bytes(FIELD(i4, quants[m][row])) & 15 : load_bytes(FIELD(i4, quants[m - 4][row])) >> 4;
#if defined(__x86_64__)
    return load_bytes(FIELD(i8, quants[m][row])) ^ 128;
#else
    return load_bytes(FIELD(i8, quants[m][row]));
#endif
}

/// Four activations in every lane.
INLINE vi broadcast_values(const int8_t *x) {
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

/// Sums times scales, rounded to multiples of `out_step` unless that is 0.
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
    UNROLL_FOR (size_t i = 0; i < LANES / 4; i++) parts[i] = vdotq_s32(parts[i], ws[i], xs[i]);
    memcpy(&sum, parts, sizeof sum);
#elif defined(__aarch64__)
    int32x4_t parts[LANES / 4];
    int8x16_t ws[LANES / 4], xs[LANES / 4];
    memcpy(parts, &sum, sizeof parts);
    memcpy(ws, &w, sizeof ws);
    memcpy(xs, &x4, sizeof xs);
    UNROLL_FOR (size_t i = 0; i < LANES / 4; i++) {
        int16x8_t low = vmull_s8(vget_low_s8(ws[i]), vget_low_s8(xs[i])), high = vmull_high_s8(ws[i], xs[i]);
        parts[i] = vaddq_s32(parts[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
    }
    memcpy(&sum, parts, sizeof sum);
#endif
    return sum;
}
#endif

// MARK: Few tokens

/// Independent sums per row and token: with few tokens several, to hide the latency of an addition.
INLINE size_t independent_sums(size_t tokens) {
    const size_t count = 8 / tokens * LANES / 16;
    return count > 1 ? count : 1;
}

/// By how many bits the weights of columns 4m to 4m + 3 are left of their place: with VNNI and few tokens they are
/// multiplied where they are in their bytes, and the sums are shifted at the end.
INLINE int shift_of(size_t m, size_t sum_count, block_type type) {
#if defined(VNNI)
    if (type == BLOCK_i2 && sum_count >= 4) return (int)(2 * (m % 4));
    if (type == BLOCK_i4 && sum_count >= 2) return m < 4 ? 0 : 4;
#endif
    return 0;
}

/// The index of the sum of columns 4m to 4m + 3: all columns of a sum have the same shift.
INLINE size_t sum_of(size_t m, size_t sum_count, block_type type) {
    if (type == BLOCK_i4 && sum_count >= 2) return m / 4 * (sum_count / 2) + m % (sum_count / 2);
    return m % sum_count;
}

INLINE vb shifted_bytes(const uint8_t *b, size_t part, size_t m, int shift, block_type type) {
    if (shift == 0) return integer_bytes(b, part, m, type, 3);
    const size_t quad = type == BLOCK_i2 ? m / 4 : m % 4;
    return load_bytes(FIELD(i4, quants[quad][part * LANES])) & (vb)(uint8_t)((type == BLOCK_i2 ? 3 : 15) << shift);
}

/// sums[t][part] = the products of all columns with PACKED_ROWS rows.
INLINE void integer_sums(vi sums[][PARTS], const uint8_t *weight, const int8_t *x, size_t columns, size_t tokens,
                         block_type type) {
    const size_t block_bytes = packed_size(type).bytes;
#if INTEGER_PAIRS
    // i2: every second weight stays where it is in its byte, at four times its value; the pairs of the others are
    // multiplied by four.  i8: the two nibbles have pairs of their own.
    const int is_short = type == BLOCK_i2, is_long = type == BLOCK_i8;
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) sums[t][part] = 0;
    for (size_t c = 0; c < columns; c += 32, weight += block_bytes) {
        prefetch_weight(weight, block_bytes);
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
            vi low[PACKED_TOKENS], high[PACKED_TOKENS];
            UNROLL_FOR (size_t t = 0; t < tokens; t++) low[t] = high[t] = 0;
            UNROLL_FOR (size_t m = 0; m < 8; m++) {
                const int is_high = is_short && m % 2;
                const vb w =
                    is_high ? integer_bytes(weight, part, m - 1, type, 12) : integer_bytes(weight, part, m, type, 3);
                UNROLL_FOR (size_t t = 0; t < tokens; t++) {
                    const vi x4 = broadcast_values(x + t * columns + c + 4 * m);
                    if (is_high)
                        high[t] = add_pairs(high[t], w, x4);
                    else
                        low[t] = add_pairs(low[t], is_long ? w & 15 : w, x4);
                    if (is_long) high[t] = add_pairs(high[t], w >> 4, x4);
                }
            }
            UNROLL_FOR (size_t t = 0; t < tokens; t++) {
                sums[t][part] = add_wide(sums[t][part], low[t], is_short ? 4 : 1);
                if (is_short || is_long) sums[t][part] = add_wide(sums[t][part], high[t], is_short ? 1 : 16);
            }
        }
    }
    if (is_short)
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) sums[t][part] >>= 2;
#else
    const size_t sum_count = independent_sums(tokens);
    vi partial[PACKED_TOKENS][PARTS][8];
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t part = 0; part < PARTS; part++)
            UNROLL_FOR (size_t i = 0; i < sum_count; i++) partial[t][part][i] = 0;
    for (size_t c = 0; c < columns; c += 32, weight += block_bytes) {
        prefetch_weight(weight, block_bytes);
        UNROLL_FOR (size_t m = 0; m < 8; m++)
            UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
                const vb w = shifted_bytes(weight, part, m, shift_of(m, sum_count, type), type);
                UNROLL_FOR (size_t t = 0; t < tokens; t++) {
                    vi *sum = &partial[t][part][sum_of(m, sum_count, type)];
                    *sum = add_four(*sum, w, broadcast_values(x + t * columns + c + 4 * m));
                }
            }
    }
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t part = 0; part < PARTS; part++) {
            sums[t][part] = 0;
            UNROLL_FOR (size_t i = 0; i < sum_count; i++) {
                // All columns of a sum have the same shift: take any.
                size_t m = 0;
                UNROLL_FOR (size_t k = 0; k < 8; k++)
                    if (sum_of(k, sum_count, type) == i) m = k;
                sums[t][part] += partial[t][part][i] >> shift_of(m, sum_count, type);
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

/// The first `rows` of PACKED_ROWS rows times `tokens` tokens.
INLINE void integer_few(integer_operands o, size_t rows, size_t tokens, block_type type) {
    vi sums[PACKED_TOKENS][PARTS];
    integer_sums(sums, o.weight, o.x.values, o.shape->columns, tokens, type);
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        FOR_PARTS(part, n, rows, {
            const vi sum = sums[t][part] - integer_offset(type) * o.x.sums[t];
            const vf scales = load(o.row_scales + part * LANES, n);
            store(o.out + t * o.shape->out_stride + part * LANES, scaled_sums(sum, o.x.scales[t], scales, o.out_step),
                  n);
        });
}

// MARK: Many tokens

/// Unpacks `count` columns of `vectors` vectors of rows: [count / 4][TILE_VECTORS].  With INTEGER_PAIRS 8 bits become
/// two vectors of nibbles, the low ones first.
INLINE void unpack_tile(vb *tile, const uint8_t *weight, size_t stride, size_t first_row, size_t column, size_t count,
                        size_t vectors, block_type type) {
    const size_t block_bytes = packed_size(type).bytes;
    for (size_t v = 0; v < vectors; v++) {
        const size_t row = first_row + v * LANES;
        const uint8_t *b = weight + row / PACKED_ROWS * PACKED_ROWS * stride + column / BLOCK * block_bytes;
        for (size_t c = 0; c < count; c += BLOCK, b += block_bytes)
            UNROLL_FOR (size_t m = 0; m < 8; m++) {
                vb *target = tile + (c / 4 + m) * TILE_VECTORS;
                const vb w = integer_bytes(b, row % PACKED_ROWS / LANES, m, type, 3);
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
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) sums[t][v] = 0;
    const int8_t *rows[TILE_TOKENS];
    UNROLL_FOR (size_t t = 0; t < tokens; t++) rows[t] = x + t * x_stride;
#if INTEGER_PAIRS
    // 16 bits hold 42 pairs of products of 2 bits, 8 of 4 bits.
    const size_t max_pairs = type == BLOCK_i2 ? 32 : 8;
    for (size_t begin = 0; begin < count / 4; begin += max_pairs) {
        vi pairs[TILE_TOKENS][TILE_VECTORS];
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            UNROLL_FOR (size_t v = 0; v < vectors; v++) pairs[t][v] = 0;
        const size_t end = begin + max_pairs < count / 4 ? begin + max_pairs : count / 4;
        for (size_t j = begin; j < end; j++)
            UNROLL_FOR (size_t t = 0; t < tokens; t++) {
                const vi x4 = broadcast_values(rows[t] + 4 * j);
                UNROLL_FOR (size_t v = 0; v < vectors; v++)
                    pairs[t][v] = add_pairs(pairs[t][v], tile[j * TILE_VECTORS + v], x4);
            }
        UNROLL_FOR (size_t t = 0; t < tokens; t++)
            UNROLL_FOR (size_t v = 0; v < vectors; v++) sums[t][v] = add_wide(sums[t][v], pairs[t][v], 1);
    }
#else
    for (size_t j = 0; j < count / 4; j++) {
        vb w[TILE_VECTORS];
        UNROLL_FOR (size_t v = 0; v < vectors; v++) w[v] = tile[j * TILE_VECTORS + v];
        UNROLL_FOR (size_t t = 0; t < tokens; t++) {
            const vi x4 = broadcast_values(rows[t] + 4 * j);
            UNROLL_FOR (size_t v = 0; v < vectors; v++) sums[t][v] = add_four(sums[t][v], w[v], x4);
        }
    }
#endif
}

/// The columns of a tile.
typedef struct {
    size_t first, count;
    int is_last;
} tile_columns;

/// The tile's columns times `tokens` tokens, for `rows` rows in `vectors` vectors.
INLINE void integer_tile(integer_operands o, const vb *tile, tile_columns columns, size_t rows, size_t tokens,
                         size_t vectors, block_type type) {
    vi sums[TILE_TOKENS][TILE_VECTORS];
    const size_t nibbles = INTEGER_PAIRS && type == BLOCK_i8 ? 2 : 1;
    tile_sums(sums, tile, o.x.values + columns.first, o.shape->columns, columns.count, tokens, vectors * nibbles, type);
    UNROLL_FOR (size_t t = 0; t < tokens; t++)
        UNROLL_FOR (size_t v = 0; v < vectors; v++) {
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
    const size_t max_vectors = INTEGER_PAIRS && type == BLOCK_i8 ? 1 : TILE_VECTORS, max_rows = max_vectors * LANES;
    vb tile[TILE_COLUMNS / 4 * TILE_VECTORS];
    for (size_t c = 0; c < s->columns; c += TILE_COLUMNS) {
        const size_t remaining = s->columns - c, count = remaining < TILE_COLUMNS ? remaining : TILE_COLUMNS;
        const tile_columns columns = {c, count, count == remaining};
        for (size_t r = s->first_row; r < s->end_row; r += max_rows) {
            const size_t rows = s->end_row - r < max_rows ? s->end_row - r : max_rows;
            const size_t vectors = (rows + LANES - 1) / LANES;
            unpack_tile(tile, o.weight, s->weight_stride, r, c, count, vectors, type);
            for (size_t t = 0, tokens; t < s->tokens; t += tokens) {
                integer_operands operands = operands_at(o, t, r);
                tokens = s->tokens - t >= TILE_TOKENS ? TILE_TOKENS : s->tokens - t >= 4 ? 4 : 1;
#define TILE(tokens, vectors) integer_tile(operands, tile, columns, rows, tokens, vectors, type)
                if (vectors == 2 && max_vectors == 2) {
                    if (tokens == TILE_TOKENS)
                        TILE(TILE_TOKENS, 2);
                    else if (tokens == 4)
                        TILE(4, 2);
                    else
                        TILE(1, 2);
                } else {
                    if (tokens == TILE_TOKENS)
                        TILE(TILE_TOKENS, 1);
                    else if (tokens == 4)
                        TILE(4, 1);
                    else
                        TILE(1, 1);
                }
#undef TILE
            }
        }
    }
}

INLINE void integer_type(integer_operands o, block_type type) {
    const product_shape *s = o.shape;
    if (s->tokens > FEW_TOKENS) return integer_tiles(o, type);
    for (size_t r = s->first_row; r < s->end_row; r += PACKED_ROWS) {
        const size_t rows = s->end_row - r < PACKED_ROWS ? s->end_row - r : PACKED_ROWS;
        for (size_t t = 0, tokens; t < s->tokens; t += tokens) {
            const integer_operands operands = operands_at(o, t, r);
            const size_t remaining = s->tokens - t;
            tokens = remaining >= PACKED_TOKENS ? PACKED_TOKENS
                     : remaining >= 8           ? 8
                     : remaining >= 4           ? 4
                     : remaining >= 2           ? 2
                                                : 1;
            switch (tokens) {
                case 1: integer_few(operands, rows, 1, type); break;
                case 2: integer_few(operands, rows, 2, type); break;
#if LANES == 16
                case 4: integer_few(operands, rows, 4, type); break;
#endif
#if MANY_REGISTERS
                case 8: integer_few(operands, rows, 8, type); break;
#endif
                default: integer_few(operands, rows, PACKED_TOKENS, type);
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
