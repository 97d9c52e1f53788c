# SPDX-License-Identifier: BSD-3-Clause
"""The derivative of a loss with respect to the target.

The losses of y_hat - y have dl/dy = -dl/dy_hat. All others are affine in y: what y is multiplied by
is a function of the prediction alone, the slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._core import LOSSES
from .losses import CallableLoss, Loss

if TYPE_CHECKING:
    from .mlp import MLP
    from .trace import Trace

Array = NDArray[Any]


def target_gradient(
    net: MLP, steps: Trace, loss: Loss | CallableLoss, target: Array, dl_dy_hat: Array
) -> Array | None:
    """dl/dy (N, K), from dl/dy_hat where it follows from that; None where there is none.

    There is none of class indices, and none that is known of a callable loss.
    """
    if isinstance(loss, CallableLoss) or target.ndim == 1:  # class indices
        return None
    if loss.kind in _OF_RESIDUAL:
        return -dl_dy_hat
    # Like the loss itself, the slope is taken from the pre-activation where the net takes the loss
    # and its last activation as one step.
    if loss.fuses_with(net.activations[-1]):
        slope = _FUSED_SLOPES[loss.kind](steps.records.pre_activations[-1])
    else:
        slope = _SLOPES[loss.kind](steps.records.outputs[-1])
    n_samples, n_outputs = slope.shape
    n_terms = terms_per_sample(loss, n_outputs)
    if n_terms is not None and n_samples > 0:
        slope /= n_samples * n_terms
    return slope


def terms_per_sample(loss: Loss, n_outputs: int) -> int | None:
    """How many terms of each sample the reduction divides by; None where it does not divide."""
    if loss.reduction == "sum":
        return None
    if loss.reduction == "batch_mean" or loss.kind in _CROSS_ENTROPIES:
        return 1
    return n_outputs


def _bce_slope(y_hat: Array) -> Array:
    return _clamped(np.log1p, -y_hat) - _clamped(np.log, y_hat)


def _cross_entropy_slope(y_hat: Array) -> Array:
    return -_clamped(np.log, y_hat)


def _cross_entropy_with_logits_slope(z: Array) -> Array:
    # -log p = log(sum(exp(z - max))) - (z - max). The largest term is 1, and left to log1p.
    with np.errstate(invalid="ignore"):  # inf - inf: a row with an infinite logit is NaN
        shifted = z - z.max(axis=1, keepdims=True)
    terms = np.exp(shifted)
    np.put_along_axis(terms, z.argmax(axis=1, keepdims=True), 0.0, axis=1)
    slope: Array = np.log1p(terms.sum(axis=1, keepdims=True)) - shifted
    return slope


def _clamped(log: np.ufunc, argument: Array) -> Array:
    # As the losses have it: -100 in place of log(0).
    with np.errstate(divide="ignore", invalid="ignore"):
        clamped: Array = np.maximum(log(argument), argument.dtype.type(-100.0))
    return clamped


_OF_RESIDUAL = {LOSSES[name] for name in ("mse", "l1", "huber", "log_cosh", "quantile")}
_CROSS_ENTROPIES = {LOSSES[name] for name in ("cross_entropy", "cross_entropy_with_logits")}

# Derivative of a term by y, as a function of the prediction.
_SLOPES: dict[int, Callable[[Array], Array]] = {
    LOSSES["bce"]: _bce_slope,
    LOSSES["bce_with_logits"]: np.negative,
    LOSSES["cross_entropy"]: _cross_entropy_slope,
    LOSSES["cross_entropy_with_logits"]: _cross_entropy_with_logits_slope,
    LOSSES["poisson"]: np.negative,
}
# The same as a function of the pre-activation.
_FUSED_SLOPES: dict[int, Callable[[Array], Array]] = {
    LOSSES["bce"]: np.negative,
    LOSSES["cross_entropy"]: _cross_entropy_with_logits_slope,
}
