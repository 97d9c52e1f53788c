/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.c - one update of the flat vector: bias corrections, and the split over threads. */
#include <math.h>
#include <stdatomic.h>

#include "compiler.h"
#include "optimizer.h"
#include "parallel.h"

typedef struct update {
    const mlp_kernels *kernels;
    const mlp_optimizer *optimizer;
    double step_size, root_correction;
    size_t n_parameters;
    unsigned char *parameters;
    const unsigned char *gradients;
    int store; /* 0: find out whether the update is finite, and write nothing */
    atomic_int not_finite;
} update;

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

static void update_piece(void *context, size_t task_index, size_t worker_index) {
    update *u = context;
    const mlp_optimizer *optimizer = u->optimizer;
    const size_t begin = task_index * MLP_UPDATE_PIECE;
    const size_t n_left = u->n_parameters - begin;
    const size_t n = n_left < MLP_UPDATE_PIECE ? n_left : MLP_UPDATE_PIECE;
    const size_t offset = begin * u->kernels->real_bytes;
    unsigned char *first = optimizer->first_moment, *second = optimizer->second_moment;
    (void)worker_index;
    unsigned char *velocity = first == NULL ? NULL : first + offset;
    unsigned char *parameters = u->parameters + offset;
    const unsigned char *gradients = u->gradients + offset;
    int finite;
    if (optimizer->kind == MLP_SGD)
        finite = u->kernels->sgd_step(optimizer, u->store, n, parameters, gradients, velocity);
    else if (optimizer->kind == MLP_RMSPROP)
        finite = u->kernels->rmsprop_step(optimizer, u->store, n, parameters, gradients, velocity,
                                          second + offset);
    else
        finite = u->kernels->adam_step(optimizer, u->step_size, u->root_correction, u->store, n,
                                       parameters, gradients, first + offset, second + offset);
    if (!finite) atomic_store_explicit(&u->not_finite, 1, memory_order_relaxed);
}

mlp_status mlp_optimizer_update(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                                size_t n_parameters, void *parameters, const void *gradients,
                                size_t n_threads) {
    const int64_t step = optimizer->step + 1;
    const size_t n_pieces = (n_parameters + MLP_UPDATE_PIECE - 1) / MLP_UPDATE_PIECE;
    MLP_ASSERT(step >= 1);
    MLP_ASSERT(optimizer->kind == MLP_SGD || optimizer->second_moment != NULL);
    MLP_ASSERT((optimizer->kind != MLP_ADAM && optimizer->kind != MLP_ADAMW) ||
               optimizer->first_moment != NULL);
    update u = {
        .kernels = kernels,
        .optimizer = optimizer,
        .n_parameters = n_parameters,
        .parameters = parameters,
        .gradients = gradients,
    };
    if (optimizer->kind == MLP_ADAM || optimizer->kind == MLP_ADAMW) {
        u.step_size = optimizer->learning_rate / (1.0 - power(optimizer->beta1, step));
        u.root_correction = 1.0 / sqrt(1.0 - power(optimizer->beta2, step));
    }
    mlp_parallel_for(n_threads, n_pieces, update_piece, &u);
    if (atomic_load_explicit(&u.not_finite, memory_order_relaxed)) return MLP_NOT_FINITE;
    u.store = 1;
    mlp_parallel_for(n_threads, n_pieces, update_piece, &u);
    optimizer->step = step;
    return MLP_OK;
}

mlp_status mlp_optimizer_step(mlp_dtype dtype, mlp_optimizer *optimizer, size_t n_parameters,
                              void *parameters, const void *gradients, size_t n_threads) {
    return mlp_optimizer_update(mlp_kernels_selected(dtype), optimizer, n_parameters, parameters,
                                gradients, n_threads);
}
