# SPDX-License-Identifier: BSD-3-Clause
"""Training: epochs of mini-batches, and what can watch and stop them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._checks import as_dropout, as_n_threads, check_bool, check_positive_int, check_seed, received
from ._validation import as_batch, as_network, as_optimizer
from .callbacks import BestEpoch, Callback, EarlyStopping, EpochState
from .history import History
from .losses import as_loss
from .progress import progress_bar
from .rates import Rates
from .schedules import ReduceOnPlateau, Schedule, as_schedule
from .steps import train_epoch, train_step
from .training_state import PartOfEpoch, TrainingState

if TYPE_CHECKING:
    from .held_out import HeldOut
    from .losses import CallableLoss, Loss
    from .metrics import Metric
    from .mlp import MLP, LossLike
    from .optimizers import Optimizer
    from .sources import Block, Source


class Trainer:
    """A net, a loss and an optimizer, with everything that training has to remember.

    Parameters
    ----------
    net : MLP
        Trained in place.
    loss : str, Loss or callable
        A name or an instance of `mlpcore.losses`, or ``f(y_hat, y) -> (value, dl_dy_hat)``.
    optimizer : Optimizer
        Such as ``mlpcore.Adam()``; its state goes on from call to call.
    batch_size : int, default 32
        Rows of a mini-batch. The last one of an epoch may be smaller, and is used.
    schedule : Schedule or callable, optional
        How the learning rate changes, one of `mlpcore.schedules` or ``f(epoch) -> learning_rate``.
    dropout : float or sequence of float, default 0
        Which share of a hidden layer's outputs a step leaves out, in [0, 1); the others are divided
        by 1 - share [1]_. A number is that of every hidden layer, a sequence has one for each.
        Which outputs these are is drawn anew for each step, layer, row and unit, from the seed.
        Only training steps leave out anything: validation and ``net(x)`` do not.
    shuffle : bool, default True
        Whether each epoch takes the rows in a new order.
    seed : int, optional
        In [0, 2**64). The order of an epoch depends on this, the epoch's number and the count of
        rows alone. None draws a seed from the operating system, once for this trainer.
    n_threads : int, optional
        Threads at work; None takes `mlpcore.get_n_threads()`. The results do not depend on it.

    Attributes
    ----------
    history : History
        One row for each epoch so far.
    n_epochs : int
        Epochs completed so far.
    batch_size : int
        It may be set at any time; an epoch that runs keeps the one it began with.
    net, loss, optimizer, schedule, dropout, shuffle, seed, n_threads
        As given, and read-only; the loss as this net computes it, the seed that was drawn.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of a wrong kind.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a
       simple way to prevent neural networks from overfitting", JMLR 15 (2014), in the inverted form
       of its section 10.

    Notes
    -----
    Epochs are numbered over all calls of `fit`, so that ``fit(epochs=a)`` and then
    ``fit(epochs=b)`` leaves the same bits as ``fit(epochs=a + b)``.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> x = np.linspace(-1.0, 1.0, 200)[:, np.newaxis]
    >>> net = mlpcore.MLP([1, 16, 1], activations="tanh", seed=0)
    >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(1e-2))
    >>> history = trainer.fit(x, x**2, epochs=50)
    >>> history[-1]["epoch"], history[-1]["loss"] < 0.01
    (50, True)
    """

    def __init__(
        self,
        net: MLP,
        loss: LossLike,
        optimizer: Optimizer,
        batch_size: int = 32,
        *,
        schedule: Schedule | Callable[[int], float] | None = None,
        dropout: float | Sequence[float] = 0.0,
        shuffle: bool = True,
        seed: int | None = None,
        n_threads: int | None = None,
    ) -> None:
        self._net = as_network(net)
        self._loss = as_loss(net, loss)
        as_optimizer(optimizer)
        self._optimizer = optimizer
        self.batch_size = batch_size
        self._shuffle = check_bool(shuffle, "shuffle")
        checked_seed = check_seed(seed)
        self._seed = int.from_bytes(os.urandom(8)) if checked_seed is None else checked_seed
        as_n_threads(n_threads)
        self._n_threads = n_threads
        self._rates = Rates(as_schedule(schedule))
        self._dropout = as_dropout(dropout, self._net)
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
    def optimizer(self) -> Optimizer:
        """The optimizer, with its state."""
        return self._optimizer

    @property
    def batch_size(self) -> int:
        """Rows of a mini-batch."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
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
    def history(self) -> History:
        """One row for each epoch so far."""
        return self._history

    @property
    def n_epochs(self) -> int:
        """Epochs completed so far."""
        return self._state.n_epochs

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update from one batch, as `MLP.train_step`.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            The batch, or one sample.
        y : array_like of shape (N, K), or (N,)
            Targets, as for `MLP.train_step`.
        sample_weight : array_like of shape (N,), optional
            A weight of 2 equals the row given twice.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        FloatingPointError
            If the loss, a gradient or the update is not finite; nothing was updated then.
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 1], init="zeros")
        >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD(0.5))
        >>> trainer.step([[1.0, 2.0]], [[3.0]])
        9.0
        """
        batch, _ = as_batch(self.net, x, y, sample_weight, self.loss)
        n_threads = as_n_threads(self.n_threads)
        dropout = self._drawn_dropout()
        return train_step(self.net, batch, self.loss, self.optimizer, n_threads, dropout)

    def fit(
        self,
        x: ArrayLike | Iterable[Any] | Callable[[], Iterable[Any]],
        y: ArrayLike | None = None,
        *,
        epochs: int,
        validation: tuple[ArrayLike, ArrayLike] | float | None = None,
        metrics: Iterable[str | Metric] | Mapping[str, Metric] = (),
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool | None = False,
        sample_weight: ArrayLike | None = None,
        block_rows: int | None = None,
    ) -> History:
        """Train for a number of epochs, or until something says stop.

        Parameters
        ----------
        x : array_like of shape (N, D), or iterable of batches
            Rows to learn from, N >= 1. Without `y`: an iterable of ``(x, y)`` or
            ``(x, y, sample_weight)``, or a function that returns a new one for each epoch.
        y : array_like of shape (N, K), or (N,), optional
            Targets, as for `MLP.train_step`.
        epochs : int
            How often every row is used.
        validation : tuple of (x, y), or float, optional
            Rows that are not learnt from; their loss goes into the history after each epoch. A
            number in (0, 1) holds that share of the rows out; which ones depends on the seed.
        metrics : iterable of str or callable, or mapping of str to callable, optional
            Figures of the validation rows: ``"accuracy"``, ``"r2"``, a loss's name, or functions
            ``f(y_hat, y) -> float``. Their key in the history begins with ``validation_``.
        early_stopping : EarlyStopping, optional
            Stops when a figure no longer gets better.
        callbacks : iterable of callable
            Each is called with an `EpochState` after every epoch; returning True stops. What one
            raises ends training and comes out of `fit`.
        progress : bool or None, default False
            Whether to show a bar on standard error (tqdm's, if it is installed); None shows it on a
            terminal alone.
        sample_weight : array_like of shape (N,), optional
            How much each row counts: a mini-batch's loss is divided by the sum of its weights.
        block_rows : int, optional
            Rows that are in memory at a time, see below. None takes all of an array at once, and of
            a `numpy.memmap` as many as fit 16 MiB.

        Returns
        -------
        History
            `history` of this trainer: a row for each epoch of this and of earlier calls.

        Raises
        ------
        FloatingPointError
            If the loss, a gradient or an update is no longer finite. The message names epoch, step
            and layer, and the net has the parameters before that step.
        KeyboardInterrupt
            After Ctrl-C, once the running update is complete. The epoch that it cuts short is not
            counted; the next `fit` of as many rows goes on where it was cut.
        ValueError, TypeError
            If an argument does not fit, `x`, `y` or `sample_weight` is not finite, or a target is
            not in the range of the loss: [0, 1] for ``bce`` and ``bce_with_logits``, 0 and above
            for ``cross_entropy`` and ``poisson``. In blocks this turns out when a block is read.

        Notes
        -----
        The loss of an epoch is the mean of its mini-batches' losses, each weighted by its share of
        the rows. Each of them is from before its own update, so that it is not the loss of the
        parameters that the epoch ends with; the validation loss is.

        *Sample weights.* If a mini-batch is all rows, a row of weight k is the row given k times,
        to rounding. In smaller ones it is so in the mean over all orders, and not for one of them:
        k copies of a row fall into several mini-batches, a weight into one. A mini-batch whose
        weights are all 0 changes nothing but the optimizer's moments. Validation has no weights.

        *However it ends*, the next call goes on from there: the net, the optimizer and `history`
        are those after the last update. Only `EarlyStopping` with ``restore_best=True`` takes the
        net alone back to its best epoch; a next `fit` takes up the latest parameters again, unless
        the net was changed in between, and goes on counting if its rule is the same.

        *Larger than memory.* Blocks are taken in an order of their own and shuffled one by one; the
        next is read by a thread while the present one is learnt. Two are in memory at a time: at
        most four times their bytes in the net's dtype where they have to be converted, else twice.
        A mini-batch does not reach over the end of a block. Arrays in memory and on disk
        have the same bits with the same `block_rows`. Batches of an iterable are blocks, in the
        order in which they come.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], seed=0)
        >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(), batch_size=2)
        >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> history = trainer.fit(x, y, epochs=3, callbacks=[lambda state: state.epoch == 2])
        >>> [row["epoch"] for row in history]
        [1, 2]

        Batches from a function, which is called once for each epoch:

        >>> def batches():
        ...     for first in (0, 2):
        ...         yield x[first : first + 2], y[first : first + 2]
        >>> trainer.fit(batches, epochs=1)[-1]["epoch"]
        3
        """
        # Loaded here: a step needs none of them.
        from .held_out import as_held_out, held_out_rows
        from .metrics import as_metrics
        from .sources import as_source

        check_positive_int(epochs, "epochs")
        chosen_metrics = as_metrics(metrics, self.net, self.loss)
        share = held_out_rows(validation, x, y, self.seed)
        source = as_source(
            self.net,
            self.loss,
            x,
            y,
            sample_weight,
            epochs=epochs,
            block_rows=block_rows,
            held_out=share,
        )
        held_out = as_held_out(self.net, self.loss, validation, share, x, y, chosen_metrics)
        self._check_watched(early_stopping, source, held_out)
        callbacks = _as_callbacks(callbacks)
        if progress is not None:
            check_bool(progress, "progress")
        self._rates.begin(self.optimizer, epochs)
        self._take_up(early_stopping)
        with progress_bar(epochs, progress) as bar:
            for _ in range(epochs):
                if self._has_to_stop():  # Ctrl-C came before that
                    break
                row = self._epoch(source, held_out)
                stop = self._has_to_stop()
                state = EpochState(self.n_epochs, row, self.net, self.optimizer, self)
                for callback in callbacks:
                    stop |= _is_true(callback(state))
                bar.epoch_done(row)
                if stop:
                    break
        self._restore_best()
        return self.history

    # ---- files -----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that training depends on to a file, in full or not at all.

        Between two steps, at any time: the net, the optimizer with its moments, the place in the
        epoch, the schedule, early stopping and the history. A trainer that `load` makes of it goes
        on with the bits that this one would have gone on with, given the same data and arguments of
        `fit`.

        Parameters
        ----------
        path : str or path-like
            A safetensors file; an existing one is replaced in one step, so that an interruption of
            any kind leaves the old content or the new one.

        Raises
        ------
        OSError
            If the file cannot be written.
        TypeError
            If the loss, the optimizer or the schedule is of a class of your own, or the history has
            something else than numbers and texts. A function as the loss or the schedule is not
            written; `load` has to be given it again.
        RuntimeError
            If another thread trains at this moment.

        Examples
        --------
        >>> import os, tempfile
        >>> import mlpcore
        >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> trainer = mlpcore.Trainer(mlpcore.MLP([2, 8, 1]), "mse", mlpcore.Adam())
        >>> history = trainer.fit(x, y, epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "checkpoint.safetensors")
        ...     trainer.save(path)
        ...     again = mlpcore.Trainer.load(path)
        >>> again.n_epochs, again.fit(x, y, epochs=1)[-1]["epoch"]
        (2, 3)
        >>> history = trainer.fit(x, y, epochs=1)
        >>> trainer.net == again.net
        True
        """
        from . import checkpoint

        checkpoint.save(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        loss: Callable[..., Any] | None = None,
        schedule: Callable[[int], float] | None = None,
    ) -> Self:
        """Read a trainer that `save` has written. Nothing in the file is executed.

        Parameters
        ----------
        path : str or path-like
        loss : callable, optional
            The loss, if it was a function.
        schedule : callable, optional
            The schedule, if it was a function.

        Returns
        -------
        Trainer
            With a net and an optimizer of its own.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, of another version, or no such file; or if `loss` or `schedule` is
            missing or one too many.
        """
        from . import checkpoint

        return checkpoint.load(cls, path, loss, schedule)

    # ---- one epoch -------------------------------------------------------------------------------

    def _epoch(self, source: Source, held_out: HeldOut | None) -> dict[str, Any]:
        """Use every row once, and return the history's new row."""
        epoch, n_threads = self.n_epochs, as_n_threads(self.n_threads)
        part = self._state.part
        if part is None or part.layout != source.layout:
            part = PartOfEpoch(source.layout, self.batch_size)
            self._state = replace(self._state, part=part)
        self._rates.begin_epoch(self.optimizer, epoch)
        start = time.perf_counter()
        for block in source.blocks(self.seed if self.shuffle else None, epoch, part.n_blocks):
            self._learn(block, source, part, n_threads)
            now = time.perf_counter()
            part = part.after_block(block.n_rows, now - start)
            self._state = replace(self._state, part=part)
            start = now
        if part.n_rows == 0:
            raise ValueError("x: expected at least one row, got none")
        row = {"epoch": epoch + 1, "loss": part.loss, "seconds": part.seconds}
        row["learning_rate"] = self.optimizer.learning_rate
        if held_out is not None:
            row |= held_out.figures(n_threads)
        best = self._state.best
        if best is not None:
            best = best.after(row, self.net)
        rates = self._rates.after(row)
        if self.history and self.history[-1].get("epoch") == epoch + 1:
            del self.history[-1]  # Ctrl-C came between the next two lines
        self.history.append(row)
        # Nothing is called between the two assignments, so that Ctrl-C comes before or after both.
        self._rates.state, self._state = rates, TrainingState(epoch + 1, None, best)
        return row

    def _learn(self, block: Block, source: Source, part: PartOfEpoch, n_threads: int) -> None:
        """Make the updates of a block, or what is left of them."""
        if block.n_rows == 0:
            return
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
            self.optimizer,
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
        where = not_finite_at(self.net, batch, self.loss, self.optimizer, dropout, n_threads)
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
        self._state = replace(self._state, best=best)

    def _has_to_stop(self) -> bool:
        best = self._state.best
        return best is not None and best.patience_is_over

    def _restore_best(self) -> None:
        best = self._state.best
        if best is None:
            return
        latest = None if best.parameters is None else self.net.parameters.copy()
        ended = replace(best, latest=latest, has_stopped=best.patience_is_over)
        self._state = replace(self._state, best=ended)
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
        if self._rates.is_by_step and source.n_steps(self.batch_size) is None:
            raise ValueError(
                "schedule: expected one by the epoch with an iterable of batches, whose steps "
                f"cannot be counted before, got {schedule!r}"
            )


def _as_callbacks(callbacks: Any) -> list[Callback]:
    if isinstance(callbacks, Iterable):
        checked = list(callbacks)
        if all(map(callable, checked)):
            return checked
    raise TypeError(f"callbacks: expected an iterable of callables, got {received(callbacks)}")


def _is_true(value: object) -> bool:
    """Whether a callback returned True: a value that is merely not empty does not stop training."""
    return isinstance(value, bool | np.bool_) and bool(value)
