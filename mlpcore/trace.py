# SPDX-License-Identifier: BSD-3-Clause
"""The intermediates of a forward pass, and the gradients that a backward pass makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._checks import received
from ._core import GradientArrays, default_n_threads
from ._validation import as_flat, as_network, as_rows
from .topology import layer_views

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array, Dropout
    from .mlp import MLP


class Records(NamedTuple):
    """What a forward pass leaves behind, as the core takes it: always as a batch."""

    parameters: Array  # (P,)
    x: Array  # (N, D)
    pre_activations: list[Array]  # of each layer, (N, n_outputs)
    outputs: list[Array]
    activation_derivatives: list[Any]  # None for softmax, which has no elementwise one


class LayerTrace:
    """What one layer of a `Trace` computed.

    Attributes
    ----------
    input : numpy.ndarray of shape (N, n_inputs)
        Input of the layer: the output of the one before, or the net's.
    pre_activation : numpy.ndarray of shape (N, n_outputs)
        ``input @ weight.T + bias``.
    output : numpy.ndarray of shape (N, n_outputs)
        ``activation(pre_activation)``.
    activation_derivative : numpy.ndarray of shape (N, n_outputs), or (N, n_outputs, n_outputs)
        d output / d pre_activation: elementwise, it is the diagonal; softmax's is whole.

    Notes
    -----
    For a single sample the first axis falls away. The arrays are read-only.

    Examples
    --------
    >>> import mlpcore
    >>> layer = mlpcore.MLP([2, 3, 1], "relu", seed=0).trace([0.5, -1.0]).layers[0]
    >>> bool((layer.activation_derivative == (layer.pre_activation > 0)).all())
    True
    """

    __slots__ = ("_activation_derivative", "input", "output", "pre_activation")

    def __init__(
        self,
        input: Array,
        pre_activation: Array,
        output: Array,
        activation_derivative: Array | None,
    ) -> None:
        self.input = input
        self.pre_activation = pre_activation
        self.output = output
        self._activation_derivative = activation_derivative

    @property
    def activation_derivative(self) -> Array:
        """d output / d pre_activation."""
        if self._activation_derivative is None:
            self._activation_derivative = _softmax_jacobian(self.output)
        return self._activation_derivative

    def __repr__(self) -> str:
        return f"LayerTrace(input {self.input.shape}, output {self.output.shape})"


class Trace:
    """A forward pass with every intermediate; `MLP.trace` makes it.

    Attributes
    ----------
    net : MLP
        The net that made it.
    parameters : numpy.ndarray of shape (P,)
        A copy of the net's parameters at the time: what the gradients belong to.
    input : numpy.ndarray of shape (N, D)
        A copy of the samples.
    output : numpy.ndarray of shape (N, K)
        The net's output.
    layers : tuple of LayerTrace
        ``.input``, ``.pre_activation``, ``.output`` and ``.activation_derivative`` of each layer.
    single : bool
        Whether the input was one sample (D,); the first axis of all arrays falls away then.
    n_samples : int
        Number of samples, N.
    records : Records
        The same arrays as the core takes them, always as a batch: ``.parameters``, ``.x``, and of
        each layer ``.pre_activations``, ``.outputs`` and ``.activation_derivatives``.

    Notes
    -----
    The arrays are read-only and belong to the trace: neither an update of the net nor a change of
    the caller's input makes it wrong.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 3, 3], activations=["relu", "softmax"], seed=0)
    >>> trace = net.trace([0.5, -1.0])
    >>> trace.output.shape, trace.layers[1].input.shape
    ((3,), (3,))
    >>> trace.layers[0].activation_derivative.shape, trace.layers[1].activation_derivative.shape
    ((3,), (3, 3))
    """

    __slots__ = ("layers", "net", "parameters", "records", "single")

    def __init__(self, net: MLP, records: Records, single: bool) -> None:
        parameters, rows, pre_activations, outputs, activation_derivatives = records
        for array in (parameters, rows, *pre_activations, *outputs, *activation_derivatives):
            if array is not None:
                array.flags.writeable = False
        self.net = net
        self.parameters = parameters
        self.records = records
        self.single = single
        inputs = [rows, *outputs[:-1]]
        self.layers = tuple(
            LayerTrace(*(self._shown(array) for array in arrays))
            for arrays in zip(inputs, pre_activations, outputs, activation_derivatives, strict=True)
        )

    @property
    def input(self) -> Array:
        """The samples, (N, D)."""
        return self.layers[0].input

    @property
    def output(self) -> Array:
        """The net's output, (N, K)."""
        return self.layers[-1].output

    @property
    def n_samples(self) -> int:
        """Number of samples, N."""
        return int(self.records.x.shape[0])

    def _shown(self, array: Any) -> Any:
        return array[0] if self.single and array is not None else array

    def __reduce__(self) -> tuple[Any, ...]:
        return _retraced, (self.net, self.parameters, self.input)

    def __repr__(self) -> str:
        return f"Trace(n_samples={self.n_samples}, net={self.net!r})"


