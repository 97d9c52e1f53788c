# SPDX-License-Identifier: BSD-3-Clause
"""gradient_report: its figures by hand, its diagnosis of known ailments; and gradcheck."""

import math
import sys

import numpy as np
import pytest
from tolerances import GRADIENT, assert_close

import mlpcore
from mlpcore import losses

HIDDEN = ("identity", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid")


def make_deep(depth, activation, scale=1.0, output="identity", dtype="float32", seed=0):
    sizes = [8, *[32] * (depth - 1), 1]
    net = mlpcore.MLP(sizes, [activation] * (depth - 1) + [output], dtype=dtype, seed=seed)
    net.parameters[:] *= scale
    return net


def make_batch(n_samples=64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, 8)), rng.normal(size=(n_samples, 1))


def diagnosis(net, loss="mse", batch=None):
    return net.gradient_report(*(batch or make_batch()), loss).diagnosis


# ---- the figures --------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_figures_are_those_of_chain(hidden, output):
    net = make_deep(3, hidden, scale=2.0, output=output, dtype="float64")
    x, y = make_batch()
    report = net.gradient_report(x, y, "mse")
    chain = net.chain(x, y, "mse")
    names = ["x", "z1", "z2", "z3", "z4", "z5", "y_hat"]
    assert len(report.layers) == 3
    for i, layer in enumerate(report.layers):
        before, z, after = names[2 * i : 2 * i + 3]
        derivative = chain[f"d{after}/d{z}"]
        norm = {key: np.linalg.norm(chain[f"dl/d{key}"]) for key in (before, z, after, f"W{i + 1}")}
        assert layer.activation == net.activations[i]
        for got, want in (
            (layer.grad_pre_activation_norm, norm[z]),
            (layer.grad_weight_norm, norm[f"W{i + 1}"]),
            (layer.activation_derivative_mean, np.mean(derivative)),
            (layer.activation_factor, norm[z] / norm[after]),
            (layer.weight_factor, norm[before] / norm[z]),
        ):
            assert_close(got, want, GRADIENT["float64"])
        assert layer.dead == np.mean([not unit.any() for unit in derivative.T])


@pytest.mark.parametrize(
    ("activation", "z", "saturated"),
    [
        ("sigmoid", [-4.4, -4.3, 4.3, 4.4], 0.5),  # f'(4.36) = 0.05 / 4
        ("tanh", [-2.2, -2.1, 2.1, 2.2], 0.5),  # f'(2.18) = 0.05
        ("elu", [-3.1, -2.9, 0.0, 9.0], 0.25),  # exp(-3) = 0.05
        ("softplus", [-3.1, -2.8, 0.0, 9.0], 0.25),
        ("relu", [-1.0, 0.0, 1e-6, 9.0], 0.5),
        ("leaky_relu", [-9.0, 0.0, 1.0, 9.0], 0.0),
        ("identity", [-9.0, 0.0, 1.0, 9.0], 0.0),
    ],
)
def test_share_of_saturated_entries(activation, z, saturated):
    net = mlpcore.MLP([1, 4, 1], [activation, "identity"], seed=0)
    net.weights[0][:] = 0.0
    net.biases[0][:] = z
    report = net.gradient_report([[1.0]], [[1.0]], "mse")
    assert report.layers[0].saturated == saturated


def test_softmax_counts_the_diagonal_of_its_jacobian():
    net = mlpcore.MLP([1, 3], ["softmax"], dtype="float64", init="zeros")
    layer = net.gradient_report([[1.0]], [0], "cross_entropy").layers[0]
    assert layer.activation_derivative_mean == pytest.approx(2.0 / 9.0)
    assert layer.saturated == layer.dead == 0.0


def test_dead_means_off_for_every_sample():
    net = mlpcore.MLP([1, 2, 1], "relu", seed=0)
    net.weights[0][:] = [[1.0], [-1.0]]
    net.biases[0][:] = [0.0, -5.0]
    layer = net.gradient_report([[-1.0], [1.0]], [[0.0], [0.0]], "mse").layers[0]
    assert layer.dead == 0.5
    assert layer.saturated == 0.75


def test_norms_of_a_vanished_float32_gradient_are_not_0():
    report = make_deep(20, "sigmoid", scale=0.1).gradient_report(*make_batch(), "mse")
    assert 0.0 < report.layers[0].grad_pre_activation_norm < 1e-23


def test_single_sample_and_empty_batch():
    net = make_deep(3, "tanh")
    x, y = make_batch()
    single, batch = net.gradient_report(x[0], y[0], "mse"), net.gradient_report(x[:1], y[:1], "mse")
    assert single == batch
    empty = net.gradient_report(x[:0], y[:0], "mse")
    assert "No samples" in empty.diagnosis
    assert empty.layers[0].grad_pre_activation_norm == 0.0
    assert math.isnan(empty.layers[0].dead)
    assert "nan" in str(empty)


# ---- the diagnosis ------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "tanh"])
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 10])
def test_default_initialisation_is_healthy(depth, activation):
    assert diagnosis(make_deep(depth, activation)).startswith("Healthy")


@pytest.mark.parametrize("depth", [6, 10, 20])
def test_deep_sigmoid_net_vanishes_and_relu_does_not(depth):
    sigmoid, relu = (
        make_deep(depth, name).gradient_report(*make_batch(), "mse") for name in ("sigmoid", "relu")
    )
    assert sigmoid.diagnosis.startswith("Vanishing gradient")
    assert "The cause is sigmoid" in sigmoid.diagnosis
    assert "1/4" in sigmoid.diagnosis
    assert "anishing" not in relu.diagnosis
    first, last = sigmoid.layers[0], sigmoid.layers[-1]
    ratio = first.grad_pre_activation_norm / last.grad_pre_activation_norm
    assert ratio < 0.35 ** (depth - 1)
    assert all(layer.activation_factor <= 0.25 for layer in sigmoid.layers[:-1])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_small_weights_are_blamed_for_vanishing(activation):
    text = diagnosis(make_deep(5, activation, scale=0.1))
    assert text.startswith("Vanishing gradient")
    assert "The weights shrink it" in text


