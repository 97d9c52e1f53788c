/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * network.h - the topology of a net and the scratch memory of one call, shared by network.c
 * (which makes them), propagate.c (which runs a batch through) and train.c (which learns from it).
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

#include "kernels.h"

/* Rows whose intermediates are kept at a time. A multiple of MLP_CHUNK, at which sums over rows
 * may be cut without changing a bit. */
#define MLP_BLOCK_ROWS (2 * MLP_CHUNK)

/* Multiply-adds that one more thread has to have to itself before it is worth waking: some 40 us
 * of work, against a few us to start and end a region. */
#define MLP_THREAD_WORK ((size_t)1 << 21)

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
    size_t n_values;         /* rows whose loss is kept */
    size_t n_block;          /* rows whose intermediates are kept; 0: forward only */
    size_t n_strip;          /* rows that go through a forward-only pass at a time */
    size_t n_gathered;       /* rows of a gathered batch; 0: none */
    int own_outputs;         /* intermediates live here rather than with the caller */
    int derivatives;         /* a backward pass follows */
    int own_gradients;       /* the gradient vector lives here */
    int gathers_class_index; /* of a gathered batch */
} mlp_needs;

struct mlp_workspace {
    const mlp_network *network;
    mlp_arena arena;
    mlp_needs needs;                          /* what the arena is laid out for */
    mlp_linear *linears;                      /* (n_layers) of the running call */
    mlp_record *records;                      /* (n_layers) of the running block */
    void **forward_panels, **backward_panels; /* (n_layers) */
    void **outputs, **derivatives, **deltas;  /* (n_layers) of (n_block, n_outputs) */
    void *gradients;                          /* (P,) */
    void *strips;                             /* (n_threads, 2, n_strip, widest) */
    size_t scratch_bytes;                     /* of one worker */
    void *scratch;                            /* (n_threads, scratch_bytes) */
    double *row_values;                       /* (n_values) */
    void *gathered_x, *gathered_target, *gathered_weight;
    int64_t *gathered_class_index;
};

/* Lays the workspace out; after MLP_OK nothing allocates until the next call. */
mlp_status mlp_workspace_prepare(mlp_workspace *workspace, const mlp_needs *needs);

/* Threads worth using for so many multiply-adds, at most n_threads. */
size_t mlp_useful_threads(size_t n_threads, size_t work);

#endif
