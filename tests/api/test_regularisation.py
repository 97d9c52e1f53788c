# SPDX-License-Identifier: BSD-3-Clause
"""RMSprop's neighbours of the loss: dropout, l1, l2 and clip_norm, against the reference."""

import numpy as np
import pytest
import tolerances
from regression import regression_data
from tolerances import assert_close, on_isa
from twins import layers_of

import mlpcore
from mlpcore import _core, losses, reference

MSE = losses.MSE()


def by_hand(y_hat, y):
    return MSE(y_hat, y), MSE.gradient(y_hat, y)


def make_net(activation="tanh", dtype="float32", sizes=(3, 70, 9, 2), **options):
    return mlpcore.MLP(list(sizes), activations=activation, dtype=dtype, seed=0, **options)


def masks_of(net, rates, step, n_samples, seed=0):
    return [
        reference.dropout_mask(seed, step, l, n_samples, width, rate)
        for l, (width, rate) in enumerate(zip(net.sizes[1:-1], rates, strict=True))
    ]


# ---- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "identity"])
@pytest.mark.parametrize("loss", ["mse", by_hand])
def test_a_step_with_dropout_is_the_references(isa, dtype, activation, loss):
    x, y = regression_data(dtype=dtype)
    net = make_net(activation, dtype)
    trainer = mlpcore.Trainer(net, loss, mlpcore.SGD(0.1), dropout=(0.3, 0.5), seed=7)
    for step in range(3):
        masks = masks_of(net, (0.3, 0.5), step, len(x), seed=7)
        value, gradients = reference.value_and_grad(layers_of(net), x, y, "mse", masks=masks)
        expected = net.parameters - 0.1 * gradients.flat
        got = trainer.step(x, y)
        assert got == pytest.approx(value, rel=10 * on_isa(tolerances.LOSS, dtype))
        assert_close(net.parameters, expected, 10 * on_isa(tolerances.GRADIENT, dtype))


def test_the_bits_do_not_depend_on_threads_blocks_or_the_way(dtype):
    # More than one block of rows, of a net with work for several threads.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2500, 3)).astype(dtype), rng.normal(size=(2500, 2)).astype(dtype)
    nets = []
    for n_threads, loss in ((1, "mse"), (3, "mse"), (2, by_hand)):
        net = make_net("relu", dtype, sizes=(3, 130, 70, 2))
        options = {"dropout": 0.25, "seed": 1, "n_threads": n_threads, "batch_size": 2000}
        trainer = mlpcore.Trainer(net, loss, mlpcore.Adam(), **options)
        trainer.fit(x, y, epochs=2)
        nets.append(net)
    assert nets[0] == nets[1] == nets[2]
    by_steps = make_net("relu", dtype, sizes=(3, 130, 70, 2))
    trainer = mlpcore.Trainer(by_steps, "mse", mlpcore.Adam(), dropout=0.25, seed=1)
    for epoch in range(2):
        order = _core.permutation(1, epoch, 2500)
        for rows in (order[:2000], order[2000:]):
            trainer.step(x[rows], y[rows])
    assert by_steps == nets[0]


