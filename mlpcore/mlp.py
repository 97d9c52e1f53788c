# SPDX-License-Identifier: BSD-3-Clause
"""The multi-layer perceptron: what a net does.

What it is stands in `topology`, what derivatives it can be asked for in `queries`.

Methods that live in other modules are thin and import them late, so that ``import mlpcore`` stays
quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from . import _core
from ._checks import as_n_threads
from ._validation import as_batch, as_optimizer, as_output, as_rows
from .exchange import Exchange
from .losses import NAMED, as_loss
from .queries import Queries
from .steps import backward, train_step
from .trace import Gradients, Trace, trace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .callbacks import Callback, EarlyStopping
    from .chain import Chain
    from .full_batch import AnyOptimizer
    from .gradient_report import GradientReport
    from .history import History
    from .losses import CallableLoss, Loss
    from .metrics import Metric
    from .schedules import Schedule

    LossLike: TypeAlias = str | Loss | CallableLoss | Callable[..., Any]


class MLP(Queries, Exchange):
    """A multi-layer perceptron: layer after layer ``activation(x @ weight.T + bias)``.

    ``net(x)`` is the output, as of `forward`.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers and outputs, ``(D, ..., K)``: at least two sizes, each at least 1.
    activations : str or sequence of str, default="relu"
        One name per layer, of ``identity relu leaky_relu elu gelu silu softplus tanh sigmoid``, and
        on the last layer also ``softmax``. A single name is that of every hidden layer, and the
        output's is then ``identity``.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the parameters, of every computation and of every result.
    seed : int, optional
        Seed of the first weights, in [0, 2**64); None draws one from the operating system.
    init : str, default="auto"
        How the weights start, a name of `mlpcore.initializers`; the biases start at zero.
    bias : bool, default=True
        Whether the layers have biases.

    Attributes
    ----------
    parameters : numpy.ndarray of shape (P,)
        All parameters in one array: live, writable, contiguous, 64-byte aligned.
    weights : tuple of numpy.ndarray
        Weight of each layer, (n_outputs, n_inputs): a live view of `parameters`.
    biases : tuple of numpy.ndarray or None
        Bias of each layer, (n_outputs,): a live view of `parameters`; None without biases.
    sizes, activations, dtype, has_bias
        The topology; it does not change.
    n_parameters : int
        Number of parameters, P.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of a wrong kind.
    MemoryError
        If there is no memory for the parameters.

    Notes
    -----
    In memory a layer's weight lies as (n_inputs, n_outputs), before its bias; `weights` are the
    transposed views. To replace parameters, write into them: ``net.parameters[:] = values``.

    Two nets are equal when their topologies are and every parameter has the same bits.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
    >>> net(np.zeros((3, 2))).shape
    (3, 5)
    >>> net.weights[0].shape, net.biases[0].shape, net.n_parameters
    ((20, 2), (20,), 165)
    >>> net.biases[1][:] = 1.0
    >>> net(np.zeros(2))
    array([1., 1., 1., 1., 1.], dtype=float32)
    """

    __slots__ = ()

    def _forward_checked(self, x: Any, out: Any, n_threads: Any) -> Array:
        """What `__call__` and `forward` do with arguments that the core cannot take as they are."""
        threads = as_n_threads(n_threads)
        rows, single = as_rows(self, x)
        n_samples = rows.shape[0]
        if out is not None:
            as_output(self, out, n_samples, single)
        result = np.empty((n_samples, self._sizes[-1]), self._dtype)
        self._forward_rows(rows, result, threads)
        if single:
            result = result[0]
        if out is None:
            return result
        # By way of a result of our own: out may be strided, or overlap x or the parameters.
        out[...] = result
        return out  # type: ignore[no-any-return]

    def trace(self, x: ArrayLike) -> Trace:
        """Forward pass that keeps every intermediate, and the parameters it was made with.

        Parameters
        ----------
        x : array_like of shape (N, D) or (D,)
            Samples as rows, or one sample.

        Returns
        -------
        Trace
            With ``.output`` and, for each layer, ``.layers[l].input .pre_activation .output
            .activation_derivative``. It is not changed by a later update of the net.

        Raises
        ------
        ValueError, TypeError
            If `x` does not have D columns or is no array of real numbers.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> trace = net.trace([[0.5, -1.0]])
        >>> trace.layers[0].pre_activation.shape, trace.output.shape
        ((1, 3), (1, 1))
        """
        return trace(self, x)

    def backward(
        self,
        trace: Trace,
        loss_or_cotangent: LossLike | ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Gradients:
        """Gradients of a loss, or of any cotangent, from a trace.

        Parameters
        ----------
        trace : Trace
            From `MLP.trace`; its parameters count, not those that the net has now.
        loss_or_cotangent : str, Loss, callable, or array_like of shape (N, K)
            A loss with its targets `y`; or a cotangent dl/dy_hat, of the shape of the output, such
            as ``loss.gradient(trace, y)``.
        y : array_like of shape (N, K), or of shape (N,), optional
            Targets of the loss, as for `train_step`.
        sample_weight : array_like of shape (N,), optional
            Weights of the loss's samples; a weight of 2 equals the row given twice.

        Returns
        -------
        Gradients
            ``.flat``, ``.weights``, ``.biases``, ``.inputs``. They are new at every call, and the
            caller's.

        Raises
        ------
        ValueError, TypeError
            If the trace is of another topology, or an argument does not fit.

        Warnings
        --------
        A loss that is given ``trace.output`` in place of the trace sees bare predictions, and not
        which activation they come from: ``CrossEntropy()`` takes the probabilities of a softmax
        for logits, and the gradients are then those of another loss.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> x, y = [[0.5, -1.0]], [[1.0]]
        >>> trace = net.trace(x)
        >>> loss = mlpcore.losses.MSE()
        >>> gradients = net.backward(trace, loss, y)
        >>> same = net.backward(trace, loss.gradient(trace, y))
        >>> bool((gradients.flat == same.flat).all())
        True
        """
        return backward(self, trace, loss_or_cotangent, y, sample_weight)

    def _train_step_checked(
        self, x: Any, y: Any, loss: Any, optimizer: Any, sample_weight: Any
    ) -> float:
        """What `train_step` does with arguments that the core cannot take as they are."""
        checked_loss = as_loss(self, loss)
        as_optimizer(optimizer)
        batch, _ = as_batch(self, x, y, sample_weight, checked_loss)
        return train_step(self, batch, checked_loss, optimizer, _core.default_n_threads())

    def fit(
        self,
        x: ArrayLike | Iterable[Any] | Callable[[], Iterable[Any]],
        y: ArrayLike | None,
        loss: LossLike,
        optimizer: AnyOptimizer,
        *,
        epochs: int,
        batch_size: int | None = None,
        validation: tuple[ArrayLike, ArrayLike] | float | None = None,
        metrics: Iterable[str | Metric] | Mapping[str, Metric] = (),
        early_stopping: EarlyStopping | None = None,
        schedule: Schedule | Callable[[int], float] | None = None,
        dropout: float | Sequence[float] = 0.0,
        callbacks: Iterable[Callback] = (),
        progress: bool | None = False,
        sample_weight: ArrayLike | None = None,
        block_rows: int | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        dy_dx: ArrayLike | None = None,
        dy_dx_weight: float = 1.0,
    ) -> History:
        """Train for a number of epochs, in mini-batches.

        A thin call of `Trainer`, which has more to say about each argument and which training can
        be continued with.

        Parameters
        ----------
        x : array_like of shape (N, D), or iterable of batches
            Rows to learn from; `y` is None with an iterable of ``(x, y)``.
        y : array_like of shape (N, K), or (N,), or None
            Targets, as for `train_step`.
        loss : str, Loss or callable
            As for `train_step`.
        optimizer : Optimizer
            Such as ``mlpcore.Adam()``, or ``mlpcore.LBFGS()``, which learns from all rows at once.
        epochs : int
            How often every row is used.
        batch_size : int, optional
            Rows of a mini-batch, 32 if not given. The last one of an epoch may be smaller, and is
            used. Not for an optimizer that learns from all rows at once.
        validation : tuple of (x, y), or float, optional
            Rows that are not learnt from, or the share of the rows that is held out for it; their
            loss goes into the history.
        metrics : iterable of str or callable, or mapping of str to callable, optional
            Further figures of the validation rows, such as ``"accuracy"``.
        early_stopping : EarlyStopping, optional
            Stops when a figure no longer gets better.
        schedule : Schedule or callable, optional
            How the learning rate changes, one of `mlpcore.schedules`.
        dropout : float or sequence of float, default=0
            Which share of the outputs of hidden layers a step leaves out.
        callbacks : iterable of callable, optional
            Each is called after every epoch; returning True stops.
        progress : bool or None, default=False
            Whether to show a progress bar; None shows it on a terminal alone.
        sample_weight : array_like of shape (N,), optional
            How much each row counts; `Trainer.fit` says when a weight of 2 is the row given twice.
        block_rows : int, optional
            Rows that are in memory at a time, of data that are larger than it.
        shuffle : bool, default=True
            Whether each epoch takes the rows in a new order.
        seed : int, optional
            Where these orders come from, in [0, 2**64); None draws one at each call.
        dy_dx : array_like of shape (N, K, D), optional
            Known derivatives of the targets in the inputs, which are learnt as well; with one
            output (N, D) will do. The loss is
            ``loss + dy_dx_weight * mse(net.jacobian(x), dy_dx)``.
        dy_dx_weight : float, default=1
            How much the derivatives count, at least 0.

        Returns
        -------
        History
            One row for each epoch.

        Raises
        ------
        FloatingPointError
            If the loss, a gradient or an update is no longer finite; the message names epoch, step
            and layer, and the net has the parameters before that step.
        ValueError, TypeError
            If an argument does not fit, the data are not finite, or a target is not in the range
            of the loss: [0, 1] for ``bce`` and ``bce_with_logits``, 0 and above for
            ``cross_entropy`` and ``poisson``.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 8, 1], seed=0)
        >>> x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> history = net.fit(x, y, loss="mse", optimizer=mlpcore.Adam(0.01), epochs=100)
        >>> history[-1]["loss"] < history[0]["loss"]
        True
        """
        from .trainer import Trainer

        trainer = Trainer(
            self,
            loss,
            optimizer,
            batch_size,
            schedule=schedule,
            dropout=dropout,
            shuffle=shuffle,
            seed=seed,
            dy_dx_weight=dy_dx_weight,
        )
        return trainer.fit(
            x,
            y,
            epochs=epochs,
            validation=validation,
            metrics=metrics,
            early_stopping=early_stopping,
            callbacks=callbacks,
            progress=progress,
            sample_weight=sample_weight,
            block_rows=block_rows,
            dy_dx=dy_dx,
        )

    def chain(self, x: ArrayLike, y: ArrayLike, loss: LossLike) -> Chain:
        """Every quantity and every derivative of the chain rule, by name.

        Parameters
        ----------
        x, y, loss
            As for `train_step`.

        Returns
        -------
        Chain
            A mapping: the values ``x z1 z2 ... y_hat l``, local factors such as ``dz2/dz1``,
            accumulated ones such as ``dl/dz1``, and the parameters' gradients such as ``dl/dW1``.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> chain = net.chain([0.5, -1.0], [1.0], "mse")
        >>> chain["dl/dW1"].shape, chain["dz2/dz1"].shape
        ((3, 2), (3,))
        """
        from .chain import chain

        return chain(self, x, y, loss)

    def gradient_report(self, x: ArrayLike, y: ArrayLike, loss: LossLike) -> GradientReport:
        """How gradients fare from layer to layer: norms, saturated and dead units, a diagnosis.

        Parameters
        ----------
        x, y, loss
            As for `train_step`.

        Returns
        -------
        GradientReport
            ``.layers[l]`` with the figures, ``.diagnosis`` in words; ``str()`` is a table.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1], seed=0)
        >>> report = net.gradient_report([[0.5, -1.0]], [[1.0]], "mse")
        >>> len(report.layers)
        2
        """
        from .gradient_report import gradient_report

        return gradient_report(self, x, y, loss)

    def explain(self, loss: LossLike, format: Literal["text", "markdown", "latex"] = "text") -> str:
        """The tables of the chain rule for this net and a loss.

        Parameters
        ----------
        loss : str, Loss or callable
            As for `train_step`.
        format : {"text", "markdown", "latex"}, default="text"
            How the tables are drawn.

        Returns
        -------
        str
            Layers with their shapes; every gradient by the chain rule, with order and transposes
            right; every local derivative.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([2, 3, 1])
        >>> "dl/dW1" in net.explain("mse")
        True
        """
        from .explain import explain

        return explain(self, loss, format)


_core.register(NAMED, Gradients)
