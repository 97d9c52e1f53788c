/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * query.h - what the derivative queries share: scratch memory, and a strip of samples forward.
 *
 * A query takes its samples in strips. What a layer leaves behind of a strip, and the directions
 * that go through the net with it, lie in a set of arrays: one set for each worker where samples do
 * not know each other, one for all where a second region sums over them.
 *
 * A sample may have many directions (the columns or the rows of a Jacobian). Strips are cut so that
 * a worker holds about 1024 rows of directions, or those of one sample if they are more: memory does
 * not grow with the number of samples.
 */
#ifndef MLP_QUERY_H
#define MLP_QUERY_H

#include "network.h"

/* What may be kept of each layer, (n_rows, n_outputs) each. */
typedef enum mlp_kept {
    MLP_KEPT_OUTPUT,
    MLP_KEPT_DERIVATIVE,            /* f'(z); not of a softmax, nor of an identity at the output */
    MLP_KEPT_CURVATURE,             /* f''(z); not of a softmax, nor where it is 0 everywhere */
    MLP_KEPT_OUTPUT_PRE_ACTIVATION, /* z of the output layer alone, whose f''(z) is then not kept */
    MLP_KEPT_TANGENT,               /* change of the output */
    MLP_KEPT_Z_TANGENT,             /* change of the pre-activation */
    MLP_KEPT_GRAD,                  /* dl/dz */
    MLP_KEPT_GRAD_TANGENT,          /* change of dl/dz */
    /* Of hidden layers, n_directions rows a sample: */
    MLP_KEPT_DIRECTIONS,        /* rows of a Jacobian on their way, at the pre-activation */
    MLP_KEPT_SCALED_DIRECTIONS, /* times f'(z) */
    MLP_KEPT_DIRECTIONS_GRAD,   /* dl/d of the rows at the pre-activation */
    MLP_N_KEPT
} mlp_kept;

#define MLP_QUERY_BUFFERS 6

typedef struct mlp_query_needs {
    const mlp_kernels *kernels;
    size_t n_threads;
    size_t n_strips;                        /* sets of arrays: one a thread, or one */
    size_t n_rows;                          /* samples of a strip */
    size_t n_directions;                    /* rows of a sample, where there are any */
    int64_t keeps[MLP_N_KEPT];              /* whether; so wide that no padding is compared */
    int64_t ends_before_activation;         /* whether of the output layer z alone is computed */
    int64_t spares_output;                  /* whether an identity at the output is for y alone */
    size_t buffer_reals[MLP_QUERY_BUFFERS]; /* of plain buffers, in each set */
    size_t shared_reals;                    /* of one more, for all */
    size_t n_inner;                         /* the longest inner dimension of a product */
    size_t n_values;                        /* doubles for row values */
} mlp_query_needs;

typedef struct mlp_query_layer {
    size_t stride;
    void *kept[MLP_N_KEPT]; /* NULL: not kept */
} mlp_query_layer;

typedef struct mlp_query_strip {
    mlp_query_layer *layers; /* (n_layers) */
    void *buffers[MLP_QUERY_BUFFERS];
} mlp_query_strip;

struct mlp_query {
    mlp_arena arena;
    mlp_query_needs needs;  /* what the arena is laid out for */
    mlp_linear *linears;    /* (n_layers) of the running call */
    mlp_linear *products;   /* (n_layers) the same without bias and activation */
    mlp_linear *directions; /* (n_layers) a change of the parameters, without activation */
    mlp_query_strip *strips;
    void *shared;
    double *values;
    size_t scratch_bytes; /* of one worker */
    void *scratch;
};

/* Makes workspace->query ready; after MLP_OK nothing allocates until the next call. */
mlp_status mlp_query_prepare(mlp_workspace *workspace, const mlp_query_needs *needs);

void mlp_query_destroy(mlp_query *query);

/* Multiply-adds of a sample on the way to a Jacobian, in either mode (jacobian.c). */
size_t mlp_jacobian_work(const mlp_network *network, int forward_mode);

/* Points the linears at the parameters, and the directions at a change of them unless NULL. */
void mlp_query_bind(mlp_workspace *workspace, const void *parameters, const void *direction);

/* Samples of a strip when each has n_directions rows of the widest layer in some buffers. */
size_t mlp_query_strip_rows(const mlp_network *network, const mlp_kernels *kernels,
                            size_t n_samples, size_t n_directions, size_t n_threads);

/* Samples of a strip when each has so many reals in all arrays of a worker. */
size_t mlp_query_rows(const mlp_kernels *kernels, size_t n_samples, size_t reals_per_sample,
                      size_t n_threads);

/* n_rows samples through all layers, from row `first` of the strip's arrays on: fills the first four
 * of what is kept, and y (n_rows, K) unless NULL, where the last output then goes. x and y are those
 * of row `first`. The result is the last output that was computed, wherever it lies. */
const void *mlp_query_forward(const mlp_workspace *workspace, const mlp_query_strip *strip,
                              size_t first, size_t n_rows, const void *x, void *y, void *scratch);

/* Row `row` of what a layer keeps; NULL stays NULL. */
MLP_INLINE void *mlp_kept_at(const mlp_kernels *kernels, const mlp_query_layer *layer,
                             mlp_kept what, size_t row) {
    return mlp_at(kernels, layer->kept[what], row * layer->stride);
}

/* product = a times b elementwise, of matrices whose rows lie stride apart. */
void mlp_multiply_rows(const mlp_kernels *kernels, size_t n_rows, size_t n_columns, const void *a,
                       const void *b, void *product, size_t stride);

/* a += b, of matrices whose rows lie stride apart. */
void mlp_add_rows(const mlp_kernels *kernels, size_t n_rows, size_t n_columns, void *a,
                  const void *b, size_t stride);

/* Whether f'' is not 0 everywhere. */
MLP_INLINE int mlp_activation_bends(mlp_activation f) {
    return f != MLP_IDENTITY && f != MLP_RELU && f != MLP_LEAKY_RELU;
}

MLP_INLINE void *mlp_query_scratch(const mlp_query *query, size_t worker) {
    return (unsigned char *)query->scratch + worker * query->scratch_bytes;
}

#endif
