# SPDX-License-Identifier: BSD-3-Clause
"""A method that is there or not, as a parameter of the estimator says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class needs_epochs:  # noqa: N801  # it is used as a decorator
    """A method of estimators whose solver makes epochs; with ``"lbfgs"`` there is none.

    So that ``hasattr(estimator, "partial_fit")`` tells whether it can be called.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, estimator: Any, owner: type) -> Any:
        if estimator is None:
            return self.method
        if estimator.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
            )
        return self.method.__get__(estimator, owner)
