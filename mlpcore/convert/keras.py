# SPDX-License-Identifier: BSD-3-Clause
"""Weights as Keras lists them: ``[kernel, bias, ...]``, a kernel of (n_inputs, n_outputs).

Keras itself is not needed: ``model.get_weights()`` and ``model.set_weights(arrays)`` are the ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import as_activations
from .._validation import as_network
from ..mlp import MLP
from ._layers import Dense, Net, as_arrays, net_of

if TYPE_CHECKING:
    from .._core import Array


def to_keras_weights(net: MLP) -> list[Array]:
    """As `MLP.to_keras_weights`."""
    as_network(net)
    arrays = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        arrays.append(np.array(weight.T, order="C"))
        if bias is not None:
            arrays.append(bias.copy())
    return arrays


def from_keras_weights(
    arrays: Sequence[Any],
    activations: str | Sequence[str],
    cls: type[Net] = MLP,  # type: ignore[assignment]  # the default of a type variable
) -> Net:
    """As `MLP.from_keras_weights`; `cls` is the class of the net."""
    found = as_arrays(arrays, "arrays")
    layers: list[Dense] = []
    for i, array in enumerate(found):
        if array.ndim == 2:
            layers.append(Dense(f"arrays[{i}]", array.T, None))
        elif array.ndim == 1 and layers and layers[-1].bias is None:
            layers[-1] = layers[-1]._replace(bias=array)
        else:
            raise ValueError(
                f"arrays[{i}]: expected a kernel (n_inputs, n_outputs) or the bias of the kernel "
                f"before it, as dense layers have, got shape {array.shape}"
            )
    if not layers:
        raise ValueError("arrays: expected the kernel of one layer at least, got none")
    return net_of(cls, layers, as_activations(activations, len(layers)))
