// The sets that dispatch.c chooses from; each is defined in the file of its instruction set.
#ifndef SETS_H
#define SETS_H

#include "CKernels.h"

extern const kernel_set scalar_kernels;

#endif
