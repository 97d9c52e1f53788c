# SPDX-License-Identifier: BSD-3-Clause
"""Metrics, where a fit diverged, tables of a history, and what sample weights mean."""

import sys
import types

import numpy as np
import pytest
from regression import make_net, regression_data

import mlpcore
from mlpcore import _core, held_out, losses, metrics
from mlpcore.history import History

MSE = losses.MSE()


def by_hand(y_hat, y):
    return MSE(y_hat, y), MSE.gradient(y_hat, y)


def mean_error(y_hat, y):
    return np.mean(y_hat - y)


# ---- metrics -------------------------------------------------------------------------------------


def test_metrics_are_those_of_the_validation_rows_after_the_epoch():
    x, y = regression_data()
    net = make_net()
    trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(0.01), seed=0)
    chosen = ["r2", "l1", mean_error]
    history = trainer.fit(x[:50], y[:50], epochs=2, validation=(x[50:], y[50:]), metrics=chosen)
    y_hat, wanted = net(x[50:]).astype(np.float64), y[50:].astype(np.float64)
    missed = ((wanted - y_hat) ** 2).sum(axis=0)
    spread = ((wanted - wanted.mean(axis=0)) ** 2).sum(axis=0)
    row = history[-1]
    assert row["validation_r2"] == pytest.approx(np.mean(1 - missed / spread), rel=1e-6)
    assert row["validation_l1"] == pytest.approx(np.abs(wanted - y_hat).mean(), rel=1e-5)
    assert row["validation_mean_error"] == pytest.approx(np.mean(y_hat - wanted), rel=1e-4)
    assert all(type(row[f"validation_{name}"]) is float for name in ("r2", "l1", "mean_error"))
    named = trainer.fit(
        x[:50], y[:50], epochs=1, validation=(x[50:], y[50:]), metrics={"bias": mean_error}
    )
    assert "validation_bias" in named[-1]
    assert "validation_r2" not in named[-1]


@pytest.mark.parametrize(
    ("sizes", "activation", "loss", "y", "right"),
    [
        ([2, 3], "softmax", "cross_entropy", [0, 1, 2, 1], lambda p, y: p.argmax(1) == y),
        ([2, 3], "identity", "cross_entropy", [0, 1, 2, 1], lambda p, y: p.argmax(1) == y),
        ([2, 3], "softmax", "cross_entropy", np.eye(3)[[0, 1, 2, 1]], None),
        ([2, 1], "sigmoid", "bce", [0, 1, 1, 0], lambda p, y: (p[:, 0] > 0.5) == y),
        ([2, 1], "identity", "bce_with_logits", [0, 1, 1, 0], lambda p, y: (p[:, 0] > 0) == y),
        ([2, 3], "identity", "bce_with_logits", np.eye(3)[[0, 1, 2, 1]], lambda p, y: (p > 0) == y),
        ([2, 3], "sigmoid", "bce", np.eye(3)[[0, 1, 2, 1]], lambda p, y: (p > 0.5) == y),
    ],
)
def test_accuracy_means_what_the_net_and_the_loss_mean(sizes, activation, loss, y, right):
    x = np.random.default_rng(0).standard_normal((4, 2))
    net = mlpcore.MLP(sizes, [activation], seed=0)
    y = np.asarray(y)
    history = net.fit(
        x, y, loss, mlpcore.SGD(1e-30), epochs=1, validation=(x, y), metrics=["accuracy"]
    )
    if right is None:
        expected = np.mean(net(x).argmax(1) == y.argmax(1))
    else:
        expected = np.mean(right(net(x), y))
    assert history[0]["validation_accuracy"] == expected


def test_r2_of_targets_that_are_all_equal():
    ones = np.ones((4, 1))
    assert metrics.r2(ones, ones) == 1.0
    assert metrics.r2(ones + 1, ones) == 0.0


