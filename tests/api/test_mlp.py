# SPDX-License-Identifier: BSD-3-Clause
"""The net as an object: construction, live views, copies, comparison, text."""

import copy
import gc
import pickle
import re
import warnings
import weakref

import numpy as np
import pytest
from rows import data
from twins import layers_of

import mlpcore
from mlpcore import _core, reference

ACTIVATIONS = [name for name in _core.ACTIVATIONS if name != "softmax"]


class Named(mlpcore.MLP):
    """A subclass with a constructor and attributes of its own."""

    def __init__(self, name):
        super().__init__([2, 3, 1], seed=1)
        self.name = name


# ---- construction and views ---------------------------------------------------------------------


def test_attributes(dtype):
    net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], dtype=dtype, seed=0)
    assert net.sizes == (2, 20, 5)
    assert net.activations == ("relu", "identity")
    assert net.dtype == dtype
    assert net.dtype == np.dtype(dtype)
    assert net.has_bias
    assert net.n_parameters == 2 * 20 + 20 + 20 * 5 + 5
    assert [w.shape for w in net.weights] == [(20, 2), (5, 20)]
    assert [b.shape for b in net.biases] == [(20,), (5,)]


@pytest.mark.parametrize("sizes", [[1, 1], [3, 2], [2, 1, 4, 1, 3], [1] * 40, [5, 130, 7]])
@pytest.mark.parametrize("bias", [True, False])
def test_the_flat_vector_holds_every_parameter_once(sizes, bias, dtype):
    net = mlpcore.MLP(sizes, dtype=dtype, bias=bias)
    flat = net.parameters
    assert flat.flags.c_contiguous
    assert flat.flags.writeable
    assert flat.ctypes.data % 64 == 0
    assert flat.dtype == dtype
    flat[:] = np.arange(flat.size)
    start = 0
    for weight, b, n_in, n_out in zip(net.weights, net.biases, sizes, sizes[1:], strict=False):
        stored = flat[start : start + n_in * n_out].reshape(n_in, n_out)
        np.testing.assert_array_equal(weight, stored.T)
        start += n_in * n_out
        if bias:
            np.testing.assert_array_equal(b, flat[start : start + n_out])
            start += n_out
        else:
            assert b is None
    assert start == flat.size == net.n_parameters


def test_views_are_live_both_ways():
    net = mlpcore.MLP([2, 3, 1], init="zeros")
    net.weights[0][2, 1] = 5.0
    net.biases[1][:] = 7.0
    assert sorted(net.parameters)[-2:] == [5.0, 7.0]
    assert net([0.0, 1.0]) == [7.0]
    net.weights[1][0, 2] = 2.0
    assert net([0.0, 1.0]) == [17.0]
    net.parameters[:] = 0.0
    assert not net.weights[0].any()
    assert net([0.0, 1.0]) == [0.0]
    net.parameters[...] = np.arange(net.n_parameters)
    assert net.biases[1] == [net.n_parameters - 1]


def test_the_parameters_may_be_changed_in_place():
    net = mlpcore.MLP([2, 3, 1], init="zeros")
    flat = net.parameters
    net.parameters += 2.0
    net.parameters *= 3.0
    assert net.parameters is flat
    assert (net.weights[0] == 6.0).all()
    with pytest.raises(AttributeError):
        net.parameters = net.parameters + 1.0
    assert (flat == 6.0).all()


def test_views_outlive_the_net():
    net = mlpcore.MLP([2, 3, 1], seed=0)
    expected = net.weights[0].copy()
    weight = net.weights[0]
    del net
    gc.collect()
    np.testing.assert_array_equal(weight, expected)


def test_what_cannot_be_replaced_says_what_to_do():
    net = mlpcore.MLP([2, 3, 1])
    with pytest.raises(AttributeError, match=re.escape("net.parameters[:] = values")):
        net.parameters = np.zeros(net.n_parameters)
    for name in ("weights", "biases", "sizes", "activations", "dtype", "n_parameters"):
        with pytest.raises(AttributeError):
            setattr(net, name, None)
    with pytest.raises(TypeError):
        net.weights[0] = np.zeros((3, 2))
    with pytest.raises(AttributeError):
        net.weight = ()  # a name that there is not does not pass for an assignment


