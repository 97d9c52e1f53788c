# SPDX-License-Identifier: BSD-3-Clause
"""The reference activations against 400-digit arithmetic, at the kinks, at infinity and NaN."""

import mpmath
import numpy as np
import pytest

from mlpcore import reference

ELEMENTWISE = tuple(name for name in reference.ACTIVATIONS if name != "softmax")
DERIVATIVES = (
    reference.activation,
    reference.activation_derivative,
    reference.activation_second_derivative,
)

# The definitions only: mpmath differentiates them numerically.  1 - sigmoid(700) needs 304 digits,
# so 400 leave enough to divide by the step of the difference quotient.
EXACT = {
    "identity": lambda z: z,
    "relu": lambda z: z if z > 0 else mpmath.mpf(0),
    "leaky_relu": lambda z: z if z > 0 else z * mpmath.mpf(0.01),
    "elu": lambda z: z if z > 0 else mpmath.exp(z) - 1,
    "gelu": lambda z: z * mpmath.ncdf(z),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
}
POSITIVE_POINTS = (1e-9, 0.001, 0.3, 0.75, 1.0, 1.5, 2.4, 6.0, 17.5, 25.0, 37.5, 120.0, 345.0)
POINTS = tuple(sign * z for z in POSITIVE_POINTS for sign in (1.0, -1.0))


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_and_derivatives_match_high_precision(name, order):
    got = DERIVATIVES[order](name, POINTS)
    with mpmath.workdps(400):
        want = np.array([float(mpmath.diff(EXACT[name], mpmath.mpf(z), order)) for z in POINTS])
    # Rounding z^2 / 2 inside the exponential costs gelu's tail z^2 / 2 roundings; near the zeros of
    # a derivative only the absolute error is small.
    tail = np.square(POINTS) if name == "gelu" else 0.0
    allowed = 2.2e-16 * (6.0 + tail) * np.abs(want) + 1e-16 * (np.abs(POINTS) < 3.0)
    worst = np.argmax(np.abs(got - want) - allowed)
    assert np.all(np.abs(got - want) <= allowed), (POINTS[worst], got[worst], want[worst])


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh", "elu", "softplus"])
def test_saturated_derivative_is_not_zero(name):
    saturated = np.array([-36.0, -20.0, 20.0, 36.0])
    derivative = reference.activation_derivative(name, saturated)
    assert np.all(derivative != 0.0)
    assert np.any(np.abs(derivative) < 1e-8)  # the points do lie in a tail


def test_kinks():
    derivative, second = DERIVATIVES[1:]
    for zero in (0.0, -0.0):
        assert derivative("relu", zero) == 0.0
        assert derivative("leaky_relu", zero) == 0.01
        assert derivative("elu", zero) == 1.0
        assert second("relu", zero) == second("leaky_relu", zero) == 0.0
        assert second("elu", zero) == 1.0
    tiny = np.array([-5e-324, 5e-324])
    assert derivative("relu", tiny).tolist() == [0.0, 1.0]
    assert derivative("leaky_relu", tiny).tolist() == [0.01, 1.0]


def test_values_at_infinity():
    limits = {
        "identity": ([-np.inf, np.inf], [1.0, 1.0]),
        "relu": ([0.0, np.inf], [0.0, 1.0]),
        "leaky_relu": ([-np.inf, np.inf], [0.01, 1.0]),
        "elu": ([-1.0, np.inf], [0.0, 1.0]),
        "gelu": ([0.0, np.inf], [0.0, 1.0]),
        "silu": ([0.0, np.inf], [0.0, 1.0]),
        "softplus": ([0.0, np.inf], [0.0, 1.0]),
        "tanh": ([-1.0, 1.0], [0.0, 0.0]),
        "sigmoid": ([0.0, 1.0], [0.0, 0.0]),
    }
    assert set(limits) == set(ELEMENTWISE)
    for name, (value, derivative) in limits.items():
        np.testing.assert_array_equal(reference.activation(name, [-np.inf, np.inf]), value)
        for z in ([-np.inf, np.inf], [-1.5e308, 1.5e308]):
            np.testing.assert_array_equal(reference.activation_derivative(name, z), derivative)
            second = reference.activation_second_derivative(name, z)
            np.testing.assert_array_equal(second, [0.0, 0.0])
        assert np.all(np.isfinite(reference.activation(name, [-1.5e308, 1.5e308])))


@pytest.mark.parametrize("function", DERIVATIVES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_stays_nan(name, function):
    got = function(name, [[np.nan, -1.0], [0.0, np.nan]])
    assert np.isnan(got).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_any_shape_and_input_untouched(name):
    for shape in ((), (3,), (2, 0), (2, 3, 4)):
        z = np.full(shape, -0.5, dtype=np.float32)
        for function in DERIVATIVES:
            got = function(name, z)
            assert got.shape == shape
            assert got.dtype == np.float64
        assert np.all(z == -0.5)
    z = np.array([1.0])
    reference.activation(name, z)[:] = 7.0
    assert z[0] == 1.0  # the result is a new array, for identity too


def test_softmax_by_hand():
    # exp(log 1, log 2, log 5) = 1, 2, 5, whose sum is 8; a constant in the row changes nothing.
    logits = np.log([[1.0, 2.0, 5.0]])
    for shift in (0.0, 500.0, -1e4):
        p = reference.activation("softmax", logits + shift)
        np.testing.assert_allclose(p, [[0.125, 0.25, 0.625]], rtol=1e-11)
    jacobian = reference.softmax_jacobian(p)
    want = [[7, -2, -5], [-2, 12, -10], [-5, -10, 15]]
    np.testing.assert_allclose(jacobian, [np.array(want) / 64.0], rtol=1e-11)


def test_softmax_derivatives_match_differences():
    z = np.random.default_rng(0).normal(size=(4, 3))
    for i, row in enumerate(z):
        value = reference.numerical_gradient(lambda r: reference.activation("softmax", r), row)
        jacobian = reference.activation_derivative("softmax", z)[i]
        np.testing.assert_allclose(jacobian, value, atol=1e-11)

        def row_jacobian(r):
            return reference.activation_derivative("softmax", r[None])[0]

        second = reference.activation_second_derivative("softmax", z)[i]
        want = reference.numerical_gradient(row_jacobian, row)
        np.testing.assert_allclose(second, want, atol=1e-11)
        np.testing.assert_allclose(second, second.transpose(0, 2, 1), atol=1e-16)


def test_softmax_jacobian_of_confident_row():
    # p_0 rounds to 1, yet dp_0/dz_0 = p_0 (1 - p_0) = exp(-60) to first order.
    jacobian = reference.activation_derivative("softmax", [[60.0, 0.0]])
    e = np.exp(-60.0)
    np.testing.assert_allclose(jacobian, [[[e, -e], [-e, e]]], rtol=1e-14)


def test_softmax_extremes():
    p = reference.activation("softmax", [[1e4, -1e4], [-np.inf, 3.0], [np.nan, 0.0], [2.0, 2.0]])
    np.testing.assert_array_equal(p, [[1.0, 0.0], [0.0, 1.0], [np.nan] * 2, [0.5, 0.5]])
    assert np.all(np.isnan(reference.activation("softmax", [[np.inf, 0.0]])))
    assert reference.activation_derivative("softmax", np.zeros((0, 3))).shape == (0, 3, 3)


@pytest.mark.parametrize("function", DERIVATIVES)
def test_unknown_name(function):
    with pytest.raises(ValueError, match=r"activation must be one of identity, relu.*got 'rely'"):
        function("rely", 0.0)