def test_every_instruction_set_drops_the_same_units():
    x, y = regression_data()
    kept = set()
    for isa in _core.available_isas():
        _core.select_isa(isa)
        # With weights of 1, the gradient of the last weight tells which outputs were left out.
        net = make_net("identity", sizes=(3, 200, 2), init="zeros", bias=True)
        net.biases[0][:] = 1.0
        mlpcore.Trainer(net, "mse", mlpcore.SGD(1.0), dropout=0.5, seed=3).step(x[:1], y[:1] + 5)
        kept.add((net.weights[1] != 0).tobytes())
    assert len(kept) == 1


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_and_mean_of_a_mask(rate):
    mask = reference.dropout_mask(5, 2**40, 3, 200, 333, rate)
    n = mask.size
    assert abs(np.mean(mask == 0.0) - rate) < 5 * np.sqrt(rate * (1 - rate) / n)
    assert set(np.unique(mask)) == {0.0, 1.0 / (1.0 - rate)}
    others = [(6, 2**40, 3), (5, 2**40 + 1, 3), (5, 2**40, 2), (5, 2**40 + 2**32, 3)]
    for seed, step, layer in others:
        other = reference.dropout_mask(seed, step, layer, 200, 333, rate)
        correlation = np.corrcoef(mask.ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(n)
    assert abs(np.corrcoef(mask[:, 0], mask[:, 1])[0, 1]) < 5 / np.sqrt(200)


def test_only_training_steps_leave_out_anything():
    x, y = regression_data()
    net = make_net()
    trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD(1e-30), dropout=0.5, seed=0)
    before = net(x)
    history = trainer.fit(x, y, epochs=1, validation=(x, y))
    np.testing.assert_array_equal(net(x), before)
    assert history[0]["validation_loss"] == net.value_and_grad(x, y, "mse")[0]
    assert history[0]["loss"] != history[0]["validation_loss"]


def test_without_a_rate_nothing_changes():
    x, y = regression_data()
    nets = []
    for dropout in (0.0, (0, 0)):
        net = make_net()
        net.fit(x, y, "mse", mlpcore.Adam(), epochs=2, dropout=dropout, seed=0)
        nets.append(net)
    plain = make_net()
    plain.fit(x, y, "mse", mlpcore.Adam(), epochs=2, seed=0)
    assert nets[0] == nets[1] == plain


@pytest.mark.parametrize(
    ("dropout", "error", "message"),
    [
        (1.0, ValueError, "dropout"),
        (-0.1, ValueError, "dropout"),
        ("half", TypeError, "dropout"),
        ((0.5,), ValueError, "dropout"),
        ((0.5, 2.0), ValueError, r"dropout\[1\]"),
        ((0.5, None), TypeError, r"dropout\[1\]"),
    ],
)
def test_rates_are_checked(dropout, error, message):
    with pytest.raises(error, match=f"^{message}: expected .*got "):
        mlpcore.Trainer(make_net(), "mse", mlpcore.SGD(), dropout=dropout)


# ---- l1, l2 and clip_norm ------------------------------------------------------------------------


def is_weight(net):
    flat = np.zeros(net.n_parameters, net.dtype)
    for weight, bias in zip(*mlpcore.topology.layer_views(flat, net.sizes, True), strict=True):
        weight[...], bias[...] = 1, 0
    return flat == 1


@pytest.mark.parametrize("sizes", [(3, 9, 2), (300, 400, 2)])  # in one piece, and in two
@pytest.mark.parametrize(
    "options",
    [
        {"l1": 0.1},
        {"l2": 0.1},
        {"clip_norm": 0.5},
        {"l1": 0.1, "clip_norm": 0.5},
        {"l1": 0.1, "l2": 0.2, "clip_norm": 0.5},
        {"clip_norm": 1e9},
        {"l1": 0.1, "clip_norm": 1e9},
    ],
)
def test_what_is_made_of_gradients_is_the_references(isa, dtype, sizes, options):
    net = make_net(dtype=dtype, sizes=sizes)
    net.weights[0][0, :2] = [0.0, -0.0]
    for bias in net.biases:  # which are 0 at first, and 0 has no penalty anyway
        bias[:] = np.linspace(-0.5, 0.5, len(bias))
    g = np.random.default_rng(0).standard_normal(net.n_parameters).astype(dtype)
    before, given = net.parameters.astype(np.float64), g.copy()
    adjusted = reference.adjusted_gradients(before, g, is_weight(net), **options)
    mlpcore.SGD(0.5, **options).step(net, g)
    assert_close(net.parameters, before - 0.5 * adjusted, tolerances.GRADIENT[dtype])
    np.testing.assert_array_equal(g, given)


