/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.c - one update of the flat vector: bias corrections, and the split over threads. */
#include <math.h>
#include <stdatomic.h>

#include "compiler.h"
#include "optimizer.h"
#include "parallel.h"

typedef struct update_region {
    const mlp_update *update;
    size_t n_parameters;
    void *parameters;
    const unsigned char *gradients;
    int store;
    atomic_int not_finite;
} update_region;

/* Multiplications alone, by squaring: the pow of a C library has other bits than that of the next.
 * exponent is at least 1. */
static double power(double base, int64_t exponent) {
    double product = 1.0;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2 == 1) product *= base;
        base *= base;
    }
    return product;
}

mlp_update mlp_update_next(const mlp_kernels *kernels, mlp_optimizer *optimizer) {
    const int64_t step = optimizer->step + 1;
    MLP_ASSERT(step >= 1);
    MLP_ASSERT(optimizer->kind == MLP_SGD || optimizer->second_moment != NULL);
    MLP_ASSERT((optimizer->kind != MLP_ADAM && optimizer->kind != MLP_ADAMW) ||
               optimizer->first_moment != NULL);
    mlp_update update = {.kernels = kernels,
                         .optimizer = optimizer,
                         .first_bound = optimizer->first_bound,
                         .second_bound = optimizer->second_bound};
    if (optimizer->kind == MLP_ADAM || optimizer->kind == MLP_ADAMW) {
        update.step_size = optimizer->learning_rate / (1.0 - power(optimizer->beta1, step));
        update.root_correction = 1.0 / sqrt(1.0 - power(optimizer->beta2, step));
    }
    return update;
}

int mlp_update_range(const mlp_update *update, int store, size_t begin, size_t n, void *parameters,
                     const void *gradients) {
    const mlp_kernels *kernels = update->kernels;
    const mlp_optimizer *optimizer = update->optimizer;
    const size_t offset = begin * kernels->real_bytes;
    unsigned char *first = optimizer->first_moment, *second = optimizer->second_moment;
    unsigned char *velocity = first == NULL ? NULL : first + offset;
    unsigned char *changed = (unsigned char *)parameters + offset;
    if (optimizer->kind == MLP_SGD)
        return kernels->sgd_step(optimizer, store, n, changed, gradients, velocity);
    if (optimizer->kind == MLP_RMSPROP)
        return kernels->rmsprop_step(optimizer, store, n, changed, gradients, velocity,
                                     second + offset);
    return kernels->adam_step(optimizer, update->step_size, update->root_correction, store, n,
                              changed, gradients, first + offset, second + offset);
}

/*
 * A parameter below the largest number does not overflow by a step of up to 2^100 (float; double
 * 2^900), which is less than half of that number's last place. Adam's root is at least epsilon. The
 * moments are means, but for the velocity, which may grow; the slack is for their rounding. A
 * setting that the dtype cannot tell from 0 or infinity decides nothing.
 */
int mlp_update_is_sure(mlp_update *update, mlp_dtype dtype, double largest_gradient,
                       double largest_parameter) {
    const mlp_optimizer *o = update->optimizer;
    const double limit = dtype == MLP_FLOAT32 ? 0x1p100 : 0x1p900, slack = 1.0 + 0x1p-20;
    const double epsilon = dtype == MLP_FLOAT32 ? (double)(float)o->epsilon : o->epsilon;
    if (!(o->learning_rate < limit && update->step_size < limit && o->l1 < limit && o->l2 < limit &&
          o->weight_decay < limit))
        return 0;
    double g = largest_gradient + o->l1;
    if (mlp_depends_on_parameters(o))
        g += (o->l2 + (o->kind == MLP_ADAMW ? 0.0 : o->weight_decay)) * largest_parameter;
    g *= slack;
    double first = 0.0, second = 0.0, step;
    if (o->kind != MLP_SGD)
        second = slack * (o->beta2 * o->second_bound + (1.0 - o->beta2) * g * g);
    if (o->kind == MLP_ADAM || o->kind == MLP_ADAMW) {
        first = slack * (o->beta1 * o->first_bound + (1.0 - o->beta1) * g);
        step = first / epsilon * (update->step_size > 1.0 ? update->step_size : 1.0);
        if (o->kind == MLP_ADAMW && !(o->learning_rate * o->weight_decay <= 1.0)) return 0;
    } else {
        const double change = o->kind == MLP_RMSPROP ? g / epsilon : g;
        if (o->first_moment != NULL) first = slack * (o->momentum * o->first_bound + change);
        step = (first + change) * (o->learning_rate > 1.0 ? o->learning_rate : 1.0);
    }
    update->first_bound = first;
    update->second_bound = second;
    return second < limit && step < limit;
}

void mlp_update_made(const mlp_update *update) {
    mlp_optimizer *optimizer = update->optimizer;
    optimizer->step++;
    optimizer->first_bound = update->first_bound;
    optimizer->second_bound = update->second_bound;
}

void mlp_moments_find_bounds(const mlp_kernels *kernels, mlp_optimizer *optimizer, size_t n) {
    const void *first = optimizer->first_moment, *second = optimizer->second_moment;
    optimizer->first_bound = first == NULL ? 0.0 : kernels->largest(1, n, first, n);
    optimizer->second_bound = second == NULL ? 0.0 : kernels->largest(1, n, second, n);
}

static void update_piece(void *context, size_t task_index, size_t worker_index) {
    update_region *region = context;
    const mlp_update *update = region->update;
    const size_t begin = task_index * MLP_UPDATE_PIECE;
    const size_t n_left = region->n_parameters - begin;
    const size_t n = n_left < MLP_UPDATE_PIECE ? n_left : MLP_UPDATE_PIECE;
    (void)worker_index;
    if (!mlp_update_range(update, region->store, begin, n, region->parameters,
                          region->gradients + begin * update->kernels->real_bytes))
        atomic_store_explicit(&region->not_finite, 1, memory_order_relaxed);
}

mlp_status mlp_optimizer_update(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                                size_t n_parameters, void *parameters, const void *gradients,
                                size_t n_threads) {
    const size_t n_pieces = (n_parameters + MLP_UPDATE_PIECE - 1) / MLP_UPDATE_PIECE;
    mlp_update update = mlp_update_next(kernels, optimizer);
    update_region region = {.update = &update,
                            .n_parameters = n_parameters,
                            .parameters = parameters,
                            .gradients = gradients};
    mlp_parallel_for(n_threads, n_pieces, update_piece, &region);
    if (atomic_load_explicit(&region.not_finite, memory_order_relaxed)) return MLP_NOT_FINITE;
    region.store = 1;
    mlp_parallel_for(n_threads, n_pieces, update_piece, &region);
    update.first_bound = update.second_bound = (double)INFINITY;
    mlp_update_made(&update);
    return MLP_OK;
}

mlp_status mlp_optimizer_step(mlp_dtype dtype, mlp_optimizer *optimizer, size_t n_parameters,
                              void *parameters, const void *gradients, size_t n_threads) {
    return mlp_optimizer_update(mlp_kernels_selected(dtype), optimizer, n_parameters, parameters,
                                gradients, n_threads);
}
