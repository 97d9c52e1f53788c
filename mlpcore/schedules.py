# SPDX-License-Identifier: BSD-3-Clause
"""Schedules: how the learning rate changes while training goes on.

A `Trainer` takes a schedule and applies it to its optimizer. The schedules here scale the rate that
the optimizer has when the first `fit` begins: with ``SGD(0.1)`` and a factor of 0.5 the rate is
0.05. All their arguments are in epochs. Those that work by the *epoch* set the rate before an
epoch's first step; those that work by the *step* set it before every step, and count each as its
share of the epoch. Any function ``f(epoch) -> learning_rate`` is a schedule by the epoch too: it is
called with the number of epochs completed, from 0, and gives the rate itself. Where a schedule
comes to 0, the smallest normal number, 2e-308, stands for it: no step that can be noticed.

Whoever sets ``optimizer.learning_rate`` in between, a callback say, scales what the schedule gives
from then on: half of the present rate makes all later ones half as large.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from ._checks import check_bool, check_in_range, check_monitor, check_positive_int, received

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "OneCycle",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
]

Function: TypeAlias = Callable[[int], float]


class Schedule(ABC):
    """Base of all schedules.

    Attributes
    ----------
    unit : {"epoch", "step"}
        When the rate changes.

    Raises
    ------
    ValueError, TypeError
        If an argument of the constructor of a schedule is out of its range or of a wrong kind.

    Examples
    --------
    One of your own, for the `schedule` of a `Trainer`:

    >>> class Halved(Schedule):
    ...     def factor(self, epoch, n_epochs):
    ...         return 1.0 if epoch < n_epochs / 2 else 0.5
    >>> [Halved().factor(epoch, 4) for epoch in range(4)]
    [1.0, 1.0, 0.5, 0.5]
    """

    unit: ClassVar[str] = "epoch"

    @abstractmethod
    def factor(self, epoch: float, n_epochs: int) -> float:
        """What the learning rate is multiplied with.

        Parameters
        ----------
        epoch : float
            Epochs done, with the share of the present one for a schedule by the step.
        n_epochs : int
            Epochs that the schedule is spread over.

        Returns
        -------
        float
            0 or above.

        Examples
        --------
        >>> Exponential(0.5).factor(2, n_epochs=10)
        0.25
        """

    def length(self, epochs: int) -> int:
        """Epochs that the schedule is spread over.

        Parameters
        ----------
        epochs : int
            Epochs of the `fit` that the schedule begins with.

        Returns
        -------
        int
            The same, unless the schedule has a length of its own.

        Examples
        --------
        >>> Cosine().length(20), Cosine(n_epochs=50).length(20)
        (20, 50)
        """
        return epochs


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate throughout; by the epoch.

    Examples
    --------
    >>> Constant().factor(7, 10)
    1.0
    """

    def factor(self, epoch: float, n_epochs: int) -> float:
        """1 at any epoch."""
        return 1.0


