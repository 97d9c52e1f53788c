/* SPDX-License-Identifier: BSD-3-Clause */
/* rows.h - rows of a block through all layers and back, for propagate.c and one_row.c. */
#ifndef MLP_ROWS_H
#define MLP_ROWS_H

#include <string.h>

#include "propagate.h"

typedef struct mlp_row_region {
    mlp_workspace *workspace;
    const mlp_pass *pass;
    const mlp_batch *block; /* the rows of the running block */
    size_t strip_rows;
    int forward, backward;
    const mlp_dropout *dropout; /* NULL: none */
    size_t first_row;           /* of the block, in the batch */
    const void *x;              /* of the block, block.x or the spread copy of it */
    size_t x_stride;
    const void *cotangent; /* (n_rows, K) of the block, or NULL */
    const mlp_loss *loss;  /* what is really computed; NULL: none */
    int on_pre_activation; /* the loss looks at z rather than at y_hat, and gives dl/dz */
    double factor;
    double *row_values;
    void *grad_x;
    int sums_squares; /* the workspace's squares are wanted */
} mlp_row_region;

/* The loss of the rows and dl/dz of the output layer. */
MLP_INLINE void mlp_output_rows(const mlp_row_region *region, const mlp_layer_rows *layer_rows,
                                const mlp_layer_shape *layer, size_t first, size_t n_rows) {
    const mlp_kernels *kernels = region->workspace->needs.kernels;
    const size_t n_outputs = layer->n_outputs, from = first * n_outputs, n = n_rows * n_outputs;
    void *delta = mlp_at(kernels, layer_rows->grad_pre_activation, first * layer_rows->grad_stride);
    void *grad_output = mlp_at(kernels, layer_rows->grad_output, from);
    const int is_softmax = layer->activation == MLP_SOFTMAX;
    /* An identity whose derivative nobody keeps. */
    const int da_is_delta = !is_softmax && layer_rows->activation_derivative == NULL;
    const void *da;
    if (region->loss != NULL) {
        mlp_batch part;
        const mlp_batch *rows = region->block;
        if (n_rows < rows->n_samples) {
            part = mlp_batch_rows(kernels, rows, first, n_rows, 0, n_outputs);
            rows = &part;
        }
        const void *prediction =
            region->on_pre_activation ? layer_rows->pre_activation : layer_rows->output;
        void *gradient = region->on_pre_activation || grad_output == NULL ? delta : grad_output;
        kernels->loss(region->loss, n_outputs, rows, mlp_const_at(kernels, prediction, from),
                      region->factor, region->backward ? gradient : NULL,
                      region->row_values + first);
        if (!region->backward || region->on_pre_activation) return;
        da = gradient;
    } else {
        da = mlp_const_at(kernels, region->cotangent, from);
        if (grad_output != NULL) memcpy(grad_output, da, n * kernels->real_bytes);
    }
    if (is_softmax)
        kernels->softmax_backward(n_rows, n_outputs,
                                  mlp_const_at(kernels, layer_rows->output, from), da, delta);
    else if (!da_is_delta)
        kernels->multiply(n, da, mlp_const_at(kernels, layer_rows->activation_derivative, from),
                          delta);
    else if (da != delta)
        memcpy(delta, da, n * kernels->real_bytes);
}

/* propagate.c: dropout of layer l. */
void mlp_drop_units(const mlp_row_region *region, size_t l, size_t first, size_t n_rows);

/* propagate.c: points workspace->layers at the rows of a block: the caller's from row `first` on, or
 * else the workspace's own. */
void mlp_point_layers(mlp_workspace *workspace, const mlp_record *given, int on_pre_activation,
                      size_t first);

/* The sum of squares of rows is at most this. */
MLP_INLINE double mlp_squares_bound(const mlp_kernels *kernels, size_t n_rows, size_t width,
                                    const void *rows, size_t stride) {
    const double largest = kernels->largest(n_rows, width, rows, stride);
    return (double)(n_rows * width) * largest * largest;
}

