# SPDX-License-Identifier: BSD-3-Clause
"""per_sample_gradients and their norms: against gradients of batches of one, and the reference."""

import numpy as np
import pytest
from nets import ACTIVATIONS, make_net, rows
from tolerances import GRADIENT, LOSS, assert_close, on_isa
from twins import layers_of

import mlpcore
from mlpcore import _core, losses, reference


def targets(net, n_samples):
    y = np.random.default_rng(2).uniform(0.1, 0.9, size=(n_samples, net.sizes[-1]))
    return (y / y.sum(axis=1, keepdims=True)).astype(net.dtype)


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, depth, dtype, isa):
    net = make_net(activation, depth, dtype, bias=depth != 4)
    x = rows(net)
    y = targets(net, len(x))
    got = net.per_sample_gradients(x, y, "mse")
    assert got.dtype == dtype
    assert_close(
        got, reference.per_sample_gradients(layers_of(net), x, y, "mse"), on_isa(GRADIENT, dtype)
    )
    for i in range(len(x)):
        alone = net.value_and_grad(x[i], y[i], "mse")[1].flat
        assert np.array_equal(got[i], alone)
    norms = net.per_sample_gradient_norms(x, y, "mse")
    assert norms.dtype == dtype
    assert_close(norms, np.linalg.norm(got.astype(float), axis=1), LOSS[dtype])


@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize(
    ("make_loss", "output"),
    [
        (losses.LogCosh, "identity"),
        (losses.BCE, "sigmoid"),
        (losses.BCE, "softmax"),
        (losses.CrossEntropy, "softmax"),
        (losses.CrossEntropy, "identity"),
        (losses.Poisson, "identity"),
    ],
)
def test_every_reduction_is_that_of_a_batch_of_one(make_loss, output, reduction, dtype):
    net = mlpcore.MLP([3, 20, 4], ["relu", output], dtype=dtype, seed=0)
    x, loss = rows(net, 9), make_loss(reduction=reduction)
    y = targets(net, 9)
    got = net.per_sample_gradients(x, y, loss)
    for i in range(9):
        assert np.array_equal(got[i], net.value_and_grad(x[i], y[i], loss)[1].flat)
    norms = net.per_sample_gradient_norms(x, y, loss)
    assert_close(norms, np.linalg.norm(got.astype(float), axis=1), LOSS[dtype])


def test_classes(dtype):
    net = mlpcore.MLP([3, 20, 5], ["silu", "softmax"], dtype=dtype, seed=0)
    x, classes = rows(net, 9), np.arange(9) % 5
    got = net.per_sample_gradients(x, classes, "cross_entropy")
    want = net.per_sample_gradients(x, reference.one_hot(classes, 5), "cross_entropy")
    assert_close(got, want, on_isa(GRADIENT, dtype))
    one = net.value_and_grad(x[:1], classes[:1], "cross_entropy")[1].flat
    assert np.array_equal(net.per_sample_gradients(x[0], 0, "cross_entropy"), one)


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_function_is_asked_for_each_sample_by_itself(depth, output, dtype, isa):
    net = make_net(output, depth, dtype)
    x = rows(net, 33)
    y = targets(net, 33)
    kept = []

    def mean_of_squares(y_hat, y):
        kept.append((y_hat.shape, y_hat.flags.writeable, y.flags.writeable))
        return ((y_hat - y) ** 2).mean(), 2 * (y_hat - y) / y.size

    got = net.per_sample_gradients(x, y, mean_of_squares)
    assert kept == [((1, net.sizes[-1]), False, False)] * 33
    assert_close(got, net.per_sample_gradients(x, y, "mse"), on_isa(GRADIENT, dtype))
    for i in (0, 32):
        alone = net.value_and_grad(x[i], y[i], mean_of_squares)[1].flat
        assert np.array_equal(got[i], alone)
        assert np.array_equal(net.per_sample_gradients(x[i], y[i], mean_of_squares), alone)
    norms = net.per_sample_gradient_norms(x, y, mean_of_squares)
    assert_close(norms, np.linalg.norm(got.astype(float), axis=1), LOSS[dtype])
    one = net.per_sample_gradient_norms(x[0], y[0], mean_of_squares)
    assert one.shape == ()
    assert one == norms[0]


def test_a_function_may_take_targets_of_its_own():
    net = make_net("tanh", 2, "float64")
    x, names = rows(net, 3), np.array(["up", "down", "up"])

    def signed(y_hat, y):
        sign = np.where(y == "up", 1.0, -1.0)[:, np.newaxis]
        return (sign * y_hat).sum(), sign * np.ones_like(y_hat)

    got = net.per_sample_gradients(x, names, signed)
    for i, sign in enumerate((1.0, -1.0, 1.0)):
        want = net.vjp(x[i], np.full(net.sizes[-1], sign)).flat
        assert np.array_equal(got[i], want)


def test_a_function_and_out():
    net = mlpcore.MLP([2, 3], "tanh", dtype="float64", seed=0)

    def signed(y_hat, y):
        return y_hat.sum(), np.ones_like(y_hat)

    memory = np.arange(60.0)
    x = memory[:8].reshape(4, 2)
    want = net.per_sample_gradients(x.copy(), np.ones((4, 3)), signed)
    out = memory[5:41].reshape(4, 9)
    assert net.per_sample_gradients(x, np.ones((4, 3)), signed, out) is out
    assert np.array_equal(out, want)
    nothing = net.per_sample_gradients(np.empty((0, 2)), np.empty((0, 3)), signed)
    assert nothing.shape == (0, 9)


