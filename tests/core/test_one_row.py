# SPDX-License-Identifier: BSD-3-Clause
"""One row takes ways of its own, and its steps keep no books; none of that changes a bit."""

import signal
import threading

import numpy as np
import pytest

import mlpcore
from mlpcore import _core

# Around a register of 4 to 16 numbers, two and four of them, and what is too short to be turned.
WIDTHS = [*range(1, 10), 12, 13, 15, 16, 17, 20, 31, 33, 48, 50, 63, 64, 65]

# The last three: from 4096 parameters on a step is bounded before it is made; a chunk of inputs has
# ended before the last of them.
SIZES = [
    [1, 1],
    [3, 2],
    [2, 20, 5],
    [4, 8, 8, 3],
    [5, 9, 1],
    [10, 17, 12, 7, 2],
    [33, 50, 10],
    [6, 130, 2],
    [32, 64, 64, 1],
    [70, 80, 6],
    [600, 9, 4],
]
LOSSES = {"mse": "identity", "bce": "sigmoid", "cross_entropy": "softmax", "huber": "tanh"}
CASES = [(s, loss) for s in SIZES for loss in LOSSES if (loss, s[-1]) != ("cross_entropy", 1)]


def data_of(sizes, n_rows, dtype):
    rng = np.random.default_rng(n_rows)
    x = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    y = rng.uniform(size=(n_rows, sizes[-1])).astype(dtype)
    return x, y, rng.uniform(0.5, 2.0, n_rows).astype(dtype)


def net_of(sizes, last, dtype, *, bias=True):
    hidden = ["relu", "tanh", "identity"]
    net = mlpcore.MLP(sizes, [*hidden[: len(sizes) - 2], last], dtype=dtype, seed=1, bias=bias)
    if bias:
        for b in net.biases:
            b[:] = 0.1 * np.random.default_rng(0).normal(size=b.shape)
    return net


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_forward_and_back_a_row_has_the_bits_of_a_batch(isa, dtype, activation):
    loss = mlpcore.losses.MSE(reduction="sum")
    for n_inputs in (1, 6, 19, 70, 520):  # the last of them is more than a chunk
        for n_outputs in WIDTHS:
            sizes = [3, n_inputs, n_outputs]
            net = mlpcore.MLP(sizes, [activation, "identity"], dtype=dtype, seed=n_outputs)
            x, y, _ = data_of(sizes, 40, dtype)
            _, together = net.value_and_grad(x, y, loss)
            want = net.trace(x)
            for i in range(3):
                _, alone = net.value_and_grad(x[i : i + 1], y[i : i + 1], loss)
                assert alone.inputs.tobytes() == together.inputs[i].tobytes()
                for layer, one in zip(want.layers, net.trace(x[i : i + 1]).layers, strict=True):
                    assert one.output.tobytes() == layer.output[i].tobytes()


@pytest.mark.parametrize(("sizes", "loss"), CASES, ids=str)
@pytest.mark.parametrize("way", ["plain", "without bias", "weighted", "decayed"])
def test_an_epoch_of_rows_is_each_gradient_and_then_the_step(isa, dtype, sizes, loss, way):
    net = net_of(sizes, LOSSES[loss], dtype, bias=way != "without bias")
    x, y, sample_weight = data_of(sizes, 7, dtype)
    if loss == "cross_entropy":
        y = y.argmax(axis=1)
    weight = sample_weight if way == "weighted" else None
    kernel = mlpcore.losses.as_loss(net, loss)
    rules = [mlpcore.SGD(0.1, weight_decay=0.01 if way == "decayed" else 0.0) for _ in range(3)]
    apart, single = net.copy(), net.copy()
    order = _core.permutation(3, 1, 7)
    before = net.parameters.copy()
    status, total, n_steps = net._train_epoch(x, y, weight, order, 1, kernel, rules[0], 1)
    assert (status, n_steps) == (_core.OK, 7)
    values = []
    for i in order:
        row = np.s_[i : i + 1]
        part = {} if weight is None else {"sample_weight": weight[row]}
        value, gradients = apart.value_and_grad(x[row], y[row], kernel, **part)
        rules[1].step(apart, gradients)
        assert single.train_step(x[row], y[row], kernel, rules[2], **part) == value
        values.append(value / 7)
    assert net.parameters.tobytes() == apart.parameters.tobytes()
    assert net.parameters.tobytes() == single.parameters.tobytes()
    assert total == pytest.approx(sum(values), rel=1e-13)
    assert [rule.n_steps for rule in rules] == [7, 7, 7]
    assert np.mean(net.parameters != before) > 0.5


