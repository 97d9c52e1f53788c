# SPDX-License-Identifier: BSD-3-Clause
"""Base classes for a machine without scikit-learn: parameters by name, scores, errors.

They are what the estimators need of scikit-learn's classes of the same names, and no more.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .scores import accuracy, r2

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class NotFittedError(ValueError, AttributeError):
    """An estimator was asked for something that only a fitted one has."""


class InvalidParameterError(ValueError, TypeError):
    """A parameter of the constructor has a wrong type or value."""


class ConvergenceWarning(UserWarning):
    """Training ended before it came to rest."""


class DataConversionWarning(UserWarning):
    """Data were taken for something else than what they look like."""


class BaseEstimator:
    """Parameters of the constructor by name."""

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name; `deep` makes no difference."""
        return {name: getattr(self, name) for name in sorted(self._defaults())}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor, and return the estimator."""
        valid = self._defaults()
        for name in params:
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: "
                    f"{sorted(valid)!r}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if repr(getattr(self, name)) != repr(default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


class ClassifierMixin:
    """A score for classifiers."""

    _estimator_type = "classifier"

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of the rows whose labels are all right, weighted by `sample_weight`."""
        return accuracy(self.predict(X), np.asarray(y), sample_weight)  # type: ignore[attr-defined]


class RegressorMixin:
    """A score for regressors."""

    _estimator_type = "regressor"

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R^2, the mean over outputs, weighted by `sample_weight`."""
        return r2(self.predict(X), np.asarray(y), sample_weight)  # type: ignore[attr-defined]
