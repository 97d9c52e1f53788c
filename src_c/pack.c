/* SPDX-License-Identifier: BSD-3-Clause */
/* pack.c - region 1: the weights of every layer, in the layout in which the products read them. */
#include "network.h"

/* Up to this many row tiles, reading W as it lies is cheaper than packing it first (measured with
 * 128 rows of 784 x 256: 93 % of the peak against 91 % and the time to pack). */
#define MLP_UNPACKED_TILES 10
/* Panels that one task writes. */
#define MLP_PACK_PANELS 8

int mlp_packs_forward(const mlp_kernels *kernels, size_t n_rows) {
    return n_rows > MLP_UNPACKED_TILES * kernels->tile_rows;
}

static size_t tasks_of(const mlp_kernels *kernels, const void *panels, size_t n_columns) {
    if (panels == NULL) return 0;
    return mlp_quotient_up(mlp_quotient_up(n_columns, kernels->panel_width), MLP_PACK_PANELS);
}

static void pack_task(void *context, size_t task, size_t worker) {
    const mlp_workspace *w = context;
    const mlp_kernels *kernels = w->needs.kernels;
    (void)worker;
    for (size_t l = 0; l < w->network->n_layers; l++) {
        const mlp_linear *linear = &w->linears[l];
        const size_t n_columns[2] = {linear->n_outputs, linear->n_inputs};
        void *panels[2] = {w->forward_panels[l], w->backward_panels[l]};
        for (size_t direction = 0; direction < 2; direction++) {
            const size_t n_tasks = tasks_of(kernels, panels[direction], n_columns[direction]);
            if (task < n_tasks) {
                const size_t n_panels = mlp_quotient_up(n_columns[direction], kernels->panel_width);
                const size_t begin = task * MLP_PACK_PANELS;
                const size_t end = mlp_smaller(begin + MLP_PACK_PANELS, n_panels);
                if (direction == 0)
                    kernels->pack_forward(linear, begin, end, panels[0]);
                else
                    kernels->pack_backward(linear, begin, end, panels[1]);
                return;
            }
            task -= n_tasks;
        }
    }
}

void mlp_pack_weights(mlp_workspace *w, const void *parameters) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    size_t n_tasks = 0;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        w->linears[l] = (mlp_linear){
            .n_inputs = layer->n_inputs,
            .n_outputs = layer->n_outputs,
            .activation = layer->activation,
            .weight = mlp_const_at(kernels, parameters, layer->weight_offset),
            .bias = net->has_bias ? mlp_const_at(kernels, parameters, layer->bias_offset) : NULL,
            .forward_panels = w->forward_panels[l],
            .backward_panels = w->backward_panels[l],
        };
        n_tasks += tasks_of(kernels, w->forward_panels[l], layer->n_outputs) +
                   tasks_of(kernels, w->backward_panels[l], layer->n_inputs);
    }
    mlp_parallel_for(w->needs.n_threads, n_tasks, pack_task, w);
}
