/* SPDX-License-Identifier: BSD-3-Clause */
/* network.c - a net's topology and the layout of its flat vector and of its scratch memory. */
#include "network.h"

#include <string.h>

#include "compiler.h"

mlp_status mlp_network_create(mlp_dtype dtype, size_t n_layers, const size_t *sizes,
                              const mlp_activation *activations, int has_bias,
                              mlp_network **network) {
    MLP_ASSERT(n_layers >= 1);
    size_t bytes;
    if (!mlp_size_multiply(n_layers, sizeof(mlp_layer_shape), &bytes) ||
        !mlp_size_add(bytes, sizeof(mlp_network), &bytes))
        return MLP_OUT_OF_MEMORY;
    mlp_network *net = mlp_allocate(bytes);
    if (!net) return MLP_OUT_OF_MEMORY;
    *net = (mlp_network){.dtype = dtype, .has_bias = has_bias != 0, .n_layers = n_layers};
    for (size_t l = 0; l < n_layers; l++) {
        mlp_layer_shape *layer = &net->layers[l];
        size_t n_weights;
        *layer = (mlp_layer_shape){
            .n_inputs = sizes[l], .n_outputs = sizes[l + 1], .activation = activations[l]};
        layer->weight_offset = net->n_parameters;
        if (!mlp_size_multiply(layer->n_inputs, layer->n_outputs, &n_weights) ||
            !mlp_size_add(layer->weight_offset, n_weights, &layer->bias_offset) ||
            !mlp_size_add(layer->bias_offset, has_bias ? layer->n_outputs : 0,
                          &net->n_parameters) ||
            !mlp_size_add(net->total_width, layer->n_outputs, &net->total_width)) {
            mlp_release(net);
            return MLP_OUT_OF_MEMORY;
        }
        net->n_weights += n_weights; /* below n_parameters, which did not overflow */
        if (layer->n_outputs > net->widest) net->widest = layer->n_outputs;
    }
    *network = net;
    return MLP_OK;
}

void mlp_network_destroy(mlp_network *network) { mlp_release(network); }

size_t mlp_network_n_parameters(const mlp_network *network) { return network->n_parameters; }

mlp_status mlp_workspace_create(const mlp_network *network, mlp_workspace **workspace) {
    mlp_workspace *w = mlp_allocate(sizeof *w);
    if (!w) return MLP_OUT_OF_MEMORY;
    memset(w, 0, sizeof *w);
    w->network = network;
    *workspace = w;
    return MLP_OK;
}

void mlp_workspace_destroy(mlp_workspace *workspace) {
    if (!workspace) return;
    mlp_arena_release(&workspace->arena);
    mlp_release(workspace);
}

/* count times items, or a number that no allocation grants: the arena reports the failure. */
static size_t product_or_huge(size_t count, size_t items) {
    size_t product;
    return mlp_size_multiply(count, items, &product) ? product : SIZE_MAX;
}

static void lay_out(mlp_workspace *w, const mlp_needs *needs, mlp_arena *arena) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = needs->kernels;
    const size_t n_layers = net->n_layers, real_bytes = kernels->real_bytes;
    const size_t width = kernels->panel_width;
    w->linears = mlp_arena_carve(arena, n_layers, sizeof *w->linears);
    w->records = mlp_arena_carve(arena, n_layers, sizeof *w->records);
    void ***lists[] = {&w->forward_panels, &w->backward_panels, &w->outputs, &w->derivatives,
                       &w->deltas};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        *lists[i] = mlp_arena_carve(arena, n_layers, sizeof(void *));

    for (size_t l = 0; l < n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        const size_t forward_width = (layer->n_outputs + width - 1) / width * width;
        const size_t backward_width = (layer->n_inputs + width - 1) / width * width;
        const size_t block = product_or_huge(needs->n_block, layer->n_outputs);
        void *forward =
            mlp_arena_carve(arena, product_or_huge(forward_width, layer->n_inputs), real_bytes);
        void *backward = NULL, *output = NULL, *derivative = NULL, *delta = NULL;
        if (needs->derivatives) {
            backward = mlp_arena_carve(arena, product_or_huge(backward_width, layer->n_outputs),
                                       real_bytes);
            delta = mlp_arena_carve(arena, block, real_bytes);
        }
        if (needs->own_outputs) {
            output = mlp_arena_carve(arena, block, real_bytes);
            if (needs->derivatives) derivative = mlp_arena_carve(arena, block, real_bytes);
        }
        if (!arena->block) continue; /* counting: the lists do not exist yet */
        w->forward_panels[l] = forward;
        w->backward_panels[l] = backward;
        w->outputs[l] = output;
        w->derivatives[l] = derivative;
        w->deltas[l] = delta;
    }
    w->gradients = mlp_arena_carve(arena, needs->own_gradients ? net->n_parameters : 0, real_bytes);
    w->strips = mlp_arena_carve(
        arena, product_or_huge(needs->n_threads * 2 * needs->n_strip, net->widest), real_bytes);
    w->scratch_bytes = kernels->scratch_bytes(net->widest);
    w->scratch = mlp_arena_carve(arena, needs->n_threads, w->scratch_bytes);
    w->row_values = mlp_arena_carve(arena, needs->n_values, sizeof(double));
    w->gathered_x = mlp_arena_carve(
        arena, product_or_huge(needs->n_gathered, net->layers[0].n_inputs), real_bytes);
    w->gathered_target =
        mlp_arena_carve(arena,
                        product_or_huge(needs->gathers_class_index ? 0 : needs->n_gathered,
                                        net->layers[n_layers - 1].n_outputs),
                        real_bytes);
    w->gathered_weight = mlp_arena_carve(arena, needs->n_gathered, real_bytes);
    w->gathered_class_index =
        mlp_arena_carve(arena, needs->gathers_class_index ? needs->n_gathered : 0, sizeof(int64_t));
}

mlp_status mlp_workspace_prepare(mlp_workspace *w, const mlp_needs *needs) {
    if (w->arena.block && memcmp(&w->needs, needs, sizeof *needs) == 0) return MLP_OK;
    mlp_arena count = {0};
    lay_out(w, needs, &count);
    if (count.overflow || !w->arena.block || count.used > w->arena.capacity) {
        mlp_arena_release(&w->arena);
        if (!mlp_arena_reserve(&count)) return MLP_OUT_OF_MEMORY;
        w->arena = count;
    }
    w->arena.used = 0;
    lay_out(w, needs, &w->arena);
    w->needs = *needs;
    return MLP_OK;
}

size_t mlp_useful_threads(size_t n_threads, size_t work) {
    const size_t useful = work / MLP_THREAD_WORK;
    if (n_threads > MLP_PARALLEL_MAX) n_threads = MLP_PARALLEL_MAX;
    if (useful <= 1) return 1;
    return useful < n_threads ? useful : n_threads;
}
