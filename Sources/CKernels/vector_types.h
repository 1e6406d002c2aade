// What vector.h needs of other headers, included before an instruction set is switched on.
#include "CKernels.h"
#include "grid_blocks.h"
#include "sets.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
