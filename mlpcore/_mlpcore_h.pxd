# SPDX-License-Identifier: BSD-3-Clause
# The C core's public header, as Cython sees it. Meanings stand in src_c/mlpcore.h.
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "mlpcore.h" nogil:
    ctypedef enum mlp_isa:
        MLP_ISA_GENERIC
        MLP_ISA_COUNT

    const char *mlp_isa_name(mlp_isa isa)
    bint mlp_isa_from_name(const char *name, mlp_isa *isa)
    bint mlp_isa_available(mlp_isa isa)
    void mlp_isa_select(mlp_isa isa)
    mlp_isa mlp_isa_selected()
    uint32_t mlp_cpu_floating_point_state()
    size_t mlp_cache_bytes(int level)

    ctypedef enum mlp_status:
        MLP_OK
        MLP_OUT_OF_MEMORY
        MLP_NOT_FINITE
        MLP_INTERRUPTED

    ctypedef enum mlp_dtype:
        MLP_FLOAT32
        MLP_FLOAT64

    ctypedef enum mlp_activation:
        MLP_IDENTITY
        MLP_RELU
        MLP_LEAKY_RELU
        MLP_ELU
        MLP_GELU
        MLP_SILU
        MLP_SOFTPLUS
        MLP_TANH
        MLP_SIGMOID
        MLP_SOFTMAX
        MLP_N_ACTIVATIONS

    ctypedef enum mlp_loss_kind:
        MLP_MSE
        MLP_L1
        MLP_HUBER
        MLP_LOG_COSH
        MLP_QUANTILE
        MLP_BCE
        MLP_BCE_WITH_LOGITS
        MLP_CROSS_ENTROPY
        MLP_CROSS_ENTROPY_WITH_LOGITS
        MLP_POISSON

    ctypedef enum mlp_reduction:
        MLP_MEAN
        MLP_BATCH_MEAN
        MLP_SUM

    ctypedef enum mlp_optimizer_kind:
        MLP_SGD
        MLP_ADAM
        MLP_ADAMW
        MLP_RMSPROP

    ctypedef struct mlp_loss:
        mlp_loss_kind kind
        mlp_reduction reduction
        double parameter

    ctypedef struct mlp_batch:
        size_t n_samples
        const void *x
        const void *target
        const int64_t *class_index
        const void *sample_weight
        const void *dy_dx
        double dy_dx_weight

    ctypedef struct mlp_record:
        void *pre_activation
        void *output
        void *activation_derivative
        void *grad_output
        void *grad_pre_activation

    ctypedef struct mlp_optimizer:
        mlp_optimizer_kind kind
        double learning_rate
        double weight_decay
        double l1
        double l2
        double clip_norm
        double momentum
        int nesterov
        double beta1
        double beta2
        double epsilon
        void *first_moment
        void *second_moment
        double first_bound
        double second_bound
        int64_t step

    ctypedef enum mlp_key_purpose:
        MLP_KEY_DROPOUT
        MLP_KEY_BLOCKS
        MLP_KEY_ROWS
        MLP_KEY_HELD_OUT

    ctypedef struct mlp_dropout:
        const double *rates
        uint64_t seed
        uint64_t step

    ctypedef struct mlp_epoch:
        const int64_t *order
        size_t batch_size
        const double *learning_rates
        const mlp_dropout *dropout
        size_t n_steps
        double loss_total

    ctypedef struct mlp_network:
        pass
    ctypedef struct mlp_workspace:
        pass

    mlp_status mlp_network_create(mlp_dtype dtype, size_t n_layers, const size_t *sizes,
                                  const mlp_activation *activations, int has_bias,
                                  mlp_network **network)
    void mlp_network_destroy(mlp_network *network)
    size_t mlp_network_n_parameters(const mlp_network *network)
    mlp_status mlp_workspace_create(const mlp_network *network, mlp_workspace **workspace)
    void mlp_workspace_destroy(mlp_workspace *workspace)
    ctypedef int (*mlp_poll)(void *context)
    void mlp_workspace_watch(mlp_workspace *workspace, mlp_poll poll, void *context)
    mlp_status mlp_forward(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                           const void *x, void *y, size_t n_threads)
    mlp_status mlp_forward_records(mlp_workspace *workspace, const void *parameters,
                                   size_t n_samples, const void *x, const mlp_dropout *dropout,
                                   const mlp_record *records, size_t n_threads)
    mlp_status mlp_backward_records(mlp_workspace *workspace, const void *parameters,
                                    const mlp_record *records, const mlp_batch *batch,
                                    const void *cotangent, const mlp_loss *loss, void *gradients,
                                    void *grad_x, double *value, size_t n_threads)
    mlp_status mlp_value_and_grad(mlp_workspace *workspace, const void *parameters,
                                  const mlp_batch *batch, const mlp_loss *loss, void *gradients,
                                  void *grad_x, double *value, size_t n_threads)
    mlp_status mlp_jacobian(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                            const void *x, void *y, void *jacobian, size_t n_threads)
    mlp_status mlp_jvp(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                       const void *x, const void *tangent, const void *direction, void *y,
                       void *dy, size_t n_threads)
    mlp_status mlp_vjp(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                       const void *x, const void *cotangent, void *gradients, void *grad_x,
                       size_t n_threads)
    mlp_status mlp_hvp(mlp_workspace *workspace, const void *parameters, const mlp_batch *batch,
                       const mlp_loss *loss, const void *vector, void *product, size_t n_threads)
    mlp_status mlp_input_hessian(mlp_workspace *workspace, const void *parameters,
                                 size_t n_samples, const void *x, void *hessian, size_t n_threads)
    mlp_status mlp_laplacian(mlp_workspace *workspace, const void *parameters, size_t n_samples,
                             const void *x, void *laplacian, size_t n_threads)
    mlp_status mlp_per_sample_gradients(mlp_workspace *workspace, const void *parameters,
                                        const mlp_batch *batch, const mlp_loss *loss,
                                        void *gradients, double *norms, size_t n_threads)
    mlp_status mlp_gradient_adjust(const mlp_network *network, const mlp_optimizer *optimizer,
                                   const void *parameters, void *gradients, size_t n_threads)
    mlp_status mlp_optimizer_step(mlp_dtype dtype, mlp_optimizer *optimizer, size_t n_parameters,
                                  void *parameters, const void *gradients, size_t n_threads)
    mlp_status mlp_train_step(mlp_workspace *workspace, void *parameters, const mlp_batch *batch,
                              const mlp_loss *loss, const mlp_dropout *dropout,
                              mlp_optimizer *optimizer, double *value, size_t n_threads)
    mlp_status mlp_train_epoch(mlp_workspace *workspace, void *parameters, const mlp_batch *data,
                               const mlp_loss *loss, mlp_optimizer *optimizer, mlp_epoch *epoch,
                               size_t n_threads)
    void mlp_permutation(uint64_t seed, uint64_t epoch, size_t n, int64_t *order)
    uint64_t mlp_random_key(uint64_t seed, mlp_key_purpose purpose, uint64_t index)
    void mlp_solve_factored(size_t n, const double *lower, double *x)
    void mlp_loss_evaluate(mlp_dtype dtype, const mlp_loss *loss, size_t n_outputs,
                           const mlp_batch *batch, const void *prediction, void *gradient,
                           double *value)
    mlp_loss_kind mlp_loss_fuse(mlp_loss_kind kind, mlp_activation output, int *on_pre_activation)
    double mlp_multiply_adds(mlp_dtype dtype, size_t n_repeats, double *total)


cdef extern from "parallel.h" nogil:
    enum:
        MLP_PARALLEL_MAX
    size_t mlp_default_n_threads()
    size_t mlp_parallel_n_workers()
    void mlp_parallel_shutdown()


cdef extern from "memory.h" nogil:
    size_t mlp_memory_live_blocks()
    void mlp_memory_fail_after(long n, bint once)
