// AVX2, FMA and F16C: Haswell, Zen and later.
#include "vector_includes.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 8
#define BLOCK_ROWS 4
#define BLOCK_TOKENS 2
#define SET avx2_kernels
#define ISA "avx2"
#include "vector-inl.h"
#pragma clang attribute pop
#endif
