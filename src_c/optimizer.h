/* SPDX-License-Identifier: BSD-3-Clause */
/* optimizer.h - an update with kernels that a pass has chosen already. */
#ifndef MLP_OPTIMIZER_H
#define MLP_OPTIMIZER_H

#include "kernels.h"

mlp_status mlp_optimizer_update(const mlp_kernels *kernels, mlp_optimizer *optimizer,
                                size_t n_parameters, void *parameters, const void *gradients,
                                size_t n_threads);

#endif
