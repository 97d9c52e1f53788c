# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=clinic, binding=False
"""The binding: pointers in, status out, the GIL released. `_validation` has checked all arguments;
what stands here only finds out whether an array can be used just as it is."""

cimport cython

import atexit
import os

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint64_t

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *

cnp.import_array()

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

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
LOSSES = {
    "mse": MLP_MSE,
    "l1": MLP_L1,
    "huber": MLP_HUBER,
    "log_cosh": MLP_LOG_COSH,
    "quantile": MLP_QUANTILE,
    "bce": MLP_BCE,
    "bce_with_logits": MLP_BCE_WITH_LOGITS,
    "cross_entropy": MLP_CROSS_ENTROPY,
    "cross_entropy_with_logits": MLP_CROSS_ENTROPY_WITH_LOGITS,
    "poisson": MLP_POISSON,
}
REDUCTIONS = {"mean": MLP_MEAN, "batch_mean": MLP_BATCH_MEAN, "sum": MLP_SUM}
OPTIMIZERS = {"sgd": MLP_SGD, "adam": MLP_ADAM, "adamw": MLP_ADAMW}

OK = MLP_OK
NOT_FINITE = MLP_NOT_FINITE
MAX_THREADS = MLP_PARALLEL_MAX

cdef size_t default_threads = 1

# What Python makes and the fast paths need; see `register`.
cdef dict losses_by_name = {}
cdef type gradients_type = None

# Below this many multiply-adds (some microseconds) giving the GIL away costs more than it gives.
cdef enum:
    WORK_WORTH_THE_GIL = 200000
    N_ACTIVATIONS = 10


cdef inline void *data(object array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray> array)


cdef inline bint usable(object array, int typenum) noexcept:
    """Whether C can read this object as it is: an ndarray proper, contiguous, aligned, native."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(<cnp.ndarray> array) == typenum
        and cnp.PyArray_CHKFLAGS(<cnp.ndarray> array, cnp.NPY_ARRAY_CARRAY_RO)
        and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> array)
    )


cdef inline bint overlap(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef char *a_begin = <char *> cnp.PyArray_DATA(a)
    cdef char *b_begin = <char *> cnp.PyArray_DATA(b)
    return (a_begin < b_begin + cnp.PyArray_NBYTES(b)
            and b_begin < a_begin + cnp.PyArray_NBYTES(a))


cdef int check(mlp_status status) except -1:
    if status == MLP_OUT_OF_MEMORY:
        raise MemoryError("no memory for the arrays of this call; nothing was changed")
    return 0


cdef int poll_signals(void *context) noexcept with gil:
    """Lets Python's signal handlers run; an exception is kept for the caller to raise."""
    try:
        PyErr_CheckSignals()
    except BaseException as exception:
        (<list> context).append(exception)
        return 1
    return 0


cdef mlp_batch make_batch(object x, object target, object sample_weight, size_t n) noexcept:
    cdef mlp_batch batch
    batch.n_samples = n
    batch.x = data(x)
    batch.target = NULL
    batch.class_index = NULL
    if target is not None:
        if cnp.PyArray_TYPE(<cnp.ndarray> target) == cnp.NPY_INT64:
            batch.class_index = <const int64_t *> data(target)
        else:
            batch.target = data(target)
    batch.sample_weight = data(sample_weight)
    return batch


cdef class LossKernel:
    cdef mlp_loss c
    # What `after` has given for an output activation, so that a step need not ask Python again.
    cdef mlp_loss after_activation[N_ACTIVATIONS]
    cdef unsigned int known_activations  # a bit for each

    def __init__(self, int kind, int reduction, double parameter=0.0):
        self.c.kind = <mlp_loss_kind> kind
        self.c.reduction = <mlp_reduction> reduction
        self.c.parameter = parameter
        self.known_activations = 0

    def _remember(self, int activation, LossKernel after not None):
        if not 0 <= activation < N_ACTIVATIONS:
            raise ValueError(f"activation: expected a code of ACTIVATIONS, got {activation}")
        self.after_activation[activation] = after.c
        self.known_activations |= 1u << activation

    @property
    def kind(self):
        return <int> self.c.kind

    @property
    def reduction(self):
        return <int> self.c.reduction

    @property
    def parameter(self):
        return self.c.parameter

    def _evaluate(self, cnp.ndarray prediction not None, target, sample_weight, gradient):
        cdef mlp_dtype dtype = (
            MLP_FLOAT32 if cnp.PyArray_TYPE(prediction) == cnp.NPY_FLOAT32 else MLP_FLOAT64)
        cdef mlp_batch batch = make_batch(
            None, target, sample_weight, <size_t> cnp.PyArray_DIM(prediction, 0))
        cdef size_t n_outputs = <size_t> cnp.PyArray_DIM(prediction, 1)
        cdef void *p_prediction = data(prediction)
        cdef void *p_gradient = data(gradient)
        cdef double value = 0.0
        with nogil:
            mlp_loss_evaluate(
                dtype, &self.c, n_outputs, &batch, p_prediction, p_gradient, &value)
        return value


