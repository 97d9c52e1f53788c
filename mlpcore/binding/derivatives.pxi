# SPDX-License-Identifier: BSD-3-Clause
# The room of the derivative queries: a net that is asked for more than a value or a gradient.

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *


cdef class DifferentiableNetwork(NetworkHandle):
    def jacobian(self, x, out=None):
        """Jacobian of the output in the input, dy_hat/dx, of each sample.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.
        out : numpy.ndarray of shape (N, K, D) or (K, D), optional
            Where to put the result: of the net's dtype, writable. It is returned.

        Returns
        -------
        numpy.ndarray of shape (N, K, D) or (K, D)
            Entry [n, k, d] is the derivative of output k of sample n in its input d.

        Raises
        ------
        ValueError, TypeError
            If `x` does not have the net's number of columns, `out` does not fit, or either is no
            array of real numbers.

        Notes
        -----
        Taken row by row (reverse mode) or column by column (forward mode), whichever needs fewer
        multiply-adds in this net. At a kink the derivative is that from the left, but for the slope
        1 of ELU.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> net.jacobian([[0.5, -1.0], [0.0, 1.0]]).shape
        (2, 1, 2)
        >>> linear = mlpcore.MLP([2, 3], seed=0)
        >>> bool((linear.jacobian([0.5, -1.0]) == linear.weights[0]).all())
        True
        """
        cdef cnp.npy_intp n
        if not self.can_read(x, &n):
            return self._jacobian_checked(x, out)
        if out is None:
            out = self.empty_jacobian(x, n)
        elif not self.can_write_jacobian(out, x, n):
            return self._jacobian_checked(x, out)
        self.run_jacobian(data(x), NULL, data(out), <size_t> n)
        return out

    def value_and_jacobian(self, x):
        """Output and its Jacobian in the input, as a linearisation needs them, in one pass.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.

        Returns
        -------
        y_hat : numpy.ndarray of shape (N, K) or (K,)
            The bits of ``net(x)``.
        jacobian : numpy.ndarray of shape (N, K, D) or (K, D)
            The bits of `jacobian`.

        Raises
        ------
        ValueError, TypeError
            If `x` does not have the net's number of columns, or is no array of real numbers.

        Examples
        --------
        >>> import numpy as np
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], "tanh", dtype="float64", seed=0)
        >>> x, step = np.array([0.5, -1.0]), np.array([1e-4, 2e-4])
        >>> y_hat, jacobian = net.value_and_jacobian(x)
        >>> bool(abs(net(x + step) - (y_hat + jacobian @ step)) < 1e-7)
        True
        """
        cdef cnp.npy_intp n
        if not self.can_read(x, &n):
            return self._value_and_jacobian_checked(x)
        cdef cnp.npy_intp shape[2]
        cdef int ndim = cnp.PyArray_NDIM(<cnp.ndarray> x)
        shape[0] = n
        shape[ndim - 1] = self.n_outputs
        cdef cnp.ndarray y = cnp.PyArray_EMPTY(ndim, shape, self.typenum, 0)
        cdef cnp.ndarray jacobian = self.empty_jacobian(x, n)
        self.run_jacobian(data(x), data(y), data(jacobian), <size_t> n)
        return y, jacobian

    def vjp(self, x, cotangent):
        """Gradients for any dl/dy_hat: the transposed Jacobian of the net times a cotangent.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.
        cotangent : array_like of shape (N, K) or (K,)
            Any dl/dy_hat, of the shape of the output.

        Returns
        -------
        Gradients
            Of the sum of ``cotangent * net(x)``.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 2], seed=0)
        >>> gradients = net.vjp([0.5, -1.0], [1.0, 0.0])
        >>> bool((gradients.inputs == net.weights[0][0]).all())
        True
        """
        cdef cnp.npy_intp n
        cdef cnp.npy_intp n_parameters = <cnp.npy_intp> self.work_per_row
        cdef int ndim
        if not self.can_read(x, &n) or not usable(cotangent, self.typenum):
            return self._vjp_checked(x, cotangent)
        ndim = cnp.PyArray_NDIM(<cnp.ndarray> x)
        if (cnp.PyArray_NDIM(<cnp.ndarray> cotangent) != ndim
                or cnp.PyArray_DIM(<cnp.ndarray> cotangent, ndim - 1) != self.n_outputs
                or (ndim == 2 and cnp.PyArray_DIM(<cnp.ndarray> cotangent, 0) != n)):
            return self._vjp_checked(x, cotangent)
        cdef cnp.ndarray flat = cnp.PyArray_EMPTY(1, &n_parameters, self.typenum, 0)
        cdef cnp.ndarray inputs = cnp.PyArray_EMPTY(
            ndim, cnp.PyArray_DIMS(<cnp.ndarray> x), self.typenum, 0)
        self.run_vjp(data(x), data(cotangent), data(flat), data(inputs), <size_t> n)
        cdef GradientArrays gradients = gradients_type.__new__(gradients_type)
        gradients.belong_to(self, flat, inputs)
        return gradients

    def hvp(self, x, y, loss, vector, sample_weight=None):
        """Hessian of the loss in the parameters, times a vector.

        Exact, by the change of the gradient along the vector (Pearlmutter, "Fast exact
        multiplication by the Hessian", Neural Computation 6, 1994); the Hessian, (P, P), is not
        made. Of a piecewise linear activation or loss the second derivative is 0, at its kinks too.

        Parameters
        ----------
        x, y
            As for `train_step`.
        loss : str or Loss
            A name or an instance of `mlpcore.losses`; not a function, of which no second derivative
            is known: there, the difference of two gradients is left.
        vector : array_like of shape (P,)
            In the layout of `parameters`.
        sample_weight : array_like of shape (N,), optional
            A weight of 2 equals the row given twice.

        Returns
        -------
        numpy.ndarray of shape (P,)
            The change of the gradient along `vector`, in the layout of `parameters`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([1, 1], bias=False, seed=0)
        >>> net.hvp([[3.0]], [[5.0]], "mse", [1.0])
        array([18.], dtype=float32)
        """
        cdef mlp_loss as_known
        cdef mlp_batch batch
        cdef cnp.npy_intp n_parameters = <cnp.npy_intp> self.work_per_row
        if (sample_weight is not None or self._parameters is None
                or not known_loss(loss, self.output_activation, &as_known)
                or not usable_batch(x, y, self.typenum, self.n_inputs, self.n_outputs,
                                    as_known.kind, &batch)
                or not usable(vector, self.typenum)
                or cnp.PyArray_NDIM(<cnp.ndarray> vector) != 1
                or cnp.PyArray_DIM(<cnp.ndarray> vector, 0) != n_parameters):
            return self._hvp_checked(x, y, loss, vector, sample_weight)
        cdef cnp.ndarray product = cnp.PyArray_EMPTY(1, &n_parameters, self.typenum, 0)
        self.run_hvp(&batch, &as_known, data(vector), data(product))
        return product

    cdef bint can_read(self, object x, cnp.npy_intp *n) noexcept:
        """Whether C can read x, (N, D) or (D,), as it is, and how many samples it has."""
        cdef int ndim
        if self._parameters is None or not usable(x, self.typenum):
            return False
        ndim = cnp.PyArray_NDIM(<cnp.ndarray> x)
        if ndim < 1 or ndim > 2 or cnp.PyArray_DIM(<cnp.ndarray> x, ndim - 1) != self.n_inputs:
            return False
        n[0] = cnp.PyArray_DIM(<cnp.ndarray> x, 0) if ndim == 2 else 1
        return True

    cdef cnp.ndarray empty_jacobian(self, object x, cnp.npy_intp n):
        cdef cnp.npy_intp shape[3]
        cdef int ndim = cnp.PyArray_NDIM(<cnp.ndarray> x) + 1
        shape[0] = n
        shape[ndim - 2] = self.n_outputs
        shape[ndim - 1] = self.n_inputs
        return cnp.PyArray_EMPTY(ndim, shape, self.typenum, 0)

    cdef bint can_write_jacobian(self, object out, object x, cnp.npy_intp n) noexcept:
        cdef int ndim = cnp.PyArray_NDIM(<cnp.ndarray> x) + 1
        return (
            usable(out, self.typenum)
            and cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out)
            and cnp.PyArray_NDIM(<cnp.ndarray> out) == ndim
            and (ndim == 2 or cnp.PyArray_DIM(<cnp.ndarray> out, 0) == n)
            and cnp.PyArray_DIM(<cnp.ndarray> out, ndim - 2) == self.n_outputs
            and cnp.PyArray_DIM(<cnp.ndarray> out, ndim - 1) == self.n_inputs
            and not overlap(<cnp.ndarray> out, <cnp.ndarray> x)
            and not overlap(<cnp.ndarray> out, self._parameters)
        )

    cdef int run_jacobian(self, void *x, void *y, void *jacobian, size_t n) except -1:
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef size_t n_threads = default_threads
        cdef size_t n_directions = <size_t> min(self.n_inputs, self.n_outputs)
        cdef mlp_status status
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif n * self.work_per_row * (1 + n_directions) < WORK_WORTH_THE_GIL:
            status = mlp_jacobian(workspace, parameters, n, x, y, jacobian, 1)
        else:
            with nogil:
                status = mlp_jacobian(workspace, parameters, n, x, y, jacobian, n_threads)
        self.give(workspace)
        return check(status)

    cdef int run_vjp(self, void *x, void *cotangent, void *gradients, void *grad_x,
                     size_t n, size_t n_threads=0) except -1:
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        n_threads = n_threads or default_threads
        cdef mlp_status status
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif n * self.work_per_row < WORK_WORTH_THE_GIL:
            status = mlp_vjp(workspace, parameters, n, x, cotangent, gradients, grad_x, 1)
        else:
            with nogil:
                status = mlp_vjp(
                    workspace, parameters, n, x, cotangent, gradients, grad_x, n_threads)
        self.give(workspace)
        return check(status)

    def _vjp_rows(self, cnp.ndarray x not None, cnp.ndarray cotangent not None,
                  cnp.ndarray gradients not None, grad_x, size_t n_threads=0):
        self.run_vjp(data(x), data(cotangent), data(gradients), data(grad_x),
                     <size_t> x.shape[0], n_threads)

    def _jacobian_rows(self, cnp.ndarray x not None, y, cnp.ndarray jacobian not None):
        self.run_jacobian(data(x), data(y), data(jacobian), <size_t> x.shape[0])

    def _jvp_rows(self, cnp.ndarray x not None, tangent, direction, cnp.ndarray y not None,
                  cnp.ndarray dy not None, size_t n_threads=0):
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef void *p_x = data(x)
        cdef void *p_tangent = data(tangent)
        cdef void *p_direction = data(direction)
        cdef void *p_y = data(y)
        cdef void *p_dy = data(dy)
        cdef size_t n = <size_t> x.shape[0]
        n_threads = n_threads or default_threads
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        if workspace is not NULL:
            with nogil:
                status = mlp_jvp(
                    workspace, parameters, n, p_x, p_tangent, p_direction, p_y,
                    p_dy, n_threads)
        self.give(workspace)
        check(status)

    def _input_curvature_rows(self, cnp.ndarray x not None, cnp.ndarray result not None,
                              bint whole):
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef void *p_x = data(x)
        cdef void *p_result = data(result)
        cdef size_t n = <size_t> x.shape[0]
        cdef size_t n_threads = default_threads
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        if workspace is not NULL:
            with nogil:
                if whole:
                    status = mlp_input_hessian(workspace, parameters, n, p_x, p_result, n_threads)
                else:
                    status = mlp_laplacian(workspace, parameters, n, p_x, p_result, n_threads)
        self.give(workspace)
        check(status)

    def _per_sample_rows(self, cnp.ndarray x not None, cnp.ndarray target not None,
                         LossKernel loss, gradients, norms, size_t n_threads=0):
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef mlp_batch batch = make_batch(x, target, None, <size_t> x.shape[0])
        cdef void *parameters = data(self._parameters)
        cdef void *p_gradients = data(gradients)
        cdef double *p_norms = <double *> data(norms)
        cdef mlp_loss *p_loss = NULL if loss is None else &loss.c
        n_threads = n_threads or default_threads
        cdef mlp_status status = MLP_OUT_OF_MEMORY
        if workspace is not NULL:
            with nogil:
                status = mlp_per_sample_gradients(
                    workspace, parameters, &batch, p_loss, p_gradients, p_norms, n_threads)
        self.give(workspace)
        check(status)

    cdef int run_hvp(self, const mlp_batch *batch, const mlp_loss *loss, void *vector,
                     void *product) except -1:
        self.ready()
        cdef mlp_workspace *workspace = self.take()
        cdef void *parameters = data(self._parameters)
        cdef size_t n_threads = default_threads
        cdef mlp_status status
        if workspace is NULL:
            status = MLP_OUT_OF_MEMORY
        elif batch.n_samples * self.work_per_row < WORK_WORTH_THE_GIL:
            status = mlp_hvp(workspace, parameters, batch, loss, vector, product, 1)
        else:
            with nogil:
                status = mlp_hvp(workspace, parameters, batch, loss, vector, product, n_threads)
        self.give(workspace)
        return check(status)

    def _hvp_rows(self, cnp.ndarray x not None, cnp.ndarray target not None, sample_weight,
                  LossKernel loss not None, cnp.ndarray vector not None,
                  cnp.ndarray product not None):
        cdef mlp_batch batch = make_batch(x, target, sample_weight, <size_t> x.shape[0])
        self.run_hvp(&batch, &loss.c, data(vector), data(product))
