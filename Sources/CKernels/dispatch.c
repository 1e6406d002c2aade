// Asks the CPU once which sets it can run.
#include "CKernels.h"
#include "kernel_sets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

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
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && eax & 1 << 4) features |= CPU_AVX_VNNI;
#elif defined(__aarch64__)
    features |= CPU_NEON;
#if defined(__APPLE__)
    features |= CPU_DOT_PRODUCT;
    int has_i8mm = 0;
    size_t size = sizeof has_i8mm;
    if (!sysctlbyname("hw.optional.arm.FEAT_I8MM", &has_i8mm, &size, NULL, 0) && has_i8mm) features |= CPU_I8MM;
#elif defined(__linux__) && defined(HWCAP_ASIMDDP)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) features |= CPU_DOT_PRODUCT;
#if defined(HWCAP2_I8MM)
    if (getauxval(AT_HWCAP2) & HWCAP2_I8MM) features |= CPU_I8MM;
#endif
#endif
#endif
    return features;
}

/// A set and the features that it needs, all of them.
typedef struct {
    const kernel_set *set;
    uint32_t needs;
} candidate;

static const candidate candidates[] = {
// fastest first
#if defined(__x86_64__)
    {&avx512vnni_kernels, CPU_AVX512 | CPU_AVX512_VNNI | CPU_AVX2},
    {&avxvnni_kernels, CPU_AVX_VNNI | CPU_AVX2},
    {&avx512_kernels, CPU_AVX512 | CPU_AVX2},
    {&avx2_kernels, CPU_AVX2},
#elif defined(__aarch64__)
    {&neon_i8mm_kernels, CPU_I8MM | CPU_DOT_PRODUCT},
    {&neon_dotprod_kernels, CPU_DOT_PRODUCT},
    {&neon_kernels, CPU_NEON},
#endif
    {&scalar_kernels, 0},
};

static const kernel_set *sets[sizeof candidates / sizeof *candidates];
static size_t set_count;

/// Before anyone can ask, while the program is loaded.
__attribute__((constructor)) static void find_sets(void) {
    uint32_t features = cpu_features();
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        if ((features & candidates[i].needs) == candidates[i].needs) sets[set_count++] = candidates[i].set;
}

const kernel_set *const *kernel_sets(size_t *count) {
    *count = set_count;
    return sets;
}
