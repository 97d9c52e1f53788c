/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hvp.c - the Hessian of the loss in the parameters, times a vector, without making it: the change
 * of the gradient when the parameters change along the vector. The forward and the backward pass
 * carry changes beside the values (Pearlmutter, "Fast exact multiplication by the Hessian", Neural
 * Computation 6, 1994). With a change written d, and dW, db the vector:
 *
 *   forward     dz_l = da_{l-1} W_l^T + a_{l-1} dW_l^T + db_l         da_l = f'(z_l) dz_l
 *   loss        dg = (Hessian of the loss in the prediction) d prediction
 *   backward    g_{l-1} = g_l W_l    dg_{l-1} = dg_l W_l + g_l dW_l   then the product rule on f'
 *   result      a_{l-1}^T dg_l + da_{l-1}^T g_l    and the sum of dg_l
 *
 * Eight products of which a gradient has three. As in propagate.c there are two regions of tasks,
 * and blocks of rows.
 */
#include "loss.h"
#include "query.h"

typedef struct hvp_region {
    mlp_workspace *workspace;
    mlp_batch block; /* the rows of the running block */
    size_t strip_rows;
    mlp_loss loss; /* what is really computed */
    int on_pre_activation;
    double factor;
    int accumulate;
    size_t n_parts; /* tasks of a layer's weight */
    void *product;
} hvp_region;

/* a_{l-1} and its change along the vector, by rows. */
static void tangent_rows(const hvp_region *region, size_t first, size_t n_rows, void *other,
                         void *scratch) {
    const mlp_network *net = region->workspace->network;
    const mlp_query *query = region->workspace->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_layer *layers = query->strips[0].layers;
    const size_t n_inputs = net->layers[0].n_inputs;
    for (size_t l = 0; l < net->n_layers; l++) {
        const size_t width = net->layers[l].n_outputs, stride = layers[l].stride;
        void *dz = mlp_kept_at(kernels, &layers[l], MLP_KEPT_Z_TANGENT, first);
        void *da = mlp_kept_at(kernels, &layers[l], MLP_KEPT_TANGENT, first);
        const void *d = mlp_kept_at(kernels, &layers[l], MLP_KEPT_DERIVATIVE, first);
        const void *input = l == 0 ? mlp_const_at(kernels, region->block.x, first * n_inputs)
                                   : mlp_kept_at(kernels, &layers[l - 1], MLP_KEPT_OUTPUT, first);
        const size_t input_stride = l == 0 ? n_inputs : layers[l - 1].stride;
        kernels->linear_forward(&query->directions[l], n_rows, input, input_stride, dz, NULL, NULL,
                                stride, scratch);
        if (l > 0) {
            kernels->linear_forward(&query->products[l], n_rows,
                                    mlp_kept_at(kernels, &layers[l - 1], MLP_KEPT_TANGENT, first),
                                    input_stride, other, NULL, NULL, stride, scratch);
            mlp_add_rows(kernels, n_rows, width, dz, other, stride);
        }
        if (l + 1 == net->n_layers && region->on_pre_activation) return; /* the loss takes dz */
        if (net->layers[l].activation == MLP_SOFTMAX) {
            kernels->softmax_backward(n_rows, width, /* the last layer: its rows have no gaps */
                                      mlp_kept_at(kernels, &layers[l], MLP_KEPT_OUTPUT, first), dz,
                                      da);
        } else if (d != NULL)
            mlp_multiply_rows(kernels, n_rows, width, dz, d, da, stride);
        else
            mlp_spread_rows(kernels, n_rows, width, dz, stride, da, stride);
    }
}

