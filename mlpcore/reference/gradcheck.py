# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives by finite differences: no chain rule, so nothing to get wrong in it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .activations import Array


def numerical_gradient(f: Callable[[Array], ArrayLike], x: ArrayLike, step: float = 1e-3) -> Array:
    """Differentiate `f` at `x` by central differences of fourth order.

    Parameters
    ----------
    f : callable
        Takes an array of the shape of `x`, returns a number or an array.
    x : array_like of any shape
        Where.
    step : float
        Distance h between the points.

    Returns
    -------
    numpy.ndarray of the shape of f(x), then of x
        Entry [..., i] is df/dx_i.

    Notes
    -----
    The formula is (f(x - 2h) - 8 f(x - h) + 8 f(x + h) - f(x + 2h)) / 12h.  It errs by h^4 / 30
    times the fifth derivative, and rounding adds about 1e-16 abs(f(x)) / h: with the default step
    both are near 1e-13 for a function of size and scale 1.

    Examples
    --------
    >>> numerical_gradient(lambda x: float(np.sum(x**2)), [1.0, -3.0]).round(9)
    array([ 2., -6.])
    """
    x = np.asarray(x, dtype=np.float64)

    def value_at(index: tuple[int, ...], shift: float) -> Array:
        moved = x.copy()
        moved[index] += shift
        return np.asarray(f(moved), dtype=np.float64)

    shape_of_f = np.asarray(f(x.copy())).shape
    result = np.zeros(shape_of_f + x.shape)
    for index in np.ndindex(x.shape):
        near = value_at(index, step) - value_at(index, -step)
        far = value_at(index, 2.0 * step) - value_at(index, -2.0 * step)
        result[(..., *index)] = (8.0 * near - far) / (12.0 * step)
    return result