cdef inline bint known_loss(object loss, mlp_activation output, mlp_loss *known) noexcept:
    """The loss as a net with this output activation computes it, if that was found out before."""
    cdef LossKernel kernel
    if type(loss) is str:
        loss = losses_by_name.get(loss)
    if not isinstance(loss, LossKernel):
        return False
    kernel = <LossKernel> loss
    if not kernel.known_activations >> <int> output & 1:
        return False
    known[0] = kernel.after_activation[<int> output]
    return True


cdef class OptimizerKernel:
    cdef mlp_optimizer c
    cdef object _first_moment, _second_moment
    # The parameters whose moments these are. Held, so that the array is not another one later.
    cdef object _owner
    # What `begin` found, for an update that is not made.
    cdef object _first_before, _second_before
    cdef int64_t _step_before
    cdef bint _is_new_owner
    # A call runs. C reads the struct and the moments without the GIL: nobody may change them then.
    cdef bint busy

    def __init__(self, kind):
        self.idle()
        self.c.kind = <mlp_optimizer_kind> <int> OPTIMIZERS[kind]
        self.reset()

    cdef int idle(self) except -1:
        if self.busy:
            raise RuntimeError("optimizer: in use by another call")
        return 0

    @property
    def learning_rate(self):
        return self.c.learning_rate

    @learning_rate.setter
    def learning_rate(self, double value):
        self.c.learning_rate = value

    @property
    def weight_decay(self):
        return self.c.weight_decay

    @weight_decay.setter
    def weight_decay(self, double value):
        self.c.weight_decay = value

    @property
    def momentum(self):
        return self.c.momentum

    @momentum.setter
    def momentum(self, double value):
        self.c.momentum = value

    @property
    def nesterov(self):
        return self.c.nesterov != 0

    @nesterov.setter
    def nesterov(self, bint value):
        self.c.nesterov = value

    @property
    def beta1(self):
        return self.c.beta1

    @beta1.setter
    def beta1(self, double value):
        self.c.beta1 = value

    @property
    def beta2(self):
        return self.c.beta2

    @beta2.setter
    def beta2(self, double value):
        self.c.beta2 = value

    @property
    def epsilon(self):
        return self.c.epsilon

    @epsilon.setter
    def epsilon(self, double value):
        self.c.epsilon = value

    @property
    def n_steps(self):
        return self.c.step

    @n_steps.setter
    def n_steps(self, int64_t value):
        self.idle()
        if value < 0:
            raise ValueError(f"n_steps: expected 0 or more, got {value}")
        self.c.step = value

    @property
    def first_moment(self):
        return self._first_moment

    @first_moment.setter
    def first_moment(self, cnp.ndarray value):
        self.idle()
        self._first_moment = value
        self._owner = None

    @property
    def second_moment(self):
        return self._second_moment

    @second_moment.setter
    def second_moment(self, cnp.ndarray value):
        self.idle()
        self._second_moment = value
        self._owner = None

    def reset(self):
        self.idle()
        self._first_moment = self._second_moment = self._owner = None
        self.c.first_moment = self.c.second_moment = NULL
        self.c.step = 0

    cdef int begin(self, Network network) except -1:
        """Take the optimizer for a call on this net, with moments that are made or checked to be
        its own. `end` gives it back, also when the call failed."""
        cdef cnp.ndarray parameters = network._parameters
        self.idle()
        if not cnp.PyArray_ISWRITEABLE(parameters):
            raise ValueError("net.parameters: must be writable to be trained, got read-only ones")
        self._step_before = self.c.step
        self._is_new_owner = self._owner is not parameters
        if self._is_new_owner:
            self.belong_to(network, parameters)
        self.busy = True
        return 0

    cdef int belong_to(self, Network network, cnp.ndarray parameters) except -1:
        if self._owner is not None:
            raise ValueError(
                "optimizer: its moments belong to another net; give each net an optimizer of its "
                "own (copy.deepcopy(optimizer) goes on with a copy of the net), or call "
                "optimizer.reset()"
            )
        first = self.adopt(self._first_moment, network, self.uses_first())
        second = self.adopt(self._second_moment, network, self.c.kind != MLP_SGD)
        self._first_before, self._second_before = self._first_moment, self._second_moment
        self._first_moment, self._second_moment = first, second
        self.c.first_moment = data(first)
        self.c.second_moment = data(second)
        # Without moments there is nothing that could belong to the wrong net.
        self._owner = parameters if first is not None else None
        return 0

    cdef void end(self) noexcept:
        self.busy = False
        if not self._is_new_owner:
            return
        if self.c.step == self._step_before:  # no update was made: as if nothing had happened
            self._first_moment, self._second_moment = self._first_before, self._second_before
            self._owner = None
        self._first_before = self._second_before = None

    cdef bint uses_first(self) noexcept:
        return self.c.kind != MLP_SGD or self.c.momentum != 0.0

    cdef object adopt(self, object moment, Network network, bint wanted):
        if not wanted:
            return None
        # What the C side counts, not the array's shape: that may be set from Python.
        cdef size_t n = mlp_network_n_parameters(network.net)
        dtype = "float32" if network.dtype_code == MLP_FLOAT32 else "float64"
        if moment is None:
            return aligned_zeros(n, dtype)
        if (not usable(moment, network.typenum)
                or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> moment)
                or moment.shape != (n,)):
            raise ValueError(
                f"optimizer: its moments have shape {moment.shape} and dtype {moment.dtype}, "
                f"the net has {n} parameters of dtype {dtype}"
            )
        return moment

    def _apply(self, Network network not None, cnp.ndarray gradients not None, size_t n_threads):
        network.ready()
        cdef size_t n = mlp_network_n_parameters(network.net)
        cdef void *p_parameters = data(network._parameters)
        cdef void *p_gradients = data(gradients)
        cdef mlp_status status
        self.begin(network)
        with nogil:
            status = mlp_optimizer_step(
                network.dtype_code, &self.c, n, p_parameters, p_gradients, n_threads)
        self.end()
        if status == MLP_NOT_FINITE:
            raise FloatingPointError(
                "the update would leave a parameter that is not finite; it was not made")


