/* SPDX-License-Identifier: BSD-3-Clause */
/* loss_driver_set.h - what loss_driver.c needs of the kernels of one dtype. */
#include "kernels/simd_math_template.h"
#include "kernels/elementwise_template.h"
#include "kernels/loss_template.h"
#include "kernels/notes_template.h"
#include "kernels/optimizer_template.h"

static const mlp_kernels MLP_REAL(driver_kernels) = {
    .real_bytes = sizeof(mlp_real),
    .largest = MLP_REAL(largest),
    .multiply = MLP_REAL(multiply),
    .softmax_backward = MLP_REAL(softmax_backward),
    .loss = MLP_REAL(loss),
    .sgd_step = MLP_REAL(sgd_step),
    .sgd_exchange = MLP_REAL(sgd_exchange),
    .adam_step = MLP_REAL(adam_step),
    .rmsprop_step = MLP_REAL(rmsprop_step),
    .sum_of_squares = MLP_REAL(sum_of_squares),
    .adjust_gradient = MLP_REAL(adjust_gradient),
};
