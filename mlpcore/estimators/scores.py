# SPDX-License-Identifier: BSD-3-Clause
"""The scores by which estimators judge held-out rows: accuracy and R^2, with sample weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..metrics import r2 as explained

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._core import Array


def accuracy(predicted: Array, y: Array, sample_weight: ArrayLike | None = None) -> float:
    """Share of the rows that are predicted right, in all their columns.

    Parameters
    ----------
    predicted, y : numpy.ndarray of shape (N,) or (N, K)
    sample_weight : array_like of shape (N,), optional

    Examples
    --------
    >>> accuracy(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 1]]))
    0.5
    """
    right = predicted == y.reshape(predicted.shape)
    rows = right.reshape(len(right), -1).all(axis=1)
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    return float(np.average(rows, weights=weight))


def r2(predicted: Array, y: Array, sample_weight: ArrayLike | None = None) -> float:
    """Share of the variance that is explained, the mean over outputs, as `metrics.r2`.

    NaN for a single row, which has no variance, and where a prediction is not finite.

    Parameters
    ----------
    predicted, y : numpy.ndarray of shape (N,) or (N, K)
    sample_weight : array_like of shape (N,), optional

    Examples
    --------
    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).__round__(3)
    0.786
    """
    if len(predicted) < 2 or not np.isfinite(predicted).all():
        return float("nan")
    return explained(predicted.reshape(len(predicted), -1), y.reshape(len(y), -1), sample_weight)
