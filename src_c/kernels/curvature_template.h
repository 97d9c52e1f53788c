/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * curvature_template.h - second derivatives: f''(z) of the activations, and the product rule on
 * f'(z) da that carries a change of dl/da to one of dl/dz.
 *
 * Included once for each dtype, after activation_template.h. At a kink f'' is that from the left,
 * as f' is: 0 for relu and leaky_relu, exp(0) = 1 for elu. With t and d the value and the
 * derivative of tanh at z / 2, sigmoid' = d / 4, so that nothing cancels:
 *
 *   sigmoid''   -sigmoid' t        softplus''   sigmoid'        silu''   sigmoid' (2 - z t)
 *   tanh''      -2 tanh tanh'      gelu''       (2 - z^2) exp(-z^2 / 2) / sqrt(2 pi)
 *
 * A NaN gives NaN. Relative errors are a few ULP, near the zeros of silu'' and gelu'' of the terms
 * that cancel there.
 */

MLP_INLINE mlp_vec MLP_REAL(curvature_identity)(mlp_vec z) {
    return v_select(v_eq(z, z), v_zero(), z);
}

MLP_INLINE mlp_vec MLP_REAL(curvature_relu)(mlp_vec z) { return MLP_REAL(curvature_identity)(z); }

MLP_INLINE mlp_vec MLP_REAL(curvature_leaky_relu)(mlp_vec z) {
    return MLP_REAL(curvature_identity)(z);
}

MLP_INLINE mlp_vec MLP_REAL(curvature_elu)(mlp_vec z) {
    mlp_vec value, derivative;
    MLP_REAL(vec_elu)(z, &value, &derivative);
    return v_select(v_lt(v_zero(), z), v_zero(), derivative);
}

/* exp(-z^2 / 2) as vec_gelu has it, with the rounding error of z^2 put back. */
MLP_INLINE mlp_vec MLP_REAL(curvature_gelu)(mlp_vec z) {
    mlp_vec magnitude = v_min(v_set1(MLP_GELU_LIMIT), v_abs(z));
    mlp_vec square = v_mul(magnitude, magnitude);
    mlp_vec square_low = v_fma(magnitude, magnitude, v_neg(square));
    mlp_vec high, low;
    mlp_vec n = MLP_REAL(exp_reduce)(v_mul(v_set1(MLP_C(-0.5)), square), &high, &low);
    low = v_fma(v_set1(MLP_C(-0.5)), square_low, low);
    mlp_vec rest = v_add(high, MLP_REAL(exp_tail)(high, low));
    mlp_vec polynomial = v_mul(v_set1(MLP_C(0.3989422804014327)), v_sub(v_set1(MLP_C(2)), square));
    return v_ldexp(v_fma(rest, polynomial, polynomial), n);
}

MLP_INLINE mlp_vec MLP_REAL(curvature_silu)(mlp_vec z) {
    const mlp_vec magnitude = v_min(v_neg(v_set1(MLP_EXP_LOW)), v_abs(z));
    mlp_vec value, derivative;
    MLP_REAL(vec_tanh)(v_mul(v_set1(MLP_C(0.5)), magnitude), &value, &derivative);
    const mlp_vec slope = v_mul(v_set1(MLP_C(0.25)), derivative);
    return v_mul(slope, v_fnma(magnitude, value, v_set1(MLP_C(2))));
}

MLP_INLINE mlp_vec MLP_REAL(curvature_softplus)(mlp_vec z) {
    mlp_vec value, derivative;
    MLP_REAL(vec_sigmoid)(z, &value, &derivative);
    return derivative;
}

MLP_INLINE mlp_vec MLP_REAL(curvature_tanh)(mlp_vec z) {
    mlp_vec value, derivative;
    MLP_REAL(vec_tanh)(z, &value, &derivative);
    return v_mul(v_mul(v_set1(MLP_C(-2)), value), derivative);
}

