# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives beyond the gradient of a loss: products with Jacobians, Jacobians, Hessians.

Forward mode carries the change of every quantity along a given direction, written d<quantity> in
the code, through the same steps as the forward pass.  The Hessian-vector product does so through
the backward pass as well (Pearlmutter, "Fast exact multiplication by the Hessian", Neural
Computation 6, 1994).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import Array, activation_second_derivative
from .losses import loss_gradient, loss_hessian_product, loss_value
from .network import (
    Gradients,
    Layers,
    LayerTrace,
    backward,
    flatten,
    layers_from_flat,
    loss_view,
    trace,
    value_and_grad,
)


def vjp(layers: Layers, x: ArrayLike, cotangent: ArrayLike) -> Gradients:
    """Gradients for an arbitrary dl/dy_hat.

    Parameters
    ----------
    layers, x
        As for `trace`.
    cotangent : array_like of shape (N, K)
        Any dl/dy_hat.

    Returns
    -------
    Gradients
        Of ``sum(cotangent * y_hat)``.

    Examples
    --------
    >>> vjp([([[2.0]], [1.0], "identity")], [[3.0]], [[10.0]]).inputs
    array([[20.]])
    """
    return backward(trace(layers, x), cotangent)


def jvp(
    layers: Layers,
    x: ArrayLike,
    tangent: ArrayLike | None = None,
    parameters_tangent: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Output and its change when the input and the parameters change.

    Parameters
    ----------
    layers, x
        As for `trace`.
    tangent : array_like of shape (N, D), optional
        Direction in which x changes; none if not given.
    parameters_tangent : array_like of shape (P,), optional
        Direction in which the parameters change, in the layout of `flatten`; none if not given.

    Returns
    -------
    y_hat : numpy.ndarray of shape (N, K)
        The output.
    dy_hat : numpy.ndarray of shape (N, K)
        Derivative of y_hat along the two directions together.

    Examples
    --------
    >>> jvp([([[2.0]], [1.0], "identity")], [[3.0]], tangent=[[10.0]])
    (array([[7.]]), array([[20.]]))
    """
    steps = trace(layers, x)
    dinput = np.zeros_like(steps[0].input) if tangent is None else np.asarray(tangent, np.float64)
    if parameters_tangent is None:
        parameters_tangent = np.zeros_like(flatten(layers))
    directions = _cut_like(steps, parameters_tangent)
    for step, (dweight, dbias, _) in zip(steps, directions, strict=True):
        dinput = step.times_derivative(_pre_activation_tangent(step, dinput, dweight, dbias))
    return steps[-1].output, dinput


def jacobian(layers: Layers, x: ArrayLike) -> Array:
    """Jacobian dy_hat/dx of each sample.

    Parameters
    ----------
    layers, x
        As for `trace`.

    Returns
    -------
    numpy.ndarray of shape (N, K, D)
        Entry [n, k, d] is the derivative of output k of sample n in its input d.

    Examples
    --------
    >>> jacobian([([[2.0, 3.0]], None, "identity")], [[1.0, 1.0]])
    array([[[2., 3.]]])
    """
    steps = trace(layers, x)
    n_samples, n_inputs = steps[0].input.shape
    result = np.broadcast_to(np.eye(n_inputs), (n_samples, n_inputs, n_inputs))
    for step in steps:
        result = _times_derivative_columns(step, step.layer.weight @ result)
    return result


def input_hessian(layers: Layers, x: ArrayLike) -> Array:
    """Second derivatives of each output in the inputs.

    Parameters
    ----------
    layers, x
        As for `trace`.

    Returns
    -------
    numpy.ndarray of shape (N, K, D, D)
        Entry [n, k, i, j] is d^2 y_hat_k / dx_i dx_j of sample n.

    Examples
    --------
    >>> input_hessian([([[2.0]], None, "elu")], [[0.0]])
    array([[[[4.]]]])
    """
    steps = trace(layers, x)
    n_samples, n_inputs = steps[0].input.shape
    first = np.broadcast_to(np.eye(n_inputs), (n_samples, n_inputs, n_inputs))
    second = np.zeros((n_samples, n_inputs, n_inputs, n_inputs))
    for step in steps:
        # The linear map acts on both; then f(z)'' = f''(z) z' z' + f'(z) z''.
        first = step.layer.weight @ first
        second = np.einsum("ki,nide->nkde", step.layer.weight, second)
        curvature = activation_second_derivative(step.layer.activation, step.pre_activation)
        if step.layer.activation == "softmax":
            bent = np.einsum("nijk,njd,nke->nide", curvature, first, first)
        else:
            bent = np.einsum("ni,nid,nie->nide", curvature, first, first)
        columns = second.reshape(n_samples, second.shape[1], n_inputs * n_inputs)
        second = bent + _times_derivative_columns(step, columns).reshape(second.shape)
        first = _times_derivative_columns(step, first)
    return second


def laplacian(layers: Layers, x: ArrayLike) -> Array:
    """Sum of the second derivatives of each output: the trace of `input_hessian`.

    Parameters
    ----------
    layers, x
        As for `trace`.

    Returns
    -------
    numpy.ndarray of shape (N, K)
        Entry [n, k] is the sum over i of d^2 y_hat_k / dx_i^2 of sample n.

    Examples
    --------
    >>> laplacian([([[2.0, 1.0]], None, "elu")], [[0.0, 0.0]])
    array([[5.]])
    """
    return np.asarray(np.einsum("nkdd->nk", input_hessian(layers, x)))


def hvp(
    layers: Layers,
    x: ArrayLike,
    y: ArrayLike,
    loss: str,
    vector: ArrayLike,
    reduction: str = "mean",
    sample_weight: ArrayLike | None = None,
    **parameters: Any,
) -> Array:
    """Hessian of the loss in the parameters, times a vector.

    Parameters
    ----------
    layers, x, y, loss
        As for `value_and_grad`.
    vector : array_like of shape (P,)
        In the layout of `flatten`.
    reduction, sample_weight, **parameters
        As for `value_and_grad`.

    Returns
    -------
    numpy.ndarray of shape (P,)
        The change of the flat gradient when the parameters change along `vector`.

    Examples
    --------
    >>> hvp([([[2.0]], None, "identity")], [[3.0]], [[5.0]], "mse", [1.0])
    array([18.])
    """
    steps = trace(layers, x)
    directions = _cut_like(steps, vector)
    dinputs, dzs = [np.zeros_like(steps[0].input)], []
    for step, (dweight, dbias, _) in zip(steps, directions, strict=True):
        dzs.append(_pre_activation_tangent(step, dinputs[-1], dweight, dbias))
        dinputs.append(step.times_derivative(dzs[-1]))

    view = loss_view(steps[-1], loss, parameters)
    rest = (sample_weight, reduction)
    g = loss_gradient(view.name, view.y_hat, y, *rest, **view.parameters)
    dy_hat = dzs[-1] if view.is_fused else dinputs[-1]
    dg = loss_hessian_product(view.name, view.y_hat, y, dy_hat, *rest, **view.parameters)

    products: list[tuple[Array, Array | None, str]] = []
    for i in reversed(range(len(steps))):
        step, (dweight, _, _) = steps[i], directions[i]
        if not (view.is_fused and i == len(steps) - 1):
            # From dl/d output to dl/dz: the product rule on f'(z) * g.
            dg = step.times_derivative(dg) + _derivative_tangent(step, dzs[i], g)
            g = step.times_derivative(g)
        dbias = None if step.layer.bias is None else dg.sum(axis=0)
        products.insert(0, (dg.T @ step.input + g.T @ dinputs[i], dbias, "identity"))
        dg = dg @ step.layer.weight + g @ dweight
        g = g @ step.layer.weight
    return flatten(products)


def parameter_jacobian(layers: Layers, x: ArrayLike) -> Array:
    """Jacobian of the output in the parameters.

    Parameters
    ----------
    layers, x
        As for `trace`.

    Returns
    -------
    numpy.ndarray of shape (N, K, P)
        Entry [n, k, i] is d y_hat_k / d parameter_i of sample n, in the layout of `flatten`.

    Examples
    --------
    >>> parameter_jacobian([([[2.0]], [1.0], "identity")], [[3.0]])
    array([[[3., 1.]]])
    """
    rows = np.asarray(x, dtype=np.float64)
    units = np.eye(len(np.asarray(layers[-1][0])))
    samples = [[vjp(layers, row[np.newaxis], [unit]).flat for unit in units] for row in rows]
    return np.asarray(samples)


def sobolev_value_and_grad(
    layers: Layers,
    x: ArrayLike,
    y: ArrayLike,
    loss: str,
    dy_dx: ArrayLike,
    dy_dx_weight: float = 1.0,
    reduction: str = "mean",
    sample_weight: ArrayLike | None = None,
    **parameters: Any,
) -> tuple[float, Gradients]:
    """Loss of the outputs and of their derivatives in the inputs, and all its gradients.

    Parameters
    ----------
    layers, x, y, loss
        As for `value_and_grad`.
    dy_dx : array_like of shape (N, K, D)
        What the Jacobian should become.
    dy_dx_weight : float, default 1
        Factor of the second term of the loss.
    reduction, sample_weight, **parameters
        As for `value_and_grad`.

    Returns
    -------
    value : float
        The loss plus `dy_dx_weight` times the mean squared error of the Jacobian, K D numbers a
        sample, with the same reduction.
    gradients : Gradients
        As of `value_and_grad`, of both terms.

    Notes
    -----
    The columns dz/dx go forward beside the values, and the chain rule goes back through both: where
    columns meet an activation, a' = f'(z) z' depends on z' and, by f''(z), on z itself.

    Examples
    --------
    >>> net = [([[2.0]], None, "identity")]
    >>> value, gradients = sobolev_value_and_grad(net, [[3.0]], [[6.0]], "mse", [[[5.0]]])
    >>> value, gradients.weights[0]
    (9.0, array([[-6.]]))
    """
    steps = trace(layers, x)
    n_samples, n_inputs = steps[0].input.shape
    # Columns (N, width, D): of each layer's input and of its pre-activation.
    inputs = [np.broadcast_to(np.eye(n_inputs), (n_samples, n_inputs, n_inputs))]
    pre_activations = []
    for step in steps:
        pre_activations.append(step.layer.weight @ inputs[-1])
        inputs.append(_times_derivative_columns(step, pre_activations[-1]))

    flat = (n_samples, -1)
    distance = (inputs[-1].reshape(flat), np.reshape(dy_dx, flat), sample_weight, reduction)
    distance_value = loss_value("mse", *distance)
    g_columns = dy_dx_weight * loss_gradient("mse", *distance).reshape(inputs[-1].shape)

    value, gradients = value_and_grad(
        layers, x, y, loss, reduction, sample_weight=sample_weight, **parameters
    )
    g = np.zeros_like(steps[-1].output)  # what the columns give back to the values
    for i in reversed(range(len(steps))):
        step = steps[i]
        bent = [
            _derivative_tangent(step, pre_activations[i][:, :, d], g_columns[:, :, d])
            for d in range(n_inputs)
        ]
        dz = step.times_derivative(g) + np.sum(bent, axis=0)
        dz_columns = _times_derivative_columns(step, g_columns)
        gradients.pre_activations[i] += dz
        gradients.weights[i] += dz.T @ step.input
        gradients.weights[i] += np.einsum("nkd,njd->kj", dz_columns, inputs[i])
        bias = gradients.biases[i]
        if bias is not None:
            bias += dz.sum(axis=0)
        g = dz @ step.layer.weight
        g_columns = step.layer.weight.T @ dz_columns
        gradients.layer_inputs[i] += g
    return value + dy_dx_weight * distance_value, gradients


def per_sample_gradients(
    layers: Layers,
    x: ArrayLike,
    y: ArrayLike,
    loss: str,
    reduction: str = "mean",
    **parameters: Any,
) -> Array:
    """Gradient of each sample's loss as a batch of one.

    Parameters
    ----------
    layers, x, y, loss, reduction, **parameters
        As for `value_and_grad`.

    Returns
    -------
    numpy.ndarray of shape (N, P)
        A row for each sample, in the layout of `flatten`.

    Examples
    --------
    >>> per_sample_gradients([([[2.0]], None, "identity")], [[1.0], [2.0]], [[0.0], [0.0]], "mse")
    array([[ 4.],
           [16.]])
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    rows = np.zeros((len(x), len(flatten(layers))))
    for i in range(len(x)):
        one = slice(i, i + 1)
        rows[i] = value_and_grad(layers, x[one], y[one], loss, reduction, **parameters)[1].flat
    return rows


def _cut_like(steps: list[LayerTrace], vector: ArrayLike) -> list[tuple[Array, Array | None, str]]:
    """Cut a vector (P,) in the shapes of the net's parameters."""
    sizes = [steps[0].input.shape[1], *(step.output.shape[1] for step in steps)]
    has_bias = steps[0].layer.bias is not None
    return list(layers_from_flat(vector, sizes, ["identity"] * len(steps), has_bias))


def _pre_activation_tangent(
    step: LayerTrace, dinput: Array, dweight: Array, dbias: Array | None
) -> Array:
    # The product rule on z = input weight^T + bias.
    dz = dinput @ step.layer.weight.T + step.input @ dweight.T
    return dz if dbias is None else dz + dbias


def _times_derivative_columns(step: LayerTrace, columns: Array) -> Array:
    """Multiply df/dz with `columns` (N, K, any number)."""
    if step.layer.activation == "softmax":
        return step.activation_derivative @ columns
    return step.activation_derivative[:, :, None] * columns


def _derivative_tangent(step: LayerTrace, dz: Array, vectors: Array) -> Array:
    """Multiply the change of df/dz along dz with `vectors` (N, K)."""
    curvature = activation_second_derivative(step.layer.activation, step.pre_activation)
    if step.layer.activation == "softmax":
        return np.asarray(np.einsum("nijk,ni,nk->nj", curvature, vectors, dz))
    return curvature * dz * vectors
