# SPDX-License-Identifier: BSD-3-Clause
"""Where the rows of an epoch come from: arrays, arrays block by block, or an iterable of batches.

A source gives the blocks of an epoch one after the other; a trainer cuts each into mini-batches.
Arrays in memory are one block. In several blocks, the next one is read by a thread while the
present one is learnt, so that two of them are in memory at a time.

The order is a function of the seed, the epoch and the number of rows alone: the blocks are taken in
an order of their own, and the rows of the block in place p of the epoch in an order that depends on
p. A single block has the order that it would have had without blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from . import _core
from ._checks import check_positive_int, received
from ._validation import (
    Batch,
    any_array,
    as_batch,
    as_sample_weight,
    as_targets,
    check_finite,
    real_array,
)
from .callable_loss import CallableLoss
from .loss_base import Loss, check_targets
from .read_ahead import read_ahead
from .sobolev import as_dy_dx, with_dy_dx
from .sparse_rows import SparseRows

if TYPE_CHECKING:
    from ._core import Array
    from .mlp import MLP

# Of a memory-mapped array, unless the caller says how many rows a block has. Two of them are in
# memory at a time, x and y together.
BLOCK_BYTES = 2**24
# An automatic block has a multiple of so many rows: whole mini-batches for most sizes.
ROWS_UNIT = 1024


class Block(NamedTuple):
    """Rows in memory, and the order in which they are learnt."""

    batch: Batch
    order: Array | None  # int64 (n,), may leave rows out; None: as they lie

    @property
    def n_rows(self) -> int:
        """Rows that are learnt."""
        return len(self.batch.x if self.order is None else self.order)

    def rows(self, part: slice) -> Batch:
        """The rows of a part of the order."""
        chosen: Any = part if self.order is None else self.order[part]
        return self.batch.rows(chosen)


class Source(Protocol):
    """The rows of an epoch, in blocks."""

    # The same for two sources whose epochs have the same blocks; None: nobody knows before.
    layout: tuple[int, ...] | None

    def n_steps(self, batch_size: int) -> int | None:
        """Mini-batches of an epoch, None where they cannot be counted before."""

    def blocks(self, seed: int | None, epoch: int, first: int) -> Iterator[Block]:
        """The blocks of an epoch from number `first` on; without a seed all as it lies."""


class WholeArrays:
    """Arrays in memory, which are checked at once and learnt as one block."""

    def __init__(self, data: Batch, chosen: Array | None) -> None:
        self.data = data
        self.chosen = chosen  # int64, ascending; None: all rows
        self.n_rows = len(data.x if chosen is None else chosen)
        self.layout: tuple[int, ...] | None = (self.n_rows, self.n_rows)

    def rows(self) -> Batch:
        """All rows that are learnt, as they lie."""
        return Block(self.data, self.chosen).rows(slice(None))

    def n_steps(self, batch_size: int) -> int | None:
        """Mini-batches of an epoch."""
        return -(-self.n_rows // batch_size)

    def blocks(self, seed: int | None, epoch: int, first: int) -> Iterator[Block]:
        """All rows at once."""
        if first == 0:
            order = _order(seed, epoch, 0, self.n_rows)
            yield Block(self.data, _of_chosen(self.chosen, order))


class BlockedArrays:
    """Arrays that are read, converted and checked block by block; memory-mapped ones, usually."""

    def __init__(
        self,
        net: MLP,
        loss: Loss | CallableLoss,
        data: tuple[Array, Array, Array | None, Array | None],
        block_rows: int,
        chosen: Array | None,
        dy_dx_weight: float,
    ) -> None:
        self.net, self.loss, self.block_rows = net, loss, block_rows
        self.x, self.y, self.sample_weight, self.dy_dx = data
        self.dy_dx_weight = dy_dx_weight
        self.starts = np.arange(0, len(self.x), block_rows)
        self.chosen = chosen
        self.layout: tuple[int, ...] | None = (
            len(self.x) if chosen is None else len(chosen),
            block_rows,
        )

    def n_steps(self, batch_size: int) -> int | None:
        """Mini-batches of an epoch: a block's last one may be smaller."""
        if self.chosen is None:
            lengths = np.minimum(self.block_rows, len(self.x) - self.starts)
        else:
            ends = np.append(self.starts[1:], len(self.x))
            lengths = np.diff(np.searchsorted(self.chosen, np.append(self.starts[:1], ends)))
        return int((-(-lengths // batch_size)).sum())

    def blocks(self, seed: int | None, epoch: int, first: int) -> Iterator[Block]:
        """The blocks in the order of this epoch."""
        places = np.arange(len(self.starts))
        if seed is not None:
            places = _core.permutation(_core.random_key(seed, "blocks", 0), epoch, len(places))
        return read_ahead(
            self._block(int(self.starts[places[place]]), seed, epoch, place)
            for place in range(first, len(places))
        )

    def _block(self, start: int, seed: int | None, epoch: int, place: int) -> Block:
        rows = slice(start, min(start + self.block_rows, len(self.x)))
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        try:
            # A copy of what may lie in a file: it is read here, once, and not while it is learnt.
            dy_dx = None if self.dy_dx is None else self.dy_dx[rows].copy()
            batch = _checked(
                self.net,
                self.loss,
                self.x[rows].copy(),
                self.y[rows].copy(),
                None,
                dy_dx,
                self.dy_dx_weight,
            )
        except (ValueError, TypeError) as error:
            raise type(error)(f"rows from {rows.start} to {rows.stop}: {error}") from error
        chosen = None
        if self.chosen is not None:
            begin, end = np.searchsorted(self.chosen, (rows.start, rows.stop))
            chosen = self.chosen[begin:end] - rows.start
        n_rows = len(batch.x if chosen is None else chosen)
        return Block(
            batch._replace(sample_weight=weight),
            _of_chosen(chosen, _order(seed, epoch, place, n_rows)),
        )


class SparseSource:
    """Sparse rows to learn from, in the order in which arrays in memory would be learnt.

    Blocks are whole mini-batches, so that the same rows as an array have the same updates.
    """

    def __init__(self, rows: SparseRows, target: Array, sample_weight: Array | None) -> None:
        self.rows, self.target, self.sample_weight = rows, target, sample_weight
        self.pieces = rows.pieces()
        block_rows = self.pieces[0].stop
        self.layout: tuple[int, ...] | None = (len(rows), block_rows)

    def n_steps(self, batch_size: int) -> int | None:
        """Mini-batches of an epoch."""
        return sum(-(-int(piece.stop - piece.start) // batch_size) for piece in self.pieces)

    def blocks(self, seed: int | None, epoch: int, first: int) -> Iterator[Block]:
        """The blocks of an epoch from number `first` on."""
        n_rows = len(self.rows)
        order = np.arange(n_rows) if seed is None else _core.permutation(seed, epoch, n_rows)
        return read_ahead(self._block(order[piece]) for piece in self.pieces[first:])

    def _block(self, chosen: Array) -> Block:
        weight = None if self.sample_weight is None else self.sample_weight[chosen]
        return Block(Batch(self.rows.dense(chosen), self.target[chosen], weight), None)


class Batches:
    """An iterable of ``(x, y)``, also with ``sample_weight`` and ``dy_dx``, each a block."""

    layout: tuple[int, ...] | None = None

    def __init__(
        self, net: MLP, loss: Loss | CallableLoss, batches: Any, epochs: int, dy_dx_weight: float
    ) -> None:
        self.net, self.loss, self.dy_dx_weight = net, loss, dy_dx_weight
        self.begin: Callable[[], Iterator[Any]]
        if callable(batches):
            self.begin = lambda: iter(batches())
        elif iter(batches) is batches and epochs > 1:
            raise ValueError(
                "x: an iterator can be gone through once: expected a list or a function that "
                f"returns a new iterator for each of {epochs} epochs, got {received(batches)}"
            )
        else:
            self.begin = lambda: iter(batches)

    def n_steps(self, batch_size: int) -> int | None:
        """None: nobody knows before."""
        return None

    def blocks(self, seed: int | None, epoch: int, first: int) -> Iterator[Block]:
        """The batches as they come; those before `first` are passed over."""
        return read_ahead(self._blocks(seed, epoch, first))

    def _blocks(self, seed: int | None, epoch: int, first: int) -> Iterator[Block]:
        for place, item in enumerate(self.begin()):
            if place < first:
                continue
            try:
                if not isinstance(item, tuple | list) or len(item) not in (2, 3, 4):
                    rule = "(x, y), (x, y, sample_weight) or (x, y, sample_weight, dy_dx)"
                    raise TypeError(f"x: expected batches {rule}, got {received(item)}")
                x, y, weight, dy_dx = (*item, None, None)[:4]
                batch = _checked(self.net, self.loss, x, y, weight, dy_dx, self.dy_dx_weight)
            except (ValueError, TypeError) as error:
                raise type(error)(f"batch {place + 1}: {error}") from error
            yield Block(batch, _order(seed, epoch, place, len(batch.x)))


def as_source(
    net: MLP,
    loss: Loss | CallableLoss,
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    epochs: int,
    block_rows: int | None,
    held_out: Array | None,
    dy_dx: Any = None,
    dy_dx_weight: float = 1.0,
) -> Source:
    """Return the source that the arguments of `fit` describe; `held_out` rows are not learnt."""
    if block_rows is not None:
        check_positive_int(block_rows, "block_rows")
    if is_batches(x, y):
        arguments = {"sample_weight": sample_weight, "block_rows": block_rows, "dy_dx": dy_dx}
        for name, given in arguments.items():
            if given is not None:
                raise ValueError(
                    f"{name}: expected None with an iterable of batches, got {received(given)}"
                )
        return Batches(net, loss, x, epochs, dy_dx_weight)
    if isinstance(x, SparseRows):
        return SparseSource(*checked_sparse_rows(net, loss, x, y, sample_weight))
    if block_rows is None and isinstance(x, np.memmap) and x.ndim == 2:
        n_derivatives = 0 if dy_dx is None else net.sizes[0] * net.sizes[-1]
        row_bytes = (net.sizes[0] + net.sizes[-1] + n_derivatives) * net.dtype.itemsize
        block_rows = max(BLOCK_BYTES // row_bytes // ROWS_UNIT, 1) * ROWS_UNIT
    rows = None if block_rows is None else real_array(x, "x")
    if block_rows is None or rows is None or rows.ndim != 2 or len(rows) <= block_rows:
        data = checked_rows(net, loss, x, y, sample_weight, dy_dx, dy_dx_weight)
        return WholeArrays(data, _learnt(len(data.x), held_out))
    n_rows = len(rows)
    targets = any_array(y, "y")
    if targets.ndim == 0 or len(targets) != n_rows:
        as_targets(net, targets, n_rows, loss)  # raises: it words the error
    weight = as_sample_weight(net, sample_weight, n_rows)
    derivatives = None if dy_dx is None else real_array(dy_dx, "dy_dx")
    if derivatives is not None and (derivatives.ndim == 0 or len(derivatives) != n_rows):
        as_dy_dx(net, derivatives, n_rows)  # raises: it words the error
    chosen = _learnt(n_rows, held_out)
    arrays = (rows, targets, weight, derivatives)
    return BlockedArrays(net, loss, arrays, block_rows, chosen, dy_dx_weight)


def as_whole_arrays(
    net: MLP,
    loss: Loss | CallableLoss,
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    block_rows: int | None,
    held_out: Array | None,
    dy_dx: Any,
    dy_dx_weight: float,
) -> WholeArrays:
    """Return the source for an optimizer that learns from all rows at once."""
    if is_batches(x, y):
        raise ValueError(
            "x: expected one array of all rows for an optimizer that learns from all of them at "
            f"once, got an iterable of batches, {received(x)}"
        )
    if block_rows is not None:
        raise ValueError(
            "block_rows: expected None with an optimizer that learns from all rows at once, got "
            f"{received(block_rows)}"
        )
    if isinstance(x, SparseRows):
        rows, target, weight = checked_sparse_rows(net, loss, x, y, sample_weight)
        return WholeArrays(Batch(rows, target, weight), None)  # type: ignore[arg-type]
    data = checked_rows(net, loss, x, y, sample_weight, dy_dx, dy_dx_weight)
    return WholeArrays(data, _learnt(len(data.x), held_out))


def is_batches(x: Any, y: Any) -> bool:
    """Whether `x` is an iterable of batches, or a function that returns one."""
    return y is None and (callable(x) or isinstance(x, Iterable)) and not hasattr(x, "__array__")


def checked_rows(
    net: MLP,
    loss: Loss | CallableLoss,
    x: Any,
    y: Any,
    sample_weight: Any,
    dy_dx: Any,
    dy_dx_weight: float,
) -> Batch:
    """Return rows that can be learnt: finite, in the range of the loss, at least one."""
    data = _checked(net, loss, x, y, sample_weight, dy_dx, dy_dx_weight)
    if len(data.x) == 0:
        raise ValueError("x: expected at least one row, got none")
    return data


def checked_sparse_rows(
    net: MLP, loss: Loss | CallableLoss, x: SparseRows, y: Any, sample_weight: Any
) -> tuple[SparseRows, Array, Array | None]:
    """Return rows, which have been checked, with targets and weights that can be learnt."""
    target = as_targets(net, y, len(x), loss)
    _check_targets(loss, target)
    return x, target, as_sample_weight(net, sample_weight, len(x))


def _checked(
    net: MLP,
    loss: Loss | CallableLoss,
    x: Any,
    y: Any,
    sample_weight: Any,
    dy_dx: Any,
    dy_dx_weight: float,
) -> Batch:
    data, single = as_batch(net, x, y, sample_weight, loss)
    data = with_dy_dx(net, loss, data, dy_dx, dy_dx_weight, single=single)
    if data.jacobian is not None:
        check_finite(data.jacobian.dy_dx, "dy_dx")
    check_finite(data.x, "x")
    _check_targets(loss, data.target)
    if data.target.dtype.kind == "i":
        # Class indices were checked once, and the core follows them: a callback that changes
        # the caller's array must not change these.
        data = data._replace(target=data.target.copy())
    return data


def _check_targets(loss: Loss | CallableLoss, target: Array) -> None:
    if target.dtype.kind == "f":  # what a callable loss takes may be anything
        check_finite(target, "y")
    check_targets(loss, target)


def _learnt(n_rows: int, held_out: Array | None) -> Array | None:
    if held_out is None:
        return None
    mask = np.ones(n_rows, bool)
    mask[held_out] = False
    return np.flatnonzero(mask)


def _order(seed: int | None, epoch: int, place: int, n_rows: int) -> Array | None:
    """The rows of the block in this place, as they are learnt; None: as they lie."""
    if seed is None:
        return None
    key = seed if place == 0 else _core.random_key(seed, "rows", place)
    return _core.permutation(key, epoch, n_rows)


def _of_chosen(chosen: Array | None, order: Array | None) -> Array | None:
    if chosen is None:
        return order
    return chosen if order is None else chosen[order]