def test_the_activations_argument():
    assert mlpcore.MLP([2, 3, 4, 1]).activations == ("relu", "relu", "identity")
    assert mlpcore.MLP([2, 3, 4, 1], "tanh").activations == ("tanh", "tanh", "identity")
    assert mlpcore.MLP([2, 1], "tanh").activations == ("identity",)
    assert mlpcore.MLP([2, 1], ["tanh"]).activations == ("tanh",)
    assert mlpcore.MLP([2, 1], ("softmax",)).activations == ("softmax",)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_is_the_reference(name, dtype):
    net = mlpcore.MLP([3, 17, 5, 2], [name, name, name], dtype=dtype, seed=0)
    net.parameters[:] += 0.1
    x, _ = data(net, 9)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    expected = reference.forward(layers_of(net), x)
    np.testing.assert_allclose(net(x), expected, rtol=tolerance, atol=tolerance)


def test_forward_of_one_sample_is_a_row_of_the_batch(dtype):
    net = mlpcore.MLP([3, 50, 2], "tanh", dtype=dtype, seed=0)
    x, _ = data(net, 40)
    batch = net(x)
    assert batch.shape == (40, 2)
    assert batch.dtype == dtype
    for row, expected in zip(x, batch, strict=True):
        assert net(row).shape == (2,)
        np.testing.assert_array_equal(net(row), expected)
        np.testing.assert_array_equal(net(row.tolist()), expected)


def test_an_empty_batch_is_an_empty_result_and_a_zero_gradient(dtype):
    net = mlpcore.MLP([3, 5, 2], dtype=dtype, seed=0)
    x, y = np.empty((0, 3), dtype), np.empty((0, 2), dtype)
    assert net(x).shape == (0, 2)
    value, gradients = net.value_and_grad(x, y, "mse")
    assert value == 0.0
    assert not gradients.flat.any()
    assert gradients.inputs.shape == (0, 3)
    from_trace = net.backward(net.trace(x), "mse", y)
    assert not from_trace.flat.any()
    before = net.parameters.copy()
    assert net.train_step(x, y, "mse", mlpcore.SGD()) == 0.0
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid", "softmax"])
def test_what_is_not_finite_stays_in_its_row(bad, name, dtype):
    net = mlpcore.MLP([3, 33, 2], ["tanh" if name == "softmax" else name, name], dtype, seed=0)
    x, _ = data(net, 37)
    expected = net(x)
    for row in (0, 5, 36):
        poisoned = x.copy()
        poisoned[row, 1] = bad
        actual = net(poisoned)
        others = np.arange(37) != row
        np.testing.assert_array_equal(actual[others], expected[others])
        if np.isnan(bad):
            assert np.isnan(actual[row]).all()


# ---- copies, comparison, text -------------------------------------------------------------------


def duplicates(net):
    yield net.copy()
    yield copy.copy(net)
    yield copy.deepcopy(net)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(net, protocol))


@pytest.mark.parametrize("bias", [True, False])
def test_a_copy_is_equal_and_apart(bias, dtype):
    net = mlpcore.MLP([2, 3, 4], ["tanh", "softmax"], dtype, seed=0, bias=bias)
    for other in duplicates(net):
        assert type(other) is mlpcore.MLP
        assert other == net
        assert repr(other) == repr(net)
        assert not np.shares_memory(other.parameters, net.parameters)
        assert np.shares_memory(other.weights[1], other.parameters)
        other.weights[1][0, 0] += 1.0
        assert other != net


def test_a_copy_of_a_subclass_keeps_its_attributes():
    net = Named("first")
    net.parameters[:] = 3.0
    for other in duplicates(net):
        assert type(other) is Named
        assert other.name == "first"
        assert other == net


