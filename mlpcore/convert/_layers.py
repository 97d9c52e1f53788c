# SPDX-License-Identifier: BSD-3-Clause
"""What all conversions share: a net from the arrays of its layers, each checked by its name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from .._checks import received
from ..topology import Topology, _remade

if TYPE_CHECKING:
    from .._core import Array

Net = TypeVar("Net", bound=Topology)


class Dense(NamedTuple):
    """One layer as it was found elsewhere."""

    name: str  # in messages
    weight: Array  # (n_outputs, n_inputs)
    bias: Array | None  # (n_outputs,)


def net_of(cls: type[Net], layers: Sequence[Dense], activations: Sequence[str]) -> Net:
    """A net of `cls` with these parameters, which keep their bits.

    Raises ValueError with the name of the layer if sizes, biases or dtypes do not fit.
    """
    first = layers[0]
    for layer in layers:
        _check_layer(layer, first)
    for below, above in pairwise(layers):
        if above.weight.shape[1] != below.weight.shape[0]:
            raise ValueError(
                f"{above.name}: expected {below.weight.shape[0]} inputs, the outputs of "
                f"{below.name}, got {above.weight.shape[1]}"
            )
    sizes = [first.weight.shape[1], *(layer.weight.shape[0] for layer in layers)]
    dtype = first.weight.dtype.newbyteorder("=").name
    net = _remade(cls, sizes, activations, dtype, first.bias is not None)
    for layer, weight, bias in zip(layers, net.weights, net.biases, strict=True):
        weight[:] = layer.weight
        if bias is not None:
            bias[:] = layer.bias
    return net


def _check_layer(layer: Dense, first: Dense) -> None:
    weight, bias = layer.weight, layer.bias
    if weight.ndim != 2 or 0 in weight.shape:
        raise ValueError(f"{layer.name}: expected a matrix of weights, got {received(weight)}")
    if weight.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise ValueError(
            f"{layer.name}: expected weights of float32 or float64, got {received(weight)}"
        )
    if weight.dtype != first.weight.dtype:
        raise ValueError(
            f"{layer.name}: expected weights of {first.weight.dtype}, as those of {first.name}, "
            f"got {received(weight)}"
        )
    if (bias is None) != (first.bias is None):
        has, as_has = ("no bias", "a bias") if bias is None else ("a bias", "no bias")
        raise ValueError(
            f"{layer.name}: it has {has} and {first.name} has {as_has}; a net has biases in every "
            "layer or in none"
        )
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != weight.dtype):
        raise ValueError(
            f"{layer.name}: expected a bias of shape {weight.shape[:1]} and dtype {weight.dtype}, "
            f"got {received(bias)}"
        )


def found_activations(layers: Sequence[Dense], found: Sequence[str | None]) -> list[str]:
    """The activations after these layers, identity where none was found.

    Raises ValueError with the name of a hidden layer that has softmax.
    """
    for layer, name in zip(layers[:-1], found, strict=False):
        if name == "softmax":
            raise ValueError(f"{layer.name}: softmax is for the output layer alone")
    return [name or "identity" for name in found]


def as_arrays(values: Any, name: str) -> list[Array]:
    """A list of NumPy arrays from any sequence of them."""
    if isinstance(values, str | bytes | np.ndarray) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name}: expected a list of arrays, got {received(values)}")
    arrays = []
    for i, value in enumerate(values):
        try:
            arrays.append(np.asarray(value))
        except ValueError as error:  # rows of several lengths
            raise ValueError(f"{name}[{i}]: expected an array, got {received(value)}") from error
    return arrays
