/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss_template.h - the losses over a batch: the sum of each row's terms, and the gradient.
 *
 * Included once for each dtype, after elementwise_template.h. Terms are made in the dtype,
 * MLP_SUM_BLOCK at a time, and summed row by row in double. Several narrow rows make one block: a
 * net with one output would leave most of a register idle otherwise.
 */
#include "loss_terms_template.h"
#include "loss_rows_template.h"
#include "cross_entropy_template.h"

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

/* sums[i] = that of row i, of n_rows rows of n numbers. Apart, because the registers that it fills
 * would make its caller slower where there is one row. */
MLP_NOINLINE void MLP_REAL(row_sums)(size_t n_rows, size_t n, const mlp_real *terms, double *sums) {
    size_t i = 0;
    for (; n > 1 && n <= MLP_SUM_LANES && i + MLP_LANES <= n_rows; i += MLP_LANES) {
        mlp_vec column[MLP_SUM_LANES];
        MLP_REAL(turn_rows)(MLP_LANES, n, terms + i * n, column);
        MLP_REAL(sums_of_turned)(n, (const mlp_real *)column, sums + i);
    }
    for (; i < n_rows; i++)
        sums[i] = MLP_REAL(row_sum)(n, terms + i * n);
}

static void MLP_REAL(elementwise_loss)(const mlp_loss *loss, const mlp_loss_rows *rows) {
    const size_t n_columns = rows->n_columns;
    size_t rows_at_once = rows->n_rows;
    if (rows_at_once * n_columns > MLP_SUM_BLOCK) /* a division, which a tiny net would feel */
        rows_at_once = n_columns < MLP_SUM_BLOCK ? MLP_SUM_BLOCK / n_columns : 1;
    mlp_real terms[MLP_SUM_BLOCK], scale[MLP_SUM_BLOCK], classes[MLP_SUM_BLOCK];
    for (size_t j = 0; j < rows_at_once * n_columns && j < MLP_SUM_BLOCK; j += MLP_LANES)
        v_store(scale + j, v_set1((mlp_real)rows->factor));

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
            MLP_REAL(row_sums)(n_rows, n_columns, terms, rows->row_values + row);
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