class Slotted(mlpcore.MLP):
    __slots__ = ("__private", "note")

    def __init__(self, note):
        super().__init__([3, 4, 2], seed=0)
        self.note = note
        self.__private = [note]

    def private(self):
        return self.__private


def test_a_copy_of_a_subclass_keeps_its_slots():
    net = Slotted("a note")
    for other in duplicates(net):
        assert type(other) is Slotted
        assert (other.note, other.private()) == ("a note", ["a note"])
        assert other == net


def test_parameters_reshaped_in_place_stay_flat_in_the_net():
    x, y = np.ones((2, 3)), np.ones((2, 2))
    net, expected = (mlpcore.MLP([3, 4, 2], seed=0) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        net.parameters.shape = (13, -1)
    assert net.parameters.shape == (net.n_parameters,) == (26,)
    assert np.shares_memory(net.parameters, net.weights[0])
    for other in duplicates(net):
        assert other == expected
    for use in (
        lambda net: net.value_and_grad(x, y, "mse")[1].flat,
        lambda net: net.backward(net.trace(x), "mse", y).flat,
        lambda net: net.train_step(x, y, "mse", mlpcore.Adam()),
        lambda net: mlpcore.SGD(0.1).step(net, np.ones(26)),
    ):
        np.testing.assert_array_equal(use(net), use(expected))
        assert net == expected


def test_equality():
    net = mlpcore.MLP([2, 3, 1], seed=0)
    assert net == mlpcore.MLP([2, 3, 1], seed=0)
    assert net != mlpcore.MLP([2, 3, 1], seed=1)
    assert net != mlpcore.MLP([2, 3, 1], "tanh", seed=0, init="he")
    assert net != mlpcore.MLP([2, 3, 1], seed=0, dtype="float64")
    assert net != mlpcore.MLP([2, 3, 1], seed=0, bias=False)
    assert net != mlpcore.MLP([1, 4, 1], init="zeros")
    assert net != "net"
    assert net is not None
    net.parameters[0] = np.nan
    assert net == net.copy()
    net.parameters[0] = 0.0
    negative_zero = net.copy()
    negative_zero.parameters[0] = -0.0
    assert net != negative_zero
    with pytest.raises(TypeError):
        hash(net)


def test_repr_is_the_call_that_makes_such_a_net(dtype):
    for bias in (True, False):
        net = mlpcore.MLP([2, 3, 4], ["silu", "softmax"], dtype, bias=bias, init="zeros")
        other = eval(repr(net).replace("MLP(", "MLP(init='zeros', sizes="), {"MLP": mlpcore.MLP})
        assert other == net


@pytest.mark.parametrize(
    ("error", "damage"),
    [
        (ValueError, lambda p: (p[:-1], None)),
        (ValueError, lambda p: (np.concatenate([p, p]), None)),
        (ValueError, lambda p: (p.astype(np.float64), None)),
        (ValueError, lambda p: (p.reshape(1, -1), None)),
        (TypeError, lambda p: (p.tolist(), None)),
        (TypeError, lambda p: (p, 3)),
        (TypeError, lambda p: (p,)),
        (TypeError, lambda p: None),
    ],
)
def test_a_damaged_pickle_is_an_error_and_no_crash(error, damage):
    net = mlpcore.MLP([2, 3, 1], seed=0)
    before = net.parameters.copy()
    with pytest.raises(error, match=r"^state: expected"):
        net.__setstate__(damage(net.parameters))
    np.testing.assert_array_equal(net.parameters, before)
    remake, arguments, _ = net.__reduce__()
    with pytest.raises((ValueError, TypeError), match=r"^sizes"):
        remake(arguments[0], (2, 0, 1), *arguments[2:])


def test_weak_references():
    net = mlpcore.MLP([2, 3, 1])
    reference_to_net = weakref.ref(net)
    assert reference_to_net() is net
    del net
    gc.collect()
    assert reference_to_net() is None
