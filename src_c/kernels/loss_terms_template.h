/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss_terms_template.h - the terms of the losses whose term is that of one element: a register of
 * predictions and targets to terms and their derivatives with respect to the prediction.
 *
 * Included once for each dtype, after simd_math_template.h. A NaN in the prediction or the target
 * makes the term and the derivative NaN: hence the order of operands in v_max and v_min, which
 * hand on a NaN of the second one only.
 */

/* PyTorch's BCELoss keeps each logarithm at -100 or above, so that log(0) is no infinite loss. */
#define MLP_LOG_FLOOR (-100)

MLP_INLINE void MLP_REAL(mse_term)(mlp_vec y_hat, mlp_vec y, mlp_vec *term, mlp_vec *derivative) {
    const mlp_vec r = v_sub(y_hat, y);
    *term = v_mul(r, r);
    *derivative = v_add(r, r);
}

MLP_INLINE void MLP_REAL(l1_term)(mlp_vec y_hat, mlp_vec y, mlp_vec *term, mlp_vec *derivative) {
    const mlp_vec r = v_sub(y_hat, y), zero = v_zero();
    *term = v_abs(r);
    *derivative = v_select(v_lt(zero, r), v_set1(1), v_select(v_lt(r, zero), v_set1(-1), r));
}

/* r^2 / 2 up to delta, delta (|r| - delta / 2) beyond: with a = min(delta, |r|) both are
 * a (|r| - a / 2). */
MLP_INLINE void MLP_REAL(huber_term)(double delta, mlp_vec y_hat, mlp_vec y, mlp_vec *term,
                                     mlp_vec *derivative) {
    const mlp_vec r = v_sub(y_hat, y), limit = v_set1((mlp_real)delta);
    const mlp_vec a = v_min(limit, v_abs(r));
    *term = v_mul(a, v_fnma(v_set1(MLP_C(0.5)), a, v_abs(r)));
    *derivative = v_copysign(a, r);
}

/*
 * Two forms of log cosh r, both of t = exp(-|r|):
 *     log1p((1 - t)^2 / (2 t))        since cosh r - 1 = (1 - t)^2 / (2 t); small r
 *     |r| - log 2 + log1p(t^2)        large r, where the first would overflow
 * The second would cancel for small r. The derivative is tanh |r| = (1 - t) (1 + t) / (1 + t^2);
 * 1 - t comes from expm1, which does not cancel either.
 */
MLP_INLINE void MLP_REAL(log_cosh_term)(mlp_vec y_hat, mlp_vec y, mlp_vec *term,
                                        mlp_vec *derivative) {
    const mlp_vec one = v_set1(1), two = v_set1(2);
    const mlp_vec r = v_sub(y_hat, y), size = v_abs(r);
    const mlp_vec s = v_neg(MLP_REAL(vec_expm1)(v_neg(size))); /* 1 - t */
    const mlp_vec t = v_sub(one, s);
    const mlp_mask small = v_lt(size, one);
    const mlp_vec excess = v_select(small, v_div(v_mul(s, s), v_mul(two, t)), v_mul(t, t));
    const mlp_vec linear = v_sub(size, v_set1(MLP_C(0.693147180559945309417232121458))); /* log 2 */
    *term = v_add(v_select(small, v_zero(), linear), MLP_REAL(log1p_unit)(excess));
    const mlp_vec tanh_size = v_div(v_mul(s, v_add(one, t)), v_fma(t, t, one));
    *derivative = v_copysign(tanh_size, r);
}

/* The slope towards the error e = y - y_hat: q above the prediction, q - 1 below; at the kink 0. */
MLP_INLINE void MLP_REAL(quantile_term)(double q, mlp_vec y_hat, mlp_vec y, mlp_vec *term,
                                        mlp_vec *derivative) {
    const mlp_vec e = v_sub(y, y_hat), zero = v_zero();
    const mlp_vec above = v_set1((mlp_real)q), below = v_set1((mlp_real)(q - 1.0));
    const mlp_vec slope = v_select(v_lt(zero, e), above, v_select(v_lt(e, zero), below, e));
    *term = v_mul(slope, e);
    *derivative = v_neg(slope);
}

/* The smallest denominator of the gradients of losses of probabilities. */
#define MLP_SMALLEST_DENOMINATOR (MLP_EPSILON / 2)

MLP_INLINE void MLP_REAL(bce_term)(mlp_vec p, mlp_vec y, mlp_vec *term, mlp_vec *derivative) {
    const mlp_vec one = v_set1(1), floor = v_set1(MLP_LOG_FLOOR);
    const mlp_vec log_yes = v_max(floor, MLP_REAL(vec_log)(p));
    const mlp_vec log_no = v_max(floor, MLP_REAL(vec_log1p)(v_neg(p)));
    *term = v_neg(v_fma(v_sub(one, y), log_no, v_mul(y, log_yes)));
    const mlp_vec denominator = v_max(v_set1(MLP_SMALLEST_DENOMINATOR), v_mul(p, v_sub(one, p)));
    *derivative = v_div(v_sub(p, y), denominator);
}

/*
 * Of a logit z, with e = exp(-|z|):
 *     y softplus(-z) + (1 - y) softplus(z) = (z > 0 ? 1 - y : y) |z| + log1p(e)
 *     (1 - y) sigmoid(z) - y sigmoid(-z),  sigmoid(|z|) = 1 / (1 + e),  sigmoid(-|z|) = e / (1 + e)
 * which are max(z, 0) - z y + log1p(e) and sigmoid(z) - y, but for a confident and right
 * prediction neither rounds to 0.
 */
MLP_INLINE void MLP_REAL(bce_with_logits_term)(mlp_vec z, mlp_vec y, mlp_vec *term,
                                               mlp_vec *derivative) {
    const mlp_vec one = v_set1(1), zero = v_zero();
    const mlp_vec no = v_sub(one, y);
    const mlp_vec e = MLP_REAL(vec_exp)(v_neg(v_abs(z)));
    const mlp_mask positive = v_lt(zero, z);
    const mlp_vec wrong = v_select(positive, no, y); /* what the target gives to the other side */
    /* 0 times an infinite logit is no loss. */
    const mlp_vec linear = v_select(v_eq(wrong, zero), zero, v_mul(wrong, v_abs(z)));
    *term = v_add(linear, MLP_REAL(log1p_unit)(e));
    const mlp_vec numerator = v_select(positive, v_fnma(y, e, no), v_sub(v_mul(no, e), y));
    *derivative = v_div(numerator, v_add(one, e));
}

MLP_INLINE void MLP_REAL(cross_entropy_term)(mlp_vec p, mlp_vec y, mlp_vec *term,
                                             mlp_vec *derivative) {
    *term = v_neg(v_mul(y, v_max(v_set1(MLP_LOG_FLOOR), MLP_REAL(vec_log)(p))));
    *derivative = v_neg(v_div(y, v_max(v_set1(MLP_SMALLEST_DENOMINATOR), p)));
}

MLP_INLINE void MLP_REAL(poisson_term)(mlp_vec z, mlp_vec y, mlp_vec *term, mlp_vec *derivative) {
    const mlp_vec rate = MLP_REAL(vec_exp)(z);
    *term = v_fnma(y, z, rate);
    *derivative = v_sub(rate, y);
}
