/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mlpcore.h - the C core of mlpcore. With cpu.h it is all that a caller needs; the thread count of
 * the machine and the end of the pool are in parallel.h, the hooks of tests in memory.h.
 *
 * A net is a chain of layers; layer l computes, for every row of a batch,
 *
 *     pre_activation  z = x W^T + b          output  a = f(z)
 *
 * Shapes: N samples (rows), D inputs, K outputs, P parameters, L layers. Every array is contiguous
 * and row-major; "real" is float or double as the network's dtype says. The parameters are one flat
 * vector (P,): layer after layer the weight, stored as (n_inputs, n_outputs), then the bias
 * (n_outputs). Gradients and the optimizer's moments have the same layout.
 *
 * Ownership. No object uses a pointer of the caller's after a call has returned. A workspace holds
 * scratch memory alone; it grows before the first row of a call is touched, so that a call either
 * fails at once with MLP_OUT_OF_MEMORY, having written nothing, or does not allocate again.
 *
 * Threads. A network is immutable and may be shared. A workspace serves one call at a time.
 * n_threads is at least 1; small work is done by fewer threads. The bits of every result
 * are the same for any n_threads.
 *
 * Checks. The caller has validated shapes, kinds and ranges; in a debug build they are asserted.
 * A status tells only what a caller cannot know beforehand.
 */
#ifndef MLPCORE_H
#define MLPCORE_H

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"

typedef enum mlp_status {
    MLP_OK = 0,
    MLP_OUT_OF_MEMORY, /* nothing was written */
    MLP_NOT_FINITE,    /* the loss, or a parameter after this update: that update was not made */
    MLP_INTERRUPTED    /* the workspace's poll said stop: no update is half made */
} mlp_status;

typedef enum mlp_dtype { MLP_FLOAT32 = 0, MLP_FLOAT64 = 1 } mlp_dtype;

typedef enum mlp_activation {
    MLP_IDENTITY = 0,
    MLP_RELU,
    MLP_LEAKY_RELU, /* slope 0.01 */
    MLP_ELU,        /* alpha 1 */
    MLP_GELU,       /* exact: z Phi(z) */
    MLP_SILU,
    MLP_SOFTPLUS,
    MLP_TANH,
    MLP_SIGMOID,
    MLP_SOFTMAX, /* output layer only */
    MLP_N_ACTIVATIONS
} mlp_activation;

typedef enum mlp_loss_kind {
    MLP_MSE = 0,
    MLP_L1,
    MLP_HUBER,    /* parameter: delta */
    MLP_LOG_COSH, /* log(cosh(y_hat - y)) */
    MLP_QUANTILE, /* parameter: q */
    MLP_BCE,      /* of probabilities; the logs clamped at -100 */
    MLP_BCE_WITH_LOGITS,
    MLP_CROSS_ENTROPY, /* of probabilities; the logs clamped at -100 */
    MLP_CROSS_ENTROPY_WITH_LOGITS,
    MLP_POISSON, /* of the log-rate: exp(z) - y z */
    MLP_N_LOSSES
} mlp_loss_kind;

/* With sample weights w, N stands for the sum of w: a weight of 2 equals the row given twice, and a
 * row of weight 0 does not count at all. Where that sum is 0, loss and gradient are 0. */
typedef enum mlp_reduction {
    MLP_MEAN = 0,   /* over all N K elements; for cross entropy, whose term is one a row, over N */
    MLP_BATCH_MEAN, /* summed over K, averaged over N */
    MLP_SUM         /* each row times its weight */
} mlp_reduction;

typedef struct mlp_loss {
    mlp_loss_kind kind;
    mlp_reduction reduction;
    double parameter;
} mlp_loss;