/* From dl/da and its change to dl/dz and its change. */
static void through_activation(const mlp_network *net, const mlp_kernels *kernels,
                               const mlp_query_layer *layer, size_t l, size_t first,
                               size_t n_rows) {
    const size_t width = net->layers[l].n_outputs;
    if (net->layers[l].activation == MLP_SOFTMAX) {
        kernels->softmax_second_order(n_rows, width,
                                      mlp_kept_at(kernels, layer, MLP_KEPT_OUTPUT, first),
                                      mlp_kept_at(kernels, layer, MLP_KEPT_Z_TANGENT, first),
                                      mlp_kept_at(kernels, layer, MLP_KEPT_GRAD, first),
                                      mlp_kept_at(kernels, layer, MLP_KEPT_GRAD_TANGENT, first));
        return;
    }
    if (layer->kept[MLP_KEPT_DERIVATIVE] == NULL) return; /* an identity */
    const size_t at_once = layer->stride == width ? n_rows : 1;
    for (size_t row = first; row < first + n_rows; row += at_once)
        kernels->second_order(at_once * width,
                              mlp_kept_at(kernels, layer, MLP_KEPT_DERIVATIVE, row),
                              mlp_kept_at(kernels, layer, MLP_KEPT_CURVATURE, row),
                              mlp_kept_at(kernels, layer, MLP_KEPT_Z_TANGENT, row),
                              mlp_kept_at(kernels, layer, MLP_KEPT_GRAD, row),
                              mlp_kept_at(kernels, layer, MLP_KEPT_GRAD_TANGENT, row));
}

static void hvp_row_task(void *context, size_t task, size_t worker) {
    const hvp_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const mlp_query_layer *layers = query->strips[0].layers;
    const size_t first = task * region->strip_rows, n_inputs = net->layers[0].n_inputs;
    const size_t n_rows = mlp_smaller(region->strip_rows, region->block.n_samples - first);
    void *scratch = mlp_query_scratch(query, worker);
    void *other = mlp_at(kernels, query->strips[0].buffers[0],
                         first * mlp_largest_pitch(kernels, net->widest));
    mlp_query_forward(w, &query->strips[0], first, n_rows,
                      mlp_const_at(kernels, region->block.x, first * n_inputs), NULL, scratch);
    tangent_rows(region, first, n_rows, other, scratch);

    size_t l = net->n_layers - 1;
    const size_t n_outputs = net->layers[l].n_outputs;
    const mlp_kept what =
        region->on_pre_activation ? MLP_KEPT_OUTPUT_PRE_ACTIVATION : MLP_KEPT_OUTPUT;
    const mlp_kept change = region->on_pre_activation ? MLP_KEPT_Z_TANGENT : MLP_KEPT_TANGENT;
    const mlp_batch rows =
        mlp_batch_rows(kernels, &region->block, first, n_rows, n_inputs, n_outputs);
    const void *prediction = mlp_kept_at(kernels, &layers[l], what, first);
    kernels->loss(&region->loss, n_outputs, &rows, prediction, region->factor,
                  mlp_kept_at(kernels, &layers[l], MLP_KEPT_GRAD, first), NULL);
    kernels->loss_curvature(&region->loss, n_outputs, &rows, prediction,
                            mlp_kept_at(kernels, &layers[l], change, first), region->factor,
                            mlp_kept_at(kernels, &layers[l], MLP_KEPT_GRAD_TANGENT, first));
    if (!region->on_pre_activation) through_activation(net, kernels, &layers[l], l, first, n_rows);

    for (; l > 0; l--) {
        const size_t stride = layers[l].stride, below = layers[l - 1].stride;
        const void *g = mlp_kept_at(kernels, &layers[l], MLP_KEPT_GRAD, first);
        const void *dg = mlp_kept_at(kernels, &layers[l], MLP_KEPT_GRAD_TANGENT, first);
        void *dg_below = mlp_kept_at(kernels, &layers[l - 1], MLP_KEPT_GRAD_TANGENT, first);
        kernels->linear_backward_input(&query->products[l], n_rows, g, stride, NULL, 0, 0,
                                       mlp_kept_at(kernels, &layers[l - 1], MLP_KEPT_GRAD, first),
                                       below, scratch);
        kernels->linear_backward_input(&query->products[l], n_rows, dg, stride, NULL, 0, 0,
                                       dg_below, below, scratch);
        kernels->linear_backward_input(&query->directions[l], n_rows, g, stride, NULL, 0, 0, other,
                                       below, scratch);
        mlp_add_rows(kernels, n_rows, net->layers[l].n_inputs, dg_below, other, below);
        through_activation(net, kernels, &layers[l - 1], l - 1, first, n_rows);
    }
}

