# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of a loss, of the output, or of any function of it, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ._checks import received
from ._core import default_n_threads
from ._validation import Batch, as_batch, as_cotangent, as_flat, as_result, as_rows, as_tangent
from .losses import Loss, as_loss
from .sobolev import with_dy_dx
from .steps import value_and_gradients
from .trace import Gradients

if TYPE_CHECKING:
    from ._core import Array
    from .mlp import MLP, LossLike


def value_and_grad(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossLike,
    sample_weight: ArrayLike | None = None,
    dy_dx: ArrayLike | None = None,
    dy_dx_weight: float = 1.0,
) -> tuple[float, Gradients]:
    """Loss of a batch and its gradients; see `MLP.value_and_grad`."""
    checked_loss = as_loss(net, loss)
    batch, single = as_batch(net, x, y, sample_weight, checked_loss)
    batch = with_dy_dx(net, checked_loss, batch, dy_dx, dy_dx_weight, single=single)
    flat = np.empty_like(net.parameters)
    inputs = np.empty_like(batch.x)
    value = value_and_gradients(net, batch, checked_loss, flat, inputs, default_n_threads())
    return value, Gradients(net, flat, inputs[0] if single else inputs)


def vjp(net: MLP, x: ArrayLike, cotangent: ArrayLike) -> Gradients:
    """Gradients for any dl/dy_hat; see `MLP.vjp`."""
    rows, single = as_rows(net, x)
    checked = as_cotangent(net, cotangent, len(rows), single)
    flat = np.empty_like(net.parameters)
    inputs = np.empty_like(rows)
    net._vjp_rows(rows, checked, flat, inputs)
    return Gradients(net, flat, inputs[0] if single else inputs)


