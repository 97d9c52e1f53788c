# SPDX-License-Identifier: BSD-3-Clause
"""Rows and weights as users give them: lists, arrays, frames, sparse matrices.

Checked here once, with or without scikit-learn, by the rules and with the messages of scikit-learn.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import converted
from ..sparse_rows import SparseRows, is_sparse
from .foundation import NotFittedError

if TYPE_CHECKING:
    from .._core import Array

    Rows = Array | SparseRows


def as_rows(estimator: Any, X: Any, dtype: str | None = None) -> Rows:
    """Return `X` as (N, D) reals: finite, N and D at least 1.

    Parameters
    ----------
    estimator : estimator
        Named by messages.
    X : array-like, frame or sparse matrix
    dtype : {"float32", "float64"}, optional
        None keeps float32, and makes float64 of all else.
    """
    if is_sparse(X):
        sparse = SparseRows(X, _dtype_of(X.dtype, dtype))
        rows: Rows = sparse
        shape, values = sparse.shape, sparse.values
    else:
        array = as_array(X, "X")
        if array.ndim != 2:
            raise ValueError(
                f"Expected 2D array, got {array.ndim}D array instead:\narray={array}.\nReshape "
                "your data either using array.reshape(-1, 1) if your data has a single feature or "
                "array.reshape(1, -1) if it contains a single sample."
            )
        rows = values = converted(as_numbers(array), _dtype_of(array.dtype, dtype), "X")
        shape = array.shape
    for size, what in zip(shape, ("sample(s)", "feature(s)"), strict=True):
        if size < 1:
            raise ValueError(
                f"Found array with {size} {what} (shape={shape}) while a minimum of 1 is required "
                f"by {type(estimator).__name__}."
            )
    check_finite(values, "X", estimator)
    return rows


def as_array(value: Any, name: str) -> Array:
    """Return `value`, a list, an array or a frame, as an array of whatever is in it."""
    array = np.asarray(value)
    if array.dtype.kind == "c" or (
        array.dtype.kind == "O" and any(isinstance(entry, complex) for entry in array.flat)
    ):
        raise ValueError(f"Complex data not supported\n{array}\n")
    if array.ndim == 0 and array.dtype.kind == "O":
        raise ValueError(
            f"Expected array-like (array or non-string sequence), got {value!r} for {name}"
        )
    return array


def as_numbers(array: Array) -> Array:
    """Return an array of reals: objects and texts are converted, if they say numbers."""
    if array.dtype.kind == "O":
        array = np.where(is_missing(array), np.nan, array)
    if array.dtype.kind in "OUS":
        return array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"dtype={array.dtype} is not compatible with arrays of real numbers.")
    return array


def is_missing(objects: Array) -> Array:
    """Whether each of some objects stands for a value that is not there: None, NaN, pandas.NA."""
    return np.asarray(np.frompyfunc(_is_missing, 1, 1)(objects), bool)


def _is_missing(entry: Any) -> bool:
    if isinstance(entry, float | np.floating):
        return bool(entry != entry)
    return entry is None or type(entry).__name__ in ("NAType", "NaTType")  # pandas may not be there


def check_finite(values: Array, name: str, estimator: Any) -> None:
    """Raise ValueError where there is a NaN or an infinity."""
    if values.dtype.kind == "O" and is_missing(values).any():
        raise _contains_nan(name, estimator)
    if values.dtype.kind != "f":
        return
    # One number that says whether all are finite, without an array of answers; a sum that
    # overflows is looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(values)
    if np.isfinite(total) or np.isfinite(values).all():
        return
    if np.isnan(values).any():
        raise _contains_nan(name, estimator)
    raise ValueError(f"Input {name} contains infinity or a value too large for {values.dtype!r}.")


def _contains_nan(name: str, estimator: Any) -> ValueError:
    return ValueError(
        f"Input {name} contains NaN.\n{type(estimator).__name__} does not accept missing "
        "values encoded as NaN natively: fill them in, or drop the rows, before."
    )


def check_same_length(rows: Rows, y: Array) -> None:
    """Raise ValueError unless there is one target for each row."""
    if rows.shape[0] != len(y):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {[rows.shape[0], len(y)]}"
        )


def as_weights(estimator: Any, sample_weight: Any, n_rows: int, dtype: Any) -> Array | None:
    """Return the sample weights, (N,): finite, none negative, not all zero; None stays None."""
    if sample_weight is None:
        return None
    weight = as_numbers(as_array(sample_weight, "sample_weight")).astype(np.float64)
    if weight.ndim == 0:
        weight = np.full(n_rows, weight)
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array.")
    if len(weight) != n_rows:
        raise ValueError(
            f"sample_weight.shape == {weight.shape}, expected {(n_rows,)}, one for each row"
        )
    check_finite(weight, "sample_weight", estimator)
    if weight.min() < 0.0:
        raise ValueError(f"Negative values in sample_weight: {weight.min()}")
    if weight.max() == 0.0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return converted(weight, dtype, "sample_weight")


def check_fitted(estimator: Any) -> None:
    """Raise NotFittedError unless the estimator has been fitted."""
    if "net_" not in vars(estimator):
        raise NotFittedError(
            f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with "
            "appropriate arguments before using this estimator."
        )


# ---- features ------------------------------------------------------------------------------------


def feature_names(X: Any) -> Array | None:
    """The names of a frame's columns, if all of them are texts; None without names.

    A frame is what has columns: those of pandas and polars have, and others like them.
    """
    columns = getattr(X, "columns", None)
    if columns is None or isinstance(X, np.ndarray):
        return None
    names = np.asarray(list(columns), dtype=object)
    kinds = sorted({type(name).__name__ for name in names})
    if "str" in kinds and len(kinds) > 1:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your "
            f"input has {kinds} as feature name / column name types. If you want feature names to "
            "be stored and validated, you must convert them all to strings, by using X.columns = "
            "X.columns.astype(str) for example. Otherwise you can remove feature / column names "
            "from your input data, or convert them all to a non-string data type."
        )
    return names if kinds == ["str"] else None


def check_features(estimator: Any, X: Any) -> None:
    """Check that `X` has the names and the number of columns that the estimator was fitted with."""
    name = type(estimator).__name__
    fitted, given = getattr(estimator, "feature_names_in_", None), feature_names(X)
    if fitted is None and given is not None:
        warnings.warn(
            f"X has feature names, but {name} was fitted without feature names", stacklevel=4
        )
    elif fitted is not None and given is None:
        warnings.warn(
            f"X does not have valid feature names, but {name} was fitted with feature names",
            stacklevel=4,
        )
    elif fitted is not None and given is not None and list(fitted) != list(given):
        raise ValueError(_how_names_differ(fitted, given))


def check_n_features(estimator: Any, n_features: int) -> None:
    """Check that there are as many columns as the estimator was fitted with."""
    if n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {n_features} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )


def _how_names_differ(fitted: Array, given: Array) -> str:
    message = "The feature names should match those that were passed during fit.\n"
    unseen, missing = sorted(set(given) - set(fitted)), sorted(set(fitted) - set(given))
    for names, what in (
        (unseen, "unseen at fit time"),
        (missing, "seen at fit time, yet now missing"),
    ):
        if names:
            shown = "".join(f"- {name}\n" for name in names[:5])
            message += f"Feature names {what}:\n{shown}{'- ...' + chr(10) if names[5:] else ''}"
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message


def _dtype_of(given: Any, wanted: str | None) -> np.dtype[Any]:
    if wanted is not None:
        return np.dtype(wanted)
    kept = np.dtype(given).newbyteorder("=") == np.float32
    return np.dtype(np.float32 if kept else np.float64)
