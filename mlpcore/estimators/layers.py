# SPDX-License-Identifier: BSD-3-Clause
"""The layers' arrays as scikit-learn shows them, lists; what is put into one gets into the net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

if TYPE_CHECKING:
    from .._core import Array


class LayerArrays(list[Any]):
    """A list of live views of a net's parameters.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 1], init="zeros")
    >>> coefs = LayerArrays(weight.T for weight in net.weights)
    >>> coefs[0] = [[1.0], [2.0]]
    >>> net.weights[0]
    array([[1., 2.]], dtype=float32)
    """

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write `value` into the net, in place of its present values."""
        if not isinstance(index, SupportsIndex):
            raise TypeError(f"expected the number of a layer, got {index!r}")
        target, given = self[index], np.asarray(value)
        if given.shape != target.shape:
            raise ValueError(f"layer {index}: expected shape {target.shape}, got {given.shape}")
        target[...] = given


def take_arrays(layers: list[Array], values: Iterable[Any]) -> None:
    """Write one array for each layer into a net."""
    given = list(values)
    if len(given) != len(layers):
        raise ValueError(f"expected an array for each of {len(layers)} layers, got {len(given)}")
    for i, value in enumerate(given):
        layers[i] = value
