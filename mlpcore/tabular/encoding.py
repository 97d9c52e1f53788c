# SPDX-License-Identifier: BSD-3-Clause
"""How the columns of a table become the inputs of a net, and its outputs an answer.

A column of numbers is one input, its mean taken off and divided by its standard deviation. A column
of texts has one input for each category, 1 where the cell is that category and 0 elsewhere. A
target of numbers is scaled like a column; a target of classes has one output for each.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._checks import check_bool, check_choice
from .._safetensors import strict_json
from .cells import are_classes, category_column, check_repetition, codes, number_column, numbers
from .columns import CategoryColumn, Column, NumberColumn, from_values, to_values, width
from .readers import as_table
from .table import TableLike

if TYPE_CHECKING:
    from .._core import Array

TASKS = ("auto", "classification", "regression")
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Encoding:
    """From the columns of a table to inputs and targets; `of` makes one.

    Attributes
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        In the order of the inputs.
    target : NumberColumn or CategoryColumn
        What is to be predicted.
    fills : bool
        Whether missing cells are filled in: a number by the mean, which is an input of 0, and a
        category by zeros. Else they are refused.
    is_classification : bool
        Whether the target has classes.
    n_inputs, n_outputs : int
        How many inputs and outputs the net has.

    Examples
    --------
    >>> table = {"size": [1.0, 3.0], "color": ["red", "blue"], "sold": ["no", "yes"]}
    >>> encoding = Encoding.of(table, target="sold")
    >>> encoding.inputs(table)
    array([[-1.,  0.,  1.],
           [ 1.,  1.,  0.]], dtype=float32)
    >>> encoding.targets(table)
    array([0, 1])
    """

    columns: tuple[Column, ...]
    target: Column
    fills: bool = False

    @classmethod
    def of(
        cls,
        table: TableLike,
        target: str,
        *,
        task: Literal["auto", "classification", "regression"] = "auto",
        categorical: Collection[str] = (),
        ignore: Collection[str] = (),
        fills: bool = False,
        rows: Array | None = None,
    ) -> Encoding:
        """The encoding of a table.

        Parameters
        ----------
        table : Table, path, or mapping of str to array_like of shape (N,)
            All rows: categories and classes are those of all of them.
        target : str
            Name of the column that is to be predicted.
        task : {"auto", "classification", "regression"}, default="auto"
            ``"auto"``: classification where the target is text, or all its values are whole
            numbers, at most ten different ones and half as many as there are rows; else regression.
        categorical : collection of str, default=()
            Columns that hold categories though they look like numbers.
        ignore : collection of str, default=()
            Columns that are no inputs.
        fills : bool, default=False
            Whether missing cells are filled in rather than refused.
        rows : array_like of int of shape (n_learnt,), optional
            Rows that are learnt from, and of which mean and standard deviation are taken; all
            without it.

        Returns
        -------
        Encoding
            With the columns in the order of the table.

        Raises
        ------
        ValueError
            If there is no such column, a cell does not fit or is missing, or there is nothing to
            learn: no other column, no rows, a single class, more than 1000 categories, or more than
            ten texts that are all different and not named as categorical.
        TypeError
            If the table has no columns by name.

        Examples
        --------
        >>> table = {"zip": [10115, 20095, 10115], "age": [30, 40, 50], "rent": [900, 700, 800]}
        >>> encoding = Encoding.of(table, target="rent", categorical=["zip"], ignore=["age"])
        >>> encoding.columns
        (CategoryColumn(name='zip', categories=('10115', '20095')),)
        >>> encoding.is_classification, encoding.target.mean
        (False, 800.0)
        """
        table = as_table(table)
        check_choice(task, "task", TASKS)
        check_bool(fills, "fills")
        if table.n_rows == 0:
            raise ValueError(f"{table.source}: expected rows, got none")
        for name in (target, *categorical, *ignore):
            table.cells(name)
        names = [name for name in table.columns if name != target and name not in ignore]
        if not names:
            raise ValueError(f"{table.source}: expected a column besides {target!r}, got none")
        learnt = np.arange(table.n_rows) if rows is None else np.asarray(rows)
        task_is_found = task == "auto"
        if task_is_found:
            task = "classification" if are_classes(table, target) else "regression"
        made_target: Column
        if task == "classification":
            made_target = category_column(table, target, False)
            if task_is_found:
                check_repetition(table, made_target)
            if len(made_target.categories) < 2:
                raise ValueError(
                    f"{table.source}: expected two classes or more in column {target!r}, got "
                    f"{made_target.categories[0]!r} alone"
                )
        else:
            made_target = number_column(table, target, False, learnt)
        columns: list[Column] = []
        for name in names:
            if name in categorical:
                columns.append(category_column(table, name, fills))
            elif table.kind(name) == "text":
                columns.append(category_column(table, name, fills))
                check_repetition(table, columns[-1])
            else:
                columns.append(number_column(table, name, fills, learnt))
        return cls(tuple(columns), made_target, fills)

    @property
    def is_classification(self) -> bool:
        """Whether the target has classes."""
        return isinstance(self.target, CategoryColumn)

    @property
    def n_inputs(self) -> int:
        """How many inputs the net has."""
        return sum(width(column) for column in self.columns)

    @property
    def n_outputs(self) -> int:
        """How many outputs the net has."""
        return width(self.target)

    def inputs(self, table: TableLike) -> Array:
        """The inputs of the net for the rows of a table.

        Parameters
        ----------
        table : Table, path, or mapping of str to array_like of shape (N,)
            Columns that the encoding does not know do not count.

        Returns
        -------
        numpy.ndarray of shape (N, n_inputs)
            In float32: scaled numbers, and for a category 1 where the cell is it and else 0.

        Raises
        ------
        ValueError
            If a column is missing, a cell does not fit, or a category is new; the message names
            file, line, column and value.

        Examples
        --------
        >>> table = {"size": [1.0, 3.0], "color": ["red", "blue"], "price": [10.0, 15.0]}
        >>> encoding = Encoding.of(table, target="price")
        >>> encoding.inputs({"size": [2.0], "color": ["red"]})      # scaled size, blue, red
        array([[0., 0., 1.]], dtype=float32)
        """
        table = as_table(table)
        missing = [column.name for column in self.columns if column.name not in table.columns]
        if missing:
            raise ValueError(
                f"{table.source}: expected the columns {', '.join(map(repr, missing))} too, which "
                f"the net was trained with; got {', '.join(map(repr, table.columns))}"
            )
        x = np.zeros((table.n_rows, self.n_inputs), np.float32)
        at = 0
        for column in self.columns:
            if isinstance(column, NumberColumn):
                values = (numbers(table, column.name, self.fills) - column.mean) / column.scale
                with np.errstate(over="ignore"):
                    x[:, at] = np.nan_to_num(values, nan=0.0)
                if not np.isfinite(x[:, at]).all():
                    row = int(np.flatnonzero(~np.isfinite(x[:, at]))[0])
                    raise ValueError(
                        f"{table.where(row, column.name)}: expected a number that is in float32 "
                        f"once it is scaled, got {table.numbers(column.name)[row]}"
                    )
            else:
                known = codes(table, column, self.fills)
                rows = np.flatnonzero(known >= 0)
                x[rows, at + known[rows]] = 1.0
            at += width(column)
        return x

    def targets(self, table: TableLike) -> Array:
        """What the net learns from the rows of a table.

        Parameters
        ----------
        table : Table, path, or mapping of str to array_like of shape (N,)
            With the column of the target, in which no cell may be missing.

        Returns
        -------
        numpy.ndarray of shape (N,) or (N, 1)
            Classes as integers (N,), or scaled numbers (N, 1) in float32.

        Raises
        ------
        ValueError
            As `inputs`.

        Examples
        --------
        >>> table = {"size": [1.0, 3.0], "price": [10.0, 15.0]}
        >>> Encoding.of(table, target="price").targets(table)
        array([[-1.],
               [ 1.]], dtype=float32)
        """
        table = as_table(table)
        if isinstance(self.target, CategoryColumn):
            return codes(table, self.target, False)
        values = (numbers(table, self.target.name, False) - self.target.mean) / self.target.scale
        return values.astype(np.float32)[:, None]

    def answers(self, y_hat: Array) -> Array:
        """What the outputs of the net say: a class's name or a number for each row.

        Parameters
        ----------
        y_hat : numpy.ndarray of shape (N, n_outputs)
            Outputs of a net for `inputs`.

        Returns
        -------
        numpy.ndarray of shape (N,)
            The likeliest class as text, or the number in float64, in the target's unit.

        Examples
        --------
        >>> import numpy as np
        >>> encoding = Encoding.of({"size": [1.0, 3.0], "price": [10.0, 15.0]}, target="price")
        >>> encoding.answers(np.float32([[0.0], [1.0]]))
        array([12.5, 15. ])
        """
        if isinstance(self.target, CategoryColumn):
            classes = self.target.categories
            return np.array([classes[code] for code in y_hat.argmax(axis=1)], dtype=str)
        return self.target.mean + self.target.scale * y_hat[:, 0].astype(np.float64)

    def to_json(self) -> str:
        """The encoding as a JSON text; `from_json` reads it.

        Returns
        -------
        str
            Every number with all its digits.

        Examples
        --------
        >>> encoding = Encoding.of({"size": [1.0, 3.0], "price": [10.0, 15.0]}, target="price")
        >>> Encoding.from_json(encoding.to_json()) == encoding
        True
        """
        content = {
            "version": _VERSION,
            "columns": [to_values(column) for column in self.columns],
            "target": to_values(self.target),
            "fills": self.fills,
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Encoding:
        """The encoding that `to_json` wrote.

        Parameters
        ----------
        text : str
            The JSON text.

        Returns
        -------
        Encoding
            Equal to the one that was written.

        Raises
        ------
        ValueError
            If it is of a later version, or damaged.

        Examples
        --------
        >>> Encoding.from_json('{"version": 2}')
        Traceback (most recent call last):
        ...
        ValueError: the table's encoding is of version 2, ...
        """
        content = strict_json(text, floats=True)
        if not isinstance(content, dict) or type(content.get("version")) is not int:
            raise ValueError("the table's encoding: expected a version")
        if content["version"] != _VERSION:
            raise ValueError(
                f"the table's encoding is of version {content['version']}, and this mlpcore reads "
                f"version {_VERSION}: install a newer mlpcore"
            )
        columns, fills = content.get("columns"), content.get("fills")
        if not isinstance(columns, list) or not columns or not isinstance(fills, bool):
            raise ValueError("the table's encoding: expected columns and fills")
        made = tuple(from_values(values) for values in columns)
        return cls(made, from_values(content.get("target")), fills)
