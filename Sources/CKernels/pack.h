// The order of the bytes of a packed weight.
#ifndef PACK_H
#define PACK_H

#include "CKernels.h"

/// Bytes of one row's block from a packed one.
void unpack(uint8_t *block, const uint8_t *packed, size_t row, block_type type);

#endif
