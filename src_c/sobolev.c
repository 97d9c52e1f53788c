/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sobolev.c - a loss of the outputs and of their derivatives in the inputs, and its gradient
 * (Czarnecki et al., "Sobolev training for neural networks", NeurIPS 2017).
 *
 * The Jacobian is made as in jacobian.c, its D columns forward or its K rows in reverse, whichever
 * takes fewer multiply-adds: R rows a sample, t_l at the pre-activation of layer l and
 * s_l = f'(z_l) t_l after it.
 *
 *   forward   t_1 = W_1^T                 t_l = s_{l-1} W_l^T     dz_L/dx turned = t_L
 *   reverse   t_{L-1} = W_L               t_l = s_{l+1} W_{l+1}   dz_L/dx = s_1 W_1
 *
 * Its gradient takes the way back along the same products. Where a row meets an activation,
 * dl/dt = f'(z) dl/ds, and what depends on z gives back f''(z) sum over rows of t dl/ds: that is
 * added to dl/dz, which then goes back as ever. So the whole is a gradient of 1 + R rows a sample:
 *
 *   dl/dW_l = dl/dz_l^T a_{l-1} + ( forward   (dl/dt_l)^T s_{l-1}
 *                                   reverse   s_l^T dl/dt_{l-1}, with the Jacobian for t_0 )
 *
 * and the layer whose weight is the first t gets the sum of dl/dt over samples. Regions of tasks as
 * in propagate.c; blocks of MLP_CHUNK samples, since each has R rows.
 */
#include "sobolev.h"

#include "loss.h"

/* The weight that is the first t of a sample, rows [begin, end) of it as it lies: the sum of dl/dt
 * over samples is added. */
static void add_summed(const mlp_sobolev_region *region, size_t l, size_t begin, size_t end,
                       void *gradient) {
    const mlp_query *query = region->workspace->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_layer *layers = query->strips[0].layers;
    const mlp_layer_shape *layer = &region->workspace->network->layers[l];
    const size_t n_rows = region->block.n_samples, n_directions = query->needs.n_directions;
    if (region->forward_mode) { /* direction d is a row */
        const void *grad = l + 1 == region->workspace->network->n_layers
                               ? query->strips[0].buffers[MLP_SOBOLEV_COLUMNS_GRAD]
                               : layers[l].kept[MLP_KEPT_DIRECTIONS_GRAD];
        const mlp_linear row = {.n_outputs = layer->n_outputs};
        for (size_t d = begin; d < end; d++)
            kernels->linear_backward_bias(
                &row, n_rows, mlp_const_at(kernels, grad, d * layers[l].stride),
                n_directions * layers[l].stride, 1, mlp_at(kernels, gradient, d * layer->n_outputs),
                NULL, 0, NULL);
        return;
    }
    const size_t n = end - begin, n_weights = layer->n_inputs * layer->n_outputs;
    const size_t stride = layers[l - 1].stride;
    const mlp_linear column = {.n_outputs = n}; /* a part of it; direction k is a column */
    void *sums = mlp_at(kernels, query->shared, n_weights + begin * layer->n_outputs);
    void *turned = mlp_at(kernels, sums, n_weights);
    for (size_t k = 0; k < layer->n_outputs; k++)
        kernels->linear_backward_bias(
            &column, n_rows,
            mlp_const_at(kernels, layers[l - 1].kept[MLP_KEPT_DIRECTIONS_GRAD], k * stride + begin),
            n_directions * stride, 0, mlp_at(kernels, sums, k * n), NULL, 0, NULL);
    kernels->turn(layer->n_outputs, n, sums, turned);
    void *rows = mlp_at(kernels, gradient, begin * layer->n_outputs);
    kernels->add(n * layer->n_outputs, rows, turned, rows);
}

static void sobolev_weight_task(void *context, size_t task, size_t worker) {
    const mlp_sobolev_region *region = context;
    const mlp_network *net = region->workspace->network;
    const mlp_query *query = region->workspace->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_strip *strip = &query->strips[0];
    const size_t l = task / region->n_parts, part = task % region->n_parts;
    const mlp_layer_shape *layer = &net->layers[l];
    const mlp_query_layer *at = &strip->layers[l];
    const size_t n_rows = region->block.n_samples, last = net->n_layers - 1;
    const size_t n_directions = n_rows * query->needs.n_directions;
    size_t begin, end;
    mlp_weight_rows(kernels, layer, part, region->n_parts, &begin, &end);
    void *gradient = mlp_at(kernels, region->gradients, layer->weight_offset);
    void *scratch = mlp_query_scratch(query, worker);
    if (part == 0 && net->has_bias)
        kernels->linear_backward_bias(
            &query->products[l], n_rows, at->kept[MLP_KEPT_GRAD], at->stride, region->accumulate,
            mlp_at(kernels, region->gradients, layer->bias_offset), NULL, 0, NULL);
    if (begin >= end) return;
    kernels->linear_backward_weight(
        &query->products[l], n_rows, l > 0 ? at[-1].kept[MLP_KEPT_OUTPUT] : region->block.x,
        l > 0 ? at[-1].stride : layer->n_inputs, at->kept[MLP_KEPT_GRAD], at->stride, begin, end,
        region->accumulate, gradient, NULL, 0, NULL, scratch);
    if (l == (region->forward_mode ? 0 : last)) {
        add_summed(region, l, begin, end, gradient);
        return;
    }
    const void *input, *grad;
    size_t input_stride, grad_stride = at->stride;
    if (region->forward_mode) {
        input = at[-1].kept[MLP_KEPT_SCALED_DIRECTIONS];
        input_stride = at[-1].stride;
        grad = l == last ? strip->buffers[MLP_SOBOLEV_COLUMNS_GRAD]
                         : at->kept[MLP_KEPT_DIRECTIONS_GRAD];
    } else {
        input = l == 0 ? strip->buffers[MLP_SOBOLEV_JACOBIAN_GRAD]
                       : at[-1].kept[MLP_KEPT_DIRECTIONS_GRAD];
        input_stride = l == 0 ? layer->n_inputs : at[-1].stride;
        grad = at->kept[MLP_KEPT_SCALED_DIRECTIONS];
    }
    kernels->linear_backward_weight(&query->products[l], n_directions, input, input_stride, grad,
                                    grad_stride, begin, end, 1, gradient, NULL, 0, NULL, scratch);
}

