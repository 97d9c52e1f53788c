/* SPDX-License-Identifier: BSD-3-Clause */
/* workspace.c - the scratch memory of one call: what lies where, and how work is cut to fit it. */
#include <string.h>

#include "query.h"

/* A strip's rows of all its buffers take half of a 1 MiB L2; the other half is for weights. */
#define MLP_STRIP_BYTES ((size_t)512 * 1024)
/* Weights beyond half of L2 come anew from L3 for every strip, and the first tile of a panel is slower than
 * the others, so that a strip has to be long enough to pay for both. */
#define MLP_WEIGHT_BYTES     ((size_t)512 * 1024)
#define MLP_LONG_STRIP_ROWS  ((size_t)256)
#define MLP_FAR_WEIGHT_BYTES ((size_t)4096 * 1024)

/* Rows whose distance is a multiple of this compete for the same few sets of L1 and L2. */
#define MLP_ALIASING_BYTES ((size_t)1024)

/* Multiply-adds that one more thread has to have to itself before it is worth waking: some 40 us
 * of work, against up to 20 us until a sleeping thread has begun. */
#define MLP_THREAD_WORK ((size_t)1 << 21)

/* Multiply-adds between two polls. */
#define MLP_POLL_WORK ((size_t)1 << 29)

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
    mlp_query_destroy(workspace->query);
    mlp_arena_release(&workspace->arena);
    mlp_release(workspace);
}

void mlp_workspace_watch(mlp_workspace *workspace, mlp_poll poll, void *context) {
    workspace->poll = poll;
    workspace->poll_context = context;
    workspace->unpolled = 0;
}

int mlp_is_interrupted(mlp_workspace *w, size_t work) {
    w->unpolled += work;
    if (w->unpolled < MLP_POLL_WORK) return 0;
    w->unpolled = 0;
    return w->poll != NULL && w->poll(w->poll_context) != 0;
}

typedef struct later_tasks {
    mlp_task run;
    void *context;
    size_t first;
} later_tasks;

static void later_task(void *context, size_t task, size_t worker) {
    const later_tasks *later = context;
    later->run(later->context, later->first + task, worker);
}

mlp_status mlp_polled_for(mlp_workspace *w, size_t n_threads, size_t n_tasks, size_t task_work,
                          mlp_task run, void *context) {
    const size_t n_each = MLP_POLL_WORK / (task_work + 1) + 1, n_at_once = n_each * n_threads;
    if (w->poll == NULL || n_tasks <= n_at_once) {
        mlp_parallel_for(n_threads, n_tasks, run, context);
        return MLP_OK;
    }
    later_tasks later = {.run = run, .context = context};
    for (; later.first < n_tasks; later.first += n_at_once) {
        if (later.first > 0 && mlp_is_interrupted(w, MLP_POLL_WORK)) return MLP_INTERRUPTED;
        mlp_parallel_for(n_threads, mlp_smaller(n_at_once, n_tasks - later.first), later_task,
                         &later);
    }
    return MLP_OK;
}

size_t mlp_pitch(const mlp_kernels *kernels, size_t width) {
    const size_t bytes = width * kernels->real_bytes;
    return bytes % MLP_ALIASING_BYTES == 0 ? width + MLP_ALIGNMENT / kernels->real_bytes : width;
}

size_t mlp_largest_pitch(const mlp_kernels *kernels, size_t widest) {
    return widest + MLP_ALIGNMENT / kernels->real_bytes;
}

int mlp_spreads(const mlp_kernels *kernels, size_t n_rows, size_t width) {
    return n_rows > 2 * kernels->tile_rows && mlp_pitch(kernels, width) != width;
}

void mlp_spread_rows(const mlp_kernels *kernels, size_t n_rows, size_t width, const void *from,
                     size_t from_stride, void *to, size_t to_stride) {
    if (from == to && from_stride == to_stride) return;
    for (size_t row = n_rows; row-- > 0;)
        memmove(mlp_at(kernels, to, row * to_stride),
                mlp_const_at(kernels, from, row * from_stride), width * kernels->real_bytes);
}

/* (n_rows, width) at mlp_pitch. */
static void *carve_rows(mlp_arena *arena, const mlp_kernels *kernels, size_t n_rows, size_t width) {
    return mlp_arena_carve(arena, mlp_product_or_huge(n_rows, mlp_pitch(kernels, width)),
                           kernels->real_bytes);
}

/* A hidden layer's derivative of ReLU is in its output; after a softmax dl/dz has a kernel of its own,
 * and after an identity it is dl/dy_hat. */
static int keeps_derivative(mlp_activation activation, int is_last, const mlp_needs *needs) {
    if (is_last) return activation != MLP_SOFTMAX && activation != MLP_IDENTITY;
    return activation != MLP_RELU || needs->drops_units;
}

/* The output layer's rows are contiguous but for dl/dz: losses take them so. */
static void lay_out_layers(mlp_workspace *w, const mlp_needs *needs, mlp_arena *arena) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = needs->kernels;
    for (size_t l = 0; l < net->n_layers; l++) {
        const size_t width = net->layers[l].n_outputs, n_rows = needs->block_rows;
        const int is_last = l + 1 == net->n_layers;
        mlp_layer_rows rows = {.stride = is_last ? width : mlp_pitch(kernels, width),
                               .grad_stride = mlp_pitch(kernels, width)};
        if (needs->own_outputs) {
            rows.output = carve_rows(arena, kernels, n_rows, width);
            if (needs->goes_back && keeps_derivative(net->layers[l].activation, is_last, needs))
                rows.activation_derivative = carve_rows(arena, kernels, n_rows, width);
        }
        if (needs->goes_back) rows.grad_pre_activation = carve_rows(arena, kernels, n_rows, width);
        if (arena->block != NULL)
            w->own[l] = rows; /* else only counting: the list does not exist */
    }
}

