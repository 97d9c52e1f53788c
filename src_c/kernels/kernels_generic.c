/* SPDX-License-Identifier: BSD-3-Clause */
/* kernels_generic.c - every kernel, compiled for generic. */
#include "../compiler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../kernels.h"

#define MLP_ISA generic
#define MLP_ISA_ENUM MLP_ISA_GENERIC
#define MLP_TILE_ROWS 4 /* 4 x 4 scalars, which a compiler can keep in registers anywhere */
#define MLP_TILE_VECS 4
#define MLP_FOR_EACH_TILE(use) MLP_TILES_4(use, 1) MLP_TILES_4(use, 2) MLP_TILES_4(use, 3) MLP_TILES_4(use, 4)
#include "instantiate.h"
