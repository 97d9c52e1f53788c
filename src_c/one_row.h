/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * one_row.h - steps of plain SGD that take one row each, on one thread.
 *
 * A pass keeps books: of blocks, strips, regions of tasks, and of the ways in which an update may
 * be made. For one row of a tiny net they take longer than the arithmetic. What does not depend on
 * the row is settled here before the first step:
 *
 *   mlp_row_steps_begin   which loss, where each layer's numbers lie, whether a bound can pay
 *   mlp_row_step          the row forward and back (rows.h), and the update: of few parameters one
 *                         exchange after the whole gradient, of more in passing (weights.h)
 *
 * The kernels are those of a pass, or do what those do number by number, so that the bits are the same.
 */
#ifndef MLP_ONE_ROW_H
#define MLP_ONE_ROW_H

#include "rows.h"
#include "weights.h"

typedef struct mlp_row_steps {
    mlp_row_region rows;
    mlp_weight_region weights;
    mlp_loss loss; /* fused */
} mlp_row_steps;

/* Whether pass, for which the workspace is laid out, is such a step; if not, nothing is begun. */
int mlp_row_steps_begin(mlp_row_steps *steps, mlp_workspace *workspace, const mlp_pass *pass);

/* One step from what lies in pass->batch now; as a pass, the gradient alone if the optimizer has become
 * another than it was when the steps were begun. */
mlp_outcome mlp_row_step(mlp_row_steps *steps, double *value);

#endif
