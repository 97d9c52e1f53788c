/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input_curvature_template.h - second derivatives in the inputs: what an activation adds to a
 * Laplacian, what that of the output adds to a Hessian, and what a loss of first derivatives gives
 * back to the pre-activations.
 *
 * Included once for each dtype, after matrix_template.h. Of one sample; t_d is the change of z along
 * input d. An activation bends what it is given:
 *
 *     d^2 f(z) / dx_i dx_j = f'(z) d^2 z / dx_i dx_j + f''(z) t_i t_j
 *
 * and softmax, with u = t - <t>, < > the mean over the outputs' probabilities p,
 *
 *     d^2 p_k / dx_i dx_j = p_k (z_k'' - <z''> + u_ik u_jk - <u_i u_j>)
 *
 * Sums over inputs and over outputs are chains of fused multiply-adds in index order.
 */

static void MLP_REAL(laplacian_step)(size_t n_inputs, size_t n, size_t stride, const void *d,
                                     const void *curvature, void *rows) {
    const mlp_real *slope = d, *bend = curvature;
    mlp_real *first = rows;
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = MLP_ROW_TAIL(n - j);
        const mlp_vec s = v_load_tail(slope + j, tail);
        mlp_real *t = first + j;
        mlp_vec squares = v_zero();
        for (size_t i = 0; i < n_inputs; i++, t += stride) {
            const mlp_vec change = v_load_tail(t, tail);
            squares = v_fma(change, change, squares);
            v_store_tail(t, tail, v_mul(s, change));
        }
        mlp_vec laplacian = v_mul(s, v_load_tail(t, tail));
        if (bend != NULL) laplacian = v_fma(v_load_tail(bend + j, tail), squares, laplacian);
        v_store_tail(t, tail, laplacian);
    }
}

static void MLP_REAL(directions_backward)(size_t n_rows, size_t n, size_t stride, const void *d,
                                          const void *curvature, const void *directions,
                                          void *grads, void *grad_z) {
    const mlp_real *slope = d, *bend = curvature;
    mlp_real *result = grad_z;
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = MLP_ROW_TAIL(n - j);
        const mlp_vec s = v_load_tail(slope + j, tail);
        const mlp_real *t = (const mlp_real *)directions + j;
        mlp_real *g = (mlp_real *)grads + j;
        mlp_vec sum = v_zero();
        for (size_t i = 0; i < n_rows; i++, t += stride, g += stride) {
            const mlp_vec grad = v_load_tail(g, tail);
            if (bend != NULL) sum = v_fma(v_load_tail(t, tail), grad, sum);
            v_store_tail(g, tail, v_mul(s, grad));
        }
        if (bend != NULL) sum = v_mul(v_load_tail(bend + j, tail), sum);
        v_store_tail(result + j, tail, sum);
    }
}

/* t (n_rows, n_columns) less the mean of its rows, each counted by its p. */
MLP_INLINE void MLP_REAL(centre)(size_t n_rows, size_t n_columns, const mlp_real *p, mlp_real *t) {
    size_t likeliest = 0;
    for (size_t k = 1; k < n_rows; k++)
        if (p[k] > p[likeliest]) likeliest = k;
    for (size_t c = 0; c < n_columns; c += MLP_LANES) {
        const mlp_tail tail = MLP_ROW_TAIL(n_columns - c);
        const mlp_vec origin = v_load_tail(t + likeliest * n_columns + c, tail);
        mlp_vec mean = v_zero();
        for (size_t k = 0; k < n_rows; k++)
            mean =
                v_fma(v_set1(p[k]), v_sub(v_load_tail(t + k * n_columns + c, tail), origin), mean);
        for (size_t k = 0; k < n_rows; k++) {
            mlp_real *at = t + k * n_columns + c;
            v_store_tail(at, tail, v_sub(v_sub(v_load_tail(at, tail), origin), mean));
        }
    }
}

static void MLP_REAL(softmax_laplacian)(size_t n_inputs, size_t n_outputs, const void *p,
                                        void *changes, const void *z_laplacian, void *laplacian) {
    const mlp_real *probability = p;
    mlp_real *result = laplacian;
    memcpy(result, z_laplacian, n_outputs * sizeof(mlp_real));
    MLP_REAL(centre)(n_outputs, 1, probability, result);
    double spread = 0;
    for (size_t i = 0; i < n_inputs; i++) {
        mlp_real *u = (mlp_real *)changes + i * n_outputs;
        MLP_REAL(centre)(n_outputs, 1, probability, u);
        for (size_t k = 0; k < n_outputs; k++) {
            const double square = (double)u[k] * (double)u[k];
            spread += (double)probability[k] * square;
            result[k] += (mlp_real)square;
        }
    }
    for (size_t k = 0; k < n_outputs; k++)
        result[k] = probability[k] * (result[k] - (mlp_real)spread);
}

/* m (n, n) += scale a a^T. */
MLP_INLINE void MLP_REAL(add_square)(size_t n, mlp_real scale, const mlp_real *a, mlp_real *m) {
    for (size_t i = 0; i < n; i++, m += n) {
        const mlp_vec factor = v_set1(scale * a[i]);
        for (size_t j = 0; j < n; j += MLP_LANES) {
            const mlp_tail tail = MLP_ROW_TAIL(n - j);
            v_store_tail(m + j, tail,
                         v_fma(factor, v_load_tail(a + j, tail), v_load_tail(m + j, tail)));
        }
    }
}

static void MLP_REAL(output_hessian)(size_t n_inputs, size_t n_outputs, const void *curvature,
                                     const void *p, void *changes, void *spread, void *hessian) {
    const mlp_real *bend = curvature, *probability = p;
    const size_t n = n_inputs * n_inputs;
    mlp_real *t = changes, *h = hessian, *mean = spread;
    if (probability != NULL) {
        MLP_REAL(centre)(n_outputs, n_inputs, probability, t);
        for (size_t j = 0; j < n; j++)
            mean[j] = 0;
        for (size_t k = 0; k < n_outputs; k++)
            MLP_REAL(add_square)(n_inputs, probability[k], t + k * n_inputs, mean);
    }
    for (size_t k = 0; k < n_outputs; k++, h += n) {
        if (probability != NULL)
            for (size_t j = 0; j < n; j++)
                h[j] -= probability[k] * mean[j];
        if (probability != NULL || bend != NULL)
            MLP_REAL(add_square)(n_inputs, probability != NULL ? probability[k] : bend[k],
                                 t + k * n_inputs, h);
        for (size_t i = 0; i < n_inputs; i++)
            for (size_t j = 0; j < i; j++)
                h[i * n_inputs + j] = h[j * n_inputs + i];
    }
}
