// Scalar conversions of bf16 and f16.
#ifndef FLOAT_FORMATS_H
#define FLOAT_FORMATS_H

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

/// Rounds to nearest, ties to even; infinity from 65520 on.
static inline uint16_t f32_to_f16(float value) {
    float magnitude = fabsf(value);
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value)) return sign | 0x7E00;
    if (magnitude >= 65520) return sign | 0x7C00;
    if (magnitude < 0x1p-14f) return sign | (uint16_t)rintf(magnitude * 0x1p24f);
    int exponent = ilogbf(magnitude);
    // A fraction that is rounded up to 2048 carries into the exponent.
    return sign | (uint16_t)(((exponent + 14) << 10) + (int)rintf(ldexpf(magnitude, 10 - exponent)));
}

#endif
