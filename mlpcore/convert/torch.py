# SPDX-License-Identifier: BSD-3-Clause
"""To and from PyTorch: modules, state_dicts, and these in safetensors files.

Only `to_torch` imports torch: a module that is given has imported it already.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _safetensors
from .._checks import as_activations, received
from .._optional import library
from .._validation import as_network
from ..mlp import MLP
from ._layers import Dense, Net, found_activations, net_of

if TYPE_CHECKING:
    from .._core import Array

# Our activations: torch's module, and the settings with which it is the same function.
_MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "identity": ("Identity", {}),
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.01}),
    "elu": ("ELU", {"alpha": 1.0}),
    "gelu": ("GELU", {"approximate": "none"}),
    "silu": ("SiLU", {}),
    "softplus": ("Softplus", {"beta": 1.0, "threshold": 20.0}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"dim": -1}),
}
_NAMES = {module: name for name, (module, _) in _MODULES.items()}
# Dropout is nothing once training is over.
_NOTHING = ("Identity", "Dropout")


def to_torch(net: MLP) -> Any:
    """As `MLP.to_torch`."""
    as_network(net)
    torch = library("torch", "to_torch")
    modules = []
    for weight, bias, name in zip(net.weights, net.biases, net.activations, strict=True):
        linear = torch.nn.utils.skip_init(  # so that torch's random numbers stay as they are
            torch.nn.Linear,
            *reversed(weight.shape),
            bias=bias is not None,
            dtype=getattr(torch, net.dtype.name),
        )
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.copy()))
            if bias is not None:
                linear.bias.copy_(torch.from_numpy(bias.copy()))
        modules.append(linear)
        if name != "identity":
            module, settings = _MODULES[name]
            modules.append(getattr(torch.nn, module)(**settings))
    return torch.nn.Sequential(*modules)


def from_torch(
    source: Any,
    activations: str | Sequence[str] | None = None,
    cls: type[Net] = MLP,  # type: ignore[assignment]  # the default of a type variable
) -> Net:
    """As `MLP.from_torch`; `cls` is the class of the net."""
    if isinstance(source, str | os.PathLike):
        _, arrays = _safetensors.read(source)
        layers = _layers(arrays, ordered=False)
    elif isinstance(source, Mapping):
        layers = _layers(source, ordered=True)
    elif hasattr(source, "named_modules") and not isinstance(source, type):
        if activations is None:
            layers, activations = _of_module(source)
        else:
            layers = _layers(source.state_dict(), ordered=True)
    else:
        raise TypeError(
            "source: expected a torch.nn.Module, a state_dict or the path of a safetensors file, "
            f"got {received(source)}"
        )
    if activations is None:
        raise ValueError(
            "activations: expected a name or a name per layer with weights alone, got None"
        )
    return net_of(cls, layers, as_activations(activations, len(layers)))


# ---- modules ------------------------------------------------------------------------------------


def _of_module(module: Any) -> tuple[list[Dense], list[str]]:
    layers: list[Dense] = []
    activations: list[str | None] = []
    for name, child in _chain(module):
        kind = _kind(child)
        if kind == "Linear":
            layers.append(Dense(name, _array(child.weight, name), _optional(child.bias, name)))
            activations.append(None)
        elif kind in _NAMES and kind not in _NOTHING:
            if not activations or activations[-1] is not None:
                raise ValueError(f"{name}: expected a Linear before each activation, got {kind}")
            activations[-1] = _activation(name, child)
        elif kind not in _NOTHING:
            raise ValueError(
                f"{name}: expected Linear, an activation, Dropout or Identity, got {kind}; of a "
                "module that is not a Sequential of these, give the state_dict and activations"
            )
    if not layers:
        raise ValueError("source: expected one Linear at least, got none")
    return layers, found_activations(layers, activations)


def _chain(module: Any) -> Iterator[tuple[str, Any]]:
    """The modules that run one after another, with their names in the whole.

    A module that stands in several places runs in each of them.
    """
    for path, child in module.named_modules(remove_duplicate=False):
        name = path or _kind(child)
        if _kind(child) != "Sequential":
            yield name, child
        # These compute something else: weight_norm's and pruning's make the weight anew.
        if child._forward_pre_hooks or child._forward_hooks:
            raise ValueError(
                f"{name}: expected a module without forward hooks, got {_kind(child)} with some"
            )


def _kind(module: Any) -> str:
    """The name of its class, alone if it is torch's own."""
    cls = type(module)
    own = cls.__module__.startswith("torch.nn.modules.")
    return cls.__name__ if own else f"{cls.__module__}.{cls.__qualname__}"


def _activation(name: str, module: Any) -> str:
    ours = _NAMES[_kind(module)]
    for setting, value in _MODULES[ours][1].items():
        found = getattr(module, setting)
        # Of rows, the last axis is axis 1 too.
        if found != value and (setting, found) != ("dim", 1):
            raise ValueError(
                f"{name}: expected {_kind(module)} with {setting}={value!r}, got {found!r}"
            )
    return ours


# ---- weights ------------------------------------------------------------------------------------


def _layers(arrays: Mapping[str, Any], ordered: bool) -> list[Dense]:
    """Layers of ``name.weight`` and ``name.bias``.

    Names that differ in numbers alone, as those of a Sequential do, say the order themselves: a
    safetensors file sorts them as text, 10 before 2. Other names do not, and then it has to be that
    of the mapping.
    """
    weights: dict[str, Any] = {}
    biases: dict[str, Any] = {}
    for key, value in arrays.items():
        name, _, part = str(key).rpartition(".")
        if part not in ("weight", "bias"):
            raise ValueError(f"{key}: expected names that end in weight or bias")
        (weights if part == "weight" else biases)[name] = value
    for name in biases:
        if name not in weights:
            raise ValueError(f"{name}.bias: there is no {name}.weight with it")
    if not weights:
        raise ValueError("source: expected the weight of one layer at least, got none")
    names = list(weights)
    if len({re.sub(r"\d+", "0", name) for name in names}) == 1:
        names.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    elif not ordered:
        raise ValueError(
            f"source: the names {names} do not tell the order of the layers; give a dict with the "
            "arrays in their order"
        )
    return [
        Dense(name or "weight", _array(weights[name], name), _optional(biases.get(name), name))
        for name in names
    ]


def _optional(value: Any, name: str) -> Array | None:
    return None if value is None else _array(value, name)


def _array(value: Any, name: str) -> Array:
    """A NumPy array of a tensor, on whatever device it is."""
    if hasattr(value, "detach"):
        try:
            value = value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # NumPy has no such dtype; no data at all
            raise ValueError(
                f"{name}: expected numbers of float32 or float64, got {value.dtype} on "
                f"{value.device}"
            ) from error
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a tensor or an array, got {received(value)}")
    return value
