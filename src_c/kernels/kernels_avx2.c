/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels_avx2.c - every kernel, compiled for avx2. */
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

MLP_TARGET_BEGIN(MLP_AVX2_SETS)
#define MLP_ISA avx2
#define MLP_SIMD_AVX2
#define MLP_TILE_ROWS            6 /* 6 x 2 accumulators + 2 of B + 1 of A: 15 of 16 registers */
#define MLP_TILE_VECS            2
#define MLP_FOR_EACH_TILE(use)   MLP_TILES_6(use, 1) MLP_TILES_6(use, 2)
#define MLP_FOR_EACH_WIDE_1(use) use(1, 8) use(1, 4)
#define MLP_FOR_EACH_WIDE_2(use) use(2, 4)
#define MLP_FOR_EACH_WIDE_3(use) use(3, 4)
#define MLP_TURNING_ROWS_f32     5
#define MLP_TURNING_ROWS_f64     4
#define MLP_FOR_EACH_TURNING_f32(use) MLP_TILES_5(use, 1) MLP_TILES_5(use, 2)
#define MLP_FOR_EACH_TURNING_f64(use) MLP_TILES_4(use, 1) MLP_TILES_4(use, 2)
#include "instantiate.h"
MLP_TARGET_END
#else
typedef int mlp_kernels_avx2_not_on_this_architecture;
#endif
