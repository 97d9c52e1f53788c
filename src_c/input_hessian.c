/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input_hessian.c - the second derivatives of each output in the inputs.
 *
 * Only activations bend. With T_l = dz_l/dx (D columns, carried forward) and g_l = dz_Lk/da_l (K
 * rows, carried back), the Hessian of the last pre-activation is
 *
 *     d^2 z_Lk / dx^2 = sum over hidden l of T_l^T diag(g_l f''(z_l)) T_l
 *
 * With the units of all hidden layers side by side that is one product for each sample: carrying D D
 * second changes forward would take D D products with each weight. The output layer's activation
 * comes last, and the lower half is the upper one turned.
 */
#include <string.h>

#include "query.h"

/* Rows of a product that are made at a time. */
#define MLP_HESSIAN_ROWS ((size_t)256)

enum { CHANGES, COTANGENTS, BENT, SPARE };

typedef struct hessian_region {
    mlp_workspace *workspace;
    size_t n_samples;
    size_t n_units; /* of all hidden layers that bend */
    const void *x;
    void *hessian;
} hessian_region;

static size_t hidden_units(const mlp_network *net) {
    size_t n = 0;
    for (size_t l = 0; l + 1 < net->n_layers; l++)
        if (mlp_activation_bends(net->layers[l].activation)) n += net->layers[l].n_outputs;
    return n;
}

/* Of K rows on their way back, which no output layer ever holds. */
static size_t hidden_pitch(const mlp_network *net, const mlp_kernels *kernels) {
    size_t widest = 1;
    for (size_t l = 0; l + 1 < net->n_layers; l++)
        if (net->layers[l].n_outputs > widest) widest = net->layers[l].n_outputs;
    return mlp_largest_pitch(kernels, widest);
}

/* T_l of every hidden layer that bends, side by side (D, n_units), and T_L (K, D) turned. */
static void carry_forward(const mlp_workspace *w, const mlp_query_strip *strip, size_t sample,
                          size_t n_units, void *last_changes, void *scratch) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->query->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs, n_layers = net->n_layers;
    const size_t half = n_inputs * mlp_largest_pitch(kernels, net->widest);
    size_t unit = 0;
    const void *below = NULL;
    for (size_t l = 0; l < n_layers; l++) {
        const mlp_query_layer *layer = &strip->layers[l];
        const size_t width = net->layers[l].n_outputs;
        const int is_kept = l + 1 < n_layers && layer->kept[MLP_KEPT_CURVATURE] != NULL;
        void *moved = mlp_at(kernels, strip->buffers[SPARE], l % 2 * half);
        void *changes = is_kept ? mlp_at(kernels, strip->buffers[CHANGES], unit) : moved;
        const size_t stride = is_kept ? n_units : layer->stride;
        if (l == 0)
            mlp_spread_rows(kernels, n_inputs, width, w->query->products[0].weight, width, changes,
                            stride);
        else
            kernels->linear_forward(&w->query->products[l], n_inputs, below,
                                    strip->layers[l - 1].stride, changes, NULL, NULL, stride,
                                    scratch);
        if (l + 1 == n_layers)
            kernels->turn(n_inputs, width, changes, last_changes);
        else
            kernels->scale_columns(n_inputs, width, changes, stride,
                                   mlp_kept_at(kernels, layer, MLP_KEPT_DERIVATIVE, sample), moved,
                                   layer->stride);
        if (is_kept) unit += width;
        below = moved;
    }
}

/* g_l f''(z_l) of every hidden layer that bends, side by side (K, n_units). */
static void carry_back(const mlp_workspace *w, const mlp_query_strip *strip, size_t sample,
                       size_t n_units, void *scratch) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->query->needs.kernels;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const size_t half = n_outputs * hidden_pitch(net, kernels);
    size_t unit = n_units;
    const void *grad = w->query->shared; /* the rows of W_L */
    size_t grad_stride = net->layers[net->n_layers - 1].n_inputs;
    for (size_t l = net->n_layers - 1; l-- > 0 && unit > 0;) {
        const mlp_query_layer *layer = &strip->layers[l];
        const size_t width = net->layers[l].n_outputs;
        if (layer->kept[MLP_KEPT_CURVATURE] != NULL) {
            unit -= width;
            kernels->scale_columns(n_outputs, width, grad, grad_stride,
                                   mlp_kept_at(kernels, layer, MLP_KEPT_CURVATURE, sample),
                                   mlp_at(kernels, strip->buffers[COTANGENTS], unit), n_units);
        }
        if (l == 0) return;
        void *grad_z = strip->buffers[SPARE], *to = mlp_at(kernels, strip->buffers[SPARE], half);
        kernels->scale_columns(n_outputs, width, grad, grad_stride,
                               mlp_kept_at(kernels, layer, MLP_KEPT_DERIVATIVE, sample), grad_z,
                               layer->stride);
        grad_stride = strip->layers[l - 1].stride;
        kernels->linear_backward_input(&w->query->products[l], n_outputs, grad_z, layer->stride,
                                       NULL, 0, 0, to, grad_stride, scratch);
        grad = to;
    }
}

