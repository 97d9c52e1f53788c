# SPDX-License-Identifier: BSD-3-Clause
"""Checks of numbers, names and settings; `_validation` has those of arrays.

Each function gives back its argument in the form that is stored, or raises an error whose message
names the argument, the rule and what was received: ValueError for sizes, names and ranges,
TypeError for wrong kinds.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import reprlib
import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from . import _core

# Where a mini-batch's order and a net's first weights are drawn, a seed has to fit 64 bits.
_MAX_SEED = 2**64 - 1


def received(value: Any) -> str:
    """Say in a message what was received: an array by shape and dtype, all else by its text."""
    if isinstance(value, np.ndarray):
        return f"shape {value.shape} of dtype {value.dtype}"
    return f"{reprlib.repr(value)} ({type(value).__name__})"


# ---- numbers and names --------------------------------------------------------------------------


def check_positive_int(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1; a float or a bool is no int."""
    number = _as_int(value, name, "a positive integer")
    if number < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    return number


def check_in_range(
    value: Any,
    name: str,
    low: float,
    high: float = math.inf,
    *,
    include_low: bool = True,
    include_high: bool = False,
) -> float:
    """Return `value` as a finite float between `low` and `high`."""
    brackets = ("[" if include_low else "(", "]" if include_high else ")")
    rule = f"a number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected {rule}, got {received(value)}")
    number = float(value)
    above = number >= low if include_low else number > low
    below = number <= high if include_high else number < high
    if not (above and below and math.isfinite(number)):  # a NaN is neither above nor below
        raise ValueError(f"{name}: expected {rule}, got {value!r}")
    return number


def as_path(path: Any) -> str:
    """Return the name of a file as text: nothing but a string or a path-like is one."""
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(name, str):  # os.fspath takes bytes too, which do not go with a suffix
        raise TypeError(f"path: expected a string or a path-like, got {received(path)}")
    return name


def check_bool(value: Any, name: str) -> bool:
    """Return `value` as a bool; 0, 1 and strings are none."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {received(value)}")
    return bool(value)


def check_choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Return `value`, which has to be one of the names `choices`."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {_listed(choices)}, got {received(value)}")
    if value not in choices:
        raise ValueError(f"{name}: expected one of {_listed(choices)}, got {received(value)}")
    return value


def check_monitor(value: Any) -> str:
    """Return `value`, which has to be a key of the history that can be watched."""
    rule = "'loss', or 'validation_loss' or another key that begins with 'validation_'"
    if not isinstance(value, str):
        raise TypeError(f"monitor: expected {rule}, got {received(value)}")
    if value != "loss" and not value.startswith("validation_"):
        raise ValueError(f"monitor: expected {rule}, got {value!r}")
    return value


def check_seed(value: Any, name: str = "seed") -> int | None:
    """Return `value` as an int in [0, 2**64), or None."""
    if value is None:
        return None
    seed = _as_int(value, name, "None or an integer in [0, 2**64)")
    if not 0 <= seed <= _MAX_SEED:
        raise ValueError(f"{name}: expected None or an integer in [0, 2**64), got {value!r}")
    return seed


def as_dropout(value: Any, net: Any) -> tuple[float, ...]:
    """Return one rate in [0, 1) for each hidden layer of the net."""
    n_hidden = len(net.sizes) - 2
    if not _is_sequence(value):
        return (check_in_range(value, "dropout", 0.0, 1.0),) * n_hidden
    rates = tuple(check_in_range(r, f"dropout[{i}]", 0.0, 1.0) for i, r in enumerate(value))
    if len(rates) != n_hidden:
        raise ValueError(
            f"dropout: expected a rate for each of {n_hidden} hidden layers, got {received(value)}"
        )
    return rates


def check_momentum(momentum: Any, nesterov: Any) -> tuple[float, bool]:
    """Return momentum and whether it is Nesterov's, which needs one."""
    checked = check_in_range(momentum, "momentum", 0.0, 1.0), check_bool(nesterov, "nesterov")
    if checked[1] and checked[0] == 0.0:
        raise ValueError(f"nesterov: expected a momentum above 0 with it, got {momentum!r}")
    return checked


def check_n_steps(value: Any) -> int:
    """Return an optimizer's step count, which a damaged pickle may have lost."""
    number = _as_int(value, "n_steps", "an integer in [0, 2**63)")
    if not 0 <= number < 2**63:
        raise ValueError(f"n_steps: expected an integer in [0, 2**63), got {value!r}")
    return number


def check_n_threads(value: Any) -> int:
    """Return `value` as a number of threads."""
    number = check_positive_int(value, "n_threads")
    if number > _core.MAX_THREADS:
        raise ValueError(f"n_threads: expected at most {_core.MAX_THREADS}, got {number}")
    return number


def as_n_threads(value: Any) -> int:
    """Return how many threads may work: `value`, or where it is None the default."""
    return _core.default_n_threads() if value is None else check_n_threads(value)


# ---- what a net is ------------------------------------------------------------------------------


def as_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the layer sizes, at least an input's and an output's, each at least 1."""
    rule = "a sequence of layer sizes, inputs first"
    if not _is_sequence(sizes):
        raise TypeError(f"sizes: expected {rule}, got {received(sizes)}")
    checked = tuple(check_positive_int(size, f"sizes[{i}]") for i, size in enumerate(sizes))
    if len(checked) < 2:
        raise ValueError(f"sizes: expected {rule}, at least two, got {list(checked)}")
    n_parameters = sum((n + 1) * m for n, m in pairwise(checked))
    if n_parameters * 8 > sys.maxsize:
        raise ValueError(
            f"sizes: expected parameters that memory can address, got {n_parameters} of them "
            f"for {received(list(checked))}"
        )
    return checked


def as_activations(activations: Any, n_layers: int) -> tuple[str, ...]:
    """Return one activation's name for each layer."""
    if isinstance(activations, str):
        check_choice(activations, "activations", _core.ACTIVATIONS)
        if activations == "softmax":
            raise ValueError(
                "activations: a single name is that of the hidden layers, and softmax is for the "
                'output layer alone: expected a list such as ["relu", "softmax"], got \'softmax\''
            )
        return (activations,) * (n_layers - 1) + ("identity",)
    if not _is_sequence(activations):
        raise TypeError(
            f"activations: expected a name or a name per layer, got {received(activations)}"
        )
    names = tuple(
        check_choice(name, f"activations[{i}]", _core.ACTIVATIONS)
        for i, name in enumerate(activations)
    )
    if len(names) != n_layers:
        expected = "1 name" if n_layers == 1 else f"{n_layers} names"
        raise ValueError(
            f"activations: expected {expected}, one per layer, got {received(list(names))}"
        )
    if "softmax" in names[:-1]:
        raise ValueError(
            f"activations: softmax is for the output layer alone, got {received(list(names))}"
        )
    return names


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a net: float32 or float64."""
    if not isinstance(dtype, str | type | np.dtype):
        raise TypeError(f'dtype: expected "float32" or "float64", got {received(dtype)}')
    try:
        checked = np.dtype(dtype)
    except TypeError:  # a name that NumPy does not know
        checked = np.dtype(object)
    if checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f'dtype: expected "float32" or "float64", got {received(dtype)}')
    return checked


# ---- helpers ------------------------------------------------------------------------------------


def _as_int(value: Any, name: str, rule: str) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected {rule}, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected {rule}, got {received(value)}") from None


def _listed(choices: Collection[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)


def _is_sequence(value: Any) -> bool:
    """Whether `value` has an order that can be relied on: a set has none, a dict is no list."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
