# SPDX-License-Identifier: BSD-3-Clause
"""Figures that a `fit` takes of the validation rows, besides the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ._checks import received
from .losses import NAMED, CallableLoss, Loss, as_loss

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .mlp import MLP

Metric: TypeAlias = Callable[[Any, Any], float]

NAMES = ("accuracy", "r2", *NAMED)


def accuracy(y_hat: Array, y: Array, *, threshold: float | None = None) -> float:
    """Share of right answers.

    Parameters
    ----------
    y_hat : numpy.ndarray of shape (N, K)
        Predictions.
    y : numpy.ndarray of shape (N, K), or integer classes (N,)
        Targets.
    threshold : float, optional
        None: one answer a row, the class with the largest prediction. Else K answers a row, each of
        them yes where the prediction is above the threshold; the target is a yes above 1/2.

    Examples
    --------
    >>> accuracy(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 1]))
    0.5
    >>> accuracy(np.array([[0.7], [0.4]]), np.array([[1.0], [0.0]]), threshold=0.5)
    1.0
    """
    if threshold is not None:
        return float(np.mean((y_hat > threshold) == (y > 0.5)))
    classes = y if y.ndim == 1 else y.argmax(axis=1)
    return float(np.mean(y_hat.argmax(axis=1) == classes))


def r2(y_hat: Array, y: Array, sample_weight: ArrayLike | None = None) -> float:
    """Share of the targets' variance that is explained, the mean over outputs.

    1 - sum w (y - y_hat)^2 / sum w (y - mean y)^2 for each output. An output whose targets are all
    equal has no variance to explain: its share is 1 if they are met, else 0.

    Parameters
    ----------
    y_hat, y : numpy.ndarray of shape (N, K)
        Predictions and targets.
    sample_weight : array_like of shape (N,), optional
        How much each row counts; not all of them 0.

    Examples
    --------
    >>> r2(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [3.0]]))
    1.0
    """
    wanted, got = np.asarray(y, np.float64), np.asarray(y_hat, np.float64)
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    mean = np.average(wanted, axis=0, weights=weight)
    missed = np.average((wanted - got) ** 2, axis=0, weights=weight)
    spread = np.average((wanted - mean) ** 2, axis=0, weights=weight)
    constant = np.where(missed == 0.0, 1.0, 0.0)
    shares = np.where(spread > 0.0, 1.0 - missed / np.where(spread > 0.0, spread, 1.0), constant)
    return float(shares.mean())


def as_metrics(metrics: Any, net: MLP, loss: Loss | CallableLoss) -> dict[str, Metric]:
    """Return the metrics by the names that they have in the history.

    Parameters
    ----------
    metrics : iterable of str or callable, or mapping of str to callable
        Names of `NAMES`; or functions ``f(y_hat, y) -> float``, whose ``__name__`` counts where no
        name is given.
    net : MLP
    loss : Loss or CallableLoss
        With `net` it decides what ``accuracy`` means.
    """
    rule = f"names ({', '.join(NAMES)}) or functions f(y_hat, y)"
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics: expected an iterable of {rule}, got {received(metrics)}")
    named: dict[str, Metric] = {}
    items = metrics.items() if isinstance(metrics, Mapping) else ((None, m) for m in metrics)
    for given, metric in items:
        if isinstance(metric, str):
            name = metric if given is None else given
            function = _by_name(metric, net, loss, rule)
        elif callable(metric):
            name = getattr(metric, "__name__", type(metric).__name__) if given is None else given
            function = metric
        else:
            raise TypeError(f"metrics: expected {rule}, got {received(metric)}")
        if not isinstance(name, str):
            raise TypeError(f"metrics: expected text for a name, got {received(name)}")
        if name in named or name == "loss":
            raise ValueError(f"metrics: expected names that differ, got {name!r} twice")
        named[name] = function
    return named


def _by_name(name: str, net: MLP, loss: Loss | CallableLoss, rule: str) -> Metric:
    if name == "r2":
        return r2
    if name == "accuracy":
        if isinstance(loss, Loss) and loss.name == "bce_with_logits":
            return partial(accuracy, threshold=0.0)
        has_yes_or_no = net.activations[-1] == "sigmoid" or net.sizes[-1] == 1
        return partial(accuracy, threshold=0.5 if has_yes_or_no else None)
    if name not in NAMED:
        raise ValueError(f"metrics: expected {rule}, got {name!r}")
    return as_loss(net, name)
