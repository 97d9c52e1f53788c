# SPDX-License-Identifier: BSD-3-Clause
"""How far a trainer is: all that the next step depends on, besides net, optimizer and data.

These objects are replaced and never changed, but for the count of the steps of the running block,
which the core keeps as it makes them. Wherever Ctrl-C strikes, they fit the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _core
from .callbacks import BestEpoch


@dataclass(frozen=True)
class PartOfEpoch:
    """The part of an epoch that has been learnt."""

    # Of the source; an epoch of other data begins anew.
    layout: tuple[int, ...] | None
    batch_size: int
    n_blocks: int = 0  # blocks that were learnt
    n_rows: int = 0  # in these blocks
    n_steps: int = 0  # made of these blocks
    loss: float = 0.0  # the mean of these rows
    seconds: float = 0.0
    block: _core.EpochPosition = field(default_factory=_core.EpochPosition)

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
        )


@dataclass(frozen=True)
class TrainingState:
    """Epochs completed, the epoch under way and the best one."""

    n_epochs: int = 0
    part: PartOfEpoch | None = None
    best: BestEpoch | None = None
