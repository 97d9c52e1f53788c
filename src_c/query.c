/* SPDX-License-Identifier: BSD-3-Clause */
/* query.c - scratch memory of the derivative queries, and a strip of samples forward. */
#include "query.h"

#include <string.h>

/* Half of a 1 MiB L2, as for the strips of workspace.c. */
#define MLP_QUERY_BYTES ((size_t)512 * 1024)

void mlp_query_destroy(mlp_query *query) {
    if (query == NULL) return;
    mlp_arena_release(&query->arena);
    mlp_release(query);
}

static int keeps(const mlp_network *net, const mlp_query_needs *needs, size_t l, mlp_kept what) {
    const mlp_activation f = net->layers[l].activation;
    const int is_last = l + 1 == net->n_layers;
    if (!needs->keeps[what]) return 0;
    if (needs->ends_before_activation && is_last &&
        (what == MLP_KEPT_OUTPUT || what == MLP_KEPT_DERIVATIVE))
        return 0;
    switch (what) {
    case MLP_KEPT_OUTPUT: /* of other activations it is what the derivative is made from */
        return !(needs->spares_output && is_last && f == MLP_IDENTITY);
    case MLP_KEPT_DERIVATIVE:
        return f != MLP_SOFTMAX && !(is_last && f == MLP_IDENTITY);
    case MLP_KEPT_CURVATURE:
        return f != MLP_SOFTMAX && mlp_activation_bends(f) &&
               !(is_last && needs->keeps[MLP_KEPT_OUTPUT_PRE_ACTIVATION]);
    case MLP_KEPT_OUTPUT_PRE_ACTIVATION:
        return is_last;
    case MLP_KEPT_DIRECTIONS:
    case MLP_KEPT_SCALED_DIRECTIONS:
    case MLP_KEPT_DIRECTIONS_GRAD:
        return !is_last;
    default:
        return 1;
    }
}

static void lay_out_strip(const mlp_network *net, const mlp_query_needs *needs, mlp_arena *arena,
                          mlp_query_strip *strip) {
    const mlp_kernels *kernels = needs->kernels;
    const size_t n_rows = mlp_product_or_huge(needs->n_rows, needs->n_directions);
    strip->layers = mlp_arena_carve(arena, net->n_layers, sizeof *strip->layers);
    for (size_t l = 0; l < net->n_layers; l++) {
        const size_t width = net->layers[l].n_outputs;
        mlp_query_layer layer = {.stride =
                                     l + 1 == net->n_layers ? width : mlp_pitch(kernels, width)};
        for (int what = 0; what < MLP_N_KEPT; what++)
            if (keeps(net, needs, l, (mlp_kept)what))
                layer.kept[what] = mlp_arena_carve(
                    arena,
                    mlp_product_or_huge(what < MLP_KEPT_DIRECTIONS ? needs->n_rows : n_rows,
                                        layer.stride),
                    kernels->real_bytes);
        if (arena->block != NULL)
            strip->layers[l] = layer; /* else only counting: the list does not exist */
    }
    for (size_t i = 0; i < MLP_QUERY_BUFFERS; i++)
        strip->buffers[i] = mlp_arena_carve(arena, needs->buffer_reals[i], kernels->real_bytes);
}

static void lay_out(const mlp_network *net, const mlp_query_needs *needs, mlp_arena *arena,
                    mlp_query *query) {
    const mlp_kernels *kernels = needs->kernels;
    const size_t n_inputs = net->layers[0].n_inputs;
    size_t n_inner = needs->n_inner > net->widest ? needs->n_inner : net->widest;
    if (n_inputs > n_inner) n_inner = n_inputs;
    query->linears = mlp_arena_carve(arena, net->n_layers, sizeof *query->linears);
    query->products = mlp_arena_carve(arena, net->n_layers, sizeof *query->products);
    query->directions = mlp_arena_carve(arena, net->n_layers, sizeof *query->directions);
    query->strips = mlp_arena_carve(arena, needs->n_strips, sizeof *query->strips);
    for (size_t i = 0; i < needs->n_strips; i++) {
        mlp_query_strip strip;
        lay_out_strip(net, needs, arena, &strip);
        if (arena->block != NULL) query->strips[i] = strip;
    }
    query->shared = mlp_arena_carve(arena, needs->shared_reals, kernels->real_bytes);
    query->values = mlp_arena_carve(arena, needs->n_values, sizeof *query->values);
    query->scratch_bytes = kernels->scratch_bytes(n_inner);
    query->scratch = mlp_arena_carve(arena, needs->n_threads, query->scratch_bytes);
}

