# SPDX-License-Identifier: BSD-3-Clause
"""Rows keep their place when a batch is cut: strips, blocks, gathered and sliced mini-batches."""

import numpy as np
import pytest
import tolerances
from tolerances import assert_close
from twins import layers_of

import mlpcore
from mlpcore import _core, reference


def make(dtype, last, n_rows):
    # 1366 weights and more than one block: enough work for two threads in every block.
    rng = np.random.default_rng(n_rows)
    net = mlpcore.MLP([20, 70, 4], ["tanh", last], dtype=dtype, seed=0)
    x = rng.normal(size=(n_rows, 20)).astype(dtype)
    # Targets and weights that depend on the row: a row in the wrong place is a wrong number.
    classes = rng.integers(0, 4, n_rows)
    return net, x, classes, np.eye(4, dtype=dtype)[classes], rng.uniform(0, 2, n_rows).astype(dtype)


@pytest.mark.parametrize("n_rows", [300, 1100, 2100])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("as_classes", [True, False])
def test_weights_and_targets_stay_with_their_rows(dtype, n_rows, n_threads, as_classes):
    net, x, classes, one_hot, weight = make(dtype, "softmax", n_rows)
    _core.set_default_n_threads(n_threads)
    y = classes if as_classes else one_hot
    value, gradients = net.value_and_grad(x, y, "cross_entropy", sample_weight=weight)
    want_value, want = reference.value_and_grad(
        layers_of(net), x, y, "cross_entropy", sample_weight=weight, from_logits=False
    )
    assert value == pytest.approx(want_value, rel=10 * tolerances.LOSS[dtype])
    assert_close(gradients.flat, want.flat, tolerances.GRADIENT[dtype])
    assert_close(gradients.inputs, want.inputs, tolerances.GRADIENT[dtype])


# Rows of 256 floats are laid further apart than rows of 257.
@pytest.mark.parametrize("sizes", [(2, 256, 257, 3), (256, 257, 3), (2, 128, 129, 128, 3)])
@pytest.mark.parametrize("n_rows", [1, 40, 300])
def test_a_strip_has_room_for_the_layer_whose_rows_lie_furthest_apart(dtype, sizes, n_rows):
    net = mlpcore.MLP(list(sizes), "tanh", dtype=dtype, seed=0)
    x = np.random.default_rng(0).normal(size=(n_rows, sizes[0])).astype(dtype)
    want = reference.trace(layers_of(net), x)[-1].output
    assert_close(net(x), want, tolerances.FORWARD[dtype])


@pytest.mark.parametrize("last", ["identity", "softmax"])
def test_records_beyond_the_first_block(dtype, last):
    net, x, _, one_hot, weight = make(dtype, last, 2100)
    loss = mlpcore.losses.as_loss(net, "cross_entropy" if last == "softmax" else "mse")
    trace = net.trace(x)
    want = reference.trace(layers_of(net), x)
    for layer, reference_layer in zip(trace.layers, want, strict=True):
        for name in ("input", "pre_activation", "output"):
            assert_close(
                getattr(layer, name), getattr(reference_layer, name), tolerances.FORWARD[dtype]
            )
    value, gradients = net.value_and_grad(x, one_hot, loss, sample_weight=weight)
    stepwise = net.backward(trace, loss, one_hot, sample_weight=weight)
    assert np.array_equal(stepwise.flat, gradients.flat)
    assert np.array_equal(stepwise.inputs, gradients.inputs)
    assert np.isfinite(value)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("as_classes", [True, False])
def test_an_epoch_is_its_mini_batches(dtype, shuffle, as_classes):
    net, x, classes, one_hot, weight = make(dtype, "softmax", 103)
    y = classes if as_classes else one_hot
    kernel = mlpcore.losses.as_loss(net, "cross_entropy")
    by_hand = net.copy()
    order = _core.permutation(3, 1, 103) if shuffle else None
    fused, apart = mlpcore.Adam(1e-2), mlpcore.Adam(1e-2)
    status, total, n_steps = net._train_epoch(x, y, weight, order, 20, kernel, fused, 1)
    assert (status, n_steps) == (_core.OK, 6)
    rows = np.arange(103) if order is None else order
    values = []
    for start in range(0, 103, 20):
        part = rows[start : start + 20]
        value = by_hand.train_step(x[part], y[part], kernel, apart, sample_weight=weight[part])
        values.append(value * (len(part) / 103))
    assert np.array_equal(net.parameters, by_hand.parameters)
    assert total == pytest.approx(sum(values), rel=1e-14)


