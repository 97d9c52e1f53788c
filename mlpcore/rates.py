# SPDX-License-Identifier: BSD-3-Clause
"""The learning rates of a trainer: its schedule, applied to its optimizer."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_in_range
from .schedules import Function, ReduceOnPlateau, Schedule

if TYPE_CHECKING:
    from ._core import Array
    from .optimizer_base import Optimizer

# What stands for a rate of 0, which no optimizer has.
SMALLEST_RATE = sys.float_info.min


@dataclass(frozen=True)
class RateState:
    """What is remembered of a schedule from step to step."""

    # What the schedule's factor, or a function's rate, is multiplied with; None before training.
    scale: float | None = None
    n_epochs: int = 0  # that the schedule is spread over
    best: float = math.inf  # of what ReduceOnPlateau watches, its sign turned to maximize
    epochs_since: int = 0
    reduced: float = 1.0


class Rates:
    """The learning rates of a trainer, by its schedule; without one the optimizer's stays."""

    def __init__(self, schedule: Schedule | Function | None) -> None:
        self.schedule = schedule
        # Replaced as a whole: Ctrl-C finds what was before a change, or what is after it.
        self.state = RateState()

    @property
    def is_by_step(self) -> bool:
        """Whether every step has a rate of its own."""
        return isinstance(self.schedule, Schedule) and self.schedule.unit == "step"

    def begin(self, optimizer: Optimizer, epochs: int) -> None:
        """Take note of the rate before the first epoch, and of the length of the first `fit`."""
        if self.schedule is None or self.state.scale is not None:
            return
        if isinstance(self.schedule, Schedule):
            n_epochs = self.schedule.length(epochs)
            self.state = replace(self.state, scale=optimizer.learning_rate, n_epochs=n_epochs)
        else:
            self.state = replace(self.state, scale=1.0)

    def begin_epoch(self, optimizer: Optimizer, epoch: int) -> None:
        """Set the rate of the epoch after `epoch` others, if it has one for all its steps."""
        if self.schedule is None:
            return
        self._take_over(optimizer)
        if not self.is_by_step:
            optimizer._schedule(self._rate(epoch))

    def of_steps(self, epoch: int, first: int, n: int, n_steps: int) -> Array | None:
        """Rates of `n` steps from `first` on, of `n_steps` of an epoch; None: the optimizer's."""
        if not self.is_by_step:
            return None
        return np.array([self._rate(epoch + (first + i) / n_steps) for i in range(n)])

    def after(self, row: dict[str, Any]) -> RateState:
        """The state after an epoch with this row of the history: `ReduceOnPlateau` waits for it."""
        rule, state = self.schedule, self.state
        if not isinstance(rule, ReduceOnPlateau):
            return state
        value = -row[rule.monitor] if rule.maximize else row[rule.monitor]
        if value < state.best - rule.min_delta:
            return replace(state, best=value, epochs_since=0)
        if state.epochs_since + 1 < rule.patience:
            return replace(state, epochs_since=state.epochs_since + 1)
        reduced = max(state.reduced * rule.gamma, rule.min_factor)
        return replace(state, epochs_since=0, reduced=reduced)

    def _take_over(self, optimizer: Optimizer) -> None:
        """Let a rate that was set by hand scale all that are to come."""
        last, rate = optimizer._scheduled_rate, optimizer.learning_rate
        if rate != last and last > SMALLEST_RATE:
            assert self.state.scale is not None
            state = replace(self.state, scale=self.state.scale * (rate / last))
            # Nothing is called between the two assignments: Ctrl-C comes before or after both.
            self.state, optimizer._scheduled_rate = state, rate

    def _rate(self, epoch: float) -> float:
        assert self.schedule is not None
        assert self.state.scale is not None
        if isinstance(self.schedule, Schedule):
            factor = self.state.reduced * self.schedule.factor(epoch, self.state.n_epochs)
        else:
            factor = check_in_range(self.schedule(int(epoch)), "schedule's learning rate", 0.0)
        return max(self.state.scale * factor, SMALLEST_RATE)
