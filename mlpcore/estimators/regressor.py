# SPDX-License-Identifier: BSD-3-Clause
"""The regressor: one target or several, losses by scikit-learn's names and by ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..losses import L1, Huber, LogCosh, Poisson, Quantile
from .availability import needs_epochs
from .base import BaseMLP
from .fitting import Data, Objective
from .foundation import RegressorMixin
from .inputs import as_numbers, check_finite
from .labels import as_targets_array
from .parameters import REGRESSOR, check_parameters
from .scores import r2
from .shared_sections import with_shared_sections

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Array
    from ..callbacks import Callback
    from ..losses import Loss
    from ..schedules import Schedule

_LOSSES = {"l1": L1, "huber": Huber, "log_cosh": LogCosh, "quantile": Quantile}


@with_shared_sections
class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]  # of whatever library
    """Multi-layer perceptron for real numbers, with the interface of scikit-learn's.

    One target a row, or several. Rows are arrays, lists, frames or sparse matrices. The parameters
    up to `max_fun`, their defaults and their meanings are those of
    ``sklearn.neural_network.MLPRegressor``; `loss` knows more.

    Parameters
    ----------
    loss : str, Loss or callable, default="squared_error"
        What is minimised: half the squared error; ``"poisson"``, half the Poisson deviance of an
        exponential output; ``"l1" "huber" "log_cosh" "quantile"``, as in `mlpcore.losses`; an
        instance of those, such as ``mlpcore.losses.Quantile(0.9)``; or a function
        ``f(y_hat, y) -> (value, dl_dy_hat)`` of arrays (N, K).
    {of_scikit_learn}
    {hidden_activations}
    output_activation : str, optional
        As for `hidden_activations`; None is ``"identity"``, and with ``"poisson"`` the exponential
        function, which has no other name here.
    {of_the_trainer}

    Attributes
    ----------
    {net}
    {curves}
    validation_scores_, best_validation_score_ : list of float and float, or None
        R^2 of the validation rows after each epoch, where there are any.
    {counts}

    Raises
    ------
    ValueError
        At the first `fit`, as in scikit-learn, if a parameter is of a wrong type or value.

    Notes
    -----
    `get_params`, `set_params` and `score`, which is R^2, are scikit-learn's, or do the same where
    it is not installed.

    *Sample weights* scale a row's part of the loss, which is divided by the sum of a batch's
    weights. Where a batch is all rows (and with ``"lbfgs"``) a weight of k equals the row k times;
    in smaller batches it does so in the mean over all orders.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> X = np.linspace(-2, 2, 200)[:, np.newaxis]
    >>> y = np.sin(2 * X[:, 0])
    >>> regressor = mlpcore.MLPRegressor(hidden_layer_sizes=(32,), activation="tanh",
    ...                                  learning_rate_init=0.03, random_state=0)
    >>> regressor.fit(X, y).score(X, y) > 0.95
    True
    >>> regressor.predict_gradient([[0.0]]).shape          # dy/dx, close to 2 there
    (1, 1)
    """

    def __init__(
        self,
        loss: str | Loss | Callable[..., Any] = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        hidden_activations: str | Sequence[str] | None = None,
        output_activation: str | None = None,
        dropout: float | Sequence[float] = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        schedule: Schedule | Callable[[int], float] | None = None,
        callbacks: Sequence[Callback] = (),
        dtype: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.hidden_activations = hidden_activations
        self.output_activation = output_activation
        self.dropout = dropout
        self.l1 = l1
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.callbacks = callbacks
        self.dtype = dtype
        self.n_threads = n_threads

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[Any, ...] | None = None,
    ) -> Self:
        """Learn from rows and their targets; from anew, unless `warm_start` is on.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            Rows to learn from; finite.
        y : array_like of shape (N,) or (N, n_targets)
            Targets; finite, and 0 or above with ``"poisson"``.
        sample_weight : array_like of shape (N,), optional
            How much each row counts.
        validation_data : tuple of (X, y) or (X, y, sample_weight), optional
            Rows that are judged after each epoch, and not learnt from. With `early_stopping` they
            take the place of a held-out share.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit; if the data are not finite; if training diverges,
            with epoch, step and layer. The estimator then has the attributes that it had before.

        Examples
        --------
        >>> import numpy as np
        >>> import mlpcore
        >>> X = np.linspace(-1, 1, 50)[:, np.newaxis]
        >>> y = X[:, 0] ** 2
        >>> regressor = mlpcore.MLPRegressor(hidden_layer_sizes=(8,), tol=1.0, random_state=0)
        >>> regressor = regressor.fit(X[::2], y[::2], validation_data=(X[1::2], y[1::2]))
        >>> len(regressor.validation_scores_) == regressor.n_iter_
        True
        """
        return self._fit(X, y, sample_weight, validation_data)

    @needs_epochs
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """One epoch on these rows, going on from what has been learnt.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        AttributeError
            If `solver` is ``"lbfgs"``, which makes no epochs; `hasattr` tells.
        ValueError, TypeError
            As `fit`; or if `early_stopping` is on.

        Examples
        --------
        >>> import mlpcore
        >>> regressor = mlpcore.MLPRegressor(hidden_layer_sizes=(8,), random_state=0)
        >>> for X, y in [([[0.0], [3.0]], [0.0, 6.0]), ([[1.0], [2.0]], [2.0, 4.0])]:
        ...     regressor = regressor.partial_fit(X, y)
        >>> regressor.t_
        4
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Predict the targets of rows.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            With the columns that `fit` was given; finite.

        Returns
        -------
        numpy.ndarray of shape (N,), or (N, n_targets)
            In the unit of the targets.

        Raises
        ------
        NotFittedError
            If `fit` was not called before.
        ValueError
            If the rows do not fit: other columns than `fit` was given, or a cell that is no finite
            number.

        Examples
        --------
        >>> import mlpcore
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
        >>> regressor = mlpcore.MLPRegressor(activation="identity", solver="lbfgs", tol=1e-9,
        ...                                  alpha=0.0, random_state=0)
        >>> regressor.fit(X, y).predict([[1.5], [4.0]]).round(3)
        array([4., 9.])
        """
        y_hat = self._forward(X)
        if self.out_activation_ == "exp":
            np.exp(y_hat, out=y_hat)
        return y_hat[:, 0] if y_hat.shape[1] == 1 else y_hat

    def predict_gradient(self, X: Any) -> Array:
        """How the predictions change with the features: d output / d input.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            With the columns that `fit` was given; finite.

        Returns
        -------
        numpy.ndarray of shape (N, D), or (N, n_targets, D)
            In units of the targets by those of the features.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> import mlpcore
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
        >>> regressor = mlpcore.MLPRegressor(activation="identity", solver="lbfgs", tol=1e-9,
        ...                                  alpha=0.0, random_state=0)
        >>> regressor.fit(X, y).predict_gradient([[1.5]]).round(3)
        array([[2.]])
        """
        jacobian = self._jacobian(X)
        if self.out_activation_ == "exp":
            jacobian *= np.exp(self._forward(X))[:, :, np.newaxis]
        return jacobian[:, 0] if jacobian.shape[1] == 1 else jacobian

    # ---- what the base asks ----------------------------------------------------------------------

    def _check_parameters(self) -> None:
        check_parameters(self, REGRESSOR)
        self._check_solver()
        if self.loss == "poisson" and self.output_activation is not None:
            raise ValueError(
                "output_activation: expected None with loss='poisson', whose output is the "
                f"exponential function, got {self.output_activation!r}"
            )

    def _as_target(self, y: Any, goes_on: bool) -> Array:
        array = as_numbers(as_targets_array(self, y))
        check_finite(array, "y", self)
        if self.loss == "poisson" and array.size > 0 and array.min() < 0:
            raise ValueError(
                f"y: expected targets 0 or above with loss='poisson', got {array.min()}"
            )
        return array.reshape(len(array), -1)

    def _as_held_out_target(self, y: Any) -> Array:
        return self._as_target(y, True)

    def _as_learnt(self, target: Array) -> Array:
        return target

    def _output(self, target: Array) -> tuple[int, str]:
        output = "exp" if self.loss == "poisson" else self.output_activation or "identity"
        return target.shape[1], output

    def _objective(self, data: Data) -> Objective:
        if self.loss == "squared_error":
            # Half the squared error is Huber's with its corner beyond all numbers. As in
            # scikit-learn, the sum over the targets is minimised, and their mean is told.
            largest = float(np.finfo(data.rows.dtype).max)
            return Objective(Huber(largest, "batch_mean"), 1.0 / data.target.shape[1])
        if self.loss == "poisson":
            # The deviance has this besides, which no weight of the net can change.
            y = data.target.astype(np.float64)
            own = (y * np.log(np.where(y > 0.0, y, 1.0)) - y).sum(axis=1)
            return Objective(
                Poisson("batch_mean"), 1.0, float(np.average(own, weights=data.weight))
            )
        if isinstance(self.loss, str):
            return Objective(_LOSSES[self.loss](reduction="batch_mean"))
        return Objective(self.loss)

    def _score_of(self, y_hat: Array, target: Array, weight: Array | None) -> float:
        with np.errstate(over="ignore"):
            predicted = np.exp(y_hat) if self.out_activation_ == "exp" else y_hat
        return r2(predicted, target, weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
