# SPDX-License-Identifier: BSD-3-Clause
"""A net as plain functions of one vector, as an optimiser such as those of SciPy takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._checks import received
from ._core import default_n_threads
from ._validation import as_batch, as_flat, as_rows
from .derivatives import with_curvature
from .losses import as_loss
from .steps import value_and_gradients

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .mlp import MLP, LossLike


class Function(NamedTuple):
    """A function of one vector with its derivatives, all in float64.

    Attributes
    ----------
    value : callable
        ``value(v)``: a float, or for a net of several outputs an array (K,).
    jac : callable
        ``jac(v)``: of the shape of v, or (K, D).
    hvp : callable
        ``hvp(v, direction)``: the Hessian times a direction, of the shape of `jac`.

    Examples
    --------
    >>> import mlpcore
    >>> function = mlpcore.MLP([2, 8, 1], "tanh", dtype="float64", seed=0).as_function()
    >>> function.jac([0.5, -1.0]).shape, function.hvp([0.5, -1.0], [1.0, 0.0]).shape
    ((2,), (2,))
    """

    value: Callable[[ArrayLike], Any]
    jac: Callable[[ArrayLike], Array]
    hvp: Callable[[ArrayLike, ArrayLike], Array]


def function_of_inputs(net: MLP) -> Function:
    """The output as a function of one sample (D,); see `MLP.as_function`."""
    is_scalar = net.sizes[-1] == 1

    def value(x: ArrayLike) -> Any:
        y_hat = net(_sample(net, x, "x"))
        return float(y_hat[0]) if is_scalar else y_hat.astype(np.float64)

    def jac(x: ArrayLike) -> Array:
        jacobian = net.jacobian(_sample(net, x, "x")).astype(np.float64)
        return jacobian[0] if is_scalar else jacobian

    def hvp(x: ArrayLike, direction: ArrayLike) -> Array:
        hessian = net.input_hessian(_sample(net, x, "x")).astype(np.float64)
        product = hessian @ _sample(net, direction, "direction")
        return product[0] if is_scalar else product

    return Function(value, jac, hvp)


def function_of_parameters(
    net: MLP, x: ArrayLike, y: ArrayLike, loss: LossLike, sample_weight: ArrayLike | None
) -> Function:
    """The loss of a batch as a function of the parameters (P,); see `MLP.as_function`."""
    moved = net.copy()
    checked_loss = as_loss(moved, loss)
    batch, _ = as_batch(moved, x, y, sample_weight, checked_loss)
    known: list[Any] = []  # value and gradient at the parameters that `moved` has

    def move(parameters: ArrayLike) -> None:
        vector = as_flat(moved, parameters, "parameters")
        if not known or not np.array_equal(vector, moved.parameters):
            moved.parameters[:] = vector
            flat = np.empty_like(moved.parameters)
            n_threads = default_n_threads()
            value = value_and_gradients(moved, batch, checked_loss, flat, None, n_threads)
            known[:] = [float(value), flat]

    def value(parameters: ArrayLike) -> float:
        move(parameters)
        return known[0]  # type: ignore[no-any-return]

    def jac(parameters: ArrayLike) -> Array:
        move(parameters)
        return known[1].astype(np.float64)  # type: ignore[no-any-return]

    def hvp(parameters: ArrayLike, direction: ArrayLike) -> Array:
        kernel = with_curvature(moved, checked_loss)
        move(parameters)
        product = np.empty_like(moved.parameters)
        vector = as_flat(moved, direction, "direction")
        moved._hvp_rows(*batch[:3], kernel, vector, product)
        return product.astype(np.float64)

    return Function(value, jac, hvp)


def as_function(
    net: MLP,
    x: ArrayLike | None = None,
    y: ArrayLike | None = None,
    loss: LossLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Function:
    """A net, or a loss of it, as a function; see `MLP.as_function`."""
    if x is None and y is None and loss is None and sample_weight is None:
        return function_of_inputs(net)
    if x is None or y is None or loss is None:
        name = "x" if x is None else "y" if y is None else "loss"
        raise TypeError(
            f"{name}: expected all of x, y and loss for a function of the parameters, or none "
            "of them for a function of the inputs, got None"
        )
    return function_of_parameters(net, x, y, loss, sample_weight)


def _sample(net: MLP, vector: ArrayLike, name: str) -> Array:
    rows, single = as_rows(net, vector, name)
    if not single:
        raise ValueError(
            f"{name}: expected one sample of shape ({net.sizes[0]},), got {received(rows)}"
        )
    return rows[0]  # type: ignore[no-any-return]
