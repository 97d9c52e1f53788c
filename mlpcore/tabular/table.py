# SPDX-License-Identifier: BSD-3-Clause
"""A table as it was read: columns by name, and where in the file each cell stands.

Whether a column holds numbers or text is told by its cells. A cell that is empty, or one of
`MISSING`, is missing. Spaces around a cell do not count.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from .._checks import received

if TYPE_CHECKING:
    from .._core import Array

MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "NULL", "null", "?"))
# Numbers of many countries, which would be categories without a word.
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)

TableLike: TypeAlias = "Table | str | os.PathLike[str] | Mapping[str, Any]"


class Table:
    """Columns by name, all of one length.

    Parameters
    ----------
    source : str
        What messages call the table, such as the name of its file.
    columns : mapping of str to numpy.ndarray or list of str
        Numbers (N,), NaN where one is missing, or texts (N,).
    lines : sequence of int, optional
        Line of the file in which each row ends; without, messages count rows from 1.

    Attributes
    ----------
    n_rows : int
        N.

    Raises
    ------
    ValueError
        If there is no column, or two have different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> table = Table("a table", {"age": np.array([31.0, 45.0]), "color": ["red", ""]})
    >>> table.kind("age"), table.kind("color"), table.n_rows
    ('number', 'text', 2)
    >>> table.where(1, "color")
    "a table, row 2, column 'color'"
    """

    def __init__(
        self,
        source: str,
        columns: Mapping[str, Array | list[str]],
        lines: Sequence[int] | None = None,
    ) -> None:
        self.source = source
        self.columns = dict(columns)
        self.lines = lines
        self._numbers: dict[str, tuple[Array, int | None]] = {}
        lengths = {name: len(cells) for name, cells in self.columns.items()}
        if not lengths:
            raise ValueError(f"{source}: expected a table with columns, got none")
        self.n_rows = next(iter(lengths.values()))
        for name, length in lengths.items():
            if length != self.n_rows:
                raise ValueError(
                    f"{source}: expected columns of one length, got {self.n_rows} rows of "
                    f"{next(iter(lengths))!r} and {length} of {name!r}"
                )

    def where(self, row: int, name: str) -> str:
        """Place of a cell, for a message.

        Parameters
        ----------
        row : int
            Its row, from 0.
        name : str
            Name of its column.

        Returns
        -------
        str
            Source, line or row, and column.

        Examples
        --------
        >>> Table("ages.csv", {"age": ["31", "45"]}, lines=[2, 3]).where(1, "age")
        "ages.csv, line 3, column 'age'"
        """
        return f"{self.source}, {self._place(row)}, column {name!r}"

    def _place(self, row: int) -> str:
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"

    def cells(self, name: str) -> Array | list[str]:
        """A column as it was read.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        numpy.ndarray of shape (N,), or list of str
            Numbers, or texts.

        Raises
        ------
        ValueError
            If there is none of this name.

        Examples
        --------
        >>> Table("a table", {"age": ["31", "NA"]}).cells("age")
        ['31', 'NA']
        """
        if name not in self.columns:
            names = ", ".join(map(repr, self.columns))
            raise ValueError(f"{self.source}: expected a column {name!r}, got {names}")
        return self.columns[name]

    def kind(self, name: str) -> Literal["number", "text"]:
        """Whether the cells of a column are numbers or text.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        {"number", "text"}
            What all cells are that are not missing.

        Raises
        ------
        ValueError
            If they are of both kinds, or all missing, or all with a decimal comma.

        Examples
        --------
        >>> Table("a table", {"age": ["31", "NA"]}).kind("age")
        'number'
        """
        cells = self.cells(name)
        if not isinstance(cells, list):
            return "number"
        numbers, not_a_number = self._parsed(name, cells)
        known = [row for row, cell in enumerate(cells) if cell not in MISSING]
        if not known:
            raise ValueError(f"{self.source}: column {name!r}: every cell is missing: leave it out")
        if not_a_number is None:
            return "number"
        number_rows = np.flatnonzero(~np.isnan(numbers))
        if len(number_rows) > 0:
            raise ValueError(
                f"{self.where(not_a_number, name)}: expected a number as in "
                f"{self._place(int(number_rows[0]))}, got "
                f"{cells[not_a_number]!r:.50}; if the column holds categories, name it as "
                "categorical"
            )
        if all(_DECIMAL_COMMA.fullmatch(cells[row]) for row in known):
            raise ValueError(
                f"{self.where(known[0], name)}: expected a decimal point, got "
                f"{cells[known[0]]!r:.50}; if the column holds categories, name it as categorical"
            )
        return "text"

    def numbers(self, name: str) -> Array:
        """A column as numbers.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        numpy.ndarray of shape (N,)
            In float64, NaN where a cell is missing.

        Raises
        ------
        ValueError
            If a cell is no finite number.

        Examples
        --------
        >>> Table("a table", {"age": ["31", "NA"]}).numbers("age")
        array([31., nan])
        """
        cells = self.cells(name)
        if isinstance(cells, list):
            values, not_a_number = self._parsed(name, cells)
            if not_a_number is not None:
                raise ValueError(
                    f"{self.where(not_a_number, name)}: expected a number, got "
                    f"{cells[not_a_number]!r:.50}"
                )
        else:
            values = cells.astype(np.float64)
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite) > 0:
            row = int(infinite[0])
            raise ValueError(
                f"{self.where(row, name)}: expected a finite number, got {values[row]}"
            )
        return values

    def _parsed(self, name: str, cells: list[str]) -> tuple[Array, int | None]:
        """Texts as numbers, NaN where one is none or missing; the first row that is none.

        It is remembered, because it takes the most time of all.
        """
        if name not in self._numbers:
            values = np.full(len(cells), math.nan)
            not_a_number = None
            for row, cell in enumerate(cells):
                if cell in MISSING:
                    continue
                value = _number(cell)
                if value is not None:
                    values[row] = value
                elif not_a_number is None:
                    not_a_number = row
            self._numbers[name] = values, not_a_number
        return self._numbers[name]

    def texts(self, name: str) -> list[str]:
        """A column as texts.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        list of str
            ``""`` where a cell is missing; a whole number has no point.

        Raises
        ------
        ValueError
            As `cells`.

        Examples
        --------
        >>> import numpy as np
        >>> Table("a table", {"age": np.array([31.0, np.nan])}).texts("age")
        ['31', '']
        """
        cells = self.cells(name)
        if isinstance(cells, list):
            return ["" if cell in MISSING else cell for cell in cells]
        if cells.dtype.kind == "f":
            return [_text(value) for value in cells.tolist()]
        return [str(value) for value in cells.tolist()]


def _number(cell: str) -> float | None:
    """The number that the cell is, or None. Python's own ``1_000`` is none."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _text(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def as_cells(cells: Any, where: str) -> Array | list[str]:
    """Return numbers as an array, all else that a column can hold as texts."""
    array = np.asarray(cells)
    if array.ndim != 1:
        raise ValueError(f"{where}: expected one value a row, got shape {array.shape}")
    if array.dtype.kind in "iuf":
        return array
    if array.dtype.kind in "bUO":
        values = array.tolist()
        if all(value is None or isinstance(value, str | bool) for value in values):
            return ["" if value is None else str(value).strip() for value in values]
    raise ValueError(f"{where}: expected numbers or texts, got {received(array)}")
