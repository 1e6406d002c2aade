// AVX-512 with VNNI, four products of bytes in a lane: Ice Lake, Zen 4 and later.
#include "vector_includes.h"

#if defined(__x86_64__)
#pragma clang attribute push(                                                                        \
    __attribute__((target("avx512vnni,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#define VNNI
#define LANES 16
#define BLOCK_ROWS 4
#define BLOCK_TOKENS 4
#define SET avx512vnni_kernels
#define ISA "avx512vnni"
#include "vector-inl.h"
#pragma clang attribute pop
#endif