# Rows of 4 to 160 bytes: short ones are copied otherwise than long ones.
@pytest.mark.parametrize("n_columns", [*range(1, 18), 20])
def test_rows_of_any_length_are_gathered_whole(dtype, n_columns):
    rng = np.random.default_rng(n_columns)
    net = mlpcore.MLP([n_columns, n_columns], dtype=dtype, seed=0)
    in_order = net.copy()
    x, y = rng.normal(size=(2, 31, n_columns)).astype(dtype)
    order = _core.permutation(1, 2, 31)
    kernel = mlpcore.losses.as_loss(net, "mse")
    got = net._train_epoch(x, y, None, order, 8, kernel, mlpcore.SGD(0.1), 1)
    want = in_order._train_epoch(x[order], y[order], None, None, 8, kernel, mlpcore.SGD(0.1), 1)
    assert got == want
    assert np.array_equal(net.parameters, in_order.parameters)


@pytest.mark.parametrize("batch_size", [700, 1500])
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("as_classes", [True, False])
def test_every_strip_of_every_block_gathers_its_own_rows(dtype, batch_size, n_threads, as_classes):
    net, x, classes, one_hot, weight = make(dtype, "softmax", 2000)
    in_order = net.copy()
    y = classes if as_classes else one_hot
    order = _core.permutation(1, 2, 2000)
    kernel = mlpcore.losses.as_loss(net, "cross_entropy")
    rest = batch_size, kernel
    got = net._train_epoch(x, y, weight, order, *rest, mlpcore.Adam(), n_threads)
    want = in_order._train_epoch(
        x[order], y[order], weight[order], None, *rest, mlpcore.Adam(), n_threads
    )
    assert got == want
    assert got[0] == _core.OK
    assert np.array_equal(net.parameters, in_order.parameters)


def test_a_row_of_weight_zero_does_not_count(dtype):
    net = mlpcore.MLP([2, 3, 2], ["tanh", "identity"], dtype=dtype, seed=0)
    x, y = np.ones((3, 2), dtype), np.ones((3, 2), dtype)
    y[1] = np.inf
    value, gradients = net.value_and_grad(x, y, "mse", sample_weight=[1, 0, 1])
    kept, same = net.value_and_grad(x[[0, 2]], y[[0, 2]], "mse")
    assert value == pytest.approx(kept)
    assert_close(gradients.flat, same.flat, tolerances.GRADIENT[dtype])


# Widths whose rows would share cache sets are laid out with a gap (256 floats, 128 doubles), an
# inner dimension beyond 2048 goes in sweeps, weights of more than 256 columns are copied by panels.
WIDE_SHAPES = {
    "all_layers_spread": (256, 512, 256),
    "sweeps_forward_and_back": (2100, 2050, 3),
    "copied_panels_with_a_fringe": (40, 300, 270),
}


@pytest.mark.parametrize("n_rows", [3, 29, 70])
@pytest.mark.parametrize("shape", WIDE_SHAPES)
def test_wide_layers(dtype, shape, n_rows):
    sizes = WIDE_SHAPES[shape]
    rng = np.random.default_rng(n_rows)
    net = mlpcore.MLP(list(sizes), ["tanh", "sigmoid"], dtype=dtype, seed=0)
    x = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    y = rng.normal(size=(n_rows, sizes[-1])).astype(dtype)
    assert_close(net(x), reference.forward(layers_of(net), x), tolerances.FORWARD[dtype])
    value, gradients = net.value_and_grad(x, y, "mse")
    want_value, want = reference.value_and_grad(layers_of(net), x, y, "mse")
    assert value == pytest.approx(want_value, rel=10 * tolerances.LOSS[dtype])
    assert_close(gradients.flat, want.flat, tolerances.GRADIENT[dtype])
    assert_close(gradients.inputs, want.inputs, tolerances.GRADIENT[dtype])
    stepwise = net.backward(net.trace(x), mlpcore.losses.as_loss(net, "mse"), y)
    assert np.array_equal(stepwise.flat, gradients.flat)
    assert np.array_equal(stepwise.inputs, gradients.inputs)
    # A row has the same bits alone as in its batch.
    assert np.array_equal(net(x[:1]), net(x)[:1])


