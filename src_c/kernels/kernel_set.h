/* SPDX-License-Identifier: BSD-3-Clause */
/* kernel_set.h - the templates in the order in which they build on each other, and the table. */
#include "simd_math_template.h"
#include "activation_math_template.h"
#include "elementwise_template.h"
#include "activation_template.h"
#include "notes_template.h"
#include "optimizer_template.h"
#include "tile_product_template.h"
#include "tile_template.h"
#include "long_row_template.h"
#include "dropout_template.h"
#include "gemm_template.h"
#include "narrow_template.h"
#include "one_row_template.h"
#include "linear_template.h"
#include "matrix_template.h"
#include "curvature_template.h"
#include "input_curvature_template.h"
#include "loss_template.h"
#include "loss_curvature_template.h"
#include "peak_template.h"

const mlp_kernels MLP_REAL(mlp_kernels) = {
    .real_bytes = sizeof(mlp_real),
    .tile_rows = MLP_TILE_ROWS,
    .scratch_bytes = MLP_REAL(scratch_bytes),
    .linear_forward = MLP_REAL(linear_forward),
    .linear_backward_input = MLP_REAL(linear_backward_input),
    .linear_backward_weight = MLP_REAL(linear_backward_weight),
    .linear_backward_bias = MLP_REAL(linear_backward_bias),
    .row_gradient = MLP_REAL(row_gradient),
    .largest = MLP_REAL(largest),
    .multiply = MLP_REAL(multiply),
    .sum_of_squares = MLP_REAL(sum_of_squares),
    .softmax_backward = MLP_REAL(softmax_backward),
    .loss = MLP_REAL(loss),
    .scale_columns = MLP_REAL(scale_columns),
    .scale_rows = MLP_REAL(scale_rows),
    .turn = MLP_REAL(turn),
    .softmax_jacobian = MLP_REAL(softmax_jacobian),
    .add = MLP_REAL(add),
    .curvature = MLP_REAL(curvature),
    .second_order = MLP_REAL(second_order),
    .softmax_second_order = MLP_REAL(softmax_second_order),
    .loss_curvature = MLP_REAL(loss_curvature),
    .laplacian_step = MLP_REAL(laplacian_step),
    .softmax_laplacian = MLP_REAL(softmax_laplacian),
    .directions_backward = MLP_REAL(directions_backward),
    .output_hessian = MLP_REAL(output_hessian),
    .sgd_step = MLP_REAL(sgd_step),
    .sgd_exchange = MLP_REAL(sgd_exchange),
    .adam_step = MLP_REAL(adam_step),
    .rmsprop_step = MLP_REAL(rmsprop_step),
    .dropout = MLP_REAL(dropout),
    .multiply_adds = MLP_REAL(multiply_adds),
    .adjust_gradient = MLP_REAL(adjust_gradient),
};