def test_early_stopping_by_a_metric(monkeypatch):
    values = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    x, y = regression_data()
    net = make_net()
    kept = []
    rule = mlpcore.EarlyStopping(2, monitor="validation_good", maximize=True)
    history = net.fit(
        *(x, y, "mse", mlpcore.Adam(0.01)),
        epochs=5,
        validation=(x, y),
        metrics={"good": lambda y_hat, y: next(values)},
        early_stopping=rule,
        callbacks=[lambda state: kept.append(state.net.parameters.copy())],
    )
    assert len(history) == 4
    np.testing.assert_array_equal(net.parameters, kept[1])


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ("accuracy", TypeError, "metrics"),
        (None, TypeError, "metrics"),
        ([5], TypeError, "metrics"),
        (["accuracies"], ValueError, "metrics"),
        (["r2", "r2"], ValueError, "metrics"),
        ({"loss": mean_error}, ValueError, "metrics"),
        ({5: mean_error}, TypeError, "metrics"),
        ([lambda y_hat, y: y_hat], ValueError, "metric <lambda>"),
        ([lambda y_hat, y: "good"], TypeError, "metric <lambda>"),
    ],
)
def test_metrics_are_checked(chosen, error, message):
    x, y = regression_data()
    with pytest.raises(error, match=f"^{message}: expected .*got "):
        make_net().fit(x, y, "mse", mlpcore.SGD(), epochs=1, validation=(x, y), metrics=chosen)


def test_metrics_need_validation_rows():
    x, y = regression_data()
    with pytest.raises(ValueError, match=r"^metrics: expected validation"):
        make_net().fit(x, y, "mse", mlpcore.SGD(), epochs=1, metrics=["r2"])


def test_a_metric_cannot_change_the_targets():
    x, y = regression_data()

    def spoil(y_hat, y):
        y[:] = 0
        return 0.0

    with pytest.raises(ValueError, match="read-only"):
        make_net().fit(x, y, "mse", mlpcore.SGD(), epochs=1, validation=(x, y), metrics=[spoil])


@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize("loss", [losses.MSE, losses.CrossEntropy])
def test_the_validation_loss_of_many_pieces_is_that_of_all(monkeypatch, reduction, loss):
    monkeypatch.setattr(held_out, "PIECE_WORK", 1)
    x, y = regression_data(2500)
    y = np.abs(y)
    net = make_net()
    trainer = mlpcore.Trainer(net, loss(reduction=reduction), mlpcore.SGD(1e-9), seed=0)
    history = trainer.fit(x[:10], y[:10], epochs=1, validation=(x, y), metrics=["r2"])
    expected = net.value_and_grad(x, y, loss(reduction=reduction))[0]
    assert history[0]["validation_loss"] == pytest.approx(expected, rel=1e-6)
    assert history[0]["validation_r2"] == metrics.r2(net(x), y)


# ---- divergence ----------------------------------------------------------------------------------


def diverging(net, loss="mse", optimizer=None, **options):
    x, y = regression_data()
    trainer = mlpcore.Trainer(
        net, loss, optimizer or mlpcore.SGD(1e-3), batch_size=32, seed=0, **options
    )
    before = net.parameters.copy()
    with pytest.raises(FloatingPointError) as caught:
        trainer.fit(x, y, epochs=1)
    np.testing.assert_array_equal(net.parameters, before)
    return str(caught.value)


@pytest.mark.parametrize("loss", ["mse", by_hand])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_layer_of_a_pre_activation_is_named(loss, layer):
    net = mlpcore.MLP([3, 4, 4, 2], activations="identity", seed=0)
    net.biases[layer - 1][1] = 3e38
    net.weights[layer - 1][1] = 3e38 * np.sign(net.weights[layer - 1][1])
    with np.errstate(all="ignore"):
        message = diverging(net, loss)
    assert message.startswith(f"epoch 1, step 1: the pre-activation of layer {layer} is not finite")


def test_the_loss_is_named():
    def nan_loss(y_hat, y):
        return np.nan, np.zeros_like(y_hat)

    assert "step 1: the loss of what layer 2 gives is" in diverging(make_net(), nan_loss)


@pytest.mark.parametrize("layer", [1, 2])
def test_the_layer_of_a_gradient_is_named(layer):
    net = mlpcore.MLP([3, 4, 2], activations="identity", seed=0)
    if layer == 1:
        net.weights[1][:] = 1e30

    def steep(y_hat, y):
        return 0.0, np.full_like(y_hat, np.inf if layer == 2 else 1e20)

    with np.errstate(all="ignore"):
        assert f"step 1: the gradient of layer {layer} is" in diverging(net, steep)


