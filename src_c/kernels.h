/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kernels.h - the contract between the two worlds.
 *
 * Below this table, typed kernels touch numbers; they are compiled once per dtype and instruction
 * set and know nothing of networks, threads or memory. Above it, untyped orchestration moves
 * pointers. All arrays are contiguous and row-major, but that rows lie `stride` reals apart where
 * a stride is given.
 *
 * The order of every sum is fixed, so that any split of the work gives the same bits:
 *   - a product's inner dimension is cut in chunks of MLP_CHUNK; a chunk is a chain of fused
 *     multiply-adds from zero in index order; chunks are added in order;
 *   - a bias gradient adds up rows: chunks of MLP_CHUNK rows from zero in order, chunks in order;
 *   - a sum along a row (softmax, a loss's terms, an inner product) is taken in double in 16 lanes,
 *     element j in lane j % 16, lanes added pairwise: l + l + 8, then + 4, + 2, + 1;
 *   - Jacobians and second derivatives sum over the outputs of a softmax in index order;
 *   - the loss adds rows in order, in double;
 *   - a gradient's norm adds up pieces of MLP_UPDATE_PIECE reals in order, each of them the sum of
 *     its squares in double in the same 16 lanes;
 *   - elementwise work has no order.
 * A caller may therefore split rows and columns of an output as it likes, and an inner dimension at
 * multiples of MLP_CHUNK by accumulating.
 */
#ifndef MLP_KERNELS_H
#define MLP_KERNELS_H

#include "mlpcore.h"

#define MLP_CHUNK 512

/* Reals of the flat vector that one task updates: some 20 us of work, against a few us to start and
 * end a region. */
#define MLP_UPDATE_PIECE ((size_t)1 << 16)

/* One layer as the kernels see it. */
typedef struct mlp_linear {
    size_t n_inputs, n_outputs;
    mlp_activation activation;
    const void *weight; /* (n_inputs, n_outputs) */
    const void *bias;   /* (n_outputs) or NULL */
    int sums_squares;   /* the products over rows also sum the squares of what they make */
} mlp_linear;

/* Dropout of one layer in one step. */
typedef struct mlp_drop {
    uint64_t key; /* of the layer */
    uint64_t step;
    uint64_t threshold; /* a word below it, of 2^32, is a unit that is left out */
    double scale;       /* of the others */
} mlp_drop;

typedef struct mlp_kernels {
    size_t real_bytes;
    size_t tile_rows; /* rows of a full register tile */

    /* Scratch that the products below need when neither a layer's width nor n_rows of a weight
     * gradient exceeds n_inner; each worker has its own. */
    size_t (*scratch_bytes)(size_t n_inner);

    /* z = x W^T + b, a = f(z), d = f'(z) for n_rows rows. z or d NULL: not kept; a NULL: not
     * computed (then z is). For softmax d is not written. With sums_squares at least that of z,
     * summed in the dtype in any order (a last register may count lanes that have no column): not
     * finite if a z is not; without, 0. */
    double (*linear_forward)(const mlp_linear *layer, size_t n_rows, const void *x, size_t x_stride,
                             void *z, void *a, void *d, size_t stride, void *scratch);

    /* dx = dz W, times d elementwise unless d (n_rows, n_inputs) is NULL. d_is_relu: d holds outputs
     * of ReLU, which tell its derivative. The result is that of linear_forward, of dx. */
    double (*linear_backward_input)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                    size_t dz_stride, const void *d, size_t d_stride, int d_is_relu,
                                    void *dx, size_t dx_stride, void *scratch);

    /* Rows [begin, end) of dW^T (n_inputs, n_outputs) = x^T dz, added to what is there if
     * accumulate. update (plain SGD) not NULL: the same rows of weight are updated by them, which
     * then hold what weight was, and the result tells whether all updated weights are finite. sure:
     * the caller knows that they will be; the result is 1, and the rows of dW^T are undefined. */
    int (*linear_backward_weight)(const mlp_linear *layer, size_t n_rows, const void *x,
                                  size_t x_stride, const void *dz, size_t dz_stride, size_t begin,
                                  size_t end, int accumulate, void *grad_weight,
                                  const mlp_optimizer *update, int sure, void *weight,
                                  void *scratch);

    /* db (n_outputs) = sum over rows of dz, added to what is there if accumulate; update, sure and the
     * result as for the weight. */
    int (*linear_backward_bias)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                size_t dz_stride, int accumulate, void *grad_bias,
                                const mlp_optimizer *update, int sure, void *bias);

    /* Of one row, dW^T and behind it, if the layer has one, db. */
    void (*row_gradient)(const mlp_linear *layer, const void *x, const void *dz, void *gradients);

    /* The largest magnitude of a, at least 0; infinite if one is not finite. */
    double (*largest)(size_t n_rows, size_t n_columns, const void *a, size_t stride);

    /* dz = da * d, elementwise over n reals; dz may be da. */
    void (*multiply)(size_t n, const void *da, const void *d, void *dz);

    /* The sum of the squares of n reals, each square taken in double. */
    double (*sum_of_squares)(size_t n, const void *x);

    /* dz = p (da - <da, p>) row by row, both da as differences from that of the largest p; dz may be
     * da or p. */
    void (*softmax_backward)(size_t n_rows, size_t n_columns, const void *p, const void *da,
                             void *dz);

    /*
     * Row i of the batch: row_values[i] = sum of its terms, unweighted, and
     * gradient[i, :] = factor * sample_weight[i] * dterm/dprediction. gradient or row_values NULL:
     * not wanted. Targets, classes and weights are those of batch.
     */
    void (*loss)(const mlp_loss *loss, size_t n_columns, const mlp_batch *batch,
                 const void *prediction, double factor, void *gradient, double *row_values);

    /* ---- of the derivative queries ---- */

    /* out (n_rows, n_columns) = m with column c times d[c]; out may be m. */
    void (*scale_columns)(size_t n_rows, size_t n_columns, const void *m, size_t m_stride,
                          const void *d, void *out, size_t out_stride);

    /* Row r of m (n_rows, n_columns) times s[r]. */
    void (*scale_rows)(size_t n_rows, size_t n_columns, const void *s, void *m);

    /* out (n_columns, n_rows) = the transpose of m (n_rows, n_columns). */
    void (*turn)(size_t n_rows, size_t n_columns, const void *m, void *out);

    /* m (n_outputs, n_columns) = (diag(p) - p p^T) m, p (n_outputs) the outputs of softmax. */
    void (*softmax_jacobian)(size_t n_outputs, size_t n_columns, const void *p, void *m);

    /* sum = a + b over n reals; sum may be either. */
    void (*add)(size_t n, const void *a, const void *b, void *sum);

    /* result = f''(z) over n reals, not for softmax; result may be z. */
    void (*curvature)(mlp_activation activation, size_t n, const void *z, void *result);

    /* The product rule on dl/dz = f'(z) dl/da, when z changes along z_tangent: over n reals grad
     * goes from dl/da to dl/dz, and grad_tangent from the change of the one to that of the other.
     * curvature = f''(z), or NULL where that is 0. */
    void (*second_order)(size_t n, const void *derivative, const void *curvature,
                         const void *z_tangent, void *grad, void *grad_tangent);

    /* The same after a softmax, row by row, from its outputs p. */
    void (*softmax_second_order)(size_t n_rows, size_t n_columns, const void *p,
                                 const void *z_tangent, void *grad, void *grad_tangent);

    /* Row i of product = factor * sample_weight[i] * (Hessian of its terms in the prediction) times
     * row i of direction; the rest as in loss. */
    void (*loss_curvature)(const mlp_loss *loss, size_t n_columns, const mlp_batch *batch,
                           const void *prediction, const void *direction, double factor,
                           void *product);

    /* rows: of one sample the changes of z along each input and then its Laplacian, (n_inputs + 1, n)
     * at stride; they become those of f(z). curvature NULL: f''(z) is 0. */
    void (*laplacian_step)(size_t n_inputs, size_t n, size_t stride, const void *d,
                           const void *curvature, void *rows);

    /* The same after a softmax, with outputs p (n_outputs): from the changes (n_inputs, n_outputs),
     * which are lost, and the Laplacian of z (n_outputs) to that of the outputs. */
    void (*softmax_laplacian)(size_t n_inputs, size_t n_outputs, const void *p, void *changes,
                              const void *z_laplacian, void *laplacian);

    /* Of one sample, directions (n_rows, n) of z at stride, which f makes those of its output: grads,
     * from dl/d of the latter to dl/d of the former, and grad_z (n) = f''(z) times the sum over rows
     * of directions times what grads were. curvature NULL: f''(z) is 0. */
    void (*directions_backward)(size_t n_rows, size_t n, size_t stride, const void *d,
                                const void *curvature, const void *directions, void *grads,
                                void *grad_z);

    /*
     * hessian (n_outputs, n_inputs, n_inputs), which is f'(z) times that of z, gets what the output
     * layer bends, from changes (n_outputs, n_inputs) of z, and its lower halves become the upper
     * ones turned. Either curvature = f''(z) (n_outputs) counts, or the outputs p of a softmax, for
     * which changes are lost and spread (n_inputs, n_inputs) is scratch; or both are NULL.
     */
    void (*output_hessian)(size_t n_inputs, size_t n_outputs, const void *curvature, const void *p,
                           void *changes, void *spread, void *hessian);

    /* ---- of the optimizers ---- */

    /*
     * Reals [0, n) of the flat vectors, with the bias corrections that optimizer.c computed. With
     * store 0 nothing is written, and the result tells whether every new parameter (and Adam's
     * second moment) would be finite; so an update can be refused before it has begun.
     */
    int (*sgd_step)(const mlp_optimizer *optimizer, int store, size_t n, void *parameters,
                    const void *gradients, void *velocity);
    /* Plain SGD with a way back: gradients become what the parameters were. Whether all are finite. */
    int (*sgd_exchange)(const mlp_optimizer *optimizer, size_t n, void *parameters,
                        void *gradients);
    int (*adam_step)(const mlp_optimizer *optimizer, double step_size, double root_correction,
                     int store, size_t n, void *parameters, const void *gradients,
                     void *first_moment, void *second_moment);
    int (*rmsprop_step)(const mlp_optimizer *optimizer, int store, size_t n, void *parameters,
                        const void *gradients, void *velocity, void *second_moment);

    /* output, and derivative unless NULL, times 0 or drop->scale; rows of the batch from first_row
     * on. */
    void (*dropout)(const mlp_drop *drop, size_t first_row, size_t n_rows, size_t n_columns,
                    void *output, void *derivative, size_t stride);

    /* As many fused multiply-adds as the machine can do from registers, in n_repeats rounds: their
     * number, and a sum of the results so that none is left out. */
    double (*multiply_adds)(size_t n_repeats, double *sum);

    /* gradients = scale gradients + l1 sign(parameters) + l2 parameters; sign(0) is 0. */
    void (*adjust_gradient)(size_t n, double scale, double l1, double l2, const void *parameters,
                            void *gradients);
} mlp_kernels;

/* The table for a dtype on the instruction set that is selected (cpu.h). */
const mlp_kernels *mlp_kernels_selected(mlp_dtype dtype);

#endif
