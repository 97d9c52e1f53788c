# SPDX-License-Identifier: BSD-3-Clause
"""The same jobs by mlpcore and by its peers: a module and a class for each, the same methods."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Peer

# Name, module, class. A peer is loaded when it is asked for, since most of them are large.
_PEERS = {
    "mlpcore": ("mlpcore_net", "MlpcoreNet"),
    "numpy": ("numpy_net", "NumpyNet"),
    "torch": ("torch_net", "TorchNet"),
    "torch_compile": ("torch_net", "TorchCompileNet"),
    "jax": ("jax_net", "JaxNet"),
    "onnxruntime": ("onnxruntime_net", "OnnxruntimeNet"),
    "sklearn": ("sklearn_net", "SklearnNet"),
}
NAMES = tuple(name for name in _PEERS if name != "mlpcore")
# Compiling takes this one half a minute for each net.
SHORT_NAMES = tuple(name for name in NAMES if name != "torch_compile")


def load(name: str) -> type[Peer]:
    """The class of a peer.

    Raises
    ------
    ImportError
        If the library, or what it takes to make a model for it, is not installed.
    """
    module, cls = _PEERS[name]
    peer: type[Peer] = getattr(importlib.import_module(f".{module}", __package__), cls)
    return peer


def load_all(names: tuple[str, ...]) -> tuple[dict[str, type[Peer]], dict[str, str]]:
    """The classes of those that are installed, mlpcore first; and why each of the others is not."""
    classes, absent = {"mlpcore": load("mlpcore")}, {}
    for name in names:
        try:
            classes[name] = load(name)
        except ImportError as error:
            absent[name] = str(error)
    return classes, absent
