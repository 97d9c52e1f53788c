/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * activation_math_template.h - the activations: value f(z) and derivative f'(z) of a register.
 *
 * Parameters: as in simd_math_template.h, which comes first. Value and derivative share the
 * exponential, always of a number that is not positive, so nothing overflows and a saturated unit
 * keeps a derivative until that underflows. Give NULL for a derivative that is not wanted: its
 * work vanishes, and the value keeps its bits. NaN in gives NaN in both. No value exceeds 2 |z| + 2,
 * on which weights.c relies.
 *
 * Throughout, w = sigmoid(-|z|) = e / (1 + e) with e = exp(-|z|).
 *
 * Largest errors in ULP with FMA, measured as in simd_math_template.h:
 *
 *                           sigmoid  tanh   softplus  elu    silu   gelu   leaky_relu
 *   float32, value          1.69     1.96   1.83      1.26   2.43   5.19   0.84
 *   float32, derivative     2.40     3.18   1.69      0.92   3.39   3.91   0.24
 *   float64, value          1.58     2.12   1.73      1.21   2.23   4.94   0.68
 *   float64, derivative     2.26     2.67   1.58      0.87   2.72   3.59   0.12
 *
 * relu is exact. gelu's value is within 3.9 for z > -2; below, numerator and denominator round
 * independently. The derivatives of silu and gelu cross 0 (at -1.28 and -0.75): within 1/2 of that
 * the error is up to 4.6 last places of 1/8, not of the derivative. Without FMA the errors are up
 * to half as large again, and gelu's up to z^2 / 2 ULP more.
 */

/* ---- through exp(-|z|) or the like, in two phases ------------------------------------------- */

/*
 * Such a function is NAME_begin(z, &rest, &n), where e^... = (1 + rest) 2^n, and NAME_finish(z, rest,
 * n, &value, &derivative). In one piece it is a chain of some 60 cycles, of which a processor's
 * scheduler holds too few to keep its units busy; activation_template.h therefore does the first
 * phase of a whole block before the second.
 */
