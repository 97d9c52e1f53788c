# SPDX-License-Identifier: BSD-3-Clause
"""The terms of each loss: one number per entry of y_hat (N, K), not yet weighted and reduced.

Each loss is three functions of (y_hat, y, parameters): the term, its derivative with respect to
y_hat, and its second derivative.  The terms of a row of cross_entropy depend on the whole row: its
"derivative" is that of the row's sum, its second derivative the diagonal of the Hessian.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .activations import EXP_LIMIT, Array, activation, activation_derivative, sum_of_others

# PyTorch's BCELoss keeps each logarithm at -100 or above, so that log(0) leaves the loss finite.
LOG_FLOOR = -100.0


class LossParameters(NamedTuple):
    """The keyword parameters that the losses know; each loss reads its own and ignores the others.

    Attributes
    ----------
    delta : float
        huber: the absolute error at which the loss turns from quadratic to linear.
    q : float
        quantile: the quantile that is estimated, in (0, 1).
    from_logits : bool
        cross_entropy: whether y_hat holds logits (True) or probabilities (False).
    dtype : DTypeLike
        bce and cross_entropy of probabilities: half the machine epsilon of this dtype is the
        smallest denominator of the gradient.
    """

    delta: float = 1.0
    q: float = 0.5
    from_logits: bool = True
    dtype: DTypeLike = np.float64

    @property
    def smallest_denominator(self) -> float:
        """Half the machine epsilon of `dtype`."""
        return float(np.finfo(np.dtype(self.dtype)).eps) / 2.0


class LossTerms(NamedTuple):
    """The three functions of a loss."""

    value: Callable[[Array, Array, LossParameters], Array]
    gradient: Callable[[Array, Array, LossParameters], Array]
    second_derivative: Callable[[Array, Array, LossParameters], Array]


def _mse(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return (y_hat - y) ** 2


def _mse_gradient(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return 2.0 * (y_hat - y)


def _mse_second(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return np.full_like(y_hat, 2.0)


def _l1(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return np.abs(y_hat - y)


def _l1_gradient(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return np.sign(y_hat - y)


def _zero(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return np.zeros_like(y_hat)


def _huber(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    # r^2 / 2 up to delta, delta (r - delta / 2) beyond: both are a (r - a / 2), a = min(r, delta).
    r = np.abs(y_hat - y)
    a = np.minimum(r, parameters.delta)
    return a * (r - 0.5 * a)


def _huber_gradient(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    return np.clip(y_hat - y, -parameters.delta, parameters.delta)


def _huber_second(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    return np.where(np.abs(y_hat - y) <= parameters.delta, 1.0, 0.0)


def _log_cosh(y_hat: Array, y: Array, _: LossParameters) -> Array:
    # Large r: cosh(r) = exp(r) (1 + exp(-2 r)) / 2, whose logarithm does not overflow.
    # Small r: that form cancels, log(cosh(r)^2) / 2 = log(1 + sinh(r)^2) / 2 does not.
    r = np.abs(y_hat - y)
    large = r + np.log1p(np.exp(-2.0 * np.minimum(r, EXP_LIMIT))) - np.log(2.0)
    small = 0.5 * np.log1p(np.square(np.sinh(np.minimum(r, 1.0))))
    return np.where(r > 1.0, large, small)


def _log_cosh_gradient(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return np.tanh(y_hat - y)


def _log_cosh_second(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return activation_derivative("tanh", y_hat - y)


def _quantile(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    r = y - y_hat
    return np.where(r > 0.0, parameters.q * r, (parameters.q - 1.0) * r)


def _quantile_gradient(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    r = y - y_hat
    return np.where(r > 0.0, -parameters.q, np.where(r < 0.0, 1.0 - parameters.q, 0.0))


def _bce(y_hat: Array, y: Array, _: LossParameters) -> Array:
    with np.errstate(divide="ignore"):  # log(0) = -inf is what the floor is for
        log_yes = np.maximum(np.log(y_hat), LOG_FLOOR)
        log_no = np.maximum(np.log1p(-y_hat), LOG_FLOOR)
    return -y * log_yes - (1.0 - y) * log_no


def _bce_denominator(y_hat: Array, parameters: LossParameters) -> Array:
    return np.maximum(y_hat * (1.0 - y_hat), parameters.smallest_denominator)


def _bce_gradient(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    # -(y / y_hat - (1 - y) / (1 - y_hat)) over one denominator, which is then kept from 0.
    return (y_hat - y) / _bce_denominator(y_hat, parameters)


def _bce_second(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    # y / y_hat^2 + (1 - y) / (1 - y_hat)^2 over one denominator.
    return ((y_hat - y) ** 2 + y * (1.0 - y)) / _bce_denominator(y_hat, parameters) ** 2


def _expected(probability: Array, cost: Array) -> Array:
    # What the target rules out costs nothing, however unlikely it is held (0 * inf would be NaN).
    with np.errstate(invalid="ignore"):
        return np.where(probability == 0.0, 0.0, probability * cost)


def _bce_with_logits(z: Array, y: Array, _: LossParameters) -> Array:
    # -log sigmoid(z) = softplus(-z) and -log(1 - sigmoid(z)) = softplus(z).
    return _expected(y, activation("softplus", -z)) + _expected(1.0 - y, activation("softplus", z))


def _bce_with_logits_gradient(z: Array, y: Array, _: LossParameters) -> Array:
    # sigmoid(z) - y, with 1 - sigmoid(z) = sigmoid(-z) so that it does not round to 0 where y = 1.
    return (1.0 - y) * activation("sigmoid", z) - y * activation("sigmoid", -z)


def _bce_with_logits_second(z: Array, y: Array, _: LossParameters) -> Array:
    return activation_derivative("sigmoid", z)


def _cross_entropy(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    if not parameters.from_logits:
        with np.errstate(divide="ignore"):  # log(0) = -inf is what the floor is for
            return -y * np.maximum(np.log(y_hat), LOG_FLOOR)
    # -log p_k = log(sum_j exp(z_j - z_max)) - (z_k - z_max).  The largest term of the sum is 1:
    # left to log1p, the loss of a confident and right prediction does not round to 0.
    with np.errstate(invalid="ignore"):  # inf - inf: a row with an infinite logit is NaN
        shifted = y_hat - y_hat.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    np.put_along_axis(e, y_hat.argmax(axis=1, keepdims=True), 0.0, axis=1)
    minus_log_p = np.log1p(e.sum(axis=1, keepdims=True)) - shifted
    return _expected(y, minus_log_p)


def _cross_entropy_gradient(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    if not parameters.from_logits:
        return -y / np.maximum(y_hat, parameters.smallest_denominator)
    # p_k sum_j y_j - y_k sum_j p_j, without the j = k term that stands on both sides: for the right
    # class this is minus the other classes' probability, where p_k - 1 would round to 0.
    p = activation("softmax", y_hat)
    return p * sum_of_others(y) - y * sum_of_others(p)


def _cross_entropy_second(y_hat: Array, y: Array, parameters: LossParameters) -> Array:
    if not parameters.from_logits:
        return y / np.square(np.maximum(y_hat, parameters.smallest_denominator))
    p = activation("softmax", y_hat)
    total: Array = y.sum(axis=1, keepdims=True)
    return total * p * sum_of_others(p)


def _poisson(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return _exp(y_hat) - y * y_hat


def _poisson_gradient(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return _exp(y_hat) - y


def _poisson_second(y_hat: Array, y: Array, _: LossParameters) -> Array:
    return _exp(y_hat)


def _exp(log_rate: Array) -> Array:
    with np.errstate(over="ignore"):  # a rate beyond float64 is inf
        return np.exp(log_rate)


# Every loss by its name.
_LOSS_TERMS = {
    "mse": LossTerms(_mse, _mse_gradient, _mse_second),
    "l1": LossTerms(_l1, _l1_gradient, _zero),
    "huber": LossTerms(_huber, _huber_gradient, _huber_second),
    "log_cosh": LossTerms(_log_cosh, _log_cosh_gradient, _log_cosh_second),
    "quantile": LossTerms(_quantile, _quantile_gradient, _zero),
    "bce": LossTerms(_bce, _bce_gradient, _bce_second),
    "bce_with_logits": LossTerms(
        _bce_with_logits, _bce_with_logits_gradient, _bce_with_logits_second
    ),
    "cross_entropy": LossTerms(_cross_entropy, _cross_entropy_gradient, _cross_entropy_second),
    "poisson": LossTerms(_poisson, _poisson_gradient, _poisson_second),
}

LOSSES = tuple(_LOSS_TERMS)


def terms_of(name: str) -> LossTerms:
    """Look up a loss by its name; ValueError if there is none."""
    if name not in _LOSS_TERMS:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {name!r}")
    return _LOSS_TERMS[name]
