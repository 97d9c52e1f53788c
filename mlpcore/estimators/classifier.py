# SPDX-License-Identifier: BSD-3-Clause
"""The classifier: its parameters, and what is predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .availability import needs_epochs
from .classes import LearnsClasses
from .foundation import ClassifierMixin
from .inputs import check_fitted
from .shared_sections import with_shared_sections

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Array
    from ..callbacks import Callback
    from ..losses import Loss
    from ..schedules import Schedule
    from .labels import Labels


@with_shared_sections
class MLPClassifier(ClassifierMixin, LearnsClasses):  # type: ignore[misc]  # of whatever library
    """Multi-layer perceptron for classes, with the interface of scikit-learn's.

    Labels of any kind: two classes, more of them, or several labels a row (zeros and ones, a column
    for each). Rows are arrays, lists, frames or sparse matrices. The parameters up to `max_fun`,
    their defaults and their meanings are those of ``sklearn.neural_network.MLPClassifier``.

    Parameters
    ----------
    {of_scikit_learn}
    loss : "log_loss", Loss or callable, default="log_loss"
        What is minimised. Another one sees the probabilities (N, K) and, as targets, zeros and ones
        of that shape: ``mlpcore.losses.MSE()``, say, or ``f(y_hat, y) -> (value, dl_dy_hat)``.
    {hidden_activations}
    output_activation : {"logistic", "softmax"}, optional
        None is ``"logistic"`` for two classes and for several labels a row, else ``"softmax"``.
        More than two classes with ``"logistic"`` are one against the rest; of their probabilities
        each row is divided by its sum.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by label; ``"balanced"`` lets all classes count alike.
    {of_the_trainer}

    Attributes
    ----------
    {net}
    classes_ : numpy.ndarray of shape (n_classes,)
        The labels, sorted.
    {curves}
    validation_scores_, best_validation_score_ : list of float and float, or None
        Accuracy of the validation rows after each epoch, where there are any.
    {counts}

    Raises
    ------
    ValueError
        At the first `fit`, as in scikit-learn, if a parameter is of a wrong type or value.

    Notes
    -----
    `get_params`, `set_params` and `score`, which is accuracy, are scikit-learn's, or do the same
    where it is not installed.

    *Sample weights* scale a row's part of the loss, which is divided by the sum of a batch's
    weights. Where a batch is all rows (and with ``"lbfgs"``) a weight of k equals the row k times;
    in smaller batches it does so in the mean over all orders.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    >>> classifier = mlpcore.MLPClassifier((16,), learning_rate_init=0.03, tol=1e-3, random_state=0)
    >>> classifier.fit(X, y).score(X, y) > 0.95
    True
    >>> classifier.predict([[1.0, 1.0], [-1.0, 1.0]])
    array(['same', 'other'], dtype='<U5')
    >>> classifier.predict_proba([[1.0, 1.0]]).shape
    (1, 2)
    """

    def __init__(
        self,
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
        loss: str | Loss | Callable[..., Any] = "log_loss",
        hidden_activations: str | Sequence[str] | None = None,
        output_activation: str | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        dropout: float | Sequence[float] = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        schedule: Schedule | Callable[[int], float] | None = None,
        callbacks: Sequence[Callback] = (),
        dtype: str | None = None,
        n_threads: int | None = None,
    ) -> None:
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
        self.loss = loss
        self.hidden_activations = hidden_activations
        self.output_activation = output_activation
        self.class_weight = class_weight
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
        """Learn from rows and their labels; from anew, unless `warm_start` is on.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            Rows to learn from; finite.
        y : array_like of shape (N,), or (N, n_labels)
            Labels; zeros and ones where a row may have several.
        sample_weight : array_like of shape (N,), optional
            How much each row counts.
        validation_data : tuple of (X, y) or (X, y, sample_weight), optional
            Rows that are judged after each epoch, and not learnt from. With `early_stopping` they
            take the place of a held-out share.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data do not fit; if the data are not finite; if training diverges,
            with epoch, step and layer. The estimator then has the attributes that it had before.

        Examples
        --------
        >>> import mlpcore
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
        >>> classifier = mlpcore.MLPClassifier((8,), solver="lbfgs", random_state=0)
        >>> classifier.fit(X, y, validation_data=([[0.5], [2.5]], ["low", "high"])).classes_
        array(['high', 'low'], dtype='<U4')
        """
        return self._fit(X, y, sample_weight, validation_data)

    @needs_epochs
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """One epoch on these rows, going on from what has been learnt.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array_like of shape (n_classes,), optional
            All labels that will come; needed in the first call, unless a row has several labels.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        AttributeError
            If `solver` is ``"lbfgs"``, which makes no epochs; `hasattr` tells.
        ValueError, TypeError
            As `fit`; or if `early_stopping` is on, or the labels are not those of before.

        Examples
        --------
        >>> import mlpcore
        >>> classifier = mlpcore.MLPClassifier((8,), random_state=0)
        >>> for X, y in [([[0.0], [3.0]], [0, 2]), ([[1.0], [2.0]], [1, 1])]:
        ...     classifier = classifier.partial_fit(X, y, classes=[0, 1, 2])
        >>> classifier.t_
        4
        """
        self._check_parameters()
        self._expect(classes)
        try:
            return self._fit(X, y, sample_weight, incremental=True)
        finally:
            self.__dict__.pop("_classes_to_come", None)

    def predict(self, X: Any) -> Array:
        """The likeliest labels.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            With the columns that `fit` was given; finite.

        Returns
        -------
        numpy.ndarray of shape (N,), or (N, n_labels)
            One of `classes_` for each row; zeros and ones where a row may have several labels.

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
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
        >>> classifier = mlpcore.MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
        >>> classifier.predict([[-1.0], [4.0]])
        array(['low', 'high'], dtype='<U4')
        """
        return self._labels_of_fitted().decode(self._forward(X))

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            With the columns that `fit` was given; finite.

        Returns
        -------
        numpy.ndarray of shape (N, n_classes)
            In the order of `classes_`; of several labels a row, that of each label by itself.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> import numpy as np
        >>> import mlpcore
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["a", "b", "b", "c"]
        >>> classifier = mlpcore.MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
        >>> probabilities = classifier.predict_proba(X)
        >>> probabilities.shape, bool(np.allclose(probabilities.sum(axis=1), 1.0))
        ((4, 3), True)
        """
        labels = self._labels_of_fitted()
        y_hat = self._forward(X)
        if labels.is_multilabel:
            return y_hat
        if labels.n_classes == 1:
            return np.ones_like(y_hat)
        if y_hat.shape[1] == 1:
            return np.hstack([1.0 - y_hat, y_hat])
        if self.out_activation_ == "logistic":
            y_hat /= y_hat.sum(axis=1, keepdims=True)
        return y_hat

    def predict_log_proba(self, X: Any) -> Array:
        """As `predict_proba`, the natural logarithms: -inf where a probability is 0."""
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(probabilities, out=probabilities)

    def decision_function(self, X: Any) -> Array:
        """What the output's activation is given, the logits; the largest is that of the prediction.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            With the columns that `fit` was given; finite.

        Returns
        -------
        numpy.ndarray of shape (N,), or (N, K)
            With two classes, above 0 where `predict` says ``classes_[1]``; with several labels a
            row, above 0 where it says yes.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> import mlpcore
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
        >>> classifier = mlpcore.MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
        >>> (classifier.decision_function([[0.0], [3.0]]) > 0).tolist()  # is it classes_[1], low?
        [True, False]
        """
        self._labels_of_fitted()
        z = self._logits(X)
        if z.shape[1] == 2 and not self._labels.is_multilabel:
            return np.asarray(z[:, 1] - z[:, 0])
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_gradient(self, X: Any) -> Array:
        """How the outputs of the net change with the features: d output / d input.

        Parameters
        ----------
        X : array_like, frame or sparse matrix of shape (N, D)
            With the columns that `fit` was given; finite.

        Returns
        -------
        numpy.ndarray of shape (N, D), or (N, K, D)
            With two classes, of the probability of ``classes_[1]``; else of each output of the
            net, which are the probabilities unless more than two classes have ``"logistic"`` ones.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.

        Examples
        --------
        >>> import mlpcore
        >>> classifier = mlpcore.MLPClassifier((4,), random_state=0, max_iter=1)
        >>> X, y = [[0.0, 1.0], [1.0, 0.0]], [0, 1]
        >>> classifier.partial_fit(X, y, classes=[0, 1]).predict_gradient(X).shape
        (2, 2)
        """
        jacobian = self._jacobian(X)
        return jacobian[:, 0] if jacobian.shape[1] == 1 else jacobian

    def _labels_of_fitted(self) -> Labels:
        check_fitted(self)
        return self._labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
