/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.c - one update of the flat vector: bias corrections, and the split over threads. */
#include <math.h>

#include "compiler.h"
#include "kernels.h"

/* Reals of one task: some 20 us of work, against a few us to start and end a region. */
#define PIECE ((size_t)1 << 16)

typedef struct update {
    const mlp_kernels *kernels;
    const mlp_optimizer *optimizer;
    double step_size, root_correction;
    size_t n_parameters;
    unsigned char *parameters;
    const unsigned char *gradients;
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
    const update *u = context;
    const mlp_optimizer *optimizer = u->optimizer;
    const size_t begin = task_index * PIECE;
    const size_t n_left = u->n_parameters - begin;
    const size_t n = n_left < PIECE ? n_left : PIECE;
    const size_t offset = begin * u->kernels->real_bytes;
    unsigned char *first = optimizer->first_moment, *second = optimizer->second_moment;
    (void)worker_index;
    if (optimizer->kind == MLP_SGD)
        u->kernels->sgd_step(optimizer, n, u->parameters + offset, u->gradients + offset,
                             first == NULL ? NULL : first + offset);
    else
        u->kernels->adam_step(optimizer, u->step_size, u->root_correction, n,
                              u->parameters + offset, u->gradients + offset, first + offset,
                              second + offset);
}

void mlp_optimizer_step(mlp_dtype dtype, mlp_optimizer *optimizer, size_t n_parameters,
                        void *parameters, const void *gradients, size_t n_threads) {
    MLP_ASSERT(optimizer->kind == MLP_SGD ||
               (optimizer->first_moment != NULL && optimizer->second_moment != NULL));
    update u = {
        .kernels = mlp_kernels_selected(dtype),
        .optimizer = optimizer,
        .n_parameters = n_parameters,
        .parameters = parameters,
        .gradients = gradients,
    };
    optimizer->step += 1;
    if (optimizer->kind != MLP_SGD) {
        u.step_size = optimizer->learning_rate / (1.0 - power(optimizer->beta1, optimizer->step));
        u.root_correction = 1.0 / sqrt(1.0 - power(optimizer->beta2, optimizer->step));
    }
    mlp_parallel_for(n_threads, (n_parameters + PIECE - 1) / PIECE, update_piece, &u);
}
