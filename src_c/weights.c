/* SPDX-License-Identifier: BSD-3-Clause */
/* weights.c - gradients of weights and biases, and updates in passing; weights.h tells the ways. */
#include "weights.h"

#include <math.h>
#include <string.h>

/* To bound the gradients costs less for four numbers of x, z and dl/dz than it spares for a
 * parameter; but with few parameters it costs more, since they stay in L1: the old ones of an
 * exchange, or all that an update is tried on. Measured: docs/kernels.md, "Updates in passing". */
#define MLP_NUMBERS_A_PARAMETER ((size_t)4)
#define MLP_FEWEST_FOR_TILES    ((size_t)4096)
#define MLP_FEWEST_FOR_PIECES   ((size_t)1024)

/* Reals of a piece of a gradient, which a quarter of L2 holds beside what is updated; but tiles
 * enough to pay for the first one of a panel, which is slower than the others. */
#define MLP_PIECE_REALS ((size_t)1 << 14)
#define MLP_PIECE_TILES ((size_t)5)

/* Rows of a layer's gradient in a piece. */
static size_t piece_rows(const mlp_kernels *kernels, const mlp_layer_shape *layer) {
    const size_t n_tiles = MLP_PIECE_REALS / (layer->n_outputs * kernels->tile_rows);
    const size_t n_rows = (n_tiles > MLP_PIECE_TILES ? n_tiles : MLP_PIECE_TILES);
    return mlp_smaller(n_rows * kernels->tile_rows, layer->n_inputs);
}

size_t mlp_weights_piece_reals(const mlp_network *net, const mlp_kernels *kernels,
                               const mlp_pass *pass) {
    size_t largest = 0;
    if (pass->update == NULL || mlp_is_plain_sgd(pass->update)) return 0;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        const size_t n = piece_rows(kernels, layer) * layer->n_outputs;
        if (n > largest) largest = n;
    }
    return largest;
}

int mlp_weights_may_be_sure(const mlp_network *net, const mlp_pass *pass) {
    const size_t n_rows = pass->batch->n_samples;
    if (pass->update == NULL || n_rows == 0 || pass->records != NULL) return 0;
    const int is_plain = mlp_is_plain_sgd(pass->update);
    if (!is_plain && (n_rows > MLP_BLOCK_ROWS || pass->update->clip_norm > 0.0)) return 0;
    const size_t n_numbers = n_rows * (net->layers[0].n_inputs + 2 * net->total_width);
    const size_t fewest = is_plain ? MLP_FEWEST_FOR_TILES : MLP_FEWEST_FOR_PIECES;
    return net->n_parameters >= fewest && n_numbers / MLP_NUMBERS_A_PARAMETER < net->n_parameters;
}

/*
 * At least sum |x_i dl/dz_j| over all rows, for any input x and output z of a layer, or for the bias,
 * whose input is 1. With Cauchy's inequality that is |X| |dZ|, with the Frobenius norms over all
 * layers. |f(z)| is at most 2 |z| + 2 for every activation, so that |f(Z)|^2 <= 8 (|Z|^2 + numbers).
 * 2: sums that were rounded. The last term: squares that were too small for the dtype.
 */
static double gradient_bound(const mlp_weight_region *weights) {
    const mlp_workspace *w = weights->workspace;
    const mlp_network *net = w->network;
    const mlp_dropout *dropout = weights->pass->dropout;
    const double n_units = (double)weights->pass->batch->n_samples * (double)net->total_width;
    double inputs = 0.0;
    double grad_pre_activations = n_units * (net->dtype == MLP_FLOAT32 ? 0x1p-140 : 0x1p-1000);
    double scale = 1.0;
    if (dropout != NULL)
        for (size_t l = 0; l + 1 < net->n_layers; l++)
            if (1.0 / (1.0 - dropout->rates[l]) > scale) scale = 1.0 / (1.0 - dropout->rates[l]);
    for (size_t worker = 0; worker < w->needs.n_threads; worker++) {
        const mlp_row_squares *squares = &w->squares[worker];
        inputs += squares->inputs + 8.0 * scale * scale * squares->pre_activations;
        grad_pre_activations += squares->grad_pre_activations;
    }
    return 2.0 * sqrt(inputs + 8.0 * scale * scale * n_units) * sqrt(grad_pre_activations);
}

/* Whether the update is sure to leave finite parameters and moments. The parameters are finite if
 * all pre-activations are, since each parameter is part of one in every row. */
static int is_sure(mlp_weight_region *weights) {
    const mlp_network *net = weights->workspace->network;
    const mlp_kernels *kernels = weights->workspace->needs.kernels;
    double largest_parameter = 0.0;
    if (mlp_depends_on_parameters(weights->pass->update))
        largest_parameter =
            kernels->largest(1, net->n_parameters, weights->pass->parameters, net->n_parameters);
    return mlp_update_is_sure(&weights->update, net->dtype, gradient_bound(weights),
                              largest_parameter);
}

