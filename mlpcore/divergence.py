# SPDX-License-Identifier: BSD-3-Clause
"""Where a step left the finite numbers: found by taking it apart, once it has failed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from .steps import backward_from_loss, value_and_gradients
from .topology import layer_views
from .trace import forward_records

if TYPE_CHECKING:
    from . import _core
    from ._core import Array
    from ._validation import Batch
    from .losses import CallableLoss, Loss
    from .mlp import MLP


def not_finite_at(
    net: MLP,
    batch: Batch,
    loss: Loss | CallableLoss,
    optimizer: _core.OptimizerKernel,
    dropout: _core.Dropout | None,
    n_threads: int,
) -> str:
    """Say which quantity of which layer, counted from 1, is the first that is not finite.

    First in the order of the step: forward, the loss, back from the last layer, the update. Net and
    optimizer are as they were before the step, and stay so.
    """
    where, flat = not_finite_in_passes(net, batch, loss, n_threads, dropout, optimizer.n_steps)
    if where is not None:
        return where
    with np.errstate(all="ignore"):
        for l in range(len(net.weights), 0, -1):
            # This layer alone: the others' parameters and gradients are 0.
            twin, alone = net.copy(), np.zeros_like(flat)
            twin.parameters[:] = 0.0
            for to, source in ((alone, flat), (twin.parameters, net.parameters)):
                for part, whole in zip(_parts(net, to, l), _parts(net, source, l), strict=True):
                    part[...] = whole
            try:
                copy.copy(optimizer)._apply(twin, alone, n_threads)
            except FloatingPointError:
                return f"the update of layer {l}"
    return "the update"


def not_finite_in_passes(
    net: MLP,
    batch: Batch,
    loss: Loss | CallableLoss,
    n_threads: int,
    dropout: _core.Dropout | None = None,
    step: int = 0,
) -> tuple[str | None, Array]:
    """The same of the forward and the backward pass, or None; and the gradients (P,)."""
    flat = np.zeros_like(net.parameters)
    with np.errstate(all="ignore"):
        records = forward_records(net, batch.x, n_threads, dropout, step)
        for l, arrays in enumerate(zip(records.pre_activations, records.outputs, strict=True)):
            for what, array in zip(("pre-activation", "output"), arrays, strict=True):
                if not np.isfinite(array).all():
                    return f"the {what} of layer {l + 1}", flat
        if batch.jacobian is not None:
            value = value_and_gradients(net, batch, loss, flat, None, n_threads)
        else:
            value = backward_from_loss(
                net, records, loss, batch.target, batch.sample_weight, flat, None, n_threads
            )
        last = len(net.weights)
        if not np.isfinite(value):
            return f"the loss of what layer {last} gives", flat
        for l in range(last, 0, -1):
            if not all(np.isfinite(part).all() for part in _parts(net, flat, l)):
                return f"the gradient of layer {l}", flat
    return None, flat


def _parts(net: MLP, flat: Array, layer: int) -> list[Array]:
    """Weight and bias of a layer, counted from 1, as views of a flat vector."""
    weights, biases = layer_views(flat, net.sizes, net.has_bias)
    parts = (weights[layer - 1], biases[layer - 1])
    return [part for part in parts if part is not None]