@cython.auto_pickle(False)  # the derived class knows what belongs into a pickle
cdef class GradientArrays:
    cdef public object flat, inputs
    cdef public tuple _sizes
    cdef public bint _has_bias
    cdef public object _views

    def __init__(self, Network net not None, flat, inputs):
        self.belong_to(net, flat, inputs)

    cdef void belong_to(self, Network net, object flat, object inputs) noexcept:
        self.flat = flat
        self.inputs = inputs
        self._sizes = net.layer_sizes
        self._has_bias = net.has_biases


cdef class Network:
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

    @property
    def parameters(self):
        self.ready()
        return self._parameters

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
                            size_t n_threads) except -1:
        self.ready()
        optimizer.begin(self)
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef mlp_status status
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif batch.n_samples * self.work_per_row < WORK_WORTH_THE_GIL:
            status = mlp_train_step(workspace, parameters, batch, loss, &optimizer.c, value, 1)
        else:
            with nogil:
                status = mlp_train_step(
                    workspace, parameters, batch, loss, &optimizer.c, value, n_threads)
        self.give(workspace)
        optimizer.end()
        check(status)
        return <int> status

    def __call__(self, x):
        return self.forward_any(x, None, None)

    def forward(self, x, out=None, n_threads=None):
        """Forward pass: ``x (N, D) -> (N, K)`` or ``(D,) -> (K,)``.

        Parameters
        ----------
        x : array_like, shape (n_samples, n_inputs) or (n_inputs,)
        out : ndarray, optional
            Where to put the result: of its shape and dtype, writable. It is returned.
        n_threads : int, optional
            Threads at most, default `mlpcore.get_n_threads`. The bits do not depend on it.

        Returns
        -------
        ndarray, shape (n_samples, n_outputs) or (n_outputs,)

        Raises
        ------
        ValueError, TypeError
            If `x` does not have the net's number of columns, `out` does not fit, or either is no
            array of real numbers.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> net.forward([[0.5, -1.0], [0.0, 1.0]]).shape
        (2, 1)
        """
        return self.forward_any(x, out, n_threads)

    cdef object forward_any(self, object x, object out, object n_threads):
        cdef cnp.npy_intp shape[2]
        cdef int ndim
        cdef cnp.npy_intp n
        if self._parameters is None or not usable(x, self.typenum):
            return self._forward_checked(x, out, n_threads)
        ndim = cnp.PyArray_NDIM(<cnp.ndarray> x)
        if (ndim < 1 or ndim > 2 or n_threads is not None
                or cnp.PyArray_DIM(<cnp.ndarray> x, ndim - 1) != self.n_inputs):
            return self._forward_checked(x, out, n_threads)
        n = cnp.PyArray_DIM(<cnp.ndarray> x, 0) if ndim == 2 else 1
        if out is None:
            shape[0] = n
            shape[ndim - 1] = self.n_outputs
            out = cnp.PyArray_EMPTY(ndim, shape, self.typenum, 0)
        elif (not usable(out, self.typenum)
                or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out)
                or cnp.PyArray_NDIM(<cnp.ndarray> out) != ndim
                or cnp.PyArray_DIM(<cnp.ndarray> out, ndim - 1) != self.n_outputs
                or (ndim == 2 and cnp.PyArray_DIM(<cnp.ndarray> out, 0) != n)
                or overlap(<cnp.ndarray> out, <cnp.ndarray> x)
                or overlap(<cnp.ndarray> out, self._parameters)):
            return self._forward_checked(x, out, n_threads)
        self.run_forward(
            cnp.PyArray_DATA(<cnp.ndarray> x), cnp.PyArray_DATA(<cnp.ndarray> out),
            <size_t> n, default_threads)
        return out

    cdef bint usable_batch(self, object x, object y, mlp_loss_kind loss,
                           mlp_batch *batch) noexcept:
        """Whether C can read samples and targets as they are, and then where."""
        cdef int ndim, y_ndim
        cdef cnp.npy_intp n, i
        cdef const int64_t *classes
        if not usable(x, self.typenum):
            return False
        ndim = cnp.PyArray_NDIM(<cnp.ndarray> x)
        if ndim < 1 or ndim > 2 or cnp.PyArray_DIM(<cnp.ndarray> x, ndim - 1) != self.n_inputs:
            return False
        n = cnp.PyArray_DIM(<cnp.ndarray> x, 0) if ndim == 2 else 1
        if n == 0 or not cnp.PyArray_CheckExact(y):
            return False
        y_ndim = cnp.PyArray_NDIM(<cnp.ndarray> y)
        batch.n_samples = <size_t> n
        batch.x = data(x)
        batch.target = NULL
        batch.class_index = NULL
        batch.sample_weight = NULL
        if ndim == 2 and (y_ndim < 1 or cnp.PyArray_DIM(<cnp.ndarray> y, 0) != n):
            return False
        if usable(y, self.typenum):
            batch.target = data(y)
            if y_ndim == ndim:
                return cnp.PyArray_DIM(<cnp.ndarray> y, ndim - 1) == self.n_outputs
            return y_ndim == 1 and self.n_outputs == 1
        if (ndim == 1 or y_ndim != 1 or not usable(y, cnp.NPY_INT64)
                or (loss != MLP_CROSS_ENTROPY and loss != MLP_CROSS_ENTROPY_WITH_LOGITS)):
            return False
        classes = <const int64_t *> data(y)
        batch.class_index = classes
        for i in range(n):
            if classes[i] < 0 or classes[i] >= self.n_outputs:
                return False
        return True

    def train_step(self, x, y, loss, optimizer, sample_weight=None):
        """One update from one batch: forward, loss, backward and step in one trip into C.

        The bits are those of `trace`, `backward` and ``optimizer.step`` one after the other.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.
        y : array_like of shape (N, K), or (N,)
            Targets. With one output a vector (N,) will do; for the loss ``cross_entropy`` it may be
            integer classes (N,). For one sample the first axis falls away.
        loss : str, Loss or callable
            A name or an instance of `mlpcore.losses`, or ``f(y_hat, y) -> (value, dl_dy_hat)``.
        optimizer : Optimizer
            Such as ``mlpcore.Adam()``; it keeps its state from step to step.
        sample_weight : array_like of shape (N,), optional
            A weight of 2 equals the row given twice.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        FloatingPointError
            If the loss, a gradient or the update is not finite; the parameters and the optimizer
            are then as they were before the call.
        ValueError, TypeError
            If an argument does not fit. The range of the targets is checked by `fit` and by the
            loss itself, not here and not by the gradient queries.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], seed=0)
        >>> x, y = [[0.0, 1.0], [1.0, 0.0]], [[1.0], [-1.0]]
        >>> adam = mlpcore.Adam(1e-2)
        >>> values = [net.train_step(x, y, "mse", adam) for _ in range(50)]
        >>> values[-1] < values[0]
        True
        """
        cdef mlp_loss as_known
        cdef mlp_batch batch
        cdef double value = 0.0
        if (sample_weight is not None or self._parameters is None
                or not isinstance(optimizer, OptimizerKernel)
                or (<OptimizerKernel> optimizer).c.learning_rate == 0.0
                or not known_loss(loss, self.output_activation, &as_known)
                or not self.usable_batch(x, y, as_known.kind, &batch)
                or self.run_train_step(&batch, &as_known, <OptimizerKernel> optimizer, &value,
                                       default_threads) == MLP_NOT_FINITE):
            # After a step that was not made all is as before it, and the error is worded here.
            return self._train_step_checked(x, y, loss, optimizer, sample_weight)
        return value

    def value_and_grad(self, x, y, loss, sample_weight=None):
        """Loss of a batch and its gradients, in one trip into C.

        Parameters
        ----------
        x, y, loss, sample_weight
            As for `train_step`.

        Returns
        -------
        value : float
            The loss.
        gradients : Gradients
            dl/dparameters and dl/dx; new at every call.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> value, gradients = net.value_and_grad([[0.5, -1.0]], [[1.0]], "mse")
        >>> gradients.weights[0].shape, gradients.inputs.shape
        ((3, 2), (1, 2))
        """
        cdef mlp_loss as_known
        cdef mlp_batch batch
        cdef double value = 0.0
        cdef cnp.npy_intp n_parameters = <cnp.npy_intp> self.work_per_row
        if (sample_weight is not None or self._parameters is None
                or not known_loss(loss, self.output_activation, &as_known)
                or not self.usable_batch(x, y, as_known.kind, &batch)):
            return self._value_and_grad_checked(x, y, loss, sample_weight)
        cdef cnp.ndarray flat = cnp.PyArray_EMPTY(1, &n_parameters, self.typenum, 0)
        cdef cnp.ndarray inputs = cnp.PyArray_EMPTY(
            cnp.PyArray_NDIM(<cnp.ndarray> x), cnp.PyArray_DIMS(<cnp.ndarray> x), self.typenum, 0)
        self.run_value_and_grad(
            &batch, &as_known, data(flat), data(inputs), &value, default_threads)
        cdef GradientArrays gradients = gradients_type.__new__(gradients_type)
        gradients.belong_to(self, flat, inputs)
        return value, gradients

    def _forward_rows(self, cnp.ndarray x not None, cnp.ndarray out not None, size_t n_threads):
        self.run_forward(
            cnp.PyArray_DATA(x), cnp.PyArray_DATA(out), <size_t> x.shape[0], n_threads)

    cdef mlp_record *records(self, list pre_activations, list outputs, list derivatives,
                             list grad_outputs, list grad_pre_activations) except NULL:
        cdef mlp_record *records = <mlp_record *> PyMem_Malloc(self.n_layers * sizeof(mlp_record))
        if records is NULL:
            raise MemoryError
        for l in range(self.n_layers):
            records[l].pre_activation = data(pre_activations[l])
            records[l].output = data(outputs[l])
            records[l].activation_derivative = data(derivatives[l])
            records[l].grad_output = data(grad_outputs[l]) if grad_outputs is not None else NULL
            records[l].grad_pre_activation = (
                data(grad_pre_activations[l]) if grad_pre_activations is not None else NULL)
        return records

    def _forward_records(self, cnp.ndarray parameters not None, cnp.ndarray x not None,
                         list pre_activations not None, list outputs not None,
                         list activation_derivatives not None, size_t n_threads):
        self.ready()
        cdef mlp_record *records = self.records(
            pre_activations, outputs, activation_derivatives, None, None)
        cdef mlp_workspace *workspace = self.take()
        cdef void *p_parameters = data(parameters)
        cdef void *p_x = data(x)
        cdef size_t n = <size_t> x.shape[0]
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        if workspace is not NULL:
            with nogil:
                status = mlp_forward_records(workspace, p_parameters, n, p_x, records, n_threads)
        PyMem_Free(records)
        self.give(workspace)
        check(status)

    def _backward_records(self, cnp.ndarray parameters not None, cnp.ndarray x not None,
                          list pre_activations not None, list outputs not None,
                          list activation_derivatives not None, cotangent, LossKernel loss,
                          target, sample_weight, cnp.ndarray gradients not None, grad_x,
                          list grad_outputs, list grad_pre_activations, size_t n_threads):
        self.ready()
        cdef mlp_record *records = self.records(
            pre_activations, outputs, activation_derivatives, grad_outputs, grad_pre_activations)
        cdef mlp_workspace *workspace = self.take()
        cdef mlp_batch batch = make_batch(x, target, sample_weight, <size_t> x.shape[0])
        cdef void *p_parameters = data(parameters)
        cdef void *p_cotangent = data(cotangent)
        cdef void *p_gradients = data(gradients)
        cdef void *p_grad_x = data(grad_x)
        cdef mlp_loss *p_loss = NULL if loss is None else &loss.c
        cdef double value = float("nan")
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        if workspace is not NULL:
            with nogil:
                status = mlp_backward_records(
                    workspace, p_parameters, records, &batch, p_cotangent, p_loss, p_gradients,
                    p_grad_x, &value, n_threads)
        PyMem_Free(records)
        self.give(workspace)
        check(status)
        return value

    def _value_and_grad(self, cnp.ndarray x not None, cnp.ndarray target not None, sample_weight,
                        LossKernel loss not None, gradients, grad_x, size_t n_threads):
        cdef mlp_batch batch = make_batch(x, target, sample_weight, <size_t> x.shape[0])
        cdef double value = 0.0
        self.run_value_and_grad(
            &batch, &loss.c, data(gradients), data(grad_x), &value, n_threads)
        return value

    def _train_step(self, cnp.ndarray x not None, cnp.ndarray target not None, sample_weight,
                    LossKernel loss not None, OptimizerKernel optimizer not None,
                    size_t n_threads):
        cdef mlp_batch batch = make_batch(x, target, sample_weight, <size_t> x.shape[0])
        cdef double value = 0.0
        cdef int status = self.run_train_step(&batch, &loss.c, optimizer, &value, n_threads)
        return status, value

    def _train_epoch(self, cnp.ndarray x not None, cnp.ndarray target not None, sample_weight,
                     order, size_t batch_size, LossKernel loss not None,
                     OptimizerKernel optimizer not None, size_t n_threads):
        # A signal that another thread received may stand unnoticed by the interpreter's own check
        # (CPython 3.11); short epochs never ask in C.
        PyErr_CheckSignals()
        self.ready()
        optimizer.begin(self)
        cdef list raised = []
        cdef mlp_workspace *workspace = self.take()
        cdef mlp_batch batch = make_batch(x, target, sample_weight, <size_t> x.shape[0])
        cdef void *p_parameters = data(self._parameters)
        cdef mlp_epoch epoch
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        epoch.order = <const int64_t *> data(order)
        epoch.batch_size = batch_size
        epoch.poll = <mlp_poll> poll_signals
        epoch.poll_context = <void *> raised
        if workspace is not NULL:
            with nogil:
                status = mlp_train_epoch(
                    workspace, p_parameters, &batch, &loss.c, &optimizer.c, &epoch, n_threads)
        self.give(workspace)
        optimizer.end()
        check(status)
        if raised:
            raise raised[0]
        return <int> status, epoch.loss_total, epoch.n_steps


