# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers that learn from all rows at once: what they share.

An epoch of `fit` is one iteration of theirs, on a `FullBatchProblem`. So whatever ends a fit, it
leaves the last complete one of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from ._attributes import as_call

if TYPE_CHECKING:
    from .callable_loss import CallableLoss
    from .full_batch_problem import FullBatchProblem
    from .losses import Loss
    from .mlp import MLP
    from .optimizer_base import Optimizer

# Takes the figures of an iteration for its row of the history, and says whether to stop.
AfterIteration: TypeAlias = Callable[[dict[str, Any]], bool]


def fixed(name: str, doc: str) -> Any:
    """A hyperparameter of a full-batch optimizer, read-only."""
    return property(lambda optimizer: optimizer._arguments[name], doc=doc)


class FullBatchOptimizer(ABC):
    """Base of the optimizers that `fit` gives all rows at once.

    Their hyperparameters are read-only attributes.

    Attributes
    ----------
    weight_decay : float
        L2 penalty of all parameters: weight_decay / 2 times the sum of their squares is minimised
        too.
    l2 : float
        The same of the weights alone, which spares the biases.
    n_steps : int
        Iterations made.
    n_evaluations : int
        How often the latest `fit` computed the loss of all rows.
    stop_reason : str or None
        Why the latest `fit` ended before its epochs were over; None if it did not, or something
        else ended it: early stopping, a callback, an exception.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> x = np.linspace(-1, 1, 20)[:, np.newaxis]
    >>> net = mlpcore.MLP([1, 1], dtype="float64", seed=0)
    >>> optimizer = mlpcore.LevenbergMarquardt(damping=0.0)
    >>> history = net.fit(x, 3 * x + 1, "mse", optimizer, epochs=10)
    >>> optimizer.n_steps, optimizer.stop_reason            # a linear problem is one step
    (1, 'gradient')
    """

    # Attributes that a file keeps besides the arguments and n_steps: 0 or above, or None.
    _kept: tuple[str, ...] = ()

    weight_decay: float = fixed("weight_decay", "L2 penalty of all parameters.")
    l2: float = fixed("l2", "L2 penalty of the weights.")

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._busy = False
        self.reset()

    def reset(self) -> None:
        """Forget all that earlier calls of `fit` have left.

        Examples
        --------
        >>> import mlpcore
        >>> optimizer = mlpcore.LevenbergMarquardt()
        >>> optimizer.reset()
        >>> optimizer.n_steps
        0
        """
        self._check_idle()
        self.n_steps = 0
        self.n_evaluations = 0
        self.stop_reason: str | None = None

    def step(self, net: MLP, gradients: Any) -> None:
        """Raise TypeError: one gradient is not enough here.

        Parameters
        ----------
        net, gradients
            As for the optimizers that have a step, such as `Adam`.

        Raises
        ------
        TypeError
            Always.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> value, gradients = net.value_and_grad([0.5, -1.0], [1.0], "mse")
        >>> mlpcore.LevenbergMarquardt().step(net, gradients)
        Traceback (most recent call last):
        ...
        TypeError: optimizer: expected one that makes a step of a gradient, ...
        """
        raise TypeError(takes_all_rows(self))

    @abstractmethod
    def _minimize(self, problem: FullBatchProblem, epochs: int, after: AfterIteration) -> None:
        """Make up to so many iterations, at least one; `after` each the net has its parameters."""

    @abstractmethod
    def _check_loss(self, loss: Loss | CallableLoss) -> None:
        """Raise where this optimizer cannot minimise the loss."""

    @abstractmethod
    def _check_dy_dx(self, dy_dx: Any) -> None:
        """Raise where this optimizer cannot learn these derivatives of the targets."""

    def _check_idle(self) -> None:
        if self._busy:
            raise RuntimeError("optimizer: in use by another call")

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._check_idle()
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_busy": False}

    def __repr__(self) -> str:
        return as_call(self, self._arguments)


AnyOptimizer: TypeAlias = "Optimizer | FullBatchOptimizer"


def takes_all_rows(optimizer: FullBatchOptimizer) -> str:
    """The words for whoever asks such an optimizer for a single step."""
    return (
        "optimizer: expected one that makes a step of a gradient, such as mlpcore.Adam(), got "
        f"{optimizer!r}, which learns from all rows at once: use net.fit or Trainer.fit"
    )
