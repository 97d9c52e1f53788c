/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * triangle.c - the two triangles that are left to solve once a symmetric matrix has been factored.
 * NumPy factors, but has no solver for triangles; its general one costs small nets more than all
 * else in a step of Levenberg and Marquardt.
 */
#include "mlpcore.h"

#define SUMS 4 /* at a time: each waits for its own last addition alone */

static double dot(size_t n, const double *a, const double *b) {
    double sums[SUMS] = {0.0};
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (size_t k = 0; k < SUMS; k++)
            sums[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Both ways by rows, as the matrix lies in memory: a row of L is a column of L^T. */
void mlp_solve_factored(size_t n, const double *lower, double *x) {
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - dot(i, &lower[i * n], x)) / lower[i * n + i];
    for (size_t i = n; i-- > 0;) {
        const double *row = &lower[i * n];
        const double solved = x[i] /= row[i];
        for (size_t j = 0; j < i; j++)
            x[j] -= solved * row[j];
    }
}
