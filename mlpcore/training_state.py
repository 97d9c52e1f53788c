# SPDX-License-Identifier: BSD-3-Clause
"""How far a trainer is: all that the next step depends on, besides net, optimizer and data.

These objects are replaced and never changed, but for the count of the steps of the running block,
which the core keeps as it makes them. Wherever Ctrl-C strikes, they fit the parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._core import EpochPosition

if TYPE_CHECKING:
    from .callbacks import BestEpoch
    from .history import History
    from .rates import RateState


class PartOfEpoch(NamedTuple):
    """The part of an epoch that has been learnt."""

    # Of the source; an epoch of other data begins anew.
    layout: tuple[int, ...] | None
    batch_size: int
    n_blocks: int  # blocks that were learnt
    n_rows: int  # in these blocks
    n_steps: int  # made of these blocks
    loss: float  # the mean of these rows
    seconds: float
    block: EpochPosition

    def after_block(self, n_rows: int, seconds: float) -> PartOfEpoch:
        """The part with the running block, whose last step has been made."""
        total = self.n_rows + n_rows
        # A running mean: with one block it is that block's to the bit.
        loss = self.loss
        if n_rows > 0:
            loss += (self.block.loss_total - loss) * (n_rows / total)
        return PartOfEpoch(
            self.layout,
            self.batch_size,
            self.n_blocks + 1,
            total,
            self.n_steps + self.block.n_steps,
            loss,
            self.seconds + seconds,
            EpochPosition(),
        )


def nothing_learnt(layout: tuple[int, ...] | None, batch_size: int) -> PartOfEpoch:
    """Return the beginning of an epoch."""
    return PartOfEpoch(layout, batch_size, 0, 0, 0, 0.0, 0.0, EpochPosition())


class TrainingState(NamedTuple):
    """Epochs completed, the epoch under way and the best one."""

    n_epochs: int = 0
    part: PartOfEpoch | None = None
    best: BestEpoch | None = None


class Memory(NamedTuple):
    """All that a trainer goes on from, besides its net, its optimizer and the data."""

    state: TrainingState
    rates: RateState
    history: History
