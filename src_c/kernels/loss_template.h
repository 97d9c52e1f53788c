/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss_template.h - the losses over a batch: the sum of each row's terms, and the gradient.
 *
 * Included once for each dtype, after elementwise_template.h. Terms are made in the dtype,
 * MLP_SUM_BLOCK at a time, and summed row by row in double. Several narrow rows make one block: a
 * net with one output would leave most of a register idle otherwise.
 */
#include "loss_terms_template.h"

#define mlp_loss_rows MLP_REAL(loss_rows)
typedef struct mlp_loss_rows {
    size_t n_rows, n_columns;
    const mlp_real *prediction, *target;
    const int64_t *class_index;
    const mlp_real *sample_weight;
    double factor;
    mlp_real *gradient; /* NULL: not wanted */
    double *row_values; /* NULL: not wanted */
} mlp_loss_rows;

/* Checked by the caller; if another thread changes the array meanwhile, the loss is wrong, but no
 * read leaves the row. */
MLP_INLINE size_t MLP_REAL(class_of)(const mlp_loss_rows *rows, size_t row) {
    const size_t c = (size_t)rows->class_index[row];
    return c < rows->n_columns ? c : rows->n_columns - 1;
}

/* What the derivatives of a row are multiplied by. */
MLP_INLINE mlp_real MLP_REAL(row_scale)(const mlp_loss_rows *rows, size_t row) {
    const mlp_real *weight = rows->sample_weight;
    return (mlp_real)(weight == NULL ? rows->factor : rows->factor * (double)weight[row]);
}

/* ---- losses of single elements ---------------------------------------------------------------- */

/* Terms and scale are whole blocks, so that a last, partial register is stored and loaded whole. */
#define MLP_LOSS_CASE(kind, term_of)                                                             \
    case kind:                                                                                   \
        for (; j + MLP_LANES <= n; j += MLP_LANES) {                                             \
            term_of(v_load(y_hat + j), v_load(y + j), &term, &derivative);                       \
            v_store(terms + j, term);                                                            \
            if (gradient != NULL) v_store(gradient + j, v_mul(derivative, v_load(scale + j)));   \
        }                                                                                        \
        if (j < n) {                                                                             \
            const mlp_tail tail = v_tail(n - j);                                                 \
            term_of(v_load_tail(y_hat + j, tail), v_load_tail(y + j, tail), &term, &derivative); \
            v_store(terms + j, term);                                                            \
            if (gradient != NULL)                                                                \
                v_store_tail(gradient + j, tail, v_mul(derivative, v_load(scale + j)));          \
        }                                                                                        \
        break;

/* n terms, and scale times their derivatives unless gradient is NULL. */
static void MLP_REAL(loss_block)(const mlp_loss *loss, size_t n, const mlp_real *y_hat,
                                 const mlp_real *y, const mlp_real *scale, mlp_real *terms,
                                 mlp_real *gradient) {
#define MLP_HUBER_TERM(...)    MLP_REAL(huber_term)(loss->parameter, __VA_ARGS__)
#define MLP_QUANTILE_TERM(...) MLP_REAL(quantile_term)(loss->parameter, __VA_ARGS__)
    mlp_vec term, derivative;
    size_t j = 0;
    switch (loss->kind) {
        MLP_LOSS_CASE(MLP_MSE, MLP_REAL(mse_term))
        MLP_LOSS_CASE(MLP_L1, MLP_REAL(l1_term))
        MLP_LOSS_CASE(MLP_HUBER, MLP_HUBER_TERM)
        MLP_LOSS_CASE(MLP_LOG_COSH, MLP_REAL(log_cosh_term))
        MLP_LOSS_CASE(MLP_QUANTILE, MLP_QUANTILE_TERM)
        MLP_LOSS_CASE(MLP_BCE, MLP_REAL(bce_term))
        MLP_LOSS_CASE(MLP_BCE_WITH_LOGITS, MLP_REAL(bce_with_logits_term))
        MLP_LOSS_CASE(MLP_CROSS_ENTROPY, MLP_REAL(cross_entropy_term))
        MLP_LOSS_CASE(MLP_POISSON, MLP_REAL(poisson_term))
    case MLP_CROSS_ENTROPY_WITH_LOGITS:
    case MLP_N_LOSSES:
        break; /* its terms need whole rows: MLP_REAL(loss) does not come here with it */
    }
#undef MLP_HUBER_TERM
#undef MLP_QUANTILE_TERM
}

