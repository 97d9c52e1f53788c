# SPDX-License-Identifier: BSD-3-Clause
"""jacobian, value_and_jacobian and jvp: against the reference, each other, and differences."""

import numpy as np
import pytest
from nets import ACTIVATIONS, at_its_kinks, make_net, rows, saturated
from tolerances import GRADIENT, SATURATED, assert_close, on_isa
from twins import layers_of

import mlpcore
from mlpcore import _core, reference

# Differences of second order have errors of 1e-9 at most here, norm-wise.
DIFFERENCES = 1e-8


def tangents(net, x):
    rng = np.random.default_rng(5)
    return (
        rng.normal(size=x.shape).astype(net.dtype),
        rng.normal(size=net.n_parameters).astype(net.dtype),
    )


# ---- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equal_the_reference(activation, depth, dtype, isa):
    net = make_net(activation, depth, dtype, bias=depth != 4)
    x = rows(net)
    want = reference.jacobian(layers_of(net), x)
    assert_close(net.jacobian(x), want, on_isa(GRADIENT, dtype))
    tangent, direction = tangents(net, x)
    for one, other in ((tangent, None), (None, direction), (tangent, direction)):
        y_hat, dy_hat = net.jvp(x, one, other)
        assert np.array_equal(y_hat, net(x))
        assert_close(
            dy_hat, reference.jvp(layers_of(net), x, one, other)[1], on_isa(GRADIENT, dtype)
        )


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ([2, 40, 40, 9], "tanh"),  # forward mode
        ([9, 40, 40, 2], "tanh"),  # reverse mode
        ([5, 256, 256, 1], "relu"),  # reverse mode of one row a sample; rows at a pitch
        ([1, 256, 300, 7], "silu"),  # forward mode of one column a sample
        ([2, 256, 257, 4], "tanh"),  # 256 take more room than 257: forward mode
        ([4, 257, 256, 2], "tanh"),  # and reverse mode
        ([4, 600, 600, 3], "gelu"),  # sums in several chunks
        ([1100, 3, 1200], "tanh"),  # more directions than a strip has rows
        ([2, 3], "relu"),
    ],
)
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
def test_shapes_and_modes(sizes, hidden, output, dtype):
    net = mlpcore.MLP(sizes, [hidden] * (len(sizes) - 2) + [output], dtype=dtype, seed=0)
    x = rows(net, 3)
    got = net.jacobian(x)
    assert got.dtype == dtype
    assert got.shape == (3, sizes[-1], sizes[0])
    assert_close(got, reference.jacobian(layers_of(net), x), on_isa(GRADIENT, dtype))


def test_against_central_differences():
    net = make_net("softmax", 4, "float64")
    x = rows(net)
    step = 1e-6
    for column in range(net.sizes[0]):
        shift = np.zeros_like(x)
        shift[:, column] = step
        numeric = (net(x + shift) - net(x - shift)) / (2 * step)
        assert_close(net.jacobian(x)[:, :, column], numeric, DIFFERENCES)


@pytest.mark.parametrize("activation", ["gelu", "softmax"])
def test_jvp_and_vjp_agree(activation, dtype):
    net = make_net(activation, 5, dtype)
    x = rows(net, 40)
    tangent, direction = tangents(net, x)
    cotangent = np.random.default_rng(6).normal(size=(40, net.sizes[-1])).astype(dtype)
    _, dy_hat = net.jvp(x, tangent, direction)
    gradients = net.vjp(x, cotangent)
    forward = np.sum(cotangent.astype(float) * dy_hat)
    back = np.sum(gradients.inputs.astype(float) * tangent)
    back += np.sum(gradients.flat.astype(float) * direction)
    scale = np.linalg.norm(cotangent) * np.linalg.norm(dy_hat)
    assert abs(forward - back) <= on_isa(GRADIENT, dtype) * scale


def test_jvp_is_the_jacobian_times_the_tangent(dtype):
    net = make_net("softmax", 3, dtype)
    x = rows(net)
    tangent, _ = tangents(net, x)
    want = np.einsum("nkd,nd->nk", net.jacobian(x).astype(float), tangent)
    assert_close(net.jvp(x, tangent)[1], want, on_isa(GRADIENT, dtype))


