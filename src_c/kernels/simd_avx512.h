/* SPDX-License-Identifier: BSD-3-Clause */
/* simd_avx512.h - the words of simd.h in AVX-512 (F, DQ, BW, VL). */
#define MLP_VECTOR_BYTES 64

typedef __m512 vec_f32;
typedef __m512d vec_f64;
typedef __mmask16 mask_f32;
typedef __mmask8 mask_f64;
#define mlp_vec  V_(vec)
#define mlp_mask V_(mask)
#define mlp_tail V_(mask)

#define X_(op) MLP_PASTE3(_mm512_, op, MLP_X86_SUFFIX)

#define v_tail(n)             ((mlp_tail)((1u << (n)) - 1u))
#define v_load(p)             X_(loadu)(p)
#define v_store(p, x)         X_(storeu)(p, x)
#define v_load_tail(p, t)     X_(maskz_loadu)(t, p)
#define v_store_tail(p, t, x) X_(mask_storeu)(p, t, x)
#define v_set1(s)             X_(set1)(s)
/* Not setzero: clang has a macro of that name, which would take the pasted suffix twice. */
#define v_zero()                    X_(set1)(0)
#define v_add(a, b)                 X_(add)(a, b)
#define v_sub(a, b)                 X_(sub)(a, b)
#define v_mul(a, b)                 X_(mul)(a, b)
#define v_div(a, b)                 X_(div)(a, b)
#define v_sqrt(a)                   X_(sqrt)(a)
#define v_fma(a, b, c)              X_(fmadd)(a, b, c)
#define v_fnma(a, b, c)             X_(fnmadd)(a, b, c)
#define v_max(a, b)                 X_(max)(a, b)
#define v_min(a, b)                 X_(min)(a, b)
#define v_abs(a)                    X_(andnot)(v_set1(MLP_C(-0.0)), a)
#define v_neg(a)                    X_ (xor)(v_set1(MLP_C(-0.0)), a)
#define v_copysign(magnitude, sign) X_(or)(v_abs(magnitude), X_ (and)(v_set1(MLP_C(-0.0)), sign))
#define v_round(a)                  X_(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define v_lt(a, b)                  V_(compare_lt)(a, b)
#define v_le(a, b)                  V_(compare_le)(a, b)
#define v_eq(a, b)                  V_(compare_eq)(a, b)
#define v_all(mask)                 ((mask) == (mlp_mask) - 1)
#define v_select(mask, a, b)        X_(mask_blend)(mask, b, a)
#define v_any(mask)                 ((mask) != 0)
#define v_pow2(n)                   V_(pow2)(n)
#define v_ldexp(a, n)               X_(scalef)(a, n)
#define v_exponent(a)               X_(getexp)(a)
#define v_mantissa(a)               X_(getmant)(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src)

#define compare_lt_f32(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define compare_lt_f64(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define compare_le_f32(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)
#define compare_le_f64(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)
#define compare_eq_f32(a, b) _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)
#define compare_eq_f64(a, b) _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ)

MLP_INLINE vec_f32 pow2_f32(vec_f32 n) {
    __m512i bits = _mm512_castps_si512(_mm512_add_ps(n, _mm512_set1_ps(MLP_POW2_MAGIC_f32)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
}

MLP_INLINE vec_f64 pow2_f64(vec_f64 n) {
    __m512i bits = _mm512_castpd_si512(_mm512_add_pd(n, _mm512_set1_pd(MLP_POW2_MAGIC_f64)));
    return _mm512_castsi512_pd(_mm512_slli_epi64(bits, 52));
}
