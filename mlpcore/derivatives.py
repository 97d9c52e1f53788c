# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of a loss, or of any function of the output, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ._core import default_n_threads
from ._validation import as_batch
from .losses import as_loss
from .steps import backward, value_and_gradients
from .trace import Gradients, trace

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
    batch, single = as_batch(net, x, y, sample_weight, checked_loss)
    flat = np.empty_like(net.parameters)
    inputs = np.empty_like(batch.x)
    value = value_and_gradients(net, batch, checked_loss, flat, inputs, default_n_threads())
    return value, Gradients(net, flat, inputs[0] if single else inputs)


def vjp(net: MLP, x: ArrayLike, cotangent: ArrayLike) -> Gradients:
    """Gradients for any dl/dy_hat; see `MLP.vjp`."""
    return backward(net, trace(net, x), cotangent)
