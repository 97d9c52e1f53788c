# SPDX-License-Identifier: BSD-3-Clause
"""hvp: against the reference, against differences of gradients, and the Hessian's symmetry."""

import numpy as np
import pytest
from nets import ACTIVATIONS, HIDDEN, at_its_kinks, make_net, rows, saturated
from tolerances import SECOND_ORDER, assert_close, on_isa
from twins import layers_of, options_of

import mlpcore
from mlpcore import _core, losses, reference

# A loss and an activation of the output that its predictions may come from.
PAIRS = [
    (losses.MSE, "identity"),
    (losses.MSE, "softmax"),
    (losses.L1, "tanh"),
    (losses.Huber, "gelu"),
    (losses.LogCosh, "relu"),
    (losses.Quantile, "identity"),
    (losses.BCE, "sigmoid"),
    (losses.BCE, "softmax"),
    (losses.BCEWithLogits, "identity"),
    (losses.CrossEntropy, "softmax"),
    (losses.CrossEntropy, "identity"),
    (losses.Poisson, "identity"),
]


def targets(net, n_samples, seed=2):
    y = np.random.default_rng(seed).uniform(0.1, 0.9, size=(n_samples, net.sizes[-1]))
    return (y / y.sum(axis=1, keepdims=True)).astype(net.dtype)


def vector_of(net, seed=3):
    return np.random.default_rng(seed).normal(size=net.n_parameters).astype(net.dtype)


