# SPDX-License-Identifier: BSD-3-Clause
"""The steps of training, for arguments that have been checked.

A built-in loss is computed in the core, in one trip with the passes before and after it; a loss
that is a Python function stands between two trips. Here, and nowhere else, is that told apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._checks import received
from ._validation import Batch, as_cotangent, as_sample_weight, as_targets
from .losses import CallableLoss, Loss, as_loss
from .trace import Gradients, Records, Trace, as_trace, forward_records

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .mlp import MLP, LossLike


def backward(
    net: MLP,
    trace: Trace,
    loss_or_cotangent: LossLike | ArrayLike,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> Gradients:
    """Gradients of a loss, or of any cotangent, from a trace; see `MLP.backward`."""
    as_trace(net, trace)
    flat = np.empty_like(net.parameters)
    inputs = np.empty_like(trace.records.x)
    n_threads = _core.default_n_threads()
    if _is_loss(loss_or_cotangent, y, sample_weight):
        loss = as_loss(net, loss_or_cotangent)
        target = as_targets(net, y, trace.n_samples, loss, trace.single)
        weight = as_sample_weight(net, sample_weight, trace.n_samples)
        backward_from_loss(net, trace.records, loss, target, weight, flat, inputs, n_threads)
    else:
        cotangent = as_cotangent(net, loss_or_cotangent, trace.n_samples, trace.single)
        net._backward_records(
            *trace.records, cotangent, None, None, None, flat, inputs, None, None, n_threads
        )
    return Gradients(net, flat, inputs[0] if trace.single else inputs)


def value_and_gradients(
    net: MLP,
    batch: Batch,
    loss: Loss | CallableLoss,
    flat: Array | None,
    inputs: Array | None,
    n_threads: int,
) -> float:
    """Value of a loss; its gradients are written to `flat` (P,) and `inputs` (N, D), if given."""
    x, target, weight, jacobian = batch  # faster than *batch in the call
    if isinstance(loss, Loss):
        return net._value_and_grad(x, target, weight, loss, flat, inputs, n_threads, jacobian)
    if flat is None:
        return loss._evaluate(net.forward(x, n_threads=n_threads), target, weight, None)
    records = forward_records(net, x, n_threads)
    return backward_from_loss(net, records, loss, target, weight, flat, inputs, n_threads)


def update(
    net: MLP,
    batch: Batch,
    loss: CallableLoss,
    optimizer: _core.OptimizerKernel,
    n_threads: int,
    dropout: _core.Dropout | None = None,
    position: _core.EpochPosition | None = None,
    share: float = 1.0,
) -> tuple[int, float]:
    """One update by a loss that is a Python function; the core's status and the loss before it.

    `position` moves on together with the parameters, and its loss by a `share` of the batch's.
    """
    flat = np.empty_like(net.parameters)
    x, target, weight, _ = batch
    records = forward_records(net, x, n_threads, dropout, optimizer.n_steps)
    value = backward_from_loss(net, records, loss, target, weight, flat, None, n_threads)
    if not (np.isfinite(value) and np.isfinite(flat).all()):
        return _core.NOT_FINITE, value
    try:
        optimizer._apply(net, flat, n_threads, position, value * share)
    except FloatingPointError:
        return _core.NOT_FINITE, value
    return _core.OK, value


def train_step(
    net: MLP,
    batch: Batch,
    loss: Loss | CallableLoss,
    optimizer: _core.OptimizerKernel,
    n_threads: int,
    dropout: _core.Dropout | None = None,
) -> float:
    """One update; gives back the loss before it, and raises where it is not made."""
    x, target, weight, jacobian = batch
    if not isinstance(loss, Loss):
        status, value = update(net, batch, loss, optimizer, n_threads, dropout)
    else:
        status, value = net._train_step(
            x, target, weight, loss, optimizer, n_threads, dropout, jacobian
        )
    if status == _core.NOT_FINITE:
        raise FloatingPointError(
            f"the loss ({value}), a gradient or the update is not finite; the parameters were not "
            "updated"
        )
    return value


def train_epoch(
    net: MLP,
    data: Batch,
    order: Array | None,
    batch_size: int,
    loss: Loss | CallableLoss,
    optimizer: _core.OptimizerKernel,
    n_threads: int,
    learning_rates: Array | None,
    position: _core.EpochPosition,
    dropout: _core.Dropout | None,
) -> int:
    """Updates from mini-batches until every row was used, in this order; the core's status.

    `position` tells where to begin, and afterwards how far it is. `learning_rates` has one for each
    step of the epoch; None leaves the optimizer's.
    """
    x, target, weight, jacobian = data
    if isinstance(loss, Loss):
        return net._train_epoch(
            *(x, target, weight, order, batch_size, loss, optimizer, n_threads),
            learning_rates,
            position,
            dropout,
            jacobian,
        )[0]
    n_samples = len(x if order is None else order)
    for start in range(position.n_steps * batch_size, n_samples, batch_size):
        chosen: Any = slice(start, start + batch_size)
        if order is not None:
            chosen = order[chosen]
        if learning_rates is not None:
            optimizer._schedule(learning_rates[position.n_steps])
        batch = data.rows(chosen)
        status, _ = update(
            net, batch, loss, optimizer, n_threads, dropout, position, len(batch.x) / n_samples
        )
        if status == _core.NOT_FINITE:
            return status
    return _core.OK


def backward_from_loss(
    net: MLP,
    records: Records,
    loss: Loss | CallableLoss,
    target: Array,
    weight: Array | None,
    flat: Array,
    inputs: Array | None,
    n_threads: int,
) -> float:
    """The loss of records; its gradients are written to `flat` and `inputs`, if given."""
    if isinstance(loss, Loss):
        return net._backward_records(
            *records, None, loss, target, weight, flat, inputs, None, None, n_threads
        )
    cotangent = np.empty_like(records.outputs[-1])
    value = loss._evaluate(records.outputs[-1], target, weight, cotangent)
    net._backward_records(
        *records, cotangent, None, None, None, flat, inputs, None, None, n_threads
    )
    return value


def _is_loss(value: Any, y: Any, sample_weight: Any) -> bool:
    """Whether `value` is a loss, which needs targets, or a cotangent, which holds them already."""
    if isinstance(value, str | Loss) or callable(value):
        if y is None and isinstance(value, Loss):
            raise TypeError(f"y: expected the targets of {value!r}, got None")
        if y is None:
            raise TypeError(
                "cotangent: expected an array of real numbers, or a loss together with y, "
                f"got {received(value)} alone"
            )
        return True
    if y is not None or sample_weight is not None:
        name, given = ("sample_weight", sample_weight) if y is None else ("y", y)
        raise TypeError(
            f"{name}: expected a loss with it, and not a cotangent, got {received(given)}"
        )
    return False
