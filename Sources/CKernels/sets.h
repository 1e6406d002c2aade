// The sets that dispatch.c chooses from; each is defined in the file of its instruction set.
#ifndef SETS_H
#define SETS_H

#include "CKernels.h"

extern const kernel_set scalar_kernels;
#if defined(__x86_64__)
extern const kernel_set avx2_kernels, avx512_kernels, avx512vnni_kernels;
#elif defined(__aarch64__)
extern const kernel_set neon_kernels;
#endif

#endif