def reference_hvp(net, x, y, loss, vector, sample_weight=None):
    """What the reference says of a loss given as an instance."""
    options = options_of(loss)
    return reference.hvp(
        layers_of(net),
        x,
        y,
        loss.name,
        vector,
        sample_weight=sample_weight,
        dtype=net.dtype,
        **options,
    )


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_equals_the_reference(activation, depth, dtype, isa):
    net = make_net(activation, depth, dtype, bias=depth != 4)
    x, vector = rows(net), vector_of(net)
    y = targets(net, len(x))
    want = reference.hvp(layers_of(net), x, y, "mse", vector)
    assert_close(net.hvp(x, y, "mse", vector), want, on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize("with_weight", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize(("make_loss", "output"), PAIRS)
def test_every_loss_equals_the_reference(make_loss, output, reduction, with_weight, dtype):
    net = mlpcore.MLP([3, 17, 20, 4], ["tanh", "gelu", output], dtype=dtype, seed=0)
    net.parameters[:] = np.random.default_rng(0).normal(0.0, 0.4, net.n_parameters)
    x, vector = rows(net, 9), vector_of(net)
    y = targets(net, 9)
    weight = np.arange(9.0).astype(dtype) if with_weight else None
    loss = make_loss(reduction=reduction)
    got = net.hvp(x, y, loss, vector, weight)
    assert got.dtype == dtype
    assert_close(got, reference_hvp(net, x, y, loss, vector, weight), on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize("widths", [(256, 257), (257, 256)])
def test_widths_of_which_the_smaller_takes_more_room(widths, dtype):
    net = mlpcore.MLP([3, *widths, 2], ["silu", "tanh", "identity"], dtype=dtype, seed=0)
    x, vector = rows(net, 40), vector_of(net)
    y = targets(net, 40)
    want = reference.hvp(layers_of(net), x, y, "mse", vector)
    assert_close(net.hvp(x, y, "mse", vector), want, on_isa(SECOND_ORDER, dtype))
    direction = rows(net, 40, seed=7)
    _, dy_hat = reference.jvp(layers_of(net), x, direction, vector)
    assert_close(net.jvp(x, direction, vector)[1], dy_hat, on_isa(SECOND_ORDER, dtype))


def test_classes_are_one_hot_targets(dtype):
    net = mlpcore.MLP([3, 8, 300], ["tanh", "softmax"], dtype=dtype, seed=0)
    x, vector = rows(net, 5), vector_of(net)
    classes = np.array([0, 299, 4, 17, 5])
    want = net.hvp(x, reference.one_hot(classes, 300), "cross_entropy", vector)
    assert_close(net.hvp(x, classes, "cross_entropy", vector), want, on_isa(SECOND_ORDER, dtype))
    loss = losses.CrossEntropy()
    assert_close(want, reference_hvp(net, x, classes, loss, vector), on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize("n_samples", [1, 40, 1024, 1025, 2100])
def test_more_rows_than_a_block(n_samples, dtype):
    net = mlpcore.MLP([3, 20, 256, 2], ["silu", "tanh", "identity"], dtype=dtype, seed=0)
    x, vector = rows(net, n_samples), vector_of(net)
    y = targets(net, n_samples)
    want = reference.hvp(layers_of(net), x, y, "log_cosh", vector)
    assert_close(net.hvp(x, y, "log_cosh", vector), want, on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize(("make_loss", "output"), PAIRS)
def test_it_is_the_change_of_the_gradient(make_loss, output):
    net = mlpcore.MLP([3, 9, 4], ["softplus", output], dtype="float64", seed=0)
    x, vector = rows(net), vector_of(net)
    y, loss = targets(net, len(x)), make_loss()
    step = 1e-5
    gradients = []
    for sign in (1.0, -1.0):
        moved = net.copy()
        moved.parameters[:] += sign * step * vector
        gradients.append(moved.value_and_grad(x, y, loss)[1].flat)
    numeric = (gradients[0] - gradients[1]) / (2 * step)
    # Differences of second order have errors of 1e-8 at most here, norm-wise.
    assert_close(net.hvp(x, y, loss, vector), numeric, 1e-7)


def test_the_hessian_is_symmetric(dtype):
    net = make_net("gelu", 4, dtype)
    x = rows(net)
    y = targets(net, len(x))
    u, v = vector_of(net, 5), vector_of(net, 6)
    hu, hv = (net.hvp(x, y, "mse", vector).astype(float) for vector in (u, v))
    assert abs(u @ hv - v @ hu) <= on_isa(SECOND_ORDER, dtype) * np.linalg.norm(u) * np.linalg.norm(
        hv
    )


@pytest.mark.parametrize("activation", HIDDEN)
def test_at_a_kink_the_documented_side_counts(activation, dtype):
    net, x = at_its_kinks(activation, dtype)
    vector, y = vector_of(net), np.array([[0.5, 2.0]], dtype)
    want = reference.hvp(layers_of(net), x, y, "mse", vector)
    assert_close(net.hvp(x, y, "mse", vector), want, on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_units(activation, dtype):
    net, x = saturated(activation, dtype)
    vector = vector_of(net)
    for i in range(len(x)):
        y = targets(net, 1)
        want = reference.hvp(layers_of(net), x[i : i + 1], y, "mse", vector)
        assert_close(net.hvp(x[i : i + 1], y, "mse", vector), want, on_isa(SECOND_ORDER, dtype))


def test_bits_do_not_depend_on_threads(dtype):
    net = mlpcore.MLP([17, 256, 256, 6], ["gelu", "relu", "softmax"], dtype=dtype, seed=0)
    x, vector = rows(net, 1301), vector_of(net)
    y = targets(net, 1301)
    want = net.hvp(x, y, "cross_entropy", vector)
    for n_threads in (1, 2, 3):
        _core.set_default_n_threads(n_threads)
        assert np.array_equal(net.hvp(x, y, "cross_entropy", vector), want)


def test_one_sample_and_none_and_weights():
    net = make_net("tanh", 3, "float64")
    x, vector = rows(net, 3), vector_of(net)
    y = targets(net, 3)
    one = net.hvp(x[:1], y[:1], "mse", vector)
    assert np.array_equal(net.hvp(x[0], y[0], "mse", vector), one)
    assert not net.hvp(x[:0], y[:0], "mse", vector).any()
    twice = net.hvp(x[[0, 0, 1, 2]], y[[0, 0, 1, 2]], "mse", vector)
    weighted = net.hvp(x, y, "mse", vector, sample_weight=[2.0, 1.0, 1.0])
    assert_close(weighted, twice, on_isa(SECOND_ORDER, "float64"))
    alone = net.hvp(x, y, "mse", vector, sample_weight=[1.0, 0.0, 0.0])
    assert_close(alone, one, on_isa(SECOND_ORDER, "float64"))


def test_what_can_be_read_as_it_is_and_what_cannot_give_the_same(dtype):
    net = make_net("tanh", 3, dtype)
    x, vector = rows(net), vector_of(net)
    y = targets(net, len(x))
    want = net.hvp(x, y, "mse", vector)
    for same in (x.tolist(), np.asfortranarray(x)):
        assert np.array_equal(net.hvp(same, y, losses.MSE(), vector), want)
    for same in (vector.tolist(), np.repeat(vector, 2)[::2]):
        assert np.array_equal(net.hvp(x, y, "mse", same), want)


def test_the_advice_for_a_function_is_right():
    net = make_net("tanh", 3, "float64")
    x = rows(net)
    y, vector = targets(net, len(x)), vector_of(net)

    def squared(y_hat, y):
        return ((y_hat - y) ** 2).mean(), 2 * (y_hat - y) / y.size

    with pytest.raises(TypeError) as caught:
        net.hvp(x, y, squared, vector)
    formula = str(caught.value).partition("of a function take ")[2].partition(", where")[0]
    names = {"jac": net.as_function(x, y, squared).jac, "p": net.parameters}
    got = eval(formula, names | {"vector": vector, "h": 1e-5})
    # The rest of the difference, h^2, and the rounding of the gradients, 1e-16, over h.
    np.testing.assert_allclose(got, net.hvp(x, y, "mse", vector), rtol=0, atol=1e-8)


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
def test_a_loss_of_known_curvature_has_the_exact_product(output):
    """What docs/questions/own_loss.md says: a squared error with the same dl/dy_hat, put right."""
    net = make_net(output, 3, "float64")
    x = rows(net)
    y, vector, loss = targets(net, len(x)), vector_of(net), losses.Poisson()
    y_hat, dy_hat = net.jvp(x, parameters_tangent=vector)
    shifted = y_hat - loss.gradient(y_hat, y) / 2
    curvature = np.exp(y_hat) / y_hat.size
    got = net.hvp(x, shifted, losses.MSE("sum"), vector)
    got += net.vjp(x, (curvature - 2) * dy_hat).flat
    assert_close(got, net.hvp(x, y, loss, vector), SECOND_ORDER["float64"])


def test_what_does_not_fit_is_refused():
    net = make_net("tanh", 2, "float32")
    x, vector = rows(net), vector_of(net)
    y = targets(net, len(x))
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"vector: expected shape \(158,\) \(the net's"):
        net.hvp(x, y, "mse", vector[:-1])
    with pytest.raises(TypeError, match="vector: expected an array of real numbers"):
        net.hvp(x, y, "mse", "abc")
    with pytest.raises(TypeError, match=r"of a function take \(jac\(p \+ h \* vector\)"):
        net.hvp(x, y, lambda y_hat, y: (0.0, y_hat), vector)
    with pytest.raises(ValueError, match="y: expected shape"):
        net.hvp(x, y[:2], "mse", vector)
    with pytest.raises(ValueError, match="x: expected 3 columns"):
        net.hvp(y, y, "mse", vector)
    with pytest.raises(ValueError, match="sample_weight: "):
        net.hvp(x, y, "mse", vector, -np.ones(7))
    assert np.array_equal(net.parameters, before)