/* Elements [begin, begin + n) of the one-hot targets from row on. */
MLP_INLINE void MLP_REAL(one_hot)(const mlp_loss_rows *rows, size_t row, size_t begin, size_t n,
                                  mlp_real *y) {
    for (size_t j = 0; j < n; j++)
        y[j] = MLP_C(0);
    for (size_t start = 0; start < begin + n; start += rows->n_columns, row++) {
        const size_t hot = start + MLP_REAL(class_of)(rows, row);
        if (hot >= begin && hot < begin + n) y[hot - begin] = MLP_C(1);
    }
}

static void MLP_REAL(elementwise_loss)(const mlp_loss *loss, const mlp_loss_rows *rows) {
    const size_t n_columns = rows->n_columns;
    const size_t rows_at_once = n_columns < MLP_SUM_BLOCK ? MLP_SUM_BLOCK / n_columns : 1;
    mlp_real terms[MLP_SUM_BLOCK], scale[MLP_SUM_BLOCK], classes[MLP_SUM_BLOCK];
    for (size_t j = 0; j < MLP_SUM_BLOCK; j++)
        scale[j] = (mlp_real)rows->factor;

    for (size_t row = 0; row < rows->n_rows; row += rows_at_once) {
        const size_t n_left = rows->n_rows - row;
        const size_t n_rows = n_left < rows_at_once ? n_left : rows_at_once;
        const size_t n = n_rows * n_columns;
        double lanes[MLP_SUM_LANES] = {0};
        if (rows->sample_weight != NULL)
            for (size_t i = 0; i < n_rows; i++)
                for (size_t j = 0; j < n_columns && j < MLP_SUM_BLOCK; j++)
                    scale[i * n_columns + j] = MLP_REAL(row_scale)(rows, row + i);

        /* More than one block only where n_rows is 1. */
        for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
            const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
            const size_t at = row * n_columns + begin;
            const mlp_real *target = classes;
            if (rows->class_index != NULL)
                MLP_REAL(one_hot)(rows, row, begin, length, classes);
            else
                target = rows->target + at;
            MLP_REAL(loss_block)(loss, length, rows->prediction + at, target, scale, terms,
                                 rows->gradient != NULL ? rows->gradient + at : NULL);
            if (n_rows == 1) MLP_REAL(add_terms)(n, length, terms, lanes);
        }
        if (rows->row_values == NULL) continue;
        if (n_rows == 1)
            rows->row_values[row] = MLP_REAL(sum_of_terms)(n, terms, lanes);
        else
            for (size_t i = 0; i < n_rows; i++)
                rows->row_values[row + i] = MLP_REAL(row_sum)(n_columns, terms + i * n_columns);
    }
}

/* ---- cross entropy of logits ------------------------------------------------------------------ */

/*
 * With m = max z, e_k = exp(z_k - m), and others the sum of e over all classes but one of those
 * whose z is m and hence e is 1:
 *
 *     p_k = e_k / (1 + others)      -log p_k = log1p(others) - (z_k - m)      term_k = -y_k log p_k
 *     d(sum of the terms) / dz_k = p_k sum_{j != k} y_j - y_k (1 - p_k)
 *
 * where 1 - p_k of the likeliest class is others / (1 + others). So neither the loss nor the
 * gradient of a confident and right prediction rounds to 0, as log(sum e) - z_k and p_k - y_k do.
 *
 * The rows go through in groups, because log1p and the division of one row alone would fill one
 * lane. In between, e waits in the rows of the gradient.
 */
#define MLP_SOFTMAX_GROUP 64

#define mlp_softmax_group MLP_REAL(softmax_group)
typedef struct mlp_softmax_group {
    mlp_real largest[MLP_SOFTMAX_GROUP]; /* m */
    mlp_real others[MLP_SOFTMAX_GROUP];  /* NaN if a logit is NaN or the largest is infinite */
    mlp_real log_sum[MLP_SOFTMAX_GROUP]; /* log1p(others) */
    mlp_real inverse[MLP_SOFTMAX_GROUP]; /* 1 / (1 + others) */
} mlp_softmax_group;

