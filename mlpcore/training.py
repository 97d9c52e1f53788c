# SPDX-License-Identifier: BSD-3-Clause
"""What a trainer holds, and one epoch of it: under `Trainer`, which is what users call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._checks import (
    as_dropout,
    as_n_threads,
    check_bool,
    check_positive_int,
    check_seed,
    received,
)
from ._validation import as_network, as_optimizer, as_trainers_optimizer
from .callbacks import BestEpoch, EarlyStopping
from .full_batch import FullBatchOptimizer
from .full_batch_problem import FullBatchProblem
from .history import History
from .losses import as_loss
from .rates import Rates
from .schedules import ReduceOnPlateau, Schedule, as_schedule
from .sobolev import check_dy_dx_weight, check_no_dropout
from .steps import train_epoch
from .training_state import Memory, PartOfEpoch, TrainingState, nothing_learnt

if TYPE_CHECKING:
    from .full_batch import AnyOptimizer
    from .held_out import HeldOut
    from .losses import CallableLoss, Loss
    from .mlp import MLP, LossLike
    from .optimizer_base import Optimizer
    from .sources import Block, Source, WholeArrays


DEFAULT_BATCH_SIZE = 32

_ALL_ROWS = "expected {} with {!r}, which learns from all rows at once, got {}"


class Training:
    """Net, loss, optimizer and all that is remembered; the parameters are those of `Trainer`."""

    def __init__(
        self,
        net: MLP,
        loss: LossLike,
        optimizer: AnyOptimizer,
        batch_size: int | None = None,
        *,
        schedule: Schedule | Callable[[int], float] | None = None,
        dropout: float | Sequence[float] = 0.0,
        shuffle: bool = True,
        seed: int | None = None,
        n_threads: int | None = None,
        dy_dx_weight: float = 1.0,
    ) -> None:
        self._net = as_network(net)
        self._loss = as_loss(net, loss)
        self._optimizer = as_trainers_optimizer(optimizer)
        if batch_size is None and not isinstance(optimizer, FullBatchOptimizer):
            batch_size = DEFAULT_BATCH_SIZE
        self.batch_size = batch_size
        self._shuffle = check_bool(shuffle, "shuffle")
        checked_seed = check_seed(seed)
        self._seed = int.from_bytes(os.urandom(8)) if checked_seed is None else checked_seed
        as_n_threads(n_threads)
        self._n_threads = n_threads
        self._dy_dx_weight = check_dy_dx_weight(dy_dx_weight)
        self._rates = Rates(as_schedule(schedule))
        self._dropout = as_dropout(dropout, self._net)
        if isinstance(optimizer, FullBatchOptimizer):
            optimizer._check_loss(self._loss)
            if schedule is not None:
                raise ValueError(
                    f"schedule: {_ALL_ROWS.format(None, optimizer, received(schedule))}"
                )
            if any(self._dropout):  # the loss would be another one at each look
                raise ValueError(f"dropout: {_ALL_ROWS.format(0, optimizer, received(dropout))}")
        self._history = History()
        self._state = TrainingState()

    @property
    def net(self) -> MLP:
        """The net that is trained."""
        return self._net

    @property
    def loss(self) -> Loss | CallableLoss:
        """The loss, as the net computes it."""
        return self._loss

    @property
    def optimizer(self) -> AnyOptimizer:
        """The optimizer, with its state."""
        return self._optimizer

    @property
    def _step_optimizer(self) -> Optimizer:
        """The optimizer, which has to be one that makes steps."""
        as_optimizer(self._optimizer)
        return self._optimizer  # type: ignore[return-value]  # it is no FullBatchOptimizer

    @property
    def batch_size(self) -> int | None:
        """Rows of a mini-batch; None if the optimizer takes all rows at once."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int | None) -> None:
        if isinstance(self._optimizer, FullBatchOptimizer):
            if value is not None:
                words = _ALL_ROWS.format(None, self._optimizer, received(value))
                raise ValueError(f"batch_size: {words}")
            self._batch_size = None
        else:
            self._batch_size = check_positive_int(value, "batch_size")

    @property
    def schedule(self) -> Schedule | Callable[[int], float] | None:
        """How the learning rate changes."""
        return self._rates.schedule

    @property
    def dropout(self) -> tuple[float, ...]:
        """Share of each hidden layer's outputs that a step leaves out."""
        return self._dropout

    @property
    def shuffle(self) -> bool:
        """Whether each epoch takes the rows in a new order."""
        return self._shuffle

    @property
    def seed(self) -> int:
        """Where the order of the rows comes from."""
        return self._seed

    @property
    def n_threads(self) -> int | None:
        """Threads at work; None takes `mlpcore.get_n_threads()`."""
        return self._n_threads

    @property
    def dy_dx_weight(self) -> float:
        """How much known derivatives count."""
        return self._dy_dx_weight

    @property
    def history(self) -> History:
        """One row for each epoch so far."""
        return self._history

    @property
    def n_epochs(self) -> int:
        """Epochs completed so far."""
        return self._state.n_epochs

    # ---- one epoch -------------------------------------------------------------------------------

    def _epoch(self, source: Source, held_out: HeldOut | None) -> dict[str, Any]:
        """Use every row once, and return the history's new row."""
        epoch, n_threads = self.n_epochs, as_n_threads(self.n_threads)
        optimizer, part = self._step_optimizer, self._state.part
        assert self.batch_size is not None
        if part is None or part.layout != source.layout:
            part = nothing_learnt(source.layout, self.batch_size)
            self._state = TrainingState(epoch, part, self._state.best)
        self._rates.begin_epoch(optimizer, epoch)
        start = time.perf_counter()
        for block in source.blocks(self.seed if self.shuffle else None, epoch, part.n_blocks):
            self._learn(block, source, part, optimizer, n_threads)
            now = time.perf_counter()
            part = part.after_block(block.n_rows, now - start)
            self._state = TrainingState(epoch, part, self._state.best)
            start = now
        if part.n_rows == 0:
            raise ValueError("x: expected at least one row, got none")
        row = {"epoch": epoch + 1, "loss": part.loss, "seconds": part.seconds}
        row["learning_rate"] = optimizer.learning_rate
        return self._epoch_done(row, held_out, n_threads)

    def _iterations(
        self,
        source: WholeArrays,
        held_out: HeldOut | None,
        epochs: int,
        after: Callable[[dict[str, Any]], bool],
    ) -> None:
        """Epochs of an optimizer of all rows; `after` takes each row and says whether to stop."""
        optimizer = self.optimizer
        assert isinstance(optimizer, FullBatchOptimizer)
        n_threads = as_n_threads(self.n_threads)
        rows = source.rows()
        problem = FullBatchProblem(self.net, self.loss, rows, optimizer, n_threads)
        problem.epoch = self.n_epochs + 1
        start = time.perf_counter()

        def iteration_done(figures: dict[str, Any]) -> bool:
            nonlocal start
            seconds = time.perf_counter() - start
            row = {"epoch": self.n_epochs + 1, "loss": figures.pop("loss"), "seconds": seconds}
            stop = after(self._epoch_done(row | figures, held_out, n_threads))
            problem.epoch = self.n_epochs + 1
            start = time.perf_counter()
            return stop

        optimizer._minimize(problem, epochs, iteration_done)

    def _epoch_done(
        self, row: dict[str, Any], held_out: HeldOut | None, n_threads: int
    ) -> dict[str, Any]:
        """Count an epoch, and return its row with what the held-out rows say."""
        epoch = self.n_epochs
        if held_out is not None:
            row |= held_out.figures(n_threads)
        best = self._state.best
        if best is not None:
            best = best.after(row, self.net)
        history, n_rows = self._history, len(self._history)
        rates, state = self._rates.after(row), TrainingState(epoch + 1, None, best)
        # Nothing is called between the three assignments, so that Ctrl-C comes before or after all.
        history[n_rows:], self._rates.state, self._state = [row], rates, state
        return row

    def _learn(
        self,
        block: Block,
        source: Source,
        part: PartOfEpoch,
        optimizer: Optimizer,
        n_threads: int,
    ) -> None:
        """Make the updates of a block, or what is left of them."""
        if block.n_rows == 0:
            return
        check_no_dropout(self.dropout, block.batch.jacobian)
        batch_size = min(part.batch_size, block.n_rows)  # the core counts rows with it
        rates = None
        if self._rates.is_by_step:
            n_steps = source.n_steps(part.batch_size)
            assert n_steps is not None  # _check_watched
            n = -(-block.n_rows // batch_size)
            rates = self._rates.of_steps(self.n_epochs, part.n_steps, n, n_steps)
        status = train_epoch(
            self.net,
            block.batch,
            block.order,
            batch_size,
            self.loss,
            optimizer,
            n_threads,
            rates,
            part.block,
            self._drawn_dropout(),
        )
        if status == _core.NOT_FINITE:
            self._raise_not_finite(block, part, batch_size, n_threads)

    def _drawn_dropout(self) -> _core.Dropout | None:
        return _core.Dropout(np.array(self.dropout), self.seed) if any(self.dropout) else None

    def _raise_not_finite(
        self, block: Block, part: PartOfEpoch, batch_size: int, n_threads: int
    ) -> None:
        from .divergence import not_finite_at

        first = part.block.n_steps * batch_size
        batch = block.rows(slice(first, first + batch_size))
        dropout = self._drawn_dropout()
        where = not_finite_at(self.net, batch, self.loss, self._step_optimizer, dropout, n_threads)
        raise FloatingPointError(
            f"epoch {self.n_epochs + 1}, step {part.n_steps + part.block.n_steps + 1}: {where} is "
            "not finite; the net has the parameters from before this step. A lower learning_rate, "
            "or standardised x and y, usually help"
        )

    # ---- early stopping --------------------------------------------------------------------------

    def _take_up(self, rule: EarlyStopping | None) -> None:
        """Go on from the latest parameters, and with the count of the best epoch."""
        best = self._state.best
        if best is not None and best.has_been_restored_to(self.net):
            self.net.parameters[:] = best.latest
        if rule is None:
            best = None
        elif best is None or best.rule != rule:
            best = BestEpoch(rule)
        elif best.has_stopped:
            best = replace(best, epochs_since=0, latest=None, has_stopped=False)
        else:
            best = replace(best, latest=None)
        self._state = self._state._replace(best=best)

    def _has_to_stop(self) -> bool:
        best = self._state.best
        return best is not None and best.patience_is_over

    def _restore_best(self) -> None:
        best = self._state.best
        if best is None:
            return
        latest = None if best.parameters is None else self.net.parameters.copy()
        ended = replace(best, latest=latest, has_stopped=best.patience_is_over)
        self._state = self._state._replace(best=ended)
        if best.parameters is not None:
            self.net.parameters[:] = best.parameters

    # ---- arguments -------------------------------------------------------------------------------

    def _check_watched(self, rule: Any, source: Source, held_out: HeldOut | None) -> None:
        """Check that what early stopping and the schedule have to know will be there."""
        if rule is not None and not isinstance(rule, EarlyStopping):
            raise TypeError(f"early_stopping: expected an EarlyStopping, got {received(rule)}")
        keys = ["loss"] if held_out is None else ["loss", *held_out.keys]
        schedule = self.schedule
        plateau = schedule if isinstance(schedule, ReduceOnPlateau) else None
        for name, watcher in (("early_stopping", rule), ("schedule", plateau)):
            if watcher is not None and watcher.monitor not in keys:
                raise ValueError(
                    f"{name}: expected monitor to be one of {', '.join(keys)}, which is all that "
                    "the history will have (validation and metrics add to it), got "
                    f"{watcher.monitor!r}"
                )
        if not self._rates.is_by_step:
            return
        assert self.batch_size is not None  # a schedule wants an optimizer that makes steps
        if source.n_steps(self.batch_size) is None:
            raise ValueError(
                "schedule: expected one by the epoch with an iterable of batches, whose steps "
                f"cannot be counted before, got {schedule!r}"
            )


# ---- for checkpoints, and for whoever makes trainers that take the place of others ---------------


def memory_of(trainer: Training) -> Memory:
    """Return all that a trainer goes on from, besides its net and its optimizer."""
    return Memory(trainer._state, trainer._rates.state, trainer._history)


def remember(trainer: Training, memory: Memory) -> None:
    """Let a trainer go on from what another one of the same settings has remembered."""
    trainer._state, trainer._rates.state, trainer._history = memory


def spread_schedule(trainer: Training, epochs: int) -> None:
    """Spread the schedule over so many epochs, however few the first `fit` makes."""
    if not isinstance(trainer.optimizer, FullBatchOptimizer):
        trainer._rates.begin(trainer.optimizer, epochs)