static void hessian_of_sample(const hessian_region *region, const mlp_query_strip *strip,
                              size_t sample, void *hessian, void *scratch) {
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->query->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs, n_units = region->n_units;
    const mlp_query_layer *last = &strip->layers[net->n_layers - 1];
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const size_t n_entries = n_inputs * n_inputs;
    const size_t n_bent = mlp_quotient_up(MLP_HESSIAN_ROWS, n_inputs);
    void *last_changes =
        mlp_at(kernels, strip->buffers[BENT], mlp_smaller(n_bent, n_outputs) * n_inputs * n_units);
    void *spread = mlp_at(kernels, last_changes, n_outputs * n_inputs);
    carry_forward(w, strip, sample, n_units, last_changes, scratch);
    if (n_units == 0)
        memset(hessian, 0, n_outputs * n_entries * kernels->real_bytes);
    else
        carry_back(w, strip, sample, n_units, scratch);
    const mlp_linear changes = {
        .n_inputs = n_inputs, .n_outputs = n_units, .weight = strip->buffers[CHANGES]};
    for (size_t first = 0; n_units > 0 && first < n_outputs; first += n_bent) {
        const size_t n = mlp_smaller(n_bent, n_outputs - first);
        for (size_t k = 0; k < n; k++)
            kernels->scale_columns(
                n_inputs, n_units, strip->buffers[CHANGES], n_units,
                mlp_const_at(kernels, strip->buffers[COTANGENTS], (first + k) * n_units),
                mlp_at(kernels, strip->buffers[BENT], k * n_inputs * n_units), n_units);
        kernels->linear_backward_input(&changes, n * n_inputs, strip->buffers[BENT], n_units, NULL,
                                       0, 0, mlp_at(kernels, hessian, first * n_entries), n_inputs,
                                       scratch);
    }
    const void *p = NULL;
    if (net->layers[net->n_layers - 1].activation == MLP_SOFTMAX) {
        p = mlp_kept_at(kernels, last, MLP_KEPT_OUTPUT, sample);
        kernels->softmax_jacobian(n_outputs, n_entries, p, hessian);
    } else if (last->kept[MLP_KEPT_DERIVATIVE] != NULL)
        kernels->scale_rows(n_outputs, n_entries,
                            mlp_kept_at(kernels, last, MLP_KEPT_DERIVATIVE, sample), hessian);
    kernels->output_hessian(n_inputs, n_outputs,
                            mlp_kept_at(kernels, last, MLP_KEPT_CURVATURE, sample), p, last_changes,
                            spread, hessian);
}

static void hessian_task(void *context, size_t task, size_t worker) {
    const hessian_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_kernels *kernels = w->query->needs.kernels;
    const mlp_query_strip *strip = &w->query->strips[worker];
    const size_t n_inputs = w->network->layers[0].n_inputs;
    const size_t n_outputs = w->network->layers[w->network->n_layers - 1].n_outputs;
    const size_t first = task * w->query->needs.n_rows;
    const size_t n_rows = mlp_smaller(w->query->needs.n_rows, region->n_samples - first);
    void *scratch = mlp_query_scratch(w->query, worker);
    mlp_query_forward(w, strip, 0, n_rows, mlp_const_at(kernels, region->x, first * n_inputs), NULL,
                      scratch);
    for (size_t i = 0; i < n_rows; i++)
        hessian_of_sample(
            region, strip, i,
            mlp_at(kernels, region->hessian, (first + i) * n_outputs * n_inputs * n_inputs),
            scratch);
}

mlp_status mlp_input_hessian(mlp_workspace *w, const void *parameters, size_t n_samples,
                             const void *x, void *hessian, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    if (n_samples == 0) return MLP_OK;
    const size_t n_inputs = net->layers[0].n_inputs, n_outputs = last->n_outputs;
    const size_t n_units = hidden_units(net);
    const size_t forward = mlp_product_or_huge(n_inputs, mlp_largest_pitch(kernels, net->widest));
    const size_t back = mlp_product_or_huge(n_outputs, hidden_pitch(net, kernels));
    const size_t n_bent = mlp_smaller(mlp_quotient_up(MLP_HESSIAN_ROWS, n_inputs), n_outputs);
    const size_t work = (n_inputs + n_outputs) * (net->n_weights + n_inputs * n_inputs * n_units);
    n_threads = mlp_useful_threads(n_threads, n_samples * work);
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = n_threads,
        .n_rows = mlp_query_rows(kernels, n_samples, 3 * net->total_width, n_threads),
        .keeps = {[MLP_KEPT_OUTPUT] = 1, [MLP_KEPT_DERIVATIVE] = 1, [MLP_KEPT_CURVATURE] = 1},
        .spares_output = 1,
        .buffer_reals = {[CHANGES] = mlp_product_or_huge(n_inputs, n_units),
                         [COTANGENTS] = mlp_product_or_huge(n_outputs, n_units),
                         [BENT] = mlp_product_or_huge(n_bent * n_inputs, n_units) +
                                  n_inputs * (n_outputs + n_inputs),
                         [SPARE] = mlp_product_or_huge(2, forward > back ? forward : back)},
        .shared_reals = last->n_inputs * last->n_outputs,
        .n_inner = n_units,
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, NULL);
    kernels->turn(last->n_inputs, n_outputs, w->query->products[net->n_layers - 1].weight,
                  w->query->shared);
    hessian_region region = {w, n_samples, n_units, x, hessian};
    return mlp_polled_for(w, n_threads, mlp_quotient_up(n_samples, needs.n_rows),
                          needs.n_rows * work, hessian_task, &region);
}
