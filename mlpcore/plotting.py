# SPDX-License-Identifier: BSD-3-Clause
"""What every `plot` begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(f"{caller} needs matplotlib: pip install mlpcore[plot]") from error
    axes: Axes = pyplot.subplots()[1]
    return axes
