/* SPDX-License-Identifier: BSD-3-Clause */
/* propagate.h - one pass of a batch through a net, as train.c and the public calls ask for it. */
#ifndef MLP_PROPAGATE_H
#define MLP_PROPAGATE_H

#include "network.h"

typedef struct mlp_pass {
    const mlp_batch *batch;     /* x; targets too when there is a loss */
    const mlp_record *records;  /* the caller's, whole batch; NULL: the workspace's, by blocks */
    int forward;                /* the records have yet to be filled */
    const mlp_loss *loss;       /* NULL: none */
    const mlp_dropout *dropout; /* NULL: none */
    const void *cotangent;      /* (N, K) dl/dy_hat, instead of a loss; may be NULL */
    int own_gradients;          /* gradients go to workspace->gradients */
    void *gradients;            /* (P,); NULL without own_gradients: no backward */
    /* With own_gradients: these parameters (P,) are updated in passing if that can be undone (plain
     * SGD, the workspace's gradients become what they were) or is sure to leave them finite. NULL:
     * no update. */
    mlp_optimizer *update;
    void *parameters;
    void *grad_x;         /* (N, D) or NULL; not without gradients */
    size_t gathered_rows; /* room for a gathered batch of so many; 0: none is */
    /* With gathered_rows: batch is mlp_gathered_batch of these rows of data, yet to be copied. */
    const mlp_batch *data;
    const int64_t *order; /* (N,) */
} mlp_pass;

/* Lays the workspace out for this pass, and for one of fewer rows. */
mlp_status mlp_pass_prepare(mlp_workspace *workspace, const mlp_pass *pass, size_t n_threads);

/* What became of pass->update. */
typedef enum mlp_outcome {
    MLP_NOT_UPDATED, /* the gradients are there */
    MLP_UPDATED,     /* and counted */
    MLP_UNDONE,      /* something was not finite; the parameters are as they were */
    MLP_STOPPED      /* as the poll said; the parameters are as they were */
} mlp_outcome;

/* *value is written if there is a loss. */
mlp_outcome mlp_pass_run(mlp_workspace *workspace, const mlp_pass *pass, const void *parameters,
                         double *value);

#endif