#define MLP_IN_ONE_PIECE(name)                                                               \
    MLP_INLINE void MLP_REAL(vec_##name)(mlp_vec z, mlp_vec * value, mlp_vec * derivative) { \
        mlp_vec rest, n;                                                                     \
        MLP_REAL(name##_begin)(z, &rest, &n);                                                \
        MLP_REAL(name##_finish)(z, rest, n, value, derivative);                              \
    }

/*
 * e^x = (1 + rest) 2^n for x <= 0. Unlike exp's, the reduced argument is one number: its rounding
 * error costs 0.2 ULP and saves two operations.
 */
MLP_INLINE void MLP_REAL(exp_begin)(mlp_vec x, mlp_vec *rest, mlp_vec *n) {
    mlp_vec inside = v_max(v_set1(MLP_EXP_LOW), x);
    *n = v_round(v_mul(inside, v_set1(MLP_C(1.4426950408889634))));
    mlp_vec r = v_fnma(*n, v_set1(MLP_LN2_HIGH), inside);
    r = v_fnma(*n, v_set1(MLP_LN2_LOW), r);
    *rest = v_fma(v_mul(r, r), MLP_POLYNOMIAL(r, exp_terms), r);
}

/*
 * w = e / (1 + e) for e = power 2^n, but with power in the place of e in the numerator: w = (result)
 * 2^n. The quotient carries the rounding errors of 1 + e and of the division; in w = e (1 - w) they
 * count only e times as much.
 */
MLP_INLINE mlp_vec MLP_REAL(sigmoid_tail)(mlp_vec power, mlp_vec e) {
    mlp_vec w = v_div(e, v_add(v_set1(MLP_C(1)), e));
    return v_fnma(power, w, power);
}

/* 1 / (1 + exp(-z)); derivative w (1 - w). */
MLP_INLINE void MLP_REAL(sigmoid_begin)(mlp_vec z, mlp_vec *rest, mlp_vec *n) {
    MLP_REAL(exp_begin)(v_neg(v_abs(z)), rest, n);
}
MLP_INLINE void MLP_REAL(sigmoid_finish)(mlp_vec z, mlp_vec rest, mlp_vec n, mlp_vec *value,
                                         mlp_vec *derivative) {
    const mlp_vec one = v_set1(MLP_C(1));
    mlp_vec e = v_ldexp(v_add(one, rest), n);
    mlp_vec w = MLP_REAL(sigmoid_tail)(e, e);
    mlp_vec above = v_sub(one, w);
    *value = v_select(v_lt(z, v_zero()), w, above);
    if (derivative) *derivative = v_fnma(w, w, w);
}
MLP_IN_ONE_PIECE(sigmoid)

/*
 * With e = exp(-2|z|), c = 1 - e and q = c / (1 + e), tanh |z| = q = c / 2 + q c / 2 = c - q e. The
 * rounding errors of q count little in the second form for small |z|, and in the third for large.
 * Derivative e (1 + tanh |z|)^2.
 */
MLP_INLINE void MLP_REAL(tanh_begin)(mlp_vec z, mlp_vec *rest, mlp_vec *n) {
    MLP_REAL(exp_begin)(v_mul(v_set1(MLP_C(-2)), v_abs(z)), rest, n);
}
MLP_INLINE void MLP_REAL(tanh_finish)(mlp_vec z, mlp_vec rest, mlp_vec n, mlp_vec *value,
                                      mlp_vec *derivative) {
    const mlp_vec one = v_set1(MLP_C(1));
    mlp_vec power = v_pow2(v_max(v_set1(MLP_EXPONENT_SAFE), n));
    mlp_vec e = v_fma(power, rest, power);
    mlp_vec c = v_fnma(power, rest, v_sub(one, power));
    mlp_vec q = v_div(c, v_add(one, e));
    mlp_vec half = v_mul(v_set1(MLP_C(0.5)), c);
    mlp_mask small = v_lt(half, v_set1(MLP_C(0.25)));
    mlp_vec factor = v_select(small, half, v_neg(e));
    mlp_vec magnitude = v_fma(q, factor, v_select(small, half, c));
    *value = v_copysign(magnitude, z);
    if (derivative) {
        mlp_vec slope = v_add(one, rest);
        slope = v_fma(magnitude, slope, slope);
        slope = v_fma(magnitude, slope, slope);
        *derivative = v_ldexp(slope, n);
    }
}
MLP_IN_ONE_PIECE(tanh)

/* log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|)); derivative sigmoid(z). */
MLP_INLINE void MLP_REAL(softplus_begin)(mlp_vec z, mlp_vec *rest, mlp_vec *n) {
    MLP_REAL(exp_begin)(v_neg(v_abs(z)), rest, n);
}
MLP_INLINE void MLP_REAL(softplus_finish)(mlp_vec z, mlp_vec rest, mlp_vec n, mlp_vec *value,
                                          mlp_vec *derivative) {
    const mlp_vec one = v_set1(MLP_C(1));
    mlp_vec e = v_ldexp(v_add(one, rest), n);
    *value = v_add(v_max(v_zero(), z), MLP_REAL(log1p_unit)(e));
    if (derivative) {
        mlp_vec w = MLP_REAL(sigmoid_tail)(e, e);
        mlp_vec above = v_sub(one, w);
        *derivative = v_select(v_lt(z, v_zero()), w, above);
    }
}
MLP_IN_ONE_PIECE(softplus)

/*
 * z G(z) and its derivative, for a G with G(-a) = 1 - G(a): a_tail 2^n is a G(-a), a = |z| bounded so
 * that 0 never meets infinity; slope 2^n is the derivative at -a, and that at a is 1 minus it. The
 * power comes last, so that a denormal is rounded once.
 */
MLP_INLINE mlp_vec MLP_REAL(gated)(mlp_vec z, mlp_vec a_tail, mlp_vec n) {
    return v_sub(v_max(v_set1(MLP_C(-0.0)), z), v_ldexp(a_tail, n));
}
MLP_INLINE mlp_vec MLP_REAL(gated_derivative)(mlp_vec z, mlp_vec slope, mlp_vec n) {
    mlp_vec below = v_ldexp(slope, n);
    mlp_vec above = v_sub(v_set1(MLP_C(1)), below);
    return v_select(v_lt(z, v_zero()), below, above);
}

/* z sigmoid(z); derivative at -a: w (1 - a (1 - w)). */
MLP_INLINE mlp_vec MLP_REAL(silu_magnitude)(mlp_vec z) {
    return v_min(v_neg(v_set1(MLP_EXP_LOW)), v_abs(z));
}
MLP_INLINE void MLP_REAL(silu_begin)(mlp_vec z, mlp_vec *rest, mlp_vec *n) {
    MLP_REAL(exp_begin)(v_neg(MLP_REAL(silu_magnitude)(z)), rest, n);
}
MLP_INLINE void MLP_REAL(silu_finish)(mlp_vec z, mlp_vec rest, mlp_vec n, mlp_vec *value,
                                      mlp_vec *derivative) {
    mlp_vec magnitude = MLP_REAL(silu_magnitude)(z);
    mlp_vec power = v_add(v_set1(MLP_C(1)), rest);
    mlp_vec tail = MLP_REAL(sigmoid_tail)(power, v_ldexp(power, n));
    *value = MLP_REAL(gated)(z, v_mul(magnitude, tail), n);
    if (derivative) {
        mlp_vec w = v_ldexp(tail, n);
        mlp_vec slope = v_fnma(tail, v_fnma(w, magnitude, magnitude), tail);
        *derivative = MLP_REAL(gated_derivative)(z, slope, n);
    }
}
MLP_IN_ONE_PIECE(silu)

#undef MLP_IN_ONE_PIECE

/* ---- in one phase ---------------------------------------------------------------------------- */

/*
 * Phi(-a) = (result) 2^n, Phi the normal distribution function, for 0 <= a <= MLP_GELU_LIMIT. It is
 * exp(-a^2 / 2) T, T = p / (2 p + a q), p and q polynomials in a of degree 4 and 10 with positive
 * coefficients; the rounding error of p cancels for small a, and T = 1/2 is exact at 0. The rounding
 * error of a^2 is put back into the exponent, where the instruction set has FMA.
 * exp(-a^2 / 2) = (1 + rest) 2^n.
 */
MLP_INLINE mlp_vec MLP_REAL(normal_tail)(mlp_vec a, mlp_vec *ratio, mlp_vec *rest, mlp_vec *n) {
    mlp_vec square = v_mul(a, a);
    mlp_vec square_low = v_fma(a, a, v_neg(square));
    mlp_vec high, low;
    *n = MLP_REAL(exp_reduce)(v_mul(v_set1(MLP_C(-0.5)), square), &high, &low);
    low = v_fma(v_set1(MLP_C(-0.5)), square_low, low);
    *rest = v_add(high, MLP_REAL(exp_tail)(high, low));

    mlp_vec numerator = MLP_POLYNOMIAL(a, gelu_n);
    mlp_vec denominator = MLP_POLYNOMIAL(a, gelu_m);
    denominator = v_fma(a, denominator, v_add(numerator, numerator));
    *ratio = v_div(numerator, denominator);
    return v_fma(*rest, *ratio, *ratio);
}

/* z Phi(z), the exact GELU; derivative at -a: exp(-a^2 / 2) (T - a / sqrt(2 pi)). */
MLP_INLINE void MLP_REAL(vec_gelu)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    mlp_vec magnitude = v_min(v_set1(MLP_GELU_LIMIT), v_abs(z));
    mlp_vec ratio, rest, n;
    mlp_vec tail = MLP_REAL(normal_tail)(magnitude, &ratio, &rest, &n);
    *value = MLP_REAL(gated)(z, v_mul(magnitude, tail), n);
    if (derivative) {
        mlp_vec slope = v_fnma(magnitude, v_set1(MLP_C(0.3989422804014327)), ratio);
        slope = v_fma(rest, slope, slope);
        *derivative = MLP_REAL(gated_derivative)(z, slope, n);
    }
}

/* z above 0, exp(z) - 1 below; derivative 1 or exp(z). */
MLP_INLINE void MLP_REAL(vec_elu)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    const mlp_vec zero = v_zero();
    mlp_vec inside = v_min(zero, z);
    inside = v_max(v_set1(MLP_EXP_LOW), inside);
    mlp_vec high, low;
    mlp_vec n = MLP_REAL(exp_reduce)(inside, &high, &low);
    mlp_vec tail = MLP_REAL(exp_tail)(high, low);
    mlp_vec n_normal = v_max(v_set1(MLP_EXPONENT_SAFE), n);
    mlp_vec below = MLP_REAL(expm1_scaled)(n_normal, high, tail);
    *value = v_select(v_lt(z, zero), below, z);
    if (derivative) {
        mlp_vec power = v_add(v_set1(MLP_C(1)), v_add(high, tail));
        mlp_vec e = v_ldexp(power, n);
        *derivative = v_select(v_lt(zero, z), v_set1(MLP_C(1)), e);
    }
}

/* max(0, z); derivative 1 above 0, else 0. */
MLP_INLINE void MLP_REAL(vec_relu)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    const mlp_vec zero = v_zero();
    mlp_vec positive_part = v_max(zero, z);
    *value = positive_part;
    /* At and below 0 the value is the derivative, NaN included; adding 0 makes -0 a +0. */
    if (derivative)
        *derivative = v_select(v_lt(zero, z), v_set1(MLP_C(1)), v_add(positive_part, zero));
}

/* z above 0, 0.01 z below; derivative 1 above 0, else 0.01. */
MLP_INLINE void MLP_REAL(vec_leaky_relu)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    const mlp_vec slope = v_set1(MLP_C(0.01));
    mlp_mask above = v_lt(v_zero(), z);
    mlp_vec scaled = v_mul(slope, z);
    *value = v_select(above, z, scaled);
    if (derivative) {
        mlp_vec below = v_select(v_eq(z, z), slope, z);
        *derivative = v_select(above, v_set1(MLP_C(1)), below);
    }
}
