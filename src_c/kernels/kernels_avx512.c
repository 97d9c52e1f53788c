/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels_avx512.c - every kernel, compiled for avx512. */
#include "../compiler.h"

#if MLP_ARCH_X86_64
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>

#include "../kernels.h"
#include "../random.h"

MLP_TARGET_BEGIN(MLP_AVX512_SETS)
#define MLP_ISA avx512
#define MLP_SIMD_AVX512
#define MLP_TILE_ROWS            14 /* 14 x 2 accumulators + 2 of B + 1 of A: 31 of 32 registers */
#define MLP_TILE_VECS            2
#define MLP_FOR_EACH_TILE(use)   MLP_TILES_14(use, 1) MLP_TILES_14(use, 2)
#define MLP_FOR_EACH_WIDE_1(use) use(1, 16) use(1, 8) use(1, 4)
#define MLP_FOR_EACH_WIDE_2(use) use(2, 8) use(2, 4)
#define MLP_FOR_EACH_WIDE_3(use) use(3, 8) use(3, 4)
#define MLP_TURNING_ROWS_f32     10
#define MLP_TURNING_ROWS_f64     6
#define MLP_FOR_EACH_TURNING_f32(use) MLP_TILES_10(use, 1) MLP_TILES_10(use, 2)
#define MLP_FOR_EACH_TURNING_f64(use) MLP_TILES_6(use, 1) MLP_TILES_6(use, 2)
#include "instantiate.h"
MLP_TARGET_END
#else
typedef int mlp_kernels_avx512_not_on_this_architecture;
#endif
