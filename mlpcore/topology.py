# SPDX-License-Identifier: BSD-3-Clause
"""What a net is, apart from what it does: sizes, activations, flat parameters and their views."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from . import _core
from ._attributes import added_attributes, restore_attributes
from ._checks import as_activations, as_dtype, as_sizes, check_bool, check_choice, check_seed
from ._validation import as_state
from .initializers import INITIALIZERS, initial_weight

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._core import Array

# The array that the core holds; the class below shows it under the same name.
_PARAMETERS = vars(_core.Network)["parameters"]


def layer_views(
    flat: Array, sizes: Sequence[int], has_bias: bool
) -> tuple[tuple[Array, ...], tuple[Array | None, ...]]:
    """Weight (n_outputs, n_inputs) and bias (n_outputs,) of each layer, as views of `flat` (P,).

    In memory the weight lies as (n_inputs, n_outputs), then comes the bias.
    """
    weights: list[Array] = []
    biases: list[Array | None] = []
    start = 0
    for n_inputs, n_outputs in pairwise(sizes):
        end = start + n_inputs * n_outputs
        weights.append(flat[start:end].reshape(n_inputs, n_outputs).T)
        start = end + n_outputs * has_bias
        biases.append(flat[end:start] if has_bias else None)
    return tuple(weights), tuple(biases)


class Topology(_core.Network):
    """Sizes, activations, parameters; copies, comparison and text. `MLP` has its documentation."""

    __slots__ = (
        "__weakref__",
        "_activations",
        "_biases",
        "_dtype",
        "_has_bias",
        "_sizes",
        "_weights",
    )

    def __init__(
        self,
        sizes: Sequence[int],
        activations: str | Sequence[str] = "relu",
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        init: str = "auto",
        bias: bool = True,
    ) -> None:
        checked_sizes = as_sizes(sizes)
        checked_activations = as_activations(activations, len(checked_sizes) - 1)
        checked_dtype = as_dtype(dtype)
        has_bias = check_bool(bias, "bias")
        check_choice(init, "init", INITIALIZERS)
        generator = np.random.Generator(np.random.Philox(check_seed(seed)))
        codes = [_core.ACTIVATIONS[name] for name in checked_activations]
        super().__init__(checked_dtype.name, checked_sizes, codes, has_bias)
        self._sizes = checked_sizes
        self._activations = checked_activations
        self._dtype = checked_dtype
        self._has_bias = has_bias
        self._weights, self._biases = layer_views(self.parameters, checked_sizes, has_bias)
        for weight, activation in zip(self._weights, checked_activations, strict=True):
            n_outputs, n_inputs = weight.shape
            weight[:] = initial_weight(init, activation, n_outputs, n_inputs, generator)

    @property
    def parameters(self) -> Array:
        """All parameters, (P,): live, writable, contiguous, 64-byte aligned."""
        flat: Array = _PARAMETERS.__get__(self)
        # An array can be given another shape in place, by whoever has it; here it stays flat.
        return flat if flat.ndim == 1 else flat.reshape(-1)

    @parameters.setter
    def parameters(self, value: object) -> None:
        if value is self.parameters:  # net.parameters += step: the array is changed already
            return
        raise AttributeError(
            "net.parameters cannot be replaced, since net.weights and net.biases are views of it; "
            "write into it: net.parameters[:] = values"
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Layer sizes, ``(D, ..., K)``."""
        try:
            return self._sizes
        except AttributeError:
            raise self._not_initialised() from None

    @property
    def activations(self) -> tuple[str, ...]:
        """One name per layer."""
        try:
            return self._activations
        except AttributeError:
            raise self._not_initialised() from None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision: ``float32`` or ``float64``."""
        try:
            return self._dtype
        except AttributeError:
            raise self._not_initialised() from None

    @property
    def has_bias(self) -> bool:
        """Whether the layers have biases."""
        try:
            return self._has_bias
        except AttributeError:
            raise self._not_initialised() from None

    @property
    def weights(self) -> tuple[Array, ...]:
        """Weight of each layer, (n_outputs, n_inputs): live views of `parameters`."""
        try:
            return self._weights
        except AttributeError:
            raise self._not_initialised() from None

    @property
    def biases(self) -> tuple[Array | None, ...]:
        """Bias of each layer, (n_outputs,): live views of `parameters`; None without biases."""
        try:
            return self._biases
        except AttributeError:
            raise self._not_initialised() from None

    @property
    def n_parameters(self) -> int:
        """Number of parameters, P."""
        return self.parameters.size

    def copy(self) -> Self:
        """Return a net of the same topology with its own copy of the parameters.

        Returns
        -------
        MLP
            Of the same class; attributes that a subclass added are the same objects.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> other = net.copy()
        >>> other == net
        True
        >>> other.parameters[0] += 1.0
        >>> other == net
        False
        """
        other = _remade(type(self), *self._topology())
        other.__setstate__(self.__getstate__())
        return other

    __copy__ = copy

    def __getstate__(self) -> tuple[Array, Any]:
        return self.parameters, added_attributes(self, Topology.__slots__)

    def __setstate__(self, state: tuple[Array, Any]) -> None:
        parameters, attributes = as_state(self.parameters, state)
        restore_attributes(self, attributes)
        self.parameters[:] = parameters

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), *self._topology()), self.__getstate__()

    def _topology(self) -> tuple[tuple[int, ...], tuple[str, ...], str, bool]:
        return self.sizes, self.activations, self.dtype.name, self.has_bias

    def _not_initialised(self) -> RuntimeError:
        return RuntimeError(
            f"the net is not initialised: {type(self).__name__}.__init__ did not run to its end, "
            "or did not call super().__init__(sizes, ...)"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        if self._topology() != other._topology():
            return False
        bits = f"u{self.dtype.itemsize}"
        return np.array_equal(self.parameters.view(bits), other.parameters.view(bits))

    # Parameters change, so that a net is no key of a dictionary.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        bias = "" if self.has_bias else ", bias=False"
        return (
            f"{type(self).__name__}({list(self.sizes)}, activations={list(self.activations)}, "
            f"dtype={self.dtype.name!r}{bias})"
        )


_Net = TypeVar("_Net", bound=Topology)


def _remade(
    cls: type[_Net], sizes: Sequence[int], activations: Sequence[str], dtype: str, bias: bool
) -> _Net:
    """A net of `cls` with its parameters at zero, for copies and pickles.

    A subclass may have another constructor: only the one above is called, which checks all it is
    given, so that a damaged pickle is an error and no crash.
    """
    net = cls.__new__(cls)
    Topology.__init__(net, sizes, activations, dtype=dtype, init="zeros", bias=bias)
    return net