def test_large_weights_are_blamed_for_exploding():
    text = diagnosis(make_deep(5, "relu", scale=10.0))
    assert text.startswith("Exploding gradient")
    assert "The weights enlarge it" in text


@pytest.mark.parametrize(("activation", "scale"), [("sigmoid", 40.0), ("tanh", 20.0)])
def test_saturated_layers_are_named(activation, scale):
    text = diagnosis(make_deep(3, activation, scale))
    assert "Saturated" in text
    assert "layers 1 and 2" in text
    assert activation in text


def test_saturated_output_matters_unless_the_loss_takes_the_pre_activation():
    net = make_deep(2, "tanh", output="sigmoid")
    net.biases[1][:] = 20.0
    x, y = make_batch()
    y = (y > 0.0) * 1.0
    assert "Saturated: 100% of the entries of layer 2" in diagnosis(net, "mse", (x, y))
    assert diagnosis(net, "bce", (x, y)).startswith("Healthy")
    net.biases[1][:] = 200.0  # beyond the range of float32: the derivative is 0
    assert "Saturated: 100% of the entries of layer 2" in diagnosis(net, "mse", (x, y))


def test_dead_units_are_told():
    net = make_deep(3, "relu")
    net.biases[1][:20] = -100.0
    text = diagnosis(net)
    assert "Dead units: in layer 2 6" in text
    net.biases[1][:] = -100.0
    text = diagnosis(net)
    assert "Layer 2 lets nothing through" in text
    assert "in layer 2 100% of the units" in text


def test_a_few_samples_are_too_few_to_call_a_unit_dead():
    net = make_deep(3, "relu")
    net.biases[1][:20] = -100.0
    assert "ead" not in diagnosis(net, batch=make_batch(4)).replace("or dead", "")


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_equal_weights_are_symmetric(activation, value):
    net = make_deep(3, activation)
    net.parameters[:] = value
    text = diagnosis(net)
    assert text.startswith("Symmetric")
    assert "layers 1 and 2" in text
    assert not diagnosis(make_deep(1, activation, scale=0.0)).startswith("Symmetric")


def test_no_gradient_at_the_targets():
    net = make_deep(3, "tanh")
    x, _ = make_batch()
    assert "No gradient" in diagnosis(net, batch=(x, net(x)))


def test_dead_output():
    net = make_deep(2, "tanh", output="relu")
    net.biases[1][:] = -100.0
    x, y = make_batch()
    assert "Dead output" in diagnosis(net, batch=(x, abs(y)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_not_finite(bad):
    net = make_deep(3, "tanh")
    x, y = make_batch()
    y[3] = bad
    assert "Not finite" in diagnosis(net, batch=(x, y))


def test_callable_loss():
    net = make_deep(3, "tanh")
    text = diagnosis(net, lambda y_hat, y: (np.sum((y_hat - y) ** 2), 2.0 * (y_hat - y)))
    assert text == diagnosis(net, losses.MSE("sum"))


# ---- table and picture --------------------------------------------------------------------------


def test_table():
    report = make_deep(10, "sigmoid").gradient_report(*make_batch(), "mse")
    lines = str(report).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert [line.split()[:2] for line in lines[1:11]] == [
        *([str(i), "sigmoid"] for i in range(1, 10)),
        ["10", "identity"],
    ]
    assert f"{report.layers[0].grad_pre_activation_norm:.2e}" in lines[1]
    assert lines[-1] == report.diagnosis


def test_plot():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    report = make_deep(4, "relu").gradient_report(*make_batch(), "mse")
    ax = figure.add_subplot()
    assert report.plot(ax) is ax
    norms, weights = (line.get_ydata() for line in ax.get_lines())
    assert list(norms) == [layer.grad_pre_activation_norm for layer in report.layers]
    assert list(weights) == [layer.grad_weight_norm for layer in report.layers]
    assert ax.get_yscale() == "log"
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"|dl/dz|", "|dl/dW|", "saturated", "dead"}
    figure.savefig("/dev/null", format="png")


def test_plot_without_matplotlib_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"mlpcore\[plot\]"):
        make_deep(2, "relu").gradient_report(*make_batch(), "mse").plot()


# ---- gradcheck ----------------------------------------------------------------------------------

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
    from mlpcore import diagnostics

    right = diagnostics.value_and_grad

    def wrong(*arguments):
        value, gradients = right(*arguments)
        attribute, i, index = entry
        getattr(gradients, attribute)[i][index] += 0.125
        getattr(gradients, attribute)[0][0] *= 1.001  # not the worst
        return value, gradients

    monkeypatch.setattr(diagnostics, "value_and_grad", wrong)
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
    with pytest.raises(ValueError, match="x: expected at least one sample"):
        mlpcore.gradcheck(net, x[:0], y[:0], "mse")
    with pytest.raises(ValueError, match="rtol"):
        mlpcore.gradcheck(net, x, y, "mse", rtol=0.0)
    with pytest.raises(ValueError, match="atol"):
        mlpcore.gradcheck(net, x, y, "mse", atol=-1.0)
    with pytest.raises(ValueError, match="y: "):
        mlpcore.gradcheck(net, x, y[:2], "mse")