@pytest.mark.parametrize("n_rows", [1, 40, 1100])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd_in_passing_is_the_gradient_then_the_step(isa, dtype, n_rows, weight_decay):
    # Plain SGD updates a weight while its gradient is in registers; narrow layers and wide ones.
    rng = np.random.default_rng(0)
    net = mlpcore.MLP([70, 33, 2], ["relu", "identity"], dtype=dtype, seed=0)
    apart = net.copy()
    x = rng.normal(size=(n_rows, 70)).astype(dtype)
    y = rng.normal(size=(n_rows, 2)).astype(dtype)
    value = net.train_step(x, y, "mse", mlpcore.SGD(0.1, weight_decay=weight_decay))
    want, gradients = apart.value_and_grad(x, y, "mse")
    mlpcore.SGD(0.1, weight_decay=weight_decay).step(apart, gradients)
    assert value == want
    assert value != apart.value_and_grad(x, y, "mse")[0]  # it moved
    assert np.array_equal(net.parameters, apart.parameters)


@pytest.mark.parametrize("n_rows", [3, 40, 1100])
@pytest.mark.parametrize("overflows", ["weight", "bias", "loss"])
def test_sgd_in_passing_is_undone(isa, dtype, n_rows, overflows):
    rng = np.random.default_rng(0)
    net = mlpcore.MLP(
        [20, 70, 2], ["tanh", "identity"], dtype=dtype, seed=0, bias=overflows != "weight"
    )
    x = rng.normal(size=(n_rows, 20)).astype(dtype)
    y = rng.normal(size=(n_rows, 2)).astype(dtype)
    root = np.sqrt(np.finfo(dtype).max)
    learning_rate = 0.1
    if overflows == "loss":
        y[-1, -1] = 10 * root
    else:
        y[0, 1] = root / 10  # its square is finite
        learning_rate = float(10 * root)
    if overflows == "bias":
        # One bias of the last layer: every other gradient is 0 or small.
        x[:] = 0
        net.weights[1][1] = 0
    before = net.parameters.copy()
    optimizer = mlpcore.SGD(learning_rate)
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, mlpcore.losses.MSE(reduction="sum"), optimizer)
    assert np.array_equal(net.parameters, before)
    assert optimizer.n_steps == 0


# So many parameters and so few rows that a step looks whether it is sure to be finite, and then
# keeps no way back.
SURE_SIZES = [70, 80, 2]


@pytest.mark.parametrize("n_rows", [1, 3, 7])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_step_without_a_way_back_is_the_same(isa, dtype, n_rows, n_threads):
    rng = np.random.default_rng(0)
    net = mlpcore.MLP(SURE_SIZES, ["relu", "identity"], dtype=dtype, seed=0)
    apart = net.copy()
    x = rng.normal(size=(n_rows, 70)).astype(dtype)
    y = rng.normal(size=(n_rows, 2)).astype(dtype)
    _core.set_default_n_threads(n_threads)
    net.train_step(x, y, "mse", mlpcore.SGD(0.1, weight_decay=0.1))
    _, gradients = apart.value_and_grad(x, y, "mse")
    mlpcore.SGD(0.1, weight_decay=0.1).step(apart, gradients)
    assert np.array_equal(net.parameters, apart.parameters)


@pytest.mark.parametrize("n_rows", [1, 7])
@pytest.mark.parametrize("what", ["weight", "bias", "step", "loss"])
def test_a_step_that_is_not_sure_is_undone(isa, dtype, n_rows, what):
    rng = np.random.default_rng(0)
    net = mlpcore.MLP(SURE_SIZES, ["relu", "identity"], dtype=dtype, seed=0)
    x = rng.uniform(0.1, 1, (n_rows, 70)).astype(dtype)
    y = rng.normal(size=(n_rows, 2)).astype(dtype)
    root = np.sqrt(np.finfo(dtype).max)
    learning_rate = 0.1
    if what == "weight":  # the loss is finite all the same: ReLU makes 0 of -inf
        net.weights[0][3, 5] = -np.inf
    elif what == "bias":
        net.biases[0][3] = -np.inf
    elif what == "step":
        y[0, 1] = root / 10
        learning_rate = float(10 * root)
    else:
        y[-1, -1] = 10 * root
    before = net.parameters.copy()
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, mlpcore.losses.MSE(reduction="sum"), mlpcore.SGD(learning_rate))
    assert np.array_equal(net.parameters, before)
