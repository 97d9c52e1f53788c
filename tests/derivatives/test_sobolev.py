# SPDX-License-Identifier: BSD-3-Clause
"""The loss of the derivatives: against the reference and differences, at kinks, in its bits."""

import numpy as np
import pytest
from nets import ACTIVATIONS, HIDDEN, at_its_kinks, make_net, rows, saturated
from tolerances import LOSS, SECOND_ORDER, assert_close, on_isa
from twins import layers_of, options_of

import mlpcore
from mlpcore import _core, losses, reference

# A loss and an activation of the output that its predictions may come from.
PAIRS = [
    (losses.MSE, "identity"),
    (losses.MSE, "softmax"),
    (losses.Huber, "gelu"),
    (losses.Quantile, "relu"),
    (losses.BCE, "sigmoid"),
    (losses.BCE, "softmax"),
    (losses.CrossEntropy, "softmax"),
    (losses.CrossEntropy, "identity"),
    (losses.Poisson, "identity"),
]


def targets(net, n_samples, seed=2):
    """Targets that suit every loss, and derivatives (N, K, D)."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(0.1, 0.9, size=(n_samples, net.sizes[-1]))
    dy_dx = rng.normal(size=(n_samples, net.sizes[-1], net.sizes[0]))
    return (y / y.sum(axis=1, keepdims=True)).astype(net.dtype), dy_dx.astype(net.dtype)


def check(net, x, y, dy_dx, loss="mse", weight=None, factor=1.0):
    """Value and all gradients are the reference's."""
    known = losses.as_loss(net, loss)
    options = options_of(known) | {"dtype": net.dtype, "sample_weight": weight}
    value, gradients = net.value_and_grad(x, y, loss, weight, dy_dx=dy_dx, dy_dx_weight=factor)
    want_value, want = reference.sobolev_value_and_grad(
        layers_of(net), x, y, known.name, dy_dx, factor, **options
    )
    assert value == pytest.approx(want_value, rel=10 * LOSS[net.dtype.name])
    assert gradients.flat.dtype == net.dtype
    assert_close(gradients.flat, want.flat, on_isa(SECOND_ORDER, net.dtype))
    assert_close(gradients.inputs, want.inputs, on_isa(SECOND_ORDER, net.dtype))


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_equals_the_reference(activation, depth, dtype, isa):
    net = make_net(activation, depth, dtype, bias=depth != 4)
    x = rows(net)
    check(net, x, *targets(net, len(x)))


@pytest.mark.parametrize("with_weight", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize(("make_loss", "output"), PAIRS)
@pytest.mark.parametrize("n_inputs", [2, 9])  # forward and reverse mode
def test_every_loss_equals_the_reference(
    n_inputs, make_loss, output, reduction, with_weight, dtype
):
    net = mlpcore.MLP([n_inputs, 17, 20, 4], ["tanh", "gelu", output], dtype=dtype, seed=0)
    net.parameters[:] = np.random.default_rng(0).normal(0.0, 0.4, net.n_parameters)
    x = rows(net, 9)
    weight = np.arange(9.0).astype(dtype) if with_weight else None
    check(net, x, *targets(net, 9), make_loss(reduction=reduction), weight, 0.3)


@pytest.mark.parametrize("n_samples", [1, 40, 512, 513, 1100])
@pytest.mark.parametrize("sizes", [(2, 20, 256, 257, 3), (5, 20, 256, 257, 1), (3, 2)])
def test_more_rows_than_a_block(sizes, n_samples, dtype):
    net = mlpcore.MLP(sizes, "silu", dtype=dtype, seed=0)
    x = rows(net, n_samples)
    check(net, x, *targets(net, n_samples))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(2, 5, 4, 3), (3, 5, 4, 2), (2, 2)])
def test_gradcheck_takes_derivatives(sizes, activation):
    hidden = "tanh" if activation == "softmax" else activation
    names = [hidden] * (len(sizes) - 2) + [activation]
    net = mlpcore.MLP(sizes, names, dtype="float64", seed=1)
    net.parameters[:] = np.random.default_rng(0).normal(0.0, 0.6, net.n_parameters)
    x = rows(net, 3)
    y, dy_dx = targets(net, 3)
    assert mlpcore.gradcheck(net, x, y, "mse", dy_dx=dy_dx, dy_dx_weight=0.5) < 1e-5
    single = net.copy()
    assert mlpcore.gradcheck(single, x[0], y[0], "mse", dy_dx=dy_dx[0]) < 1e-5


@pytest.mark.parametrize(("loss", "output"), [("bce", "sigmoid"), ("cross_entropy", "softmax")])
def test_losses_of_the_pre_activation_pass_gradcheck(loss, output):
    for sizes in ([2, 6, 4], [4, 6, 2]):
        net = mlpcore.MLP(sizes, ["softplus", output], dtype="float64", seed=1)
        x = rows(net, 3)
        y, dy_dx = targets(net, 3)
        assert mlpcore.gradcheck(net, x, y, loss, dy_dx=dy_dx) < 1e-5


@pytest.mark.parametrize("activation", HIDDEN)
def test_at_a_kink_the_documented_side_counts(activation, dtype):
    net, x = at_its_kinks(activation, dtype)
    check(net, x, *targets(net, 1))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_units(activation, dtype):
    net, x = saturated(activation, dtype)
    for i in range(len(x)):
        check(net, x[i : i + 1], *targets(net, 1), losses.MSE("sum"))


