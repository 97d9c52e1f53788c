/* SPDX-License-Identifier: BSD-3-Clause */
/* workspace.c - the scratch memory of one call: what lies where, and how work is cut to fit it. */
#include <string.h>

#include "network.h"

/* A strip's rows of all its buffers take half of a 1 MiB L2; the other half is for weights. */
#define MLP_STRIP_BYTES ((size_t)512 * 1024)
/* Weights far beyond L2 come anew from L3 for every strip, and a strip has to be long enough to pay
 * for them: 20 GB/s against 240 GFLOP/s make that 5 % with 512 rows. Up to some times L2 short
 * strips are faster still (784-512-512-10, 2.7 MB, 1024 rows: 205 GFLOP/s against 180). */
#define MLP_WEIGHT_BYTES    ((size_t)4096 * 1024)
#define MLP_LONG_STRIP_ROWS MLP_CHUNK

/* Multiply-adds that one more thread has to have to itself before it is worth waking: some 40 us
 * of work, against up to 20 us until a sleeping thread has begun. */
#define MLP_THREAD_WORK ((size_t)1 << 21)

mlp_status mlp_workspace_create(const mlp_network *network, mlp_workspace **workspace) {
    mlp_workspace *w = mlp_allocate(sizeof *w);
    if (w == NULL) return MLP_OUT_OF_MEMORY;
    memset(w, 0, sizeof *w);
    w->network = network;
    *workspace = w;
    return MLP_OK;
}

void mlp_workspace_destroy(mlp_workspace *workspace) {
    if (workspace == NULL) return;
    mlp_arena_release(&workspace->arena);
    mlp_release(workspace);
}

/* count times items, or a number that no allocation grants: the arena reports the failure. */
static size_t product_or_huge(size_t count, size_t items) {
    size_t product;
    return mlp_size_multiply(count, items, &product) ? product : SIZE_MAX;
}

/* Panels of n_columns columns over n_inner, whole panels. */
static void *carve_panels(mlp_arena *arena, const mlp_kernels *kernels, size_t n_inner,
                          size_t n_columns) {
    const size_t width = kernels->panel_width;
    return mlp_arena_carve(arena, product_or_huge((n_columns + width - 1) / width * width, n_inner),
                           kernels->real_bytes);
}

static void lay_out(mlp_workspace *w, const mlp_needs *needs, mlp_arena *arena) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = needs->kernels;
    const size_t n_layers = net->n_layers, real_bytes = kernels->real_bytes;
    w->linears = mlp_arena_carve(arena, n_layers, sizeof *w->linears);
    w->records = mlp_arena_carve(arena, n_layers, sizeof *w->records);
    void ***lists[] = {&w->forward_panels, &w->backward_panels, &w->outputs,
                       &w->activation_derivatives, &w->grad_pre_activations};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        *lists[i] = mlp_arena_carve(arena, n_layers, sizeof(void *));

    for (size_t l = 0; l < n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        const size_t block = product_or_huge(needs->block_rows, layer->n_outputs);
        void *forward = NULL, *backward = NULL, *output = NULL, *derivative = NULL, *delta = NULL;
        /* One panel alone is W itself, row for row. */
        if (needs->forward_panels && layer->n_outputs > kernels->panel_width)
            forward = carve_panels(arena, kernels, layer->n_inputs, layer->n_outputs);
        if (needs->backward_panels) delta = mlp_arena_carve(arena, block, real_bytes);
        if (needs->backward_panels && (l > 0 || needs->backward_to_x))
            backward = carve_panels(arena, kernels, layer->n_outputs, layer->n_inputs);
        if (needs->own_outputs) output = mlp_arena_carve(arena, block, real_bytes);
        if (needs->own_outputs && needs->backward_panels)
            derivative = mlp_arena_carve(arena, block, real_bytes);
        if (arena->block == NULL) continue; /* counting: the lists do not exist yet */
        w->forward_panels[l] = forward;
        w->backward_panels[l] = backward;
        w->outputs[l] = output;
        w->activation_derivatives[l] = derivative;
        w->grad_pre_activations[l] = delta;
    }
    w->gradients = mlp_arena_carve(arena, needs->own_gradients ? net->n_parameters : 0, real_bytes);
    w->strips = mlp_arena_carve(
        arena, product_or_huge(needs->n_threads * 2 * needs->strip_rows, net->widest), real_bytes);
    w->scratch_bytes = kernels->scratch_bytes(net->widest);
    w->scratch = mlp_arena_carve(arena, needs->n_threads, w->scratch_bytes);
    w->row_values = mlp_arena_carve(arena, needs->value_rows, sizeof(double));
    w->gathered_x = mlp_arena_carve(
        arena, product_or_huge(needs->gathered_rows, net->layers[0].n_inputs), real_bytes);
    w->gathered_target =
        mlp_arena_carve(arena,
                        product_or_huge(needs->gathers_class_index ? 0 : needs->gathered_rows,
                                        net->layers[n_layers - 1].n_outputs),
                        real_bytes);
    w->gathered_weight = mlp_arena_carve(arena, needs->gathered_rows, real_bytes);
    w->gathered_class_index = mlp_arena_carve(
        arena, needs->gathers_class_index ? needs->gathered_rows : 0, sizeof(int64_t));
}

mlp_status mlp_workspace_prepare(mlp_workspace *w, const mlp_needs *needs) {
    if (w->arena.block != NULL && memcmp(&w->needs, needs, sizeof *needs) == 0) return MLP_OK;
    mlp_arena count = {0};
    lay_out(w, needs, &count);
    if (count.overflow || w->arena.block == NULL || count.used > w->arena.capacity) {
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
    MLP_ASSERT(n_threads >= 1);
    const size_t useful = work / MLP_THREAD_WORK;
    if (useful <= 1) return 1;
    return mlp_smaller(useful, mlp_smaller(n_threads, MLP_PARALLEL_MAX));
}

size_t mlp_strip_rows(const mlp_network *network, const mlp_kernels *kernels, size_t reals_per_row,
                      size_t n_rows, size_t n_threads) {
    if (n_rows == 0) return 1;
    const size_t fit = MLP_STRIP_BYTES / (reals_per_row * kernels->real_bytes);
    const size_t n_tiles = fit / kernels->tile_rows < 2 ? 2 : fit / kernels->tile_rows;
    size_t most = mlp_smaller(n_tiles * kernels->tile_rows, MLP_BLOCK_ROWS);
    if (network->n_weights * kernels->real_bytes > MLP_WEIGHT_BYTES && most < MLP_LONG_STRIP_ROWS)
        most = MLP_LONG_STRIP_ROWS;
    const size_t rounds = mlp_quotient_up(mlp_quotient_up(n_rows, most), n_threads);
    return mlp_quotient_up(n_rows, rounds * n_threads);
}
