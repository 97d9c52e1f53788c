# SPDX-License-Identifier: BSD-3-Clause
"""gradcheck: passes what is right, names the worst of what is wrong, leaves kinks out aloud."""

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, losses

HIDDEN = tuple(name for name in _core.ACTIVATIONS if name != "softmax")
PAIRS = [
    (losses.MSE(), "identity"),
    (losses.MSE("sum"), "relu"),
    (losses.L1("batch_mean"), "tanh"),
    (losses.Huber(0.1), "identity"),
    (losses.LogCosh(), "elu"),
    (losses.Quantile(0.2), "identity"),
    (losses.BCE(), "sigmoid"),
    (losses.BCEWithLogits(), "identity"),
    (losses.CrossEntropy(), "softmax"),
    (losses.CrossEntropy(), "identity"),
    (losses.Poisson(), "identity"),
]


def make_small(hidden="tanh", output="identity", dtype="float64"):
    net = mlpcore.MLP([3, 5, 4, 2], [hidden, hidden, output], dtype=dtype, seed=0)
    net.parameters[:] = np.random.default_rng(0).normal(0.0, 0.6, net.n_parameters)
    return net


def make_samples(n_samples=5):
    rng = np.random.default_rng(1)
    y = rng.uniform(0.1, 0.9, size=(n_samples, 2))
    return rng.normal(size=(n_samples, 3)), y / y.sum(axis=1, keepdims=True)


def squared(factor=1.0):
    return lambda y_hat, y: (np.sum((y_hat - y) ** 2), factor * 2.0 * (y_hat - y))


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_gradcheck_passes(loss, output, hidden, dtype):
    largest = mlpcore.gradcheck(make_small(hidden, output, dtype), *make_samples(), loss)
    assert 0.0 < largest < {"float32": 1e-3, "float64": 1e-5}[dtype]


def test_gradcheck_of_one_sample_of_classes_and_of_a_callable():
    net = make_small(output="softmax")
    x, y = make_samples()
    for arguments in (
        (x[0], y[0], "mse"),
        (x, [0, 1, 1, 0, 1], "cross_entropy"),
        (x[0], 1, "cross_entropy"),
    ):
        assert mlpcore.gradcheck(net, *arguments) < 1e-6
    assert mlpcore.gradcheck(net, x, y, squared()) < 1e-6


def test_gradcheck_without_biases_and_with_one_layer():
    net = mlpcore.MLP([3, 2], ["sigmoid"], dtype="float64", seed=0, bias=False)
    assert mlpcore.gradcheck(net, *make_samples(), "bce") < 1e-6


def test_gradcheck_changes_nothing():
    net = make_small()
    x, y = make_samples()
    kept = net.copy(), x.copy(), y.copy()
    mlpcore.gradcheck(net, x, y, "mse")
    assert net == kept[0]
    assert np.array_equal(x, kept[1])
    assert np.array_equal(y, kept[2])


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.001, 1.0001])
def test_gradcheck_finds_a_wrong_gradient(factor):
    with pytest.raises(AssertionError, match=r"(weights|biases|inputs)\[.*central differences"):
        mlpcore.gradcheck(make_small(), *make_samples(), squared(factor))


@pytest.mark.parametrize(
    ("entry", "name"),
    [(("weights", 1, (2, 3)), r"weights\[1\]\[2, 3\]"), (("biases", 0, (4,)), r"biases\[0\]\[4\]")],
)
def test_gradcheck_names_the_worst_entry(monkeypatch, entry, name):
    from mlpcore import gradient_check

    right = gradient_check.value_and_grad

    def wrong(*arguments):
        value, gradients = right(*arguments)
        attribute, i, index = entry
        getattr(gradients, attribute)[i][index] += 0.125
        getattr(gradients, attribute)[0][0] *= 1.001  # not the worst
        return value, gradients

    monkeypatch.setattr(gradient_check, "value_and_grad", wrong)
    with pytest.raises(AssertionError, match=name):
        mlpcore.gradcheck(make_small(), *make_samples(), "mse")