def test_jvp_without_a_direction_is_zero():
    net = make_net("tanh", 2, "float64")
    y_hat, dy_hat = net.jvp(rows(net))
    assert np.array_equal(y_hat, net(rows(net)))
    assert np.array_equal(dy_hat, np.zeros_like(y_hat))


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "softmax"])
def test_at_a_kink_the_documented_side_counts(activation, dtype):
    net, x = at_its_kinks(activation, dtype)
    assert_close(net.jacobian(x), reference.jacobian(layers_of(net), x), GRADIENT[dtype])
    if activation in ("relu", "leaky_relu", "elu"):
        slope = {"relu": 0.0, "leaky_relu": 0.01, "elu": 1.0}[activation]
        want = slope**2 * net.weights[1] @ net.weights[0]
        assert_close(net.jacobian(x)[0], want, GRADIENT[dtype])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_derivatives_keep_their_relative_accuracy(activation, dtype):
    net, x = saturated(activation, dtype)
    direction = np.full_like(x, 2.0)
    got, want = net.jacobian(x), reference.jacobian(layers_of(net), x)
    got_jvp, want_jvp = net.jvp(x, direction)[1], reference.jvp(layers_of(net), x, direction)[1]
    if activation == "softmax":  # mixes its columns: each sample as a whole
        for i in range(len(x)):
            assert_close(got[i], want[i], SATURATED[dtype])
            assert_close(got_jvp[i], want_jvp[i], SATURATED[dtype])
    else:
        least = np.finfo(dtype).tiny  # what underflows is no number of the dtype any more
        assert np.all(np.abs(got - want) <= SATURATED[dtype] * np.abs(want) + least)
        assert np.all(np.abs(got_jvp - want_jvp) <= SATURATED[dtype] * np.abs(want_jvp) + least)


# ---- bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[17, 256, 256, 6], [3, 256, 256, 40], [8, 300, 5]])
@pytest.mark.parametrize("output", ["tanh", "softmax"])
def test_bits_do_not_depend_on_threads_or_the_split_of_a_batch(sizes, output, dtype):
    net = mlpcore.MLP(sizes, ["gelu"] * (len(sizes) - 2) + [output], dtype=dtype, seed=0)
    x = rows(net, 301)
    tangent, direction = tangents(net, x)
    whole, (_, whole_jvp) = net.jacobian(x), net.jvp(x, tangent, direction)
    for n_threads in (1, 2, 3):
        _core.set_default_n_threads(n_threads)
        assert np.array_equal(net.jacobian(x), whole)
        assert np.array_equal(net.jvp(x, tangent, direction)[1], whole_jvp)
    for part in (slice(0, 1), slice(1, 30), slice(30, 301)):
        assert np.array_equal(net.jacobian(x[part]), whole[part])
        assert np.array_equal(net.jvp(x[part], tangent[part], direction)[1], whole_jvp[part])
    assert np.array_equal(net.jacobian(x[77]), whole[77])
    y_hat, jacobian = net.value_and_jacobian(x)
    assert np.array_equal(jacobian, whole)
    assert np.array_equal(y_hat, net(x))


@pytest.mark.parametrize("output", ["tanh", "softmax"])
def test_vjp_has_the_bits_of_a_trace_and_its_backward_pass(output, dtype):
    net = mlpcore.MLP([4, 60, 3], ["gelu", output], dtype=dtype, seed=0)
    x = rows(net, 1100)
    cotangent = np.random.default_rng(3).normal(size=(1100, 3)).astype(dtype)
    want = net.backward(net.trace(x), cotangent)
    for same in (net.vjp(x, cotangent), net.vjp(x.tolist(), cotangent)):
        assert np.array_equal(same.flat, want.flat)
        assert np.array_equal(same.inputs, want.inputs)
    single = net.vjp(x[3], cotangent[3])
    assert np.array_equal(single.inputs, want.inputs[3])


