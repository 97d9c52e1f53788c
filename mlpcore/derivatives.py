# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of a loss, or of any function of the output, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ._core import default_n_threads
from ._validation import as_loss, as_rows, as_sample_weight, as_targets
from .losses import Loss
from .trace import Gradients, backward, trace

if TYPE_CHECKING:
    from .mlp import MLP, LossLike


def value_and_grad(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Gradients]:
    """Loss of a batch and its gradients; see `MLP.value_and_grad`."""
    checked_loss = as_loss(net, loss)
    rows, single = as_rows(net, x)
    target = as_targets(net, y, rows.shape[0], checked_loss, single)
    weight = as_sample_weight(net, sample_weight, rows.shape[0])
    if not isinstance(checked_loss, Loss):
        # This loss is computed in Python, between a forward and a backward pass.
        steps = trace(net, x)
        output = steps.records[3][-1]
        dl_dy_hat = np.empty_like(output)
        value = checked_loss._evaluate(output, target, weight, dl_dy_hat)
        return value, backward(net, steps, dl_dy_hat[0] if single else dl_dy_hat)
    flat = np.empty_like(net.parameters)
    inputs = np.empty_like(rows)
    value = net._value_and_grad(
        rows, target, weight, checked_loss, flat, inputs, default_n_threads()
    )
    return value, Gradients(net, flat, inputs[0] if single else inputs)


def vjp(net: MLP, x: ArrayLike, cotangent: ArrayLike) -> Gradients:
    """Gradients for any dl/dy_hat; see `MLP.vjp`."""
    return backward(net, trace(net, x), cotangent)
