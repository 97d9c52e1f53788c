/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * activation_math_template.h - the activations: value f(z) and derivative f'(z) of a register.
 *
 * Parameters: as in simd_math_template.h, which comes first. Value and derivative share the
 * exponential, always of a number that is not positive, so nothing overflows and a saturated unit
 * keeps a derivative until that underflows. Give NULL for a derivative that is not wanted: its
 * work vanishes, and the value keeps its bits. NaN in gives NaN in both.
 *
 * Throughout, w = sigmoid(-|z|) = e / (1 + e) with e = exp(-|z|).
 *
 * Largest errors in ULP with FMA, measured as in simd_math_template.h:
 *
 *                           sigmoid  tanh   softplus  elu    silu   gelu   leaky_relu
 *   float32, value          1.66     1.26   1.66      1.26   2.40   4.91   0.84
 *   float32, derivative     2.40     2.40   1.66      0.93   3.46   3.92   0.24
 *   float64, value          1.61     1.17   1.44      1.17   2.14   4.83   0.69
 *   float64, derivative     2.23     2.27   1.61      0.88   3.16   3.58   0.13
 *
 * relu is exact. gelu's value is within 3.9 for z > -2; below, numerator and denominator round
 * independently. The derivatives of silu and gelu cross 0 (at -1.28 and -0.75): within 1/2 of that
 * the error is up to 4.6 last places of 1/8, not of the derivative. Without FMA the errors are up
 * to half as large again, and gelu's up to z^2 / 2 ULP more.
 */

/*
 * e = exp(x) and the returned w = e / (1 + e) for x <= 0, both to be multiplied by *scale. The
 * quotient carries the rounding errors of 1 + e and of the division; in w = e (1 - w) they count
 * only e times as much.
 */
MLP_INLINE mlp_vec MLP_REAL(sigmoid_tail)(mlp_vec x, mlp_vec *e, mlp_vec *scale) {
    const mlp_vec one = v_set1(MLP_C(1));
    mlp_vec inside = v_max(v_set1(MLP_EXP_LOW), x);
    mlp_vec high, low;
    mlp_vec n = MLP_REAL(exp_reduce)(inside, &high, &low);
    mlp_vec tail = MLP_REAL(exp_tail)(high, low);
    mlp_vec power = v_add(one, v_add(high, tail));
    *e = v_mul(power, MLP_REAL(scaled_power)(n, scale));
    mlp_vec w = v_div(*e, v_add(one, *e));
    return v_fnma(*e, w, *e);
}

/* 1 / (1 + exp(-z)); derivative w (1 - w). */
MLP_INLINE void MLP_REAL(vec_sigmoid)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    mlp_vec e, scale;
    mlp_vec w = MLP_REAL(sigmoid_tail)(v_neg(v_abs(z)), &e, &scale);
    w = v_mul(w, scale);
    mlp_vec above = v_sub(v_set1(MLP_C(1)), w);
    *value = v_select(v_lt(z, v_zero()), w, above);
    if (derivative) *derivative = v_fnma(w, w, w);
}

/*
 * tanh z: z + z^3 p(z^2), p of degree 4 and 10, for |z| < 0.625; sign(z) (1 - 2 w(2|z|)) beyond,
 * where the rounding of w counts less than half; derivative 4 w (1 - w).
 */
MLP_INLINE void MLP_REAL(vec_tanh)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    mlp_vec magnitude = v_abs(z);
    mlp_vec z2 = v_mul(z, z);
    mlp_vec p = MLP_POLYNOMIAL(z2, tanh_terms);
    mlp_vec near_zero = v_fma(v_mul(z2, magnitude), p, magnitude);
    mlp_vec e, scale;
    mlp_vec w = MLP_REAL(sigmoid_tail)(v_mul(v_set1(MLP_C(-2)), magnitude), &e, &scale);
    mlp_vec beyond = v_fnma(v_set1(MLP_C(2)), w, v_set1(MLP_C(1)));
    mlp_mask small = v_lt(magnitude, v_set1(MLP_C(MLP_TANH_SPLIT)));
    beyond = v_select(small, near_zero, beyond);
    *value = v_copysign(beyond, z);
    if (derivative) {
        mlp_vec slope = v_fnma(w, w, w);
        *derivative = v_mul(v_mul(v_set1(MLP_C(4)), slope), scale);
    }
}

