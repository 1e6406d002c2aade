// The order of the bytes of a packed weight.
#ifndef PACK_H
#define PACK_H

#include "CKernels.h"

/// Bytes of one row's block from a packed one.  Those of the grid types are f16 d; for each group a scale of 4 bits, that of
/// an even group in the low half of a byte; and for 32 columns each the numbers of their values, see packed_number.
void unpack(uint8_t *block, const uint8_t *packed, size_t row, block_type type);

/// The number of column c of 32 of a grid type.
///
/// Of 4 bits, 16 bytes: a low half for each of the first 16 columns, a high half for the others.
/// Of 3 bits, 3 times 4 bytes for 8 times 4 columns: two numbers in the lower 6 bits of each byte; the upper bits of the first
/// and second 4 bytes are the magnitudes of the last 8 columns, those of the third their signs.
static inline uint8_t packed_number(const uint8_t *b, size_t c, size_t bits) {
    if (bits == 4) return b[c % 16] >> 4 * (c / 16) & 15;
    const size_t four = c / 4, place = c % 4;
    if (four < 6) return b[4 * (four / 2) + place] >> 3 * (four % 2) & 7;
    return (uint8_t)(b[4 * (four - 6) + place] >> 6 | (b[8 + place] >> four & 1) << 2);
}

#endif