@pytest.mark.parametrize("layer", [1, 2])
def test_the_layer_of_an_update_is_named(layer):
    net = mlpcore.MLP([3, 4, 2], activations="tanh", seed=0)

    def loss(y_hat, y):
        return 0.0, np.full_like(y_hat, 1e3 if layer == 2 else 0.0)

    if layer == 2:
        message = diverging(net, loss, mlpcore.SGD(1e38))
    else:
        net.weights[1][:] = 0.0  # nothing to decay there
        message = diverging(net, loss, mlpcore.SGD(1e10, weight_decay=1e30))
    assert f"step 1: the update of layer {layer} is" in message


def test_epoch_and_step_of_a_divergence():
    x, y = regression_data()
    calls = iter(range(5))

    def loss(y_hat, y):
        return np.nan if next(calls, None) is None else 1.0, np.zeros_like(y_hat)

    trainer = mlpcore.Trainer(make_net(), loss, mlpcore.SGD(1e-3), batch_size=32, seed=0)
    with pytest.raises(FloatingPointError, match=r"^epoch 2, step 3: the loss of what layer 2"):
        trainer.fit(x, y, epochs=3)
    assert trainer.n_epochs == 1
    assert trainer.optimizer.n_steps == 5


# ---- history -------------------------------------------------------------------------------------


def test_a_table_has_a_column_for_each_key(monkeypatch):
    made = {}

    class DataFrame:
        def __init__(self, rows, columns):
            made.update(rows=rows, columns=columns)

        def set_index(self, key):
            made["index"] = key
            return self

    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=DataFrame))
    rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "note": "x"}]
    assert isinstance(History(rows).to_pandas(), DataFrame)
    assert made == {"rows": rows, "columns": ["epoch", "loss", "note"], "index": "epoch"}


def test_a_table_without_pandas_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        History().to_pandas()


# ---- sample weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize("make", [mlpcore.SGD, mlpcore.Adam, mlpcore.RMSprop])
def test_whole_batches_weigh_a_row_like_its_copies(reduction, make):
    x, y = regression_data(40, np.float64)
    weight = np.random.default_rng(0).integers(0, 4, 40)
    weighted, repeated = make_net("float64"), make_net("float64")
    for net, data, sample_weight in (
        (weighted, (x, y), weight),
        (repeated, (np.repeat(x, weight, 0), np.repeat(y, weight, 0)), None),
    ):
        trainer = mlpcore.Trainer(net, losses.MSE(reduction=reduction), make(1e-3), batch_size=200)
        trainer.fit(*data, epochs=5, sample_weight=sample_weight)
    np.testing.assert_allclose(weighted.parameters, repeated.parameters, rtol=1e-8, atol=1e-12)


def test_mini_batches_weigh_a_row_like_its_copies_in_the_mean():
    """The first update, over many orders: of a sum, whose mean is that of all rows exactly."""
    x, y = regression_data(40, np.float64)
    weight = np.random.default_rng(0).integers(0, 4, 40).astype(np.float64)
    start = make_net("float64")
    loss = losses.MSE(reduction="sum")
    whole = start.value_and_grad(x, y, loss, sample_weight=weight)[1].flat
    updates, n_orders = [], 400
    for seed in range(n_orders):
        rows = _core.permutation(seed, 0, 40)[:8]
        net = start.copy()
        net.train_step(x[rows], y[rows], loss, mlpcore.SGD(1.0), sample_weight=weight[rows])
        updates.append((start.parameters - net.parameters) * 40 / 8)
    error = np.linalg.norm(np.mean(updates, axis=0) - whole)
    spread = np.sqrt(np.var(updates, axis=0).sum() / n_orders)
    assert error < 4 * spread
    assert error < 0.2 * np.linalg.norm(whole)


def test_a_mini_batch_is_divided_by_the_sum_of_its_weights():
    x, y = regression_data(40, np.float64)
    weight = np.linspace(0.5, 3.0, 40)
    net, scaled = make_net("float64"), make_net("float64")
    for twin, w in ((net, weight), (scaled, 8.0 * weight)):
        twin.fit(x, y, "mse", mlpcore.SGD(0.1), epochs=2, batch_size=8, sample_weight=w, seed=0)
    assert net == scaled  # a power of 2 changes no bit of a ratio
