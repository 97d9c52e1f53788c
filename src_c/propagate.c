/* SPDX-License-Identifier: BSD-3-Clause */
/* propagate.c - a batch through a net, forward and back; network.h tells the plan. */
#include "propagate.h"

#include <string.h>

#include "loss.h"

/* ---- region 2: strips of rows --------------------------------------------------------------- */

typedef struct row_region {
    mlp_workspace *workspace;
    mlp_batch block; /* the rows of the running block */
    size_t strip_rows;
    int forward, backward;
    const void *cotangent; /* (n_rows, K) of the block, or NULL */
    const mlp_loss *loss;  /* what is really computed; NULL: none */
    int on_pre_activation; /* the loss looks at z rather than at y_hat, and gives dl/dz */
    double factor;
    double *row_values;
    void *grad_x;
} row_region;

/* The loss of the rows and dl/dz of the output layer. */
static void output_rows(const row_region *region, const mlp_record *record,
                        const mlp_layer_shape *layer, size_t first, size_t n_rows) {
    const mlp_kernels *kernels = region->workspace->needs.kernels;
    const size_t n_outputs = layer->n_outputs, from = first * n_outputs, n = n_rows * n_outputs;
    void *delta = mlp_at(kernels, record->grad_pre_activation, from);
    void *grad_output = mlp_at(kernels, record->grad_output, from);
    const void *da;
    if (region->loss != NULL) {
        const mlp_batch rows = mlp_batch_rows(kernels, &region->block, first, n_rows, 0, n_outputs);
        const void *prediction =
            region->on_pre_activation ? record->pre_activation : record->output;
        void *gradient = region->on_pre_activation || grad_output == NULL ? delta : grad_output;
        kernels->loss(region->loss, n_outputs, &rows, mlp_const_at(kernels, prediction, from),
                      region->factor, region->backward ? gradient : NULL,
                      region->row_values + first);
        if (!region->backward || region->on_pre_activation) return;
        da = gradient;
    } else {
        da = mlp_const_at(kernels, region->cotangent, from);
        if (grad_output != NULL) memcpy(grad_output, da, n * kernels->real_bytes);
    }
    if (layer->activation == MLP_SOFTMAX)
        kernels->softmax_backward(n_rows, n_outputs, mlp_const_at(kernels, record->output, from),
                                  da, delta);
    else
        kernels->multiply(n, da, mlp_const_at(kernels, record->activation_derivative, from), delta);
}

static void row_task(void *context, size_t task, size_t worker) {
    const row_region *region = context;
    mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const mlp_record *records = w->records;
    const size_t n_layers = net->n_layers, n_inputs = net->layers[0].n_inputs;
    const size_t first = task * region->strip_rows;
    const size_t n_rows = mlp_smaller(region->strip_rows, region->block.n_samples - first);
    void *scratch = (unsigned char *)w->scratch + worker * w->scratch_bytes;

    if (region->forward) {
        const void *input = mlp_const_at(kernels, region->block.x, first * n_inputs);
        for (size_t l = 0; l < n_layers; l++) {
            const size_t from = first * net->layers[l].n_outputs;
            void *output = mlp_at(kernels, records[l].output, from);
            kernels->linear_forward(
                &w->linears[l], n_rows, input, mlp_at(kernels, records[l].pre_activation, from),
                output, mlp_at(kernels, records[l].activation_derivative, from), scratch);
            input = output;
        }
    }
    if (region->loss == NULL && region->cotangent == NULL) return;
    output_rows(region, &records[n_layers - 1], &net->layers[n_layers - 1], first, n_rows);
    if (!region->backward) return;
    for (size_t l = n_layers; l-- > 1;) {
        const size_t n_below = net->layers[l - 1].n_outputs, below = first * n_below;
        const void *delta =
            mlp_at(kernels, records[l].grad_pre_activation, first * net->layers[l].n_outputs);
        const void *derivative = mlp_at(kernels, records[l - 1].activation_derivative, below);
        void *delta_below = mlp_at(kernels, records[l - 1].grad_pre_activation, below);
        void *grad_output = mlp_at(kernels, records[l - 1].grad_output, below);
        if (grad_output != NULL) {
            kernels->linear_backward_input(&w->linears[l], n_rows, delta, NULL, grad_output,
                                           scratch);
            kernels->multiply(n_rows * n_below, grad_output, derivative, delta_below);
        } else {
            kernels->linear_backward_input(&w->linears[l], n_rows, delta, derivative, delta_below,
                                           scratch);
        }
    }
    if (region->grad_x != NULL)
        kernels->linear_backward_input(
            &w->linears[0], n_rows,
            mlp_at(kernels, records[0].grad_pre_activation, first * net->layers[0].n_outputs), NULL,
            mlp_at(kernels, region->grad_x, first * n_inputs), scratch);
}

