/* SPDX-License-Identifier: BSD-3-Clause */
/* loss.c - reductions, and the loss of bare predictions. */
#include "loss.h"

#include "network.h"

/* Rows whose sums are kept at a time when a loss is evaluated alone. */
#define ROWS_AT_ONCE 256

static double weight_of(mlp_dtype dtype, const mlp_batch *batch, size_t row) {
    if (batch->sample_weight == NULL) return 1.0;
    if (dtype == MLP_FLOAT32) return (double)((const float *)batch->sample_weight)[row];
    return ((const double *)batch->sample_weight)[row];
}

static int is_cross_entropy(mlp_loss_kind kind) {
    return kind == MLP_CROSS_ENTROPY || kind == MLP_CROSS_ENTROPY_WITH_LOGITS;
}

double mlp_loss_factor(const mlp_loss *loss, mlp_dtype dtype, size_t n_outputs,
                       const mlp_batch *batch) {
    if (loss->reduction == MLP_SUM) return 1.0;
    double divisor = 0.0;
    if (batch->sample_weight == NULL)
        divisor = (double)batch->n_samples;
    else
        for (size_t row = 0; row < batch->n_samples; row++)
            divisor += weight_of(dtype, batch, row);
    if (loss->reduction == MLP_MEAN && !is_cross_entropy(loss->kind)) divisor *= (double)n_outputs;
    return divisor == 0.0 ? 0.0 : 1.0 / divisor;
}

/* The sum goes on where that of the rows before ended. A row of weight 0 does not count, not even
 * with a term that is not finite. */
static double add_rows(double sum, const double *row_values, mlp_dtype dtype,
                       const mlp_batch *batch) {
    for (size_t row = 0; row < batch->n_samples; row++) {
        const double weight = weight_of(dtype, batch, row);
        if (weight != 0.0) sum += weight * row_values[row];
    }
    return sum;
}

double mlp_loss_total(const double *row_values, mlp_dtype dtype, const mlp_batch *batch,
                      double factor) {
    return factor * add_rows(0.0, row_values, dtype, batch);
}

void mlp_loss_evaluate(mlp_dtype dtype, const mlp_loss *loss, size_t n_outputs,
                       const mlp_batch *batch, const void *prediction, void *gradient,
                       double *value) {
    const mlp_kernels *kernels = mlp_kernels_selected(dtype);
    const double factor = mlp_loss_factor(loss, dtype, n_outputs, batch);
    double row_values[ROWS_AT_ONCE];
    double sum = 0.0;
    for (size_t begin = 0; begin < batch->n_samples; begin += ROWS_AT_ONCE) {
        const size_t n_rows = mlp_smaller(batch->n_samples - begin, ROWS_AT_ONCE);
        const mlp_batch rows = mlp_batch_rows(kernels, batch, begin, n_rows, 0, n_outputs);
        kernels->loss(loss, n_outputs, &rows, mlp_const_at(kernels, prediction, begin * n_outputs),
                      factor, mlp_at(kernels, gradient, begin * n_outputs), row_values);
        sum = add_rows(sum, row_values, dtype, &rows);
    }
    *value = factor * sum;
}

mlp_loss_kind mlp_loss_fuse(mlp_loss_kind kind, mlp_activation output, int *on_pre_activation) {
    *on_pre_activation = 1;
    if (kind == MLP_BCE && output == MLP_SIGMOID) return MLP_BCE_WITH_LOGITS;
    if (kind == MLP_CROSS_ENTROPY && output == MLP_SOFTMAX) return MLP_CROSS_ENTROPY_WITH_LOGITS;
    *on_pre_activation = 0;
    return kind;
}
