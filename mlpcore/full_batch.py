# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers that learn from all rows at once: what they share, and the problem that they are set.

An epoch of `fit` is one iteration of theirs. They try parameters in a copy of the net; the net
itself gets those of an iteration once it is complete. So whatever ends a fit, it leaves the last of
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from ._attributes import as_call
from ._validation import Batch
from .loss_base import CallableLoss
from .optimizer_base import Optimizer
from .sparse_rows import SparseRows
from .steps import value_and_gradients

if TYPE_CHECKING:
    from ._core import Array
    from .losses import Loss
    from .mlp import MLP

# Takes the figures of an iteration for its row of the history, and says whether to stop.
AfterIteration: TypeAlias = Callable[[dict[str, Any]], bool]


class FullBatchProblem:
    """The loss of all rows with a penalty on the parameters, as a function of the parameters."""

    def __init__(
        self, net: MLP, loss: Loss | CallableLoss, rows: Batch, weight_decay: float, n_threads: int
    ) -> None:
        if not net.parameters.flags.writeable:
            raise ValueError("net.parameters: must be writable to be trained, got read-only ones")
        if isinstance(rows.x, SparseRows) and isinstance(loss, CallableLoss):
            raise ValueError(
                f"loss: expected one of mlpcore.losses with sparse rows and all of them at once, "
                f"got {loss!r}"
            )
        self.net, self.loss, self.rows, self.n_threads = net, loss, rows, n_threads
        self.weight_decay = weight_decay
        self.moved = net.copy()
        self.n_evaluations = 0
        self.epoch = 0  # the trainer's number of the iteration

    def move(self, parameters: Array) -> None:
        """Take parameters to be tried, of any real dtype."""
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and found by who evaluates
            self.moved.parameters[:] = parameters

    def loss_here(self) -> float:
        """The loss, without the penalty, at the parameters that are tried."""
        self.n_evaluations += 1
        return self._value_and_gradient(None)

    def loss_and_gradient_here(self) -> tuple[float, Array]:
        """The loss and its gradient (P,), both without the penalty."""
        self.n_evaluations += 1
        flat = np.empty_like(self.moved.parameters)
        return self._value_and_gradient(flat), flat

    def _value_and_gradient(self, flat: Array | None) -> float:
        if isinstance(self.rows.x, SparseRows):
            return self._of_sparse_rows(flat)
        return value_and_gradients(self.moved, self.rows, self.loss, flat, None, self.n_threads)

    def _of_sparse_rows(self, flat: Array | None) -> float:
        """The sum over the pieces, or their mean weighted by what their rows weigh."""
        assert not isinstance(self.loss, CallableLoss)  # of which nobody knows
        is_sum = self.loss.reduction == "sum"
        value, total = 0.0, 0.0
        of_piece = None if flat is None else np.zeros_like(flat)
        if flat is not None:
            flat[:] = 0.0
        for piece in self._dense_pieces():
            weight = len(piece.x) if piece.sample_weight is None else piece.sample_weight.sum()
            if weight == 0.0:
                continue
            total += float(weight)
            share = 1.0 if is_sum else float(weight) / total
            part = value_and_gradients(self.moved, piece, self.loss, of_piece, None, self.n_threads)
            value += part if is_sum else (part - value) * share
            if flat is not None and of_piece is not None:
                flat += of_piece if is_sum else (of_piece - flat) * share
        return value

    def _dense_pieces(self) -> Iterator[Batch]:
        x, target, weight, _ = self.rows
        if not isinstance(x, SparseRows):
            yield self.rows
            return
        for piece in x.pieces():
            yield Batch(x.dense(piece), target[piece], None if weight is None else weight[piece])

    def penalty_here(self) -> float:
        """weight_decay / 2 times the sum of the squared parameters."""
        if self.weight_decay == 0.0:
            return 0.0
        parameters = self.moved.parameters.astype(np.float64)
        return 0.5 * self.weight_decay * float(parameters @ parameters)

    def accept(self) -> None:
        """Give the net the parameters that are tried."""
        self.net.parameters[:] = self.moved.parameters

    def raise_not_finite(self, otherwise: str) -> NoReturn:
        """Raise FloatingPointError that says what is not finite at the parameters tried."""
        from .divergence import not_finite_in_passes

        found = (
            not_finite_in_passes(self.moved, piece, self.loss, self.n_threads)[0]
            for piece in self._dense_pieces()
        )
        where = next((words for words in found if words is not None), None)
        raise FloatingPointError(
            f"epoch {self.epoch}: {where or otherwise} is not finite; the net has the "
            "parameters from before this epoch. Standardised x and y usually help"
        )


def fixed(name: str, doc: str) -> Any:
    """A hyperparameter of a full-batch optimizer, read-only."""
    return property(lambda optimizer: optimizer._arguments[name], doc=doc)


class FullBatchOptimizer(ABC):
    """Base of the optimizers that `fit` gives all rows at once.

    Their hyperparameters are read-only attributes.

    Attributes
    ----------
    weight_decay : float
        L2 penalty of all parameters.
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


AnyOptimizer: TypeAlias = Optimizer | FullBatchOptimizer


def takes_all_rows(optimizer: FullBatchOptimizer) -> str:
    """The words for whoever asks such an optimizer for a single step."""
    return (
        "optimizer: expected one that makes a step of a gradient, such as mlpcore.Adam(), got "
        f"{optimizer!r}, which learns from all rows at once: use net.fit or Trainer.fit"
    )
