/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weights.h - the second region of a pass: dW and db of every layer, and an update in passing.
 *
 * An update must leave all finite or change nothing. Three ways spare the gradients their way
 * through the memory:
 *
 *   exchange   plain SGD: a tile of a gradient, in registers, becomes the new weights, and the old
 *              ones are written where it would have been; so the update can be undone
 *   tiles      the same without the old ones, where the update is sure to leave all finite
 *   pieces     any rule, where that is sure: rows of a gradient that stay in L2 are made, and the
 *              parameters updated by them before the next ones
 *
 * Otherwise there are gradients, and optimizer.c tries the update before it makes it.
 */
#ifndef MLP_WEIGHTS_H
#define MLP_WEIGHTS_H

#include <stdatomic.h>

#include "optimizer.h"
#include "propagate.h"

typedef enum mlp_update_way {
    MLP_GRADIENTS,
    MLP_EXCHANGE,
    MLP_SURE_TILES,
    MLP_SURE_PIECES
} mlp_update_way;

typedef struct mlp_weight_region {
    mlp_workspace *workspace;
    const mlp_pass *pass;
    void *gradients;
    mlp_update update; /* of pass->update */
    /* of the running block */
    size_t n_rows;
    const void *x;
    size_t x_stride;
    int accumulate;
    mlp_update_way way;
    atomic_int not_finite;
} mlp_weight_region;

/* Reals of a worker for the pieces of a gradient; 0: there will be none. */
size_t mlp_weights_piece_reals(const mlp_network *network, const mlp_kernels *kernels,
                               const mlp_pass *pass);

/* Whether it can pay to bound the gradients after the rows, so that the update may turn out to be
 * sure; the products over rows must sum squares then. */
int mlp_weights_may_be_sure(const mlp_network *network, const mlp_pass *pass);

/* One block, the last one if is_last. may_be_sure: as above, and the loss is finite. An update in
 * passing is yet to be counted. */
mlp_outcome mlp_weights_run(mlp_weight_region *weights, int is_last, int may_be_sure);

/* Puts back what an exchange has changed. */
void mlp_weights_undo(const mlp_weight_region *weights);

#endif