/* ---- region 3: weight gradients ------------------------------------------------------------- */

typedef struct weight_region {
    mlp_workspace *workspace;
    const mlp_batch *block;
    size_t n_pieces; /* tasks of a layer */
    int accumulate;
    void *gradients;
} weight_region;

static void weight_task(void *context, size_t task, size_t worker) {
    const weight_region *region = context;
    mlp_workspace *w = region->workspace;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t l = task / region->n_pieces, piece = task % region->n_pieces;
    const mlp_layer_shape *layer = &w->network->layers[l];
    const size_t n_tiles = mlp_quotient_up(layer->n_inputs, kernels->tile_rows);
    const size_t begin_tile = piece * n_tiles / region->n_pieces;
    const size_t end_tile = (piece + 1) * n_tiles / region->n_pieces;
    const void *delta = w->records[l].grad_pre_activation;
    kernels->linear_backward_weight(&w->linears[l], region->block->n_samples,
                                    l > 0 ? w->records[l - 1].output : region->block->x, delta,
                                    mlp_smaller(begin_tile * kernels->tile_rows, layer->n_inputs),
                                    mlp_smaller(end_tile * kernels->tile_rows, layer->n_inputs),
                                    region->accumulate,
                                    mlp_at(kernels, region->gradients, layer->weight_offset),
                                    (unsigned char *)w->scratch + worker * w->scratch_bytes);
    if (piece == 0 && w->network->has_bias)
        kernels->linear_backward_bias(&w->linears[l], region->block->n_samples, delta,
                                      region->accumulate,
                                      mlp_at(kernels, region->gradients, layer->bias_offset));
}

/* ---- the three together --------------------------------------------------------------------- */

/* The records of a block: the caller's from row `first` on, or else the workspace's own. */
static void point_records(mlp_workspace *w, const mlp_record *given, int on_pre_activation,
                          size_t first) {
    const mlp_kernels *kernels = w->needs.kernels;
    for (size_t l = 0; l < w->network->n_layers; l++) {
        const mlp_layer_shape *layer = &w->network->layers[l];
        const size_t from = first * layer->n_outputs;
        mlp_record *record = &w->records[l];
        if (given != NULL) {
            *record = (mlp_record){
                mlp_at(kernels, given[l].pre_activation, from),
                mlp_at(kernels, given[l].output, from),
                mlp_at(kernels, given[l].activation_derivative, from),
                mlp_at(kernels, given[l].grad_output, from),
                mlp_at(kernels, given[l].grad_pre_activation, from),
            };
            if (record->grad_pre_activation == NULL)
                record->grad_pre_activation = w->grad_pre_activations[l];
            continue;
        }
        *record = (mlp_record){.output = w->outputs[l],
                               .grad_pre_activation = w->grad_pre_activations[l]};
        if (l + 1 == w->network->n_layers && on_pre_activation) {
            record->pre_activation = w->outputs[l];
            record->output = NULL;
        } else if (layer->activation != MLP_SOFTMAX) {
            record->activation_derivative = w->activation_derivatives[l];
        }
    }
}

static int goes_back(const mlp_pass *pass) {
    return pass->own_gradients || pass->gradients != NULL;
}

