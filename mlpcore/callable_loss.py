# SPDX-License-Identifier: BSD-3-Clause
"""A loss that is a Python function: what `loss_base.Loss` does, without the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._validation import as_callable_result, as_predictions, as_targets_of
from .trace import Trace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array


class CallableLoss:
    """A loss that is a Python function ``f(y_hat, y) -> (value, dl_dy_hat)``.

    Every function that takes a loss makes one of a callable.

    Parameters
    ----------
    function : callable
        Takes y_hat (N, K) and y as an array of N rows, both read-only, and for one sample with
        N = 1. Returns the loss, a number, and its gradient (N, K). There are no sample weights.

    Attributes
    ----------
    name : str
        The function's name.

    Raises
    ------
    ValueError, TypeError
        If what the function returns is no number with a gradient (N, K), when it is called.

    Examples
    --------
    >>> import mlpcore
    >>> def squared(y_hat, y):
    ...     return ((y_hat - y) ** 2).sum(), 2 * (y_hat - y)
    >>> net = mlpcore.MLP([2, 3, 1], seed=0)
    >>> x, y = [[0.5, -1.0]], [[1.0]]
    >>> own = net.backward(net.trace(x), squared, y)
    >>> built_in = net.backward(net.trace(x), mlpcore.losses.MSE("sum"), y)
    >>> bool((own.flat == built_in.flat).all())
    True
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def name(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def after(self, activation: str) -> CallableLoss:
        """As `Loss.after`: always this one."""
        return self

    def fuses_with(self, activation: str) -> bool:
        """As `Loss.fuses_with`: never."""
        return False

    def __call__(
        self, y_hat: ArrayLike | Trace, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """As `Loss.__call__`, without sample weights."""
        prediction, target, _ = self._arrays(y_hat, y)
        return self._evaluate(prediction, target, sample_weight, None)

    def gradient(
        self, y_hat: ArrayLike | Trace, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Array:
        """As `Loss.gradient`, without sample weights."""
        prediction, target, single = self._arrays(y_hat, y)
        gradient = np.empty_like(prediction)
        self._evaluate(prediction, target, sample_weight, gradient)
        return gradient[0] if single else gradient

    def _evaluate(
        self, prediction: Array, target: Array, sample_weight: Any, gradient: Array | None
    ) -> float:
        """What a built-in loss does in the core: return the value, write the gradient (N, K)."""
        result = self.function(_read_only(prediction), _read_only(target))
        value, dl_dy_hat = as_callable_result(result, prediction, sample_weight)
        if gradient is not None:
            gradient[...] = dl_dy_hat
        return value

    def _arrays(self, y_hat: ArrayLike | Trace, y: ArrayLike) -> tuple[Array, Array, bool]:
        if isinstance(y_hat, Trace):
            prediction, single = y_hat.records.outputs[-1], y_hat.single
        else:
            prediction, single = as_predictions(y_hat)
        n_samples, n_outputs = prediction.shape
        target = as_targets_of(prediction.dtype, n_outputs, y, n_samples, self, single)
        return prediction, target, single

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CallableLoss):
            return NotImplemented
        return bool(self.function == other.function)

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return f"CallableLoss({self.name})"


def _read_only(array: Array) -> Array:
    shown = array.view()
    shown.flags.writeable = False
    return shown
