/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_math_driver.c - the elementary functions and activations of one instruction set as a program,
 * for test_simd_math.py: a program and not a library, so that an emulator can run it.
 *
 *   simd_math_driver available                 exit status 0 where the processor has the set
 *   simd_math_driver FUNCTION 32|64 < x > y    for every x three reals: value, derivative, and the
 *                                              value where no derivative is wanted
 *
 * Set on the command line: MLP_SIMD_<ISA>, nothing for generic. Only the functions between the target
 * pragmas use the instruction set, so that the program can say that the processor lacks it.
 */
#include "compiler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if MLP_ARCH_X86_64
#include <immintrin.h>
#elif MLP_ARCH_AARCH64
#include <arm_neon.h>
#endif

#include "cpu.h"

#if defined(MLP_SIMD_AVX512)
MLP_TARGET_BEGIN(MLP_AVX512_SETS)
#define MLP_ISA      avx512
#define MLP_ISA_ENUM MLP_ISA_AVX512
#elif defined(MLP_SIMD_AVX2)
MLP_TARGET_BEGIN(MLP_AVX2_SETS)
#define MLP_ISA      avx2
#define MLP_ISA_ENUM MLP_ISA_AVX2
#elif defined(MLP_SIMD_NEON)
#define MLP_ISA      neon
#define MLP_ISA_ENUM MLP_ISA_NEON
#else
#define MLP_ISA      generic
#define MLP_ISA_ENUM MLP_ISA_GENERIC
#endif
#include "kernels/simd.h"

/* Not a multiple of any register's width: the last one of a block is partly filled. */
#define BLOCK 1003

#define MLP_DTYPE_BITS 32
#include "kernels/real.h"
#include "simd_math_driver_set.h"
#undef MLP_DTYPE_BITS

#define MLP_DTYPE_BITS 64
#include "kernels/real.h"
#include "simd_math_driver_set.h"

#if defined(MLP_SIMD_AVX512) || defined(MLP_SIMD_AVX2)
MLP_TARGET_END
#endif

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "available") == 0)
        return mlp_isa_available(MLP_ISA_ENUM) ? 0 : 1;
    if (argc != 3) return 2;
    return strcmp(argv[2], "32") == 0 ? MLP_NAME(stream, f32, MLP_ISA)(argv[1])
                                      : MLP_NAME(stream, f64, MLP_ISA)(argv[1]);
}