mlp_status mlp_sobolev(mlp_workspace *w, const void *parameters, const mlp_batch *batch,
                       const mlp_loss *loss, void *gradients, void *grad_x, double *value,
                       size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    const size_t n_inputs = net->layers[0].n_inputs, n_samples = batch->n_samples;
    const size_t n_entries = n_inputs * last->n_outputs;
    const size_t block_rows = mlp_smaller(n_samples > 0 ? n_samples : 1, MLP_CHUNK);
    /* Reverse mode begins at a hidden layer. */
    const int forward_mode =
        net->n_layers == 1 || mlp_jacobian_work(net, 1) < mlp_jacobian_work(net, 0);
    const size_t n_directions = forward_mode ? n_inputs : last->n_outputs;
    const size_t pass_work = mlp_product_or_huge(3 * net->n_weights, 1 + n_directions);
    n_threads = mlp_useful_threads(n_threads, mlp_product_or_huge(pass_work, block_rows));
    mlp_sobolev_region region = {.workspace = w,
                                 .forward_mode = forward_mode,
                                 .backward = gradients != NULL,
                                 .loss = *loss,
                                 .n_parts = n_threads,
                                 .gradients = gradients};
    region.loss.kind = mlp_loss_fuse(loss->kind, last->activation, &region.on_pre_activation);
    region.factor = mlp_loss_factor(loss, net->dtype, last->n_outputs, batch);
    const mlp_loss distance = {.kind = MLP_MSE, .reduction = loss->reduction};
    region.distance_factor =
        batch->dy_dx_weight * mlp_loss_factor(&distance, net->dtype, n_entries, batch);
    const size_t jacobians = mlp_product_or_huge(block_rows, n_entries);
    const size_t widest = mlp_largest_pitch(kernels, net->widest);
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = 1,
        .n_rows = block_rows,
        .n_directions = n_directions,
        .keeps = {[MLP_KEPT_OUTPUT] = 1,
                  [MLP_KEPT_DERIVATIVE] = 1,
                  [MLP_KEPT_CURVATURE] = 1,
                  [MLP_KEPT_OUTPUT_PRE_ACTIVATION] = region.on_pre_activation,
                  [MLP_KEPT_GRAD] = 1,
                  [MLP_KEPT_DIRECTIONS] = 1,
                  [MLP_KEPT_SCALED_DIRECTIONS] = 1,
                  [MLP_KEPT_DIRECTIONS_GRAD] = 1},
        .buffer_reals = {[MLP_SOBOLEV_JACOBIAN] = jacobians,
                         [MLP_SOBOLEV_JACOBIAN_GRAD] = jacobians,
                         [MLP_SOBOLEV_COLUMNS] = jacobians,
                         [MLP_SOBOLEV_COLUMNS_GRAD] = jacobians,
                         [MLP_SOBOLEV_SPARE] = mlp_product_or_huge(block_rows, widest),
                         [MLP_SOBOLEV_LAST_CURVATURE] =
                             region.on_pre_activation
                                 ? mlp_product_or_huge(block_rows, last->n_outputs)
                                 : 0},
        .shared_reals = forward_mode ? 0 : 3 * last->n_inputs * last->n_outputs,
        .n_inner = mlp_product_or_huge(block_rows, n_directions),
        .n_values = 2 * n_samples,
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, NULL);
    if (!forward_mode)
        kernels->turn(last->n_inputs, last->n_outputs, w->query->products[net->n_layers - 1].weight,
                      w->query->shared);
    double *row_values = w->query->values, *distances = row_values + n_samples;
    const size_t block_work =
        MLP_CHUNK * 3 * (1 + n_directions) * mlp_forward_work(net) / n_threads;
    size_t first = 0;
    do {
        const size_t n_rows = mlp_smaller(n_samples - first, MLP_CHUNK);
        if (first > 0 && mlp_is_interrupted(w, block_work)) return MLP_INTERRUPTED;
        region.block = mlp_batch_rows(kernels, batch, first, n_rows, n_inputs, last->n_outputs);
        region.accumulate = first > 0;
        region.row_values = row_values + first;
        region.distances = distances + first;
        region.grad_x = mlp_at(kernels, grad_x, first * n_inputs);
        region.strip_rows = mlp_strip_rows(
            net, kernels, n_inputs + (4 + 3 * n_directions) * net->total_width, n_rows, n_threads);
        mlp_parallel_for(n_threads, mlp_quotient_up(n_rows, region.strip_rows),
                         mlp_sobolev_row_task, &region);
        if (region.backward)
            mlp_parallel_for(n_threads, net->n_layers * n_threads, sobolev_weight_task, &region);
        first += n_rows;
    } while (first < n_samples);
    *value = mlp_loss_total(row_values, net->dtype, batch, region.factor) +
             mlp_loss_total(distances, net->dtype, batch, region.distance_factor);
    return MLP_OK;
}
