/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss_rows_template.h - the rows of a batch as a loss sees them.
 *
 * Included once for each dtype.
 */
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
