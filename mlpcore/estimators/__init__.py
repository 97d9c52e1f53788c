# SPDX-License-Identifier: BSD-3-Clause
"""`MLPClassifier` and `MLPRegressor`: scikit-learn's estimators over this package's nets.

Nothing else in the package imports this folder, and of all modules only `foundation` asks whether
scikit-learn is installed.
"""

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
