/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.c - from the selected instruction set to its kernel table. */
#include "compiler.h"
#include "kernels.h"

extern const mlp_kernels mlp_kernels_f32_generic, mlp_kernels_f64_generic;
#if MLP_ARCH_X86_64
extern const mlp_kernels mlp_kernels_f32_avx2, mlp_kernels_f64_avx2;
extern const mlp_kernels mlp_kernels_f32_avx512, mlp_kernels_f64_avx512;
#elif MLP_ARCH_AARCH64
extern const mlp_kernels mlp_kernels_f32_neon, mlp_kernels_f64_neon;
#endif

static const mlp_kernels *const tables[MLP_ISA_COUNT][2] = {
    [MLP_ISA_GENERIC] = {&mlp_kernels_f32_generic, &mlp_kernels_f64_generic},
#if MLP_ARCH_X86_64
    [MLP_ISA_AVX2] = {&mlp_kernels_f32_avx2, &mlp_kernels_f64_avx2},
    [MLP_ISA_AVX512] = {&mlp_kernels_f32_avx512, &mlp_kernels_f64_avx512},
#elif MLP_ARCH_AARCH64
    [MLP_ISA_NEON] = {&mlp_kernels_f32_neon, &mlp_kernels_f64_neon},
#endif
};

const mlp_kernels *mlp_kernels_selected(mlp_dtype dtype) {
    return tables[mlp_isa_selected()][dtype];
}

double mlp_multiply_adds(mlp_dtype dtype, size_t n_repeats, double *sum) {
    return mlp_kernels_selected(dtype)->multiply_adds(n_repeats, sum);
}
