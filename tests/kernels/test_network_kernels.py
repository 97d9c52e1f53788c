# SPDX-License-Identifier: BSD-3-Clause
"""The C core against the reference: every dtype, instruction set and thread count, at sizes around
every edge of the register tiles and of the chunks."""

import itertools

import numpy as np
import pytest
import tolerances
from tolerances import assert_close, on_isa
from twins import layers_of

import mlpcore
from mlpcore import _core, reference

ELEMENTWISE = [name for name in _core.ACTIVATIONS if name != "softmax"]
LOSSES = ["mse", "l1", "huber", "log_cosh", "quantile", "bce_with_logits", "poisson"]
CLASSES = {
    "mse": mlpcore.losses.MSE,
    "l1": mlpcore.losses.L1,
    "huber": mlpcore.losses.Huber,
    "log_cosh": mlpcore.losses.LogCosh,
    "quantile": mlpcore.losses.Quantile,
    "bce": mlpcore.losses.BCE,
    "bce_with_logits": mlpcore.losses.BCEWithLogits,
    "cross_entropy": mlpcore.losses.CrossEntropy,
    "poisson": mlpcore.losses.Poisson,
}

# Tiles are 14, 12, 6 or 4 rows, panels 32, 16, 8 or 4 columns, chunks 512 deep.
ROWS = [1, 2, 3, 5, 6, 7, 13, 14, 15, 27, 28, 29, 57]
COLUMNS = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]
DEPTHS = [1, 2, 511, 512, 513, 1024, 1025]


def check_net(net, x, y, loss, n_threads, **parameters):
    """Forward, loss and all gradients of one batch against the reference."""
    dtype = str(net.dtype)
    want_value, want = reference.value_and_grad(layers_of(net), x, y, loss, **parameters)
    kernel = mlpcore.losses.as_loss(net, loss)
    target = y if y.dtype == np.int64 else y.astype(dtype)
    flat, grad_x = np.empty_like(net.parameters), np.empty_like(x)
    value = net._value_and_grad(x, target, None, kernel, flat, grad_x, n_threads)
    output = net.forward(x, n_threads=n_threads)
    want_output = reference.forward(layers_of(net), x)
    assert_close(output, want_output, on_isa(tolerances.FORWARD, dtype), "output")
    assert value == pytest.approx(want_value, rel=on_isa(tolerances.LOSS, dtype) * 10)
    assert_close(flat, want.flat, on_isa(tolerances.GRADIENT, dtype), "parameters")
    assert_close(grad_x, want.inputs, on_isa(tolerances.GRADIENT, dtype), "inputs")


def batch(n_rows, n_inputs, n_outputs, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, n_inputs)).astype(dtype)
    return x, rng.normal(size=(n_rows, n_outputs)).astype(dtype)


@pytest.mark.parametrize("n_rows", ROWS)
def test_row_tile_edges(isa, dtype, n_rows):
    for n_inputs, n_outputs in itertools.product([1, 5, 33], COLUMNS):
        net = mlpcore.MLP([n_inputs, n_outputs], ["tanh"], dtype=dtype, seed=n_outputs)
        check_net(net, *batch(n_rows, n_inputs, n_outputs, dtype), "mse", 1)


@pytest.mark.parametrize("n_inner", DEPTHS)
def test_chunk_edges(isa, dtype, n_inner):
    for n_rows, n_outputs in itertools.product([1, 15, 150], [1, 33]):
        net = mlpcore.MLP([n_inner, n_outputs, n_inner], ["silu", "identity"], dtype=dtype, seed=1)
        check_net(net, *batch(n_rows, n_inner, n_inner, dtype), "mse", 1)


@pytest.mark.parametrize("n_rows", [511, 512, 513, 1023, 1024, 1025, 2500])
def test_block_edges_of_the_batch(isa, dtype, n_rows):
    net = mlpcore.MLP([5, 17, 3], ["relu", "identity"], dtype=dtype, seed=2)
    for n_threads in (1, 2, 3):
        check_net(net, *batch(n_rows, 5, 3, dtype), "mse", n_threads)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_work_that_is_split_over_threads(isa, dtype, n_threads):
    # Wide enough that even the smallest share is worth a thread.
    net = mlpcore.MLP([257, 300, 129], ["gelu", "identity"], dtype=dtype, seed=3)
    check_net(net, *batch(300, 257, 129, dtype), "huber", n_threads)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