def aligned_zeros(size_t n, str dtype):
    """Zeros ``(n,)`` whose first element lies on a 64-byte boundary."""
    cdef cnp.npy_intp item = 4 if dtype == "float32" else 8
    cdef cnp.npy_intp bytes_needed
    if n > <size_t> ((<size_t> -1) // 2 - 64) // <size_t> item:
        raise MemoryError(f"no memory for {n} parameters")
    bytes_needed = <cnp.npy_intp> n * item + 64
    cdef cnp.ndarray block = cnp.PyArray_ZEROS(1, &bytes_needed, cnp.NPY_UINT8, 0)
    cdef cnp.npy_intp skip = (-<cnp.npy_intp> cnp.PyArray_DATA(block)) & 63
    return block[skip:skip + <cnp.npy_intp> n * item].view(dtype)


def register(dict losses not None, type gradients not None):
    """Name what is written in Python and needed here: the losses that a name stands for, and the
    class, derived from GradientArrays, of what `value_and_grad` gives back."""
    global losses_by_name, gradients_type
    if not issubclass(gradients, GradientArrays):
        raise TypeError(f"gradients: expected a class of GradientArrays, got {gradients!r}")
    losses_by_name, gradients_type = losses, gradients


def permutation(uint64_t seed, uint64_t epoch, size_t n):
    cdef cnp.npy_intp length = <cnp.npy_intp> n
    cdef cnp.ndarray order = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
    mlp_permutation(seed, epoch, n, <int64_t *> cnp.PyArray_DATA(order))
    return order


def fused_loss(int kind, int output_activation):
    cdef int on_pre_activation = 0
    cdef mlp_loss_kind fused = mlp_loss_fuse(
        <mlp_loss_kind> kind, <mlp_activation> output_activation, &on_pre_activation)
    return <int> fused, on_pre_activation != 0


def isa():
    return mlp_isa_name(mlp_isa_selected()).decode()


def all_isas():
    return tuple(mlp_isa_name(<mlp_isa> i).decode() for i in range(MLP_ISA_COUNT))


def available_isas():
    return tuple(
        name for i, name in enumerate(all_isas()) if mlp_isa_available(<mlp_isa> <int> i))


def select_isa(str name not None):
    cdef mlp_isa chosen
    if not mlp_isa_from_name(name.encode(), &chosen):
        raise ValueError(
            f"MLPCORE_ISA: expected one of {', '.join(all_isas())}, got {name!r}")
    if not mlp_isa_available(chosen):
        raise ValueError(
            f"MLPCORE_ISA: this machine can run {', '.join(available_isas())}, got {name!r}")
    mlp_isa_select(chosen)


def default_n_threads():
    return default_threads


def set_default_n_threads(size_t n):
    global default_threads
    default_threads = n


def n_workers():
    return mlp_parallel_n_workers()


def cache_bytes(int level):
    return mlp_cache_bytes(level)


def floating_point_state():
    return mlp_cpu_floating_point_state()


def fail_allocations_after(long n, bint once):
    mlp_memory_fail_after(n, once)


def live_allocations():
    return mlp_memory_live_blocks()


def _read_environment():
    """`MLPCORE_ISA` and `MLPCORE_NUM_THREADS`, once, at import."""
    name = os.environ.get("MLPCORE_ISA")
    if name:
        select_isa(name)
    text = os.environ.get("MLPCORE_NUM_THREADS")
    if not text:
        return mlp_default_n_threads()
    try:
        n = int(text)
    except ValueError:
        n = 0
    if not 1 <= n <= MLP_PARALLEL_MAX:
        raise ValueError(
            f"MLPCORE_NUM_THREADS: expected an integer from 1 to {MLP_PARALLEL_MAX}, got {text!r}")
    return n


default_threads = _read_environment()
atexit.register(lambda: mlp_parallel_shutdown())
