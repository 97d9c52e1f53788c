# SPDX-License-Identifier: BSD-3-Clause
"""Rows that are not learnt: their loss and metrics after each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._checks import check_in_range, received
from ._validation import Batch, converted, real_array
from .losses import CallableLoss, Loss
from .metrics import Metric
from .sources import checked_rows, checked_sparse_rows, is_batches
from .sparse_rows import SparseRows
from .steps import value_and_gradients

if TYPE_CHECKING:
    from ._core import Array
    from .mlp import MLP

# Multiply-adds of one call into C, in which Ctrl-C has to wait: some 10 ms.
PIECE_WORK = 2**28
PIECE_ROWS = 1024  # at least, and a multiple of


class HeldOut:
    """Validation rows in memory, and what is to be said about them."""

    def __init__(
        self, net: MLP, loss: Loss | CallableLoss, rows: Batch, metrics: dict[str, Metric]
    ) -> None:
        self.net, self.loss, self.rows, self.metrics = net, loss, rows, metrics
        n_rows = max(PIECE_WORK // net.n_parameters // PIECE_ROWS, 1) * PIECE_ROWS
        self.pieces = [slice(i, i + n_rows) for i in range(0, len(rows.x), n_rows)]

    @property
    def keys(self) -> list[str]:
        """The keys of `figures`."""
        return ["validation_loss", *(f"validation_{name}" for name in self.metrics)]

    def figures(self, n_threads: int) -> dict[str, float]:
        """Loss and metrics with the parameters that the net has now."""
        figures = {"validation_loss": self._loss(n_threads)}
        if self.metrics:
            y_hat = self._predictions(n_threads)
            target = self.rows.target.view()
            target.flags.writeable = False
            for name, metric in self.metrics.items():
                figures[f"validation_{name}"] = _as_figure(metric(y_hat, target), name)
        return figures

    def _x(self, piece: slice) -> Array:
        x = self.rows.x
        return x.dense(piece) if isinstance(x, SparseRows) else x[piece]

    def _batch(self, piece: slice) -> Batch:
        if isinstance(self.rows.x, SparseRows):
            return Batch(self._x(piece), self.rows.target[piece], None)
        return self.rows.rows(piece)

    def _predictions(self, n_threads: int) -> Array:
        return np.concatenate(
            [self.net.forward(self._x(piece), n_threads=n_threads) for piece in self.pieces]
        )

    def _loss(self, n_threads: int) -> float:
        """The loss of all rows: the sum of the pieces', or their mean weighted by rows."""
        loss = self.loss
        if isinstance(loss, CallableLoss):  # how its rows become one number is its own affair
            return loss._evaluate(self._predictions(n_threads), self.rows.target, None, None)
        total, n_rows = 0.0, 0
        for piece in self.pieces:
            batch = self._batch(piece)
            value = value_and_gradients(self.net, batch, loss, None, None, n_threads)
            n_rows += len(batch.x)
            if loss.reduction == "sum":
                total += value
            else:
                total += (value - total) * (len(batch.x) / n_rows)
        return total


def held_out_rows(validation: Any, x: Any, y: Any, seed: int) -> Array | None:
    """Return the rows of `x` that a fraction holds out, ascending; None without a fraction.

    Which ones depends on the seed, the fraction and the number of rows alone.
    """
    if validation is None or isinstance(validation, tuple | list | np.ndarray):
        return None
    share = check_in_range(validation, "validation", 0.0, 1.0, include_low=False)
    if is_batches(x, y):
        raise ValueError(
            "validation: expected a tuple (x, y) with an iterable of batches, got a share of rows "
            f"that cannot be counted before, {received(validation)}"
        )
    n_rows = len(x) if hasattr(x, "__len__") else len(real_array(x, "x"))
    n_held_out = round(share * n_rows)
    if not 0 < n_held_out < n_rows:
        raise ValueError(
            f"validation: expected a share that holds out some of {n_rows} rows and leaves some, "
            f"got {validation!r}"
        )
    return drawn_rows(n_held_out, np.zeros(n_rows, np.int64), seed)


def drawn_rows(n_drawn: int, strata: Array, seed: int) -> Array:
    """Return the numbers of so many rows, ascending, of each stratum alike.

    The strata, whose numbers are those of the rows' classes, get their parts of the whole number by
    the largest remainder. Which rows depends on the seed and the strata alone.

    Examples
    --------
    >>> strata = np.repeat([0, 1], [90, 10])
    >>> np.bincount(strata[drawn_rows(10, strata, 0)]).tolist()
    [9, 1]
    """
    order = _core.permutation(_core.random_key(seed, "held_out", 0), 0, len(strata))
    wanted = np.bincount(strata) * (n_drawn / len(strata))
    parts = np.floor(wanted).astype(np.int64)
    largest = np.argsort(parts - wanted, kind="stable")[: n_drawn - int(parts.sum())]
    parts[largest] += 1
    shuffled = strata[order]
    chosen = [order[shuffled == k][: parts[k]] for k in np.flatnonzero(parts)]
    return np.sort(np.concatenate([np.empty(0, np.int64), *chosen]))


def as_held_out(
    net: MLP,
    loss: Loss | CallableLoss,
    validation: Any,
    held_out: Array | None,
    data: tuple[Any, Any, Any],
    metrics: dict[str, Metric],
    dy_dx_weight: float,
) -> HeldOut | None:
    """Return the validation rows of `fit`: the `held_out` ones of (x, y, dy_dx), or arrays."""
    if validation is None:
        if metrics:
            raise ValueError(
                "metrics: expected validation=(x, y) or a share of the rows with them, got None"
            )
        return None
    if held_out is not None:
        given = [
            None if array is None else _as_rows(array, name)[held_out]
            for array, name in zip(data, ("x", "y", "dy_dx"), strict=True)
        ]
    elif not isinstance(validation, tuple | list):
        raise TypeError(f"validation: expected a tuple (x, y), got {received(validation)}")
    elif len(validation) not in (2, 3):
        raise ValueError(
            f"validation: expected a tuple (x, y) or (x, y, dy_dx), got {len(validation)} entries"
        )
    else:
        given = [*validation, None][:3]
    x, y, dy_dx = given
    try:
        if isinstance(x, SparseRows):
            return HeldOut(net, loss, Batch(*checked_sparse_rows(net, loss, x, y, None)), metrics)
        rows = checked_rows(net, loss, x, y, None, dy_dx, dy_dx_weight)
        return HeldOut(net, loss, rows, metrics)
    except (ValueError, TypeError) as error:
        raise type(error)(f"validation: {error}") from error


def _as_rows(array: Any, name: str) -> Array:
    rows = np.asarray(array)
    return rows if rows.ndim > 0 else real_array(array, name)


def _as_figure(value: Any, name: str) -> float:
    array = real_array(value, f"metric {name}")
    if array.size != 1:
        raise ValueError(f"metric {name}: expected one number, got {received(array)}")
    return float(converted(array, np.dtype(np.float64), name).item())
