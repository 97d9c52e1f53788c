# SPDX-License-Identifier: BSD-3-Clause
"""The net as an object: construction, live views, copies, first weights, and one training step."""

import copy
import gc
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from twins import layers_of

import mlpcore
from mlpcore import _core, losses, reference
from mlpcore.initializers import INITIALIZERS

ACTIVATIONS = [name for name in _core.ACTIVATIONS if name != "softmax"]
OPTIMIZERS = {
    "sgd": mlpcore.SGD,
    "nesterov": lambda: mlpcore.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": mlpcore.Adam,
    "adamw": mlpcore.AdamW,
}


class Named(mlpcore.MLP):
    """A subclass with a constructor and attributes of its own."""

    def __init__(self, name):
        super().__init__([2, 3, 1], seed=1)
        self.name = name


def data(net, n=7, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, net.sizes[0])).astype(net.dtype)
    return x, generator.random((n, net.sizes[-1])).astype(net.dtype)


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


# ---- life and death -----------------------------------------------------------------------------


class NeverInitialised(mlpcore.MLP):
    def __init__(self):
        pass


def make_raw():
    return mlpcore.MLP.__new__(mlpcore.MLP)


@pytest.mark.parametrize("make", [NeverInitialised, make_raw])
def test_a_net_without_its_constructor_is_an_error_and_no_crash(make):
    x, y = [[0.0, 1.0]], [[0.0]]
    for use in (
        lambda net: net(x),
        lambda net: net(np.zeros((1, 2), np.float32)),
        lambda net: net.parameters,
        lambda net: net.weights,
        lambda net: net.copy(),
        lambda net: net.trace(x),
        lambda net: net.train_step(x, y, "mse", mlpcore.SGD()),
        lambda net: net.value_and_grad(x, y, "mse"),
        lambda net: mlpcore.SGD().step(net, np.zeros(3)),
        lambda net: pickle.dumps(net),
        lambda net: net == mlpcore.MLP([2, 1]),
        lambda net: net.sizes,
        lambda net: net.n_parameters,
        lambda net: net.backward(mlpcore.MLP([2, 1]).trace(x), "mse", y),
        lambda net: net.fit(x, y, "mse", mlpcore.SGD(), epochs=1),
        lambda net: copy.deepcopy(net),
        lambda net: mlpcore.Trainer(net, "mse", mlpcore.SGD()),
    ):
        with pytest.raises(RuntimeError, match="the net is not initialised"):
            use(make())
    with pytest.raises(AttributeError, match="has no attribute 'layers'"):
        make().layers  # noqa: B018


def test_a_failed_constructor_leaves_a_net_that_is_an_error_and_no_crash():
    net = make_raw()
    with pytest.raises(ValueError, match=r"^sizes"):
        net.__init__([2, 0])
    with pytest.raises(RuntimeError, match="the net is not initialised"):
        net(np.zeros((1, 2), np.float32))
    net.__init__([2, 1], init="zeros")
    assert net([1.0, 1.0]) == [0.0]


def test_a_net_is_not_initialised_twice():
    net = mlpcore.MLP([2, 1], init="zeros")
    with pytest.raises(RuntimeError):
        net.__init__([3, 3])
    assert net([1.0, 1.0]) == [0.0]
    assert net.sizes == (2, 1)


def test_threads_share_a_net():
    net = mlpcore.MLP([3, 64, 64, 2], "tanh", seed=0)
    x, y = data(net, 65)
    expected = net(x), net.value_and_grad(x, y, "mse")[1].flat
    wrong = []

    def work():
        for _ in range(50):
            results = net(x), net.value_and_grad(x, y, "mse")[1].flat
            if not all(map(np.array_equal, results, expected)):
                wrong.append(threading.get_ident())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


# ---- first weights ------------------------------------------------------------------------------

SOURCES = {
    # name: (n_inputs, n_outputs) -> variance, and whether the distribution is uniform
    "he": (lambda n, m: 2 / n, False),
    "he_normal": (lambda n, m: 2 / n, False),
    "he_uniform": (lambda n, m: 2 / n, True),
    "glorot": (lambda n, m: 2 / (n + m), True),
    "glorot_uniform": (lambda n, m: 2 / (n + m), True),
    "glorot_normal": (lambda n, m: 2 / (n + m), False),
    "lecun": (lambda n, m: 1 / n, False),
    "lecun_normal": (lambda n, m: 1 / n, False),
    "lecun_uniform": (lambda n, m: 1 / n, True),
}


def test_every_initializer_is_tested():
    assert set(INITIALIZERS) == {*SOURCES, "auto", "orthogonal", "zeros"}