mlp_status mlp_query_prepare(mlp_workspace *w, const mlp_query_needs *needs) {
    mlp_query *query = w->query;
    if (query == NULL) {
        query = mlp_allocate(sizeof *query);
        if (query == NULL) return MLP_OUT_OF_MEMORY;
        memset(query, 0, sizeof *query);
        w->query = query;
    }
    if (query->arena.block != NULL && memcmp(&query->needs, needs, sizeof *needs) == 0)
        return MLP_OK;
    mlp_arena count = {0};
    lay_out(w->network, needs, &count, query);
    if (count.overflow || query->arena.block == NULL || count.used > query->arena.capacity) {
        mlp_arena_release(&query->arena);
        if (!mlp_arena_reserve(&count)) return MLP_OUT_OF_MEMORY;
        query->arena = count;
    }
    query->arena.used = 0;
    lay_out(w->network, needs, &query->arena, query);
    query->needs = *needs;
    return MLP_OK;
}

void mlp_query_bind(mlp_workspace *w, const void *parameters, const void *direction) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->query->needs.kernels;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        mlp_linear linear = {
            .n_inputs = layer->n_inputs,
            .n_outputs = layer->n_outputs,
            .activation = layer->activation,
            .weight = mlp_const_at(kernels, parameters, layer->weight_offset),
            .bias = net->has_bias ? mlp_const_at(kernels, parameters, layer->bias_offset) : NULL,
        };
        w->query->linears[l] = linear;
        linear.activation = MLP_IDENTITY;
        linear.bias = NULL;
        w->query->products[l] = linear;
        if (direction == NULL) continue;
        linear.weight = mlp_const_at(kernels, direction, layer->weight_offset);
        if (net->has_bias) linear.bias = mlp_const_at(kernels, direction, layer->bias_offset);
        w->query->directions[l] = linear;
    }
}

size_t mlp_query_strip_rows(const mlp_network *net, const mlp_kernels *kernels, size_t n_samples,
                            size_t n_directions, size_t n_threads) {
    if (n_samples <= 1) return 1;
    const size_t reals_per_row = 2 * net->widest + (net->total_width + net->widest) / n_directions;
    const size_t n_rows = mlp_strip_rows(net, kernels, reals_per_row,
                                         mlp_product_or_huge(n_samples, n_directions), n_threads);
    return mlp_quotient_up(n_rows, n_directions);
}

size_t mlp_query_rows(const mlp_kernels *kernels, size_t n_samples, size_t reals_per_sample,
                      size_t n_threads) {
    const size_t fit = MLP_QUERY_BYTES / kernels->real_bytes / reals_per_sample;
    const size_t share = mlp_quotient_up(n_samples, n_threads);
    return fit == 0 ? 1 : mlp_smaller(fit, share);
}

const void *mlp_query_forward(const mlp_workspace *w, const mlp_query_strip *strip, size_t first,
                              size_t n_rows, const void *x, void *y, void *scratch) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->query->needs.kernels;
    const void *input = x;
    size_t input_stride = net->layers[0].n_inputs;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_query_layer *layer = &strip->layers[l];
        const size_t width = net->layers[l].n_outputs;
        void *output = mlp_kept_at(kernels, layer, MLP_KEPT_OUTPUT, first);
        void *z = mlp_kept_at(kernels, layer, MLP_KEPT_OUTPUT_PRE_ACTIVATION, first);
        void *curvature = mlp_kept_at(kernels, layer, MLP_KEPT_CURVATURE, first);
        if (y != NULL && l + 1 == net->n_layers) output = y;
        if (output == NULL && z == NULL) break; /* spared */
        kernels->linear_forward(&w->query->linears[l], n_rows, input, input_stride,
                                curvature != NULL ? curvature : z, output,
                                mlp_kept_at(kernels, layer, MLP_KEPT_DERIVATIVE, first),
                                layer->stride, scratch);
        const size_t at_once = layer->stride == width ? n_rows : 1;
        for (size_t row = 0; curvature != NULL && row < n_rows; row += at_once) {
            void *at = mlp_at(kernels, curvature, row * layer->stride); /* where z is */
            kernels->curvature(net->layers[l].activation, at_once * width, at, at);
        }
        input = output;
        input_stride = layer->stride;
    }
    return input;
}

void mlp_multiply_rows(const mlp_kernels *kernels, size_t n_rows, size_t n_columns, const void *a,
                       const void *b, void *product, size_t stride) {
    if (n_columns == stride) {
        kernels->multiply(n_rows * n_columns, a, b, product);
        return;
    }
    for (size_t row = 0; row < n_rows; row++)
        kernels->multiply(n_columns, mlp_const_at(kernels, a, row * stride),
                          mlp_const_at(kernels, b, row * stride),
                          mlp_at(kernels, product, row * stride));
}

void mlp_add_rows(const mlp_kernels *kernels, size_t n_rows, size_t n_columns, void *a,
                  const void *b, size_t stride) {
    if (n_columns == stride) {
        kernels->add(n_rows * n_columns, a, b, a);
        return;
    }
    for (size_t row = 0; row < n_rows; row++)
        kernels->add(n_columns, mlp_const_at(kernels, a, row * stride),
                     mlp_const_at(kernels, b, row * stride), mlp_at(kernels, a, row * stride));
}
