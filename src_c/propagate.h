/* SPDX-License-Identifier: BSD-3-Clause */
/* propagate.h - one pass of a batch through a net, as train.c and the public calls ask for it. */
#ifndef MLP_PROPAGATE_H
#define MLP_PROPAGATE_H

#include "network.h"

typedef struct mlp_pass {
    size_t n_rows;
    const void *x;             /* (n_rows, D) */
    const mlp_record *records; /* the caller's, whole batch; NULL: the workspace's, by blocks */
    const mlp_batch *batch;    /* targets, when there is a loss */
    const mlp_loss *loss;      /* NULL: none */
    const void *cotangent;     /* (n_rows, K) dl/dy_hat, instead of a loss; may be NULL */
    int forward;               /* the records have yet to be filled */
    void *gradients;           /* (P,) or NULL: no backward */
    void *grad_x;              /* (n_rows, D) or NULL */
    mlp_loss fused;            /* set by mlp_pass_prepare: the loss that is really computed */
    int on_pre_activation;     /* likewise: it looks at z rather than at y_hat */
} mlp_pass;

/* Lays the workspace out for this pass, adding to what the caller has put into needs. A caller
 * whose gradients lie in the workspace sets needs->own_gradients, and pass->gradients afterwards. */
mlp_status mlp_pass_prepare(mlp_workspace *workspace, mlp_pass *pass, mlp_needs *needs,
                            size_t n_threads);

/* Cannot fail. *value is written if there is a loss. */
void mlp_pass_run(mlp_workspace *workspace, const mlp_pass *pass, const void *parameters,
                  double *value);

#endif
