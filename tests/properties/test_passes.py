# SPDX-License-Identifier: BSD-3-Clause
"""Forward and backward passes of any net: the reference's values, and what their bits hang on."""

import numpy as np
import tolerances
from drawn import (
    ELEMENTWISE,
    REAL_LOSSES,
    SMOOTH,
    assert_within,
    batch,
    nets,
    property_test,
    reductions,
    rows,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_close
from twins import layers_of

import mlpcore
from mlpcore import _core, reference


@property_test
@given(nets(), rows, seeds)
def test_forward_is_the_reference(net, n_rows, seed):
    x, _ = batch(net, n_rows, seed)
    want = reference.forward(layers_of(net), x)
    assert_close(net(x), want, 10 * tolerances.FORWARD[str(net.dtype)])


@property_test
@given(nets(), rows, seeds, reductions)
def test_gradients_are_the_reference(net, n_rows, seed, reduction):
    x, y = batch(net, n_rows, seed)
    value, gradients = net.value_and_grad(x, y, mlpcore.losses.LogCosh(reduction))
    want_value, want = reference.value_and_grad(layers_of(net), x, y, "log_cosh", reduction)
    tolerance = 10 * tolerances.GRADIENT[str(net.dtype)]
    assert abs(value - want_value) <= tolerance * max(1.0, abs(want_value))
    assert_within(gradients.flat, want.flat, tolerance)


@property_test
@given(nets(), st.integers(1, 67), seeds, st.data())
def test_a_row_does_not_know_its_batch(net, n_rows, seed, data):
    x, _ = batch(net, n_rows, seed)
    start = data.draw(st.integers(0, n_rows - 1))
    stop = data.draw(st.integers(start + 1, n_rows))
    assert np.array_equal(net(x[start:stop]), net(x)[start:stop])


@property_test
@given(nets(), st.integers(1, 33), seeds, st.integers(0, 32))
def test_a_weight_of_two_is_the_row_given_twice(net, n_rows, seed, i):
    x, y = batch(net, n_rows, seed)
    i %= n_rows
    weight = np.ones(n_rows)
    weight[i] = 2
    value, weighted = net.value_and_grad(x, y, "mse", sample_weight=weight)
    twice, repeated = net.value_and_grad(np.vstack([x, x[i]]), np.vstack([y, y[i]]), "mse")
    tolerance = 10 * tolerances.GRADIENT[str(net.dtype)]
    assert abs(value - twice) <= tolerance * max(1.0, twice)
    assert_within(weighted.flat, repeated.flat, tolerance)


@property_test
@given(nets(activations=SMOOTH, last=("identity", "tanh", "softmax")), seeds)
def test_the_cotangent_acts_linearly(net, seed):
    x, first = batch(net, 9, seed)
    _, second = batch(net, 9, seed + 1)
    together = net.vjp(x, first + second).flat.astype(np.float64)
    apart = net.vjp(x, first).flat.astype(np.float64) + net.vjp(x, second).flat
    assert_within(together, apart, 10 * tolerances.GRADIENT[str(net.dtype)])


@property_test
@given(nets(), rows, seeds)
def test_nothing_that_is_passed_in_is_written_to(net, n_rows, seed):
    x, y = batch(net, n_rows, seed)
    parameters, x_before, y_before = net.parameters.copy(), x.copy(), y.copy()
    trace = net.trace(x)
    net.backward(trace, "mse", y)
    net.value_and_grad(x, y, "huber")
    assert np.array_equal(net.parameters, parameters)
    assert np.array_equal(x, x_before)
    assert np.array_equal(y, y_before)


@property_test
@given(nets(), st.integers(1, 67), seeds, st.randoms(use_true_random=False))
def test_rows_in_another_order_have_their_outputs_in_that_order(net, n_rows, seed, random):
    x, cotangent = batch(net, n_rows, seed)
    order = random.sample(range(n_rows), n_rows)
    assert np.array_equal(net(x[order]), net(x)[order])
    inputs = net.vjp(x, cotangent).inputs
    assert np.array_equal(net.vjp(x[order], cotangent[order]).inputs, inputs[order])


@property_test
@given(nets(), seeds)
def test_one_sample_is_a_batch_of_one(net, seed):
    x, y = batch(net, 1, seed)
    assert np.array_equal(net(x[0]), net(x)[0])
    value, gradients = net.value_and_grad(x[0], y[0], "huber")
    in_batch, of_batch = net.value_and_grad(x, y, "huber")
    assert value == in_batch
    assert np.array_equal(gradients.flat, of_batch.flat)
    assert np.array_equal(gradients.inputs, of_batch.inputs[0])


@property_test
@given(nets(widths=st.integers(1, 130)), st.integers(0, 700), seeds, st.integers(2, 5), reductions)
def test_threads_change_no_bit(net, n_rows, seed, n_threads, reduction):
    x, y = batch(net, n_rows, seed)
    results = []
    for n in (1, n_threads):
        _core.set_default_n_threads(n)
        value, gradients = net.value_and_grad(x, y, mlpcore.losses.MSE(reduction))
        results.append((np.float64(value), net(x), gradients.flat, gradients.inputs))
    for one, several in zip(*results, strict=True):
        assert one.tobytes() == several.tobytes()


@property_test
@given(nets(), rows, seeds, st.sampled_from(REAL_LOSSES), reductions, st.booleans())
def test_steps_apart_have_the_bits_of_one_call(net, n_rows, seed, cls, reduction, weighted):
    x, y = batch(net, n_rows, seed)
    weight = np.arange(n_rows, dtype=net.dtype) % 3 if weighted else None
    loss = cls(reduction=reduction)
    value, gradients = net.value_and_grad(x, y, loss, weight)
    trace = net.trace(x)
    apart = net.backward(trace, loss, y, weight)
    by_cotangent = net.backward(trace, loss.gradient(trace, y, weight))
    assert value == loss(trace, y, weight)
    for other in (apart, by_cotangent):
        assert np.array_equal(gradients.flat, other.flat)
        assert np.array_equal(gradients.inputs, other.inputs)


@property_test
@given(nets(), rows, seeds, st.data())
def test_the_layout_of_the_rows_does_not_matter(net, n_rows, seed, data):
    x, y = batch(net, n_rows, seed)
    row_step, column_step = (data.draw(st.sampled_from([-2, -1, 1, 3])) for _ in range(2))
    order = data.draw(st.sampled_from("CF"))
    shape = (n_rows * abs(row_step), net.sizes[0] * abs(column_step))
    strided = np.zeros(shape, net.dtype, order=order)[::row_step, ::column_step]
    strided[...] = x
    assert np.array_equal(net(strided), net(x))
    value, gradients = net.value_and_grad(strided, y, "mse")
    plain, of_plain = net.value_and_grad(x, y, "mse")
    assert value == plain
    assert np.array_equal(gradients.flat, of_plain.flat)


@property_test
@given(nets(last=("softmax",)), st.integers(1, 67), seeds, st.floats(1e-3, 1e4))
def test_a_softmax_gives_probabilities(net, n_rows, seed, scale):
    x, _ = batch(net, n_rows, seed)
    p = net((x * net.dtype.type(scale)).clip(-1e30, 1e30))
    assert p.min() >= 0.0
    epsilon = tolerances.EPSILON[str(net.dtype)]
    assert np.abs(p.sum(axis=1, dtype=np.float64) - 1.0).max() <= net.sizes[-1] * epsilon


@property_test
@given(st.sampled_from(ELEMENTWISE), nets(), st.sampled_from(_core.available_isas()), seeds)
def test_instruction_sets_agree(activation, net, isa, seed):
    net = mlpcore.MLP(net.sizes, activation, dtype=net.dtype, seed=seed)
    x, y = batch(net, 33, seed)
    widest, gradients = net(x), net.value_and_grad(x, y, "mse")[1]
    selected = _core.isa()
    _core.select_isa(isa)
    try:
        output, others = net(x), net.value_and_grad(x, y, "mse")[1]
    finally:
        _core.select_isa(selected)
    assert_within(output, widest, 20 * tolerances.FORWARD[str(net.dtype)])
    assert_within(others.flat, gradients.flat, 20 * tolerances.GRADIENT[str(net.dtype)])
