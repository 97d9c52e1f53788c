# SPDX-License-Identifier: BSD-3-Clause
"""Activation functions f(z) with their first and second derivatives.

Everything is computed in float64 from the pre-activation z, by the formula that stays accurate
where f saturates: 1 - sigmoid(z) is 0 in floating point for z > 37, but exp(-z) is not.  All
functions but softmax work on each element alone, take any shape, and pass NaN on, in the value and
in both derivatives.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEAKY_SLOPE = 0.01

# Beyond these bounds exp(-z^2/2), or exp(-|z|), is 0 in float64.  Clipping z there changes no
# finite result and spares "0 times infinity" at z = -inf and z = +inf, and overflow before that.
GAUSSIAN_LIMIT = 40.0
EXP_LIMIT = 800.0

erfc = np.vectorize(math.erfc, otypes=[np.float64])


def activation(name: str, z: ArrayLike) -> Array:
    """Value f(z) of an activation function.

    Parameters
    ----------
    name : str
        One of ``identity relu leaky_relu elu gelu silu softplus tanh sigmoid softmax``.
    z : array_like of any shape
        Pre-activation; softmax works along the last axis.

    Returns
    -------
    numpy.ndarray of the shape of z
        In float64, f(z).

    Raises
    ------
    ValueError
        If there is no activation of this name.

    Notes
    -----
    gelu is the exact one, z Phi(z) with the normal distribution Phi(z) = erfc(-z / sqrt(2)) / 2
    (Hendrycks and Gimpel, 2016, https://arxiv.org/abs/1606.08415).  The slope of leaky_relu is
    0.01, the alpha of elu is 1.

    The relative error is a few 1e-16, but for gelu in the negative tail: a rounded argument of
    exp(-z^2 / 2) makes it grow with z^2, to 2e-13 at z = -38.

    Examples
    --------
    >>> activation("relu", [-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    z = np.asarray(z, dtype=np.float64)
    if name == "softmax":
        return _softmax(z)
    return _functions(name)[0](z)


def activation_derivative(name: str, z: ArrayLike) -> Array:
    """First derivative f'(z) of an activation function.

    Parameters
    ----------
    name, z
        As for `activation`; softmax takes z as (N, K).

    Returns
    -------
    numpy.ndarray of the shape of z
        In float64, f'(z); for softmax, whose outputs depend on every input of
        their row, the Jacobian (N, K, K) with entry [n, i, j] = dp_i/dz_j of sample n.

    Raises
    ------
    ValueError
        If there is no activation of this name.

    Notes
    -----
    At the kink z = 0: relu' is 0, leaky_relu' is 0.01, elu' is exp(0) = 1.

    Examples
    --------
    >>> activation_derivative("relu", [-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    z = np.asarray(z, dtype=np.float64)
    if name == "softmax":
        return softmax_jacobian(_softmax(z))
    return np.where(np.isnan(z), np.nan, _functions(name)[1](z))


def activation_second_derivative(name: str, z: ArrayLike) -> Array:
    """Second derivative f''(z) of an activation function.

    Parameters
    ----------
    name, z
        As for `activation`; softmax takes z as (N, K).

    Returns
    -------
    numpy.ndarray of the shape of z
        In float64, f''(z); for softmax (N, K, K, K) with entry
        [n, i, j, k] = d^2 p_i / dz_j dz_k of sample n.

    Raises
    ------
    ValueError
        If there is no activation of this name.

    Notes
    -----
    At the kink z = 0: relu'' and leaky_relu'' are 0, elu'' is exp(0) = 1.

    Examples
    --------
    >>> activation_second_derivative("elu", [0.0, 1.0])
    array([1., 0.])
    """
    z = np.asarray(z, dtype=np.float64)
    if name == "softmax":
        return _softmax_second_derivative(_softmax(z))
    return np.where(np.isnan(z), np.nan, _functions(name)[2](z))


def softmax_jacobian(p: ArrayLike) -> Array:
    """Jacobian of softmax, dp_i/dz_j = p_i (delta_ij - p_j), from its output.

    Parameters
    ----------
    p : array_like of shape (N, K)
        Softmax outputs, a row per sample.

    Returns
    -------
    numpy.ndarray of shape (N, K, K)
        diag(p) - p p^T of each sample; symmetric.

    Examples
    --------
    >>> softmax_jacobian([[0.5, 0.5]])
    array([[[ 0.25, -0.25],
            [-0.25,  0.25]]])
    """
    p = np.asarray(p, dtype=np.float64)
    n_outputs = p.shape[-1]
    jacobian: Array = -p[:, :, None] * p[:, None, :]
    # On the diagonal 1 - p_i is the sum of the others, which is not 0 where p_i rounds to 1.
    diagonal = np.arange(n_outputs)
    jacobian[:, diagonal, diagonal] = p * sum_of_others(p)
    return jacobian


def sum_of_others(a: Array) -> Array:
    """For each entry of `a` (N, K) the sum of the other entries of its row, without subtracting."""
    n_columns = a.shape[-1]
    return np.asarray(a @ (np.ones((n_columns, n_columns)) - np.eye(n_columns)))


def _identity(z: Array) -> Array:
    return z.copy()


def _identity_derivative(z: Array) -> Array:
    return np.ones_like(z)


def _zero(z: Array) -> Array:
    return np.zeros_like(z)


def _relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


def _relu_derivative(z: Array) -> Array:
    return np.where(z > 0.0, 1.0, 0.0)


def _leaky_relu(z: Array) -> Array:
    return np.where(z > 0.0, z, LEAKY_SLOPE * z)


def _leaky_relu_derivative(z: Array) -> Array:
    return np.where(z > 0.0, 1.0, LEAKY_SLOPE)


def _elu(z: Array) -> Array:
    # expm1(z) = exp(z) - 1 without the cancellation near 0.
    return np.where(z > 0.0, z, np.expm1(np.minimum(z, 0.0)))


def _elu_derivative(z: Array) -> Array:
    return np.where(z > 0.0, 1.0, np.exp(np.minimum(z, 0.0)))


def _elu_second_derivative(z: Array) -> Array:
    return np.where(z > 0.0, 0.0, np.exp(np.minimum(z, 0.0)))


def _normal_distribution(z: Array) -> Array:
    # erfc, not 1 + erf: in the negative tail the latter cancels to 0.
    return np.asarray(0.5 * erfc(-z / math.sqrt(2.0)))


def _normal_density(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _gelu(z: Array) -> Array:
    z = np.maximum(z, -GAUSSIAN_LIMIT)
    return z * _normal_distribution(z)


def _gelu_derivative(z: Array) -> Array:
    z = np.clip(z, -GAUSSIAN_LIMIT, GAUSSIAN_LIMIT)
    return _normal_distribution(z) + z * _normal_density(z)


def _gelu_second_derivative(z: Array) -> Array:
    z = np.clip(z, -GAUSSIAN_LIMIT, GAUSSIAN_LIMIT)
    return _normal_density(z) * (2.0 - z * z)


def _sigmoid(z: Array) -> Array:
    # exp(-|z|) never overflows; each sign of z has its own form of the same fraction.
    e = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, e) / (1.0 + e)


def _sigmoid_derivative(z: Array) -> Array:
    # s (1 - s) with both factors written in e = exp(-|z|): it is never 0 before exp(-|z|) is.
    e = np.exp(-np.abs(z))
    return e / (1.0 + e) ** 2


def _sigmoid_second_derivative(z: Array) -> Array:
    # s' (1 - 2 s), and 1 - 2 s = -tanh(z / 2).
    return -_sigmoid_derivative(z) * np.tanh(0.5 * z)


def _silu(z: Array) -> Array:
    z = np.maximum(z, -EXP_LIMIT)
    return z * _sigmoid(z)


def _silu_derivative(z: Array) -> Array:
    z = np.clip(z, -EXP_LIMIT, EXP_LIMIT)
    return _sigmoid(z) + z * _sigmoid_derivative(z)


def _silu_second_derivative(z: Array) -> Array:
    z = np.clip(z, -EXP_LIMIT, EXP_LIMIT)
    return 2.0 * _sigmoid_derivative(z) + z * _sigmoid_second_derivative(z)


def _softplus(z: Array) -> Array:
    # log(1 + exp(z)) with the larger of the two terms taken out of the logarithm.
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def _tanh(z: Array) -> Array:
    return np.tanh(z)


def _tanh_derivative(z: Array) -> Array:
    # 1 - tanh^2 written in e = exp(-2|z|), for the same reason as sigmoid's.
    e = np.exp(-2.0 * np.minimum(np.abs(z), EXP_LIMIT))
    return 4.0 * e / (1.0 + e) ** 2


def _tanh_second_derivative(z: Array) -> Array:
    return -2.0 * np.tanh(z) * _tanh_derivative(z)


def _softmax(z: Array) -> Array:
    # A constant taken from a row does not change its softmax; less its maximum it cannot overflow.
    with np.errstate(invalid="ignore"):  # inf - inf: a row with an infinite logit is NaN
        e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _softmax_second_derivative(p: Array) -> Array:
    # The product rule on dp_i/dz_j = p_i (delta_ij - p_j), with J for the Jacobian:
    # d^2 p_i / dz_j dz_k = J_ik (delta_ij - p_j) - p_i J_jk.
    jacobian = softmax_jacobian(p)
    identity = np.eye(p.shape[-1])
    first = jacobian[:, :, None, :] * (identity[None, :, :, None] - p[:, None, :, None])
    return first - p[:, :, None, None] * jacobian[:, None, :, :]


Function = Callable[[Array], Array]

# Value, first derivative, second derivative.
_ELEMENTWISE: dict[str, tuple[Function, Function, Function]] = {
    "identity": (_identity, _identity_derivative, _zero),
    "relu": (_relu, _relu_derivative, _zero),
    "leaky_relu": (_leaky_relu, _leaky_relu_derivative, _zero),
    "elu": (_elu, _elu_derivative, _elu_second_derivative),
    "gelu": (_gelu, _gelu_derivative, _gelu_second_derivative),
    "silu": (_silu, _silu_derivative, _silu_second_derivative),
    "softplus": (_softplus, _sigmoid, _sigmoid_derivative),
    "tanh": (_tanh, _tanh_derivative, _tanh_second_derivative),
    "sigmoid": (_sigmoid, _sigmoid_derivative, _sigmoid_second_derivative),
}

ACTIVATIONS = (*_ELEMENTWISE, "softmax")


def _functions(name: str) -> tuple[Function, Function, Function]:
    if name not in _ELEMENTWISE:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    return _ELEMENTWISE[name]
