# SPDX-License-Identifier: BSD-3-Clause
"""The chain rule with every factor named: what a student writes down, as numbers.

Layer `i` (1 ... L) has z(2i-1) before and z(2i) after its activation; the last, z(2L), is y_hat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import default_n_threads
from ._validation import as_targets, converted, real_array
from .losses import CallableLoss, Loss, as_loss
from .target_gradient import target_gradient
from .topology import layer_views
from .trace import Trace, trace

if TYPE_CHECKING:
    from .mlp import MLP, LossLike

Array = NDArray[Any]


def layer_names(n_layers: int) -> list[tuple[str, str, str]]:
    """Names of each layer's input, pre-activation and output.

    Examples
    --------
    >>> layer_names(2)
    [('x', 'z1', 'z2'), ('z2', 'z3', 'y_hat')]
    """
    names = ["x", *(f"z{j}" for j in range(1, 2 * n_layers)), "y_hat"]
    return [(names[2 * i], names[2 * i + 1], names[2 * i + 2]) for i in range(n_layers)]


class _Rule(NamedTuple):
    """How the array a of a local derivative acts: subscripts for `numpy.einsum`.

    n: the sample; i: an entry of the numerator; j: one of the denominator, or of the layer's input.
    """

    vjp: str  # a and a cotangent
    jvp: str  # a and a tangent
    jacobian: str | None  # a and the identity of the numerator's width; None: a itself


_DIAGONAL = _Rule("ni,ni->ni", "ni,ni->ni", "ni,ij->nij")
_PER_SAMPLE = _Rule("nij,ni->nj", "nij,nj->ni", None)
_WEIGHT = _Rule("ij,ni->nj", "ij,nj->ni", None)
_BY_WEIGHT = _Rule("nj,ni->ij", "nj,ij->ni", "nj,ik->nikj")
_BY_BIAS = _Rule("n,ni->i", "n,i->ni", "n,ij->nij")


class _Factor(NamedTuple):
    """A local derivative, for a batch."""

    rule: _Rule
    array: Array
    numerator: tuple[int, ...]  # shape, of all samples
    denominator: tuple[int, ...]  # the same, or that of a parameter

    @property
    def is_by_parameter(self) -> bool:
        return self.rule in (_BY_WEIGHT, _BY_BIAS)


class Chain(Mapping[str, Any]):
    """Every quantity and every derivative of the chain rule, by name; `MLP.chain` makes it.

    A mapping. For a net with two layers its keys are

    - the values ``x z1 z2 z3 y_hat l``;
    - the local derivatives ``dl/dy_hat dy_hat/dz3 dz3/dz2 dz2/dz1 dz1/dx``;
    - the accumulated ones ``dl/dz3 dl/dz2 dl/dz1 dl/dx``;
    - the parameters' gradients ``dl/dW2 dl/db2 dl/dW1 dl/db1``;
    - the derivative with respect to the target, ``dl/dy``, where the loss has one;

    and a deeper net's go on in the same way: layer `i` has z(2i-1) before and z(2i) after its
    activation, and the last, z(2L), is ``y_hat``. Without biases there is no ``dl/db``.

    Values and derivatives of l are rows (N, width). The local derivative of an elementwise
    activation is the diagonal (N, width) of its Jacobian; softmax's, which is not diagonal, is
    (N, K, K); that of a linear map is its weight. For a single sample the first axis N falls away.
    The arrays are read-only, and those of the parameters at the time of the call. Two chains are
    equal only if they are the same object.

    Notes
    -----
    Where sigmoid and bce, or softmax and cross_entropy, meet, dl/dz of the last layer is computed
    from the pre-activation at once. ``dl/dy_hat`` and the activation's derivative are what they are
    on their own; their product is the same up to rounding, unless an output has rounded to 0 or 1.

    ``dl/dy`` is the derivative with respect to the target, not to the prediction: of the mean
    squared error ``-2 (y_hat - y) / (N K)``, of bce ``-log(y_hat / (1 - y_hat)) / (N K)``. It is
    missing where the target is class indices, and for a callable loss.

    Examples
    --------
    The two-layer net ``y_hat = W2 relu(W1 x + b1) + b2`` with the squared norm of the error as
    loss, one sample:

    >>> import numpy as np
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 3, 1], dtype="float64", seed=0)
    >>> chain = net.chain([0.5, -1.0], [2.0], mlpcore.losses.MSE("sum"))
    >>> np.allclose(chain["dl/dy_hat"], 2 * (chain["y_hat"] - 2.0))
    True
    >>> delta = chain["dl/dy_hat"] @ chain.jacobian("dy_hat/dz3") @ chain.jacobian("dz3/dz2")
    >>> np.allclose(delta @ chain.jacobian("dz2/dz1"), chain["dl/dz1"])
    True
    >>> np.allclose(np.outer(chain["dl/dz1"], chain["x"]), chain["dl/dW1"])
    True
    """

    __slots__ = ("_factors", "_single", "_values")

    def __init__(self, values: dict[str, Any], factors: dict[str, _Factor], single: bool) -> None:
        self._values = values
        self._factors = factors
        self._single = single

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            raise _no_such(key, self._values)
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    # As a mapping it would compare its arrays, whose truth is ambiguous.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"Chain({', '.join(self)})"

    def jacobian(self, key: str) -> Array:
        """A derivative as a whole matrix for each sample.

        Parameters
        ----------
        key : str
            A local derivative, or any derivative of l by a quantity that each sample has.
            ``dz1/dW1`` and ``dz1/db1`` (and so on) are derivatives too, by the parameters.

        Returns
        -------
        numpy.ndarray of shape (N, n_numerator, n_denominator)
            Entry [n, i, j] is d numerator_i / d denominator_j of sample n; for a single sample the
            first axis falls away. Derivatives of l have one row. ``dz1/dW1`` is
            (N, n_outputs, n_outputs, n_inputs), which is for small nets: `vjp` and `jvp` apply it
            without making it.

        Raises
        ------
        KeyError
            If there is no such derivative.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> chain = net.chain([[0.5, -1.0]], [[2.0]], "mse")
        >>> chain["dz2/dz1"].shape, chain.jacobian("dz2/dz1").shape
        ((1, 3), (1, 3, 3))
        >>> chain.jacobian("dl/dx").shape, chain.jacobian("dz1/dW1").shape
        ((1, 1, 2), (1, 3, 3, 2))
        """
        rows = [name for name in self if name.startswith("dl/d") and name[4] not in "Wb"]
        if key in rows:
            return np.expand_dims(self._values[key], -2)
        factor = self._factor(key, rows)
        whole: Array = factor.array
        if factor.rule.jacobian is not None:
            identity = np.eye(factor.numerator[1], dtype=whole.dtype)
            whole = np.einsum(factor.rule.jacobian, whole, identity)
        elif factor.rule == _WEIGHT:
            whole = np.broadcast_to(whole, (factor.numerator[0], *whole.shape))
        return whole[0] if self._single else whole

    def vjp(self, key: str, cotangent: ArrayLike) -> Array:
        """A row times a local derivative: the step of the backward pass.

        Parameters
        ----------
        key : str
            A local derivative: ``dy_hat/dz3``, ``dz3/dz2``, ``dz3/dW2``, ``dz3/db2`` and so on.
        cotangent : array_like of shape (N, n_numerator), or (n_numerator,) for a single sample
            The row dl / d numerator, or any other.

        Returns
        -------
        numpy.ndarray of shape (N, n_denominator), or of the parameter's shape
            The row dl / d denominator; of a parameter the sum over the samples.

        Raises
        ------
        KeyError
            If there is no such local derivative.
        ValueError, TypeError
            If the cotangent has another shape, or does not hold real numbers.

        Examples
        --------
        The derivative by the weight, delta^T x^T, without the three indices of dz1/dW1:

        >>> import numpy as np
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> chain = net.chain([[0.5, -1.0]], [[2.0]], "mse")
        >>> np.allclose(chain.vjp("dz1/dW1", chain["dl/dz1"]), chain["dl/dW1"])
        True
        """
        factor = self._factor(key)
        rows = self._checked(cotangent, "cotangent", factor.numerator, self._single)
        result: Array = np.einsum(factor.rule.vjp, factor.array, rows)
        return result[0] if self._single and not factor.is_by_parameter else result

    def jvp(self, key: str, tangent: ArrayLike) -> Array:
        """A local derivative times a change of its denominator: the step of the forward mode.

        Parameters
        ----------
        key : str
            As for `vjp`.
        tangent : array_like of shape (N, n_denominator), or of the parameter's shape
            The change of the denominator; (n_denominator,) for a single sample.

        Returns
        -------
        numpy.ndarray of shape (N, n_numerator), or (n_numerator,) for a single sample
            The change of the numerator.

        Raises
        ------
        KeyError, ValueError, TypeError
            As `vjp`.

        Examples
        --------
        >>> import numpy as np
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> chain = net.chain([[0.5, -1.0]], [[2.0]], "mse")
        >>> change = np.ones((3, 2))  # of W1
        >>> np.allclose(chain.jvp("dz1/dW1", change), chain["x"] @ change.T)
        True
        """
        factor = self._factor(key)
        single = self._single and not factor.is_by_parameter
        change = self._checked(tangent, "tangent", factor.denominator, single)
        result: Array = np.einsum(factor.rule.jvp, factor.array, change)
        return result[0] if self._single else result

    def _factor(self, key: str, also: Iterable[str] = ()) -> _Factor:
        if key not in self._factors:
            raise _no_such(key, [*also, *self._factors])
        return self._factors[key]

    def _checked(self, value: ArrayLike, name: str, shape: tuple[int, ...], single: bool) -> Array:
        array = real_array(value, name)
        expected = shape[1:] if single else shape
        if array.shape != expected:
            raise ValueError(f"{name}: expected shape {expected}, got {array.shape}")
        return converted(array.reshape(shape), self["y_hat"].dtype, name)


def _no_such(key: object, expected: Iterable[str]) -> KeyError:
    return KeyError(
        f"key: expected one of {', '.join(expected)}, got {key!r}. chain[key] is a value or a "
        "derivative as it is kept; chain.jacobian(key) makes a derivative whole, also one by a "
        "parameter such as dz1/dW1; chain.vjp and chain.jvp apply a local one"
    )


def chain(net: MLP, x: ArrayLike, y: ArrayLike, loss: LossLike) -> Chain:
    """Every quantity and every derivative of the chain rule, by name; see `MLP.chain`."""
    checked_loss = as_loss(net, loss)
    steps = trace(net, x)
    target = as_targets(net, y, steps.n_samples, checked_loss, steps.single)
    done = _backward(net, steps, checked_loss, target)
    factors = _factors(net, steps)
    names = layer_names(len(net.activations))

    # Whole batches in the order of the keys; those of `shared` have no axis of samples.
    records = steps.records
    values: dict[str, Any] = {"x": records.x}
    for i, (_, z, after) in enumerate(names):
        values |= {z: records.pre_activations[i], after: records.outputs[i]}
    values |= {"l": done.value, "dl/dy_hat": done.dl_dy_hat}
    values |= {key: factor.array for key, factor in factors.items() if not factor.is_by_parameter}
    shared = {"l"} | {key for key, factor in factors.items() if factor.rule == _WEIGHT}
    for i, (before, z, _) in reversed(list(enumerate(names))):
        values[f"dl/d{z}"] = done.grad_pre_activations[i]
        values[f"dl/d{before}"] = done.grad_outputs[i - 1] if i > 0 else done.grad_x
    weights, biases = layer_views(done.flat, net.sizes, net.has_bias)
    for i in reversed(range(len(weights))):
        for key, gradient in ((f"dl/dW{i + 1}", weights[i]), (f"dl/db{i + 1}", biases[i])):
            if gradient is not None:  # a net may have no biases
                values[key] = gradient
                shared.add(key)
    dl_dy = target_gradient(net, steps, checked_loss, target, done.dl_dy_hat)
    if dl_dy is not None:
        values["dl/dy"] = dl_dy

    for key, value in values.items():
        if steps.single and key not in shared:
            values[key] = value = value[0]
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return Chain(values, factors, steps.single)


class _Backward(NamedTuple):
    """All that a backward pass computes."""

    value: float
    dl_dy_hat: Array
    flat: Array
    grad_x: Array
    grad_outputs: list[Array]
    grad_pre_activations: list[Array]


def _backward(net: MLP, steps: Trace, loss: Loss | CallableLoss, target: Array) -> _Backward:
    records = steps.records
    outputs = records.outputs
    # On its own, also where the backward pass takes loss and last activation as one step.
    dl_dy_hat = np.empty_like(outputs[-1])
    value = loss._evaluate(outputs[-1], target, None, dl_dy_hat)
    flat = np.empty_like(records.parameters)
    grad_x = np.empty_like(records.x)
    grad_outputs = [np.empty_like(output) for output in outputs]
    grad_pre_activations = [np.empty_like(output) for output in outputs]
    written = (flat, grad_x, grad_outputs, grad_pre_activations)
    n_threads = default_n_threads()
    if isinstance(loss, Loss):
        value = net._backward_records(*records, None, loss, target, None, *written, n_threads)
    else:
        net._backward_records(*records, dl_dy_hat, None, None, None, *written, n_threads)
    return _Backward(value, dl_dy_hat, *written)


def _factors(net: MLP, steps: Trace) -> dict[str, _Factor]:
    """The local derivatives of each layer, the last layer's first."""
    records = steps.records
    weights, _ = layer_views(records.parameters, net.sizes, net.has_bias)
    inputs = [records.x, *records.outputs[:-1]]
    ones = np.ones(steps.n_samples, net.dtype)
    factors: dict[str, _Factor] = {}
    for i, (before, z, after) in reversed(list(enumerate(layer_names(len(weights))))):
        derivative, rule = records.activation_derivatives[i], _DIAGONAL
        if derivative is None:  # softmax
            derivative, rule = steps.layers[i].activation_derivative, _PER_SAMPLE
            derivative = derivative[np.newaxis] if steps.single else derivative
        shape, weight = records.outputs[i].shape, weights[i]
        factors[f"d{after}/d{z}"] = _Factor(rule, derivative, shape, shape)
        factors[f"d{z}/d{before}"] = _Factor(_WEIGHT, weight, shape, inputs[i].shape)
        factors[f"d{z}/dW{i + 1}"] = _Factor(_BY_WEIGHT, inputs[i], shape, weight.shape)
        if net.has_bias:
            factors[f"d{z}/db{i + 1}"] = _Factor(_BY_BIAS, ones, shape, shape[1:])
    return factors
