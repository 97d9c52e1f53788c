# SPDX-License-Identifier: BSD-3-Clause
"""The multilayer perceptron: forward, backward, and every factor of the chain rule.

A net is a list of layers (weight, bias, activation); samples are rows, weights are (n_outputs,
n_inputs).  For two layers f and g, in the numbering of `chain`:

    forward     z1 = x W1^T + b1     z2 = f(z1)     z3 = z2 W2^T + b2     y_hat = g(z3)

    backward    dl/dz3 = dl/dy_hat * g'(z3)     dl/dW2 = (dl/dz3)^T z2     dl/db2 = sum(dl/dz3)
                dl/dz2 = dl/dz3 W2
                dl/dz1 = dl/dz2 * f'(z1)        dl/dW1 = (dl/dz1)^T x      dl/db1 = sum(dl/dz1)
                dl/dx  = dl/dz1 W1

where * is the product entry by entry and the sum runs over the samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .activations import Array, activation, activation_derivative
from .losses import loss_gradient, loss_value


class Layer(NamedTuple):
    """One layer: output = activation(input weight^T + bias).

    Attributes
    ----------
    weight : numpy.ndarray of shape (n_outputs, n_inputs)
        How much of each input goes into each output.
    bias : numpy.ndarray of shape (n_outputs,), or None
        None in all layers of a net or in none.
    activation : str
        A name of `activation`.

    Examples
    --------
    >>> Layer(np.array([[2.0]]), np.array([1.0]), "relu").activation
    'relu'
    """

    weight: Array
    bias: Array | None
    activation: str


# What the functions below take: `Layer`, or plain (weight, bias, activation) of any array-likes.
Layers = Sequence[tuple[ArrayLike, ArrayLike | None, str]]


class LayerTrace(NamedTuple):
    """What one layer computed from a batch, and the parameters it did it with.

    Attributes
    ----------
    layer : Layer
        Its parameters.
    input : numpy.ndarray of shape (N, n_inputs)
        The net's, or the output of the layer before.
    pre_activation : numpy.ndarray of shape (N, n_outputs)
        The linear map's output, z.
    output : numpy.ndarray of shape (N, n_outputs)
        The activation's, f(z).
    activation_derivative : numpy.ndarray of shape (N, n_outputs)
        The derivative f'(z); for softmax the Jacobian (N, n_outputs, n_outputs).

    Examples
    --------
    >>> (step,) = trace([([[2.0]], [1.0], "relu")], [[3.0]])
    >>> step.pre_activation, step.activation_derivative
    (array([[7.]]), array([[1.]]))
    """

    layer: Layer
    input: Array
    pre_activation: Array
    output: Array
    activation_derivative: Array

    def times_derivative(self, vectors: Array) -> Array:
        """Multiply vectors with the symmetric d output / d pre_activation.

        Parameters
        ----------
        vectors : numpy.ndarray of shape (N, n_outputs)
            One for each sample.

        Returns
        -------
        numpy.ndarray of shape (N, n_outputs)
            The products.

        Examples
        --------
        >>> (step,) = trace([([[2.0]], [1.0], "relu")], [[-3.0]])
        >>> step.times_derivative(np.array([[10.0]]))
        array([[0.]])
        """
        if self.layer.activation == "softmax":
            return np.asarray(np.einsum("nij,nj->ni", self.activation_derivative, vectors))
        return self.activation_derivative * vectors


@dataclass
class Gradients:
    """Derivatives of a loss, layer by layer.

    Attributes
    ----------
    weights : list of numpy.ndarray
        dl/dW of each layer, of the shape of its weight.
    biases : list of numpy.ndarray or None
        dl/db of each layer; None where the layer has no bias.
    pre_activations : list of numpy.ndarray
        dl/dz before each layer's activation, (N, n_outputs).
    layer_inputs : list of numpy.ndarray
        dl/d input of each layer, (N, n_inputs).
    inputs : numpy.ndarray of shape (N, D)
        dl/dx, that of the first layer.
    flat : numpy.ndarray of shape (P,)
        The weights' and biases' gradients as one vector, in the layout of `flatten`.

    Examples
    --------
    >>> _, gradients = value_and_grad([([[2.0]], [1.0], "identity")], [[3.0]], [[5.0]], "mse")
    >>> gradients.flat, gradients.inputs
    (array([12.,  4.]), array([[8.]]))
    """

    weights: list[Array]
    biases: list[Array | None]
    pre_activations: list[Array]
    layer_inputs: list[Array]

    @property
    def inputs(self) -> Array:
        """dl/dx, (N, D)."""
        return self.layer_inputs[0]

    @property
    def flat(self) -> Array:
        """The weights' and biases' gradients as one vector (P,), in the layout of `flatten`."""
        pairs = zip(self.weights, self.biases, strict=True)
        return flatten([(weight, bias, "identity") for weight, bias in pairs])


def layers_from_flat(
    flat: ArrayLike, sizes: Sequence[int], activations: Sequence[str], bias: bool = True
) -> list[Layer]:
    """Cut a flat parameter vector into layers.

    Parameters
    ----------
    flat : array_like of shape (P,)
        Layer after layer: the weight's transpose (n_inputs, n_outputs) row by row, then the bias
        (n_outputs,).
    sizes : sequence of int
        Layer sizes (D, ..., K).
    activations : sequence of str
        One name per layer.
    bias : bool
        Whether the layers have a bias.

    Returns
    -------
    list of Layer
        One for each activation.

    Raises
    ------
    ValueError
        If the lengths of `flat`, `sizes` and `activations` do not fit each other.

    Examples
    --------
    >>> (layer,) = layers_from_flat([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 2], ["relu"])
    >>> layer.weight
    array([[1., 3.],
           [2., 4.]])
    >>> layer.bias
    array([5., 6.])
    """
    flat = np.asarray(flat, dtype=np.float64)
    pairs = list(pairwise(sizes))
    n_parameters = sum((n_inputs + bias) * n_outputs for n_inputs, n_outputs in pairs)
    if flat.shape != (n_parameters,):
        raise ValueError(f"flat must have the shape ({n_parameters},); got {flat.shape}")
    layers = []
    start = 0
    for (n_inputs, n_outputs), name in zip(pairs, activations, strict=True):
        middle = start + n_inputs * n_outputs
        stop = middle + bias * n_outputs
        weight = flat[start:middle].reshape(n_inputs, n_outputs).T
        layers.append(Layer(weight, flat[middle:stop] if bias else None, name))
        start = stop
    return layers


def flatten(layers: Layers) -> Array:
    """Join the parameters of a net in one vector, as `layers_from_flat` takes it.

    Parameters
    ----------
    layers
        As for `trace`.

    Returns
    -------
    numpy.ndarray of shape (P,)
        Layer after layer: the weight's transpose row by row, then the bias.

    Examples
    --------
    >>> flatten([Layer(np.array([[1.0, 3.0], [2.0, 4.0]]), np.array([5.0, 6.0]), "relu")])
    array([1., 2., 3., 4., 5., 6.])
    """
    pieces = []
    for weight, bias, _ in layers:
        pieces.append(np.asarray(weight, dtype=np.float64).T.ravel())
        if bias is not None:
            pieces.append(np.asarray(bias, dtype=np.float64))
    return np.concatenate(pieces)


def trace(layers: Layers, x: ArrayLike, masks: Sequence[Array] | None = None) -> list[LayerTrace]:
    """Forward pass that keeps every intermediate.

    Parameters
    ----------
    layers : sequence of (weight, bias, activation)
        The net; `Layer` or plain tuples.
    x : array_like of shape (N, D)
        Samples as rows.
    masks : sequence of numpy.ndarray, optional
        Dropout: what the outputs of each hidden layer are multiplied with, see `dropout_mask`.

    Returns
    -------
    list of LayerTrace
        One per layer; the last one's ``output`` is y_hat (N, K).

    Raises
    ------
    ValueError
        If `x` does not have two dimensions.

    Examples
    --------
    >>> steps = trace([(np.array([[2.0]]), np.array([1.0]), "relu")], [[-3.0], [3.0]])
    >>> steps[-1].pre_activation.ravel(), steps[-1].output.ravel()
    (array([-5.,  7.]), array([0., 7.]))
    """
    value = np.asarray(x, dtype=np.float64)
    if value.ndim != 2:
        raise ValueError(f"x must have the shape (N, D); got {value.shape}")
    steps = []
    for i, (weight, bias, name) in enumerate(layers):
        w = np.asarray(weight, dtype=np.float64)
        b = None if bias is None else np.asarray(bias, dtype=np.float64)
        z = value @ w.T
        if b is not None:
            z = z + b
        output = activation(name, z)
        derivative = activation_derivative(name, z)
        if masks is not None and i + 1 < len(layers):
            output, derivative = masks[i] * output, masks[i] * derivative
        steps.append(LayerTrace(Layer(w, b, name), value, z, output, derivative))
        value = output
    return steps


def forward(layers: Layers, x: ArrayLike) -> Array:
    """Output of the net.

    Parameters
    ----------
    layers, x
        As for `trace`.

    Returns
    -------
    numpy.ndarray of shape (N, K)
        The output y_hat.

    Examples
    --------
    >>> forward([(np.array([[2.0, 1.0]]), None, "identity")], [[1.0, 3.0]])
    array([[5.]])
    """
    return trace(layers, x)[-1].output


def backward(trace: Sequence[LayerTrace], dl_dy_hat: ArrayLike) -> Gradients:
    """Gradients of a loss from its derivative with respect to the output.

    Parameters
    ----------
    trace : sequence of LayerTrace
        What `trace` returned.
    dl_dy_hat : array_like of shape (N, K)
        The loss's derivative, or any other cotangent of the output.

    Returns
    -------
    Gradients
        New arrays.

    Examples
    --------
    >>> steps = trace([(np.array([[2.0]]), np.array([1.0]), "identity")], [[3.0], [4.0]])
    >>> gradients = backward(steps, [[1.0], [1.0]])
    >>> gradients.weights[0], gradients.biases[0], gradients.inputs.ravel()
    (array([[7.]]), array([2.]), array([2., 2.]))
    """
    cotangent = np.asarray(dl_dy_hat, dtype=np.float64)
    return backward_from_pre_activation(trace, trace[-1].times_derivative(cotangent))


def backward_from_pre_activation(trace: Sequence[LayerTrace], dl_dz: Array) -> Gradients:
    """Gradients from dl/dz (N, K) before the last activation: where the fused losses enter."""
    gradients = Gradients([], [], [], [])
    for i in reversed(range(len(trace))):
        step = trace[i]
        gradients.pre_activations.insert(0, dl_dz)
        gradients.weights.insert(0, dl_dz.T @ step.input)
        gradients.biases.insert(0, None if step.layer.bias is None else dl_dz.sum(axis=0))
        dl_dinput = dl_dz @ step.layer.weight
        gradients.layer_inputs.insert(0, dl_dinput)
        if i > 0:
            dl_dz = trace[i - 1].times_derivative(dl_dinput)
    return gradients


class LossView(NamedTuple):
    """Which loss is taken of which array of the last layer, so that nothing over- or underflows.

    bce of a sigmoid output is bce_with_logits of its pre-activation, and cross_entropy of a softmax
    output is cross_entropy from logits; both then give dl/dz at once.  Every other loss sees the
    output.
    """

    name: str
    y_hat: Array
    parameters: dict[str, Any]
    is_fused: bool


def loss_view(last: LayerTrace, loss: str, parameters: dict[str, Any]) -> LossView:
    """Choose the `LossView` of a loss on a net whose last layer is `last`."""
    pair = (last.layer.activation, loss)
    if pair == ("sigmoid", "bce"):
        return LossView("bce_with_logits", last.pre_activation, parameters, True)
    if pair == ("softmax", "cross_entropy"):
        return LossView(loss, last.pre_activation, {**parameters, "from_logits": True}, True)
    return LossView(loss, last.output, parameters, False)


def value_and_grad(
    layers: Layers,
    x: ArrayLike,
    y: ArrayLike,
    loss: str,
    reduction: str = "mean",
    sample_weight: ArrayLike | None = None,
    masks: Sequence[Array] | None = None,
    **parameters: Any,
) -> tuple[float, Gradients]:
    """Loss of a batch and all its gradients.

    Parameters
    ----------
    layers, x
        As for `trace`.
    y : array_like of shape (N, K)
        Targets; for cross_entropy also integer classes (N,).
    loss : str
        Name of a loss, see `loss_value`.
    reduction, sample_weight
        As for `loss_value`.
    masks : sequence of numpy.ndarray, optional
        As for `trace`.
    **parameters
        As for `loss_value`.

    Returns
    -------
    value : float
        The loss.
    gradients : Gradients
        Its derivatives in the parameters, the pre-activations and the inputs.

    Notes
    -----
    bce after a sigmoid output and cross_entropy after a softmax output are computed from the
    pre-activation; cross_entropy after any other output takes it as logits, unless told otherwise.

    Examples
    --------
    >>> value, gradients = value_and_grad([([[2.0]], [1.0], "identity")], [[3.0]], [[5.0]], "mse")
    >>> value, gradients.weights[0], gradients.biases[0]
    (4.0, array([[12.]]), array([4.]))
    """
    steps = trace(layers, x, masks)
    view = loss_view(steps[-1], loss, parameters)
    arguments = (view.name, view.y_hat, y, sample_weight, reduction)
    value = loss_value(*arguments, **view.parameters)
    gradient = loss_gradient(*arguments, **view.parameters)
    if view.is_fused:
        return value, backward_from_pre_activation(steps, gradient)
    return value, backward(steps, gradient)