class Gradients(GradientArrays):
    """Gradients of a loss, of the shapes of what they are gradients of.

    Attributes
    ----------
    flat : numpy.ndarray of shape (P,)
        dl/dparameters, in the layout of ``net.parameters``.
    weights : tuple of numpy.ndarray
        dl/dweight of each layer, (n_outputs, n_inputs): views of `flat`.
    biases : tuple of numpy.ndarray or None
        dl/dbias of each layer, (n_outputs,): views of `flat`; None without biases.
    inputs : numpy.ndarray of shape (N, D), or (D,) for one sample
        dl/dx.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 3, 1], seed=0)
    >>> gradients = net.backward(net.trace([[0.5, -1.0]]), "mse", [[1.0]])
    >>> gradients.flat.shape, gradients.weights[0].shape, gradients.inputs.shape
    ((13,), (3, 2), (1, 2))
    """

    __slots__ = ()

    @property
    def weights(self) -> tuple[Array, ...]:
        """dl/dweight of each layer, (n_outputs, n_inputs): views of `flat`."""
        return self._layer_views()[0]

    @property
    def biases(self) -> tuple[Array | None, ...]:
        """dl/dbias of each layer, (n_outputs,): views of `flat`; None without biases."""
        return self._layer_views()[1]

    def _layer_views(self) -> tuple[tuple[Array, ...], tuple[Array | None, ...]]:
        # Made when asked for: an optimizer needs the flat vector alone.
        # And anew after ``gradients.flat = clipped``.
        if self._views is None or self._views[0] is not self.flat:
            self._views = self.flat, *layer_views(self.flat, self._sizes, self._has_bias)
        return self._views[1:]

    def __reduce__(self) -> tuple[Any, ...]:
        return _emptied, (type(self),), self.__getstate__()

    def __getstate__(self) -> tuple[Any, ...]:
        return self.flat, self.inputs, self._sizes, self._has_bias

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.flat, self.inputs, self._sizes, self._has_bias = state
        self._views = None  # a copied view would no longer be one

    def __repr__(self) -> str:
        return f"Gradients(flat {self.flat.shape}, inputs {self.inputs.shape})"


def _emptied(cls: type[Gradients]) -> Gradients:
    """Gradients before their state is set, for copies and pickles."""
    return cls.__new__(cls)


def as_trace(net: MLP, trace: Any) -> Trace:
    """Return `trace`, which has to be one of a net of the same topology."""
    if not isinstance(trace, Trace):
        raise TypeError(f"trace: expected a Trace such as net.trace(x), got {received(trace)}")
    if trace.net is not net and trace.net._topology() != net._topology():
        raise ValueError(f"trace: expected one of a net like {net!r}, got one of {trace.net!r}")
    return trace


def as_gradients(net: MLP, gradients: Any) -> Array:
    """Return the flat vector (P,) of `Gradients` of such a net, or of an array."""
    if not isinstance(gradients, Gradients):
        return as_flat(net, gradients, "gradients")
    # Nets of other sizes may have as many parameters.
    if (gradients._sizes, gradients._has_bias) != (net.sizes, net.has_bias):
        bias = "with" if gradients._has_bias else "without"
        raise ValueError(
            f"gradients: expected those of a net like {net!r}, got those of a net of sizes "
            f"{list(gradients._sizes)} {bias} biases"
        )
    return as_flat(net, gradients.flat, "gradients")


def trace(net: MLP, x: ArrayLike) -> Trace:
    """Forward pass that keeps every intermediate; see `MLP.trace`."""
    rows, single = as_rows(net, x)
    rows = rows.copy()  # the caller may go on and change x
    return Trace(net, forward_records(net, rows, default_n_threads()), single)


def forward_records(
    net: MLP, rows: Array, n_threads: int, dropout: Dropout | None = None, step: int = 0
) -> Records:
    """What a forward pass of a batch leaves behind; `rows` is kept as it is.

    With `dropout`, outputs and activation derivatives are those of the training step `step`.
    """
    shapes = [(rows.shape[0], n_outputs) for n_outputs in net.sizes[1:]]
    pre_activations = [np.empty(shape, net.dtype) for shape in shapes]
    outputs = [np.empty(shape, net.dtype) for shape in shapes]
    activation_derivatives: list[Any] = [
        None if activation == "softmax" else np.empty(shape, net.dtype)
        for activation, shape in zip(net.activations, shapes, strict=True)
    ]
    records = Records(net.parameters.copy(), rows, pre_activations, outputs, activation_derivatives)
    net._forward_records(*records, n_threads, dropout, step)
    return records


def _retraced(net: MLP, parameters: Array, x: Array) -> Trace:
    """A trace made anew, for copies and pickles: the same bits, and nothing to be trusted."""
    at_the_time = as_network(net).copy()
    at_the_time.parameters[:] = as_flat(net, parameters, "parameters")
    made = trace(at_the_time, x)
    made.net = net
    return made


def _softmax_jacobian(output: Array) -> Array:
    """d output_j / d pre_activation_k = output_j ((j = k) - output_k), (..., K, K)."""
    jacobian = -output[..., :, np.newaxis] * output[..., np.newaxis, :]
    diagonal = np.arange(output.shape[-1])
    # Rows sum to 0. So found, the diagonal does not vanish where an output has rounded to 1; and
    # that of a NaN, which may be the only output, is one.
    jacobian[..., diagonal, diagonal] = 0.0 * output
    jacobian[..., diagonal, diagonal] = -jacobian.sum(axis=-1)
    jacobian.flags.writeable = False
    return jacobian
