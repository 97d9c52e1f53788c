# SPDX-License-Identifier: BSD-3-Clause
"""What holds for every net: random topologies, batches, losses and weights (hypothesis)."""

import numpy as np
import tolerances
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tolerances import assert_close
from twins import layers_of

import mlpcore
from mlpcore import reference

ELEMENTWISE = [name for name in reference.ACTIVATIONS if name != "softmax"]
SMOOTH = [name for name in ELEMENTWISE if name not in ("relu", "leaky_relu")]

# A net is drawn as a whole from one seed, so that what hypothesis shrinks is its shape. The machine
# may be busy: no deadline. Runs are derived from the test itself, so that a failure comes back.
property_test = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def nets(draw, activations=tuple(ELEMENTWISE), last=(*ELEMENTWISE, "softmax")):
    sizes = draw(st.lists(st.integers(1, 37), min_size=2, max_size=5))
    names = [draw(st.sampled_from(activations)) for _ in sizes[2:]] + [draw(st.sampled_from(last))]
    dtype = draw(st.sampled_from(["float32", "float64"]))
    seed = draw(st.integers(0, 2**32 - 1))
    net = mlpcore.MLP(sizes, names, dtype=dtype, seed=seed, bias=draw(st.booleans()))
    if net.has_bias:
        rng = np.random.default_rng(seed)
        for bias in net.biases:
            bias[:] = rng.normal(size=bias.shape)
    return net


def batch(net, n_rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, net.sizes[0])).astype(net.dtype)
    return x, rng.normal(size=(n_rows, net.sizes[-1])).astype(net.dtype)


rows = st.integers(0, 67)
seeds = st.integers(0, 2**32 - 1)


@property_test
@given(nets(), rows, seeds)
def test_forward_is_the_reference(net, n_rows, seed):
    x, _ = batch(net, n_rows, seed)
    want = reference.forward(layers_of(net), x)
    assert_close(net(x), want, 10 * tolerances.FORWARD[str(net.dtype)])


@property_test
@given(nets(), rows, seeds, st.sampled_from(["mean", "batch_mean", "sum"]))
def test_gradients_are_the_reference(net, n_rows, seed, reduction):
    x, y = batch(net, n_rows, seed)
    value, gradients = net.value_and_grad(x, y, mlpcore.losses.LogCosh(reduction))
    want_value, want = reference.value_and_grad(layers_of(net), x, y, "log_cosh", reduction)
    tolerance = 10 * tolerances.GRADIENT[str(net.dtype)]
    assert abs(value - want_value) <= tolerance * max(1.0, abs(want_value))
    # A gradient may vanish by cancellation; its error is measured against its terms then.
    scale = max(float(np.linalg.norm(want.flat)), 1e-2)
    assert np.linalg.norm(gradients.flat - want.flat) <= tolerance * scale


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
    scale = max(float(np.linalg.norm(repeated.flat)), 1e-2)
    assert np.linalg.norm(weighted.flat - repeated.flat) <= tolerance * scale


@property_test
@given(nets(activations=tuple(SMOOTH), last=("identity", "tanh", "softmax")), seeds)
def test_the_cotangent_acts_linearly(net, seed):
    x, first = batch(net, 9, seed)
    _, second = batch(net, 9, seed + 1)
    together = net.vjp(x, first + second).flat.astype(np.float64)
    apart = net.vjp(x, first).flat.astype(np.float64) + net.vjp(x, second).flat
    scale = max(float(np.linalg.norm(apart)), 1e-2)
    assert np.linalg.norm(together - apart) <= 10 * tolerances.GRADIENT[str(net.dtype)] * scale


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
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), st.integers(0, 3000))
def test_a_permutation_holds_every_row_once(seed, epoch, n):
    order = mlpcore._core.permutation(seed, epoch, n)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, mlpcore._core.permutation(seed, epoch, n))
