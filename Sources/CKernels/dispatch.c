// Asks the CPU once which sets it can run.
#include "CKernels.h"
#include "sets.h"

uint32_t cpu_features(void) {
    uint32_t features = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
        features |= CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
        features |= CPU_AVX512;
    if (__builtin_cpu_supports("avx512vnni")) features |= CPU_AVX512_VNNI;
    if (__builtin_cpu_supports("avx512bf16")) features |= CPU_AVX512_BF16;
#elif defined(__aarch64__)
    features |= CPU_NEON;
#endif
    return features;
}

const kernel_set *const *kernel_sets(size_t *count) {
    // Fastest first; those this CPU cannot run are skipped, and they come first too.
#if defined(__x86_64__)
    static const kernel_set *const sets[] = {&avx512vnni_kernels, &avx512_kernels, &avx2_kernels, &scalar_kernels};
    uint32_t features = cpu_features();
    size_t skipped = !(features & CPU_AVX512) ? (features & CPU_AVX2 ? 2 : 3) : !(features & CPU_AVX512_VNNI);
#elif defined(__aarch64__)
    static const kernel_set *const sets[] = {&neon_kernels, &scalar_kernels};
    size_t skipped = 0;
#else
    static const kernel_set *const sets[] = {&scalar_kernels};
    size_t skipped = 0;
#endif
    *count = sizeof sets / sizeof *sets - skipped;
    return sets + skipped;
}
