# SPDX-License-Identifier: BSD-3-Clause
"""gradient_report: its figures by hand, and its diagnosis of known ailments."""

import math
import sys

import numpy as np
import pytest
from tolerances import GRADIENT, assert_close

import mlpcore
from mlpcore import _core, losses

HIDDEN = tuple(name for name in _core.ACTIVATIONS if name != "softmax")


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


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600])  # its square is infinity, or 0
def test_norms_neither_overflow_nor_vanish(factor):
    net = make_deep(3, "tanh", dtype="float64")
    usual, scaled = (
        net.gradient_report(*make_batch(), lambda y_hat, y, f=f: (0.0, np.full_like(y_hat, f)))
        for f in (1.0, factor)
    )
    for layer, want in zip(scaled.layers, usual.layers, strict=True):
        assert layer.grad_pre_activation_norm == factor * want.grad_pre_activation_norm
        assert layer.grad_weight_norm == factor * want.grad_weight_norm
    assert scaled.diagnosis == usual.diagnosis


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


def test_every_activation_that_is_saturated_is_named():
    net = mlpcore.MLP([4, 8, 8, 2], ["tanh", "sigmoid", "identity"], seed=0)
    net.biases[0][:] = net.biases[1][:] = 50.0
    x = np.random.default_rng(0).normal(size=(30, 4))
    assert "lie where tanh and sigmoid are flat" in diagnosis(net, "mse", (x, np.ones((30, 2))))
    net.biases[1][:] = 0.0
    assert "lie where tanh is flat" in diagnosis(net, "mse", (x, np.ones((30, 2))))


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


def test_an_infinite_parameter_behind_a_finite_gradient():
    net = make_deep(3, "tanh")
    net.biases[1][2] = np.inf
    report = net.gradient_report(*make_batch(), "mse")
    assert np.isfinite([layer.grad_pre_activation_norm for layer in report.layers]).all()
    assert "the parameters of layer 2," in report.diagnosis


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
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        make_deep(2, "relu").gradient_report(*make_batch(), "mse").plot()
