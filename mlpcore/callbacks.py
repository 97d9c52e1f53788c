# SPDX-License-Identifier: BSD-3-Clause
"""What can look at training and stop it: callbacks, and early stopping."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_bool, check_in_range, check_monitor, check_positive_int

if TYPE_CHECKING:
    from ._core import Array
    from .full_batch import AnyOptimizer
    from .mlp import MLP
    from .trainer import Trainer


@dataclass(frozen=True, slots=True)
class EpochState:
    """What a callback is given after each epoch.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1; it goes on over calls of one trainer's `fit`.
    row : dict
        This epoch's row of the history; what a callback adds to it stays there.
    net : MLP
        As it is after the epoch.
    optimizer : Optimizer
        Its ``learning_rate`` and so on may be changed for the epochs to come; a schedule goes on
        from there, see `mlpcore.schedules`.
    trainer : Trainer
        Whose `fit` it is.

    Examples
    --------
    Stop when the loss is small enough, and note the norm of the parameters:

    >>> import numpy as np
    >>> import mlpcore
    >>> def watch(state):
    ...     state.row["norm"] = float(np.linalg.norm(state.net.parameters))
    ...     return state.row["loss"] < 0.5
    >>> net = mlpcore.MLP([1, 1], init="zeros")
    >>> history = net.fit([[1.0]], [[2.0]], "mse", mlpcore.SGD(0.1), epochs=99, callbacks=[watch])
    >>> len(history), sorted(history[-1])
    (4, ['epoch', 'learning_rate', 'loss', 'norm', 'seconds'])
    """

    epoch: int
    row: dict[str, Any]
    net: "MLP"
    optimizer: "AnyOptimizer"
    trainer: "Trainer"


Callback = Callable[[EpochState], object]
"""Called after each epoch. Training stops if it returns True; any other value is ignored."""


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop when a figure of the history no longer gets better.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which training stops.
    min_delta : float, default 0
        By how much the figure has to beat the best one so far to count as an improvement.
    restore_best : bool, default True
        Whether the net gets the parameters of the best epoch back at the end of `fit`, stopped
        early or not. An exception, Ctrl-C among them, leaves the latest parameters.
    monitor : str, default "validation_loss"
        ``"loss"``, the training loss; ``"validation_loss"``; or a metric's key in the history,
        such as ``"validation_accuracy"``.
    maximize : bool, default False
        Whether better is higher.

    Raises
    ------
    ValueError
        If `patience` is below 1, `min_delta` negative, or `monitor` no such key.
    TypeError
        If an argument is of a wrong kind.

    Examples
    --------
    >>> EarlyStopping(patience=5, monitor="validation_accuracy", maximize=True).patience
    5
    """

    patience: int
    min_delta: float = 0.0
    restore_best: bool = True
    monitor: str = "validation_loss"
    maximize: bool = False

    def __post_init__(self) -> None:
        check_positive_int(self.patience, "patience")
        check_in_range(self.min_delta, "min_delta", 0.0)
        check_bool(self.restore_best, "restore_best")
        check_monitor(self.monitor)
        check_bool(self.maximize, "maximize")


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far, as `EarlyStopping` defines it."""

    rule: EarlyStopping
    value: float = float("inf")  # its sign turned if the rule maximizes
    epochs_since: int = 0
    parameters: "Array | None" = None
    # Those of the last epoch, while the net has the best ones: training goes on from these.
    latest: "Array | None" = None
    has_stopped: bool = False  # the `fit` whose patience was over has ended by it

    def after(self, row: dict[str, Any], net: "MLP") -> "BestEpoch":
        """What is remembered after an epoch with this row of the history."""
        rule = self.rule
        value = -row[rule.monitor] if rule.maximize else row[rule.monitor]
        if value < self.value - rule.min_delta:
            parameters = net.parameters.copy() if rule.restore_best else None
            return replace(self, value=value, epochs_since=0, parameters=parameters)
        return replace(self, epochs_since=self.epochs_since + 1)

    @property
    def patience_is_over(self) -> bool:
        """Whether training should stop."""
        return self.epochs_since >= self.rule.patience

    def has_been_restored_to(self, net: "MLP") -> bool:
        """Whether the net still has the best parameters, in place of the latest."""
        if self.latest is None or self.parameters is None:
            return False
        return np.array_equal(net.parameters, self.parameters)
