/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * network.h - the topology of a net, the scratch memory of one call, and what the files share that
 * run a batch: forward.c (forward only), propagate.c (forward and back), train.c (learning from it).
 *
 * One batch, from x to the gradients, in two regions of tasks whatever the depth:
 *
 *   rows      forward, loss, backward to each pre-activation         a task: a strip of rows
 *   weights   dW and db of every layer from its input and dl/dz      a task: rows of W^T
 *
 * A strip of rows goes through all layers at once, since rows do not know each other; only the
 * second region sums over rows. More than MLP_BLOCK_ROWS rows go through both block by block, the
 * weight gradients accumulating, so that memory stays bounded.
 *
 * The products read matrices from where they lie. Rows whose distance is a multiple of 1 KiB would
 * compete for a few sets of every cache, so the workspace's own matrices have a pitch that is not
 * (mlp_pitch), and a batch whose rows lie so is copied to rows that do not.
 */
#ifndef MLP_NETWORK_H
#define MLP_NETWORK_H

#include "compiler.h"
#include "kernels.h"
#include "memory.h"
#include "parallel.h"

/* Rows whose intermediates are kept at a time. A multiple of MLP_CHUNK, at which sums over rows
 * may be cut without changing a bit. */
#define MLP_BLOCK_ROWS (2 * MLP_CHUNK)

typedef struct mlp_layer_shape {
    size_t n_inputs, n_outputs;
    mlp_activation activation;
    size_t weight_offset, bias_offset; /* into the flat vector, in reals */
} mlp_layer_shape;

struct mlp_network {
    mlp_dtype dtype;
    int has_bias;
    size_t n_layers;
    size_t n_parameters;
    size_t n_weights;   /* multiply-adds of one row through the net */
    size_t widest;      /* the largest n_outputs */
    size_t total_width; /* the sum of all n_outputs */
    mlp_layer_shape layers[];
};

/* What a call needs; two calls with equal needs find the same layout. */
typedef struct mlp_needs {
    const mlp_kernels *kernels;
    size_t n_threads;
    size_t value_rows;       /* rows whose loss is kept */
    size_t block_rows;       /* rows whose intermediates are kept; 0: forward only */
    size_t strip_rows;       /* rows that a forward-only task takes */
    size_t gathered_rows;    /* rows of a gathered batch; 0: none */
    int spreads_x;           /* rows of x are copied to mlp_pitch */
    int goes_back;           /* dl/dz is kept, and f'(z) with own_outputs */
    int own_outputs;         /* outputs live here rather than with the caller */
    int own_gradients;       /* the gradient vector lives here */
    int gathers_class_index; /* of a gathered batch */
    int gathers_dy_dx;       /* of a gathered batch */
    int drops_units;         /* the derivative of ReLU is no longer in its output */
    size_t piece_reals;      /* of a gradient, for an update in passing (weights.h) */
} mlp_needs;

/* What one layer leaves behind of the rows of a block. */
typedef struct mlp_layer_rows {
    void *pre_activation, *output, *activation_derivative; /* NULL: not kept */
    size_t stride;                                         /* of these three */
    void *grad_output;                                     /* contiguous; NULL: not kept */
    void *grad_pre_activation;
    size_t grad_stride; /* of grad_pre_activation */
} mlp_layer_rows;

/* Sums of squares over all layers, at least, by which a gradient is bounded. */
typedef struct mlp_row_squares {
    double inputs; /* of x */
    double pre_activations;
    double grad_pre_activations;
} mlp_row_squares;

typedef struct mlp_query mlp_query;

struct mlp_workspace {
    const mlp_network *network;
    mlp_query *query; /* scratch of the derivative queries (query.h); NULL before the first */
    mlp_poll poll;    /* may be NULL */
    void *poll_context;
    size_t unpolled; /* multiply-adds since the poll was asked */
    mlp_arena arena;
    mlp_needs needs;          /* what the arena is laid out for */
    mlp_linear *linears;      /* (n_layers) of the running call */
    mlp_layer_rows *own;      /* (n_layers) what the arena holds, block_rows each */
    mlp_layer_rows *layers;   /* (n_layers) of the running block */
    void *gradients;          /* (P,) */
    size_t strip_reals;       /* of one buffer of a strip */
    void *strips;             /* (n_threads, 2 or with spreads_x 3, strip_reals) */
    size_t scratch_bytes;     /* of one worker */
    void *scratch;            /* (n_threads, scratch_bytes) */
    void *pieces;             /* (n_threads, piece_reals) */
    double *row_values;       /* (value_rows) */
    mlp_row_squares *squares; /* (n_threads) of the rows of each worker */
    void *spread_x;           /* (block_rows, n_inputs) at mlp_pitch */
    void *gathered_x;         /* (gathered_rows, n_inputs) at mlp_pitch */
    void *gathered_target, *gathered_sample_weight, *gathered_dy_dx;
    int64_t *gathered_class_index;
};

