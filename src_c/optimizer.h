/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.h - an update with kernels that a pass has chosen already. */
#ifndef MLP_OPTIMIZER_H
#define MLP_OPTIMIZER_H

#include "compiler.h"
#include "kernels.h"

mlp_status mlp_optimizer_update(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                                size_t n_parameters, void *parameters, const void *gradients,
                                size_t n_threads);

/* Whether mlp_gradient_adjust does anything. */
MLP_INLINE int mlp_adjusts_gradient(const mlp_optimizer *optimizer) {
    return optimizer->l1 > 0.0 || optimizer->l2 > 0.0 || optimizer->clip_norm > 0.0;
}

mlp_status mlp_gradient_adjust_by(const mlp_kernels *kernels, const mlp_network *network,
                                  const mlp_optimizer *optimizer, const void *parameters,
                                  void *gradients, size_t n_threads);

#endif