mlp_status mlp_pass_prepare(mlp_workspace *w, const mlp_pass *pass, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const size_t n_rows = pass->batch->n_samples;
    const size_t block_rows = mlp_smaller(n_rows > 0 ? n_rows : 1, MLP_BLOCK_ROWS);
    MLP_ASSERT(pass->forward || pass->records != NULL);
    MLP_ASSERT(!goes_back(pass) || pass->loss != NULL || pass->cotangent != NULL);
    MLP_ASSERT(pass->grad_x == NULL || goes_back(pass));
    const mlp_needs needs = {
        .kernels = kernels,
        .n_threads = mlp_useful_threads(n_threads, 3 * net->n_weights * block_rows),
        .value_rows = pass->loss != NULL ? n_rows : 0,
        .block_rows = block_rows,
        .gathered_rows = pass->gathered_rows,
        .forward_panels = pass->forward && mlp_packs_forward(kernels, n_rows),
        .backward_panels = goes_back(pass),
        .backward_to_x = pass->grad_x != NULL,
        .own_outputs = pass->records == NULL,
        .own_gradients = pass->own_gradients,
        .gathers_class_index = pass->batch->class_index != NULL,
    };
    return mlp_workspace_prepare(w, &needs);
}

void mlp_pass_run(mlp_workspace *w, const mlp_pass *pass, const void *parameters, double *value) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const mlp_batch *batch = pass->batch;
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    const size_t n_threads = w->needs.n_threads, n_inputs = net->layers[0].n_inputs;
    void *gradients = pass->own_gradients ? w->gradients : pass->gradients;
    mlp_loss fused;
    row_region rows = {.workspace = w, .forward = pass->forward, .backward = goes_back(pass)};
    if (pass->loss != NULL) {
        fused = *pass->loss;
        fused.kind = mlp_loss_fuse(fused.kind, last->activation, &rows.on_pre_activation);
        rows.loss = &fused;
        rows.factor = mlp_loss_factor(pass->loss, net->dtype, last->n_outputs, batch);
    }
    mlp_pack_weights(w, parameters);
    size_t first = 0;
    do {
        const size_t n_rows = mlp_smaller(batch->n_samples - first, MLP_BLOCK_ROWS);
        point_records(w, pass->records, rows.on_pre_activation, first);
        rows.block = mlp_batch_rows(kernels, batch, first, n_rows, n_inputs, last->n_outputs);
        rows.cotangent = mlp_const_at(kernels, pass->cotangent, first * last->n_outputs);
        rows.row_values = w->row_values + first;
        rows.grad_x = mlp_at(kernels, pass->grad_x, first * n_inputs);
        rows.strip_rows =
            mlp_strip_rows(net, kernels, n_inputs + 3 * net->total_width, n_rows, n_threads);
        mlp_parallel_for(n_threads, mlp_quotient_up(n_rows, rows.strip_rows), row_task, &rows);
        if (rows.backward) {
            weight_region weights = {w, &rows.block, n_threads, first > 0, gradients};
            mlp_parallel_for(n_threads, net->n_layers * n_threads, weight_task, &weights);
        }
        first += n_rows;
    } while (first < batch->n_samples);
    if (pass->loss != NULL) *value = mlp_loss_total(w->row_values, net->dtype, batch, rows.factor);
}

mlp_status mlp_forward_records(mlp_workspace *w, const void *parameters, size_t n_samples,
                               const void *x, const mlp_record *records, size_t n_threads) {
    const mlp_batch batch = {.n_samples = n_samples, .x = x};
    const mlp_pass pass = {.batch = &batch, .records = records, .forward = 1};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status == MLP_OK) mlp_pass_run(w, &pass, parameters, NULL);
    return status;
}

mlp_status mlp_backward_records(mlp_workspace *w, const void *parameters, const mlp_record *records,
                                const mlp_batch *batch, const void *cotangent, const mlp_loss *loss,
                                void *gradients, void *grad_x, double *value, size_t n_threads) {
    const mlp_pass pass = {
        .batch = batch,
        .records = records,
        .loss = cotangent != NULL ? NULL : loss,
        .cotangent = cotangent,
        .gradients = gradients,
        .grad_x = grad_x,
    };
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status == MLP_OK) mlp_pass_run(w, &pass, parameters, value);
    return status;
}

mlp_status mlp_value_and_grad(mlp_workspace *w, const void *parameters, const mlp_batch *batch,
                              const mlp_loss *loss, void *gradients, void *grad_x, double *value,
                              size_t n_threads) {
    const mlp_pass pass = {
        .batch = batch, .forward = 1, .loss = loss, .gradients = gradients, .grad_x = grad_x};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status == MLP_OK) mlp_pass_run(w, &pass, parameters, value);
    return status;
}