MLP_INLINE mlp_vec MLP_REAL(curvature_sigmoid)(mlp_vec z) {
    mlp_vec value, derivative;
    MLP_REAL(vec_tanh)(v_mul(v_set1(MLP_C(0.5)), z), &value, &derivative);
    return v_mul(v_mul(v_set1(MLP_C(-0.25)), value), derivative);
}

#define MLP_CURVATURE_CASE(code, name)                                                           \
    case code:                                                                                   \
        for (size_t j = 0; j < n; j += MLP_LANES) {                                              \
            const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);                 \
            v_store_tail(to + j, tail, MLP_REAL(curvature_##name)(v_load_tail(from + j, tail))); \
        }                                                                                        \
        break;

static void MLP_REAL(curvature)(mlp_activation activation, size_t n, const void *z, void *result) {
    const mlp_real *from = z;
    mlp_real *to = result;
    switch (activation) {
        MLP_FOR_EACH_IN_ONE_PHASE(MLP_CURVATURE_CASE)
        MLP_FOR_EACH_IN_TWO_PHASES(MLP_CURVATURE_CASE)
    case MLP_SOFTMAX:
    case MLP_N_ACTIVATIONS:
        break; /* its second derivative is no diagonal: softmax_second_order */
    }
}
#undef MLP_CURVATURE_CASE

static void MLP_REAL(second_order)(size_t n, const void *derivative, const void *curvature,
                                   const void *z_tangent, void *grad, void *grad_tangent) {
    const mlp_real *d = derivative, *bend = curvature, *dz = z_tangent;
    mlp_real *g = grad, *dg = grad_tangent;
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        const mlp_vec slope = v_load_tail(d + j, tail), above = v_load_tail(g + j, tail);
        mlp_vec change = v_mul(slope, v_load_tail(dg + j, tail));
        if (bend != NULL)
            change =
                v_fma(v_mul(v_load_tail(bend + j, tail), v_load_tail(dz + j, tail)), above, change);
        v_store_tail(dg + j, tail, change);
        v_store_tail(g + j, tail, v_mul(slope, above));
    }
}

/*
 * With dp = J dz, J = diag(p) - p p^T, and < > for the mean over p, the product rule on J g gives
 *
 *     J dg + dp (g - <g>) - p sum(dp g) = p (dg - <dg> + (dz - <dz>) (g - <g>) - sum(dp g))
 *
 * J takes constants to 0: all is looked at from the likeliest output, as in softmax_jacobian.
 */
static void MLP_REAL(softmax_second_order)(size_t n_rows, size_t n_columns, const void *p,
                                           const void *z_tangent, void *grad, void *grad_tangent) {
    const mlp_real *probability = p, *dz = z_tangent;
    mlp_real *g = grad, *dg = grad_tangent;
    for (size_t row = 0; row < n_rows; row++) {
        size_t likeliest = 0;
        for (size_t k = 1; k < n_columns; k++)
            if (probability[k] > probability[likeliest]) likeliest = k;
        const double g0 = (double)g[likeliest], dg0 = (double)dg[likeliest];
        const double dz0 = (double)dz[likeliest];
        double mean_g = 0, mean_dg = 0, mean_dz = 0, total = 0;
        for (size_t k = 0; k < n_columns; k++) {
            mean_g += (double)probability[k] * ((double)g[k] - g0);
            mean_dg += (double)probability[k] * ((double)dg[k] - dg0);
            mean_dz += (double)probability[k] * ((double)dz[k] - dz0);
        }
        for (size_t k = 0; k < n_columns; k++)
            total += (double)probability[k] * ((double)dz[k] - dz0 - mean_dz) * ((double)g[k] - g0);
        for (size_t k = 0; k < n_columns; k++) {
            const double centred = (double)g[k] - g0 - mean_g;
            const double change =
                (double)dg[k] - dg0 - mean_dg + ((double)dz[k] - dz0 - mean_dz) * centred - total;
            g[k] = (mlp_real)((double)probability[k] * centred);
            dg[k] = (mlp_real)((double)probability[k] * change);
        }
        probability += n_columns;
        dz += n_columns;
        g += n_columns;
        dg += n_columns;
    }
}