def test_every_activation_with_every_loss(dtype, depth, reduction):
    rng = np.random.default_rng(depth)
    x = rng.normal(size=(23, 6)).astype(dtype)
    n_zero = n_compared = 0
    for hidden, last in itertools.product(ELEMENTWISE, [*ELEMENTWISE, "softmax"]):
        losses = LOSSES if last in ("identity", hidden) else ["mse", "huber"]
        losses = [*losses, "bce"] if last in ("sigmoid", "softmax") else losses
        losses = [*losses, "cross_entropy"] if last in ("identity", "softmax") else losses
        net = mlpcore.MLP(
            [6] + [9] * (depth - 1) + [5], [hidden] * (depth - 1) + [last], dtype=dtype, seed=depth
        )
        net.parameters[...] += (0.1 * rng.normal(size=net.parameters.shape)).astype(dtype)
        for name in losses:
            y = rng.normal(size=(23, 5)).astype(dtype)
            parameters = {}
            if name in ("bce", "bce_with_logits"):
                y = rng.uniform(size=(23, 5)).astype(dtype)
            elif name == "poisson":
                y = rng.poisson(2.0, size=(23, 5)).astype(dtype)
            elif name == "cross_entropy":
                y = rng.integers(0, 5, size=23)
                parameters = {"from_logits": last == "identity"}
            want_value, want = reference.value_and_grad(
                layers_of(net), x, y, name, reduction, **parameters
            )
            loss = CLASSES[name](reduction=reduction, **parameters)
            value, gradients = net.value_and_grad(x, y, loss)
            what = f"{hidden} {last} {name} {reduction} depth {depth}"
            assert value == pytest.approx(want_value, rel=tolerances.LOSS[dtype] * 10), what
            assert_close(gradients.flat, want.flat, tolerances.GRADIENT[dtype], what)
            assert_close(gradients.inputs, want.inputs, tolerances.GRADIENT[dtype], what)
            n_zero += np.count_nonzero(want.flat == 0)
            n_compared += want.flat.size
    assert n_zero < 0.15 * n_compared, "mostly zeros: the comparison would prove little"


@pytest.mark.parametrize("optimizer", ["SGD", "momentum", "nesterov", "Adam", "AdamW"])
def test_ten_updates_against_the_reference(isa, dtype, optimizer):
    x, y = batch(33, 7, 3, dtype)
    net = mlpcore.MLP([7, 11, 3], ["tanh", "identity"], dtype=dtype, seed=4)
    ours, step, options = {
        "SGD": (mlpcore.SGD(0.05, weight_decay=0.01), reference.sgd_step, {}),
        "momentum": (
            mlpcore.SGD(0.05, momentum=0.9, weight_decay=0.01),
            reference.sgd_step,
            {"momentum": 0.9},
        ),
        "nesterov": (
            mlpcore.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
            reference.sgd_step,
            {"momentum": 0.9, "nesterov": True},
        ),
        "Adam": (mlpcore.Adam(0.05, weight_decay=0.01), reference.adam_step, {}),
        "AdamW": (mlpcore.AdamW(0.05, weight_decay=0.01), reference.adamw_step, {}),
    }[optimizer]
    flat, state = net.parameters.astype(np.float64), {}
    for _ in range(10):
        layers = reference.layers_from_flat(flat, net.sizes, net.activations)
        _, gradients = reference.value_and_grad(layers, x, y, "mse")
        flat, state = step(
            flat, gradients.flat, state, learning_rate=0.05, weight_decay=0.01, **options
        )
        net.train_step(x, y, "mse", ours)
    assert_close(net.parameters, flat, tolerances.TRAINED[dtype], optimizer)
