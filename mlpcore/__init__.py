# SPDX-License-Identifier: BSD-3-Clause
"""mlpcore: trains, runs and differentiates multi-layer perceptrons on a CPU.

Examples
--------
>>> import mlpcore
>>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
>>> net([0.5, -1.0]).shape
(5,)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from . import _core as _core
except ImportError as error:
    raise ImportError(
        f"mlpcore: its compiled module cannot be loaded from {__path__[0]}. In a source tree, "
        "build it with `make test` or `pip install -e .`, or leave the folder to use the "
        f"installed package ({error})"
    ) from error

from . import cpu, losses
from .cpu import get_n_threads, set_n_threads
from .mlp import MLP
from .optimizers import SGD, Adam, AdamW, RMSprop

if TYPE_CHECKING:
    from . import convert, reference, schedules
    from .callbacks import EarlyStopping
    from .estimators import MLPClassifier, MLPRegressor
    from .files import load, save
    from .gradient_check import gradcheck
    from .lbfgs import LBFGS
    from .levenberg_marquardt import LevenbergMarquardt
    from .trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "LBFGS",
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "EarlyStopping",
    "LevenbergMarquardt",
    "MLPClassifier",
    "MLPRegressor",
    "RMSprop",
    "Trainer",
    "__version__",
    "convert",
    "cpu",
    "get_n_threads",
    "gradcheck",
    "load",
    "losses",
    "reference",
    "save",
    "schedules",
    "set_n_threads",
]

# Loaded when first asked for, so that ``import mlpcore`` stays quick: name -> module.
_LATE = {
    "EarlyStopping": "callbacks",
    "MLPClassifier": "estimators",
    "MLPRegressor": "estimators",
    "Trainer": "trainer",
    "LBFGS": "lbfgs",
    "LevenbergMarquardt": "levenberg_marquardt",
    "convert": "convert",
    "gradcheck": "gradient_check",
    "load": "files",
    "reference": "reference",
    "save": "files",
    "schedules": "schedules",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATE[name]}")
    value = module if name == _LATE[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
