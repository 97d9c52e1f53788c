# SPDX-License-Identifier: BSD-3-Clause
# What Python calls on a net: arguments are looked at here, and handed to C as they are or checked.

cimport cython
from cpython.mem cimport PyMem_Free
from libc.stdint cimport int64_t, uint64_t

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *

# The class of what `value_and_grad` gives back; see `register`.
cdef type gradients_type = None


@cython.auto_pickle(False)  # the derived class knows what belongs into a pickle
cdef class GradientArrays:
    cdef public object flat, inputs
    cdef public tuple _sizes
    cdef public bint _has_bias
    cdef public object _views

    def __init__(self, NetworkHandle net not None, flat, inputs):
        self.belong_to(net, flat, inputs)

    cdef void belong_to(self, NetworkHandle net, object flat, object inputs) noexcept:
        self.flat = flat
        self.inputs = inputs
        self._sizes = net.layer_sizes
        self._has_bias = net.has_biases


cdef class Network(DifferentiableNetwork):
    @property
    def parameters(self):
        self.ready()
        return self._parameters

    def __call__(self, x):
        return self.forward_any(x, None, None)

    def forward(self, x, out=None, n_threads=None):
        """Forward pass: ``x (N, D) -> (N, K)`` or ``(D,) -> (K,)``.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.
        out : numpy.ndarray of shape (N, K) or (K,), optional
            Where to put the result: of the net's dtype, writable. It is returned.
        n_threads : int, optional
            Threads at most, default `mlpcore.get_n_threads`. The bits do not depend on it.

        Returns
        -------
        numpy.ndarray of shape (N, K) or (K,)
            The output y_hat, in the net's dtype; `out`, if that was given.

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

    cdef bint may_go_straight(self, object x, object y, object loss, object sample_weight,
                              mlp_loss *as_known, mlp_batch *batch) noexcept:
        """Whether C can take the arguments of a step as they are, and then as what."""
        return (sample_weight is None and self._parameters is not None
                and known_loss(loss, self.output_activation, as_known)
                and usable_batch(x, y, self.typenum, self.n_inputs, self.n_outputs,
                                 as_known.kind, batch))

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
        if (not isinstance(optimizer, OptimizerKernel)
                or (<OptimizerKernel> optimizer).c.learning_rate == 0.0
                or not self.may_go_straight(x, y, loss, sample_weight, &as_known, &batch)
                or self.run_train_step(&batch, &as_known, <OptimizerKernel> optimizer, &value,
                                       default_threads) == MLP_NOT_FINITE):
            # After a step that was not made all is as before it, and the error is worded here.
            return self._train_step_checked(x, y, loss, optimizer, sample_weight)
        return value

    def value_and_grad(self, x, y, loss, sample_weight=None, *, dy_dx=None, dy_dx_weight=1.0):
        """Loss of a batch and its gradients, in one trip into C.

        Parameters
        ----------
        x, y, loss, sample_weight
            As for `train_step`.
        dy_dx : array_like of shape (N, K, D), optional
            Known derivatives of the targets in the inputs; with one output (N, D) will do. The loss
            then is ``loss + dy_dx_weight * mse(net.jacobian(x), dy_dx)``, whose gradients need the
            net's second derivatives, and are exact.
        dy_dx_weight : float, default 1
            How much the derivatives count, at least 0.

        Returns
        -------
        value : float
            The loss.
        gradients : Gradients
            dl/dparameters and dl/dx; new at every call.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; also for `dy_dx` with a loss that is a Python function.

        Notes
        -----
        The reduction of the derivatives' mean squared error is that of the loss, over the K D
        derivatives of each sample: "mean" divides by N K D, "batch_mean" by N, "sum" by nothing;
        with sample weights N is their sum. That is so beside a cross entropy too, whose own mean
        divides by N.

        Second derivatives are those of `hvp`, and 0 where an activation is piecewise linear, at its
        kinks too: in a net of ReLU, dy_dx teaches the weights, and the biases nothing.

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
        if (dy_dx is not None
                or not self.may_go_straight(x, y, loss, sample_weight, &as_known, &batch)):
            return self._value_and_grad_checked(
                x, y, loss, sample_weight, dy_dx, dy_dx_weight)
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

    def _forward_records(self, cnp.ndarray parameters not None, cnp.ndarray x not None,
                         list pre_activations not None, list outputs not None,
                         list activation_derivatives not None, size_t n_threads,
                         Dropout dropout=None, uint64_t step=0):
        self.ready()
        cdef mlp_record *records = make_records(
            self.n_layers, pre_activations, outputs, activation_derivatives, None, None)
        cdef mlp_workspace *workspace = self.take()
        cdef void *p_parameters = data(parameters)
        cdef void *p_x = data(x)
        cdef size_t n = <size_t> x.shape[0]
        cdef mlp_dropout drop
        cdef const mlp_dropout *p_drop = NULL
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        if dropout is not None:
            drop = dropout.c
            drop.step = step
            p_drop = &drop
        if workspace is not NULL:
            with nogil:
                status = mlp_forward_records(
                    workspace, p_parameters, n, p_x, p_drop, records, n_threads)
        PyMem_Free(records)
        self.give(workspace)
        check(status)

    def _backward_records(self, cnp.ndarray parameters not None, cnp.ndarray x not None,
                          list pre_activations not None, list outputs not None,
                          list activation_derivatives not None, cotangent, LossKernel loss,
                          target, sample_weight, cnp.ndarray gradients not None, grad_x,
                          list grad_outputs, list grad_pre_activations, size_t n_threads):
        self.ready()
        cdef mlp_record *records = make_records(
            self.n_layers, pre_activations, outputs, activation_derivatives, grad_outputs,
            grad_pre_activations)
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
                        LossKernel loss not None, gradients, grad_x, size_t n_threads,
                        jacobian=None):
        cdef mlp_batch batch = make_batch(
            x, target, sample_weight, <size_t> x.shape[0], jacobian)
        cdef double value = 0.0
        self.run_value_and_grad(
            &batch, &loss.c, data(gradients), data(grad_x), &value, n_threads)
        return value

    def _train_step(self, cnp.ndarray x not None, cnp.ndarray target not None, sample_weight,
                    LossKernel loss not None, OptimizerKernel optimizer not None,
                    size_t n_threads, Dropout dropout=None, jacobian=None):
        cdef mlp_batch batch = make_batch(
            x, target, sample_weight, <size_t> x.shape[0], jacobian)
        cdef double value = 0.0
        cdef int status = self.run_train_step(
            &batch, &loss.c, optimizer, &value, n_threads, dropout)
        return status, value

    def _train_epoch(self, cnp.ndarray x not None, cnp.ndarray target not None, sample_weight,
                     order, size_t batch_size, LossKernel loss not None,
                     OptimizerKernel optimizer not None, size_t n_threads,
                     learning_rates=None, EpochPosition position=None, Dropout dropout=None,
                     jacobian=None):
        cdef size_t n = <size_t> (x if order is None else order).shape[0]
        if position is None:
            position = EpochPosition()
        # From a file, perhaps: the core counts rows and rates with it.
        n_steps = n // batch_size + (n % batch_size != 0)
        if position.n_steps > n_steps or (
                learning_rates is not None and len(learning_rates) != n_steps):
            raise ValueError(
                f"position: expected at most {n_steps} steps of {n} rows, got {position.n_steps}")
        # A signal that another thread received may stand unnoticed by the interpreter's own check
        # (CPython 3.11); short epochs never ask in C.
        PyErr_CheckSignals()
        self.ready()
        optimizer.begin(self)
        # An order may leave rows out.
        cdef mlp_batch batch = make_batch(x, target, sample_weight, n, jacobian)
        cdef mlp_workspace *workspace = self.take()
        cdef void *p_parameters = data(self._parameters)
        cdef mlp_epoch epoch
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        epoch.order = <const int64_t *> data(order)
        epoch.batch_size = batch_size
        epoch.learning_rates = <const double *> data(learning_rates)
        epoch.dropout = NULL if dropout is None else &dropout.c
        epoch.n_steps = position.n_steps
        epoch.loss_total = position.loss_total
        if workspace is not NULL:
            with nogil:
                status = mlp_train_epoch(
                    workspace, p_parameters, &batch, &loss.c, &optimizer.c, &epoch, n_threads)
        self.give(workspace)
        optimizer.end(self)
        if learning_rates is not None:
            optimizer._scheduled_rate = optimizer.c.learning_rate
        position.n_steps = epoch.n_steps
        position.loss_total = epoch.loss_total
        check(status)
        return <int> status, epoch.loss_total, epoch.n_steps
