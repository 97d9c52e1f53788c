# SPDX-License-Identifier: BSD-3-Clause
"""What a classifier's net learns: how labels become targets, losses, weights and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..losses import BCE, CrossEntropy
from ..mlp import MLP
from .base import BaseMLP
from .fitting import Data, Objective
from .labels import as_labels, class_weights, labels_of
from .parameters import CLASSIFIER, check_parameters
from .scores import accuracy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Array
    from ..losses import Loss
    from .labels import Labels


class LearnsClasses(BaseMLP):
    """Between labels and the numbers that a net learns; `MLPClassifier` is what users see."""

    loss: str | Loss | Callable[..., Any]
    output_activation: str | None
    class_weight: Mapping[Any, float] | str | None
    classes_: Array
    _labels: Labels

    def _check_parameters(self) -> None:
        check_parameters(self, CLASSIFIER)
        self._check_solver()

    def _as_target(self, y: Any, goes_on: bool) -> Array:
        labels = as_labels(self, y)
        to_come = getattr(self, "_classes_to_come", None)
        if goes_on:
            self._labels.check_same(labels, all_of_them=bool(self.warm_start))
        elif to_come is None or labels.ndim == 2:
            self._labels = labels_of(labels)
        else:
            self._labels = to_come
            self._labels.check_same(labels, all_of_them=False)
        if labels.ndim != 1 + self._labels.is_multilabel:
            raise ValueError("y: expected as many labels a row as in the previous call")
        self.classes_ = self._labels.classes
        return self._labels.encode(labels)

    def _expect(self, classes: Any) -> None:
        """Take note of the labels that the first call of `partial_fit` says will come."""
        first = getattr(self, "_labels", None) is None
        if classes is None and first:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is None:
            return
        labels = labels_of(np.asarray(classes))
        if first:
            self._classes_to_come = labels
        elif not np.array_equal(labels.classes, self._labels.classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{self.classes_!r}"
            )

    def _as_held_out_target(self, y: Any) -> Array:
        labels = as_labels(self, y)
        self._labels.check_same(labels, all_of_them=False)
        return self._labels.encode(labels)

    def _row_weights(self, target: Array, incremental: bool) -> Array | None:
        if self.class_weight == "balanced" and incremental:
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which does not see all "
                "rows; pass the weights, n_samples / (n_classes * np.bincount(y)), as a dictionary"
            )
        if self.class_weight is None:
            return None
        y = target if self._labels.is_multilabel else self._labels.classes[target]
        return class_weights(self.class_weight, self._labels, y)

    def _output(self, target: Array) -> tuple[int, str]:
        labels = self._labels
        if labels.is_multilabel:
            if self.output_activation == "softmax":
                raise ValueError(
                    "output_activation: expected 'logistic' with several labels a row, got "
                    "'softmax'"
                )
            return labels.n_classes, "logistic"
        output = self.output_activation
        if output is None:
            output = "logistic" if labels.n_classes <= 2 else "softmax"
        one = labels.n_classes <= 2 and output == "logistic"
        return (1 if one else labels.n_classes), output

    def _objective(self, data: Data) -> Objective:
        if not isinstance(self.loss, str):
            return Objective(self.loss)
        if self.out_activation_ == "softmax":
            return Objective(CrossEntropy())
        return Objective(BCE("batch_mean"))

    def _as_learnt(self, target: Array) -> Array:
        """Targets in the form that the loss takes: classes, or zeros and ones in columns."""
        if self._labels.is_multilabel:
            return target
        if self.out_activation_ == "softmax" and self.loss == "log_loss":
            return target
        if self.n_outputs_ == 1:
            return target[:, np.newaxis]
        columns = np.arange(self.n_outputs_)
        return np.asarray(target[:, np.newaxis] == columns, np.int64)

    def _logits(self, X: Any) -> Array:
        """What the output's activation is given, (N, K)."""
        net = self.net_
        logits = MLP(net.sizes, (*net.activations[:-1], "identity"), net.dtype, init="zeros")
        logits.parameters[:] = net.parameters
        return self._forward(X, logits)

    def _score_of(self, y_hat: Array, target: Array, weight: Array | None) -> float:
        if not np.isfinite(y_hat).all():
            return float("nan")
        labels = self._labels
        if labels.is_multilabel:
            return accuracy(y_hat > 0.5, target > 0.5, weight)
        if target.ndim == 2:
            target = target[:, 0] if target.shape[1] == 1 else target.argmax(axis=1)
        if y_hat.shape[1] == 1:
            return accuracy(y_hat[:, 0] > 0.5, target > 0.5, weight)
        return accuracy(y_hat.argmax(axis=1), target, weight)
