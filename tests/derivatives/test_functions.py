# SPDX-License-Identifier: BSD-3-Clause
"""as_function: the derivatives fit the values, and SciPy's optimisers take all three."""

import numpy as np
import pytest
from tolerances import GRADIENT, SECOND_ORDER, assert_close

import mlpcore


def make(n_outputs=1, dtype="float64"):
    rng = np.random.default_rng(0)
    net = mlpcore.MLP([2, 12, n_outputs], "tanh", dtype=dtype, seed=0)
    x = rng.uniform(-1, 1, (60, 2))
    return net, x, np.sin(x[:, :1]) * np.arange(1, n_outputs + 1) + x[:, 1:]


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_of_the_inputs(n_outputs, dtype):
    net, x, _ = make(n_outputs, dtype)
    function, sample = net.as_function(), x[0]
    single = sample.astype(dtype)
    value, jac = function.value(sample), function.jac(sample)
    direction = np.array([0.5, 2.0])
    product = function.hvp(sample, direction)
    want = net.input_hessian(single).astype(float) @ direction
    if n_outputs == 1:
        assert isinstance(value, float)
        assert value == net(single)[0]
        assert np.array_equal(jac, net.jacobian(single)[0])
        assert_close(product, want[0], SECOND_ORDER[dtype])
    else:
        assert np.array_equal(value, net(single))
        assert np.array_equal(jac, net.jacobian(single))
        assert_close(product, want, SECOND_ORDER[dtype])
    assert jac.dtype == product.dtype == np.float64
    # It is the net as it is, not as it was.
    net.parameters[:] *= 2.0
    assert np.array_equal(np.atleast_1d(function.value(sample)), net(single))


@pytest.mark.parametrize("sample_weight", [None, np.arange(60.0)])
def test_of_the_parameters(sample_weight, dtype):
    net, x, y = make(2, dtype)
    function = net.as_function(x, y, "mse", sample_weight)
    before = net.parameters.copy()
    moved = net.copy()
    moved.parameters[:] += 0.1
    vector = np.random.default_rng(1).normal(size=net.n_parameters)
    for other in (moved, net, moved):
        want, gradients = other.value_and_grad(x, y, "mse", sample_weight)
        assert function.value(other.parameters) == want
        assert_close(function.jac(other.parameters), gradients.flat, GRADIENT[dtype])
        product = other.hvp(x, y, "mse", vector, sample_weight)
        assert_close(function.hvp(other.parameters, vector), product, SECOND_ORDER[dtype])
        assert function.jac(other.parameters).dtype == np.float64
    assert np.array_equal(net.parameters, before)


def test_what_is_given_back_is_the_callers():
    net, x, y = make()
    function = net.as_function(x, y, "mse")
    first = function.jac(net.parameters)
    kept = first.copy()
    first[:] = 0.0
    assert np.array_equal(function.jac(net.parameters), kept)


def test_a_loss_that_is_a_function_has_a_gradient():
    net, x, y = make()

    def squared(y_hat, y):
        return np.sum((y_hat - y) ** 2), 2.0 * (y_hat - y)

    function = net.as_function(x, y, squared)
    want = net.as_function(x, y, mlpcore.losses.MSE("sum"))
    assert_close(function.jac(net.parameters), want.jac(net.parameters), GRADIENT["float64"])
    with pytest.raises(TypeError, match="loss: expected a name or an instance"):
        function.hvp(net.parameters, net.parameters)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "Newton-CG", "trust-ncg"])
def test_scipy_trains_a_net(method):
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is optional")
    net, x, y = make()
    function = net.as_function(x, y, "mse")
    hessian = {"hessp": function.hvp} if method in ("Newton-CG", "trust-ncg") else {}
    result = optimize.minimize(
        function.value,
        net.parameters,
        method=method,
        jac=function.jac,
        options={"maxiter": 60},
        **hessian,
    )
    assert result.fun < 1e-2 * function.value(net.parameters)
    net.parameters[:] = result.x
    assert net.value_and_grad(x, y, "mse")[0] == result.fun


def test_scipy_finds_inputs():
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is optional")
    net, _, _ = make(2)
    function = net.as_function()
    goal = net(np.array([0.3, -0.2]))
    found = optimize.least_squares(
        lambda v: function.value(v) - goal, np.zeros(2), jac=function.jac, xtol=1e-12, ftol=1e-12
    )
    assert np.linalg.norm(net(found.x) - goal) < 1e-8
    bowl, _, _ = make(1)
    one = bowl.as_function()
    box = [(-1.0, 1.0)] * 2
    lowest = optimize.minimize(one.value, np.zeros(2), jac=one.jac, bounds=box)
    assert lowest.fun < one.value(np.zeros(2))


def test_what_does_not_fit_is_refused():
    net, x, y = make()
    with pytest.raises(TypeError, match="loss: expected all of x, y and loss"):
        net.as_function(x, y)
    with pytest.raises(TypeError, match="x: expected all of x, y and loss"):
        net.as_function(loss="mse")
    with pytest.raises(TypeError, match="x: expected all of x, y and loss"):
        net.as_function(sample_weight=[1.0])
    with pytest.raises(ValueError, match="y: expected shape"):
        net.as_function(x, y[:3], "mse")
    function = net.as_function(x, y, "mse")
    with pytest.raises(ValueError, match="parameters: expected shape"):
        function.value(np.zeros(3))
    with pytest.raises(ValueError, match="direction: expected shape"):
        function.hvp(net.parameters, np.zeros(3))
    inputs = net.as_function()
    with pytest.raises(ValueError, match=r"x: expected one sample of shape \(2,\)"):
        inputs.value(x)
    with pytest.raises(ValueError, match="direction: expected 2 columns"):
        inputs.hvp(x[0], np.zeros(3))
