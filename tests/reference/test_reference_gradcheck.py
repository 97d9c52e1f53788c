# SPDX-License-Identifier: BSD-3-Clause
"""The difference quotient that everything else is checked with."""

import numpy as np

from mlpcore import reference


def test_exact_for_polynomials_of_degree_four():
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    got = reference.numerical_gradient(lambda a: np.sum(a**4 - a**3), x, step=0.5)
    np.testing.assert_allclose(got, 4.0 * x**3 - 3.0 * x**2, rtol=1e-13)


def test_error_falls_with_the_fourth_power_of_the_step():
    errors = [
        abs(reference.numerical_gradient(np.exp, 0.0, step=step) - 1.0) for step in (0.1, 0.05)
    ]
    # h^4 f^(5) / 30, and the next term changes the ratio by a percent.
    np.testing.assert_allclose(errors[0], 0.1**4 / 30.0, rtol=0.02)
    np.testing.assert_allclose(errors[0] / errors[1], 16.0, rtol=0.02)


def test_array_valued_function():
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    x = np.zeros(3)
    got = reference.numerical_gradient(lambda a: matrix @ a, x)
    np.testing.assert_allclose(got, matrix, rtol=1e-12)
    assert np.all(x == 0.0)
