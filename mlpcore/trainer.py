# SPDX-License-Identifier: BSD-3-Clause
"""Training: epochs of mini-batches, and what can watch and stop them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._validation import (
    as_loss,
    as_network,
    as_optimizer,
    as_rows,
    as_sample_weight,
    as_targets,
    check_bool,
    check_finite,
    check_positive_int,
    check_seed,
)
from ._validation import (
    n_threads as checked_n_threads,
)
from .callbacks import BestEpoch, Callback, EarlyStopping, EpochState
from .history import History
from .progress import progress_bar

if TYPE_CHECKING:
    from .mlp import MLP, LossLike
    from .optimizers import Optimizer

Array = NDArray[Any]


class Rows(NamedTuple):
    """Data in the form that the core takes."""

    x: Array
    target: Array
    sample_weight: Array | None


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
    shuffle : bool, default True
        Whether each epoch takes the rows in a new order.
    seed : int, default 0
        The order of an epoch depends on this, the epoch's number and the count of rows alone.
    n_threads : int, optional
        Threads at work; None takes `mlpcore.get_n_threads()`. The results do not depend on it.

    Attributes
    ----------
    history : History
        One row for each epoch so far.
    n_epochs : int
        Epochs completed so far: the rows of `history`.
    net, loss, optimizer, batch_size, shuffle, seed, n_threads
        As given; the loss as this net computes it.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of a wrong kind.

    Notes
    -----
    Epochs are numbered over all calls of `fit`, so that ``fit(epochs=a)`` and then
    ``fit(epochs=b)`` leaves the same bits as ``fit(epochs=a + b)``.

    Examples
    --------
    >>> import numpy as np
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
        shuffle: bool = True,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.net = as_network(net)
        self.loss = as_loss(net, loss)
        as_optimizer(optimizer)
        self.optimizer = optimizer
        self.batch_size = check_positive_int(batch_size, "batch_size")
        self.shuffle = check_bool(shuffle, "shuffle")
        checked_seed = check_seed(seed)
        if checked_seed is None:
            raise TypeError("seed: expected an integer in [0, 2**64), got None")
        self.seed = checked_seed
        checked_n_threads(n_threads)
        self.n_threads = n_threads
        self.history = History()

    @property
    def n_epochs(self) -> int:
        """Epochs completed so far."""
        return len(self.history)

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
            If the loss or a gradient is not finite; nothing was updated then.
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> net = mlpcore.MLP([2, 1], init="zeros")
        >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD(0.5))
        >>> trainer.step([[1.0, 2.0]], [[3.0]])
        9.0
        """
        status, value = self._update(self._as_rows(x, y, sample_weight))
        if status == _core.NOT_FINITE:
            raise FloatingPointError(
                f"the loss ({value}) or a gradient is not finite; the parameters were not updated"
            )
        return value

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool | None = False,
        sample_weight: ArrayLike | None = None,
    ) -> History:
        """Train for a number of epochs, or until something says stop.

        Parameters
        ----------
        x : array_like of shape (N, D)
            Rows to learn from, N >= 1.
        y : array_like of shape (N, K), or (N,)
            Targets, as for `MLP.train_step`.
        epochs : int
            How often every row is used.
        validation : tuple of (x, y), optional
            Rows that are not learnt from; their loss goes into the history after each epoch.
        early_stopping : EarlyStopping, optional
            Stops when a loss no longer gets smaller.
        callbacks : iterable of callable
            Each is called with an `EpochState` after every epoch; returning True stops. What one
            raises ends training and comes out of `fit`.
        progress : bool or None, default False
            Whether to show a bar on standard error (tqdm's, if it is installed); None shows it on a
            terminal alone.
        sample_weight : array_like of shape (N,), optional
            A weight of 2 equals the row given twice.

        Returns
        -------
        History
            `history` of this trainer: a row for each epoch of this and of earlier calls.

        Raises
        ------
        FloatingPointError
            If the loss or a gradient is no longer finite. The message names epoch and step, and the
            net has the parameters before that step.
        KeyboardInterrupt
            After Ctrl-C, once the running update is complete. The epoch that it cuts short is not
            counted.
        ValueError, TypeError
            If an argument does not fit, or `x`, `y` or `sample_weight` is not finite.

        Notes
        -----
        The loss of an epoch is the mean of its mini-batches' losses, each weighted by its share of
        the rows. Each of them is from before its own update, so that it is not the loss of the
        parameters that the epoch ends with; the validation loss is.

        However `fit` ends, the net, the optimizer and `history` fit together, and the next call
        goes on from there.

        Examples
        --------
        >>> net = mlpcore.MLP([2, 8, 1], seed=0)
        >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(), batch_size=2)
        >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> history = trainer.fit(x, y, epochs=3, callbacks=[lambda state: state.epoch == 2])
        >>> [row["epoch"] for row in history]
        [1, 2]
        """
        check_positive_int(epochs, "epochs")
        data = self._as_finite_rows(x, y, sample_weight)
        held_out = self._as_validation(validation)
        best = self._as_best_epoch(early_stopping, held_out)
        callbacks = _as_callbacks(callbacks)
        if progress is not None:
            check_bool(progress, "progress")
        with progress_bar(epochs, progress) as bar:
            for _ in range(epochs):
                row = self._epoch(data)
                if held_out is not None:
                    row["validation_loss"] = self._loss(held_out)
                # Before a callback can touch the parameters: the loss is that of the ones here now.
                stop = best is not None and best.patience_is_over(row)
                state = EpochState(self.n_epochs, row, self.net, self.optimizer, self)
                for callback in callbacks:
                    stop |= _is_true(callback(state))
                bar.epoch_done(row)
                if stop:
                    break
        if best is not None:
            best.restore()
        return self.history

    # ---- one epoch -------------------------------------------------------------------------------

    def _epoch(self, data: Rows) -> dict[str, Any]:
        """Use every row once, and return the history's new row."""
        n_samples = len(data.x)
        order = _core.permutation(self.seed, self.n_epochs, n_samples) if self.shuffle else None
        start = time.perf_counter()
        if isinstance(self.loss, _core.LossKernel):
            status, loss, n_steps = self.net._train_epoch(
                *data,
                order,
                self.batch_size,
                self.loss,
                self.optimizer,
                checked_n_threads(self.n_threads),
            )
        else:
            status, loss, n_steps = self._epoch_in_python(data, order)
        seconds = time.perf_counter() - start
        if status == _core.NOT_FINITE:
            raise FloatingPointError(
                f"epoch {self.n_epochs + 1}, step {n_steps + 1}: the loss or a gradient is not "
                "finite; the net has the parameters from before this step. A lower learning_rate, "
                "or standardised x and y, usually help"
            )
        row = {"epoch": self.n_epochs + 1, "loss": loss, "seconds": seconds}
        self.history.append(row)
        return row

    def _epoch_in_python(self, data: Rows, order: Array | None) -> tuple[int, float, int]:
        """`_train_epoch` for a loss that is a Python function."""
        n_samples = len(data.x)
        loss = 0.0
        for n_steps, start in enumerate(range(0, n_samples, self.batch_size)):
            chosen: Any = slice(start, start + self.batch_size)
            if order is not None:
                chosen = order[chosen]
            weight = None if data.sample_weight is None else data.sample_weight[chosen]
            batch = Rows(data.x[chosen], data.target[chosen], weight)
            status, value = self._update(batch)
            if status == _core.NOT_FINITE:
                return status, loss, n_steps
            loss += value * (len(batch.x) / n_samples)
        return _core.OK, loss, n_steps + 1

    def _update(self, batch: Rows) -> tuple[int, float]:
        threads = checked_n_threads(self.n_threads)
        if isinstance(self.loss, _core.LossKernel):
            return self.net._train_step(*batch, self.loss, self.optimizer, threads)
        return self.net._train_step_callable(*batch, self.loss, self.optimizer, threads)

    def _loss(self, data: Rows) -> float:
        if isinstance(self.loss, _core.LossKernel):
            threads = checked_n_threads(self.n_threads)
            return self.net._value_and_grad(*data, self.loss, None, None, threads)
        return self.loss(self.net.forward(data.x, n_threads=self.n_threads), data.target)

    # ---- arguments -------------------------------------------------------------------------------

    def _as_rows(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        rows, single = as_rows(self.net, x)
        target = as_targets(self.net, y, len(rows), self.loss, single)
        return Rows(rows, target, as_sample_weight(self.net, sample_weight, len(rows)))

    def _as_finite_rows(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        data = self._as_rows(x, y, sample_weight)
        if len(data.x) == 0:
            raise ValueError("x: expected at least one row, got none")
        check_finite(data.x, "x")
        if data.target.dtype.kind == "f":  # what a callable loss takes may be anything
            check_finite(data.target, "y")
        return data

    def _as_validation(self, validation: Any) -> Rows | None:
        if validation is None:
            return None
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise TypeError(f"validation: expected a tuple (x, y), got {type(validation).__name__}")
        try:
            return self._as_finite_rows(validation[0], validation[1], None)
        except (ValueError, TypeError) as error:
            raise type(error)(f"validation: {error}") from error

    def _as_best_epoch(self, rule: Any, held_out: Rows | None) -> BestEpoch | None:
        if rule is None:
            return None
        if not isinstance(rule, EarlyStopping):
            raise TypeError(f"early_stopping: expected an EarlyStopping, got {type(rule).__name__}")
        if rule.monitor == "validation_loss" and held_out is None:
            raise ValueError(
                "early_stopping: to monitor validation_loss, fit needs validation=(x, y); "
                'monitor="loss" watches the training loss'
            )
        return BestEpoch(rule, self.net)


def _as_callbacks(callbacks: Any) -> list[Callback]:
    if isinstance(callbacks, Iterable):
        checked = list(callbacks)
        if all(map(callable, checked)):
            return checked
    raise TypeError(f"callbacks: expected an iterable of callables, got {callbacks!r}")


def _is_true(value: object) -> bool:
    """Whether a callback returned True: a value that is merely not empty does not stop training."""
    return isinstance(value, bool | np.bool_) and bool(value)
