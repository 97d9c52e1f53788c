# SPDX-License-Identifier: BSD-3-Clause
"""Training: epochs of mini-batches, and what can watch and stop them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ._checks import as_n_threads, check_bool, check_positive_int, received
from ._validation import as_batch
from .callbacks import Callback, EarlyStopping, EpochState
from .full_batch import FullBatchOptimizer
from .history import History
from .progress import progress_bar
from .sobolev import check_no_dropout, with_dy_dx
from .steps import train_step
from .training import Training, spread_schedule

if TYPE_CHECKING:
    from .metrics import Metric
    from .sources import Source


class Trainer(Training):
    """A net, a loss and an optimizer, with everything that training has to remember.

    Parameters
    ----------
    net : MLP
        Trained in place.
    loss : str, Loss or callable
        A name or an instance of `mlpcore.losses`, or ``f(y_hat, y) -> (value, dl_dy_hat)``.
    optimizer : Optimizer
        Such as ``mlpcore.Adam()``; its state goes on from call to call. `LBFGS` and
        `LevenbergMarquardt` learn from all rows at once: an epoch is then one iteration, and
        `batch_size`, `schedule` and `dropout` must not be given.
    batch_size : int, optional
        Rows of a mini-batch, 32 if not given. The last one of an epoch may be smaller, and is used.
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
    dy_dx_weight : float, default 1
        How much known derivatives count beside the targets, at least 0; see `fit`.

    Attributes
    ----------
    history : History
        One row for each epoch so far.
    n_epochs : int
        Epochs completed so far.
    batch_size : int or None
        It may be set at any time; an epoch that runs keeps the one it began with. None for an
        optimizer that learns from all rows at once.
    net, loss, optimizer, schedule, dropout, shuffle, seed, n_threads, dy_dx_weight
        As given, and read-only; the loss as this net computes it, the seed that was drawn.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of a wrong kind.

    Notes
    -----
    Epochs are numbered over all calls of `fit`, so that ``fit(epochs=a)`` and then
    ``fit(epochs=b)`` leaves the same bits as ``fit(epochs=a + b)``.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a
       simple way to prevent neural networks from overfitting", JMLR 15 (2014), in the inverted form
       of its section 10.

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

    def step(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        dy_dx: ArrayLike | None = None,
    ) -> float:
        """One update from one batch, as `MLP.train_step`.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            The batch, or one sample.
        y : array_like of shape (N, K), or (N,)
            Targets, as for `MLP.train_step`.
        sample_weight : array_like of shape (N,), optional
            A weight of 2 equals the row given twice.
        dy_dx : array_like of shape (N, K, D), optional
            Known derivatives of the targets, as for `fit`.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        FloatingPointError
            If the loss, a gradient or the update is not finite; nothing was updated then.
        ValueError, TypeError
            If an argument does not fit, or the optimizer learns from all rows at once.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 1], init="zeros")
        >>> trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD(0.5))
        >>> trainer.step([[1.0, 2.0]], [[3.0]])
        9.0
        """
        batch, single = as_batch(self.net, x, y, sample_weight, self.loss)
        batch = with_dy_dx(self.net, self.loss, batch, dy_dx, self.dy_dx_weight, single=single)
        check_no_dropout(self.dropout, batch.jacobian)
        n_threads = as_n_threads(self.n_threads)
        dropout = self._drawn_dropout()
        optimizer = self._step_optimizer
        return train_step(self.net, batch, self.loss, optimizer, n_threads, dropout)

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
        dy_dx: ArrayLike | None = None,
    ) -> History:
        """Train for a number of epochs, or until something says stop.

        Parameters
        ----------
        x : array_like of shape (N, D), or iterable of batches
            Rows to learn from, N >= 1. Without `y`: an iterable of ``(x, y)``,
            ``(x, y, sample_weight)`` or ``(x, y, sample_weight or None, dy_dx)``, or a function
            that returns a new one for each epoch.
        y : array_like of shape (N, K), or (N,), optional
            Targets, as for `MLP.train_step`.
        epochs : int
            How often every row is used.
        validation : tuple of (x, y) or (x, y, dy_dx), or float, optional
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
        dy_dx : array_like of shape (N, K, D), optional
            Known derivatives of the targets in the inputs; with one output (N, D) will do. They are
            learnt as well (Sobolev training, [1]_): the loss then is
            ``loss + dy_dx_weight * mse(net.jacobian(x), dy_dx)`` as `MLP.value_and_grad` has it.
            Not together with dropout, or with a loss that is a Python function.

        Returns
        -------
        History
            `history` of this trainer: a row for each epoch of this and of earlier calls.

        Raises
        ------
        FloatingPointError
            If the loss, a gradient or an update is no longer finite. The message names epoch, step
            and layer, and the net has the parameters before that step.
        RuntimeError
            If another call, in another thread, trains this net or uses this optimizer; the net may
            be asked meanwhile, and answers with parameters from before and after an update.
        KeyboardInterrupt
            After Ctrl-C, once the running update is complete or, of many rows, given up. The epoch
            that it cuts short is not counted; the next `fit` of as many rows goes on where it was
            cut.
        ValueError, TypeError
            If an argument does not fit, `x`, `y` or `sample_weight` is not finite, or a target is
            not in the range of the loss: [0, 1] for ``bce`` and ``bce_with_logits``, 0 and above
            for ``cross_entropy`` and ``poisson``. In blocks this turns out when a block is read.

        Notes
        -----
        The loss of an epoch is the mean of its mini-batches' losses, each weighted by its share of
        the rows. Each of them is from before its own update, so that it is not the loss of the
        parameters that the epoch ends with; the validation loss is. With an optimizer that learns
        from all rows at once both are of these parameters. Such a one takes arrays alone, and may
        end a fit before its epochs are over; its ``stop_reason`` says why.

        *Sample weights.* If a mini-batch is all rows, a row of weight k is the row given k times,
        to rounding. In smaller ones it is so in the mean over orders, up to the order of
        1 / batch_size: each mini-batch is divided by its own sum of weights and not by that of all
        rows. So weights say less the smaller mini-batches are, and in those of one row nothing. A
        mini-batch whose weights are all 0 changes nothing but the optimizer's moments. Validation
        has no weights.

        *However it ends*, the next call goes on from there: the net, the optimizer and `history`
        are those after the last update. Only `EarlyStopping` with ``restore_best=True`` takes the
        net alone back to its best epoch; a next `fit` takes up the latest parameters again, unless
        the net was changed in between, and goes on counting if its rule is the same.

        *Derivatives.* An update costs as much as one of 1 + min(D, K) as many rows, and the scratch
        memory is that of so many, of at most 512 samples. The loss in the history has both terms,
        that of validation has them if its rows have derivatives.

        *Larger than memory.* Blocks are taken in an order of their own and shuffled one by one; the
        next is read by a thread while the present one is learnt. Two are in memory at a time: at
        most four times their bytes in the net's dtype where they have to be converted, else twice.
        A mini-batch does not reach over the end of a block. Arrays in memory and on disk
        have the same bits with the same `block_rows`. Batches of an iterable are blocks, in the
        order in which they come.

        References
        ----------
        .. [1] W. M. Czarnecki, S. Osindero, M. Jaderberg, G. Swirszcz, R. Pascanu, "Sobolev
           training for neural networks", NeurIPS 2017.

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
        from .sources import as_source, as_whole_arrays

        check_positive_int(epochs, "epochs")
        chosen_metrics = as_metrics(metrics, self.net, self.loss)
        share = held_out_rows(validation, x, y, self.seed)
        data = (self.net, self.loss, x, y, sample_weight)
        source: Source
        if isinstance(self.optimizer, FullBatchOptimizer):
            self.optimizer._check_dy_dx(dy_dx)
            source = whole = as_whole_arrays(
                *data,
                block_rows=block_rows,
                held_out=share,
                dy_dx=dy_dx,
                dy_dx_weight=self.dy_dx_weight,
            )
        else:
            source = as_source(
                *data,
                epochs=epochs,
                block_rows=block_rows,
                held_out=share,
                dy_dx=dy_dx,
                dy_dx_weight=self.dy_dx_weight,
            )
        held_out = as_held_out(
            self.net,
            self.loss,
            validation,
            share,
            (x, y, dy_dx),
            chosen_metrics,
            self.dy_dx_weight,
        )
        self._check_watched(early_stopping, source, held_out)
        callbacks = _as_callbacks(callbacks)
        if progress is not None:
            check_bool(progress, "progress")
        spread_schedule(self, epochs)
        self._take_up(early_stopping)
        with progress_bar(epochs, progress) as bar:

            def has_to_stop(row: dict[str, Any]) -> bool:
                stop = self._has_to_stop()
                state = EpochState(self.n_epochs, row, self.net, self.optimizer, self)
                for callback in callbacks:
                    stop |= _is_true(callback(state))
                bar.epoch_done(row)
                return stop

            if self._has_to_stop():  # Ctrl-C came before that
                pass
            elif isinstance(self.optimizer, FullBatchOptimizer):
                self._iterations(whole, held_out, epochs, has_to_stop)
            else:
                for _ in range(epochs):
                    if has_to_stop(self._epoch(source, held_out)):
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
            any kind leaves the old content or the new one. A process that is killed may leave a
            temporary file beside it, whose name begins with a dot and ends in ``.tmp``.

        Raises
        ------
        OSError
            If the file cannot be written.
        TypeError
            If the loss, the optimizer or the schedule is of a class of your own, or the history has
            something else than numbers and texts. A function as the loss or the schedule is not
            written; `load` has to be given it again.
        RuntimeError
            If another thread trains at this moment, or a callback calls it while `LBFGS` is at
            work, which no file can hold.

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
            A file of `save`.
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

        Examples
        --------
        >>> import os, tempfile
        >>> import mlpcore
        >>> trainer = mlpcore.Trainer(mlpcore.MLP([2, 8, 1]), "mse", mlpcore.SGD(0.1, momentum=0.9))
        >>> value = trainer.step([[0.0, 1.0]], [[1.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "checkpoint.safetensors")
        ...     trainer.save(path)
        ...     again = mlpcore.Trainer.load(path)
        >>> bool((again.optimizer.first_moment == trainer.optimizer.first_moment).all())
        True
        """
        from . import checkpoint

        return checkpoint.load(cls, path, loss, schedule)


def _as_callbacks(callbacks: Any) -> list[Callback]:
    if isinstance(callbacks, Iterable):
        checked = list(callbacks)
        if all(map(callable, checked)):
            return checked
    raise TypeError(f"callbacks: expected an iterable of callables, got {received(callbacks)}")


def _is_true(value: object) -> bool:
    """Whether a callback returned True: a value that is merely not empty does not stop training."""
    return isinstance(value, bool | np.bool_) and bool(value)
