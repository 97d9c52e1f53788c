# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators' parameters may be, and the message where one is something else.

Both are scikit-learn's for the parameters that are scikit-learn's, so that code which relies on
them goes on working.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from .. import _core
from ..schedules import Schedule
from .foundation import InvalidParameterError


@dataclass(frozen=True)
class Interval:
    """Numbers of a kind between two bounds, of which `closed` tells which belong to it."""

    kind: type
    low: float
    high: float = math.inf
    closed: str = "left"

    def accepts(self, value: Any) -> bool:
        """Whether the value is such a number."""
        if not isinstance(value, self.kind):
            return False
        value = float(value)  # type: ignore[arg-type]  # a real, whatever its type; NaN is nowhere
        above = value >= self.low if self.closed in ("left", "both") else value > self.low
        below = value <= self.high if self.closed in ("right", "both") else value < self.high
        return bool(above and below)

    def __str__(self) -> str:
        left = "[" if self.closed in ("left", "both") else "("
        right = "]" if self.closed in ("right", "both") else ")"
        return f"{_type_name(self.kind)} in the range {left}{self.low}, {self.high}{right}"


@dataclass(frozen=True)
class Choice:
    """One of some values of a type."""

    options: tuple[Any, ...]
    kind: type = str

    def accepts(self, value: Any) -> bool:
        """Whether the value is one of them."""
        return isinstance(value, self.kind) and value in self.options

    def __str__(self) -> str:
        name = "a float" if self.kind is Real else f"a {self.kind.__name__}"
        return f"{name} among {{{', '.join(map(repr, self.options))}}}"


@dataclass(frozen=True)
class Instance:
    """Anything of a type; None stands for None itself."""

    kind: type | None

    def accepts(self, value: Any) -> bool:
        """Whether the value is of the type."""
        return value is None if self.kind is None else isinstance(value, self.kind)

    def __str__(self) -> str:
        if self.kind is None:
            return "None"
        module = "" if self.kind.__module__ == "builtins" else f"{self.kind.__module__}."
        return f"an instance of {module + self.kind.__qualname__!r}"


@dataclass(frozen=True)
class ArrayLike:
    """Sequences, arrays and frames."""

    def accepts(self, value: Any) -> bool:
        """Whether the value has a length, a shape or an array, and is no text."""
        return not np.isscalar(value) and any(
            hasattr(value, name) for name in ("__len__", "shape", "__array__")
        )

    def __str__(self) -> str:
        return "an array-like"


@dataclass(frozen=True)
class Function:
    """Anything that can be called."""

    def accepts(self, value: Any) -> bool:
        """Whether the value can be called."""
        return callable(value)

    def __str__(self) -> str:
        return "a callable"


Rule = Interval | Choice | Instance | ArrayLike | Function

NONE = Instance(None)
BOOLEAN = (Instance(bool), Instance(np.bool_))
NOT_NEGATIVE = Interval(Real, 0.0)
ABOVE_ZERO = Interval(Real, 0.0, closed="neither")
SHARE = Interval(Real, 0.0, 1.0)
COUNT = Interval(Integral, 1)

# scikit-learn's names; all others are the core's.
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
_ALL_ACTIVATIONS = ("logistic", *(name for name in _core.ACTIVATIONS if name != "sigmoid"))
HIDDEN_ACTIVATIONS = tuple(name for name in _ALL_ACTIVATIONS if name != "softmax")
CLASSIFIER_OUTPUTS = ("logistic", "softmax")
REGRESSION_LOSSES = ("squared_error", "poisson", "l1", "huber", "log_cosh", "quantile")