@pytest.mark.parametrize("make", [mlpcore.SGD, mlpcore.Adam, mlpcore.AdamW, mlpcore.RMSprop])
@pytest.mark.parametrize("loss", ["mse", by_hand])
def test_train_step_is_the_gradient_then_the_step(make, loss, dtype):
    x, y = regression_data(dtype=dtype)
    apart, at_once = make_net(dtype=dtype), make_net(dtype=dtype)
    first, second = (make(0.01, l1=1e-3, l2=1e-2, clip_norm=0.1) for _ in range(2))
    for _ in range(3):
        first.step(apart, apart.backward(apart.trace(x), loss, y))
        at_once.train_step(x, y, loss, second)
        assert apart == at_once


def test_threads_do_not_change_the_norm(dtype):
    nets = []
    for n_threads in (1, 3):
        _core.set_default_n_threads(n_threads)
        net = make_net(dtype=dtype, sizes=(700, 800, 2))
        g = np.random.default_rng(0).standard_normal(net.n_parameters).astype(dtype)
        mlpcore.SGD(1.0, clip_norm=0.7, l1=1e-3, l2=1e-2).step(net, g)
        nets.append(net)
    assert nets[0] == nets[1]


def test_the_norm_is_that_of_all_gradients_together():
    net = mlpcore.MLP([1, 1, 1], init="zeros", dtype="float64")
    mlpcore.SGD(1.0, clip_norm=1.0).step(net, [3.0, 0.0, 0.0, -4.0])
    np.testing.assert_allclose(net.parameters, [-0.6, 0.0, 0.0, 0.8], rtol=1e-15)
    mlpcore.SGD(1.0, clip_norm=5.0).step(net, [3.0, 0.0, 0.0, -4.0])
    np.testing.assert_allclose(net.parameters, [-3.6, 0.0, 0.0, 4.8], rtol=1e-15)


def test_a_norm_that_is_not_finite_is_no_update():
    net = mlpcore.MLP([1, 1], init="zeros", dtype="float64")
    with pytest.raises(FloatingPointError, match="not"):
        mlpcore.SGD(1.0, clip_norm=1.0).step(net, [1e200, 1.0])
    assert not net.parameters.any()


def test_l1_makes_weights_smaller_and_spares_biases():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 10)).astype(np.float32)
    y = x[:, :1] + 3.0
    nets = []
    for l1 in (0.0, 0.05):
        net = mlpcore.MLP([10, 1], seed=0)
        net.fit(x, y, "mse", mlpcore.Adam(0.02, l1=l1), epochs=40, seed=0)
        nets.append(net)
    plain, sparse = nets
    assert np.abs(sparse.weights[0][0, 1:]).max() < 0.02
    # The penalty of sum |w| with mse: the weight ends l1 / 2 lower, the bias where it was.
    assert sparse.weights[0][0, 0] == pytest.approx(1.0 - 0.025, abs=0.01)
    assert sparse.biases[0][0] == pytest.approx(3.0, abs=0.01)
    assert plain.weights[0][0, 0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"l1": -1.0}, ValueError, "l1"),
        ({"l1": None}, TypeError, "l1"),
        ({"l2": -1.0}, ValueError, "l2"),
        ({"l2": "1"}, TypeError, "l2"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm"),
        ({"clip_norm": "1"}, TypeError, "clip_norm"),
    ],
)
@pytest.mark.parametrize("make", [mlpcore.SGD, mlpcore.Adam, mlpcore.AdamW, mlpcore.RMSprop])
def test_penalty_and_norm_are_checked(make, options, error, message):
    with pytest.raises(error, match=f"^{message}: expected .*got "):
        make(**options)


def test_all_may_be_set_at_any_time():
    adam = mlpcore.Adam()
    assert (adam.l1, adam.l2, adam.clip_norm) == (0.0, 0.0, None)
    adam.l1, adam.l2, adam.clip_norm = 1, 2, 2.5
    assert (adam.l1, adam.l2, adam.clip_norm) == (1.0, 2.0, 2.5)
    adam.clip_norm = None
    assert adam.clip_norm is None