static size_t widest_layer(const mlp_network *net) {
    const size_t n_inputs = net->layers[0].n_inputs;
    return n_inputs > net->widest ? n_inputs : net->widest;
}

static void lay_out(mlp_workspace *w, const mlp_needs *needs, mlp_arena *arena) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = needs->kernels;
    const size_t n_layers = net->n_layers, real_bytes = kernels->real_bytes;
    const size_t n_inputs = net->layers[0].n_inputs, widest = widest_layer(net);
    w->linears = mlp_arena_carve(arena, n_layers, sizeof *w->linears);
    w->own = mlp_arena_carve(arena, n_layers, sizeof *w->own);
    w->layers = mlp_arena_carve(arena, n_layers, sizeof *w->layers);
    lay_out_layers(w, needs, arena);
    w->gradients = mlp_arena_carve(arena, needs->own_gradients ? net->n_parameters : 0, real_bytes);
    w->strip_reals = mlp_product_or_huge(needs->strip_rows, mlp_largest_pitch(kernels, widest));
    w->strips = mlp_arena_carve(
        arena,
        mlp_product_or_huge(needs->n_threads * (2 + (size_t)needs->spreads_x), w->strip_reals),
        real_bytes);
    w->scratch_bytes =
        kernels->scratch_bytes(widest > needs->block_rows ? widest : needs->block_rows);
    w->scratch = mlp_arena_carve(arena, needs->n_threads, w->scratch_bytes);
    w->pieces = mlp_arena_carve(arena, mlp_product_or_huge(needs->n_threads, needs->piece_reals),
                                real_bytes);
    w->row_values = mlp_arena_carve(arena, needs->value_rows, sizeof(double));
    w->squares = mlp_arena_carve(arena, needs->n_threads, sizeof *w->squares);
    w->spread_x = needs->spreads_x && needs->block_rows > 0
                      ? carve_rows(arena, kernels, needs->block_rows, n_inputs)
                      : NULL;
    w->gathered_x = carve_rows(arena, kernels, needs->gathered_rows, n_inputs);
    w->gathered_target =
        mlp_arena_carve(arena,
                        mlp_product_or_huge(needs->gathers_class_index ? 0 : needs->gathered_rows,
                                            net->layers[n_layers - 1].n_outputs),
                        real_bytes);
    w->gathered_sample_weight = mlp_arena_carve(arena, needs->gathered_rows, real_bytes);
    w->gathered_dy_dx = mlp_arena_carve(
        arena,
        mlp_product_or_huge(needs->gathers_dy_dx ? needs->gathered_rows : 0,
                            mlp_product_or_huge(net->layers[n_layers - 1].n_outputs, n_inputs)),
        real_bytes);
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

void mlp_workspace_bind(mlp_workspace *w, const void *parameters, int sums_squares) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        w->linears[l] = (mlp_linear){
            .n_inputs = layer->n_inputs,
            .n_outputs = layer->n_outputs,
            .activation = layer->activation,
            .weight = mlp_const_at(kernels, parameters, layer->weight_offset),
            .bias = net->has_bias ? mlp_const_at(kernels, parameters, layer->bias_offset) : NULL,
            .sums_squares = sums_squares,
        };
    }
}

size_t mlp_useful_threads(size_t n_threads, size_t work) {
    MLP_ASSERT(n_threads >= 1);
    const size_t useful = work / MLP_THREAD_WORK;
    if (useful <= 1) return 1;
    return mlp_smaller(useful, mlp_smaller(n_threads, MLP_PARALLEL_MAX));
}

void mlp_weight_rows(const mlp_kernels *kernels, const mlp_layer_shape *layer, size_t part,
                     size_t n_parts, size_t *begin, size_t *end) {
    *begin = 0;
    *end = layer->n_inputs;
    if (n_parts == 1) return; /* without a division, which a tiny step would feel */
    const size_t n_tiles = mlp_quotient_up(layer->n_inputs, kernels->tile_rows);
    *begin = mlp_smaller(part * n_tiles / n_parts * kernels->tile_rows, layer->n_inputs);
    *end = mlp_smaller((part + 1) * n_tiles / n_parts * kernels->tile_rows, layer->n_inputs);
}

size_t mlp_strip_rows(const mlp_network *network, const mlp_kernels *kernels, size_t reals_per_row,
                      size_t n_rows, size_t n_threads) {
    if (n_rows == 0) return 1;
    /* Divisions are a twentieth of a tiny step: none where one strip will do. */
    if (n_threads == 1 && n_rows <= MLP_BLOCK_ROWS &&
        n_rows * reals_per_row * kernels->real_bytes <= MLP_STRIP_BYTES)
        return n_rows;
    const size_t fit = MLP_STRIP_BYTES / (reals_per_row * kernels->real_bytes);
    const size_t n_tiles = fit / kernels->tile_rows < 2 ? 2 : fit / kernels->tile_rows;
    size_t most = mlp_smaller(n_tiles * kernels->tile_rows, MLP_BLOCK_ROWS);
    const size_t weight_bytes = network->n_weights * kernels->real_bytes;
    if (weight_bytes > MLP_WEIGHT_BYTES && most < MLP_LONG_STRIP_ROWS) most = MLP_LONG_STRIP_ROWS;
    if (weight_bytes > MLP_FAR_WEIGHT_BYTES) most = MLP_BLOCK_ROWS;
    const size_t rounds = mlp_quotient_up(mlp_quotient_up(n_rows, most), n_threads);
    return mlp_quotient_up(n_rows, rounds * n_threads);
}