/* Rows with what they should become. */
typedef struct mlp_batch {
    size_t n_samples;
    const void *x;              /* (N, D) real */
    const void *target;         /* (N, K) real; NULL when class_index is given */
    const int64_t *class_index; /* (N,) each in [0, K); for the cross entropies only, else NULL */
    const void *sample_weight;  /* (N,) real, none negative; or NULL for 1 everywhere */
    /* What the derivatives should become. The loss of a step and of mlp_value_and_grad is then
     *     loss(y_hat, y) + dy_dx_weight MSE(dy_hat/dx, dy_dx)
     * the MSE of K D numbers a sample, with the reduction of the loss. Nothing else looks at it. */
    const void *dy_dx;   /* (N, K, D) real; or NULL */
    double dy_dx_weight; /* at least 0 */
} mlp_batch;

/* What one layer leaves behind, whole batch; a NULL pointer: not kept. */
typedef struct mlp_record {
    void *pre_activation;        /* (N, n_outputs)  z */
    void *output;                /* (N, n_outputs)  a = f(z) */
    void *activation_derivative; /* (N, n_outputs)  f'(z), elementwise; not written for softmax */
    void *grad_output;           /* (N, n_outputs)  dl/da; see mlp_loss_fuse for the last layer */
    void *grad_pre_activation;   /* (N, n_outputs)  dl/dz */
} mlp_record;

typedef enum mlp_optimizer_kind {
    MLP_SGD = 0,
    MLP_ADAM,
    MLP_ADAMW,
    MLP_RMSPROP
} mlp_optimizer_kind;

/* The moments (P,) are the caller's and start at zero; step counts the updates made so far. No
 * magnitude in a moment exceeds its bound but by a subnormal number; a caller that writes to them
 * sets both bounds to INFINITY. */
typedef struct mlp_optimizer {
    mlp_optimizer_kind kind;
    double learning_rate;
    double weight_decay;
    double l1, l2;                /* of the weights, not of the biases; 0: none */
    double clip_norm;             /* the longest gradient; 0: any length */
    double momentum;              /* SGD, RMSprop */
    int nesterov;                 /* SGD */
    double beta1, beta2, epsilon; /* Adam, AdamW; RMSprop without beta1 */
    void *first_moment;           /* SGD, RMSprop: the velocity, NULL without momentum */
    void *second_moment;          /* Adam, AdamW, RMSprop */
    double first_bound, second_bound;
    int64_t step;
} mlp_optimizer;

typedef struct mlp_network mlp_network;
typedef struct mlp_workspace mlp_workspace;

/* sizes (n_layers + 1,), each at least 1; activations (n_layers,). */
mlp_status mlp_network_create(mlp_dtype dtype, size_t n_layers, const size_t *sizes,
                              const mlp_activation *activations, int has_bias,
                              mlp_network **network);
void mlp_network_destroy(mlp_network *network);
size_t mlp_network_n_parameters(const mlp_network *network);

/* The network has to outlive its workspaces. */
mlp_status mlp_workspace_create(const mlp_network *network, mlp_workspace **workspace);
void mlp_workspace_destroy(mlp_workspace *workspace);

/* Asked every 10 ms or later by the thread that calls, between two parts of its work and not after the
 * last; anything but 0 ends the call with MLP_INTERRUPTED, and what it was to compute is in part
 * unwritten. It may use any other workspace. NULL, as after mlp_workspace_create: nobody asks. */
typedef int (*mlp_poll)(void *context);
void mlp_workspace_watch(mlp_workspace *workspace, mlp_poll poll, void *context);

/* Dropout in a training step: the output of unit j of hidden layer l in row i of the batch is 0 with
 * probability rates[l], else divided by 1 - rates[l]; which ones is a function of seed, step, l, i
 * and j. */
typedef struct mlp_dropout {
    const double *rates; /* (n_layers - 1), each in [0, 1) */
    uint64_t seed, step;
} mlp_dropout;

/* y (N, K) = net(x). y may not overlap x. */
mlp_status mlp_forward(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                       const void *x, void *y, size_t n_threads);

