/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * network.h - the topology of a net, the scratch memory of one call, and what the files share that
 * run a batch: forward.c (forward only), propagate.c (forward and back), train.c (learning from it).
 *
 * One batch, from x to the gradients, in three regions of tasks whatever the depth:
 *
 *   pack      the weights of every layer into panels                 a task: panels of a layer
 *   rows      forward, loss, backward to each pre-activation         a task: a strip of rows
 *   weights   dW and db of every layer from its input and dl/dz      a task: rows of W^T
 *
 * A strip of rows goes through all layers at once, since rows do not know each other; only the
 * third region sums over rows. More than MLP_BLOCK_ROWS rows go through the last two regions block
 * by block, the weight gradients accumulating, so that memory stays bounded.
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
    int forward_panels;      /* W is read as panels on the way forward */
    int backward_panels;     /* and on the way back */
    int backward_to_x;       /* to x even, not to the first layer's output alone */
    int own_outputs;         /* outputs live here rather than with the caller */
    int own_gradients;       /* the gradient vector lives here */
    int gathers_class_index; /* of a gathered batch */
} mlp_needs;

struct mlp_workspace {
    const mlp_network *network;
    mlp_arena arena;
    mlp_needs needs;                          /* what the arena is laid out for */
    mlp_linear *linears;                      /* (n_layers) of the running call */
    mlp_record *records;                      /* (n_layers) of the running block */
    void **forward_panels, **backward_panels; /* (n_layers) NULL: not packed */
    void **outputs;                           /* (n_layers) of (block_rows, n_outputs) */
    void **activation_derivatives;            /* likewise */
    void **grad_pre_activations;              /* likewise */
    void *gradients;                          /* (P,) */
    void *strips;                             /* (n_threads, 2, strip_rows, widest) */
    size_t scratch_bytes;                     /* of one worker */
    void *scratch;                            /* (n_threads, scratch_bytes) */
    double *row_values;                       /* (value_rows) */
    void *gathered_x, *gathered_target, *gathered_weight;
    int64_t *gathered_class_index;
};

/* workspace.c: lays the workspace out; after MLP_OK nothing allocates until the next call. */
mlp_status mlp_workspace_prepare(mlp_workspace *workspace, const mlp_needs *needs);

/* workspace.c: threads worth using for so many multiply-adds, at most n_threads. */
size_t mlp_useful_threads(size_t n_threads, size_t work);

/* workspace.c: rows of a strip, so that reals_per_row of each stay in L2 if the weights do, and
 * every thread gets the same number of strips, give or take a row. At least 1. */
size_t mlp_strip_rows(const mlp_network *network, const mlp_kernels *kernels, size_t reals_per_row,
                      size_t n_rows, size_t n_threads);

/* pack.c: whether n_rows are so many that packing W first is cheaper than reading it as it lies. */
int mlp_packs_forward(const mlp_kernels *kernels, size_t n_rows);

/* pack.c: region 1. Points workspace->linears at the parameters and packs what there is room for. */
void mlp_pack_weights(mlp_workspace *workspace, const void *parameters);

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
    };
}

#endif
