/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * instantiate.h - every kernel for one instruction set, both dtypes, and its two tables.
 *
 * Set before: MLP_ISA (the suffix of all names), MLP_SIMD_<ISA>, MLP_TILE_ROWS, MLP_TILE_VECS,
 * MLP_FOR_EACH_TILE(use), for rows 1, 2, 3 MLP_FOR_EACH_WIDE_<rows>(use), and for rows up to
 * MLP_TURNING_ROWS_<dtype> MLP_FOR_EACH_TURNING_<dtype>(use). The tile counts are literal lists because
 * they become function names.
 */
#define MLP_TILES_4(use, vecs)  use(1, vecs) use(2, vecs) use(3, vecs) use(4, vecs)
#define MLP_TILES_5(use, vecs)  MLP_TILES_4(use, vecs) use(5, vecs)
#define MLP_TILES_6(use, vecs)  MLP_TILES_5(use, vecs) use(6, vecs)
#define MLP_TILES_8(use, vecs)  MLP_TILES_6(use, vecs) use(7, vecs) use(8, vecs)
#define MLP_TILES_10(use, vecs) MLP_TILES_8(use, vecs) use(9, vecs) use(10, vecs)
#define MLP_TILES_12(use, vecs) MLP_TILES_10(use, vecs) use(11, vecs) use(12, vecs)
#define MLP_TILES_14(use, vecs) MLP_TILES_12(use, vecs) use(13, vecs) use(14, vecs)

#include "simd.h"

#define MLP_DTYPE_BITS 32
#include "real.h"
#include "kernel_set.h"
#undef MLP_DTYPE_BITS

#define MLP_DTYPE_BITS 64
#include "real.h"
#include "kernel_set.h"
