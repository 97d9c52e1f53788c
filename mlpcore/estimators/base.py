# SPDX-License-Identifier: BSD-3-Clause
"""What the classifier and the regressor share: a fit is a thin layer over `mlpcore.Trainer`."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from .. import _core
from ..callbacks import EarlyStopping
from ..mlp import MLP
from ..sparse_rows import SparseRows
from ..trainer import Trainer
from . import inputs
from .convergence import Convergence, Curves
from .foundation import BaseEstimator, ConvergenceWarning
from .layers import LayerArrays, take_arrays
from .parameters import core_name, hidden_names, hidden_sizes
from .settings import OF_THE_TRAINER, as_random_state, draw_parameters, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core import Array
    from ..history import History
    from ..losses import CallableLoss, Loss
    from .inputs import Rows

# An early stopping that keeps the best parameters and leaves it to `Convergence` to stop.
_NEVER = 2**62


class Objective(NamedTuple):
    """What is minimised, and how ``loss_curve_`` tells it: scale * loss + constant + penalty."""

    loss: Loss | CallableLoss | Callable[..., Any]
    scale: float = 1.0
    constant: float = 0.0


class Data(NamedTuple):
    """Rows that are learnt or judged."""

    rows: Rows  # (N, D)
    target: Array  # (N, K), or int64 classes (N,)
    weight: Array | None  # (N,)

    def part(self, chosen: Array) -> Data:
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[chosen]
        return Data(self.rows[chosen], self.target[chosen], weight)


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]  # of whatever library
    """Fit, continue, predict; the two estimators say what targets and outputs mean."""

    net_: MLP
    history_: History

    # ---- what the two estimators say -------------------------------------------------------------

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise for parameters of a wrong type or value."""

    @abstractmethod
    def _as_target(self, y: Any, goes_on: bool) -> Array:
        """Check `y`, take note of its labels unless this goes on, and encode it for the net."""

    @abstractmethod
    def _as_held_out_target(self, y: Any) -> Array:
        """Check and encode `y` of validation rows."""

    @abstractmethod
    def _output(self, target: Array) -> tuple[int, str]:
        """Number of outputs and scikit-learn's name of their activation, for such targets."""

    @abstractmethod
    def _objective(self, data: Data) -> Objective:
        """The loss for such data."""

    @abstractmethod
    def _score_of(self, y_hat: Array, target: Array, weight: Array | None) -> float:
        """The score of what the net gives (N, K) for encoded targets."""

    @abstractmethod
    def _as_learnt(self, target: Array) -> Array:
        """Encoded targets in the form that the loss takes."""

    def _row_weights(self, target: Array, incremental: bool) -> Array | None:
        """Weights of the rows that follow from the targets."""
        return None

    def _check_schedule(self) -> None:
        if self.schedule is not None and self.learning_rate != "constant":
            raise ValueError(
                "learning_rate: expected 'constant' with a schedule, which changes the rate, got "
                f"{self.learning_rate!r}"
            )

    # ---- fit -------------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        validation_data: Any = None,
        *,
        incremental: bool = False,
    ) -> Self:
        self._check_parameters()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        before = dict(vars(self))
        try:
            self._fit_checked(X, y, sample_weight, validation_data, incremental)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        return self

    def _fit_checked(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, incremental: bool
    ) -> None:
        goes_on = "net_" in vars(self) and (self.warm_start or incremental)
        sizes = hidden_sizes(self.hidden_layer_sizes)
        hidden = hidden_names(self.activation, self.hidden_activations, len(sizes))
        data = self._as_data(X, y, sample_weight, goes_on, incremental)
        n_outputs, output = self._output(data.target)
        sizes = [data.rows.shape[1], *sizes, n_outputs]
        activations = [*hidden, "identity" if output == "exp" else core_name(output)]
        if goes_on:
            net = self.net_
            if list(net.sizes) != sizes or list(net.activations) != activations:
                raise ValueError(
                    f"warm_start and partial_fit go on with {net!r}, which other layers or other "
                    f"data do not fit: now they are {sizes} with {activations}"
                )
            seed = self._trainer.seed
        else:
            net = MLP(sizes, activations, dtype=data.rows.dtype.name, init="zeros")
            generator = as_random_state(self.random_state)
            draw_parameters(net, generator)
            seed = int(generator.randint(2**31))
            self._curves = Curves()
        self.n_outputs_, self.n_layers_, self.out_activation_ = n_outputs, len(sizes), output
        learnt, held_out = self._split(data, validation_data, seed)
        learnt = learnt._replace(target=self._as_learnt(learnt.target))
        objective = self._objective(learnt)
        trainer = self._make_trainer(net, objective, seed, goes_on)
        self._train(trainer, learnt, held_out, objective, 1 if incremental else self.max_iter)

    def _as_data(
        self, X: Any, y: Any, sample_weight: Any, goes_on: bool, incremental: bool
    ) -> Data:
        if goes_on:
            inputs.check_features(self, X)
            rows = inputs.as_rows(self, X, self.net_.dtype.name)
            inputs.check_n_features(self, rows.shape[1])
        else:
            rows = inputs.as_rows(self, X, self.dtype)
            self.n_features_in_ = rows.shape[1]
            names = inputs.feature_names(X)
            vars(self).pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
        target = self._as_target(y, goes_on)
        inputs.check_same_length(rows, target)
        weight = inputs.as_weights(self, sample_weight, rows.shape[0], rows.dtype)
        of_classes = self._row_weights(target, incremental)
        if of_classes is not None:
            weight = (of_classes if weight is None else of_classes * weight).astype(rows.dtype)
        return Data(rows, target, weight)

    def _split(self, data: Data, validation_data: Any, seed: int) -> tuple[Data, Data | None]:
        """The rows to learn, and those to judge by: given ones, or a share that is held out."""
        if validation_data is not None:
            if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
                raise TypeError(
                    "validation_data: expected a tuple (X, y) or (X, y, sample_weight), got "
                    f"{type(validation_data).__name__}"
                )
            X, y, *weights = validation_data
            inputs.check_features(self, X)
            rows = inputs.as_rows(self, X, data.rows.dtype.name)
            inputs.check_n_features(self, rows.shape[1])
            target = self._as_held_out_target(y)
            inputs.check_same_length(rows, target)
            given = weights[0] if weights else None
            weight = inputs.as_weights(self, given, rows.shape[0], rows.dtype)
            return data, Data(rows, target, weight)
        if not self.early_stopping:
            return data, None
        # scikit-learn stratifies where there are two classes; here it is all single labels.
        held_out = held_out_rows(
            data.target if data.target.ndim == 1 else np.zeros(len(data.target), np.int64),
            self.validation_fraction,
            seed,
        )
        learnt = np.delete(np.arange(len(data.target)), held_out)
        if len(held_out) < 2 or len(learnt) < 1:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        judged = data.part(held_out)
        return data.part(learnt), judged._replace(target=self._as_learnt(judged.target))

    def _make_trainer(self, net: MLP, objective: Objective, seed: int, goes_on: bool) -> Trainer:
        """The trainer of the last fit, unless something that it was made with has changed."""
        settings = {name: getattr(self, name) for name in OF_THE_TRAINER}
        former = self._trainer if goes_on else None
        if former is not None and settings == self._trainer_settings:
            return former
        trainer = Trainer(
            net,
            objective.loss,
            make_optimizer(self, None if former is None else former.optimizer),
            schedule=self.schedule,
            dropout=self.dropout,
            shuffle=bool(self.shuffle),
            seed=seed,
            n_threads=self.n_threads,
        )
        if former is not None:
            trainer._go_on_from(former)
        self._trainer_settings = settings
        return trainer

    def _train(
        self,
        trainer: Trainer,
        data: Data,
        held_out: Data | None,
        objective: Objective,
        epochs: int,
    ) -> None:
        n_rows = len(data.target)
        trainer.batch_size = batch_size = self._rows_of_a_batch(n_rows)
        if isinstance(data.rows, SparseRows):
            data.rows.batch_size = batch_size
        # scikit-learn divides its penalties by the weights of the very batch; here it is the mean
        # batch, which differs for the last one of an epoch and where batches weigh differently.
        batch_weight = batch_size * (1.0 if data.weight is None else float(data.weight.mean()))
        trainer.optimizer.l2 = self.alpha / batch_weight
        trainer.optimizer.l1 = self.l1 / batch_weight
        self._curves = curves = Curves(**vars(self._curves))
        curves.losses, curves.scores = [*curves.losses], [*curves.scores]
        convergence = Convergence(
            curves,
            n_rows,
            None if held_out is None else "validation_score",
            bool(self.early_stopping),
            self.tol,
            self.n_iter_no_change,
            self.learning_rate if self.solver == "sgd" else "constant",
            self.learning_rate_init,
            self.power_t,
            bool(self.verbose),
            objective.scale,
            objective.constant,
            self.alpha / batch_weight,
            self.l1 / batch_weight,
        )
        n_before = trainer.n_epochs
        is_interrupted = False
        try:
            trainer.fit(
                data.rows,
                data.target,
                sample_weight=data.weight,
                epochs=epochs,
                validation=None if held_out is None else (held_out.rows, held_out.target),
                metrics={} if held_out is None else {"score": self._judge(held_out)},
                early_stopping=_BEST if self.early_stopping else None,
                callbacks=[convergence, *self.callbacks],
            )
        except KeyboardInterrupt:
            is_interrupted = True
        except FloatingPointError as error:
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                f"values and need to be preprocessed. ({error})"
            ) from error
        if convergence.has_converged:
            curves.epochs_without_improvement = 0  # for a fit that goes on
        self._trainer, self.net_, self.history_ = trainer, trainer.net, trainer.history
        self.n_iter_ = trainer.n_epochs - n_before
        self._show(curves, held_out is not None)
        if is_interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        elif not convergence.has_converged and self.n_iter_ == epochs == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _judge(self, held_out: Data) -> Callable[[Array, Array], float]:
        return lambda y_hat, target: self._score_of(y_hat, target, held_out.weight)

    def _rows_of_a_batch(self, n_rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, n_rows)
        if self.batch_size > n_rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=6,
            )
        return int(min(self.batch_size, n_rows))

    def _show(self, curves: Curves, has_scores: bool) -> None:
        """Set scikit-learn's attributes."""
        self.loss_curve_ = curves.losses
        self.loss_ = curves.losses[-1] if curves.losses else np.inf
        self.best_loss_ = None if self.early_stopping else curves.best_loss
        self.validation_scores_ = curves.scores if has_scores else None
        self.best_validation_score_ = curves.best_score if has_scores else None
        self.t_ = curves.n_samples_seen

    # ---- what a fitted one gives -----------------------------------------------------------------

    @property
    def coefs_(self) -> list[Array]:
        """Weight of each layer, (n_inputs, n_outputs): live views of ``net_.parameters``."""
        inputs.check_fitted(self)
        return LayerArrays(weight.T for weight in self.net_.weights)

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        take_arrays(self.coefs_, values)

    @property
    def intercepts_(self) -> list[Array]:
        """Bias of each layer, (n_outputs,): live views of ``net_.parameters``."""
        inputs.check_fitted(self)
        return LayerArrays(bias for bias in self.net_.biases if bias is not None)

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        take_arrays(self.intercepts_, values)

    def _rows_to_predict(self, X: Any) -> Rows:
        inputs.check_fitted(self)
        inputs.check_features(self, X)
        rows = inputs.as_rows(self, X, self.net_.dtype.name)
        inputs.check_n_features(self, rows.shape[1])
        return rows

    def _forward(self, X: Any, net: MLP | None = None) -> Array:
        """What the fitted net, or another one for the same rows, gives, (N, K)."""
        rows = self._rows_to_predict(X)
        net = self.net_ if net is None else net
        if not isinstance(rows, SparseRows):
            return net.forward(rows, n_threads=self.n_threads)
        result = np.empty((len(rows), net.sizes[-1]), net.dtype)
        for piece in rows.pieces():
            net.forward(rows.dense(piece), out=result[piece], n_threads=self.n_threads)
        return result

    def _jacobian(self, X: Any) -> Array:
        """d output / d input, (N, K, D)."""
        rows = self._rows_to_predict(X)
        if not isinstance(rows, SparseRows):
            return self.net_.jacobian(rows)
        return np.concatenate([self.net_.jacobian(rows.dense(piece)) for piece in rows.pieces()])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


_BEST = EarlyStopping(_NEVER, monitor="validation_score", maximize=True)


def held_out_rows(strata: Array, share: float, seed: int) -> Array:
    """Return the numbers of the rows that are held out: the share, rounded up, of each stratum.

    The strata get their parts of the whole number of rows by the largest remainder; the smaller of
    them first where remainders are equal. Which rows depends on the seed and the strata alone.

    Examples
    --------
    >>> strata = np.repeat([0, 1], [90, 10])
    >>> held_out = held_out_rows(strata, 0.1, 0)
    >>> np.bincount(strata[held_out]).tolist()
    [9, 1]
    """
    n_rows = len(strata)
    order = _core.permutation(_core.random_key(seed, "held_out", 0), 0, n_rows)
    counts = np.bincount(strata)
    wanted = counts * (np.ceil(share * n_rows) / n_rows)
    parts = np.floor(wanted).astype(np.int64)
    for stratum in np.argsort(parts - wanted, kind="stable")[: round(wanted.sum()) - parts.sum()]:
        parts[stratum] += 1
    shuffled = strata[order]
    chosen = [order[shuffled == k][: parts[k]] for k in np.flatnonzero(parts)]
    return np.sort(np.concatenate([np.empty(0, np.int64), *chosen]))
