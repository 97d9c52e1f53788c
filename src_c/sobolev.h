/* SPDX-License-Identifier: BSD-3-Clause */
/* sobolev.h - what the two regions of sobolev.c share, and where the first of them stands. */
#ifndef MLP_SOBOLEV_H
#define MLP_SOBOLEV_H

#include "query.h"

/* All of a block. The first four have K D numbers a sample, as (K, D) or, columns, as (D, K). */
enum {
    MLP_SOBOLEV_JACOBIAN,
    MLP_SOBOLEV_JACOBIAN_GRAD,
    MLP_SOBOLEV_COLUMNS,
    MLP_SOBOLEV_COLUMNS_GRAD,
    MLP_SOBOLEV_SPARE,
    MLP_SOBOLEV_LAST_CURVATURE
};

typedef struct mlp_sobolev_region {
    mlp_workspace *workspace;
    mlp_batch block; /* the rows of the running block */
    size_t strip_rows;
    int forward_mode, backward;
    mlp_loss loss; /* what is really computed of the outputs */
    int on_pre_activation;
    double factor;
    double distance_factor; /* of the squared distance of the Jacobian */
    double *row_values, *distances;
    void *grad_x; /* of the block, or NULL */
    int accumulate;
    size_t n_parts; /* tasks of a layer's weight */
    void *gradients;
} mlp_sobolev_region;

/* sobolev_rows.c: a strip of samples to both losses, and back to dl/dz and dl/dt of every layer. */
void mlp_sobolev_row_task(void *context, size_t task, size_t worker);

/* sobolev.c: loss and gradients of a batch with dy_dx; as mlp_value_and_grad. */
mlp_status mlp_sobolev(mlp_workspace *workspace, const void *parameters, const mlp_batch *batch,
                       const mlp_loss *loss, void *gradients, void *grad_x, double *value,
                       size_t n_threads);

#endif
