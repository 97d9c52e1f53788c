# SPDX-License-Identifier: BSD-3-Clause
"""What stands in a column of a table: the numbers or codes of its cells, and the column it makes.

Whatever cannot be learnt is a ValueError that names the file, the column and, of a cell, its row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import CategoryColumn, Column, NumberColumn, width
from .table import Table

if TYPE_CHECKING:
    from .._core import Array

# More of them is a column of names or numbers of things, from which nothing can be learnt.
MAX_CATEGORIES = 1000
# From so many rows on, texts that are all different are no categories, unless it is said.
MIN_ROWS_OF_NAMES = 11
# So many different whole numbers at most are taken for classes, unless it is said.
MAX_CLASSES = 10


class MissingCellError(ValueError):
    """A cell is missing where none may be."""


def are_classes(table: Table, target: str) -> bool:
    """Whether a target that nobody has said more of has classes."""
    if table.kind(target) == "text":
        return True
    different = np.unique(table.numbers(target))
    few = len(different) <= min(MAX_CLASSES, table.n_rows // 2)
    return few and bool((different == np.floor(different)).all())


def number_column(table: Table, name: str, fills: bool, rows: Array) -> NumberColumn:
    """The column of numbers that a table has, with mean and scale of these rows."""
    values = numbers(table, name, fills)[rows]
    known = values[~np.isnan(values)]
    if len(known) == 0:
        raise ValueError(f"{table.source}: column {name!r}: every cell is missing: leave it out")
    largest = np.abs(known).max()
    with np.errstate(over="ignore"):
        spread = known.max() - known.min()
    if spread <= 4 * np.spacing(largest):  # a constant, but for its rounding
        return NumberColumn(name, float(known[0]), 1.0)
    # The squares of small numbers are 0; a power of two takes no digit from them.
    unit = 2.0 ** min(0, math.frexp(float(largest))[1])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = unit * float((known / unit).mean()), unit * float((known / unit).std())
    if not math.isfinite(mean) or not math.isfinite(scale):
        raise ValueError(
            f"{table.source}: column {name!r}: expected numbers whose spread is a number too, got "
            f"some up to {largest:g}"
        )
    return NumberColumn(name, mean, scale)


def category_column(table: Table, name: str, fills: bool) -> CategoryColumn:
    """The column of categories that a table has, in the order of their texts."""
    texts = table.texts(name)
    _check_missing(table, name, (text == "" for text in texts), fills)
    categories = sorted({*texts} - {""}, key=_order)
    if not categories:
        raise ValueError(f"{table.source}: column {name!r}: every cell is missing: leave it out")
    if len(categories) > MAX_CATEGORIES:
        raise ValueError(
            f"{table.source}: column {name!r}: expected at most {MAX_CATEGORIES} different texts, "
            f"got {len(categories)}, such as {categories[0]!r:.50}: leave it out"
        )
    return CategoryColumn(name, tuple(categories))


def check_repetition(table: Table, column: Column) -> None:
    """Refuse names, dates and the like, which would be learnt by heart."""
    n_different = width(column)
    n_known = sum(text != "" for text in table.texts(column.name))
    if n_different == n_known >= MIN_ROWS_OF_NAMES:
        raise ValueError(
            f"{table.source}: column {column.name!r}: expected categories some of which come "
            f"twice, got {n_different} different texts in {n_known} rows: leave it out, or name it "
            "as categorical"
        )


def _order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def numbers(table: Table, name: str, fills: bool) -> Array:
    """The numbers of a column (N,); NaN where one is missing."""
    values = table.numbers(name)
    _check_missing(table, name, np.isnan(values), fills)
    return values


def codes(table: Table, column: CategoryColumn, fills: bool) -> Array:
    """Number of each row's category; -1 where it is missing."""
    texts = table.texts(column.name)
    _check_missing(table, column.name, (text == "" for text in texts), fills)
    code_of = {category: i for i, category in enumerate(column.categories)} | {"": -1}
    numbered = np.empty(len(texts), np.int64)
    for row, text in enumerate(texts):
        code = code_of.get(text)
        if code is None:
            shown = ", ".join(map(repr, column.categories[:5]))
            more = ", ..." if len(column.categories) > 5 else ""
            raise ValueError(
                f"{table.where(row, column.name)}: expected one of {shown}{more}, which the net "
                f"was trained with, got {text!r:.50}"
            )
        numbered[row] = code
    return numbered


def _check_missing(table: Table, name: str, missing: Iterable[Any], fills: bool) -> None:
    if fills:
        return
    for row, is_missing in enumerate(missing):
        if is_missing:
            raise MissingCellError(f"{table.where(row, name)}: expected a value, got a missing one")