/* workspace.c: lays the workspace out; after MLP_OK nothing allocates until the next call. */
mlp_status mlp_workspace_prepare(mlp_workspace *workspace, const mlp_needs *needs);

/* workspace.c: threads worth using for so many multiply-adds, at most n_threads. */
size_t mlp_useful_threads(size_t n_threads, size_t work);

/* workspace.c: after so many multiply-adds of this thread: whether to end the call at once, as the
 * poll says. It is asked where some 10 ms have passed, a small part of the time in which a person
 * expects an answer to Ctrl-C. */
int mlp_is_interrupted(mlp_workspace *workspace, size_t work);

/* Of a row on its way forward, activations counted as the time that they take. */
MLP_INLINE size_t mlp_forward_work(const mlp_network *network) {
    return network->n_weights + 32 * network->total_width;
}

/* workspace.c: mlp_parallel_for of tasks of so many multiply-adds each, with polls in between. */
mlp_status mlp_polled_for(mlp_workspace *workspace, size_t n_threads, size_t n_tasks,
                          size_t task_work, mlp_task run, void *context);

/* workspace.c: rows of a strip, so that reals_per_row of each stay in L2 if the weights do, and
 * every thread gets the same number of strips, give or take a row. At least 1. */
size_t mlp_strip_rows(const mlp_network *network, const mlp_kernels *kernels, size_t reals_per_row,
                      size_t n_rows, size_t n_threads);

/* workspace.c: the rows of a layer's weight that are a part's share: whole tiles, perhaps none. */
void mlp_weight_rows(const mlp_kernels *kernels, const mlp_layer_shape *layer, size_t part,
                     size_t n_parts, size_t *begin, size_t *end);

/* workspace.c: points workspace->linears at the parameters. */
void mlp_workspace_bind(mlp_workspace *workspace, const void *parameters, int sums_squares);

/* workspace.c: the distance in reals at which the workspace lays rows of so many. */
size_t mlp_pitch(const mlp_kernels *kernels, size_t width);

/* workspace.c: the largest mlp_pitch of rows of at most so many: 256 reals may take more room than
 * 257. */
size_t mlp_largest_pitch(const mlp_kernels *kernels, size_t widest);

/* workspace.c: whether n_rows rows of x are read so often that they should lie at mlp_pitch. */
int mlp_spreads(const mlp_kernels *kernels, size_t n_rows, size_t width);

/* workspace.c: n_rows rows from one stride to another; overlapping is allowed if `to` is `from` and
 * its stride is not smaller. */
void mlp_spread_rows(const mlp_kernels *kernels, size_t n_rows, size_t width, const void *from,
                     size_t from_stride, void *to, size_t to_stride);

MLP_INLINE size_t mlp_smaller(size_t a, size_t b) { return a < b ? a : b; }
MLP_INLINE size_t mlp_quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* Element `index` of an array of reals; NULL stays NULL. */
MLP_INLINE void *mlp_at(const mlp_kernels *kernels, void *array, size_t index) {
    return array == NULL ? NULL : (unsigned char *)array + index * kernels->real_bytes;
}
MLP_INLINE const void *mlp_const_at(const mlp_kernels *kernels, const void *array, size_t index) {
    return array == NULL ? NULL : (const unsigned char *)array + index * kernels->real_bytes;
}

/* Rows [first, first + n_rows) of a batch, where they lie. */
MLP_INLINE mlp_batch mlp_batch_rows(const mlp_kernels *kernels, const mlp_batch *batch,
                                    size_t first, size_t n_rows, size_t n_inputs,
                                    size_t n_outputs) {
    return (mlp_batch){
        .n_samples = n_rows,
        .x = mlp_const_at(kernels, batch->x, first * n_inputs),
        .target = mlp_const_at(kernels, batch->target, first * n_outputs),
        .class_index = batch->class_index == NULL ? NULL : batch->class_index + first,
        .sample_weight = mlp_const_at(kernels, batch->sample_weight, first),
        .dy_dx = mlp_const_at(kernels, batch->dy_dx, first * n_outputs * n_inputs),
        .dy_dx_weight = batch->dy_dx_weight,
    };
}

#endif