/* The largest of n numbers; if one of them is NaN, any of them. */
MLP_INLINE mlp_real MLP_REAL(largest_of)(size_t n, const mlp_real *z) {
    mlp_real largest = z[0];
    if (n < MLP_LANES) {
        for (size_t j = 1; j < n; j++)
            largest = z[j] > largest ? z[j] : largest;
        return largest;
    }
    mlp_real candidates[MLP_LANES];
    mlp_vec v = v_load(z);
    for (size_t j = MLP_LANES; j + MLP_LANES <= n; j += MLP_LANES)
        v = v_max(v, v_load(z + j));
    v_store(candidates, v_max(v, v_load(z + n - MLP_LANES))); /* to look twice does not matter */
    for (size_t half = MLP_LANES / 2; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; lane++)
            if (candidates[lane + half] > candidates[lane])
                candidates[lane] = candidates[lane + half];
    return candidates[0];
}

/* e, with 0 in place of each 1 of a largest logit; and the first half of the group's row i. */
MLP_INLINE void MLP_REAL(softmax_row)(size_t n, const mlp_real *z, mlp_real *e,
                                      mlp_softmax_group *group, size_t i) {
    const mlp_real largest = MLP_REAL(largest_of)(n, z);
    const mlp_vec shift = v_set1(largest);
    mlp_real block[MLP_SUM_BLOCK];
    double lanes[MLP_SUM_LANES] = {0};
    size_t n_largest = 0;
    for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
        const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
        for (size_t j = 0; j < length; j += MLP_LANES) {
            const mlp_tail tail = v_tail(length - j < MLP_LANES ? length - j : MLP_LANES);
            const mlp_vec logit = v_load_tail(z + begin + j, tail);
            const mlp_vec power = MLP_REAL(vec_exp)(v_sub(logit, shift));
            const mlp_vec smaller = v_select(v_eq(logit, shift), v_zero(), power);
            v_store(block + j, smaller);
            if (e != NULL) v_store_tail(e + begin + j, tail, smaller);
        }
        for (size_t j = 0; j < length; j++)
            n_largest += z[begin + j] == largest;
        MLP_REAL(add_terms)(n, length, block, lanes);
    }
    /* The difference is 0, or NaN for an infinity. */
    const double ties = (double)n_largest - 1.0 + (double)(largest - largest);
    group->largest[i] = largest;
    group->others[i] = (mlp_real)(MLP_REAL(sum_of_terms)(n, block, lanes) + ties);
}

/* The sum of the terms of the group's row i. y NULL: class c. */
MLP_INLINE double MLP_REAL(cross_entropy_of_row)(size_t n, const mlp_real *z, const mlp_real *y,
                                                 size_t c, const mlp_softmax_group *group,
                                                 size_t i) {
    const mlp_real log_sum = group->log_sum[i], largest = group->largest[i];
    if (y == NULL) return 0.0 + (double)(log_sum - (z[c] - largest));

    mlp_real terms[MLP_SUM_BLOCK];
    double lanes[MLP_SUM_LANES] = {0};
    for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
        const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
        for (size_t j = 0; j < length; j += MLP_LANES) {
            const mlp_tail tail = v_tail(length - j < MLP_LANES ? length - j : MLP_LANES);
            const mlp_vec logit = v_load_tail(z + begin + j, tail);
            const mlp_vec target = v_load_tail(y + begin + j, tail);
            /* 0 times an infinite logit is no loss; a NaN is in log_sum too. */
            const mlp_vec shifted =
                v_select(v_eq(target, v_zero()), v_zero(), v_sub(logit, v_set1(largest)));
            v_store(terms + j, v_mul(target, v_sub(v_set1(log_sum), shifted)));
        }
        MLP_REAL(add_terms)(n, length, terms, lanes);
    }
    return MLP_REAL(sum_of_terms)(n, terms, lanes);
}

