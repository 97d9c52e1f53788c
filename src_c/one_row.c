/* SPDX-License-Identifier: BSD-3-Clause */
/* one_row.c - one row a step, without the books of a pass. */
#include "one_row.h"

#include <math.h>

#include "loss.h"

int mlp_row_steps_begin(mlp_row_steps *steps, mlp_workspace *w, const mlp_pass *pass) {
    const mlp_network *net = w->network;
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    mlp_row_region *rows = &steps->rows;
    if (pass->batch->n_samples != 1 || pass->update == NULL || !mlp_is_plain_sgd(pass->update) ||
        pass->dropout != NULL || w->needs.n_threads > 1)
        return 0;
    rows->workspace = w;
    rows->pass = pass;
    rows->block = pass->batch;
    rows->strip_rows = 1;
    rows->forward = rows->backward = 1;
    rows->dropout = NULL;
    rows->first_row = 0;
    rows->x_stride = net->layers[0].n_inputs;
    rows->cotangent = NULL;
    steps->loss = *pass->loss;
    steps->loss.kind = mlp_loss_fuse(pass->loss->kind, last->activation, &rows->on_pre_activation);
    rows->loss = &steps->loss;
    rows->factor = mlp_loss_factor(pass->loss, net->dtype, last->n_outputs, pass->batch);
    rows->row_values = w->row_values;
    rows->grad_x = NULL;
    rows->sums_squares = mlp_weights_may_be_sure(net, pass);
    mlp_workspace_bind(w, pass->parameters, rows->sums_squares);
    mlp_point_layers(w, NULL, rows->on_pre_activation, 0);
    steps->weights.workspace = w;
    steps->weights.pass = pass;
    steps->weights.gradients = w->gradients;
    steps->weights.n_rows = 1;
    steps->weights.x_stride = rows->x_stride;
    steps->weights.accumulate = 0;
    steps->weights.way = MLP_EXCHANGE;
    atomic_init(&steps->weights.not_finite, 0);
    return 1;
}

/* Few parameters. The whole gradient is made first: rows of a narrow weight lie so close that, if they
 * were updated one by one, each would wait for the one before, which a register overlaps. */
MLP_INLINE mlp_outcome exchange(const mlp_weight_region *weights) {
    const mlp_workspace *w = weights->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const mlp_pass *pass = weights->pass;
    const void *input = weights->x;
    for (size_t l = 0; l < net->n_layers; l++) {
        kernels->row_gradient(&w->linears[l], input, w->layers[l].grad_pre_activation,
                              mlp_at(kernels, w->gradients, net->layers[l].weight_offset));
        input = w->layers[l].output;
    }
    /* Another thread may set a penalty in the course of an epoch, as may what a poll runs. */
    if (!mlp_is_plain_sgd(pass->update)) return MLP_NOT_UPDATED;
    if (!kernels->sgd_exchange(pass->update, net->n_parameters, pass->parameters, w->gradients)) {
        mlp_weights_undo(weights);
        return MLP_UNDONE;
    }
    pass->update->step++; /* there are no moments to be bounded */
    return MLP_UPDATED;
}

mlp_outcome mlp_row_step(mlp_row_steps *steps, double *value) {
    mlp_row_region *rows = &steps->rows;
    mlp_weight_region *weights = &steps->weights;
    const mlp_pass *pass = weights->pass;
    mlp_workspace *w = rows->workspace;
    const mlp_network *net = w->network;
    const size_t last = net->n_layers - 1;
    rows->x = weights->x = pass->batch->x;
    if (pass->batch->sample_weight != NULL)
        rows->factor =
            mlp_loss_factor(pass->loss, net->dtype, net->layers[last].n_outputs, pass->batch);
    *w->squares = (mlp_row_squares){0.0, 0.0, 0.0};
    mlp_forward_rows(rows, 0, 1, w->scratch, w->squares);
    mlp_output_rows(rows, &w->layers[last], &net->layers[last], 0, 1);
    mlp_backward_rows(rows, 0, 1, w->scratch, w->squares);
    /* Nothing is updated yet. */
    if (mlp_is_interrupted(w, 3 * mlp_forward_work(net))) return MLP_STOPPED;
    *value = mlp_loss_total(w->row_values, net->dtype, pass->batch, rows->factor);
    if (!isfinite(*value)) return MLP_UNDONE;
    if (!rows->sums_squares) return exchange(weights);
    const mlp_outcome outcome = mlp_weights_run(weights, 1, 1);
    if (outcome == MLP_UPDATED) mlp_update_made(&weights->update);
    return outcome;
}
