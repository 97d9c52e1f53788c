# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators stand on: scikit-learn's base classes where it is installed, else our own.

This is the only module that knows which. With scikit-learn, its tags, its HTML representation, its
metadata routing and its classes of errors and warnings come with its base classes.
"""

from __future__ import annotations

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
    from sklearn.utils._param_validation import InvalidParameterError
except ImportError:
    from .standalone import (
        BaseEstimator,
        ClassifierMixin,
        ConvergenceWarning,
        DataConversionWarning,
        InvalidParameterError,
        NotFittedError,
        RegressorMixin,
    )

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "ConvergenceWarning",
    "DataConversionWarning",
    "InvalidParameterError",
    "NotFittedError",
    "RegressorMixin",
]
