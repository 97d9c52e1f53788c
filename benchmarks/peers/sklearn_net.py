# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's multi-layer perceptron, by its public methods alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..cases import Array, Case
from .base import BETA1, BETA2, EPSILON, Learner, join, split

ACTIVATIONS = {"identity": "identity", "relu": "relu", "sigmoid": "logistic", "tanh": "tanh"}


class SklearnNet(Learner):
    """`predict` or `predict_proba`; an epoch is a call of `partial_fit`, with what it checks."""

    title = "scikit-learn"
    jobs = ("call", "sgd_epoch", "adam_epoch")

    @classmethod
    def version(cls) -> str:
        return str(sklearn.__version__)

    @classmethod
    def can_do(cls, case: Case) -> bool:
        return case.hidden_activation in ACTIVATIONS

    def reset(self, parameters: Array, learning_rate: float) -> None:
        case = self.case
        # Its loss is summed over the outputs, and squared errors are halved.
        scale = {"mse": 2.0 / case.sizes[-1], "bce": 1.0 / case.sizes[-1], "cross_entropy": 1.0}
        make = MLPRegressor if case.loss == "mse" else MLPClassifier
        self.models = {
            job: make(
                hidden_layer_sizes=case.sizes[1:-1],
                activation=ACTIVATIONS[case.hidden_activation],
                solver=solver,
                alpha=0.0,
                batch_size=case.batch_size,
                learning_rate_init=rate,
                momentum=0.0,
                shuffle=False,
                beta_1=BETA1,
                beta_2=BETA2,
                epsilon=EPSILON,
            )
            for job, solver, rate in (
                ("sgd_epoch", "sgd", learning_rate * scale[case.loss]),
                ("adam_epoch", "adam", learning_rate),
            )
        }
        for model in self.models.values():
            self._start(model, parameters)
        self.latest = self.models["adam_epoch"]

    def _start(self, model: Any, parameters: Array) -> None:
        """Its first `partial_fit` makes the layers; the parameters are then written into them."""
        case = self.case
        n_classes = case.sizes[-1]
        # At least two rows: one alone is taken for something else by its checks of the targets.
        x, y = case.make_batch(max(2 * n_classes, case.batch_size, 2))
        if case.loss == "cross_entropy":
            model.partial_fit(x, y, classes=np.arange(n_classes))
        elif case.loss == "bce":
            model.partial_fit(x, self._labels(y), classes=np.arange(max(2, n_classes)))
        else:
            model.partial_fit(x, self._labels(y))
        for i, (weight, bias) in enumerate(split(parameters, case)):
            model.coefs_[i][...] = weight
            model.intercepts_[i][...] = bias
        # The next call makes a new one, without the moments of the first.
        model.t_ = 0
        del model._optimizer

    def _labels(self, y: NDArray[Any]) -> NDArray[Any]:
        """One output is a vector to it, and labels are integers."""
        y = y.astype(np.int64) if self.case.loss == "bce" else y
        return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y

    def prepare(self, job: str, x: Array, y: NDArray[Any]) -> tuple[Any, ...]:
        return (x,) if job == "call" else (x, self._labels(y))

    @property
    def parameters(self) -> Array:
        return join(list(zip(self.latest.coefs_, self.latest.intercepts_, strict=True)))

    def call(self, x: Array) -> Any:
        if self.case.loss == "mse":
            return self.latest.predict(x)
        return self.latest.predict_proba(x)

    def as_output(self, result: Any) -> Array:
        n_outputs = self.case.sizes[-1]
        # Of a single label it gives the probability of both classes.
        return np.asarray(result).reshape(self.case.batch_size, -1)[:, -n_outputs:]

    def as_expected(self, output: NDArray[Any]) -> NDArray[Any]:
        """Its probabilities are asked for, since it has no method that gives the logits."""
        if self.case.loss != "cross_entropy":
            return output
        exponentials = np.exp(output - output.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def sgd_epoch(self, x: Array, y: NDArray[Any]) -> Any:
        self.latest = self.models["sgd_epoch"]
        return self.latest.partial_fit(x, y)

    def learn(self, x: Array, y: NDArray[Any], orders: list[NDArray[np.int64]]) -> None:
        model = clone(self.models["adam_epoch"])
        model.set_params(shuffle=True, random_state=0, max_iter=len(orders), tol=0.0)
        model.set_params(n_iter_no_change=len(orders) + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it was told when to stop
            self.latest = model.fit(x, y)

    def adam_epoch(self, x: Array, y: NDArray[Any]) -> Any:
        self.latest = self.models["adam_epoch"]
        return self.latest.partial_fit(x, y)