@dataclass(frozen=True)
class Step(Schedule):
    """Times `gamma` after every `every` epochs: ``gamma ** (epoch // every)``; by the epoch.

    Parameters
    ----------
    every : int
        Epochs between two changes.
    gamma : float, default 0.1
        Above 0.

    Examples
    --------
    >>> schedule = Step(every=10, gamma=0.5)
    >>> [schedule.factor(epoch, 30) for epoch in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_positive_int(self.every, "every")
        check_in_range(self.gamma, "gamma", 0.0, include_low=False)

    def factor(self, epoch: float, n_epochs: int) -> float:
        """``gamma ** (epoch // every)``."""
        return float(self.gamma ** (epoch // self.every))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Times `gamma` after every epoch: ``gamma ** epoch``; by the epoch.

    Parameters
    ----------
    gamma : float
        Above 0.

    Examples
    --------
    >>> Exponential(0.5).factor(3, 10)
    0.125
    """

    gamma: float

    def __post_init__(self) -> None:
        check_in_range(self.gamma, "gamma", 0.0, include_low=False)

    def factor(self, epoch: float, n_epochs: int) -> float:
        """``gamma ** epoch``."""
        return float(self.gamma**epoch)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Down along half a cosine wave, after a linear warm-up if wanted; by the step.

    With t epochs done, w of warm-up and n in all, the factor is t / w during the warm-up; then
    ``final + (1 - final) (1 + cos(pi (t - w) / (n - w))) / 2`` [1]_, and `final` from n on.

    Parameters
    ----------
    n_epochs : int, optional
        n; None takes the epochs of the `fit` that the schedule begins with. Give it where training
        is cut into several calls of `fit`.
    warmup : float, default 0
        w, below n; 0 for none.
    final : float, default 0
        The factor at the end, in [0, 1].

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
       2017, equation 5, without restarts.

    Examples
    --------
    >>> schedule = Cosine(warmup=2)
    >>> [round(schedule.factor(t, 10), 3) for t in (0, 1, 2, 6, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    unit: ClassVar[str] = "step"
    n_epochs: int | None = None
    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        high = math.inf
        if self.n_epochs is not None:
            high = check_positive_int(self.n_epochs, "n_epochs")
        check_in_range(self.warmup, "warmup", 0.0, high)
        check_in_range(self.final, "final", 0.0, 1.0, include_high=True)

    def length(self, epochs: int) -> int:
        """`n_epochs`, or where it is None `epochs`."""
        return _checked_length(self.n_epochs, epochs, self.warmup)

    def factor(self, epoch: float, n_epochs: int) -> float:
        """The formula above."""
        if epoch < self.warmup:
            return epoch / self.warmup
        share = min((epoch - self.warmup) / (n_epochs - self.warmup), 1.0)
        return _between(1.0, self.final, share)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up and far down again along half cosine waves; by the step.

    The factor rises from 1 / `start_div` to 1 within the share `rise` of the epochs, and falls to
    1 / (`start_div` `final_div`) within the rest [1]_. The optimizer's own rate is the highest.

    Parameters
    ----------
    n_epochs : int, optional
        Epochs of the cycle; None takes those of the `fit` that it begins with. After it the factor
        stays where it is.
    rise : float, default 0.3
        In (0, 1).
    start_div : float, default 25
        At least 1.
    final_div : float, default 1e4
        At least 1.

    References
    ----------
    .. [1] L. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large
       learning rates", 2017, with the cosine form and the defaults of PyTorch's ``OneCycleLR``;
       Adam's betas and momentum stay as they are.

    Examples
    --------
    >>> schedule = OneCycle(rise=0.5)
    >>> [round(schedule.factor(t, 10), 4) for t in (0, 5, 7.5, 10)]
    [0.04, 1.0, 0.5, 0.0]
    """

    unit: ClassVar[str] = "step"
    n_epochs: int | None = None
    rise: float = 0.3
    start_div: float = 25.0
    final_div: float = 1e4

    def __post_init__(self) -> None:
        if self.n_epochs is not None:
            check_positive_int(self.n_epochs, "n_epochs")
        check_in_range(self.rise, "rise", 0.0, 1.0, include_low=False)
        check_in_range(self.start_div, "start_div", 1.0)
        check_in_range(self.final_div, "final_div", 1.0)

    def length(self, epochs: int) -> int:
        """`n_epochs`, or where it is None `epochs`."""
        return epochs if self.n_epochs is None else self.n_epochs

    def factor(self, epoch: float, n_epochs: int) -> float:
        """The formula above."""
        share, start = min(epoch / n_epochs, 1.0), 1.0 / self.start_div
        if share < self.rise:
            return _between(start, 1.0, share / self.rise)
        return _between(1.0, start / self.final_div, (share - self.rise) / (1.0 - self.rise))


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Times `gamma` whenever a figure of the history has stopped getting better; by the epoch.

    Parameters
    ----------
    patience : int, default 10
        Epochs without improvement after which the rate is reduced; the count then starts anew.
    gamma : float, default 0.1
        In (0, 1).
    min_delta : float, default 0
        By how much the figure has to beat the best one so far to count as an improvement.
    min_factor : float, default 0
        The product of all reductions does not fall below it; in [0, 1).
    monitor : str, default "validation_loss"
        A key of the history's rows: ``"loss"``, ``"validation_loss"`` or a metric's.
    maximize : bool, default False
        Whether better is higher.

    Examples
    --------
    >>> ReduceOnPlateau(patience=3, gamma=0.5).patience
    3
    """

    patience: int = 10
    gamma: float = 0.1
    min_delta: float = 0.0
    min_factor: float = 0.0
    monitor: str = "validation_loss"
    maximize: bool = False

    def __post_init__(self) -> None:
        check_positive_int(self.patience, "patience")
        check_in_range(self.gamma, "gamma", 0.0, 1.0, include_low=False)
        check_in_range(self.min_delta, "min_delta", 0.0)
        check_in_range(self.min_factor, "min_factor", 0.0, 1.0)
        check_monitor(self.monitor)
        check_bool(self.maximize, "maximize")

    def factor(self, epoch: float, n_epochs: int) -> float:
        """1: what is reduced is remembered by the trainer."""
        return 1.0


def as_schedule(schedule: Any) -> Schedule | Function | None:
    """Return `schedule`: None, a `Schedule`, or a function of the epoch."""
    if schedule is None or isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, type) or not callable(schedule):
        raise TypeError(
            "schedule: expected one such as mlpcore.schedules.Cosine(), or a function of the "
            f"epoch, got {received(schedule)}"
        )
    return schedule  # type: ignore[no-any-return]


def _checked_length(n_epochs: int | None, epochs: int, warmup: float) -> int:
    length = epochs if n_epochs is None else n_epochs
    if warmup >= length:
        raise ValueError(
            f"warmup: expected fewer epochs than the {length} of the schedule, got {warmup!r}"
        )
    return length


def _between(begin: float, end: float, share: float) -> float:
    """From `begin` to `end` along half a cosine wave."""
    weight = (1.0 + math.cos(math.pi * share)) / 2.0  # 1 and 0 at the ends, to the bit
    return weight * begin + (1.0 - weight) * end
