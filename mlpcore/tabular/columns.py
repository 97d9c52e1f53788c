# SPDX-License-Identifier: BSD-3-Clause
"""What is remembered of a column, and how it stands in a model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from .._checks import received


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str
    mean, scale : float
        An input is (value - mean) / scale; `scale` is the standard deviation of the rows that are
        learnt from, or 1 where these are all equal.

    Examples
    --------
    >>> from mlpcore.tabular import Encoding
    >>> Encoding.of({"size": [1.0, 3.0], "price": [10.0, 15.0]}, target="price").columns
    (NumberColumn(name='size', mean=2.0, scale=1.0),)
    """

    name: str
    mean: float
    scale: float


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A column of texts.

    Attributes
    ----------
    name : str
    categories : tuple of str
        Sorted; numbers by their value.

    Examples
    --------
    >>> from mlpcore.tabular import Encoding
    >>> Encoding.of({"size": [1.0, 3.0], "sold": ["no", "yes"]}, target="sold").target
    CategoryColumn(name='sold', categories=('no', 'yes'))
    """

    name: str
    categories: tuple[str, ...]


Column: TypeAlias = NumberColumn | CategoryColumn


def width(column: Column) -> int:
    """How many inputs or outputs of the net a column is."""
    return 1 if isinstance(column, NumberColumn) else len(column.categories)


def to_values(column: Column) -> dict[str, Any]:
    """A column as JSON has it."""
    if isinstance(column, NumberColumn):
        return {"name": column.name, "mean": column.mean, "scale": column.scale}
    return {"name": column.name, "categories": column.categories}


def from_values(values: Any) -> Column:
    """The column that `to_values` described; raises ValueError if it is none."""
    if isinstance(values, dict) and isinstance(values.get("name"), str):
        if set(values) == {"name", "mean", "scale"}:
            mean, scale = values["mean"], values["scale"]
            if type(mean) is float and type(scale) is float and scale > 0.0:
                return NumberColumn(values["name"], mean, scale)
        elif set(values) == {"name", "categories"}:
            names = values["categories"]
            if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
                return CategoryColumn(values["name"], tuple(names))
    raise ValueError(f"the table's encoding: expected a column, got {received(values)}")