def test_gradcheck_fails_where_the_gradient_is_no_number():
    net = make_small()
    x, y = make_samples()
    x[0, 0] = np.nan
    with pytest.raises(AssertionError, match="nan"):
        mlpcore.gradcheck(net, x, y, "mse")
    x, y = make_samples()
    with pytest.raises(AssertionError, match="nan"):
        mlpcore.gradcheck(
            net, x, y, lambda y_hat, y: (np.sum(y_hat**2), np.full_like(y_hat, np.nan))
        )


def test_gradcheck_takes_tolerances():
    net, samples = make_small(), make_samples()
    with pytest.raises(AssertionError, match="allowed 1e-05"):
        mlpcore.gradcheck(net, *samples, squared(1.001))
    assert 5e-4 < mlpcore.gradcheck(net, *samples, squared(1.001), rtol=1e-2) < 1.1e-3
    assert mlpcore.gradcheck(net, *samples, squared(1.001), atol=1.0) < 1e-5
    assert mlpcore.gradcheck(net, *samples, "mse", atol=0.0) < 1e-5


def test_gradcheck_at_the_targets():
    net = make_small()
    x, _ = make_samples()
    assert mlpcore.gradcheck(net, x, net(x), "mse") < 1e-5


def test_kink_beside_an_entry_is_no_obstacle():
    # relu's kink lies within the first step of the bias, and outside of the smaller ones.
    net = mlpcore.MLP([1, 1, 1], "relu", dtype="float64", seed=0)
    net.parameters[:] = [1.0, 0.0, 1.0, 0.0]
    for distance in (1e-6, 3e-7, -1e-6):
        assert mlpcore.gradcheck(net, [[distance]], [[2.0]], "mse") < 1e-5


def test_wrong_gradient_beside_a_kink_is_found():
    net = mlpcore.MLP([1, 1, 1], "relu", dtype="float64", seed=0)
    net.parameters[:] = [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(AssertionError, match="central differences"):
        mlpcore.gradcheck(net, [[1e-6]], [[2.0]], squared(1.01))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_entries_on_a_kink_are_left_out_aloud(dtype):
    net = mlpcore.MLP([1, 1, 1], "relu", dtype=dtype, seed=0)
    net.parameters[:] = [1.0, 0.0, 1.0, 0.0]  # with x = 0 relu stands on its kink
    with pytest.warns(RuntimeWarning, match=r"2 of 5 entries.*biases\[0\]\[0\], inputs\[0, 0\]"):
        mlpcore.gradcheck(net, [[0.0]], [[2.0]], "mse")
    with pytest.warns(RuntimeWarning, match="lie on a kink") as caught:
        mlpcore.gradcheck(net, [[0.0]], [[2.0]], "mse")
    assert caught[0].filename == __file__


def test_kink_of_the_loss():
    net = make_small()
    x, _ = make_samples()
    # The central difference and the convention agree on 0 there, which proves nothing.
    with pytest.raises(AssertionError, match="every entry lies on a kink"):
        mlpcore.gradcheck(net, x, net(x), "l1")
    y = np.vstack([net(x[:1]), make_samples()[1][1:]])
    with pytest.warns(RuntimeWarning, match=r"lie on a kink"):
        mlpcore.gradcheck(net, x, y, "l1")


def test_gradcheck_refuses_what_does_not_fit():
    net = make_small()
    x, y = make_samples()
    with pytest.raises(TypeError, match="net: expected an MLP, got 3"):
        mlpcore.gradcheck(3, x, y, "mse")
    with pytest.raises(ValueError, match="x: expected at least one sample"):
        mlpcore.gradcheck(net, x[:0], y[:0], "mse")
    with pytest.raises(ValueError, match="rtol"):
        mlpcore.gradcheck(net, x, y, "mse", rtol=0.0)
    with pytest.raises(ValueError, match="atol"):
        mlpcore.gradcheck(net, x, y, "mse", atol=-1.0)
    with pytest.raises(ValueError, match="y: "):
        mlpcore.gradcheck(net, x, y[:2], "mse")
