# SPDX-License-Identifier: BSD-3-Clause
# The room of the network: its topology, parameters and scratch memory, and a trip into C with them.

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *

ACTIVATIONS = {
    "identity": MLP_IDENTITY,
    "relu": MLP_RELU,
    "leaky_relu": MLP_LEAKY_RELU,
    "elu": MLP_ELU,
    "gelu": MLP_GELU,
    "silu": MLP_SILU,
    "softplus": MLP_SOFTPLUS,
    "tanh": MLP_TANH,
    "sigmoid": MLP_SIGMOID,
    "softmax": MLP_SOFTMAX,
}

# Below this many multiply-adds (some microseconds) giving the GIL away costs more than it gives.
cdef enum:
    WORK_WORTH_THE_GIL = 200000


cdef class NetworkHandle:
    cdef mlp_network *net
    cdef mlp_workspace *idle  # taken by the call that runs; a call beside it makes its own
    cdef cnp.ndarray _parameters
    cdef mlp_dtype dtype_code
    cdef int typenum
    cdef cnp.npy_intp n_inputs, n_outputs
    cdef size_t n_layers, work_per_row
    cdef mlp_activation output_activation
    cdef tuple layer_sizes
    cdef bint has_biases
    # A call changes the parameters: no other may. To read them is allowed, and whoever does so has
    # to expect some from before and some from after an update.
    cdef bint busy

    def __init__(self, str dtype, tuple sizes, activations, bint has_bias):
        if self.net is not NULL:
            raise RuntimeError("the network is already initialised")
        cdef size_t n_layers = len(activations)
        cdef size_t *c_sizes = <size_t *> PyMem_Malloc((n_layers + 1) * sizeof(size_t))
        cdef mlp_activation *c_activations = (
            <mlp_activation *> PyMem_Malloc((n_layers + 1) * sizeof(mlp_activation)))
        cdef mlp_status status
        try:
            if c_sizes is NULL or c_activations is NULL:
                raise MemoryError
            for l in range(n_layers + 1):
                c_sizes[l] = sizes[l]
            for l in range(n_layers):
                c_activations[l] = <mlp_activation> <int> activations[l]
            self.dtype_code = MLP_FLOAT32 if dtype == "float32" else MLP_FLOAT64
            self.typenum = cnp.NPY_FLOAT32 if dtype == "float32" else cnp.NPY_FLOAT64
            status = mlp_network_create(
                self.dtype_code, n_layers, c_sizes, c_activations, has_bias, &self.net)
            check(status)
        finally:
            PyMem_Free(c_sizes)
            PyMem_Free(c_activations)
        self.n_layers = n_layers
        self.n_inputs = sizes[0]
        self.n_outputs = sizes[n_layers]
        self.output_activation = <mlp_activation> <int> activations[n_layers - 1]
        self.layer_sizes = sizes
        self.has_biases = has_bias
        self.work_per_row = mlp_network_n_parameters(self.net)
        self._parameters = aligned_zeros(mlp_network_n_parameters(self.net), dtype)

    def __dealloc__(self):
        mlp_workspace_destroy(self.idle)
        mlp_network_destroy(self.net)

    cdef int ready(self) except -1:
        if self._parameters is None:
            raise RuntimeError("the net is not initialised: MLP.__init__ did not run to its end")
        return 0

    cdef mlp_workspace *take(self) noexcept:
        """NULL: there is no memory for another one."""
        cdef mlp_workspace *workspace = self.idle
        self.idle = NULL
        if workspace is NULL:
            mlp_workspace_create(self.net, &workspace)
            if workspace is not NULL:
                mlp_workspace_watch(workspace, <mlp_poll> poll_signals, NULL)
        return workspace

    cdef void give(self, mlp_workspace *workspace) noexcept:
        if self.idle is NULL:
            self.idle = workspace
        else:
            mlp_workspace_destroy(workspace)

    cdef int run_forward(self, void *x, void *y, size_t n, size_t n_threads) except -1:
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef mlp_status status
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif n * self.work_per_row < WORK_WORTH_THE_GIL:
            status = mlp_forward(workspace, parameters, n, x, y, 1)
        else:
            with nogil:
                status = mlp_forward(workspace, parameters, n, x, y, n_threads)
        self.give(workspace)
        return check(status)

    cdef int run_value_and_grad(self, const mlp_batch *batch, const mlp_loss *loss,
                                void *gradients, void *grad_x, double *value,
                                size_t n_threads) except -1:
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef mlp_status status
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif batch.n_samples * self.work_per_row < WORK_WORTH_THE_GIL:
            status = mlp_value_and_grad(
                workspace, parameters, batch, loss, gradients, grad_x, value, 1)
        else:
            with nogil:
                status = mlp_value_and_grad(
                    workspace, parameters, batch, loss, gradients, grad_x, value, n_threads)
        self.give(workspace)
        return check(status)

    cdef int run_train_step(self, const mlp_batch *batch, const mlp_loss *loss,
                            OptimizerKernel optimizer, double *value,
                            size_t n_threads, Dropout dropout=None) except -1:
        self.ready()
        optimizer.begin(self)
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef mlp_status status
        cdef mlp_dropout drop
        cdef const mlp_dropout *p_drop = NULL
        if dropout is not None:
            drop = dropout.c
            drop.step = <uint64_t> optimizer.c.step
            p_drop = &drop
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif batch.n_samples * self.work_per_row < WORK_WORTH_THE_GIL:
            status = mlp_train_step(
                workspace, parameters, batch, loss, p_drop, &optimizer.c, value, 1)
        else:
            with nogil:
                status = mlp_train_step(
                    workspace, parameters, batch, loss, p_drop, &optimizer.c, value, n_threads)
        self.give(workspace)
        optimizer.end(self)
        check(status)
        return <int> status
