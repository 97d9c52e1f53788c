# SPDX-License-Identifier: BSD-3-Clause
"""What an optimizer of all rows minimises: their loss and a penalty on the parameters.

Parameters are tried in a copy of the net; the net itself gets those of an iteration once it is
complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ._validation import Batch
from .callable_loss import CallableLoss
from .divergence import not_finite_in_passes
from .sparse_rows import SparseRows
from .steps import value_and_gradients
from .topology import layer_views

if TYPE_CHECKING:
    from ._core import Array
    from .full_batch import FullBatchOptimizer
    from .losses import Loss
    from .mlp import MLP


class FullBatchProblem:
    """The loss of all rows with a penalty on the parameters, as a function of the parameters.

    The penalty is half the sum of decay * p^2, in float64; decay is the optimizer's `weight_decay`,
    and for the weights its `l2` besides.
    """

    def __init__(
        self,
        net: MLP,
        loss: Loss | CallableLoss,
        rows: Batch,
        optimizer: FullBatchOptimizer,
        n_threads: int,
    ) -> None:
        if not net.parameters.flags.writeable:
            raise ValueError("net.parameters: must be writable to be trained, got read-only ones")
        if isinstance(rows.x, SparseRows) and isinstance(loss, CallableLoss):
            raise ValueError(
                f"loss: expected one of mlpcore.losses with sparse rows and all of them at once, "
                f"got {loss!r}"
            )
        self.net, self.loss, self.rows, self.n_threads = net, loss, rows, n_threads
        self.moved = net.copy()
        self._decay: Array | None = None  # of each parameter (P,)
        if optimizer.weight_decay != 0.0 or optimizer.l2 != 0.0:
            self._decay = np.full(net.n_parameters, optimizer.weight_decay)
            for weight in layer_views(self._decay, net.sizes, net.has_bias)[0]:
                weight += optimizer.l2
        self.n_evaluations = 0
        self.epoch = 0  # the trainer's number of the iteration

    def move(self, parameters: Array) -> None:
        """Take parameters to be tried, of any real dtype."""
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and found by who evaluates
            self.moved.parameters[:] = parameters

    def loss_here(self) -> float:
        """The loss, without the penalty, at the parameters that are tried."""
        self.n_evaluations += 1
        return self._value_and_gradient(None)

    def loss_and_gradient_here(self) -> tuple[float, Array]:
        """The loss and its gradient (P,), both without the penalty."""
        self.n_evaluations += 1
        flat = np.empty_like(self.moved.parameters)
        return self._value_and_gradient(flat), flat

    def _value_and_gradient(self, flat: Array | None) -> float:
        if isinstance(self.rows.x, SparseRows):
            return self._of_sparse_rows(flat)
        return value_and_gradients(self.moved, self.rows, self.loss, flat, None, self.n_threads)

    def _of_sparse_rows(self, flat: Array | None) -> float:
        """The sum over the pieces, or their mean weighted by what their rows weigh."""
        assert not isinstance(self.loss, CallableLoss)  # of which nobody knows
        is_sum = self.loss.reduction == "sum"
        value, total = 0.0, 0.0
        of_piece = None if flat is None else np.zeros_like(flat)
        if flat is not None:
            flat[:] = 0.0
        for piece in self._dense_pieces():
            weight = len(piece.x) if piece.sample_weight is None else piece.sample_weight.sum()
            if weight == 0.0:
                continue
            total += float(weight)
            share = 1.0 if is_sum else float(weight) / total
            part = value_and_gradients(self.moved, piece, self.loss, of_piece, None, self.n_threads)
            value += part if is_sum else (part - value) * share
            if flat is not None and of_piece is not None:
                flat += of_piece if is_sum else (of_piece - flat) * share
        return value

    def _dense_pieces(self) -> Iterator[Batch]:
        x, target, weight, _ = self.rows
        if not isinstance(x, SparseRows):
            yield self.rows
            return
        for piece in x.pieces():
            yield Batch(x.dense(piece), target[piece], None if weight is None else weight[piece])

    def penalty_here(self) -> float:
        """The penalty at the parameters that are tried."""
        if self._decay is None:
            return 0.0
        parameters = self.moved.parameters.astype(np.float64)
        return 0.5 * float((self._decay * parameters) @ parameters)

    def add_penalty_here(self, gradient: Array, hessian: Array | None = None) -> None:
        """Add the penalty's gradient to one of float64 (P,), and its Hessian to one (P, P)."""
        if self._decay is None:
            return
        gradient += self._decay * self.moved.parameters
        if hessian is not None:
            hessian.flat[:: len(gradient) + 1] += self._decay

    def accept(self) -> None:
        """Give the net the parameters that are tried."""
        self.net.parameters[:] = self.moved.parameters

    def raise_not_finite(self, otherwise: str) -> NoReturn:
        """Raise FloatingPointError that says what is not finite at the parameters tried."""
        found = (
            not_finite_in_passes(self.moved, piece, self.loss, self.n_threads)[0]
            for piece in self._dense_pieces()
        )
        where = next((words for words in found if words is not None), None)
        raise FloatingPointError(
            f"epoch {self.epoch}: {where or otherwise} is not finite; the net has the "
            "parameters from before this epoch. Standardised x and y usually help"
        )
