/* SPDX-License-Identifier: BSD-3-Clause */
/* forward.c - a batch through a net and nothing kept: a task takes a strip of rows to the end. */
#include "network.h"

typedef struct forward_region {
    mlp_workspace *workspace;
    size_t n_rows;
    const void *x;
    void *y;
} forward_region;

static void forward_task(void *context, size_t task, size_t worker) {
    const forward_region *region = context;
    mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t first = task * w->needs.strip_rows;
    const size_t n_rows = mlp_smaller(w->needs.strip_rows, region->n_rows - first);
    void *scratch = (unsigned char *)w->scratch + worker * w->scratch_bytes;
    void *strips =
        mlp_at(kernels, w->strips, worker * (2 + (size_t)w->needs.spreads_x) * w->strip_reals);
    const size_t n_inputs = net->layers[0].n_inputs;
    const void *input = mlp_const_at(kernels, region->x, first * n_inputs);
    size_t input_stride = n_inputs;
    if (w->needs.spreads_x) {
        void *spread = mlp_at(kernels, strips, 2 * w->strip_reals);
        input_stride = mlp_pitch(kernels, n_inputs);
        mlp_spread_rows(kernels, n_rows, n_inputs, input, n_inputs, spread, input_stride);
        input = spread;
    }
    for (size_t l = 0; l < net->n_layers; l++) {
        const size_t n_outputs = net->layers[l].n_outputs;
        const int is_last = l + 1 == net->n_layers;
        void *output = is_last ? mlp_at(kernels, region->y, first * n_outputs)
                               : mlp_at(kernels, strips, l % 2 * w->strip_reals);
        const size_t stride = is_last ? n_outputs : mlp_pitch(kernels, n_outputs);
        kernels->linear_forward(&w->linears[l], n_rows, input, input_stride, NULL, output, NULL,
                                stride, scratch);
        input = output;
        input_stride = stride;
    }
}

mlp_status mlp_forward(mlp_workspace *w, const void *parameters, size_t n_samples, const void *x,
                       void *y, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    if (n_samples == 0) return MLP_OK;
    n_threads = mlp_useful_threads(n_threads, n_samples * net->n_weights);
    const size_t strip_rows = mlp_strip_rows(net, kernels, 2 * net->widest, n_samples, n_threads);
    const mlp_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .strip_rows = strip_rows,
        .spreads_x = mlp_spreads(kernels, strip_rows, net->layers[0].n_inputs),
    };
    const mlp_status status = mlp_workspace_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_workspace_bind(w, parameters, 0);
    forward_region region = {w, n_samples, x, y};
    return mlp_polled_for(w, n_threads, mlp_quotient_up(n_samples, strip_rows),
                          strip_rows * mlp_forward_work(net), forward_task, &region);
}
