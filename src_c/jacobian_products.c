/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jacobian_products.c - the Jacobian of the net times a vector, from either side, without making it.
 *
 * From the left (vjp) it is the backward pass of propagate.c. From the right (jvp) it is forward
 * mode: how the output changes along a change of x, of the parameters, or of both.
 *
 *     dz_l = da_{l-1} W_l^T + a_{l-1} dW_l^T + db_l        da_l = f'(z_l) dz_l
 */
#include "propagate.h"
#include "query.h"

typedef struct jvp_region {
    mlp_workspace *workspace;
    size_t n_samples;
    const void *x, *tangent; /* tangent NULL: x does not change */
    int has_direction;       /* the parameters change */
    void *y, *dy;
} jvp_region;

static void jvp_task(void *context, size_t task, size_t worker) {
    const jvp_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_strip *strip = &query->strips[worker];
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const size_t first = task * query->needs.n_rows;
    const size_t n_rows = mlp_smaller(query->needs.n_rows, region->n_samples - first);
    void *scratch = mlp_query_scratch(query, worker);
    const void *x = mlp_const_at(kernels, region->x, first * n_inputs);
    void *dy = mlp_at(kernels, region->dy, first * n_outputs);
    const void *y = mlp_query_forward(w, strip, 0, n_rows, x,
                                      mlp_at(kernels, region->y, first * n_outputs), scratch);
    const void *input = x, *change = mlp_const_at(kernels, region->tangent, first * n_inputs);
    size_t input_stride = n_inputs;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_query_layer *layer = &strip->layers[l];
        const size_t width = net->layers[l].n_outputs, stride = layer->stride;
        const int is_last = l + 1 == net->n_layers;
        void *to = is_last ? dy : strip->buffers[l % 2];
        void *other = change == NULL ? to : strip->buffers[2];
        if (change != NULL)
            kernels->linear_forward(&query->products[l], n_rows, change, input_stride, to, NULL,
                                    NULL, stride, scratch);
        if (region->has_direction)
            kernels->linear_forward(&query->directions[l], n_rows, input, input_stride, other, NULL,
                                    NULL, stride, scratch);
        if (other != to && region->has_direction)
            mlp_add_rows(kernels, n_rows, width, to, other, stride);
        if (net->layers[l].activation == MLP_SOFTMAX)
            kernels->softmax_backward(n_rows, width, y, to, to); /* symmetric: as backward */
        else if (layer->kept[MLP_KEPT_DERIVATIVE] != NULL)
            mlp_multiply_rows(kernels, n_rows, width, to, layer->kept[MLP_KEPT_DERIVATIVE], to,
                              stride);
        change = to;
        input = layer->kept[MLP_KEPT_OUTPUT];
        input_stride = stride;
    }
}

mlp_status mlp_jvp(mlp_workspace *w, const void *parameters, size_t n_samples, const void *x,
                   const void *tangent, const void *direction, void *y, void *dy,
                   size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    MLP_ASSERT(tangent != NULL || direction != NULL);
    if (n_samples == 0) return MLP_OK;
    const size_t n_products = tangent != NULL && direction != NULL ? 3 : 2;
    n_threads = mlp_useful_threads(n_threads, n_products * n_samples * net->n_weights);
    const size_t n_rows = mlp_query_strip_rows(net, kernels, n_samples, 1, n_threads);
    const size_t n_reals = mlp_product_or_huge(n_rows, mlp_largest_pitch(kernels, net->widest));
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = n_threads,
        .n_rows = n_rows,
        .keeps = {[MLP_KEPT_OUTPUT] = 1, [MLP_KEPT_DERIVATIVE] = 1},
        .spares_output = 1,
        .buffer_reals = {n_reals, n_reals, direction != NULL ? n_reals : 0},
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, direction);
    jvp_region region = {w, n_samples, x, tangent, direction != NULL, y, dy};
    return mlp_polled_for(w, n_threads, mlp_quotient_up(n_samples, n_rows),
                          n_rows * n_products * mlp_forward_work(net), jvp_task, &region);
}

mlp_status mlp_vjp(mlp_workspace *w, const void *parameters, size_t n_samples, const void *x,
                   const void *cotangent, void *gradients, void *grad_x, size_t n_threads) {
    const mlp_batch batch = {.n_samples = n_samples, .x = x};
    const mlp_pass pass = {.batch = &batch,
                           .forward = 1,
                           .cotangent = cotangent,
                           .gradients = gradients,
                           .grad_x = grad_x};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;
    return mlp_pass_run(w, &pass, parameters, NULL) == MLP_STOPPED ? MLP_INTERRUPTED : MLP_OK;
}
