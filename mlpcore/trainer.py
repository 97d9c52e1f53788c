# SPDX-License-Identifier: BSD-3-Clause
"""Training: epochs of mini-batches, and what can watch and stop them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._checks import as_n_threads, check_bool, check_positive_int, check_seed, received
from ._validation import Batch, as_batch, as_network, as_optimizer, check_finite
from .callbacks import BestEpoch, Callback, EarlyStopping, EpochState
from .history import History
from .loss_base import check_targets
from .losses import as_loss
from .progress import progress_bar
from .steps import train_epoch, train_step, value_and_gradients

if TYPE_CHECKING:
    from .losses import CallableLoss, Loss
    from .mlp import MLP, LossLike
    from .optimizers import Optimizer


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
    net, loss, optimizer, shuffle, seed, n_threads
        As given, and read-only; the loss as this net computes it, the seed that was drawn.

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
        self._history = History()
        # Not the length of the history, which is the caller's to change.
        self._n_epochs = 0

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
        return self._n_epochs

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
        return train_step(self.net, batch, self.loss, self.optimizer, as_n_threads(self.n_threads))

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
            If the loss, a gradient or an update is no longer finite. The message names epoch and
            step, and the net has the parameters before that step.
        KeyboardInterrupt
            After Ctrl-C, once the running update is complete. The epoch that it cuts short is not
            counted.
        ValueError, TypeError
            If an argument does not fit, `x`, `y` or `sample_weight` is not finite, or a target is
            not in the range of the loss: [0, 1] for ``bce`` and ``bce_with_logits``, 0 and above
            for ``cross_entropy`` and ``poisson``.

        Notes
        -----
        The loss of an epoch is the mean of its mini-batches' losses, each weighted by its share of
        the rows. Each of them is from before its own update, so that it is not the loss of the
        parameters that the epoch ends with; the validation loss is.

        However `fit` ends, the next call goes on from there: the net, the optimizer and `history`
        are those after the last update. Only `EarlyStopping` with ``restore_best=True`` takes the
        net alone back to its best epoch; the optimizer's state and `history` stay those of the
        last one.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], seed=0)
        >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(), batch_size=2)
        >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> history = trainer.fit(x, y, epochs=3, callbacks=[lambda state: state.epoch == 2])
        >>> [row["epoch"] for row in history]
        [1, 2]
        """
        check_positive_int(epochs, "epochs")
        data = self._as_data(x, y, sample_weight)
        held_out = self._as_validation(validation)
        best = self._as_best_epoch(early_stopping, held_out)
        callbacks = _as_callbacks(callbacks)
        if progress is not None:
            check_bool(progress, "progress")
        with progress_bar(epochs, progress) as bar:
            for _ in range(epochs):
                row = self._epoch(data)
                if held_out is not None:
                    row["validation_loss"] = self._validation_loss(held_out)
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

    def _epoch(self, data: Batch) -> dict[str, Any]:
        """Use every row once, and return the history's new row."""
        n_samples = len(data.x)
        order = _core.permutation(self.seed, self.n_epochs, n_samples) if self.shuffle else None
        start = time.perf_counter()
        status, loss, n_steps = train_epoch(
            self.net,
            data,
            order,
            min(self.batch_size, n_samples),  # a larger one may not fit what the core counts with
            self.loss,
            self.optimizer,
            as_n_threads(self.n_threads),
        )
        seconds = time.perf_counter() - start
        if status == _core.NOT_FINITE:
            raise FloatingPointError(
                f"epoch {self.n_epochs + 1}, step {n_steps + 1}: the loss, a gradient or the "
                "update is not finite; the net has the parameters from before this step. A lower "
                "learning_rate, or standardised x and y, usually help"
            )
        self._n_epochs += 1
        row = {"epoch": self.n_epochs, "loss": loss, "seconds": seconds}
        self.history.append(row)
        return row

    def _validation_loss(self, held_out: Batch) -> float:
        n_threads = as_n_threads(self.n_threads)
        return value_and_gradients(self.net, held_out, self.loss, None, None, n_threads)

    # ---- arguments -------------------------------------------------------------------------------

    def _as_data(self, x: Any, y: Any, sample_weight: Any) -> Batch:
        data, _ = as_batch(self.net, x, y, sample_weight, self.loss)
        if len(data.x) == 0:
            raise ValueError("x: expected at least one row, got none")
        check_finite(data.x, "x")
        if data.target.dtype.kind == "f":  # what a callable loss takes may be anything
            check_finite(data.target, "y")
        check_targets(self.loss, data.target)
        if data.target.dtype.kind == "i":
            # Class indices were checked once, and the core follows them: a callback that changes
            # the caller's array must not change these.
            data = data._replace(target=data.target.copy())
        return data

    def _as_validation(self, validation: Any) -> Batch | None:
        if validation is None:
            return None
        if not isinstance(validation, tuple | list):
            raise TypeError(f"validation: expected a tuple (x, y), got {received(validation)}")
        if len(validation) != 2:
            raise ValueError(f"validation: expected a tuple (x, y), got {len(validation)} entries")
        try:
            return self._as_data(validation[0], validation[1], None)
        except (ValueError, TypeError) as error:
            raise type(error)(f"validation: {error}") from error

    def _as_best_epoch(self, rule: Any, held_out: Batch | None) -> BestEpoch | None:
        if rule is None:
            return None
        if not isinstance(rule, EarlyStopping):
            raise TypeError(f"early_stopping: expected an EarlyStopping, got {received(rule)}")
        if rule.monitor == "validation_loss" and held_out is None:
            raise ValueError(
                "early_stopping: expected validation=(x, y) with monitor='validation_loss', got "
                "None; monitor='loss' watches the training loss"
            )
        return BestEpoch(rule, self.net)


def _as_callbacks(callbacks: Any) -> list[Callback]:
    if isinstance(callbacks, Iterable):
        checked = list(callbacks)
        if all(map(callable, checked)):
            return checked
    raise TypeError(f"callbacks: expected an iterable of callables, got {received(callbacks)}")


def _is_true(value: object) -> bool:
    """Whether a callback returned True: a value that is merely not empty does not stop training."""
    return isinstance(value, bool | np.bool_) and bool(value)