COMMON: dict[str, tuple[Rule, ...]] = {
    "hidden_layer_sizes": (ArrayLike(), COUNT),
    "activation": (Choice(ACTIVATIONS),),
    "solver": (Choice(("lbfgs", "sgd", "adam")),),
    "alpha": (NOT_NEGATIVE,),
    "batch_size": (Choice(("auto",)), COUNT),
    "learning_rate": (Choice(("constant", "invscaling", "adaptive")),),
    "learning_rate_init": (ABOVE_ZERO,),
    "power_t": (NOT_NEGATIVE,),
    "max_iter": (COUNT,),
    "shuffle": BOOLEAN,
    "random_state": (
        Interval(Integral, 0, 2**32 - 1, "both"),
        Instance(np.random.RandomState),
        NONE,
    ),
    "tol": (NOT_NEGATIVE,),
    "verbose": (Interval(Integral, 0), *BOOLEAN),
    "warm_start": BOOLEAN,
    "momentum": (Interval(Real, 0.0, 1.0, "both"),),
    "nesterovs_momentum": BOOLEAN,
    "early_stopping": BOOLEAN,
    "validation_fraction": (SHARE,),
    "beta_1": (SHARE,),
    "beta_2": (SHARE,),
    "epsilon": (ABOVE_ZERO,),
    "n_iter_no_change": (COUNT, Choice((math.inf,), Real)),
    "max_fun": (COUNT,),
    "hidden_activations": (ArrayLike(), Choice(HIDDEN_ACTIVATIONS), NONE),
    "dropout": (SHARE, ArrayLike()),
    "l1": (NOT_NEGATIVE,),
    "clip_norm": (ABOVE_ZERO, NONE),
    "schedule": (Instance(Schedule), Function(), NONE),
    "callbacks": (Instance(list), Instance(tuple)),
    "dtype": (Choice(("float32", "float64")), NONE),
    "n_threads": (Interval(Integral, 1, _core.MAX_THREADS, "both"), NONE),
}
CLASSIFIER: dict[str, tuple[Rule, ...]] = COMMON | {
    "loss": (Choice(("log_loss",)), Function()),
    "output_activation": (Choice(CLASSIFIER_OUTPUTS), NONE),
    "class_weight": (Instance(dict), Choice(("balanced",)), NONE),
}
REGRESSOR: dict[str, tuple[Rule, ...]] = COMMON | {
    "loss": (Choice(REGRESSION_LOSSES), Function()),
    "output_activation": (Choice(HIDDEN_ACTIVATIONS), NONE),
}


def check_parameters(estimator: Any, rules: Mapping[str, tuple[Rule, ...]]) -> None:
    """Raise InvalidParameterError for the first parameter that obeys none of its rules."""
    for name, accepted in rules.items():
        value = getattr(estimator, name)
        if not any(rule.accepts(value) for rule in accepted):
            *others, last = map(str, accepted)
            rule = f"{', '.join(others)} or {last}" if others else last
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(estimator).__name__} must be {rule}. "
                f"Got {value!r} instead."
            )


def hidden_sizes(value: Any) -> list[int]:
    """The sizes of the hidden layers, from a sequence or a single one."""
    sizes = list(value) if hasattr(value, "__iter__") else [value]
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def hidden_names(activation: str, hidden_activations: Any, n_hidden: int) -> list[str]:
    """The core's name of each hidden layer's activation."""
    if hidden_activations is None:
        hidden_activations = activation
    if isinstance(hidden_activations, str):
        names = [hidden_activations] * n_hidden
    else:
        names = list(hidden_activations)
    if len(names) != n_hidden:
        raise ValueError(
            f"hidden_activations: expected a name for each of {n_hidden} hidden layers, got {names}"
        )
    for name in names:
        if name not in HIDDEN_ACTIVATIONS:
            raise ValueError(
                f"hidden_activations: expected names among {', '.join(HIDDEN_ACTIVATIONS)}, "
                f"got {name!r}"
            )
    return [core_name(name) for name in names]


def core_name(activation: str) -> str:
    """The core's name of an activation, of which scikit-learn's is `activation`."""
    return "sigmoid" if activation == "logistic" else activation


def _type_name(kind: type) -> str:
    return "an int" if kind is Integral else "a float"