@pytest.mark.parametrize("init", SOURCES)
def test_distribution_of_the_first_weights(init):
    n, m = 300, 200
    weight = mlpcore.MLP([n, m], init=init, seed=5, dtype="float64").weights[0]
    variance, uniform = SOURCES[init]
    expected = variance(n, m)
    # Of 60000 draws the standard error of the variance is below 0.6 %, of the mean 0.4 % of sigma.
    assert weight.var() == pytest.approx(expected, rel=0.03)
    assert abs(weight.mean()) < 0.02 * np.sqrt(expected)
    largest = np.abs(weight).max() / np.sqrt(expected)
    assert (largest <= np.sqrt(3)) if uniform else (3.5 < largest < 7)
    kurtosis = np.mean(weight**4) / weight.var() ** 2
    assert kurtosis == pytest.approx(1.8 if uniform else 3.0, rel=0.05)


@pytest.mark.parametrize("sizes", [[7, 4], [4, 7], [5, 5], [1, 3], [3, 1]])
def test_orthogonal(sizes):
    weight = mlpcore.MLP(sizes, init="orthogonal", seed=0, dtype="float64").weights[0]
    product = weight @ weight.T if sizes[1] <= sizes[0] else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(min(sizes)), atol=1e-14)


def test_auto_suits_each_layers_activation():
    he = {"relu", "leaky_relu", "elu", "gelu", "silu", "softplus"}
    for name in _core.ACTIVATIONS:
        auto = mlpcore.MLP([6, 4], [name], seed=2)
        assert auto == mlpcore.MLP([6, 4], [name], seed=2, init="he" if name in he else "glorot")


@pytest.mark.parametrize("init", INITIALIZERS)
def test_float32_is_the_rounded_float64(init):
    sizes = [9, 33, 2, 40, 1]
    single = mlpcore.MLP(sizes, init=init, seed=11)
    double = mlpcore.MLP(sizes, init=init, seed=11, dtype="float64")
    np.testing.assert_array_equal(single.parameters, double.parameters.astype(np.float32))
    for bias in double.biases:
        assert not bias.any()


def test_weights_are_drawn_in_the_order_in_which_they_are_shown():
    net = mlpcore.MLP([3, 4, 2], init="lecun", seed=123, dtype="float64")
    generator = np.random.Generator(np.random.Philox(123))
    for weight in net.weights:
        drawn = generator.standard_normal(weight.shape)
        np.testing.assert_array_equal(weight, np.sqrt(1 / weight.shape[1]) * drawn)


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1, np.int64(7), np.uint64(2**63)])
def test_a_seed_fixes_the_net(seed):
    assert mlpcore.MLP([3, 4, 2], seed=seed) == mlpcore.MLP([3, 4, 2], seed=int(seed))


def test_no_seed_is_another_net_each_time_and_leaves_numpys_generator_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert mlpcore.MLP([3, 4, 2]) != mlpcore.MLP([3, 4, 2])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


# ---- one training step --------------------------------------------------------------------------


def suitable(loss):
    return {"bce": "sigmoid", "cross_entropy": "softmax"}.get(loss, "identity")


@pytest.mark.parametrize("loss", losses.NAMED)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_train_step_has_the_bits_of_the_steps_apart(loss, optimizer, dtype):
    net = mlpcore.MLP([3, 20, 4], ["tanh", suitable(loss)], dtype, seed=0)
    apart, together = net.copy(), net.copy()
    a, b = OPTIMIZERS[optimizer](), OPTIMIZERS[optimizer]()
    instance = losses.NAMED[loss]
    x, y = data(net, 33)
    weight = np.linspace(0.0, 2.0, 33).astype(dtype)
    for _ in range(3):
        trace = apart.trace(x)
        value = instance(trace, y, weight)
        gradients = apart.backward(trace, instance, y, weight)
        a.step(apart, gradients)
        assert together.train_step(x, y, loss, b, weight) == value
        assert apart == together
    assert apart != net


def test_train_step_of_one_sample_is_that_of_a_batch_of_one(dtype):
    net = mlpcore.MLP([3, 5, 2], dtype=dtype, seed=0)
    other = net.copy()
    value = net.train_step([1, 2, 3], [0, 1], "mse", mlpcore.SGD())
    assert value == other.train_step([[1, 2, 3]], [[0, 1]], "mse", mlpcore.SGD())
    assert net == other


def test_one_output_takes_a_vector_of_targets_or_a_number():
    net = mlpcore.MLP([3, 5, 1], seed=0)
    x, y = data(net)
    expected = net.value_and_grad(x, y, "mse")[0]
    assert net.value_and_grad(x, y[:, 0], "mse")[0] == expected
    one = net.value_and_grad(x[0], y[0], "mse")[0]
    assert net.value_and_grad(x[0], y[0, 0], "mse")[0] == one
    assert net.value_and_grad(x[0], float(y[0, 0]), "mse")[0] == one


