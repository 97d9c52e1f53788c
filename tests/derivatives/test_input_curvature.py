# SPDX-License-Identifier: BSD-3-Clause
"""input_hessian and laplacian: against the reference, each other, and differences."""

import numpy as np
import pytest
from nets import ACTIVATIONS, HIDDEN, at_its_kinks, make_net, rows, saturated
from tolerances import CURVATURE, SECOND_ORDER, assert_close, on_isa
from twins import layers_of

import mlpcore
from mlpcore import _core, reference


def assert_both_close(net, x, accepted):
    want = reference.input_hessian(layers_of(net), x)
    got = net.input_hessian(x)
    assert_close(got, want, accepted)
    assert np.array_equal(got, got.swapaxes(-1, -2))
    # The terms of a trace may cancel: its error is that of the Hessian.
    error = net.laplacian(x) - np.einsum("nkdd->nk", want)
    assert np.linalg.norm(error) <= accepted * np.linalg.norm(want)


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_equals_the_reference(activation, depth, dtype, isa):
    net = make_net(activation, depth, dtype, bias=depth != 4)
    assert_both_close(net, rows(net), on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize("output", ["identity", "relu", "sigmoid", "softmax"])
@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ([1, 9, 1], ["tanh"]),
        ([9, 40, 33, 2], ["tanh", "relu"]),  # a layer that bends below one that does not
        ([2, 33, 40, 9], ["leaky_relu", "gelu"]),
        ([20, 256, 30], ["silu"]),  # more rows than are made at a time; a pitch
        ([2, 256, 257, 4], ["silu", "tanh"]),  # 256 take more room than 257
        ([4, 257, 256, 2], ["silu", "relu"]),
        ([3, 300, 300, 4], ["softplus", "tanh"]),  # a sum in two chunks
        ([4, 7, 6, 5], ["identity", "identity"]),
        ([70, 6, 40], ["elu"]),
    ],
)
def test_shapes(sizes, hidden, output, dtype):
    net = mlpcore.MLP(sizes, [*hidden, output], dtype=dtype, seed=0)
    x = rows(net, 3)
    assert net.input_hessian(x).shape == (3, sizes[-1], sizes[0], sizes[0])
    assert net.input_hessian(x).dtype == net.laplacian(x).dtype == dtype
    assert_both_close(net, x, on_isa(SECOND_ORDER, dtype))


def test_it_is_the_change_of_the_jacobian():
    net = make_net("softmax", 4, "float64")
    x = rows(net)
    step = 1e-5
    for column in range(net.sizes[0]):
        shift = np.zeros_like(x)
        shift[:, column] = step
        numeric = (net.jacobian(x + shift) - net.jacobian(x - shift)) / (2 * step)
        # Differences of second order have errors of 1e-9 at most here, norm-wise.
        assert_close(net.input_hessian(x)[..., column], numeric, 1e-8)


@pytest.mark.parametrize("activation", HIDDEN)
def test_at_a_kink_the_documented_side_counts(activation, dtype):
    net, x = at_its_kinks(activation, dtype)
    assert_both_close(net, x, on_isa(SECOND_ORDER, dtype))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_units(activation, dtype):
    net, x = saturated(activation, dtype)
    for i in range(len(x)):
        assert_both_close(net, x[i : i + 1], on_isa(SECOND_ORDER, dtype))


@pytest.mark.skipif(_core.isa() == "generic", reason="z^2 needs a fused multiply-add for its error")
def test_far_out_gelu_bends_with_all_its_digits(dtype):
    mpmath = pytest.importorskip("mpmath", reason="the formula in more digits than float64 has")
    net = mlpcore.MLP([1, 1], ["gelu"], dtype=dtype, init="zeros")
    net.weights[0][:] = 1
    furthest = 12.5 if dtype == "float32" else 35.0  # before it underflows
    z = np.random.default_rng(0).uniform(3.0, furthest, 300).astype(dtype)
    got = net.input_hessian(z[:, np.newaxis]).ravel()
    with mpmath.workdps(40):
        for value, point in zip(got.tolist(), z.tolist(), strict=True):
            square = mpmath.mpf(point) ** 2
            want = (2 - square) * mpmath.exp(-square / 2) / mpmath.sqrt(2 * mpmath.pi)
            assert abs(value - want) <= CURVATURE[dtype] * abs(want), point


@pytest.mark.parametrize("output", ["tanh", "softmax"])
def test_bits_do_not_depend_on_threads_or_the_split_of_a_batch(output, dtype):
    net = mlpcore.MLP([6, 150, 256, 5], ["gelu", "silu", output], dtype=dtype, seed=0)
    x = rows(net, 301)
    hessian, laplacian = net.input_hessian(x), net.laplacian(x)
    for n_threads in (1, 2, 3):
        _core.set_default_n_threads(n_threads)
        assert np.array_equal(net.input_hessian(x), hessian)
        assert np.array_equal(net.laplacian(x), laplacian)
    for part in (slice(0, 1), slice(1, 30), slice(30, 301)):
        assert np.array_equal(net.input_hessian(x[part]), hessian[part])
        assert np.array_equal(net.laplacian(x[part]), laplacian[part])
    assert np.array_equal(net.input_hessian(x[77]), hessian[77])
    assert np.array_equal(net.laplacian(x[77].tolist()), laplacian[77])


def test_an_empty_batch():
    net = make_net("tanh", 2, "float32")
    assert net.input_hessian(np.empty((0, 3))).shape == (0, 5, 3, 3)
    assert net.laplacian(np.empty((0, 3))).shape == (0, 5)


def test_what_does_not_fit_is_refused():
    net = make_net("tanh", 2, "float32")
    for call in (net.input_hessian, net.laplacian):
        with pytest.raises(ValueError, match="x: expected 3 columns"):
            call(np.ones((2, 2)))
        with pytest.raises(TypeError, match="x: expected an array of real numbers"):
            call(None)
