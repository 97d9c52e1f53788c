# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a sparse matrix, which become an ordinary array a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._validation import converted

if TYPE_CHECKING:
    from ._core import Array

# Of rows that are no longer sparse. In training two such blocks are in memory at a time.
DENSE_BYTES = 2**22


def is_sparse(x: Any) -> bool:
    """Whether `x` is a sparse matrix or array of SciPy's, or one that behaves like it."""
    return hasattr(x, "tocsr") and hasattr(x, "nnz")


class SparseRows:
    """A matrix (N, D) in compressed rows: values, their columns, and where a row begins.

    Parameters
    ----------
    matrix : sparse matrix
        Of any format.
    dtype : numpy.dtype
        What its values are converted to.

    Attributes
    ----------
    batch_size : int
        A block is a multiple of so many rows.
    """

    batch_size = 1

    def __init__(self, matrix: Any, dtype: np.dtype[Any]) -> None:
        if matrix.ndim != 2:
            raise ValueError(f"Expected 2D sparse matrix, got shape {matrix.shape}")
        if np.dtype(matrix.dtype).kind not in "fiub":
            reason = "Complex data not supported" if np.dtype(matrix.dtype).kind == "c" else "X"
            raise ValueError(f"{reason}: expected sparse data of reals, got {matrix.dtype}")
        rows = matrix.tocsr()
        if not rows.has_canonical_format:  # an entry given twice is the sum of both
            rows = rows.copy()
            rows.sum_duplicates()
        self.shape: tuple[int, int] = rows.shape
        self.dtype = dtype
        self.values = converted(rows.data, dtype, "X")
        self._columns, self._starts = rows.indices, rows.indptr

    def __len__(self) -> int:
        return self.shape[0]

    def dense(self, chosen: Array | slice) -> Array:
        """The chosen rows as an ordinary array (n, D)."""
        places, lengths = self._places(chosen)
        result = np.zeros((len(lengths), self.shape[1]), self.dtype)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        result[rows, self._columns[places]] = self.values[places]
        return result

    def _places(self, chosen: Array | slice) -> tuple[Array, Array]:
        """Where the values of the chosen rows stand, and how many each row has."""
        starts = self._starts[:-1][chosen]
        lengths = self._starts[1:][chosen] - starts
        ends = np.cumsum(lengths)
        # Of each value: its row's first place, and how many of the row came before it.
        return np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths), lengths

    def __getitem__(self, chosen: Array | slice) -> SparseRows:
        """The chosen rows, sparse as they are."""
        part = object.__new__(SparseRows)
        places, lengths = self._places(chosen)
        part.shape = (len(lengths), self.shape[1])
        part.dtype = self.dtype
        part.values, part._columns = self.values[places], self._columns[places]
        part._starts = np.concatenate([[0], np.cumsum(lengths)])
        return part

    def pieces(self) -> list[slice]:
        """Slices of all rows, `DENSE_BYTES` long or so, but the last one of whole batches."""
        n_fit = DENSE_BYTES // (self.shape[1] * self.dtype.itemsize)
        n_rows = max(n_fit // self.batch_size, 1) * self.batch_size
        return [slice(i, min(i + n_rows, len(self))) for i in range(0, len(self), n_rows)]
