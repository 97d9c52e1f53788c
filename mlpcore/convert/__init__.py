# SPDX-License-Identifier: BSD-3-Clause
"""Nets to and from other libraries. Each function is also a method of `MLP`, which describes it.

A library is imported when a function that needs it is called, and by nothing else.

Examples
--------
>>> import mlpcore
>>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
>>> arrays = mlpcore.convert.to_keras_weights(net)
>>> [array.shape for array in arrays]
[(2, 20), (20,), (20, 5), (5,)]
>>> mlpcore.convert.from_keras_weights(arrays, ["relu", "identity"]) == net
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .keras import from_keras_weights, to_keras_weights
    from .onnx import from_onnx, to_onnx
    from .sklearn import from_sklearn, to_sklearn
    from .torch import from_torch, to_torch

__all__ = [
    "from_keras_weights",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "to_keras_weights",
    "to_onnx",
    "to_sklearn",
    "to_torch",
]

_MODULES = {
    "from_keras_weights": "keras",
    "from_onnx": "onnx",
    "from_sklearn": "sklearn",
    "from_torch": "torch",
    "to_keras_weights": "keras",
    "to_onnx": "onnx",
    "to_sklearn": "sklearn",
    "to_torch": "torch",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
