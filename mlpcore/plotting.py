# SPDX-License-Identifier: BSD-3-Clause
"""What every `plot` begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._optional import library

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def make_axes(caller: str) -> Axes:
    """The axes of a new figure of pyplot's.

    Parameters
    ----------
    caller : str
        The method that draws, as the message names it where matplotlib is not installed.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    axes: Axes = library("matplotlib.pyplot", caller).subplots()[1]
    return axes
