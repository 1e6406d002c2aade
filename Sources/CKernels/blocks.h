// Conversions of the element types that weights are stored in.
#ifndef BLOCKS_H
#define BLOCKS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/// BF16 is the upper half of an f32.
static inline float bf16_to_f32(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 fraction bits.
static inline float f16_to_f32(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                      : exponent == 0 ? ldexpf((float)fraction, -24)
                                      : ldexpf((float)(fraction | 1024), exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

#endif
