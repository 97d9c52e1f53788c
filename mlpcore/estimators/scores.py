# SPDX-License-Identifier: BSD-3-Clause
"""The scores by which estimators judge held-out rows: accuracy and R^2, with sample weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    """Share of the variance that is explained, the mean over outputs.

    1 - sum w (y - predicted)^2 / sum w (y - mean y)^2 for each output; for one whose targets are
    all equal, 1 if they are met and else 0. NaN for a single row, which has no variance, and where
    a prediction is not finite.

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
    wanted = y.reshape(len(predicted), -1).astype(np.float64)
    got = predicted.reshape(wanted.shape).astype(np.float64)
    weight = np.ones(len(got)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    mean = np.average(wanted, axis=0, weights=weight)
    missed, spread = weight @ (wanted - got) ** 2, weight @ (wanted - mean) ** 2
    constant = np.where(missed == 0.0, 1.0, 0.0)
    shares = np.where(spread > 0.0, 1.0 - missed / np.where(spread > 0.0, spread, 1.0), constant)
    return float(shares.mean())
