/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jacobian.c - dy_hat/dx whole, row by row of the output or column by column of the input.
 *
 * With D_l = diag(f'(z_l)) of a sample, dy_hat/dx = D_L W_L ... D_2 W_2 D_1 W_1. Both modes
 * leave out the product that is none, and D_L comes last, to the K x D result:
 *
 *   reverse   the K rows of W_L times D_{L-1}, times W_{L-1}, ... , times W_1
 *   forward   the D columns of W_1, times D_1, W_2 times that, ... , W_L times that
 *
 * The mode is a matter of the net's sizes alone, so that a sample has the same bits in any batch.
 */
#include "query.h"

typedef struct jacobian_region {
    mlp_workspace *workspace;
    size_t n_samples;
    int forward_mode;
    const void *x;
    void *y; /* NULL: not wanted */
    void *jacobian;
} jacobian_region;

/* Multiply-adds of a sample in each mode. Reverse mode also turns the weights, which is done once
 * a strip. */
size_t mlp_jacobian_work(const mlp_network *net, int forward_mode) {
    const size_t first = net->layers[0].n_inputs * net->layers[0].n_outputs;
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    return forward_mode ? net->layers[0].n_inputs * (net->n_weights - first)
                        : last->n_outputs * (net->n_weights - last->n_inputs * last->n_outputs);
}

/* Each sample's rows of directions times a diagonal of its own. */
static void scale_samples(const mlp_kernels *kernels, size_t n_samples, size_t n_directions,
                          size_t width, const void *from, size_t from_step, size_t from_stride,
                          const void *diagonal, void *to, size_t stride) {
    for (size_t i = 0; i < n_samples; i++)
        kernels->scale_columns(n_directions, width, mlp_const_at(kernels, from, i * from_step),
                               from_stride, mlp_const_at(kernels, diagonal, i * stride),
                               mlp_at(kernels, to, i * n_directions * stride), stride);
}

/* W_L D_{L-1} ... W_1 of n_rows samples; W_L (K, n_inputs) is shared. */
static void reverse_rows(const mlp_workspace *w, const mlp_query_strip *strip, size_t n_rows,
                         void *jacobian, void *scratch) {
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    const size_t n_outputs = last->n_outputs, n_inputs = net->layers[0].n_inputs;
    size_t l = net->n_layers - 1;
    if (l == 0) {
        for (size_t i = 0; i < n_rows; i++)
            mlp_spread_rows(kernels, n_outputs, n_inputs, query->shared, n_inputs,
                            mlp_at(kernels, jacobian, i * n_outputs * n_inputs), n_inputs);
        return;
    }
    void *rows = strip->buffers[0];
    scale_samples(kernels, n_rows, n_outputs, last->n_inputs, query->shared, 0, last->n_inputs,
                  strip->layers[l - 1].kept[MLP_KEPT_DERIVATIVE], rows,
                  strip->layers[l - 1].stride);
    while (l-- > 0) {
        const size_t stride = strip->layers[l].stride;
        void *to = l == 0 ? jacobian : strip->buffers[(net->n_layers - 1 - l) % 2];
        const size_t to_stride = l == 0 ? n_inputs : strip->layers[l - 1].stride;
        const void *diagonal = l == 0 ? NULL : strip->layers[l - 1].kept[MLP_KEPT_DERIVATIVE];
        /* Where all rows have one diagonal, or each its own, it is a factor of the product. */
        const int fused = l > 0 && (n_rows == 1 || n_outputs == 1);
        kernels->linear_backward_input(&query->products[l], n_rows * n_outputs, rows, stride,
                                       fused ? diagonal : NULL, n_outputs == 1 ? to_stride : 0, 0,
                                       to, to_stride, scratch);
        if (l > 0 && !fused)
            scale_samples(kernels, n_rows, n_outputs, net->layers[l].n_inputs, to,
                          n_outputs * to_stride, to_stride, diagonal, to, to_stride);
        rows = to;
    }
}

/* The same from the other end: (n_inputs, width) a sample, turned at last. */
static void forward_columns(const mlp_workspace *w, const mlp_query_strip *strip, size_t n_rows,
                            void *jacobian, void *scratch) {
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs;
    void *columns = strip->buffers[0];
    scale_samples(kernels, n_rows, n_inputs, net->layers[0].n_outputs, query->products[0].weight, 0,
                  net->layers[0].n_outputs, strip->layers[0].kept[MLP_KEPT_DERIVATIVE], columns,
                  strip->layers[0].stride);
    for (size_t l = 1; l < net->n_layers; l++) {
        const size_t stride = strip->layers[l].stride, width = net->layers[l].n_outputs;
        void *to = strip->buffers[l % 2];
        kernels->linear_forward(&query->products[l], n_rows * n_inputs, columns,
                                strip->layers[l - 1].stride, to, NULL, NULL, stride, scratch);
        if (l + 1 < net->n_layers)
            scale_samples(kernels, n_rows, n_inputs, width, to, n_inputs * stride, stride,
                          strip->layers[l].kept[MLP_KEPT_DERIVATIVE], to, stride);
        columns = to;
    }
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    for (size_t i = 0; i < n_rows; i++)
        kernels->turn(n_inputs, n_outputs, mlp_const_at(kernels, columns, i * n_inputs * n_outputs),
                      mlp_at(kernels, jacobian, i * n_inputs * n_outputs));
}

static void jacobian_task(void *context, size_t task, size_t worker) {
    const jacobian_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->query->needs.kernels;
    const mlp_query_strip *strip = &w->query->strips[worker];
    const mlp_query_layer *last = &strip->layers[net->n_layers - 1];
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const size_t first = task * w->query->needs.n_rows;
    const size_t n_rows = mlp_smaller(w->query->needs.n_rows, region->n_samples - first);
    void *scratch = mlp_query_scratch(w->query, worker);
    void *jacobian = mlp_at(kernels, region->jacobian, first * n_outputs * n_inputs);
    const void *y =
        mlp_query_forward(w, strip, 0, n_rows, mlp_const_at(kernels, region->x, first * n_inputs),
                          mlp_at(kernels, region->y, first * n_outputs), scratch);
    if (region->forward_mode)
        forward_columns(w, strip, n_rows, jacobian, scratch);
    else
        reverse_rows(w, strip, n_rows, jacobian, scratch);
    if (net->layers[net->n_layers - 1].activation == MLP_SOFTMAX)
        for (size_t i = 0; i < n_rows; i++)
            kernels->softmax_jacobian(n_outputs, n_inputs, mlp_const_at(kernels, y, i * n_outputs),
                                      mlp_at(kernels, jacobian, i * n_outputs * n_inputs));
    else if (last->kept[MLP_KEPT_DERIVATIVE] != NULL)
        kernels->scale_rows(n_rows * n_outputs, n_inputs, last->kept[MLP_KEPT_DERIVATIVE],
                            jacobian);
}

mlp_status mlp_jacobian(mlp_workspace *w, const void *parameters, size_t n_samples, const void *x,
                        void *y, void *jacobian, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    if (n_samples == 0) return MLP_OK;
    const int forward_mode = mlp_jacobian_work(net, 1) < mlp_jacobian_work(net, 0);
    const size_t n_directions = forward_mode ? net->layers[0].n_inputs : last->n_outputs;
    n_threads = mlp_useful_threads(
        n_threads, n_samples * (net->n_weights + mlp_jacobian_work(net, forward_mode)));
    const size_t n_rows = mlp_query_strip_rows(net, kernels, n_samples, n_directions, n_threads);
    const size_t n_reals = mlp_product_or_huge(mlp_product_or_huge(n_rows, n_directions),
                                               mlp_largest_pitch(kernels, net->widest));
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = n_threads,
        .n_rows = n_rows,
        .keeps = {[MLP_KEPT_OUTPUT] = 1, [MLP_KEPT_DERIVATIVE] = 1},
        .spares_output = 1,
        .buffer_reals = {n_reals, n_reals},
        .shared_reals = forward_mode ? 0 : last->n_inputs * last->n_outputs,
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, NULL);
    if (!forward_mode)
        kernels->turn(last->n_inputs, last->n_outputs, w->query->products[net->n_layers - 1].weight,
                      w->query->shared);
    jacobian_region region = {w, n_samples, forward_mode, x, y, jacobian};
    const size_t work = mlp_forward_work(net) + mlp_jacobian_work(net, forward_mode);
    return mlp_polled_for(w, n_threads, mlp_quotient_up(n_samples, n_rows), n_rows * work,
                          jacobian_task, &region);
}