/* Rows [begin, end) of the gradient of a layer's weight, piece by piece, each used at once. */
static void update_pieces(const mlp_weight_region *weights, size_t l, size_t begin, size_t end,
                          const void *input, size_t input_stride, void *piece, void *scratch) {
    const mlp_workspace *w = weights->workspace;
    const mlp_kernels *kernels = w->needs.kernels;
    const mlp_optimizer *optimizer = weights->pass->update;
    const mlp_layer_shape *layer = &w->network->layers[l];
    const mlp_layer_rows *rows = &w->layers[l];
    void *parameters = weights->pass->parameters;
    const size_t n_rows = piece_rows(kernels, layer);
    for (size_t row = begin; row < end; row += n_rows) {
        const size_t n_here = mlp_smaller(n_rows, end - row), n = n_here * layer->n_outputs;
        const size_t at = layer->weight_offset + row * layer->n_outputs;
        kernels->linear_backward_weight(&w->linears[l], weights->n_rows,
                                        mlp_const_at(kernels, input, row), input_stride,
                                        rows->grad_pre_activation, rows->grad_stride, 0, n_here, 0,
                                        piece, NULL, 0, NULL, scratch);
        if (optimizer->l1 > 0.0 || optimizer->l2 > 0.0)
            kernels->adjust_gradient(n, 1.0, optimizer->l1, optimizer->l2,
                                     mlp_const_at(kernels, parameters, at), piece);
        mlp_update_range(&weights->update, 1, at, n, parameters, piece);
    }
}

static void weight_task(void *context, size_t task, size_t worker) {
    mlp_weight_region *weights = context;
    mlp_workspace *w = weights->workspace;
    const mlp_kernels *kernels = w->needs.kernels;
    const mlp_update_way way = weights->way;
    const size_t n_parts = w->needs.n_threads;
    /* Without threads there is no division, which a tiny step would feel. */
    const size_t l = n_parts == 1 ? task : task / n_parts;
    const size_t part = n_parts == 1 ? 0 : task % n_parts;
    const mlp_layer_shape *layer = &w->network->layers[l];
    size_t begin, end;
    mlp_weight_rows(kernels, layer, part, n_parts, &begin, &end);
    const void *delta = w->layers[l].grad_pre_activation;
    const size_t stride = w->layers[l].grad_stride;
    const void *input = l > 0 ? w->layers[l - 1].output : weights->x;
    const size_t input_stride = l > 0 ? w->layers[l - 1].stride : weights->x_stride;
    void *scratch = (unsigned char *)w->scratch + worker * w->scratch_bytes;
    void *parameters = weights->pass->parameters;
    const mlp_optimizer *exchanged =
        way == MLP_EXCHANGE || way == MLP_SURE_TILES ? weights->pass->update : NULL;
    const int sure = way == MLP_SURE_TILES;
    int finite = 1;
    if (way == MLP_SURE_PIECES)
        update_pieces(weights, l, begin, end, input, input_stride,
                      mlp_at(kernels, w->pieces, worker * w->needs.piece_reals), scratch);
    else
        finite = kernels->linear_backward_weight(
            &w->linears[l], weights->n_rows, input, input_stride, delta, stride, begin, end,
            weights->accumulate, mlp_at(kernels, weights->gradients, layer->weight_offset),
            exchanged, sure, mlp_at(kernels, parameters, layer->weight_offset), scratch);
    if (part == 0 && w->network->has_bias) {
        void *grad_bias = mlp_at(kernels, weights->gradients, layer->bias_offset);
        finite &= kernels->linear_backward_bias(&w->linears[l], weights->n_rows, delta, stride,
                                                weights->accumulate, grad_bias, exchanged, sure,
                                                mlp_at(kernels, parameters, layer->bias_offset));
        if (way == MLP_SURE_PIECES)
            mlp_update_range(&weights->update, 1, layer->bias_offset, layer->n_outputs, parameters,
                             grad_bias);
    }
    if (!finite) atomic_store_explicit(&weights->not_finite, 1, memory_order_relaxed);
}

mlp_outcome mlp_weights_run(mlp_weight_region *weights, int is_last, int may_be_sure) {
    const mlp_workspace *w = weights->workspace;
    mlp_optimizer *optimizer = weights->pass->update;
    weights->way = MLP_GRADIENTS;
    if (optimizer != NULL && is_last) {
        const int is_plain = mlp_is_plain_sgd(optimizer);
        if (is_plain) weights->way = MLP_EXCHANGE;
        if (is_plain || may_be_sure) weights->update = mlp_update_next(w->needs.kernels, optimizer);
        /* An optimizer's settings may change in the course of an epoch: then no pieces are there. */
        const int has_room = is_plain || w->needs.piece_reals > 0;
        if (may_be_sure && has_room && is_sure(weights))
            weights->way = is_plain ? MLP_SURE_TILES : MLP_SURE_PIECES;
    }
    mlp_parallel_for(w->needs.n_threads, w->network->n_layers * w->needs.n_threads, weight_task,
                     weights);
    if (weights->way == MLP_GRADIENTS) return MLP_NOT_UPDATED;
    if (!atomic_load_explicit(&weights->not_finite, memory_order_relaxed)) return MLP_UPDATED;
    mlp_weights_undo(weights);
    return MLP_UNDONE;
}

void mlp_weights_undo(const mlp_weight_region *weights) {
    const mlp_workspace *w = weights->workspace;
    MLP_ASSERT(weights->way == MLP_EXCHANGE);
    memcpy(weights->pass->parameters, weights->gradients,
           w->network->n_parameters * w->needs.kernels->real_bytes);
}