/* Rows [first, first + n_rows) through all layers. */
MLP_INLINE void mlp_forward_rows(const mlp_row_region *region, size_t first, size_t n_rows,
                                 void *scratch, mlp_row_squares *squares) {
    const mlp_workspace *w = region->workspace;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t n_layers = w->network->n_layers;
    const void *input = mlp_const_at(kernels, region->x, first * region->x_stride);
    size_t input_stride = region->x_stride;
    if (region->sums_squares)
        squares->inputs +=
            mlp_squares_bound(kernels, n_rows, w->network->layers[0].n_inputs, input, input_stride);
    for (size_t l = 0; l < n_layers; l++) {
        const mlp_layer_rows *layer = &w->layers[l];
        const size_t from = first * layer->stride;
        void *output = mlp_at(kernels, layer->output, from);
        squares->pre_activations += kernels->linear_forward(
            &w->linears[l], n_rows, input, input_stride,
            mlp_at(kernels, layer->pre_activation, from), output,
            mlp_at(kernels, layer->activation_derivative, from), layer->stride, scratch);
        if (region->dropout != NULL && l + 1 < n_layers) mlp_drop_units(region, l, first, n_rows);
        input = output;
        input_stride = layer->stride;
    }
}

/* dl/dz of a hidden layer whose dl/da is kept: the product of two matrices, row by row. */
MLP_INLINE void mlp_multiply_derivative(const mlp_kernels *kernels, const mlp_layer_rows *layer,
                                        size_t width, size_t first, size_t n_rows) {
    for (size_t row = first; row < first + n_rows; row++)
        kernels->multiply(width, mlp_const_at(kernels, layer->grad_output, row * width),
                          mlp_const_at(kernels, layer->activation_derivative, row * layer->stride),
                          mlp_at(kernels, layer->grad_pre_activation, row * layer->grad_stride));
}

/* Back from dl/dz of the output layer. */
MLP_INLINE void mlp_backward_rows(const mlp_row_region *region, size_t first, size_t n_rows,
                                  void *scratch, mlp_row_squares *squares) {
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    for (size_t l = net->n_layers; l-- > 0;) {
        const size_t stride = w->layers[l].grad_stride;
        void *delta = mlp_at(kernels, w->layers[l].grad_pre_activation, first * stride);
        if (l + 1 == net->n_layers) {
            if (stride != n_outputs)
                mlp_spread_rows(kernels, n_rows, n_outputs, delta, n_outputs, delta, stride);
            if (region->sums_squares)
                squares->grad_pre_activations +=
                    mlp_squares_bound(kernels, n_rows, n_outputs, delta, stride);
        }
        if (l == 0) {
            if (region->grad_x != NULL)
                kernels->linear_backward_input(&w->linears[0], n_rows, delta, stride, NULL, 0, 0,
                                               mlp_at(kernels, region->grad_x, first * n_inputs),
                                               n_inputs, scratch);
            return;
        }
        const mlp_layer_rows *below = &w->layers[l - 1];
        const size_t n_below = net->layers[l - 1].n_outputs;
        if (below->grad_output != NULL) {
            kernels->linear_backward_input(&w->linears[l], n_rows, delta, stride, NULL, 0, 0,
                                           mlp_at(kernels, below->grad_output, first * n_below),
                                           n_below, scratch);
            mlp_multiply_derivative(kernels, below, n_below, first, n_rows);
        } else {
            const int from_output = below->activation_derivative == NULL; /* ReLU, own rows */
            const void *d = from_output ? below->output : below->activation_derivative;
            squares->grad_pre_activations += kernels->linear_backward_input(
                &w->linears[l], n_rows, delta, stride,
                mlp_const_at(kernels, d, first * below->stride), below->stride, from_output,
                mlp_at(kernels, below->grad_pre_activation, first * below->grad_stride),
                below->grad_stride, scratch);
        }
    }
}

#endif