def test_of_relu_the_derivatives_teach_the_weights_alone():
    net = mlpcore.MLP([3, 8, 2], dtype="float64", seed=0)
    x = rows(net)
    _, dy_dx = targets(net, len(x))
    gradients = net.value_and_grad(x, net(x), "mse", dy_dx=dy_dx)[1]
    assert all(np.abs(weight).max() > 0 for weight in gradients.weights)
    assert not any(bias.any() for bias in gradients.biases)
    assert not gradients.inputs.any()


def test_a_weight_of_0_leaves_the_loss(dtype):
    net = make_net("tanh", 3, dtype)
    x = rows(net)
    y, dy_dx = targets(net, len(x))
    value, gradients = net.value_and_grad(x, y, "mse")
    got, got_gradients = net.value_and_grad(x, y, "mse", dy_dx=dy_dx, dy_dx_weight=0)
    assert got == pytest.approx(value, rel=LOSS[dtype])
    assert_close(got_gradients.flat, gradients.flat, on_isa(SECOND_ORDER, dtype))


def test_the_value_alone_is_that_of_the_gradient(dtype):
    net = make_net("gelu", 4, dtype)
    x = rows(net, 600)
    y, dy_dx = targets(net, 600)
    loss = losses.as_loss(net, "mse")
    with_gradient, _ = net.value_and_grad(x, y, "mse", dy_dx=dy_dx)
    alone = net._value_and_grad(x, y, None, loss, None, None, 1, (dy_dx, 1.0))
    assert alone == with_gradient
    distance = losses.MSE()(net.jacobian(x).reshape(600, -1), dy_dx.reshape(600, -1))
    assert alone == pytest.approx(losses.MSE()(net(x), y) + distance, rel=LOSS[dtype])


# Reverse mode; forward mode, and with so many inputs that threads share the first weight.
@pytest.mark.parametrize("sizes", [(17, 256, 256, 6), (3, 256, 128, 10), (40, 64, 64, 48)])
def test_bits_do_not_depend_on_threads(sizes, dtype):
    net = mlpcore.MLP(sizes, ["gelu", "relu", "softmax"], dtype=dtype, seed=0)
    x = rows(net, 700)
    y, dy_dx = targets(net, 700)
    got = []
    for n_threads in (1, 2, 3):
        _core.set_default_n_threads(n_threads)
        value, gradients = net.value_and_grad(x, y, "cross_entropy", dy_dx=dy_dx)
        got.append((value, gradients.flat.tobytes(), gradients.inputs.tobytes()))
    assert got[1:] == got[:-1]


def test_a_row_has_the_same_input_gradient_in_any_batch(dtype):
    net = make_net("gelu", 3, dtype)
    x = rows(net, 100)
    y, dy_dx = targets(net, 100)
    loss = losses.MSE("sum")
    whole = net.value_and_grad(x, y, loss, dy_dx=dy_dx)[1].inputs
    for part in (slice(0, 1), slice(3, 40), slice(40, 100)):
        cut = net.value_and_grad(x[part], y[part], loss, dy_dx=dy_dx[part])[1].inputs
        assert np.array_equal(cut, whole[part])


def test_one_sample_and_none_and_weights():
    net = make_net("tanh", 3, "float64")
    x = rows(net, 3)
    y, dy_dx = targets(net, 3)

    def flat(chosen, **arguments):
        return net.value_and_grad(x[chosen], y[chosen], "mse", dy_dx=dy_dx[chosen], **arguments)[
            1
        ].flat

    one = flat([0])
    assert np.array_equal(flat(0), one)
    value, gradients = net.value_and_grad(x[:0], y[:0], "mse", dy_dx=dy_dx[:0])
    assert value == 0.0
    assert not gradients.flat.any()
    twice = flat([0, 0, 1, 2])
    assert_close(
        flat([0, 1, 2], sample_weight=[2.0, 1.0, 1.0]), twice, on_isa(SECOND_ORDER, "float64")
    )
    assert_close(
        flat([0, 1, 2], sample_weight=[1.0, 0.0, 0.0]), one, on_isa(SECOND_ORDER, "float64")
    )


def test_one_output_may_leave_its_axis_away(dtype):
    net = mlpcore.MLP([3, 8, 1], "tanh", dtype=dtype, seed=0)
    x = rows(net)
    y, dy_dx = targets(net, len(x))
    want = net.value_and_grad(x, y, "mse", dy_dx=dy_dx)[1].flat
    for same in (dy_dx[:, 0], dy_dx[:, 0].tolist(), np.asfortranarray(dy_dx)):
        assert np.array_equal(net.value_and_grad(x, y, "mse", dy_dx=same)[1].flat, want)
    one = net.value_and_grad(x[0], y[0], "mse", dy_dx=dy_dx[0, 0])[1]
    assert one.inputs.shape == (3,)


def test_what_does_not_fit_is_refused():
    net = make_net("tanh", 2, "float32")
    x = rows(net)
    y, dy_dx = targets(net, len(x))
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"dy_dx: expected shape \(7, 5, 3\), got"):
        net.value_and_grad(x, y, "mse", dy_dx=dy_dx.swapaxes(1, 2))
    with pytest.raises(TypeError, match="dy_dx: expected an array of real numbers"):
        net.value_and_grad(x, y, "mse", dy_dx="abc")
    with pytest.raises(TypeError, match="dy_dx: expected a loss with a name"):
        net.value_and_grad(x, y, lambda y_hat, y: (0.0, y_hat), dy_dx=dy_dx)
    with pytest.raises(ValueError, match=r"dy_dx_weight: expected a number in \[0, inf\), got -1"):
        net.value_and_grad(x, y, "mse", dy_dx=dy_dx, dy_dx_weight=-1)
    assert np.array_equal(net.parameters, before)
