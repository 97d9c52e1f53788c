# SPDX-License-Identifier: BSD-3-Clause
"""What can look at training and stop it: callbacks, and early stopping."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._checks import check_bool, check_choice, check_in_range, check_positive_int

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .mlp import MLP
    from .optimizers import Optimizer
    from .trainer import Trainer

MONITORS = ("validation_loss", "loss")


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
    optimizer : Optimizer
        Its ``learning_rate`` and so on may be changed for the epochs to come.
    trainer : Trainer
    """

    epoch: int
    row: dict[str, Any]
    net: "MLP"
    optimizer: "Optimizer"
    trainer: "Trainer"


Callback = Callable[[EpochState], object]
"""Called after each epoch. Training stops if it returns True; any other value is ignored."""


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop when a loss no longer gets smaller.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which training stops.
    min_delta : float, default 0
        By how much the loss has to fall below the best one so far to count as an improvement.
    restore_best : bool, default True
        Whether the net gets the parameters of the best epoch back at the end of `fit`, stopped
        early or not. An exception, Ctrl-C among them, leaves the latest parameters.
    monitor : str, default "validation_loss"
        ``"validation_loss"`` or ``"loss"``, the training loss.

    Raises
    ------
    ValueError
        If `patience` is below 1, `min_delta` negative, or `monitor` unknown.
    TypeError
        If an argument is of a wrong kind.

    Examples
    --------
    >>> EarlyStopping(patience=5)
    EarlyStopping(patience=5, min_delta=0.0, restore_best=True, monitor='validation_loss')
    """

    patience: int
    min_delta: float = 0.0
    restore_best: bool = True
    monitor: str = "validation_loss"

    def __post_init__(self) -> None:
        check_positive_int(self.patience, "patience")
        check_in_range(self.min_delta, "min_delta", 0.0)
        check_bool(self.restore_best, "restore_best")
        check_choice(self.monitor, "monitor", MONITORS)


class BestEpoch:
    """The best epoch of one `fit`, as `EarlyStopping` defines it."""

    def __init__(self, rule: EarlyStopping, net: "MLP") -> None:
        self.rule = rule
        self.net = net
        self.loss = float("inf")
        self.epochs_since = 0
        self.parameters: NDArray[Any] | None = None

    def patience_is_over(self, row: dict[str, Any]) -> bool:
        """Take note of an epoch; True if training should stop after it."""
        loss = row[self.rule.monitor]
        if loss < self.loss - self.rule.min_delta:
            self.loss = loss
            self.epochs_since = 0
            if self.rule.restore_best:
                self.parameters = self.net.parameters.copy()
        else:
            self.epochs_since += 1
        return self.epochs_since >= self.rule.patience

    def restore(self) -> None:
        """Give the net the parameters of the best epoch, if they were kept."""
        if self.parameters is not None:
            self.net.parameters[:] = self.parameters