/* Fills pre_activation, output and activation_derivative of records (n_layers,), where not NULL.
 * output must be kept for every layer. With dropout, unless it is NULL, output and
 * activation_derivative are those of a training step. */
mlp_status mlp_forward_records(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                               const void *x, const mlp_dropout *dropout, const mlp_record *records,
                               size_t n_threads);

/*
 * From records that mlp_forward_records filled whole: gradients (P,) = dl/dparameters, grad_x
 * (N, D) = dl/dx unless NULL, and of each record grad_output and grad_pre_activation unless NULL.
 * The cotangent is either given, (N, K) = dl/dy_hat, or, where it is NULL, comes from loss and the
 * batch's targets; then *value is the loss. N and x are the batch's in either case. parameters are
 * those that the records were made with.
 */
mlp_status mlp_backward_records(mlp_workspace *workspace, const void *parameters,
                                const mlp_record *records, const mlp_batch *batch,
                                const void *cotangent, const mlp_loss *loss, void *gradients,
                                void *grad_x, double *value, size_t n_threads);

/* The same from x alone; intermediates live in the workspace, for a bounded number of rows at a
 * time. gradients may be NULL, and then grad_x too: the loss alone is computed. */
mlp_status mlp_value_and_grad(mlp_workspace *workspace, const void *parameters,
                              const mlp_batch *batch, const mlp_loss *loss, void *gradients,
                              void *grad_x, double *value, size_t n_threads);

/* y and jacobian (N, K, D) = dy/dx. y may be NULL. Neither may overlap x. Scratch memory of a
 * thread: 1024 rows of a Jacobian, or those of one sample if they are more. */
mlp_status mlp_jacobian(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                        const void *x, void *y, void *jacobian, size_t n_threads);

/* y and dy (N, K): how y changes when x changes along tangent (N, D) and the parameters along
 * direction (P,). Either may be NULL for no change, not both. */
mlp_status mlp_jvp(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                   const void *x, const void *tangent, const void *direction, void *y, void *dy,
                   size_t n_threads);

/* gradients (P,) and grad_x (N, D) of the sum of cotangent (N, K) times y; grad_x may be NULL. */
mlp_status mlp_vjp(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                   const void *x, const void *cotangent, void *gradients, void *grad_x,
                   size_t n_threads);

/* product (P,) = the Hessian of the loss in the parameters times vector (P,). */
mlp_status mlp_hvp(mlp_workspace *workspace, const void *parameters, const mlp_batch *batch,
                   const mlp_loss *loss, const void *vector, void *product, size_t n_threads);

/* hessian (N, K, D, D) = second derivatives of y in x; symmetric to the bit. Scratch memory of a
 * thread: 512 KiB of samples, and for one of them 2 D + K + 256 rows of all hidden units, 2 D of the
 * widest layer or 2 K of the widest hidden one, whichever are more, and D (D + K) reals. */
mlp_status mlp_input_hessian(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                             const void *x, void *hessian, size_t n_threads);

/* laplacian (N, K) = the sum of y's second derivatives in each x. */
mlp_status mlp_laplacian(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                         const void *x, void *laplacian, size_t n_threads);

/* gradients (N, P): row i is the gradient of sample i's loss as a batch of one; norms (N,): the
 * Euclidean norms of these rows, for which gradients are not made. Either may be NULL. The batch has
 * no sample weights. Without a loss (NULL) its targets, reals, are dl/dy_hat (N, K): each sample's
 * own row of a Jacobian in the parameters, or a sum of them. */
mlp_status mlp_per_sample_gradients(mlp_workspace *workspace, const void *parameters,
                                    const mlp_batch *batch, const mlp_loss *loss, void *gradients,
                                    double *norms, size_t n_threads);

/* What penalties and clip_norm make of a gradient, in place: gradients (P,) longer than clip_norm are
 * scaled to it, then l1 times the sign of each weight and l2 times the weight are added. Without any
 * of them nothing happens. MLP_NOT_FINITE: the length is not finite, and nothing was written. */
