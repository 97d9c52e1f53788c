/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_math_template.h - exp, expm1, log and log1p of a register, in the words of simd.h alone.
 *
 * Parameters: mlp_real, MLP_REAL, MLP_C (real.h). No branch, no table, the same operations in the
 * same order everywhere: a result has the same bits on every instruction set with a fused
 * multiply-add. Denormal arguments and results are kept, NaN goes through.
 *
 * The coefficients (math_coefficients.h) are minimax fits of tools/fit_polynomials.py; 4 and 9 is
 * the degree of a polynomial for float32 and for float64. Largest errors in ULP with FMA, measured
 * by tools/ulp.c over all 2^32 float32, and over 8.4 * 10^6 float64 of all magnitudes:
 *
 *              exp    expm1   log    log1p
 *   float32    0.92   1.26    0.96   0.96
 *   float64    0.87   1.21    0.92   0.90
 */
#include "math_coefficients.h"

/* Beyond these e^x, and z e^z with it, is 0 or infinite. */
#define MLP_EXP_LOW  MLP_PICK(-110.0f, -760.0)
#define MLP_EXP_HIGH MLP_PICK(90.0f, 711.0)
/* 2^n is no infinity up to the first, and far from the denormals from the second on. */
#define MLP_EXPONENT_HIGH MLP_PICK(127.0f, 1023.0)
#define MLP_EXPONENT_SAFE MLP_PICK(-100.0f, -960.0)
/* 2^64 lifts every denormal into the normal range. */
#define MLP_SMALLEST_NORMAL MLP_PICK(FLT_MIN, DBL_MIN)

/* c[0] + c[1] x + ..., a polynomial in x^2 whose coefficients are pairs c[i] + c[i + 1] x: half the
 * latency of Horner's chain, and one multiplication more. */
MLP_INLINE mlp_vec MLP_REAL(polynomial)(mlp_vec x, const mlp_real *c, int n_terms) {
    const mlp_vec x2 = v_mul(x, x);
    int i = n_terms - 1 - n_terms % 2;
    mlp_vec sum = v_fma(v_set1(c[i]), x, v_set1(c[i - 1]));
    if (n_terms % 2 == 1) sum = v_fma(v_set1(c[n_terms - 1]), x2, sum);
    MLP_UNROLL
    for (i -= 2; i > 0; i -= 2)
        sum = v_fma(sum, x2, v_fma(v_set1(c[i]), x, v_set1(c[i - 1])));
    return sum;
}

#undef MLP_POLYNOMIAL
#define MLP_POLYNOMIAL(x, terms) \
    MLP_REAL(polynomial)(x, V_(terms), (int)(sizeof V_(terms) / sizeof V_(terms)[0]))

/*
 * x = n ln 2 + r with |r| <= ln 2 / 2 and r = *high + *low: high is exact, for n times the high
 * part of ln 2 is, and so is the difference.
 */
MLP_INLINE mlp_vec MLP_REAL(exp_reduce)(mlp_vec x, mlp_vec *high, mlp_vec *low) {
    mlp_vec n = v_round(v_mul(x, v_set1(MLP_C(1.4426950408889634))));
    *high = v_fnma(n, v_set1(MLP_LN2_HIGH), x);
    *low = v_mul(n, v_set1(-MLP_LN2_LOW));
    return n;
}

/* e^r - 1 - high = low + r^2 p(r), p of degree 4 and 9. */
MLP_INLINE mlp_vec MLP_REAL(exp_tail)(mlp_vec high, mlp_vec low) {
    mlp_vec r = v_add(high, low);
    mlp_vec p = MLP_POLYNOMIAL(r, exp_terms);
    return v_fma(v_mul(r, r), p, low);
}

/*
 * e^x for every x: e^r 2^n. Two factors make up 2^n, since one cannot reach the denormals or the
 * last binade; the first product is exact, so a denormal is rounded once.
 */
MLP_INLINE mlp_vec MLP_REAL(vec_exp)(mlp_vec x) {
    mlp_vec inside = v_max(v_set1(MLP_EXP_LOW), x);
    inside = v_min(v_set1(MLP_EXP_HIGH), inside);
    mlp_vec high, low;
    mlp_vec n = MLP_REAL(exp_reduce)(inside, &high, &low);
    mlp_vec tail = MLP_REAL(exp_tail)(high, low);
    mlp_vec power = v_add(v_set1(MLP_C(1)), v_add(high, tail));
    return v_ldexp(power, n);
}

/* e^r 2^n - 1 for a normal 2^n. Where the two nearly cancel, 2^n high + (2^n - 1) is exact. */
MLP_INLINE mlp_vec MLP_REAL(expm1_scaled)(mlp_vec n, mlp_vec high, mlp_vec tail) {
    mlp_vec power = v_pow2(n);
    mlp_vec power_m1 = v_sub(power, v_set1(MLP_C(1)));
    return v_fma(power, tail, v_fma(power, high, power_m1));
}

/* e^x - 1 for every x; below -60 it is -1 in either dtype. */
MLP_INLINE mlp_vec MLP_REAL(vec_expm1)(mlp_vec x) {
    mlp_vec inside = v_max(v_set1(MLP_C(-60)), x);
    inside = v_min(v_set1(MLP_EXP_HIGH), inside);
    mlp_vec high, low;
    mlp_vec n = MLP_REAL(exp_reduce)(inside, &high, &low);
    mlp_vec n_normal = v_min(v_set1(MLP_EXPONENT_HIGH), n);
    mlp_vec n_rest = v_sub(n, n_normal);
    mlp_vec tail = MLP_REAL(exp_tail)(high, low);
    mlp_vec result = MLP_REAL(expm1_scaled)(n_normal, high, tail);
    result = v_mul(result, v_pow2(n_rest));
    return v_copysign(result, x);
}

