# SPDX-License-Identifier: BSD-3-Clause
"""The arithmetic contract: the same bits for any number of threads, any split of the batch,
stepwise or fused, and on every instruction set that has a fused multiply-add."""

import hashlib

import numpy as np
import pytest

import mlpcore
from mlpcore import _core

FUSED_ISAS = [name for name in _core.available_isas() if name != "generic"]

# sizes, activations, loss, rows: odd shapes, every chunk and block edge, both fused pairs.
CASES = {
    "seed": ([2, 20, 5], ["relu", "identity"], "mse", 32),
    "odd": ([7, 33, 65, 3], ["tanh", "gelu", "softmax"], "cross_entropy", 151),
    "sigmoids": ([30, 16, 1], ["sigmoid", "sigmoid"], "bce", 569),
    "deep": ([5] + [19] * 9 + [2], ["silu"] * 9 + ["softplus"], "huber", 77),
    "wide": ([600, 530, 3], ["elu", "identity"], "log_cosh", 70),
    "tall": ([3, 40, 2], ["leaky_relu", "identity"], "mse", 2600),
    "blocks": ([40, 60, 3], ["tanh", "softmax"], "cross_entropy", 2100),
    "threads": ([257, 300, 129], ["relu", "sigmoid"], "l1", 333),
}


def make(case, dtype):
    sizes, activations, loss, n_rows = CASES[case]
    rng = np.random.default_rng(len(case))
    net = mlpcore.MLP(sizes, activations, dtype=dtype, seed=1)
    x = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    y = rng.uniform(size=(n_rows, sizes[-1])).astype(dtype)
    if loss == "cross_entropy":
        y = rng.integers(0, sizes[-1], n_rows)
    return net, x, y, loss


def bits(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def everything(case, dtype, n_threads):
    """Hashes of forward, loss and gradients, and three epochs of training."""
    net, x, y, loss = make(case, dtype)
    _core.set_default_n_threads(n_threads)
    forward = bits(net(x))
    value, gradients = net.value_and_grad(x, y, loss)
    gradient = bits(np.float64(value), gradients.flat, gradients.inputs)
    net.fit(x, y, loss=loss, optimizer=mlpcore.Adam(1e-3), epochs=3, batch_size=48, seed=5)
    return forward, gradient, bits(net.parameters)


@pytest.mark.parametrize("case", CASES)
def test_same_bits_for_any_number_of_threads(dtype, case):
    one = everything(case, dtype, 1)
    for n_threads in (2, 3, 4, 5, 8):
        assert everything(case, dtype, n_threads) == one, n_threads


@pytest.mark.skipif(len(FUSED_ISAS) < 2, reason="this machine has one instruction set with FMA")
@pytest.mark.parametrize("case", CASES)
def test_same_bits_on_every_instruction_set(dtype, case):
    got = {}
    for name in FUSED_ISAS:
        _core.select_isa(name)
        got[name] = everything(case, dtype, 2)
    assert len(set(got.values())) == 1, got


@pytest.mark.parametrize("case", CASES)
def test_a_row_does_not_know_its_batch(isa, dtype, case):
    net, x, _, _ = make(case, dtype)
    whole = net(x)
    gradients = net.vjp(x, np.ones_like(whole))
    for start, stop in ((0, 1), (1, 3), (3, 17), (17, 46), (46, 70)):
        assert np.array_equal(net(x[start:stop]), whole[start:stop])
        part = net.vjp(x[start:stop], np.ones_like(whole[start:stop]))
        assert np.array_equal(part.inputs, gradients.inputs[start:stop])
    for i in (0, len(x) // 2, len(x) - 1):
        assert np.array_equal(net(x[i]), whole[i])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rule", [mlpcore.SGD, mlpcore.Adam])
def test_stepwise_is_fused(isa, dtype, case, rule):
    fused, x, y, loss = make(case, dtype)
    stepwise = fused.copy()
    kernel = mlpcore.losses.as_loss(fused, loss)
    a, b = rule(0.01), rule(0.01)
    for _ in range(3):
        value = fused.train_step(x, y, loss, a)
        trace = stepwise.trace(x)
        assert kernel(trace, y) == value
        grads = stepwise.backward(trace, kernel, y)
        b.step(stepwise, grads)
    assert np.array_equal(fused.parameters, stepwise.parameters)


@pytest.mark.parametrize("case", CASES)
def test_from_a_bare_cotangent(isa, dtype, case):
    net, x, y, loss = make(case, dtype)
    kernel = mlpcore.losses.as_loss(net, loss)
    trace = net.trace(x)
    from_loss = net.backward(trace, kernel, y)
    from_cotangent = net.backward(trace, kernel.gradient(trace.output, y))
    if (net.activations[-1], loss) in (("sigmoid", "bce"), ("softmax", "cross_entropy")):
        scale = np.abs(from_loss.flat).max()
        limit = {"float32": 1e-5, "float64": 1e-12}[dtype]
        assert np.abs(from_cotangent.flat - from_loss.flat).max() <= limit * scale
    else:
        assert np.array_equal(from_cotangent.flat, from_loss.flat)
        assert np.array_equal(from_cotangent.inputs, from_loss.inputs)


def test_no_call_changes_the_floating_point_state(isa, dtype):
    before = _core.floating_point_state()
    for case in CASES:
        everything(case, dtype, 2)
    assert _core.floating_point_state() == before


def test_subnormal_numbers_are_kept(isa):
    net = mlpcore.MLP([1, 1], ["identity"], dtype="float32", init="zeros")
    net.weights[0][...] = 1.0
    tiny = np.float32(2.0**-149)
    assert net(np.array([[tiny]], np.float32))[0, 0] == tiny


@pytest.mark.parametrize("n_classes", [1, 2, 5, 8, 9, 16, 17])
def test_classes_side_by_side_have_the_bits_of_one_row_after_the_other(isa, dtype, n_classes):
    rng = np.random.default_rng(n_classes)
    logits = (4.0 * rng.normal(size=(37, n_classes))).astype(dtype)
    logits[3] = logits[4] = logits[3, 0]  # all tied
    logits[5, -1] = 90.0  # saturated
    logits[6, 0] = -np.inf
    logits[7, 0], logits[8, 0] = np.inf, np.nan
    labels = rng.integers(0, n_classes, size=37)
    weight = rng.uniform(0.5, 2.0, size=37).astype(dtype)
    loss = mlpcore.losses.CrossEntropy(reduction="sum")
    gradient = loss.gradient(logits, labels, weight)
    values = [loss(row, label) for row, label in zip(logits[:, None], labels[:, None], strict=True)]
    alone = [
        loss.gradient(*row)
        for row in zip(logits[:, None], labels[:, None], weight[:, None], strict=True)
    ]
    np.testing.assert_array_equal(gradient, np.concatenate(alone))
    assert np.isnan(values).any() == np.isnan(gradient).any()
    finite = np.isfinite(values)
    assert finite.sum() > 30
    assert n_classes == 1 or np.count_nonzero(gradient[finite]) > 30
    in_order = 0.0
    for value in np.array(values)[finite]:
        in_order += value
    assert loss(logits[finite], labels[finite]) == in_order