mlp_status mlp_gradient_adjust(const mlp_network *network, const mlp_optimizer *optimizer,
                               const void *parameters, void *gradients, size_t n_threads);

/* One update from gradients as mlp_gradient_adjust leaves them. MLP_NOT_FINITE: it would leave a
 * parameter or a moment that is not finite; nothing was written. */
mlp_status mlp_optimizer_step(mlp_dtype dtype, mlp_optimizer *optimizer, size_t n_parameters,
                              void *parameters, const void *gradients, size_t n_threads);

/* Forward, loss, backward and update of one batch, with dropout unless it is NULL. *value is the
 * loss before the update, written with MLP_NOT_FINITE too. */
mlp_status mlp_train_step(mlp_workspace *workspace, void *parameters, const mlp_batch *batch,
                          const mlp_loss *loss, const mlp_dropout *dropout,
                          mlp_optimizer *optimizer, double *value, size_t n_threads);

typedef struct mlp_epoch {
    const int64_t *order;         /* (N,) the rows as they are learnt; NULL: as they lie */
    size_t batch_size;            /* at least 1; the last batch may be smaller, and is used */
    const double *learning_rates; /* one for each step of the epoch; NULL: the optimizer's */
    const mlp_dropout *dropout;   /* at the optimizer's step, whatever its own; NULL: none */
    /* Both in and out: a call goes on with the epoch that an earlier one has begun. */
    size_t n_steps;    /* updates made; their rows are passed over */
    double loss_total; /* loss of each batch times its share of the rows, summed */
} mlp_epoch;

/* All rows of data once, in mini-batches. The two results count the updates made before the one
 * that failed. */
mlp_status mlp_train_epoch(mlp_workspace *workspace, void *parameters, const mlp_batch *data,
                           const mlp_loss *loss, mlp_optimizer *optimizer, mlp_epoch *epoch,
                           size_t n_threads);

/* order (n,) becomes a permutation of 0 .. n-1 that depends on (seed, epoch, n) alone. */
void mlp_permutation(uint64_t seed, uint64_t epoch, size_t n, int64_t *order);

/* A seed of its own for each purpose and index, from one seed; none of their streams is the order of
 * an epoch, or that of another. */
typedef enum mlp_key_purpose {
    MLP_KEY_DROPOUT = 0, /* index: the layer */
    MLP_KEY_BLOCKS,      /* the order of the blocks of rows */
    MLP_KEY_ROWS,        /* index: the place of a block in the epoch */
    MLP_KEY_HELD_OUT     /* the rows that are not learnt */
} mlp_key_purpose;
uint64_t mlp_random_key(uint64_t seed, mlp_key_purpose purpose, uint64_t index);

/* Solves A x = b with the lower factor (n, n) of A = L L^T; x (n,) is b before, and the solution
 * afterwards. What is above L's diagonal is not looked at. */
void mlp_solve_factored(size_t n, const double *lower, double *x);

/* The loss of bare predictions (N, K); gradient (N, K) = dl/dprediction or NULL. batch->x is not
 * looked at. */
void mlp_loss_evaluate(mlp_dtype dtype, const mlp_loss *loss, size_t n_outputs,
                       const mlp_batch *batch, const void *prediction, void *gradient,
                       double *value);

/* The loss that a net computes when it is asked for loss: after a sigmoid bce, and after a softmax
 * cross entropy, are taken from the pre-activation; *on_pre_activation says so. dl/dz then comes at
 * once, and dl/da of that layer is not made. */
mlp_loss_kind mlp_loss_fuse(mlp_loss_kind kind, mlp_activation output, int *on_pre_activation);

/* Fused multiply-adds of one thread, from registers and in n_repeats rounds, on the instruction set
 * that is selected: returns how many, and a sum without a meaning. What a net's speed is held
 * against. */
double mlp_multiply_adds(mlp_dtype dtype, size_t n_repeats, double *sum);

#endif