/* The gradient of the group's row i, in which e waits, times scale. y NULL: class c. */
MLP_INLINE void MLP_REAL(cross_entropy_row_gradient)(size_t n, const mlp_real *z, const mlp_real *y,
                                                     size_t c, const mlp_softmax_group *group,
                                                     size_t i, mlp_real scale, mlp_real *gradient) {
    const mlp_real not_largest = group->others[i] * group->inverse[i];
    const mlp_vec one = v_set1(1), shift = v_set1(group->largest[i]);
    const mlp_vec inverse = v_set1(group->inverse[i]), factor = v_set1(scale);
    const mlp_vec total = y != NULL ? v_set1((mlp_real)MLP_REAL(row_sum)(n, y)) : one;
    mlp_real hot = 0; /* 1 - p of class c */
    if (y == NULL)
        hot = z[c] == group->largest[i] ? not_largest : 1 - gradient[c] * group->inverse[i];

    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        const mlp_mask is_largest = v_eq(v_load_tail(z + j, tail), shift);
        const mlp_vec e = v_select(is_largest, one, v_load_tail(gradient + j, tail));
        const mlp_vec p = v_mul(e, inverse);
        mlp_vec derivative = p;
        if (y != NULL) {
            const mlp_vec target = v_load_tail(y + j, tail);
            const mlp_vec not_p = v_select(is_largest, v_set1(not_largest), v_sub(one, p));
            derivative = v_fnma(target, not_p, v_mul(p, v_sub(total, target)));
        }
        v_store_tail(gradient + j, tail, v_mul(derivative, factor));
    }
    if (y == NULL) gradient[c] = -hot * scale;
}

static void MLP_REAL(cross_entropy_of_logits)(const mlp_loss_rows *rows) {
    const size_t n_columns = rows->n_columns;
    /* Whole registers are read: without a start value the last one would be partly undefined. */
    mlp_softmax_group group = {.others = {0}};
    for (size_t begin = 0; begin < rows->n_rows; begin += MLP_SOFTMAX_GROUP) {
        const size_t n_left = rows->n_rows - begin;
        const size_t n = n_left < MLP_SOFTMAX_GROUP ? n_left : MLP_SOFTMAX_GROUP;
        const mlp_real *z = rows->prediction + begin * n_columns;
        mlp_real *gradient = rows->gradient != NULL ? rows->gradient + begin * n_columns : NULL;

        for (size_t i = 0; i < n; i++)
            MLP_REAL(softmax_row)(n_columns, z + i * n_columns,
                                  gradient != NULL ? gradient + i * n_columns : NULL, &group, i);
        for (size_t i = 0; i < n; i += MLP_LANES) {
            const mlp_vec others = v_load(group.others + i);
            v_store(group.log_sum + i, MLP_REAL(vec_log1p)(others));
            v_store(group.inverse + i, v_div(v_set1(1), v_add(v_set1(1), others)));
        }
        for (size_t i = 0; i < n; i++) {
            const size_t row = begin + i;
            const mlp_real *logits = z + i * n_columns, *y = NULL;
            size_t c = 0;
            if (rows->class_index != NULL)
                c = MLP_REAL(class_of)(rows, row);
            else
                y = rows->target + row * n_columns;
            if (rows->row_values != NULL)
                rows->row_values[row] =
                    MLP_REAL(cross_entropy_of_row)(n_columns, logits, y, c, &group, i);
            if (gradient != NULL)
                MLP_REAL(cross_entropy_row_gradient)(n_columns, logits, y, c, &group, i,
                                                     MLP_REAL(row_scale)(rows, row),
                                                     gradient + i * n_columns);
        }
    }
}

/* A row of weight 0 does not count: its gradient is 0 even where 0 times a derivative is NaN. */
static void MLP_REAL(clear_rows)(const mlp_loss_rows *rows) {
    for (size_t row = 0; row < rows->n_rows; row++) {
        if (rows->sample_weight[row] != 0) continue;
        for (size_t j = 0; j < rows->n_columns; j++)
            rows->gradient[row * rows->n_columns + j] = 0;
    }
}

static void MLP_REAL(loss)(const mlp_loss *loss, size_t n_columns, const mlp_batch *batch,
                           const void *prediction, double factor, void *gradient,
                           double *row_values) {
    const mlp_loss_rows rows = {
        .n_rows = batch->n_samples,
        .n_columns = n_columns,
        .prediction = prediction,
        .target = batch->target,
        .class_index = batch->class_index,
        .sample_weight = batch->sample_weight,
        .factor = factor,
        .gradient = gradient,
        .row_values = row_values,
    };
    if (loss->kind == MLP_CROSS_ENTROPY_WITH_LOGITS)
        MLP_REAL(cross_entropy_of_logits)(&rows);
    else
        MLP_REAL(elementwise_loss)(loss, &rows);
    if (gradient != NULL && batch->sample_weight != NULL) MLP_REAL(clear_rows)(&rows);
}
