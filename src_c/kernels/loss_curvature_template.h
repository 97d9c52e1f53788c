/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss_curvature_template.h - the Hessian of a loss in the prediction, times a direction.
 *
 * Included once for each dtype, after loss_template.h. The Hessian is a diagonal but for cross
 * entropy of logits, whose gradient of a row is p sum(y) - y: its Hessian is sum(y) times the
 * Jacobian of softmax. At a kink the second derivative is 0, for Huber's at delta 1.
 */

MLP_INLINE mlp_vec MLP_REAL(zero_curvature)(mlp_vec y_hat, mlp_vec y) {
    const mlp_vec r = v_sub(y_hat, y);
    return v_select(v_eq(r, r), v_zero(), r);
}

MLP_INLINE mlp_vec MLP_REAL(mse_curvature)(mlp_vec y_hat, mlp_vec y) {
    (void)y_hat;
    (void)y;
    return v_set1(2);
}

MLP_INLINE mlp_vec MLP_REAL(huber_curvature)(double delta, mlp_vec y_hat, mlp_vec y) {
    const mlp_vec r = v_abs(v_sub(y_hat, y));
    return v_select(v_le(r, v_set1((mlp_real)delta)), v_set1(1),
                    MLP_REAL(zero_curvature)(y_hat, y));
}

MLP_INLINE mlp_vec MLP_REAL(log_cosh_curvature)(mlp_vec y_hat, mlp_vec y) {
    mlp_vec value, derivative;
    MLP_REAL(vec_tanh)(v_sub(y_hat, y), &value, &derivative);
    return derivative;
}

/* y / p^2 + (1 - y) / (1 - p)^2 over the denominator that the gradient has. */
MLP_INLINE mlp_vec MLP_REAL(bce_curvature)(mlp_vec p, mlp_vec y) {
    const mlp_vec one = v_set1(1), r = v_sub(p, y);
    const mlp_vec denominator = v_max(v_set1(MLP_SMALLEST_DENOMINATOR), v_mul(p, v_sub(one, p)));
    const mlp_vec numerator = v_fma(r, r, v_mul(y, v_sub(one, y)));
    return v_div(v_div(numerator, denominator), denominator);
}

MLP_INLINE mlp_vec MLP_REAL(bce_with_logits_curvature)(mlp_vec z, mlp_vec y) {
    mlp_vec value, derivative;
    (void)y;
    MLP_REAL(vec_sigmoid)(z, &value, &derivative);
    return derivative;
}

MLP_INLINE mlp_vec MLP_REAL(cross_entropy_curvature)(mlp_vec p, mlp_vec y) {
    const mlp_vec denominator = v_max(v_set1(MLP_SMALLEST_DENOMINATOR), p);
    return v_div(v_div(y, denominator), denominator);
}

MLP_INLINE mlp_vec MLP_REAL(poisson_curvature)(mlp_vec z, mlp_vec y) {
    (void)y;
    return MLP_REAL(vec_exp)(z);
}

#define MLP_LOSS_CURVATURE_CASE(kind, curvature_of)                                           \
    case kind:                                                                                \
        for (size_t j = 0; j < n; j += MLP_LANES) {                                           \
            const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);              \
            const mlp_vec bend =                                                              \
                curvature_of(v_load_tail(y_hat + j, tail), v_load_tail(y + j, tail));         \
            const mlp_vec scaled = v_mul(bend, v_load_tail(scale + j, tail));                 \
            v_store_tail(product + j, tail, v_mul(scaled, v_load_tail(direction + j, tail))); \
        }                                                                                     \
        break;

static void MLP_REAL(loss_curvature_block)(const mlp_loss *loss, size_t n, const mlp_real *y_hat,
                                           const mlp_real *y, const mlp_real *scale,
                                           const mlp_real *direction, mlp_real *product) {
#define MLP_HUBER_CURVATURE(...) MLP_REAL(huber_curvature)(loss->parameter, __VA_ARGS__)
    switch (loss->kind) {
        MLP_LOSS_CURVATURE_CASE(MLP_MSE, MLP_REAL(mse_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_L1, MLP_REAL(zero_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_HUBER, MLP_HUBER_CURVATURE)
        MLP_LOSS_CURVATURE_CASE(MLP_LOG_COSH, MLP_REAL(log_cosh_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_QUANTILE, MLP_REAL(zero_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_BCE, MLP_REAL(bce_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_BCE_WITH_LOGITS, MLP_REAL(bce_with_logits_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_CROSS_ENTROPY, MLP_REAL(cross_entropy_curvature))
        MLP_LOSS_CURVATURE_CASE(MLP_POISSON, MLP_REAL(poisson_curvature))
    case MLP_CROSS_ENTROPY_WITH_LOGITS:
    case MLP_N_LOSSES:
        break; /* not a diagonal: MLP_REAL(loss_curvature) does not come here with it */
    }
#undef MLP_HUBER_CURVATURE
}
#undef MLP_LOSS_CURVATURE_CASE

static void MLP_REAL(elementwise_loss_curvature)(const mlp_loss *loss, const mlp_loss_rows *rows,
                                                 const mlp_real *direction) {
    const size_t n_columns = rows->n_columns, n = rows->n_rows * n_columns;
    mlp_real scale[MLP_SUM_BLOCK], classes[MLP_SUM_BLOCK];
    size_t row = 0, column = 0; /* of the element whose scale is next */
    for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
        const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
        const mlp_real *target = classes;
        if (rows->class_index != NULL)
            MLP_REAL(one_hot)(rows, row, column, length, classes);
        else
            target = rows->target + begin;
        for (size_t j = 0; j < length; j++) {
            scale[j] = MLP_REAL(row_scale)(rows, row);
            if (++column == n_columns) {
                column = 0;
                row++;
            }
        }
        MLP_REAL(loss_curvature_block)(loss, length, rows->prediction + begin, target, scale,
                                       direction + begin, rows->gradient + begin);
    }
}

/* The products take the place of p, which waits in their rows. */
static void MLP_REAL(cross_entropy_curvature_of_logits)(const mlp_loss_rows *rows,
                                                        const mlp_real *direction) {
    const size_t n = rows->n_columns;
    MLP_REAL(softmax)(rows->n_rows, n, n, rows->prediction, rows->gradient);
    for (size_t row = 0; row < rows->n_rows; row++, direction += n) {
        mlp_real *product = rows->gradient + row * n;
        const double total =
            rows->class_index != NULL ? 1.0 : MLP_REAL(row_sum)(n, rows->target + row * n);
        const double scale = total * (double)MLP_REAL(row_scale)(rows, row);
        MLP_REAL(softmax_backward)(1, n, product, direction, product);
        for (size_t k = 0; k < n; k++)
            product[k] = (mlp_real)(scale * (double)product[k]);
    }
}

static void MLP_REAL(loss_curvature)(const mlp_loss *loss, size_t n_columns, const mlp_batch *batch,
                                     const void *prediction, const void *direction, double factor,
                                     void *product) {
    const mlp_loss_rows rows = {
        .n_rows = batch->n_samples,
        .n_columns = n_columns,
        .prediction = prediction,
        .target = batch->target,
        .class_index = batch->class_index,
        .sample_weight = batch->sample_weight,
        .factor = factor,
        .gradient = product,
    };
    if (loss->kind == MLP_CROSS_ENTROPY_WITH_LOGITS)
        MLP_REAL(cross_entropy_curvature_of_logits)(&rows, direction);
    else
        MLP_REAL(elementwise_loss_curvature)(loss, &rows, direction);
    if (batch->sample_weight != NULL) MLP_REAL(clear_rows)(&rows);
}
