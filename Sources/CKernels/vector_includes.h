// The headers that vector-inl.h needs, included before an instruction set is enabled: their functions belong to no set.
#ifndef VECTOR_INCLUDES_H
#define VECTOR_INCLUDES_H

#include "CKernels.h"
#include "compiler.h"
#include "grid_blocks.h"
#include "kernel_sets.h"
#include "packed_layout.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#endif
