/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loss_driver.c - the kernels of losses and optimizers for one instruction set, made callable for
 * test_loss_kernels.py and test_optimizer_kernels.py, without the matrix products that take a
 * compiler so much longer.
 *
 * Set on the command line: MLP_ISA, MLP_SIMD_<ISA>. Linked with loss.c, optimizer.c and random.c,
 * which find the tables of this file where they look for those of the selected instruction set.
 */
#include "compiler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if MLP_ARCH_X86_64
#include <immintrin.h>
#elif MLP_ARCH_AARCH64
#include <arm_neon.h>
#endif

#include "kernels.h"
#include "loss.h"

#include "kernels/simd.h"

#define MLP_DTYPE_BITS 32
#include "kernels/real.h"
#include "loss_driver_set.h"
#undef MLP_DTYPE_BITS

#define MLP_DTYPE_BITS 64
#include "kernels/real.h"
#include "loss_driver_set.h"

const mlp_kernels *mlp_kernels_selected(mlp_dtype dtype) {
    return dtype == MLP_FLOAT32 ? &MLP_NAME(driver_kernels, f32, MLP_ISA)
                                : &MLP_NAME(driver_kernels, f64, MLP_ISA);
}

/* Structures are filled here, so that Python need not know how they lie in memory. */

typedef struct driver_batch {
    mlp_loss loss;
    mlp_batch batch;
} driver_batch;

static driver_batch make_batch(int kind, int reduction, double parameter, size_t n_samples,
                               const void *target, const int64_t *class_index,
                               const void *sample_weight) {
    return (driver_batch){
        .loss = {(mlp_loss_kind)kind, (mlp_reduction)reduction, parameter},
        .batch = {.n_samples = n_samples,
                  .target = target,
                  .class_index = class_index,
                  .sample_weight = sample_weight},
    };
}

void driver_loss(int dtype, int kind, double parameter, size_t n_columns, size_t n_samples,
                 const void *target, const int64_t *class_index, const void *sample_weight,
                 const void *prediction, double factor, void *gradient, double *row_values) {
    const driver_batch b =
        make_batch(kind, MLP_SUM, parameter, n_samples, target, class_index, sample_weight);
    mlp_kernels_selected((mlp_dtype)dtype)
        ->loss(&b.loss, n_columns, &b.batch, prediction, factor, gradient, row_values);
}

void driver_loss_evaluate(int dtype, int kind, int reduction, double parameter, size_t n_columns,
                          size_t n_samples, const void *target, const int64_t *class_index,
                          const void *sample_weight, const void *prediction, void *gradient,
                          double *value) {
    const driver_batch b =
        make_batch(kind, reduction, parameter, n_samples, target, class_index, sample_weight);
    mlp_loss_evaluate((mlp_dtype)dtype, &b.loss, n_columns, &b.batch, prediction, gradient, value);
}

double driver_loss_factor(int dtype, int kind, int reduction, size_t n_columns, size_t n_samples,
                          const void *sample_weight) {
    const driver_batch b = make_batch(kind, reduction, 0.0, n_samples, NULL, NULL, sample_weight);
    return mlp_loss_factor(&b.loss, (mlp_dtype)dtype, n_columns, &b.batch);
}

double driver_loss_total(int dtype, size_t n_samples, const void *sample_weight,
                         const double *row_values, double factor) {
    const driver_batch b = make_batch(MLP_MSE, MLP_SUM, 0.0, n_samples, NULL, NULL, sample_weight);
    return mlp_loss_total(row_values, (mlp_dtype)dtype, &b.batch, factor);
}

void driver_multiply(int dtype, size_t n, const void *da, const void *d, void *dz) {
    mlp_kernels_selected((mlp_dtype)dtype)->multiply(n, da, d, dz);
}

void driver_softmax_backward(int dtype, size_t n_rows, size_t n_columns, const void *p,
                             const void *da, void *dz) {
    mlp_kernels_selected((mlp_dtype)dtype)->softmax_backward(n_rows, n_columns, p, da, dz);
}

/* options: learning_rate, weight_decay, momentum, nesterov, beta1, beta2, epsilon. Returns the
 * step counter after the update. */
int64_t driver_optimizer_step(int dtype, int kind, const double *options, int64_t step,
                              size_t n_parameters, void *parameters, const void *gradients,
                              void *first_moment, void *second_moment, size_t n_threads) {
    mlp_optimizer optimizer = {
        .kind = (mlp_optimizer_kind)kind,
        .learning_rate = options[0],
        .weight_decay = options[1],
        .momentum = options[2],
        .nesterov = options[3] != 0.0,
        .beta1 = options[4],
        .beta2 = options[5],
        .epsilon = options[6],
        .first_moment = first_moment,
        .second_moment = second_moment,
        .step = step,
    };
    mlp_optimizer_step((mlp_dtype)dtype, &optimizer, n_parameters, parameters, gradients,
                       n_threads);
    return optimizer.step;
}
