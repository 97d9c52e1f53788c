# SPDX-License-Identifier: BSD-3-Clause
"""Labels as users give them, and the targets that a net learns: two ways, and back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .foundation import DataConversionWarning
from .inputs import as_array, check_finite

if TYPE_CHECKING:
    from .._core import Array


@dataclass(frozen=True)
class Labels:
    """Which labels there are.

    Attributes
    ----------
    classes : numpy.ndarray of shape (n_classes,)
        Sorted; of a multi-label problem the numbers of its columns.
    is_multilabel : bool
        Whether a row has any number of labels, a column of zeros and ones for each.
    dtype : numpy.dtype
        Of what is predicted.
    """

    classes: Array
    is_multilabel: bool
    dtype: np.dtype[Any]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def encode(self, y: Array) -> Array:
        """Numbers of the classes, (N,) int64; of several labels a row, the columns themselves."""
        if self.is_multilabel:
            return y
        return np.searchsorted(self.classes, y).astype(np.int64)

    def decode(self, probabilities: Array) -> Array:
        """Labels (N,) or (N, K) of what a net gives (N, K): the likeliest ones."""
        if self.is_multilabel:
            return (probabilities > 0.5).astype(self.dtype)
        if probabilities.shape[1] == 1:
            # Of one class, too, a net has an output.
            numbers = (probabilities[:, 0] > 0.5) * (self.n_classes - 1)
        else:
            numbers = probabilities.argmax(axis=1)
        return np.asarray(self.classes[numbers])

    def check_same(self, y: Array, *, all_of_them: bool) -> None:
        """Raise ValueError unless `y` has these labels, or with `all_of_them` just these."""
        given = labels_of(y).classes
        if all_of_them:
            if set(given) != set(self.classes):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous "
                    f"call to fit. Previously got {self.classes}, `y` has {given}"
                )
        elif not set(given) <= set(self.classes):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes}. 'y' has {given}."
            )


def as_labels(estimator: Any, y: Any) -> Array:
    """Return labels (N,), or indicators (N, K) of zeros and ones; a column becomes a vector."""
    array = as_targets_array(estimator, y)
    if array.ndim == 1:
        if array.dtype.kind == "f" and (array != np.trunc(array)).any():
            raise ValueError(
                "Unknown label type: continuous. Maybe you are trying to fit a classifier, which "
                "expects discrete classes on a regression target with continuous values."
            )
        return array
    if not np.isin(array, (0, 1)).all():
        raise ValueError(
            "Unknown label type: multiclass-multioutput. Several columns of labels have to be "
            "zeros and ones, a column for each label."
        )
    return array


def as_targets_array(estimator: Any, y: Any) -> Array:
    """Return `y` as an array (N,) or (N, K > 1) without NaN and infinity."""
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    array = as_array(y.toarray() if hasattr(y, "toarray") else y, "y")
    if array.ndim not in (1, 2):
        raise ValueError(f"y should be a 1d array, got an array of shape {array.shape} instead.")
    check_finite(array, "y", estimator)
    if array.ndim == 2 and array.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of "
            "y to (n_samples, ), for example using ravel().",
            DataConversionWarning,
            stacklevel=5,
        )
        array = array[:, 0]
    return array


def labels_of(y: Array) -> Labels:
    """Return which labels are in `y`, as `as_labels` gives it."""
    if y.ndim == 2:
        return Labels(np.arange(y.shape[1]), True, y.dtype)
    try:
        classes = np.unique(y)
    except TypeError as error:  # of kinds that have no order
        raise TypeError(
            f"Unknown label type: labels of kinds that do not sort ({error})"
        ) from error
    return Labels(classes, False, classes.dtype)


def class_weights(class_weight: Any, labels: Labels, y: Array) -> Array | None:
    """Return the weight of each row (N,) by the weight of its class.

    ``"balanced"`` weighs each class by N / (number of classes in y * its rows), so that all of them
    count alike; a dictionary has weights by label, 1 for a label that it leaves out.
    """
    if class_weight is None:
        return None
    if labels.is_multilabel:
        raise ValueError(
            f"class_weight: expected None with several labels a row, got {class_weight!r}"
        )
    numbers = labels.encode(y)
    if class_weight == "balanced":
        counts = np.bincount(numbers, minlength=labels.n_classes)
        weights = len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return np.asarray(weights[numbers])
    classes = labels.classes.tolist()
    unweighted = [label for label in classes if label not in class_weight]
    if unweighted and len(classes) - len(unweighted) != len(class_weight):
        # A label that is spelt wrong, most likely.
        raise ValueError(f"The classes, {unweighted}, are not in class_weight")
    of_classes = [class_weight.get(label, 1.0) for label in classes]
    for label, weight in zip(classes, of_classes, strict=True):
        if not isinstance(weight, Real) or not 0.0 <= float(weight) < np.inf:
            raise ValueError(
                f"class_weight: expected finite numbers that are not negative, got {weight!r} for "
                f"the class {label!r}"
            )
    return np.array(of_classes, np.float64)[numbers]
