/* SPDX-License-Identifier: BSD-3-Clause */
/* adjust.c - what clip_norm, l1 and l2 make of a gradient before the update. */
#include <math.h>

#include "network.h"
#include "optimizer.h"

/* Pieces whose sums are kept at a time. */
#define PIECES 64

typedef struct piece_region {
    const mlp_kernels *kernels;
    size_t begin, n; /* reals of the flat vectors */
    size_t first_piece;
    const void *parameters;
    void *gradients;
    double scale, l1, l2;
    double sums[PIECES];
} piece_region;

/* Where a piece begins, and how long it is. */
static size_t piece_of(const piece_region *region, size_t piece, size_t *n) {
    *n = mlp_smaller(MLP_UPDATE_PIECE, region->n - piece * MLP_UPDATE_PIECE);
    return region->begin + piece * MLP_UPDATE_PIECE;
}

static void square_piece(void *context, size_t task, size_t worker) {
    piece_region *region = context;
    size_t n;
    const size_t begin = piece_of(region, region->first_piece + task, &n);
    (void)worker;
    region->sums[task] =
        region->kernels->sum_of_squares(n, mlp_const_at(region->kernels, region->gradients, begin));
}

static double norm_of(const mlp_kernels *kernels, size_t n, void *gradients, size_t n_threads) {
    piece_region region = {.kernels = kernels, .n = n, .gradients = gradients};
    const size_t n_pieces = mlp_quotient_up(n, MLP_UPDATE_PIECE);
    double total = 0.0;
    for (; region.first_piece < n_pieces; region.first_piece += PIECES) {
        const size_t n_tasks = mlp_smaller(PIECES, n_pieces - region.first_piece);
        mlp_parallel_for(n_threads, n_tasks, square_piece, &region);
        for (size_t i = 0; i < n_tasks; i++)
            total += region.sums[i];
    }
    return sqrt(total);
}

static void adjust_piece(void *context, size_t task, size_t worker) {
    const piece_region *region = context;
    size_t n;
    const size_t begin = piece_of(region, task, &n);
    (void)worker;
    region->kernels->adjust_gradient(n, region->scale, region->l1, region->l2,
                                     mlp_const_at(region->kernels, region->parameters, begin),
                                     mlp_at(region->kernels, region->gradients, begin));
}

static void adjust_range(piece_region *region, size_t begin, size_t n, double l1, double l2,
                         size_t n_threads) {
    region->begin = begin;
    region->n = n;
    region->l1 = l1;
    region->l2 = l2;
    mlp_parallel_for(n_threads, mlp_quotient_up(n, MLP_UPDATE_PIECE), adjust_piece, region);
}

mlp_status mlp_gradient_adjust_by(const mlp_kernels *kernels, const mlp_network *net,
                                  const mlp_optimizer *optimizer, const void *parameters,
                                  void *gradients, size_t n_threads) {
    piece_region region = {
        .kernels = kernels, .parameters = parameters, .gradients = gradients, .scale = 1.0};
    if (optimizer->clip_norm > 0.0) {
        const double norm = norm_of(kernels, net->n_parameters, gradients, n_threads);
        if (!isfinite(norm)) return MLP_NOT_FINITE;
        if (norm > optimizer->clip_norm) region.scale = optimizer->clip_norm / norm;
    }
    if (optimizer->l1 == 0.0 && optimizer->l2 == 0.0) {
        if (region.scale < 1.0) adjust_range(&region, 0, net->n_parameters, 0.0, 0.0, n_threads);
        return MLP_OK;
    }
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        adjust_range(&region, layer->weight_offset, layer->n_inputs * layer->n_outputs,
                     optimizer->l1, optimizer->l2, n_threads);
        if (net->has_bias && region.scale < 1.0)
            adjust_range(&region, layer->bias_offset, layer->n_outputs, 0.0, 0.0, n_threads);
    }
    return MLP_OK;
}

mlp_status mlp_gradient_adjust(const mlp_network *network, const mlp_optimizer *optimizer,
                               const void *parameters, void *gradients, size_t n_threads) {
    return mlp_gradient_adjust_by(mlp_kernels_selected(network->dtype), network, optimizer,
                                  parameters, gradients, n_threads);
}