# ---- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("single", [False, True])
def test_what_can_be_read_as_it_is_and_what_cannot_give_the_same(single, dtype):
    net = make_net("tanh", 3, dtype)
    x = rows(net)[0] if single else rows(net)
    want = net.jacobian(x)
    assert want.shape == (*net(x).shape, net.sizes[0])
    for same in (x.tolist(), np.asfortranarray(x), x.astype(">f8"), np.repeat(x, 2, 0)[::2]):
        if np.shape(same) != x.shape:
            continue
        assert np.array_equal(net.jacobian(same), want)
        assert np.array_equal(net.value_and_jacobian(same)[0], net(x))
        assert np.array_equal(net.value_and_jacobian(same)[1], want)
        assert np.array_equal(net.jvp(same, same)[1], net.jvp(x, x)[1])


@pytest.mark.parametrize("single", [False, True])
def test_out(single, dtype):
    net = make_net("tanh", 3, dtype)
    x = rows(net)[0] if single else rows(net)
    want = net.jacobian(x)
    for out in (np.empty_like(want), np.empty((*want.shape, 2), dtype)[..., 1]):
        assert net.jacobian(x, out) is out
        assert np.array_equal(out, want)
    swapped = np.empty(want.shape, want.dtype.newbyteorder())
    assert np.array_equal(net.jacobian(x, out=swapped), want)


def test_out_that_overlaps():
    net = mlpcore.MLP([2, 2], ["tanh"], dtype="float64", seed=0)
    memory = np.arange(8.0)
    x, out = memory[:2], memory[1:5].reshape(2, 2)
    want = net.jacobian(x.copy())
    assert np.array_equal(net.jacobian(x, out), want)
    over = net.parameters[:4].reshape(2, 2)
    want = net.jacobian(np.ones(2))
    assert np.array_equal(net.jacobian(np.ones(2), over), want)


def test_an_empty_batch():
    net = make_net("tanh", 2, "float32")
    nothing = np.empty((0, 3), np.float32)
    assert net.jacobian(nothing).shape == (0, 5, 3)
    assert net.value_and_jacobian(nothing)[0].shape == (0, 5)
    assert [part.shape for part in net.jvp(nothing, nothing)] == [(0, 5), (0, 5)]


def test_not_a_number_stays_in_its_row():
    net = make_net("gelu", 3, "float32")
    x = rows(net)
    clean = net.jacobian(x)
    x[2, 0] = np.nan
    got = net.jacobian(x)
    assert np.isnan(got[2]).all()
    assert np.array_equal(np.delete(got, 2, 0), np.delete(clean, 2, 0))


def test_what_does_not_fit_is_refused():
    net = make_net("tanh", 2, "float32")
    x = rows(net)
    for call in (net.jacobian, net.value_and_jacobian, net.jvp):
        with pytest.raises(ValueError, match="x: expected 3 columns"):
            call(x[:, :2])
        with pytest.raises(TypeError, match="x: expected an array of real numbers"):
            call("abc")
    with pytest.raises(ValueError, match=r"out: expected shape \(7, 5, 3\), got shape \(7, 3, 5\)"):
        net.jacobian(x, np.empty((7, 3, 5), np.float32))
    with pytest.raises(ValueError, match=r"out: expected shape \(5, 3\)"):
        net.jacobian(x[0], np.empty((1, 5, 3), np.float32))
    with pytest.raises(TypeError, match="out: expected dtype float32"):
        net.jacobian(x, np.empty((7, 5, 3)))
    with pytest.raises(TypeError, match="out: expected an array"):
        net.jacobian(x, [])
    locked = np.empty((7, 5, 3), np.float32)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array"):
        net.jacobian(x, locked)
    with pytest.raises(ValueError, match=r"tangent: expected shape \(7, 3\) \(that of x\), got"):
        net.jvp(x, x[0])
    with pytest.raises(ValueError, match=r"parameters_tangent: expected shape \(158,\)"):
        net.jvp(x, parameters_tangent=np.zeros(3))
    with pytest.raises(ValueError, match="tangent: expected values in the range of float32"):
        net.jvp(x, np.full(x.shape, 1e300))
