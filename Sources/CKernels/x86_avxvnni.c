// AVX2 with VNNI: CPUs that have no AVX-512, such as Alder Lake and Sierra Forest.
#include "vector_includes.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avxvnni,avx2,fma,f16c"))), apply_to = function)
#define VNNI
#define LANES 8
#define BLOCK_ROWS 4
#define BLOCK_TOKENS 2
#define SET avxvnni_kernels
#define ISA "avxvnni"
#include "vector-inl.h"
#pragma clang attribute pop
#endif