@pytest.mark.parametrize("sizes", [[3, 20, 5], [3, 40, 60, 40, 2]], ids=str)
@pytest.mark.parametrize("overflows", ["first weight", "last bias", "loss"])
def test_a_row_whose_update_is_not_finite_ends_the_epoch_before_it(isa, dtype, sizes, overflows):
    net = net_of(sizes, "identity", dtype)
    x, y, weight = data_of(sizes, 5, dtype)
    huge = float(np.finfo(dtype).max)
    weight[:3] = 1e-6  # the steps before it hardly move the net
    if overflows == "first weight":  # no output does: its weights are small, and stay so
        x[:3, 0], x[3, 0] = 0, huge / 100
        net.weights[0][:, 0] = 100 / huge
    elif overflows == "last bias":  # no loss does: it is summed in double, or below
        weight[3] = huge / 100
    else:
        y[3] = np.inf
    apart = net.copy()
    loss = mlpcore.losses.as_loss(net, mlpcore.losses.L1(reduction="sum"))
    rule, other = mlpcore.SGD(1e3), mlpcore.SGD(1e3)
    status, _, n_steps = net._train_epoch(x, y, weight, None, 1, loss, rule, 1)
    parts = [(x[i : i + 1], y[i : i + 1], weight[i : i + 1]) for i in range(4)]
    for x_row, y_row, row_weight in parts[:3]:
        apart.train_step(x_row, y_row, loss, other, sample_weight=row_weight)
    assert status == _core.NOT_FINITE
    assert n_steps == rule.n_steps == 3
    assert net.parameters.tobytes() == apart.parameters.tobytes()
    x_row, y_row, row_weight = parts[3]
    value, _ = apart.value_and_grad(x_row, y_row, loss, sample_weight=row_weight)
    assert np.isfinite(value) == (overflows != "loss")
    with pytest.raises(FloatingPointError):
        apart.train_step(x_row, y_row, loss, other, sample_weight=row_weight)
    assert other.n_steps == 3
    assert net.parameters.tobytes() == apart.parameters.tobytes()


@pytest.mark.parametrize("sizes", [[3, 20, 5], [5, 64, 64, 1]], ids=str)
def test_a_row_drops_units_as_a_batch(dtype, sizes):
    x, y, _ = data_of(sizes, 7, dtype)
    # A longest gradient that no gradient reaches: no longer plain SGD, which goes its own way.
    nets = []
    for clip_norm, rate in ((None, 0.5), (1e30, 0.5), (None, 0.0)):
        nets.append(net_of(sizes, "identity", dtype))
        rule = mlpcore.SGD(0.1, clip_norm=clip_norm)
        trainer = mlpcore.Trainer(nets[-1], "mse", rule, 1, dropout=rate, seed=0)
        trainer.fit(x, y, epochs=1)
    assert nets[0] == nets[1]
    assert nets[0] != nets[2]


@pytest.mark.parametrize("sizes", [[300, 16, 1], [150, 30, 1]], ids=str)
@pytest.mark.parametrize("unit", [0, -1])
def test_a_sum_of_any_column_is_in_the_bound_of_a_row(isa, dtype, sizes, unit):
    """The gradient of one weight overflows: large by large, in a net of small inputs."""
    large = 16 * np.sqrt(np.finfo(dtype).max)
    net = mlpcore.MLP(sizes, ["relu", "identity"], dtype=dtype, init="zeros")
    net.weights[0][unit, 0] = large
    before = net.parameters.copy()
    x, y = np.zeros((1, sizes[0]), dtype), np.ones((1, 1), dtype)
    x[0, 0] = 1
    loss, rule = mlpcore.losses.L1(reduction="sum"), mlpcore.SGD(1.0)
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, loss, rule, sample_weight=[large])
    assert rule.n_steps == 0
    assert net.parameters.tobytes() == before.tobytes()


@pytest.mark.parametrize("sizes", [[2, 2, 1], [1, 64, 64, 1]], ids=str)
@pytest.mark.parametrize("setting", ["l1", "l2", "clip_norm"])
def test_a_setting_that_changes_within_an_epoch_holds_from_the_next_row_on(sizes, setting):
    x = np.random.default_rng(0).normal(size=(3_000_000, sizes[0])).astype("float32")
    y = x[:, :1].copy()
    net = net_of(sizes, "identity", "float32")
    twin = net.copy()
    loss = mlpcore.losses.as_loss(net, "mse")
    rule, other = mlpcore.SGD(1e-3), mlpcore.SGD(1e-3)
    n_steps, timers = [], []

    def interrupt_later():
        timers.append(threading.Timer(0.05, signal.raise_signal, [signal.SIGINT]))
        timers[-1].start()

    def handler(*_):
        n_steps.append(rule.n_steps)
        if len(n_steps) == 2:
            raise KeyboardInterrupt
        setattr(rule, setting, 0.1)
        interrupt_later()

    previous = signal.signal(signal.SIGINT, handler)
    try:
        interrupt_later()
        with pytest.raises(KeyboardInterrupt):
            net._train_epoch(x, y, None, None, 1, loss, rule, 1)
    finally:
        for timer in timers:
            timer.join()
        signal.signal(signal.SIGINT, previous)
    first, last = n_steps
    assert 0 < first < last == rule.n_steps < len(x)
    twin._train_epoch(x[:first], y[:first], None, None, 1, loss, other, 1)
    assert net.parameters.tobytes() != twin.parameters.tobytes()
    setattr(other, setting, 0.1)
    twin._train_epoch(x[first:last], y[first:last], None, None, 1, loss, other, 1)
    assert net.parameters.tobytes() == twin.parameters.tobytes()
