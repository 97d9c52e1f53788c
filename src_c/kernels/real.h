/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * real.h - the dtype parameter of every kernel template.
 *
 * No include guard: instantiate.h includes this file once for each dtype, after it has defined
 *
 *   MLP_DTYPE_BITS   32 or 64
 *   MLP_ISA          generic, avx2, avx512 or neon (once per translation unit)
 *
 * and a template then sees
 *
 *   mlp_real         float or double
 *   MLP_REAL(name)   name_f32_avx2 and so on: a symbol's name carries dtype and instruction set,
 *                    so that a profiler shows which path ran
 *   MLP_C(x)         the constant x in this dtype
 *   MLP_EPSILON      the distance from 1 to the next number
 */
#undef mlp_real
#undef MLP_TAG
#undef MLP_EPSILON
#undef MLP_X86_SUFFIX
#undef MLP_NEON_SUFFIX

#if MLP_DTYPE_BITS == 32
#define mlp_real        float
#define MLP_TAG         f32
#define MLP_EPSILON     FLT_EPSILON
#define MLP_X86_SUFFIX  _ps
#define MLP_NEON_SUFFIX _f32
#elif MLP_DTYPE_BITS == 64
#define mlp_real        double
#define MLP_TAG         f64
#define MLP_EPSILON     DBL_EPSILON
#define MLP_X86_SUFFIX  _pd
#define MLP_NEON_SUFFIX _f64
#else
#error "MLP_DTYPE_BITS is 32 or 64"
#endif

#ifndef MLP_REAL
#define MLP_NAME_(name, tag, isa) name##_##tag##_##isa
#define MLP_NAME(name, tag, isa)  MLP_NAME_(name, tag, isa)
#define MLP_REAL(name)            MLP_NAME(name, MLP_TAG, MLP_ISA)
#define MLP_C(x)                  ((mlp_real)(x))
#endif
