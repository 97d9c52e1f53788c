/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.c - one update of the flat vector: bias corrections, and the split over threads. */
#include <math.h>
#include <stdatomic.h>

#include "compiler.h"
#include "optimizer.h"
#include "parallel.h"

/* Reals of one task: some 20 us of work, against a few us to start and end a region. */
#define PIECE ((size_t)1 << 16)

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
    const size_t begin = task_index * PIECE;
    const size_t n_left = u->n_parameters - begin;
    const size_t n = n_left < PIECE ? n_left : PIECE;
    const size_t offset = begin * u->kernels->real_bytes;
    unsigned char *first = optimizer->first_moment, *second = optimizer->second_moment;
    (void)worker_index;
    const int finite =
        optimizer->kind == MLP_SGD
            ? u->kernels->sgd_step(optimizer, u->store, n, u->parameters + offset,
                                   u->gradients + offset, first == NULL ? NULL : first + offset)
            : u->kernels->adam_step(optimizer, u->step_size, u->root_correction, u->store, n,
                                    u->parameters + offset, u->gradients + offset, first + offset,
                                    second + offset);
    if (!finite) atomic_store_explicit(&u->not_finite, 1, memory_order_relaxed);
}

mlp_status mlp_optimizer_update(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                                size_t n_parameters, void *parameters, const void *gradients,
                                size_t n_threads) {
    const int64_t step = optimizer->step + 1;
    const size_t n_pieces = (n_parameters + PIECE - 1) / PIECE;
    MLP_ASSERT(step >= 1);
    MLP_ASSERT(optimizer->kind == MLP_SGD ||
               (optimizer->first_moment != NULL && optimizer->second_moment != NULL));
    update u = {
        .kernels = kernels,
        .optimizer = optimizer,
        .n_parameters = n_parameters,
        .parameters = parameters,
        .gradients = gradients,
    };
    if (optimizer->kind != MLP_SGD) {
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
