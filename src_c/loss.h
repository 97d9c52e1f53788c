/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss.h - from the sums of rows to the loss of a batch, once for everybody who needs it.
 *
 *     loss = factor sum_i w_i row_values[i]        dl/dy_hat[i] = factor w_i drow_value[i]/dy_hat[i]
 *
 *     reduction      factor, S = sum_i w_i (N without weights)
 *     mean           1 / (S K); cross entropy, whose term is one a row: 1 / S
 *     batch mean     1 / S
 *     sum            1
 *
 * Rows are added in order, in double.
 */
#ifndef MLP_LOSS_H
#define MLP_LOSS_H

#include "mlpcore.h"

/* 0 where S is 0: an empty batch, or one in which no row counts, has loss 0 and gradient 0. */
double mlp_loss_factor(const mlp_loss *loss, mlp_dtype dtype, size_t n_outputs,
                       const mlp_batch *batch);

/* factor times the weighted sum of all rows of batch. */
double mlp_loss_total(const double *row_values, mlp_dtype dtype, const mlp_batch *batch,
                      double factor);

#endif
