// NEON with products of matrices of bytes: Apple's M2, Neoverse V1 and N2, Cortex-A710 and later.
#include "vector_includes.h"

#if defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#define DOT_PRODUCT
#define MATRIX_PRODUCT
#define LANES 8
#define BLOCK_ROWS 4
#define BLOCK_TOKENS 2
#define SET neon_i8mm_kernels
#define ISA "neon-i8mm"
#include "vector-inl.h"
#pragma clang attribute pop
#endif
