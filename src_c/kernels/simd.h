/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd.h - the vector vocabulary in which every kernel is written.
 *
 * One file per instruction set gives the same words for both dtypes; a template never names an
 * intrinsic. The words are macros that expand late, so `v_add` is float inside the float inclusion
 * of a template and double inside the other.
 *
 *   mlp_vec                a register of MLP_LANES reals
 *   mlp_tail               which lanes of a last, partial register are in use (v_tail(n), 1 <= n <= MLP_LANES)
 *   mlp_mask               one truth value a lane
 *
 *   v_load(p) v_store(p, x)                   any alignment
 *   v_load_tail(p, t) v_store_tail(p, t, x)   lanes outside t: read as 0, never touched in memory
 *   v_set1(s) v_zero()
 *   v_add v_sub v_mul v_div (a, b)  v_sqrt(a)
 *   v_fma(a, b, c) = a b + c    v_fnma(a, b, c) = c - a b     one rounding wherever the ISA has FMA;
 *                                                             two on the generic path
 *   v_max(a, b) = a > b ? a : b   v_min(a, b) = a < b ? a : b     NaN in either operand gives b
 *   v_abs(a)  v_neg(a)  v_copysign(magnitude, sign)
 *   v_round(a)                 nearest integer, ties to even
 *   v_lt v_le v_eq (a, b)      ordered comparisons: false where a lane is NaN
 *   v_all(mask)                whether all lanes are set
 *   v_select(mask, a, b)       mask ? a : b
 *   v_any(mask)                whether a lane is true
 *   v_pow2(n)                  2^n for an integer-valued n that gives a normal number
 *   v_ldexp(a, n)              a 2^n, rounded once, for an integer-valued n, |n| <= 240 in float and
 *                              2000 in double; a 2^(n/2) is normal, 0 or not finite, or n is 0
 *   v_exponent(a) v_mantissa(a)   a = mantissa 2^exponent, 1 <= mantissa < 2, for normal a > 0
 *   v_turn(...)              a square block turned, see simd_transpose.h
 *
 * Every word is exact or correctly rounded, hence has the same bits on every instruction set.
 */
#ifndef MLP_SIMD_H
#define MLP_SIMD_H

#define MLP_LANES (MLP_VECTOR_BYTES / sizeof(mlp_real))

/* Adding this constant to an integer-valued n leaves n + bias in the low bits of the significand,
 * from where a shift moves it into the exponent field: 1.5 * 2^23 + 127 and 1.5 * 2^52 + 1023. */
#define MLP_POW2_MAGIC_f32 12583039.0f
#define MLP_POW2_MAGIC_f64 6755399441056767.0
/* 1.5 * 2^23 + 2 * 127 and 1.5 * 2^52 + 2 * 1023: n + 2 bias, to be split into two exponents. */
#define MLP_LDEXP_MAGIC_f32 12583166.0f
#define MLP_LDEXP_MAGIC_f64 6755399441057790.0
/* The bits of 2^23 and 2^52, below which an integer is its own significand. */
#define MLP_INT_MAGIC_f32 0x4B000000
#define MLP_INT_MAGIC_f64 0x4330000000000000LL

#define MLP_WORD_(word, tag) word##_##tag
#define MLP_WORD(word, tag)  MLP_WORD_(word, tag)
#define V_(word)             MLP_WORD(word, MLP_TAG)

#if defined(MLP_SIMD_AVX512)
#include "simd_avx512.h"
#elif defined(MLP_SIMD_AVX2)
#include "simd_avx2.h"
#elif defined(MLP_SIMD_NEON)
#include "simd_neon.h"
#else
#include "simd_generic.h"
#endif
#include "simd_transpose.h"

#endif
