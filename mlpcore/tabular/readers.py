# SPDX-License-Identifier: BSD-3-Clause
"""Tables from CSV, Parquet and NumPy's files."""

from __future__ import annotations

import csv
import os
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import as_path, received
from .._optional import library
from .table import Table, TableLike, as_cells

try:
    from lzma import LZMAError
except ImportError:  # an interpreter built without it, whose zipfile reads no such archive
    from zipfile import BadZipFile as LZMAError  # type: ignore[assignment]

if TYPE_CHECKING:
    from .._core import Array

_DELIMITERS = (",", ";", "\t")


def read_csv(path: str) -> Table:
    """Read text in UTF-8, a line of names and then the rows; blank lines do not count.

    The delimiter is whichever of comma, semicolon and tab cuts the first line into most names.
    Cells may be in double quotes, as RFC 4180 has it.
    """
    lines = array("q")
    columns: list[list[str]] = []
    # utf-8-sig: some programs begin a file with a mark.
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            names = _header(path, file.readline())
            columns = [[] for _ in names[0]]
            file.seek(0)
            reader = csv.reader(file, delimiter=names[1], skipinitialspace=True, strict=True)
            for i, row in enumerate(row for row in reader if row):
                if len(row) != len(columns):
                    rule = "1 cell" if len(columns) == 1 else f"{len(columns)} cells"
                    raise ValueError(
                        f"{path}, line {reader.line_num}: expected {rule} as in the first line, "
                        f"got {len(row)}"
                    )
                if i == 0:
                    continue
                lines.append(reader.line_num)
                for cells, cell in zip(columns, row, strict=True):
                    cells.append(cell.strip())
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: expected text in UTF-8, got the byte 0x{error.object[error.start]:02x}"
            ) from None
    if not lines:
        raise ValueError(f"{path}: expected rows below the names of the columns, got none")
    return Table(path, dict(zip(names[0], columns, strict=True)), lines)


def _header(path: str, line: str) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter."""
    if not line.strip():
        raise ValueError(
            f"{path}: expected names of columns in the first line, got "
            + ("an empty line" if line else "an empty file")
        )
    candidates = [
        (next(csv.reader([line], delimiter=each, skipinitialspace=True)), each)
        for each in _DELIMITERS
    ]
    names, delimiter = max(candidates, key=lambda candidate: len(candidate[0]))
    names = [name.strip() for name in names]
    for i, name in enumerate(names):
        if not name:
            raise ValueError(
                f"{path}, line 1: expected a name for column {i + 1}, got none (an index that "
                "pandas wrote? It does not with index=False)"
            )
        if name in names[:i]:
            raise ValueError(f"{path}, line 1: expected names that differ, got {name!r} twice")
    return names, delimiter


def read_npz(path: str) -> Table:
    """Read NumPy's archive of arrays; nothing in it is executed."""
    columns: dict[str, Array | list[str]] = {}
    try:
        with open(path, "rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError("it holds a single array without a name")
            for name in arrays.files:
                for column, cells in _columns(name, arrays[name]):
                    columns[column] = as_cells(cells, f"{path}, {column!r}")
    except OSError as error:
        if error.filename is not None:
            raise
        # A place in the file that the file does not have.
        raise ValueError(f"{path}: no file of NumPy's: {error.strerror or error}") from None
    # RuntimeError: zipfile knows such a file, but not how to read it.
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError) as error:
        raise ValueError(f"{path}: no file of NumPy's: {error}") from None
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith(path) else f"{path}: {message}") from None
    return Table(path, columns)


def _columns(name: str, values: Array) -> Iterable[tuple[str, Array]]:
    if values.ndim == 2 and values.shape[1] != 1:
        return [(f"{name}_{i}", values[:, i]) for i in range(values.shape[1])]
    return [(name, values.reshape(-1) if values.ndim == 2 else values)]


def read_parquet(path: str) -> Table:
    """Read a Parquet file with pyarrow."""
    pa, parquet = (library(name, "a Parquet file") for name in ("pyarrow", "pyarrow.parquet"))
    os.stat(path)  # a missing file is told by the operating system's own words
    try:
        content = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: no Parquet file: {error}") from None
    columns = {}
    for name, column in zip(content.column_names, content.columns, strict=True):
        columns[name] = as_cells(_cells(pa, column), f"{path}, {name!r} ({column.type})")
    return Table(path, columns)


def _cells(pa: Any, column: Any) -> Any:
    """NumPy's numbers, or a list; a null is a NaN among numbers, else None."""
    kind = column.type
    if pa.types.is_integer(kind) and column.null_count == 0:
        return column.to_numpy()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64()).to_numpy()
    values = column.to_pylist()
    cells = np.empty(len(values), object)
    cells[:] = values
    return cells


READERS: dict[str, Callable[[str], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".npz": read_npz,
}


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a table from a file.

    Parameters
    ----------
    path : str or path-like
        By its ending: ``.csv`` or ``.tsv``, whose first line names the columns; ``.parquet``, which
        needs pyarrow; ``.npz``, whose vectors are columns, and a matrix ``x`` the columns ``x_0``,
        ``x_1`` and so on.

    Returns
    -------
    Table
        Its `source` is the path, and its lines those of the file where that is text.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds no such table; the message says where.
    ImportError
        If pyarrow is missing.

    Notes
    -----
    The whole table is in memory: each cell of a CSV file as a text, about 60 bytes and a byte for
    each letter, until it is encoded.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "ages.csv")
    ...     with open(path, "w") as file:
    ...         print("name,age", "Ada,36", "Alan,41", sep=chr(10), file=file)
    ...     table = read_table(path)
    >>> table.numbers("age")
    array([36., 41.])
    """
    name = as_path(path)
    ending = os.path.splitext(name)[1].lower()
    if ending not in READERS:
        raise ValueError(f"{name}: expected a file of {', '.join(READERS)}")
    return READERS[ending](name)


def as_table(table: TableLike) -> Table:
    """Return a table from a table, the path of a file, or columns by name."""
    if isinstance(table, Table):
        return table
    if isinstance(table, str | os.PathLike):
        return read_table(table)
    if not hasattr(table, "items"):
        raise TypeError(f"table: expected columns by name, or a path, got {received(table)}")
    return Table(
        "table", {str(name): as_cells(cells, f"table, {name!r}") for name, cells in table.items()}
    )
