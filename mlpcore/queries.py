# SPDX-License-Identifier: BSD-3-Clause
"""The derivatives that a net can be asked for.

Those that a loop would ask for begin in the core, `binding/derivatives.pxi`, and come here only
with arguments that it cannot take as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .topology import Topology

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .functions import Function
    from .mlp import MLP, LossLike
    from .trace import Gradients


class Queries(Topology):
    """Derivatives of a net, and of a loss of its output. `MLP` has its documentation."""

    __slots__ = ()

    def _value_and_grad_checked(
        self, x: Any, y: Any, loss: Any, sample_weight: Any, dy_dx: Any, dy_dx_weight: Any
    ) -> tuple[float, Gradients]:
        """What `value_and_grad` does with arguments that the core cannot take as they are."""
        from .derivatives import value_and_grad

        return value_and_grad(_as_mlp(self), x, y, loss, sample_weight, dy_dx, dy_dx_weight)

    def _vjp_checked(self, x: Any, cotangent: Any) -> Gradients:
        """What `vjp` does with arguments that the core cannot take as they are."""
        from .derivatives import vjp

        return vjp(_as_mlp(self), x, cotangent)

    def jvp(
        self,
        x: ArrayLike,
        tangent: ArrayLike | None = None,
        parameters_tangent: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Output, and how it changes along a direction: the Jacobian times a tangent.

        Forward mode: a pass with the values and their changes side by side, whose cost does not
        depend on the number of outputs.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.
        tangent : array_like of the shape of x, optional
            Direction in which each sample changes; None: it does not.
        parameters_tangent : array_like of shape (P,), optional
            Direction in which the parameters change, in the layout of `parameters`; None: they do
            not.

        Returns
        -------
        y_hat : numpy.ndarray of shape (N, K) or (K,)
            The bits of ``net(x)``.
        dy_hat : numpy.ndarray of shape (N, K) or (K,)
            Derivative of y_hat along both directions together.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 2], seed=0)
        >>> y_hat, dy_hat = net.jvp([0.5, -1.0], tangent=[1.0, 0.0])
        >>> bool((dy_hat == net.weights[0][:, 0]).all())
        True
        """
        from .derivatives import jvp

        return jvp(_as_mlp(self), x, tangent, parameters_tangent)

    def _jacobian_checked(self, x: Any, out: Any) -> Array:
        """What `jacobian` does with arguments that the core cannot take as they are."""
        from .derivatives import jacobian

        return jacobian(_as_mlp(self), x, out)

    def _value_and_jacobian_checked(self, x: Any) -> tuple[Array, Array]:
        """What `value_and_jacobian` does with an x that the core cannot take as it is."""
        from .derivatives import value_and_jacobian

        return value_and_jacobian(_as_mlp(self), x)

    def _hvp_checked(self, x: Any, y: Any, loss: Any, vector: Any, sample_weight: Any) -> Array:
        """What `hvp` does with arguments that the core cannot take as they are."""
        from .derivatives import hvp

        return hvp(_as_mlp(self), x, y, loss, vector, sample_weight)

    def input_hessian(self, x: ArrayLike) -> Array:
        """Second derivatives of each output in the inputs.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.

        Returns
        -------
        numpy.ndarray of shape (N, K, D, D) or (K, D, D)
            Entry [n, k, i, j] is d^2 y_hat_k / dx_i dx_j of sample n; symmetric to the bit.

        Raises
        ------
        ValueError, TypeError
            If `x` does not have the net's number of columns, or is no array of real numbers.

        Notes
        -----
        Only activations bend: with T_l = dz_l/dx and g_l = dz_L/da_l, the Hessian of the last
        pre-activation is the sum of T_l^T diag(g_l f''(z_l)) T_l over the hidden layers. Of a
        piecewise linear activation f'' is 0, at its kinks too.

        Beside the result, each thread needs 0.5 MiB and, in numbers of the net's dtype,
        (2 D + K + 256) times the units of all hidden layers, 2 D times the widest layer's or 2 K
        times the widest hidden one's, and D (D + K): one sample's, however many there are.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], "tanh", seed=0)
        >>> hessian = net.input_hessian([0.5, -1.0])
        >>> hessian.shape, bool((hessian == hessian.swapaxes(-1, -2)).all())
        ((1, 2, 2), True)
        """
        from .derivatives import input_hessian

        return input_hessian(_as_mlp(self), x)

    def laplacian(self, x: ArrayLike) -> Array:
        """Sum of the second derivatives of each output in its inputs: the Hessian's trace.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.

        Returns
        -------
        numpy.ndarray of shape (N, K) or (K,)
            Entry [n, k] is the sum over i of d^2 y_hat_k / dx_i^2 of sample n.

        Raises
        ------
        ValueError, TypeError
            If `x` does not have the net's number of columns, or is no array of real numbers.

        Notes
        -----
        The Hessian is not made: value, D first derivatives and Laplacian go forward together.

        Examples
        --------
        >>> import numpy as np
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], "tanh", dtype="float64", seed=0)
        >>> x = np.array([0.5, -1.0])
        >>> trace = np.trace(net.input_hessian(x), axis1=-2, axis2=-1)
        >>> bool(np.allclose(net.laplacian(x), trace))
        True
        """
        from .derivatives import laplacian

        return laplacian(_as_mlp(self), x)

    def per_sample_gradients(
        self, x: ArrayLike, y: ArrayLike, loss: LossLike, out: Array | None = None
    ) -> Array:
        """Gradient of each sample's own loss in the parameters.

        Parameters
        ----------
        x, y
            As for `train_step`.
        loss : str, Loss or callable
            A name, an instance of `mlpcore.losses`, or a function as described in `mlpcore.losses`,
            which is called for each sample by itself.
        out : numpy.ndarray of shape (N, P) or (P,), optional
            Where to put the result: of the net's dtype, writable. It is returned.

        Returns
        -------
        numpy.ndarray of shape (N, P) or (P,)
            Row i is the gradient of sample i's loss as a batch of one, in the layout of
            `parameters` and with the bits of `value_and_grad`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        See Also
        --------
        per_sample_gradient_norms : Their norms, without this array.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([1, 1], bias=False, init="zeros")
        >>> net.per_sample_gradients([[1.0], [2.0]], [[1.0], [1.0]], "mse")
        array([[-2.],
               [-4.]], dtype=float32)
        """
        from .derivatives import per_sample_gradients

        return per_sample_gradients(_as_mlp(self), x, y, loss, out)

    def per_sample_gradient_norms(self, x: ArrayLike, y: ArrayLike, loss: LossLike) -> Array:
        """Euclidean norm of each sample's own gradient, without the gradients.

        Parameters
        ----------
        x, y
            As for `train_step`.
        loss : str, Loss or callable
            A name, an instance of `mlpcore.losses`, or a function as described in `mlpcore.losses`,
            which is called for each sample by itself.

        Returns
        -------
        numpy.ndarray of shape (N,), or a number for a single sample
            Entry i is the norm of row i of `per_sample_gradients`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Notes
        -----
        A row of a layer's weight gradient is the product of two vectors, so that its norm is the
        product of theirs (Goodfellow, "Efficient per-example gradient computations", 2015,
        https://arxiv.org/abs/1510.01799).

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([1, 1], bias=False, init="zeros")
        >>> net.per_sample_gradient_norms([[1.0], [2.0]], [[1.0], [1.0]], "mse")
        array([2., 4.], dtype=float32)
        """
        from .derivatives import per_sample_gradient_norms

        return per_sample_gradient_norms(_as_mlp(self), x, y, loss)

    def as_function(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        loss: LossLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Function:
        """Plain functions ``(value, jac, hvp)`` of one vector, for an optimiser.

        Without arguments they are of the inputs: the net's output at one sample (D,), with the
        parameters that the net has when they are called. With a batch and a loss they are of the
        parameters (P,): the net itself is not changed by them.

        Parameters
        ----------
        x, y, loss, sample_weight : optional
            As for `train_step`. The arrays are not copied, and must not change.

        Returns
        -------
        Function
            ``.value(v)``, ``.jac(v)`` and ``.hvp(v, direction)``, all in float64. For the inputs of
            a net of one output value is a float, jac and hvp are (D,); for several they are (K,),
            (K, D) and (K, D). For the parameters value is a float, jac and hvp are (P,).

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, when it is given; by hvp, if the loss is a function.

        Notes
        -----
        The net computes in its own dtype. A line search to the last digits wants ``float64``.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], "tanh", dtype="float64", seed=0)
        >>> inputs = net.as_function()
        >>> inputs.jac([0.5, -1.0]).shape, inputs.hvp([0.5, -1.0], [1.0, 0.0]).shape
        ((2,), (2,))
        >>> x, y = [[0.0, 1.0], [1.0, 0.0]], [[1.0], [-1.0]]
        >>> parameters = net.as_function(x, y, "mse")
        >>> parameters.value(net.parameters) == net.value_and_grad(x, y, "mse")[0]
        True

        With SciPy, ``scipy.optimize.minimize(parameters.value, net.parameters, method="trust-ncg",
        jac=parameters.jac, hessp=parameters.hvp)`` trains the net.
        """
        from .functions import as_function

        return as_function(_as_mlp(self), x, y, loss, sample_weight)


def _as_mlp(net: Queries) -> MLP:
    return net  # type: ignore[return-value]  # MLP is the only class made from Queries