/* log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|)); derivative sigmoid(z). */
MLP_INLINE void MLP_REAL(vec_softplus)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    mlp_vec e, scale;
    mlp_vec w = MLP_REAL(sigmoid_tail)(v_neg(v_abs(z)), &e, &scale);
    mlp_vec positive_part = v_max(v_zero(), z);
    mlp_vec logarithm = MLP_REAL(log1p_unit)(v_mul(e, scale));
    *value = v_add(positive_part, logarithm);
    if (derivative) {
        w = v_mul(w, scale);
        mlp_vec above = v_sub(v_set1(MLP_C(1)), w);
        *derivative = v_select(v_lt(z, v_zero()), w, above);
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
        mlp_vec scale;
        mlp_vec power = v_add(v_set1(MLP_C(1)), v_add(high, tail));
        mlp_vec e = v_mul(power, MLP_REAL(scaled_power)(n, &scale));
        e = v_mul(e, scale);
        *derivative = v_select(v_lt(zero, z), v_set1(MLP_C(1)), e);
    }
}

/*
 * z G(z) and its derivative, for a G with G(-a) = 1 - G(a): `tail` is G(-a) and `tail_slope` the
 * derivative at -a, both to be multiplied by scale. The derivative at a is 1 minus that at -a.
 * `magnitude` is |z|, bounded so that 0 never meets infinity.
 */
MLP_INLINE void MLP_REAL(gated)(mlp_vec z, mlp_vec magnitude, mlp_vec tail, mlp_vec scale,
                                mlp_vec *value) {
    mlp_vec below = v_neg(v_mul(v_mul(magnitude, tail), scale));
    mlp_vec above = v_fnma(magnitude, tail, z);
    *value = v_select(v_lt(z, v_zero()), below, above);
}

MLP_INLINE void MLP_REAL(gated_derivative)(mlp_vec z, mlp_vec tail_slope, mlp_vec scale,
                                           mlp_vec *derivative) {
    mlp_vec below = v_mul(tail_slope, scale);
    mlp_vec above = v_sub(v_set1(MLP_C(1)), tail_slope);
    *derivative = v_select(v_lt(z, v_zero()), below, above);
}

/* z sigmoid(z); derivative at -a: w - a w (1 - w). */
MLP_INLINE void MLP_REAL(vec_silu)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    mlp_vec magnitude = v_min(v_neg(v_set1(MLP_EXP_LOW)), v_abs(z));
    mlp_vec e, scale;
    mlp_vec w = MLP_REAL(sigmoid_tail)(v_neg(magnitude), &e, &scale);
    MLP_REAL(gated)(z, magnitude, w, scale, value);
    if (derivative) {
        mlp_vec slope = v_fnma(w, w, w);
        MLP_REAL(gated_derivative)(z, v_fnma(magnitude, slope, w), scale, derivative);
    }
}

/*
 * z Phi(z), Phi the normal distribution function (the exact GELU). With a = |z|,
 * Phi(-a) = exp(-a^2 / 2) T(a), T(a) = n(a) / (2 n(a) + a m(a)), n and m of degree 4 and 10 with
 * positive coefficients; the rounding error of n cancels for small a, and T(0) = 1/2 is exact. The
 * rounding error of a^2 is put back into the exponent, where the instruction set has FMA.
 * Derivative at -a: exp(-a^2 / 2) (T(a) - a / sqrt(2 pi)).
 */
MLP_INLINE void MLP_REAL(vec_gelu)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    mlp_vec magnitude = v_min(v_set1(MLP_GELU_LIMIT), v_abs(z));
    mlp_vec square = v_mul(magnitude, magnitude);
    mlp_vec square_low = v_fma(magnitude, magnitude, v_neg(square));
    mlp_vec high, low, scale;
    mlp_vec n = MLP_REAL(exp_reduce)(v_mul(v_set1(MLP_C(-0.5)), square), &high, &low);
    low = v_fma(v_set1(MLP_C(-0.5)), square_low, low);
    mlp_vec sum = v_add(high, MLP_REAL(exp_tail)(high, low));
    mlp_vec power = MLP_REAL(scaled_power)(n, &scale);

    mlp_vec numerator = MLP_POLYNOMIAL(magnitude, gelu_n);
    mlp_vec rest = MLP_POLYNOMIAL(magnitude, gelu_m);
    mlp_vec denominator = v_fma(magnitude, rest, v_add(numerator, numerator));
    mlp_vec ratio = v_div(numerator, denominator);
    mlp_vec tail = v_mul(v_fma(sum, ratio, ratio), power);
    MLP_REAL(gated)(z, magnitude, tail, scale, value);
    if (derivative) {
        mlp_vec slope = v_fnma(magnitude, v_set1(MLP_C(0.3989422804014327)), ratio);
        slope = v_mul(v_fma(sum, slope, slope), power);
        MLP_REAL(gated_derivative)(z, slope, scale, derivative);
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