def jvp(
    net: MLP,
    x: ArrayLike,
    tangent: ArrayLike | None = None,
    parameters_tangent: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Output and its change along a direction; see `MLP.jvp`."""
    rows, single = as_rows(net, x)
    n_samples = len(rows)
    dx = None if tangent is None else as_tangent(net, tangent, n_samples, single)
    direction = None
    if parameters_tangent is not None:
        direction = as_flat(net, parameters_tangent, "parameters_tangent")
    y_hat = np.empty((n_samples, net.sizes[-1]), net.dtype)
    dy_hat = np.empty_like(y_hat)
    if dx is None and direction is None:
        net._forward_rows(rows, y_hat, default_n_threads())
        dy_hat[:] = 0.0  # nothing changes
    else:
        net._jvp_rows(rows, dx, direction, y_hat, dy_hat)
    return (y_hat[0], dy_hat[0]) if single else (y_hat, dy_hat)


def jacobian(net: MLP, x: ArrayLike, out: Any) -> Array:
    """Jacobian for arguments that the core cannot take as they are; see `MLP.jacobian`."""
    rows, single = as_rows(net, x)
    result = np.empty((len(rows), net.sizes[-1], net.sizes[0]), net.dtype)
    if out is not None:
        as_result(net, out, result.shape[1:] if single else result.shape)
    net._jacobian_rows(rows, None, result)
    if single:
        result = result[0]
    if out is None:
        return result
    # By way of a result of our own: out may be strided, or overlap x or the parameters.
    out[...] = result
    return out  # type: ignore[no-any-return]


def value_and_jacobian(net: MLP, x: ArrayLike) -> tuple[Array, Array]:
    """Output and Jacobian for an x that the core cannot take as it is."""
    rows, single = as_rows(net, x)
    y_hat = np.empty((len(rows), net.sizes[-1]), net.dtype)
    result = np.empty((len(rows), net.sizes[-1], net.sizes[0]), net.dtype)
    net._jacobian_rows(rows, y_hat, result)
    return (y_hat[0], result[0]) if single else (y_hat, result)


def hvp(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossLike,
    vector: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Hessian of the loss in the parameters, times a vector; see `MLP.hvp`."""
    kernel = with_curvature(net, loss)
    batch, _ = as_batch(net, x, y, sample_weight, kernel)
    product = np.empty_like(net.parameters)
    net._hvp_rows(*batch[:3], kernel, as_flat(net, vector, "vector"), product)
    return product


def input_hessian(net: MLP, x: ArrayLike) -> Array:
    """Second derivatives of the output in the input; see `MLP.input_hessian`."""
    rows, single = as_rows(net, x)
    n_inputs, n_outputs = net.sizes[0], net.sizes[-1]
    result = np.empty((len(rows), n_outputs, n_inputs, n_inputs), net.dtype)
    net._input_curvature_rows(rows, result, True)
    return result[0] if single else result


def laplacian(net: MLP, x: ArrayLike) -> Array:
    """Sum of the second derivatives of each output in its inputs; see `MLP.laplacian`."""
    rows, single = as_rows(net, x)
    result = np.empty((len(rows), net.sizes[-1]), net.dtype)
    net._input_curvature_rows(rows, result, False)
    return result[0] if single else result


def per_sample_gradients(
    net: MLP, x: ArrayLike, y: ArrayLike, loss: LossLike, out: Any = None
) -> Array:
    """Gradient of each sample's own loss; see `MLP.per_sample_gradients`."""
    kernel, batch, single = _sample_by_sample(net, x, y, loss)
    shape = (len(batch.x), net.n_parameters)
    if out is not None:
        as_result(net, out, shape[1:] if single else shape)
        rows = out[np.newaxis] if single else out
        read = (batch.x, batch.target, net.parameters)
        if not (_is_plain(rows, net) and not any(np.may_share_memory(rows, a) for a in read)):
            rows = np.empty(shape, net.dtype)
    else:
        rows = np.empty(shape, net.dtype)
    net._per_sample_rows(batch.x, batch.target, kernel, rows, None)
    result: Array = rows[0] if single else rows
    if out is None:
        return result
    if not np.may_share_memory(result, out):  # it was made by way of rows of our own
        out[...] = result
    return out  # type: ignore[no-any-return]


def per_sample_gradient_norms(net: MLP, x: ArrayLike, y: ArrayLike, loss: LossLike) -> Array:
    """Norms of `per_sample_gradients`; see `MLP.per_sample_gradient_norms`."""
    kernel, batch, single = _sample_by_sample(net, x, y, loss)
    norms = np.empty(len(batch.x))
    net._per_sample_rows(batch.x, batch.target, kernel, None, norms)
    with np.errstate(over="ignore"):  # beyond float32 a norm is infinite, without a warning
        result = norms.astype(net.dtype)
    return result[0] if single else result


def _sample_by_sample(
    net: MLP, x: ArrayLike, y: ArrayLike, loss: LossLike
) -> tuple[Loss | None, Batch, bool]:
    """A loss and a batch for the core; without a loss, the targets are dl/dy_hat of each row."""
    checked = as_loss(net, loss)
    batch, single = as_batch(net, x, y, None, checked)
    if isinstance(checked, Loss):
        return checked, batch, single
    # A function may mean anything by a batch, such as its mean: each row is one of its own.
    y_hat = np.empty((len(batch.x), net.sizes[-1]), net.dtype)
    net._forward_rows(batch.x, y_hat, default_n_threads())
    cotangent = np.empty_like(y_hat)
    for i in range(len(y_hat)):
        row = slice(i, i + 1)
        checked._evaluate(y_hat[row], batch.target[row], None, cotangent[row])
    return None, batch._replace(target=cotangent), single


def _is_plain(array: Array, net: MLP) -> bool:
    """Whether the core can write to an array as it is."""
    return type(array) is np.ndarray and array.dtype == net.dtype and array.flags.carray


def with_curvature(net: MLP, loss: LossLike) -> Loss:
    """A loss whose second derivative the core knows; a function tells only its first."""
    checked = as_loss(net, loss)
    if not isinstance(checked, Loss):
        raise TypeError(
            "loss: expected a name or an instance of mlpcore.losses, whose second derivative is "
            f"known, got {received(loss)}; of a function take (jac(p + h * vector) - "
            "jac(p - h * vector)) / (2 * h), where jac = net.as_function(x, y, loss).jac, "
            "p = net.parameters and h is small"
        )
    return checked
