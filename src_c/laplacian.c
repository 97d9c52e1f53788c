/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * laplacian.c - the sum of the second derivatives in the inputs, without the Hessian: the D changes
 * along the inputs and the Laplacian go through the net together, D + 1 rows a sample.
 *
 *     Lap a_l = f'(z_l) Lap z_l + f''(z_l) sum_d (dz_l/dx_d)^2        Lap z_l = Lap a_{l-1} W_l^T
 */
#include <string.h>

#include "query.h"

typedef struct laplacian_region {
    mlp_workspace *workspace;
    size_t n_samples;
    const void *x;
    void *laplacian;
} laplacian_region;

static void laplacian_task(void *context, size_t task, size_t worker) {
    const laplacian_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_strip *strip = &query->strips[worker];
    const size_t n_inputs = net->layers[0].n_inputs, n_directions = n_inputs + 1;
    const size_t first = task * query->needs.n_rows;
    const size_t n_rows = mlp_smaller(query->needs.n_rows, region->n_samples - first);
    void *scratch = mlp_query_scratch(query, worker);
    mlp_query_forward(w, strip, 0, n_rows, mlp_const_at(kernels, region->x, first * n_inputs), NULL,
                      scratch);
    const void *rows = NULL;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_query_layer *layer = &strip->layers[l];
        const size_t width = net->layers[l].n_outputs, stride = layer->stride;
        void *to = strip->buffers[l % 2];
        if (l > 0)
            kernels->linear_forward(&query->products[l], n_rows * n_directions, rows,
                                    strip->layers[l - 1].stride, to, NULL, NULL, stride, scratch);
        for (size_t i = 0; i < n_rows; i++) {
            void *sample = mlp_at(kernels, to, i * n_directions * stride);
            void *last = mlp_at(kernels, sample, n_inputs * stride);
            if (l == 0) { /* the changes are the rows of W_1^T, and nothing is bent yet */
                mlp_spread_rows(kernels, n_inputs, width, query->products[0].weight, width, sample,
                                stride);
                memset(last, 0, width * kernels->real_bytes);
            }
            void *result = mlp_at(kernels, region->laplacian, (first + i) * width);
            if (net->layers[l].activation == MLP_SOFTMAX) {
                kernels->softmax_laplacian(n_inputs, width,
                                           mlp_kept_at(kernels, layer, MLP_KEPT_OUTPUT, i), sample,
                                           last, result);
                continue;
            }
            if (layer->kept[MLP_KEPT_DERIVATIVE] != NULL)
                kernels->laplacian_step(n_inputs, width, stride,
                                        mlp_kept_at(kernels, layer, MLP_KEPT_DERIVATIVE, i),
                                        mlp_kept_at(kernels, layer, MLP_KEPT_CURVATURE, i), sample);
            if (l + 1 == net->n_layers) memcpy(result, last, width * kernels->real_bytes);
        }
        rows = to;
    }
}

mlp_status mlp_laplacian(mlp_workspace *w, const void *parameters, size_t n_samples, const void *x,
                         void *laplacian, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    if (n_samples == 0) return MLP_OK;
    const size_t n_directions = net->layers[0].n_inputs + 1;
    n_threads = mlp_useful_threads(n_threads, n_samples * (n_directions + 1) * net->n_weights);
    const size_t n_rows = mlp_query_strip_rows(net, kernels, n_samples, n_directions, n_threads);
    const size_t n_reals = mlp_product_or_huge(mlp_product_or_huge(n_rows, n_directions),
                                               mlp_largest_pitch(kernels, net->widest));
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = n_threads,
        .n_rows = n_rows,
        .keeps = {[MLP_KEPT_OUTPUT] = 1, [MLP_KEPT_DERIVATIVE] = 1, [MLP_KEPT_CURVATURE] = 1},
        .spares_output = 1,
        .buffer_reals = {n_reals, n_reals},
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, NULL);
    laplacian_region region = {w, n_samples, x, laplacian};
    return mlp_polled_for(w, n_threads, mlp_quotient_up(n_samples, n_rows),
                          n_rows * (n_directions + 1) * mlp_forward_work(net), laplacian_task,
                          &region);
}
