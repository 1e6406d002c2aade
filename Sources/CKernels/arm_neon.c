// NEON, which every arm64 CPU has: eight lanes are two registers.
#include "vector_includes.h"

#if defined(__aarch64__)
#define LANES 8
#define BLOCK_ROWS 4
#define BLOCK_TOKENS 2
#define SET neon_kernels
#define ISA "neon"
#include "vector-inl.h"
#endif
