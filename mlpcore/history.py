# SPDX-License-Identifier: BSD-3-Clause
"""What training was like, epoch by epoch."""

from typing import TYPE_CHECKING, Any

from ._optional import library
from .plotting import make_axes

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


class History(list[dict[str, Any]]):
    """A list of dictionaries, one for each epoch.

    The keys of a row are ``epoch`` (int, from 1), ``loss`` (float), ``seconds`` (float: what the
    epoch's updates took, without validation and callbacks), ``learning_rate`` (float: that of the
    epoch's last step; with `LBFGS` and `LevenbergMarquardt` instead ``n_evaluations``, int, how
    often the loss was computed, and with the latter ``damping``), ``validation_loss`` and
    ``validation_`` with a metric's name (float, where validation data were given), and whatever a
    callback added. `MLP.fit` and `Trainer.fit` make it.

    Parameters
    ----------
    iterable : iterable of dict, optional
        Rows to begin with, as of a list.

    Raises
    ------
    TypeError
        If it cannot be iterated over.

    Examples
    --------
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> [row["loss"] for row in history]
    [0.5, 0.25]
    """

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a table, with the epoch as its index.

        Returns
        -------
        pandas.DataFrame
            A column for each key; NaN where a row has no such key.

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
        >>> history.to_pandas()["loss"].tolist()  # doctest: +SKIP
        [0.5, 0.25]
        """
        keys = dict.fromkeys(key for row in self for key in row)
        columns = ["epoch", *(k for k in keys if k != "epoch")]
        frame = library("pandas", "History.to_pandas").DataFrame(list(self), columns=columns)
        return frame.set_index("epoch")

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the losses against the epoch.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot's if not given.

        Returns
        -------
        matplotlib.axes.Axes
            Those that were drawn on.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
        >>> ax = history.plot(Figure().add_subplot())
        >>> ax.get_lines()[0].get_ydata().tolist()
        [0.5, 0.25]
        """
        ax = make_axes("History.plot") if ax is None else ax
        for key, label in (("loss", "training"), ("validation_loss", "validation")):
            rows = [row for row in self if key in row]
            if rows:
                ax.plot([row["epoch"] for row in rows], [row[key] for row in rows], label=label)
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss")
        if self:
            ax.legend()
        return ax