def test_their_sum_is_the_gradient_of_the_summed_loss(dtype):
    net = make_net("gelu", 3, dtype)
    x = rows(net, 1100)
    y = targets(net, 1100)
    want = net.value_and_grad(x, y, losses.MSE("sum"))[1].flat
    got = net.per_sample_gradients(x, y, losses.MSE("sum")).sum(axis=0, dtype=np.float64)
    assert_close(got, want, on_isa(GRADIENT, dtype))


def test_bits_do_not_depend_on_threads_or_the_split_of_a_batch(dtype):
    net = mlpcore.MLP([17, 128, 256, 6], ["gelu", "relu", "softmax"], dtype=dtype, seed=0)
    x = rows(net, 150)
    y = targets(net, 150)
    whole = net.per_sample_gradients(x, y, "cross_entropy")
    norms = net.per_sample_gradient_norms(x, y, "cross_entropy")
    for n_threads in (1, 2, 3):
        _core.set_default_n_threads(n_threads)
        assert np.array_equal(net.per_sample_gradients(x, y, "cross_entropy"), whole)
        assert np.array_equal(net.per_sample_gradient_norms(x, y, "cross_entropy"), norms)
    for part in (slice(0, 1), slice(1, 30), slice(30, 150)):
        got = net.per_sample_gradient_norms(x[part], y[part], "cross_entropy")
        assert np.array_equal(got, norms[part])


def test_norms_keep_what_a_square_in_the_dtype_would_lose():
    net = mlpcore.MLP([1, 1], bias=False, init="zeros")
    x = np.array([[1e-25], [1.0], [1e25]], np.float32)
    norms = net.per_sample_gradient_norms(x, np.ones((3, 1)), "mse")
    assert norms == pytest.approx([2e-25, 2.0, 2e25], rel=1e-6)


@pytest.mark.parametrize("single", [False, True])
def test_out(single, dtype):
    net = make_net("tanh", 2, dtype)
    x, y = (part[0] if single else part for part in (rows(net), targets(net, 7)))
    want = net.per_sample_gradients(x, y, "mse")
    assert want.shape == (*x.shape[:-1], net.n_parameters)
    for out in (np.empty_like(want), np.empty((*want.shape, 2), dtype)[..., 1]):
        assert net.per_sample_gradients(x, y, "mse", out) is out
        assert np.array_equal(out, want)
    swapped = np.empty(want.shape, want.dtype.newbyteorder())
    assert np.array_equal(net.per_sample_gradients(x, y, "mse", out=swapped), want)
    assert np.shape(net.per_sample_gradient_norms(x, y, "mse")) == x.shape[:-1]


def test_out_that_overlaps():
    net = mlpcore.MLP([2, 1], "tanh", dtype="float64", seed=0)
    memory = np.arange(9.0)
    x, y, out = memory[:2], np.ones(1), memory[1:4]
    want = net.per_sample_gradients(x.copy(), y, "mse")
    assert np.array_equal(net.per_sample_gradients(x, y, "mse", out), want)
    want = net.per_sample_gradients(np.ones(2), y, "mse")
    assert np.array_equal(net.per_sample_gradients(np.ones(2), y, "mse", net.parameters), want)


def test_an_empty_batch():
    net = make_net("tanh", 2, "float32")
    nothing = np.empty((0, 3)), np.empty((0, 5)), "mse"
    assert net.per_sample_gradients(*nothing).shape == (0, net.n_parameters)
    assert net.per_sample_gradient_norms(*nothing).shape == (0,)


def test_what_does_not_fit_is_refused():
    net = make_net("tanh", 2, "float32")
    x = rows(net)
    y = targets(net, 7)
    for call in (net.per_sample_gradients, net.per_sample_gradient_norms):
        with pytest.raises(ValueError, match="x: expected 3 columns"):
            call(y, y, "mse")
        with pytest.raises(ValueError, match="y: expected shape"):
            call(x, y[:2], "mse")
        with pytest.raises(ValueError, match=r"loss's dl_dy_hat: expected shape \(1, 5\)"):
            call(x, y, lambda y_hat, y: (0.0, y_hat[0]))
        with pytest.raises(TypeError, match="loss: expected the function to return"):
            call(x, y, lambda y_hat, y: 0.0)
    with pytest.raises(ValueError, match=r"out: expected shape \(7, 158\)"):
        net.per_sample_gradients(x, y, "mse", np.empty((7, 3), np.float32))
    with pytest.raises(TypeError, match="out: expected an array"):
        net.per_sample_gradients(x, y, "mse", [])


def test_a_norm_beyond_float32_is_infinite_without_a_warning():
    net = mlpcore.MLP([2, 1], bias=False, init="zeros")
    x, y = np.full((2, 2), 1.5 * 2.0**126, np.float32), np.array([[1.0], [0.5]], np.float32)
    norms = net.per_sample_gradient_norms(x, y, "mse")
    assert norms.tolist() == [np.inf, np.float32(1.5 * 2.0**126.5)]


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rows_of_the_jacobian_in_the_parameters(activation, depth, dtype, isa):
    net = make_net(activation, depth, dtype, bias=depth != 5)
    x = rows(net, 40)
    want = reference.parameter_jacobian(layers_of(net), x)
    got = np.empty((len(x), net.n_parameters), dtype)
    for k, unit in enumerate(np.eye(net.sizes[-1], dtype=dtype)):
        net._per_sample_rows(x, np.tile(unit, (len(x), 1)), None, got, None)
        assert_close(got, want[:, k], on_isa(GRADIENT, dtype))
        assert np.array_equal(got[3], net.vjp(x[3], unit).flat)
        for n_threads in (1, 2, 3):
            again = np.empty_like(got)
            net._per_sample_rows(x, np.tile(unit, (len(x), 1)), None, again, None, n_threads)
            assert np.array_equal(again, got)
