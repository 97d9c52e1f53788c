# SPDX-License-Identifier: BSD-3-Clause
"""What the classifier and the regressor share: a fit is a thin layer over `mlpcore.Trainer`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .._validation import converted
from ..mlp import MLP
from ..sparse_rows import SparseRows
from . import inputs
from .convergence import Curves
from .fitting import Data, Objective, as_fit, make_trainer, part_rows, train
from .foundation import BaseEstimator
from .layers import LayerArrays, take_arrays
from .parameters import core_name, hidden_names, hidden_sizes
from .settings import as_random_state, check_lbfgs, draw_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._core import Array
    from ..callbacks import Callback
    from ..history import History
    from ..schedules import Schedule
    from ..trainer import Trainer
    from .inputs import Rows


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]  # of whatever library
    """Fit, continue, predict; the two estimators say what targets and outputs mean."""

    # scikit-learn's parameters and attributes, and what goes on from fit to fit.
    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: int | np.random.RandomState | None
    tol: float
    verbose: bool | int
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: float
    max_fun: int
    hidden_activations: str | Sequence[str] | None
    dropout: float | Sequence[float]
    l1: float
    schedule: Schedule | Callable[[int], float] | None
    callbacks: Sequence[Callback]
    dtype: str | None
    n_threads: int | None
    net_: MLP
    history_: History
    n_features_in_: int
    n_outputs_: int
    n_layers_: int
    out_activation_: str
    n_iter_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    _curves: Curves
    _trainer: Trainer
    _trainer_settings: dict[str, Any]

    # ---- what the two estimators say -------------------------------------------------------------

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise for parameters of a wrong type or value."""

    @abstractmethod
    def _as_target(self, y: Any, goes_on: bool) -> Array:
        """Check `y`, take note of its labels unless this goes on, and encode it for the net."""

    @abstractmethod
    def _as_held_out_target(self, y: Any) -> Array:
        """Check `y` of validation rows, and encode it as `_as_target` does."""

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

    def _check_solver(self) -> None:
        if self.schedule is not None and self.learning_rate != "constant":
            raise ValueError(
                "learning_rate: expected 'constant' with a schedule, which changes the rate, got "
                f"{self.learning_rate!r}"
            )
        if self.solver == "lbfgs":
            check_lbfgs(self)

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
        before = dict(self.__dict__)
        try:
            self._fit_checked(X, y, sample_weight, validation_data, incremental)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
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
            if self.dtype is not None and self.dtype != net.dtype:
                raise ValueError(
                    f"dtype: expected None or {net.dtype.name!r}, in which warm_start and "
                    f"partial_fit go on, got {self.dtype!r}"
                )
            former, seed = self._trainer, self._trainer.seed
        else:
            net = MLP(sizes, activations, dtype=data.rows.dtype.name, init="zeros")
            generator = as_random_state(self.random_state)
            draw_parameters(net, generator)
            former, seed = None, int(generator.randint(2**31))
            self._curves = Curves()
        self.n_outputs_, self.n_layers_, self.out_activation_ = n_outputs, len(sizes), output
        learnt, judged = self._judged_by(data, validation_data, seed)
        objective = self._objective(learnt)
        fit = as_fit(self, learnt, judged, objective, incremental)
        train(self, make_trainer(self, net, fit, seed, former), fit)

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
            self.__dict__.pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
        target = self._as_target(y, goes_on)
        inputs.check_same_length(rows, target)
        weight = inputs.as_weights(self, sample_weight, rows.shape[0], rows.dtype)
        of_classes = self._row_weights(target, incremental)
        if of_classes is not None:
            weight = of_classes if weight is None else of_classes * weight
            weight = converted(weight, rows.dtype, "class_weight, sample_weight")
        return Data(rows, target, weight)

    def _judged_by(self, data: Data, validation_data: Any, seed: int) -> tuple[Data, Data | None]:
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
            judged = Data(rows, target, weight)
        elif self.early_stopping and self.solver != "lbfgs":
            data, judged = part_rows(data, self.validation_fraction, seed)
        else:
            return data._replace(target=self._as_learnt(data.target)), None
        return (
            data._replace(target=self._as_learnt(data.target)),
            judged._replace(target=self._as_learnt(judged.target)),
        )

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
