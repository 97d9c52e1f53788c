/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.h - an update with kernels that a pass has chosen already. */
#ifndef MLP_OPTIMIZER_H
#define MLP_OPTIMIZER_H

#include "compiler.h"
#include "kernels.h"

/* The next update: what is the same for all parameters. */
typedef struct mlp_update {
    const mlp_kernels *kernels;
    mlp_optimizer *optimizer;
    double step_size, root_correction; /* Adam, AdamW */
    double first_bound, second_bound;  /* of the moments after it, once mlp_update_is_sure */
} mlp_update;

mlp_update mlp_update_next(const mlp_kernels *kernels, mlp_optimizer *optimizer);

/* Reals [begin, begin + n) of parameters and moments, from the gradients of these n. With store 0
 * nothing is written, and the result tells whether all of them would be finite. */
int mlp_update_range(const mlp_update *update, int store, size_t begin, size_t n, void *parameters,
                     const void *gradients);

/* Whether gradients of at most this magnitude are sure to leave finite moments, and parameters that
 * are finite if they were. largest_parameter: of their magnitudes; any number unless
 * mlp_depends_on_parameters. */
int mlp_update_is_sure(mlp_update *update, mlp_dtype dtype, double largest_gradient,
                       double largest_parameter);

/* Counts an update that mlp_update_is_sure allowed, or one of plain SGD. */
void mlp_update_made(const mlp_update *update);

/* Finds the bounds of moments that are not known. */
void mlp_moments_find_bounds(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                             size_t n_parameters);

/* A whole update, tried before it is made. The bounds of the moments are unknown then. */
mlp_status mlp_optimizer_update(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                                size_t n_parameters, void *parameters, const void *gradients,
                                size_t n_threads);

/* Whether parameters are part of the gradient that the rule sees. */
MLP_INLINE int mlp_depends_on_parameters(const mlp_optimizer *optimizer) {
    return optimizer->l2 > 0.0 || (optimizer->weight_decay > 0.0 && optimizer->kind != MLP_ADAMW);
}

/* Whether mlp_gradient_adjust does anything. */
MLP_INLINE int mlp_adjusts_gradient(const mlp_optimizer *optimizer) {
    return optimizer->l1 > 0.0 || optimizer->l2 > 0.0 || optimizer->clip_norm > 0.0;
}

/* Plain SGD, as the tiles know it: no velocity, no penalty, no clip_norm. */
MLP_INLINE int mlp_is_plain_sgd(const mlp_optimizer *optimizer) {
    return optimizer->kind == MLP_SGD && optimizer->first_moment == NULL &&
           !mlp_adjusts_gradient(optimizer);
}

/* adjust.c: mlp_gradient_adjust with kernels that a pass has chosen already. */
mlp_status mlp_gradient_adjust_by(const mlp_kernels *kernels, const mlp_network *network,
                                  const mlp_optimizer *optimizer, const void *parameters,
                                  void *gradients, size_t n_threads);

#endif
