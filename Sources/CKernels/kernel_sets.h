// The sets that dispatch.c chooses from; each is defined in the file of its instruction set.
#ifndef KERNEL_SETS_H
#define KERNEL_SETS_H

#include "CKernels.h"

extern const kernel_set scalar_kernels;
#if defined(__x86_64__)
extern const kernel_set avx2_kernels, avxvnni_kernels, avx512_kernels, avx512vnni_kernels;
#elif defined(__aarch64__)
extern const kernel_set neon_kernels, neon_dotprod_kernels, neon_i8mm_kernels;
#endif

// clang-format off
/// The kernels that a file defines under their names.
#define KERNELS(name) \
    { \
        .isa = name, \
        .add = add, .multiply = multiply, .multiply_add = multiply_add, .scale = scale, .clamp = clamp, \
        .gelu_multiply = gelu_multiply, .silu = silu, .sigmoid_multiply = sigmoid_multiply, .soft_cap = soft_cap, \
        .maximum = maximum, .exponentials = exponentials, .rms_norm = rms_norm, .layer_norm = layer_norm, \
        .rotate = rotate, .widen_bf16 = widen_bf16, .widen_f16 = widen_f16, .narrow_f16 = narrow_f16, \
        .decode = decode, .f32_product = f32_product, .bf16_product = bf16_product, .f16_product = f16_product, \
        .transpose = transpose, .interleave = interleave, .deinterleave = deinterleave, \
        .panel_product = panel_product, .quantize = quantize, .packed_product = packed_product, \
        .weighted_rows = weighted_rows, \
        .quantize_steps = quantize_steps, .round_to_steps = round_to_steps, .integer_product = integer_product, \
        .attend = attend, .join_softmax = join_softmax, \
        .attend_f16 = attend_f16, .attend_quantized = attend_quantized, \
        .unpack_rotated = unpack_rotated, .attend_rotated_tile = attend_rotated_tile, .hadamard = hadamard, .join_rows = join_rows, \
    }
// clang-format on

#endif
