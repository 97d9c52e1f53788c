# SPDX-License-Identifier: BSD-3-Clause
"""value_and_grad and vjp: against the reference, against backward, and against differences."""

import numpy as np
import pytest
from tolerances import GRADIENT, LOSS, assert_close
from twins import layers_of

import mlpcore
from mlpcore import losses, reference

# Differences of fourth order have errors of 1e-10 at most here, norm-wise.
DIFFERENCES = 1e-9


def make_net(output="identity", dtype="float64", bias=True):
    net = mlpcore.MLP([3, 5, 4, 2], ["tanh", "gelu", output], dtype=dtype, seed=0, bias=bias)
    net.parameters[:] = np.random.default_rng(0).normal(0.0, 0.6, net.n_parameters)
    return net


def make_data(dtype="float64", n_samples=9):
    rng = np.random.default_rng(1)
    y = rng.uniform(0.1, 0.9, size=(n_samples, 2))
    x = rng.normal(size=(n_samples, 3))
    return x.astype(dtype), (y / y.sum(axis=1, keepdims=True)).astype(dtype)


def squared(y_hat, y):
    return np.sum((y_hat - y) ** 2), 2.0 * (y_hat - y)


# ---- value_and_grad -----------------------------------------------------------------------------


@pytest.mark.parametrize("with_weight", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize(
    ("make_loss", "output"),
    [
        (losses.MSE, "identity"),
        (losses.LogCosh, "relu"),
        (losses.BCE, "sigmoid"),
        (losses.CrossEntropy, "softmax"),
        (losses.Poisson, "identity"),
    ],
)
def test_value_and_grad_equals_the_reference(
    make_loss, output, reduction, bias, with_weight, dtype
):
    net = make_net(output, dtype, bias)
    x, y = make_data(dtype)
    loss = make_loss(reduction=reduction)
    weight = np.arange(9.0, dtype=dtype) if with_weight else None
    value, gradients = net.value_and_grad(x, y, loss, weight)
    want_value, want = reference.value_and_grad(layers_of(net), x, y, loss.name, reduction, weight)
    assert isinstance(value, float)
    assert_close(value, want_value, LOSS[dtype])
    assert_close(gradients.flat, want.flat, GRADIENT[dtype])
    assert_close(gradients.inputs, want.inputs, GRADIENT[dtype])
    assert gradients.flat.dtype == gradients.inputs.dtype == dtype


@pytest.mark.parametrize("loss", ["bce", squared])
@pytest.mark.parametrize("single", [False, True])
def test_value_and_grad_is_trace_loss_and_backward(loss, single, dtype):
    net = make_net("sigmoid", dtype)
    x, y = (rows[0] if single else rows for rows in make_data(dtype))
    value, gradients = net.value_and_grad(x, y, loss)
    trace = net.trace(x)
    stepwise = net.backward(trace, loss, y)
    assert value == (squared(trace.output, y)[0] if callable(loss) else losses.BCE()(trace, y))
    assert np.array_equal(gradients.flat, stepwise.flat)
    assert np.array_equal(gradients.inputs, stepwise.inputs)
    assert gradients.inputs.shape == x.shape


def test_gradients_are_new_at_every_call_and_the_net_is_untouched():
    net = make_net()
    x, y = make_data()
    kept = net.copy()
    _, first = net.value_and_grad(x, y, "mse")
    copy = first.flat.copy()
    first.flat[:] += 1.0
    _, second = net.value_and_grad(x, y, "mse")
    assert np.array_equal(second.flat, copy)
    assert not np.shares_memory(first.flat, second.flat)
    assert net == kept


def test_weight_of_two_is_the_row_twice():
    net = make_net()
    x, y = make_data()
    weight = np.array([2.0] + [1.0] * 8)
    value, gradients = net.value_and_grad(x, y, "mse", weight)
    twice = net.value_and_grad(np.vstack([x, x[:1]]), np.vstack([y, y[:1]]), "mse")
    assert value == pytest.approx(twice[0], rel=1e-14)
    assert_close(gradients.flat, twice[1].flat, GRADIENT["float64"])


def test_batch_gradient_is_the_sum_of_its_samples():
    net = make_net()
    x, y = make_data()
    whole = net.value_and_grad(x, y, losses.MSE("sum"))[1]
    parts = [net.value_and_grad(*pair, losses.MSE("sum"))[1] for pair in zip(x, y, strict=True)]
    assert_close(whole.flat, sum(part.flat for part in parts), GRADIENT["float64"])
    assert_close(whole.inputs, [part.inputs for part in parts], GRADIENT["float64"])


def test_empty_batch_has_a_zero_gradient():
    net = make_net()
    value, gradients = net.value_and_grad(np.zeros((0, 3)), np.zeros((0, 2)), "mse")
    assert value == 0.0
    assert not gradients.flat.any()
    assert gradients.inputs.shape == (0, 3)


def test_value_and_grad_refuses_what_does_not_fit():
    net = make_net()
    x, y = make_data()
    with pytest.raises(ValueError, match="x: expected 3 columns"):
        net.value_and_grad(y, y, "mse")
    with pytest.raises(ValueError, match="y: "):
        net.value_and_grad(x, y[:-1], "mse")
    with pytest.raises(ValueError, match="sample_weight: "):
        net.value_and_grad(x, y, "mse", [1.0])
    with pytest.raises(ValueError, match="loss: bce"):
        net.value_and_grad(x, y, "bce")
    with pytest.raises(ValueError, match="sample_weight: "):
        net.value_and_grad(x, y, squared, np.ones(9))


# ---- vjp ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
def test_vjp_is_the_gradient_of_the_weighted_output(output):
    net = make_net(output)
    x, _ = make_data(n_samples=3)
    cotangent = np.random.default_rng(2).normal(size=(3, 2))
    gradients = net.vjp(x, cotangent)

    def weighted(x):
        return np.sum(cotangent * net(x))

    assert_close(gradients.inputs, reference.numerical_gradient(weighted, x), DIFFERENCES)

    def weighted_of(parameters):
        other = net.copy()
        other.parameters[:] = parameters
        return np.sum(cotangent * other(x))

    numeric = reference.numerical_gradient(weighted_of, net.parameters)
    assert_close(gradients.flat, numeric, DIFFERENCES)


def test_vjp_equals_the_reference(dtype):
    net = make_net("softmax", dtype)
    x, cotangent = make_data(dtype)
    want = reference.backward(reference.trace(layers_of(net), x), cotangent)
    gradients = net.vjp(x, cotangent)
    assert_close(gradients.flat, want.flat, GRADIENT[dtype])
    assert_close(gradients.inputs, want.inputs, GRADIENT[dtype])


def test_vjp_of_one_sample_is_a_row_of_the_batch():
    net = make_net()
    x, cotangent = make_data()
    single = net.vjp(x[4], cotangent[4])
    assert np.array_equal(single.inputs, net.vjp(x, cotangent).inputs[4])
    assert single.inputs.shape == (3,)


def test_vjp_refuses_what_does_not_fit():
    net = make_net()
    x, cotangent = make_data()
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(9, 2\)"):
        net.vjp(x, cotangent[:, :1])
    with pytest.raises(TypeError, match="cotangent: "):
        net.vjp(x, "mse")
