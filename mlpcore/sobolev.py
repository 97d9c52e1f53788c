# SPDX-License-Identifier: BSD-3-Clause
"""Known derivatives of the targets, to be learnt together with them (Sobolev training)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._checks import check_in_range, received
from ._validation import Batch, JacobianTarget, converted, real_array
from .losses import CallableLoss, Loss

if TYPE_CHECKING:
    from ._core import Array
    from .mlp import MLP


def with_dy_dx(
    net: MLP,
    loss: Loss | CallableLoss,
    batch: Batch,
    dy_dx: Any,
    dy_dx_weight: Any,
    *,
    single: bool = False,
) -> Batch:
    """Return the batch with the derivatives that its targets have; as it is if they are None."""
    if dy_dx is None:
        return batch
    if not isinstance(loss, Loss):
        raise TypeError(
            "dy_dx: expected a loss with a name or an instance of mlpcore.losses with it, got "
            f"{received(loss)}"
        )
    array = as_dy_dx(net, dy_dx, len(batch.x), single)
    return batch._replace(jacobian=JacobianTarget(array, check_dy_dx_weight(dy_dx_weight)))


def check_dy_dx_weight(weight: Any) -> float:
    """Return how much derivatives count, at least 0."""
    return check_in_range(weight, "dy_dx_weight", 0.0)


def as_dy_dx(net: MLP, dy_dx: Any, n_samples: int, single: bool = False) -> Array:
    """Return derivatives (N, K, D) of the targets; of a net with one output also (N, D)."""
    array = real_array(dy_dx, "dy_dx")
    n_inputs, n_outputs = net.sizes[0], net.sizes[-1]
    batch = () if single else (n_samples,)
    shape, plain = (*batch, n_outputs, n_inputs), (*batch, n_inputs)
    if array.shape != shape and not (n_outputs == 1 and array.shape == plain):
        one = f" or {plain}" if n_outputs == 1 else ""
        raise ValueError(f"dy_dx: expected shape {shape}{one}, got {received(array)}")
    return converted(array.reshape(n_samples, n_outputs, n_inputs), net.dtype, "dy_dx")


def check_no_dropout(dropout: Sequence[float], jacobian: JacobianTarget | None) -> None:
    """Raise ValueError for derivatives of a net that leaves out units, which are not the net's."""
    if jacobian is not None and any(dropout):
        shape = received(jacobian.dy_dx)
        raise ValueError(f"dy_dx: expected None with dropout={dropout}, got {shape}")
