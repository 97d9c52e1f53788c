# SPDX-License-Identifier: BSD-3-Clause
"""One training step: the bits of the steps apart, and nothing changed where it fails."""

import copy

import numpy as np
import pytest
from rows import data

import mlpcore
from mlpcore import losses

OPTIMIZERS = {
    "sgd": mlpcore.SGD,
    "nesterov": lambda: mlpcore.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": mlpcore.Adam,
    "adamw": mlpcore.AdamW,
}


def suitable(loss):
    return {"bce": "sigmoid", "cross_entropy": "softmax"}.get(loss, "identity")


@pytest.mark.parametrize("loss", losses.NAMED)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_train_step_has_the_bits_of_the_steps_apart(loss, optimizer, dtype):
    net = mlpcore.MLP([3, 20, 4], ["tanh", suitable(loss)], dtype, seed=0)
    apart, together = net.copy(), net.copy()
    a, b = OPTIMIZERS[optimizer](), OPTIMIZERS[optimizer]()
    instance = losses.NAMED[loss]
    x, y = data(net, 33)
    weight = np.linspace(0.0, 2.0, 33).astype(dtype)
    for _ in range(3):
        trace = apart.trace(x)
        value = instance(trace, y, weight)
        gradients = apart.backward(trace, instance, y, weight)
        a.step(apart, gradients)
        assert together.train_step(x, y, loss, b, weight) == value
        assert apart == together
    assert apart != net


def test_train_step_of_one_sample_is_that_of_a_batch_of_one(dtype):
    net = mlpcore.MLP([3, 5, 2], dtype=dtype, seed=0)
    other = net.copy()
    value = net.train_step([1, 2, 3], [0, 1], "mse", mlpcore.SGD())
    assert value == other.train_step([[1, 2, 3]], [[0, 1]], "mse", mlpcore.SGD())
    assert net == other


def test_one_output_takes_a_vector_of_targets_or_a_number():
    net = mlpcore.MLP([3, 5, 1], seed=0)
    x, y = data(net)
    expected = net.value_and_grad(x, y, "mse")[0]
    assert net.value_and_grad(x, y[:, 0], "mse")[0] == expected
    one = net.value_and_grad(x[0], y[0], "mse")[0]
    assert net.value_and_grad(x[0], y[0, 0], "mse")[0] == one
    assert net.value_and_grad(x[0], float(y[0, 0]), "mse")[0] == one


def test_a_class_is_its_row_of_the_identity(dtype):
    net = mlpcore.MLP([3, 5, 4], ["relu", "softmax"], dtype, seed=0)
    x, _ = data(net, 8)
    classes = np.array([0, 3, 1, 1, 2, 0, 3, 3])
    a = net.value_and_grad(x, classes, "cross_entropy")
    b = net.value_and_grad(x, np.eye(4)[classes], "cross_entropy")
    assert a[0] == pytest.approx(b[0], rel=1e-6)
    np.testing.assert_allclose(a[1].flat, b[1].flat, rtol=1e-5, atol=1e-7)
    one = net.value_and_grad(x[1], 3, "cross_entropy")
    assert one[0] == pytest.approx(net.value_and_grad(x[1], np.eye(4)[3], "cross_entropy")[0])


@pytest.mark.parametrize("poison", ["x", "y", "parameters"])
@pytest.mark.parametrize("loss", ["mse", "callable"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_not_finite_updates_nothing(poison, loss, optimizer):
    net = mlpcore.MLP([3, 5, 2], "tanh", seed=0)
    state = OPTIMIZERS[optimizer]()
    x, y = data(net)
    function = "mse" if loss == "mse" else lambda y_hat, y: ((y_hat - y).sum(), y_hat - y)
    net.train_step(x, y, function, state)
    moments = copy.deepcopy((state.first_moment, state.second_moment))
    before = net.parameters.copy()
    if poison == "parameters":
        net.parameters[-1] = before[-1] = np.nan
    else:
        {"x": x, "y": y}[poison][2, 1] = np.nan
    with pytest.raises(FloatingPointError, match="parameters were not updated"):
        net.train_step(x, y, function, state)
    np.testing.assert_array_equal(net.parameters, before)
    assert state.n_steps == 1
    for a, b in zip(moments, (state.first_moment, state.second_moment), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_callable_is_a_loss(dtype):
    def squared(y_hat, y):
        return np.mean((y_hat - y) ** 2, dtype=np.float64), 2 * (y_hat - y) / y.size

    net = mlpcore.MLP([3, 5, 2], "tanh", dtype, seed=0)
    other = net.copy()
    x, y = data(net)
    value = net.train_step(x, y, squared, mlpcore.SGD(0.1))
    assert value == pytest.approx(other.train_step(x, y, "mse", mlpcore.SGD(0.1)), rel=1e-6)
    np.testing.assert_allclose(net.parameters, other.parameters, rtol=1e-5)