static void hvp_weight_task(void *context, size_t task, size_t worker) {
    const hvp_region *region = context;
    const mlp_network *net = region->workspace->network;
    const mlp_query *query = region->workspace->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const size_t l = task / region->n_parts, part = task % region->n_parts;
    const mlp_layer_shape *layer = &net->layers[l];
    const mlp_query_layer *kept = &query->strips[0].layers[l];
    const size_t n_rows = region->block.n_samples;
    size_t begin, end;
    mlp_weight_rows(kernels, layer, part, region->n_parts, &begin, &end);
    void *product = mlp_at(kernels, region->product, layer->weight_offset);
    void *scratch = mlp_query_scratch(query, worker);
    if (begin < end) {
        kernels->linear_backward_weight(
            &query->products[l], n_rows, l > 0 ? kept[-1].kept[MLP_KEPT_OUTPUT] : region->block.x,
            l > 0 ? kept[-1].stride : layer->n_inputs, kept->kept[MLP_KEPT_GRAD_TANGENT],
            kept->stride, begin, end, region->accumulate, product, NULL, 0, NULL, scratch);
        if (l > 0)
            kernels->linear_backward_weight(&query->products[l], n_rows,
                                            kept[-1].kept[MLP_KEPT_TANGENT], kept[-1].stride,
                                            kept->kept[MLP_KEPT_GRAD], kept->stride, begin, end, 1,
                                            product, NULL, 0, NULL, scratch);
    }
    if (part == 0 && net->has_bias)
        kernels->linear_backward_bias(
            &query->products[l], n_rows, kept->kept[MLP_KEPT_GRAD_TANGENT], kept->stride,
            region->accumulate, mlp_at(kernels, region->product, layer->bias_offset), NULL, 0,
            NULL);
}

mlp_status mlp_hvp(mlp_workspace *w, const void *parameters, const mlp_batch *batch,
                   const mlp_loss *loss, const void *vector, void *product, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_samples = batch->n_samples;
    const size_t block_rows = mlp_smaller(n_samples > 0 ? n_samples : 1, MLP_BLOCK_ROWS);
    n_threads = mlp_useful_threads(n_threads, 8 * net->n_weights * block_rows);
    hvp_region region = {.workspace = w, .loss = *loss, .n_parts = n_threads, .product = product};
    region.loss.kind = mlp_loss_fuse(loss->kind, last->activation, &region.on_pre_activation);
    region.factor = mlp_loss_factor(loss, net->dtype, last->n_outputs, batch);
    const mlp_query_needs needs = {
        .kernels = kernels,
        .n_threads = n_threads,
        .n_strips = 1,
        .n_rows = block_rows,
        .keeps = {[MLP_KEPT_OUTPUT] = 1,
                  [MLP_KEPT_DERIVATIVE] = 1,
                  [MLP_KEPT_CURVATURE] = 1,
                  [MLP_KEPT_OUTPUT_PRE_ACTIVATION] = region.on_pre_activation,
                  [MLP_KEPT_TANGENT] = 1,
                  [MLP_KEPT_Z_TANGENT] = 1,
                  [MLP_KEPT_GRAD] = 1,
                  [MLP_KEPT_GRAD_TANGENT] = 1},
        .ends_before_activation = region.on_pre_activation,
        .buffer_reals = {mlp_product_or_huge(block_rows, mlp_largest_pitch(kernels, net->widest))},
        .n_inner = block_rows,
    };
    const mlp_status status = mlp_query_prepare(w, &needs);
    if (status != MLP_OK) return status;
    mlp_query_bind(w, parameters, vector);
    const size_t block_work = MLP_BLOCK_ROWS * 6 * mlp_forward_work(net) / n_threads;
    size_t first = 0;
    do {
        const size_t n_rows = mlp_smaller(n_samples - first, MLP_BLOCK_ROWS);
        if (first > 0 && mlp_is_interrupted(w, block_work)) return MLP_INTERRUPTED;
        region.block = mlp_batch_rows(kernels, batch, first, n_rows, n_inputs, last->n_outputs);
        region.accumulate = first > 0;
        region.strip_rows =
            mlp_strip_rows(net, kernels, n_inputs + 7 * net->total_width, n_rows, n_threads);
        mlp_parallel_for(n_threads, mlp_quotient_up(n_rows, region.strip_rows), hvp_row_task,
                         &region);
        mlp_parallel_for(n_threads, net->n_layers * n_threads, hvp_weight_task, &region);
        first += n_rows;
    } while (first < n_samples);
    return MLP_OK;
}