/*
 * k ln 2 + log(1 + f) for f in [-0.25, 0.5] and an integer k: log(1 + f) = f - f^2 / 2 + f^3 p(f),
 * p of degree 7 and 18. The sum of the two large terms is kept with its rounding error, because it
 * may cancel.
 */
MLP_INLINE mlp_vec MLP_REAL(log_reduced)(mlp_vec k, mlp_vec f) {
    mlp_vec p = MLP_POLYNOMIAL(f, log_terms);
    mlp_vec tail = v_mul(v_mul(f, f), v_fma(f, p, v_set1(MLP_C(-0.5))));
    tail = v_fma(k, v_set1(MLP_LN2_LOW), tail);
    mlp_vec sum = v_fma(k, v_set1(MLP_LN2_HIGH), f);
    mlp_vec seen = v_fnma(k, v_set1(MLP_LN2_HIGH), sum);
    mlp_vec lost = v_sub(f, seen);
    return v_add(sum, v_add(lost, tail));
}

/* log x = k ln 2 + log(1 + f), x = 2^k (1 + f): -inf at 0, NaN below. */
MLP_INLINE mlp_vec MLP_REAL(vec_log)(mlp_vec x) {
    const mlp_vec zero = v_zero();
    const mlp_vec one = v_set1(MLP_C(1));
    const mlp_vec infinity = v_set1(MLP_C(INFINITY));
    mlp_mask denormal = v_lt(x, v_set1(MLP_SMALLEST_NORMAL));
    mlp_vec lifted = v_mul(x, v_set1(MLP_C(0x1p64)));
    mlp_vec normal = v_select(denormal, lifted, x);
    mlp_vec k = v_exponent(normal);
    mlp_vec mantissa = v_mantissa(normal);
    mlp_vec k_lifted = v_sub(k, v_set1(MLP_C(64)));
    k = v_select(denormal, k_lifted, k);
    mlp_mask large = v_lt(v_set1(MLP_C(MLP_LOG_SPLIT)), mantissa);
    mlp_vec halved = v_mul(mantissa, v_set1(MLP_C(0.5)));
    mlp_vec k_next = v_add(k, one);
    mantissa = v_select(large, halved, mantissa);
    k = v_select(large, k_next, k);
    mlp_vec f = v_sub(mantissa, one);
    mlp_vec result = MLP_REAL(log_reduced)(k, f);
    result = v_select(v_lt(x, infinity), result, x);
    result = v_select(v_lt(x, zero), v_set1(MLP_C(NAN)), result);
    return v_select(v_eq(x, zero), v_neg(infinity), result);
}

/*
 * log(1 + x) for x in [0, 1], with s = x / (2 + x): 2 atanh s = x - s (x - s^2 p(s^2)), p of degree 3
 * and 9. A denormal x is the result.
 */
MLP_INLINE mlp_vec MLP_REAL(log1p_unit)(mlp_vec x) {
    mlp_vec s = v_div(x, v_add(v_set1(MLP_C(2)), x));
    mlp_vec s2 = v_mul(s, s);
    mlp_vec p = MLP_POLYNOMIAL(s2, log1p_terms);
    return v_fnma(s, v_fnma(s2, p, x), x);
}

/*
 * log(1 + x): -inf at -1, NaN below. 1 + x = 2^k (1 + f), where k is read off the rounded sum and
 * f comes from x by one FMA. From 2^64 on, log(1 + x) = log x in either dtype, and x is brought
 * down so that 2^-k stays normal.
 */
MLP_INLINE mlp_vec MLP_REAL(vec_log1p)(mlp_vec x) {
    const mlp_vec one = v_set1(MLP_C(1));
    const mlp_vec infinity = v_set1(MLP_C(INFINITY));
    mlp_mask huge = v_lt(v_set1(MLP_C(0x1p64)), x);
    mlp_vec lowered = v_mul(x, v_set1(MLP_C(0x1p-64)));
    mlp_vec inside = v_select(huge, lowered, x);
    mlp_vec added = v_select(huge, v_zero(), one);
    mlp_vec sum = v_add(added, inside);
    mlp_vec k = v_exponent(v_mul(sum, v_set1(MLP_C(2 / MLP_LOG_SPLIT))));
    mlp_vec power = v_pow2(v_neg(k));
    mlp_vec power_m1 = v_fma(added, power, v_set1(MLP_C(-1)));
    mlp_vec f = v_fma(power, inside, power_m1);
    mlp_vec k_huge = v_add(k, v_set1(MLP_C(64)));
    k = v_select(huge, k_huge, k);
    mlp_vec result = MLP_REAL(log_reduced)(k, f);
    result = v_copysign(result, x);
    result = v_select(v_lt(x, infinity), result, x);
    result = v_select(v_lt(x, v_set1(MLP_C(-1))), v_set1(MLP_C(NAN)), result);
    return v_select(v_eq(x, v_set1(MLP_C(-1))), v_neg(infinity), result);
}
