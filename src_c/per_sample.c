/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * per_sample.c - the gradient of each sample's loss as a batch of one, or its norm alone; and the same
 * of any function of the output whose dl/dy_hat is given.
 *
 * With dl/dz and the inputs of every layer at hand, a row of dW is the product of two vectors, and
 * the norm does not need it:
 *
 *     |dl/dparameters|^2 = sum over layers of |dl/dz_l|^2 (|a_{l-1}|^2 + 1), without the 1 where a
 *                          layer has no bias
 */
#include <math.h>
#include <string.h>

#include "loss.h"
#include "query.h"

typedef struct sample_region {
    mlp_workspace *workspace;
    const mlp_batch *batch;
    int has_loss;  /* else the targets are dl/dy_hat */
    mlp_loss loss; /* what is really computed */
    int on_pre_activation;
    double factor;
    void *gradients; /* (N, P) or NULL */
    double *norms;   /* (N,) or NULL */
} sample_region;

static void backward(const sample_region *region, const mlp_query_strip *strip, size_t first,
                     size_t n_rows, void *scratch) {
    const mlp_network *net = region->workspace->network;
    const mlp_query *query = region->workspace->query;
    const mlp_kernels *kernels = query->needs.kernels;
    size_t l = net->n_layers - 1;
    const size_t n_outputs = net->layers[l].n_outputs;
    const mlp_query_layer *last = &strip->layers[l];
    const mlp_batch rows =
        mlp_batch_rows(kernels, region->batch, first, n_rows, net->layers[0].n_inputs, n_outputs);
    void *grad = last->kept[MLP_KEPT_GRAD];
    if (region->has_loss)
        kernels->loss(&region->loss, n_outputs, &rows,
                      region->on_pre_activation ? last->kept[MLP_KEPT_OUTPUT_PRE_ACTIVATION]
                                                : last->kept[MLP_KEPT_OUTPUT],
                      region->factor, grad, NULL);
    else
        memcpy(grad, rows.target, n_rows * n_outputs * kernels->real_bytes);
    if (!region->on_pre_activation) {
        if (net->layers[l].activation == MLP_SOFTMAX)
            kernels->softmax_backward(n_rows, n_outputs, last->kept[MLP_KEPT_OUTPUT], grad, grad);
        else if (last->kept[MLP_KEPT_DERIVATIVE] != NULL)
            kernels->multiply(n_rows * n_outputs, grad, last->kept[MLP_KEPT_DERIVATIVE], grad);
    }
    for (; l > 0; l--) {
        const mlp_query_layer *below = &strip->layers[l - 1];
        kernels->linear_backward_input(
            &query->products[l], n_rows, strip->layers[l].kept[MLP_KEPT_GRAD],
            strip->layers[l].stride, below->kept[MLP_KEPT_DERIVATIVE], below->stride, 0,
            below->kept[MLP_KEPT_GRAD], below->stride, scratch);
    }
}

static void sample_task(void *context, size_t task, size_t worker) {
    const sample_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_strip *strip = &query->strips[worker];
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t first = task * query->needs.n_rows;
    const size_t n_rows = mlp_smaller(query->needs.n_rows, region->batch->n_samples - first);
    void *scratch = mlp_query_scratch(query, worker);
    const void *x = mlp_const_at(kernels, region->batch->x, first * n_inputs);
    mlp_query_forward(w, strip, 0, n_rows, x, NULL, scratch);
    backward(region, strip, first, n_rows, scratch);
    for (size_t i = 0; i < n_rows; i++) {
        void *gradient = mlp_at(kernels, region->gradients, (first + i) * net->n_parameters);
        double squares = 0.0;
        for (size_t l = 0; l < net->n_layers; l++) {
            const mlp_layer_shape *layer = &net->layers[l];
            const void *input =
                l == 0 ? mlp_const_at(kernels, x, i * n_inputs)
                       : mlp_kept_at(kernels, &strip->layers[l - 1], MLP_KEPT_OUTPUT, i);
            const void *grad = mlp_kept_at(kernels, &strip->layers[l], MLP_KEPT_GRAD, i);
            if (region->norms != NULL)
                squares += kernels->sum_of_squares(layer->n_outputs, grad) *
                           (kernels->sum_of_squares(layer->n_inputs, input) + net->has_bias);
            if (gradient == NULL) continue;
            kernels->linear_backward_weight(&query->products[l], 1, input, layer->n_inputs, grad,
                                            layer->n_outputs, 0, layer->n_inputs, 0,
                                            mlp_at(kernels, gradient, layer->weight_offset), NULL,
                                            0, NULL, scratch);
            if (net->has_bias)
                kernels->linear_backward_bias(&query->products[l], 1, grad, layer->n_outputs, 0,
                                              mlp_at(kernels, gradient, layer->bias_offset), NULL,
                                              0, NULL);
        }
        if (region->norms != NULL) region->norms[first + i] = sqrt(squares);
    }
}

mlp_status mlp_per_sample_gradients(mlp_workspace *w, const void *parameters,
                                    const mlp_batch *batch, const mlp_loss *loss, void *gradients,
                                    double *norms, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    const mlp_batch one = {.n_samples = 1};
    const size_t n_samples = batch->n_samples;
    MLP_ASSERT(batch->sample_weight == NULL);
    if (n_samples == 0) return MLP_OK;
    sample_region region = {.workspace = w,
                            .batch = batch,
                            .has_loss = loss != NULL,
                            .gradients = gradients,
                            .norms = norms};
    if (loss != NULL) {
        region.loss = *loss;
        region.loss.kind = mlp_loss_fuse(loss->kind, last->activation, &region.on_pre_activation);
        region.factor = mlp_loss_factor(loss, net->dtype, last->n_outputs, &one);
    }
    n_threads = mlp_useful_threads(n_threads, 3 * n_samples * net->n_weights);
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = n_threads,
        .n_rows = mlp_query_strip_rows(net, kernels, n_samples, 1, n_threads),
        .keeps = {[MLP_KEPT_OUTPUT] = 1,
                  [MLP_KEPT_DERIVATIVE] = 1,
                  [MLP_KEPT_OUTPUT_PRE_ACTIVATION] = region.on_pre_activation,
                  [MLP_KEPT_GRAD] = 1},
        .ends_before_activation = region.on_pre_activation,
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, NULL);
    return mlp_polled_for(w, n_threads, mlp_quotient_up(n_samples, needs.n_rows),
                          needs.n_rows * 3 * mlp_forward_work(net), sample_task, &region);
}
