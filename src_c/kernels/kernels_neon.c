/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels_neon.c - every kernel, compiled for neon. */
#include "../compiler.h"

#if MLP_ARCH_AARCH64
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <arm_neon.h>

#include "../kernels.h"
#include "../random.h"

#define MLP_ISA neon
#define MLP_SIMD_NEON
#define MLP_TILE_ROWS            12 /* 12 x 2 accumulators + 2 of B + 1 of A: 27 of 32 registers */
#define MLP_TILE_VECS            2
#define MLP_FOR_EACH_TILE(use)   MLP_TILES_12(use, 1) MLP_TILES_12(use, 2)
#define MLP_FOR_EACH_WIDE_1(use) use(1, 16) use(1, 8) use(1, 4)
#define MLP_FOR_EACH_WIDE_2(use) use(2, 8) use(2, 4)
#define MLP_FOR_EACH_WIDE_3(use) use(3, 8) use(3, 4)
#define MLP_TURNING_ROWS_f32     2
#define MLP_TURNING_ROWS_f64     2
#define MLP_FOR_EACH_TURNING_f32(use) use(1, 1) use(2, 1) use(1, 2) use(2, 2)
#define MLP_FOR_EACH_TURNING_f64(use) MLP_FOR_EACH_TURNING_f32(use)
#include "instantiate.h"
#else
typedef int mlp_kernels_neon_not_on_this_architecture;
#endif
