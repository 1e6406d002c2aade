// What the compiler is told, and one trick of floating-point arithmetic.
#ifndef COMPILER_H
#define COMPILER_H

#define INLINE static inline __attribute__((always_inline))
/// A loop that is unrolled completely.
#define UNROLL_FOR(...) _Pragma("clang loop unroll(full)") for (__VA_ARGS__)

/// 1.5 * 2^23.  x + it - it is x rounded to the nearest integer, ties to even, for |x| < 2^22: the sum has no bits for
/// fractions, and the low bits of its significand are the integer.
#define ROUND_TO_INTEGER 12582912.0f

#endif