def test_a_class_is_its_row_of_the_identity(dtype):
    net = mlpcore.MLP([3, 5, 4], ["relu", "softmax"], dtype, seed=0)
    x, _ = data(net, 8)
    classes = np.array([0, 3, 1, 1, 2, 0, 3, 3])
    a = net.value_and_grad(x, classes, "cross_entropy")
    b = net.value_and_grad(x, np.eye(4)[classes], "cross_entropy")
    assert a[0] == pytest.approx(b[0], rel=1e-6)
    np.testing.assert_allclose(a[1].flat, b[1].flat, rtol=1e-5, atol=1e-7)
    one = net.value_and_grad(x[1], 3, "cross_entropy")
    assert one[0] == pytest.approx(net.value_and_grad(x[1], np.eye(4)[3], "cross_entropy")[0])


@pytest.mark.parametrize("poison", ["x", "y", "parameters"])
@pytest.mark.parametrize("loss", ["mse", "callable"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_not_finite_updates_nothing(poison, loss, optimizer):
    net = mlpcore.MLP([3, 5, 2], "tanh", seed=0)
    state = OPTIMIZERS[optimizer]()
    x, y = data(net)
    function = "mse" if loss == "mse" else lambda y_hat, y: ((y_hat - y).sum(), y_hat - y)
    net.train_step(x, y, function, state)
    moments = copy.deepcopy((state.first_moment, state.second_moment))
    before = net.parameters.copy()
    if poison == "parameters":
        net.parameters[-1] = before[-1] = np.nan
    else:
        {"x": x, "y": y}[poison][2, 1] = np.nan
    with pytest.raises(FloatingPointError, match="parameters were not updated"):
        net.train_step(x, y, function, state)
    np.testing.assert_array_equal(net.parameters, before)
    assert state.n_steps == 1
    for a, b in zip(moments, (state.first_moment, state.second_moment), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_callable_is_a_loss(dtype):
    def squared(y_hat, y):
        return np.mean((y_hat - y) ** 2, dtype=np.float64), 2 * (y_hat - y) / y.size

    net = mlpcore.MLP([3, 5, 2], "tanh", dtype, seed=0)
    other = net.copy()
    x, y = data(net)
    value = net.train_step(x, y, squared, mlpcore.SGD(0.1))
    assert value == pytest.approx(other.train_step(x, y, "mse", mlpcore.SGD(0.1)), rel=1e-6)
    np.testing.assert_allclose(net.parameters, other.parameters, rtol=1e-5)


# ---- threads and the package --------------------------------------------------------------------


def test_set_n_threads():
    for n in (1, 2, 5, np.int32(3)):
        mlpcore.set_n_threads(n)
        assert mlpcore.get_n_threads() == n


def test_the_number_of_threads_changes_no_bit():
    net = mlpcore.MLP([20, 150, 90, 3], "gelu", seed=0)
    x, y = data(net, 301)
    results = []
    for n in (1, 2, 3, 8):
        mlpcore.set_n_threads(n)
        gradients = net.value_and_grad(x, y, "huber")[1]
        results.append((net.forward(x, n_threads=n), net(x), gradients.flat, gradients.inputs))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(a, b)


def test_public_names():
    assert dir(mlpcore) == sorted(mlpcore.__all__)
    for name in mlpcore.__all__:
        assert getattr(mlpcore, name) is getattr(mlpcore, name)
    with pytest.raises(AttributeError, match="no attribute 'Multilayer'"):
        mlpcore.Multilayer  # noqa: B018
    assert mlpcore.cpu.isa() in mlpcore.cpu.available_isas()


def test_version_is_that_of_the_project():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    if not pyproject.exists():
        pytest.skip("no source tree")
    version = re.search(r'^version = "(.*)"', pyproject.read_text(), re.MULTILINE)[1]
    assert mlpcore.__version__ == version


# The package that is tested, from wherever it comes, and not the folder that pytest was called in.
IMPORT_PATH = {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}


def test_import_loads_only_what_a_net_needs():
    code = "import sys, mlpcore; print(*[m for m in sys.modules if m.startswith('mlpcore.')])"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **IMPORT_PATH},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    late = (
        *("trainer", "gradient_check", "gradient_report", "explain"),
        *("chain", "derivatives", "reference", "demo"),
    )
    assert not [name for name in loaded if name.split(".")[1] in late]


@pytest.mark.timing
def test_import_is_quick(tmp_path):
    code = (
        "import numpy, time; a = time.perf_counter(); import mlpcore; "
        "print(time.perf_counter() - a)"
    )
    # As installed: compiled once, in the first of the runs.
    environment = {**os.environ, **IMPORT_PATH, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-P", "-c", code]
    seconds = [
        float(subprocess.check_output(command, env=environment, text=True)) for _ in range(6)
    ]
    assert min(seconds) < 0.010
