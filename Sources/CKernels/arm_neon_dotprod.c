// NEON with the dot product of bytes: Apple's chips, Neoverse, Cortex-A76 and later.
#include "vector_includes.h"

#if defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#define DOT_PRODUCT
#define LANES 8
#define BLOCK_ROWS 4
#define BLOCK_TOKENS 2
#define SET neon_dotprod_kernels
#define ISA "neon-dotprod"
#include "vector-inl.h"
#pragma clang attribute pop
#endif
