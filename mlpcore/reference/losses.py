# SPDX-License-Identifier: BSD-3-Clause
"""Losses l(y_hat, y): value, gradient and second derivative with respect to y_hat.

A loss is a sum of terms, one for each entry of y_hat (N, K), times a scale that the reduction and
the sample weights fix.  The terms of each loss stand in `loss_terms`, the scale here:

    ==============  ==============================  ================================
    reduction       scale of the entries of row i   for cross_entropy
    ==============  ==============================  ================================
    "mean"          w_i / (sum_j w_j * K)           w_i / sum_j w_j, one term a sample
    "batch_mean"    w_i / sum_j w_j                 the same
    "sum"           w_i                             the same
    ==============  ==============================  ================================
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import Array, activation, softmax_jacobian
from .loss_terms import LossParameters, terms_of


def loss_value(
    name: str,
    y_hat: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    **parameters: Any,
) -> float:
    """Value of a loss.

    Parameters
    ----------
    name : str
        One of ``mse l1 huber log_cosh quantile bce bce_with_logits cross_entropy poisson``.
    y_hat : array_like of shape (N, K)
        Predictions: logits for bce_with_logits and cross_entropy, the log-rate for poisson.
    y : array_like of shape (N, K)
        Targets; for cross_entropy also integer classes (N,).
    sample_weight : array_like of shape (N,), optional
        Weight of each sample, 1 if not given.
    reduction : str
        ``"mean"``, ``"batch_mean"`` or ``"sum"``.
    **parameters
        ``delta=1.0`` (huber), ``q=0.5`` (quantile), ``from_logits=True`` (cross_entropy),
        ``dtype=np.float64`` (bce, cross_entropy of probabilities).

    Returns
    -------
    float
        The loss; 0 for an empty batch or one without weight.

    Raises
    ------
    ValueError
        If `name` or `reduction` is unknown, or `y` does not have the shape of `y_hat`.
    TypeError
        If a keyword parameter is unknown.

    Examples
    --------
    >>> loss_value("mse", [[1.0, 2.0]], [[0.0, 0.0]], reduction="sum")
    5.0
    """
    y_hat, y = _as_batches(name, y_hat, y)
    terms = terms_of(name).value(y_hat, y, LossParameters(**parameters))
    return float(np.sum(_scale(name, y_hat, sample_weight, reduction) * terms))


def loss_gradient(
    name: str,
    y_hat: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    **parameters: Any,
) -> Array:
    """Gradient dl/dy_hat of a loss.

    Parameters
    ----------
    name, y_hat, y, sample_weight, reduction, **parameters
        As for `loss_value`.

    Returns
    -------
    numpy.ndarray of shape (N, K)
        dl/dy_hat.  At the kink y_hat = y the gradients of l1 and quantile are 0.

    Raises
    ------
    ValueError, TypeError
        As `loss_value`.

    Examples
    --------
    >>> loss_gradient("mse", [[1.0, 2.0]], [[0.0, 0.0]], reduction="sum")
    array([[2., 4.]])
    """
    y_hat, y = _as_batches(name, y_hat, y)
    terms = terms_of(name).gradient(y_hat, y, LossParameters(**parameters))
    terms = np.where(np.isnan(y_hat) | np.isnan(y), np.nan, terms)
    return _scale(name, y_hat, sample_weight, reduction) * terms


def loss_second_derivative(
    name: str,
    y_hat: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    **parameters: Any,
) -> Array:
    """Diagonal of the loss's Hessian, d^2 l / dy_hat_k^2.

    Parameters
    ----------
    name, y_hat, y, sample_weight, reduction, **parameters
        As for `loss_value`.

    Returns
    -------
    numpy.ndarray of shape (N, K)
        The diagonal.  It is the whole Hessian for every loss but cross_entropy from logits.  Where
        the gradient has a kink it is the value on the flat side for l1 and quantile (0) and on the
        inner side for huber (1).

    Raises
    ------
    ValueError, TypeError
        As `loss_value`.

    Examples
    --------
    >>> loss_second_derivative("mse", [[1.0, 2.0]], [[0.0, 0.0]], reduction="sum")
    array([[2., 2.]])
    """
    y_hat, y = _as_batches(name, y_hat, y)
    terms = terms_of(name).second_derivative(y_hat, y, LossParameters(**parameters))
    terms = np.where(np.isnan(y_hat) | np.isnan(y), np.nan, terms)
    return _scale(name, y_hat, sample_weight, reduction) * terms


def loss_hessian_product(
    name: str,
    y_hat: ArrayLike,
    y: ArrayLike,
    vector: ArrayLike,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
    **parameters: Any,
) -> Array:
    """Hessian of a loss in y_hat, times a vector.

    Parameters
    ----------
    name, y_hat, y
        As for `loss_value`.
    vector : array_like of shape (N, K)
        What the Hessian is multiplied with: a direction in which y_hat changes.
    sample_weight, reduction, **parameters
        As for `loss_value`.

    Returns
    -------
    numpy.ndarray of shape (N, K)
        The change of dl/dy_hat along `vector`.

    Raises
    ------
    ValueError, TypeError
        As `loss_value`.

    Examples
    --------
    >>> loss_hessian_product("mse", [[1.0, 2.0]], [[0.0, 0.0]], [[1.0, -1.0]], reduction="sum")
    array([[ 2., -2.]])
    """
    direction = np.asarray(vector, dtype=np.float64)
    if name == "cross_entropy" and LossParameters(**parameters).from_logits:
        # The gradient of a row is p sum(y) - y, so its Hessian is softmax's Jacobian times sum(y).
        y_hat, y = _as_batches(name, y_hat, y)
        jacobian = softmax_jacobian(activation("softmax", y_hat))
        total: Array = y.sum(axis=1, keepdims=True)
        product: Array = np.einsum("nij,nj->ni", jacobian, direction)
        return _scale(name, y_hat, sample_weight, reduction) * total * product
    diagonal = loss_second_derivative(name, y_hat, y, sample_weight, reduction, **parameters)
    return diagonal * direction


def one_hot(classes: ArrayLike, n_classes: int) -> Array:
    """Rows of the identity matrix: an indicator row for each class.

    Parameters
    ----------
    classes : array_like of shape (N,)
        Integers from 0 to n_classes - 1.
    n_classes : int
        How many classes there are.

    Returns
    -------
    numpy.ndarray of shape (N, n_classes)
        In each row one 1, and else 0.

    Raises
    ------
    ValueError
        If a class is another number.

    Examples
    --------
    >>> one_hot([1, 0], 2)
    array([[0., 1.],
           [1., 0.]])
    """
    rows: Array = (np.asarray(classes)[:, None] == np.arange(n_classes)).astype(np.float64)
    if not np.all(rows.sum(axis=1) == 1.0):
        raise ValueError(f"classes must be integers from 0 to {n_classes - 1}; got {classes!r}")
    return rows


def _as_batches(name: str, y_hat: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    y_hat = np.asarray(y_hat, dtype=np.float64)
    y = np.asarray(y)
    if name == "cross_entropy" and y.ndim == 1:
        y = one_hot(y, y_hat.shape[1])
    y = y.astype(np.float64)
    # NumPy would broadcast (N,) against (N, 1) to (N, N) without a word.
    if y_hat.ndim != 2 or y.shape != y_hat.shape:
        raise ValueError(f"y must have the shape (N, K) of y_hat; got {y.shape} and {y_hat.shape}")
    return y_hat, y


def _scale(name: str, y_hat: Array, sample_weight: ArrayLike | None, reduction: str) -> Array:
    """Factor (N, 1) of each row's terms, from the table at the head of this file."""
    n_samples, n_outputs = y_hat.shape
    weight = (
        np.ones(n_samples) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    )
    if reduction == "sum":
        divisor = 1.0
    elif reduction == "batch_mean" or (reduction == "mean" and name == "cross_entropy"):
        divisor = float(weight.sum())
    elif reduction == "mean":
        divisor = float(weight.sum()) * n_outputs
    else:
        raise ValueError(f'reduction must be "mean", "batch_mean" or "sum"; got {reduction!r}')
    if divisor == 0.0:  # no sample, or none that counts: the loss is an empty sum
        return np.zeros((n_samples, 1))
    return (weight / divisor)[:, None]
