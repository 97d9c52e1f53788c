# SPDX-License-Identifier: BSD-3-Clause
"""The line on standard error that says how far training is: tqdm's, or a plain one without tqdm."""

import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self


class ProgressBar(Protocol):
    """A bar over epochs; leaving its context ends the line."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def epoch_done(self, row: dict[str, Any]) -> None:
        """Move on by one epoch, whose row of the history is `row`."""


def progress_bar(n_epochs: int, progress: bool | None) -> ProgressBar:
    """The bar for `n_epochs` epochs.

    Parameters
    ----------
    n_epochs : int
    progress : bool or None
        None: only if standard error is a terminal.
    """
    if progress is None:
        progress = sys.stderr.isatty()
    if not progress:
        return NoBar()
    try:
        from tqdm import tqdm
    except ImportError:
        return PlainBar(n_epochs)
    return TqdmBar(tqdm(total=n_epochs, unit="epoch", file=sys.stderr))


def losses_of(row: dict[str, Any]) -> dict[str, str]:
    """What a bar shows of a row of the history."""
    return {key: f"{row[key]:.4g}" for key in ("loss", "validation_loss") if key in row}


class NoBar:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def epoch_done(self, row: dict[str, Any]) -> None:
        """Show nothing."""


class TqdmBar:
    """Lends tqdm's bar the two methods."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def epoch_done(self, row: dict[str, Any]) -> None:
        """Move on by one epoch."""
        self.bar.set_postfix(losses_of(row), refresh=False)  # update() draws, ten times a second
        self.bar.update()


class PlainBar:
    """One line that is written over."""

    WIDTH = 30
    SECONDS_BETWEEN = 0.1

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs
        self.n_done = 0
        self.line = ""
        self.drawn_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.draw()
        sys.stderr.write("\n")
        sys.stderr.flush()

    def epoch_done(self, row: dict[str, Any]) -> None:
        """Move on by one epoch."""
        self.n_done += 1
        filled = self.WIDTH * self.n_done // self.n_epochs
        losses = ", ".join(f"{key}={value}" for key, value in losses_of(row).items())
        self.line = f"[{'=' * filled:{self.WIDTH}}] {self.n_done}/{self.n_epochs} {losses}"
        if time.monotonic() - self.drawn_at >= self.SECONDS_BETWEEN:
            self.draw()

    def draw(self) -> None:
        """Write the line over itself."""
        self.drawn_at = time.monotonic()
        # The padding wipes what a longer line left behind.
        sys.stderr.write(f"\r{self.line:<100}")
        sys.stderr.flush()
