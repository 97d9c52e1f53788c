/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels_generic.c - every kernel, compiled for generic. */
#include "../compiler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../kernels.h"
#include "../random.h"

/* gcc 12 vectorises the loop of a tile over strided rows of A by loading the next row beside the
 * present one, in the last round one row behind the end: a crash where an array ends with its page.
 * And what few machines run need not be unrolled and cloned as the others are: 50 KB of the wheel. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os", "no-tree-loop-vectorize")
#endif

#define MLP_ISA       generic
#define MLP_TILE_ROWS 4 /* 4 x 2 scalars, which a compiler can keep in registers anywhere */
#define MLP_TILE_VECS 2
#define MLP_FOR_EACH_TILE(use) MLP_TILES_4(use, 1) MLP_TILES_4(use, 2)
/* Scalars have no rows to read in longer runs. */
#define MLP_FOR_EACH_WIDE_1(use)
#define MLP_FOR_EACH_WIDE_2(use)
#define MLP_FOR_EACH_WIDE_3(use)
#define MLP_TURNING_ROWS_f32          1
#define MLP_TURNING_ROWS_f64          1
#define MLP_FOR_EACH_TURNING_f32(use) use(1, 1) use(1, 2)
#define MLP_FOR_EACH_TURNING_f64(use) MLP_FOR_EACH_TURNING_f32(use)
#include "instantiate.h"
