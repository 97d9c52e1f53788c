# SPDX-License-Identifier: BSD-3-Clause
"""Bad input, cell by cell: the right exception, a message that begins with the argument's name.

And odd but good input: whatever layout or dtype an array has, the result is that of the plain array
with the same values, and the array is not written to.
"""

import warnings
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

import mlpcore
from mlpcore import losses

N, D, K = 4, 3, 2
X = np.array([[1, 0, 2], [0, 1, 1], [2, 2, 0], [1, 1, 1]], np.float32)
Y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
W = np.array([1, 2, 0, 1], np.float32)


def make_net(dtype="float32"):
    return mlpcore.MLP([D, 5, K], "tanh", dtype=dtype, seed=3)


P = make_net().n_parameters


class Slot(NamedTuple):
    """One argument of one function: how to call it with that argument, and a good value."""

    argument: str
    good: np.ndarray
    call: object


def _arrays(gradients):
    return [gradients.flat, gradients.inputs]


def _trained(net, *arguments, **options):
    return [net.train_step(*arguments, **options), net.parameters]


def _valued(pair):
    return [pair[0], *_arrays(pair[1])]


def _stepped(net, gradients):
    mlpcore.SGD(0.5).step(net, gradients)
    return [net.parameters]


def _fitted(net, *arguments, **options):
    options = {"epochs": 2, "batch_size": 3, "seed": 0} | options
    history = net.fit(*arguments, "mse", mlpcore.SGD(0.1), **options)
    return [history[-1]["loss"], net.parameters]


def _chained(chain):
    return [chain["l"], chain["dl/dW1"], chain["dl/dx"]]


C = np.array([[1, -1], [2, 0], [0, 1], [1, 1]], np.float32)
G = (np.arange(P) % 5).astype(np.float32)

SLOTS = {
    "call": Slot("x", X, lambda net, a: [net(a)]),
    "forward": Slot("x", X, lambda net, a: [net.forward(a, n_threads=1)]),
    "trace": Slot("x", X, lambda net, a: [net.trace(a).output]),
    "backward-y": Slot("y", Y, lambda net, a: _arrays(net.backward(net.trace(X), losses.MSE(), a))),
    "backward-sample_weight": Slot(
        "sample_weight", W, lambda net, a: _arrays(net.backward(net.trace(X), "mse", Y, a))
    ),
    "backward-cotangent": Slot(
        "cotangent", C, lambda net, a: _arrays(net.backward(net.trace(X), a))
    ),
    "train_step-x": Slot("x", X, lambda net, a: _trained(net, a, Y, "mse", mlpcore.SGD())),
    "train_step-y": Slot("y", Y, lambda net, a: _trained(net, X, a, "l1", mlpcore.SGD())),
    "train_step-sample_weight": Slot(
        "sample_weight",
        W,
        lambda net, a: _trained(net, X, Y, "mse", mlpcore.SGD(), sample_weight=a),
    ),
    "value_and_grad-x": Slot("x", X, lambda net, a: _valued(net.value_and_grad(a, Y, "mse"))),
    "value_and_grad-y": Slot("y", Y, lambda net, a: _valued(net.value_and_grad(X, a, "huber"))),
    "value_and_grad-sample_weight": Slot(
        "sample_weight", W, lambda net, a: _valued(net.value_and_grad(X, Y, "mse", a))
    ),
    "vjp-x": Slot("x", X, lambda net, a: _arrays(net.vjp(a, C))),
    "vjp-cotangent": Slot("cotangent", C, lambda net, a: _arrays(net.vjp(X, a))),
    "chain-x": Slot("x", X, lambda net, a: _chained(net.chain(a, Y, "mse"))),
    "chain-y": Slot("y", Y, lambda net, a: _chained(net.chain(X, a, "mse"))),
    "fit-x": Slot("x", X, lambda net, a: _fitted(net, a, Y)),
    "fit-y": Slot("y", Y, lambda net, a: _fitted(net, X, a)),
    "fit-sample_weight": Slot(
        "sample_weight", W, lambda net, a: _fitted(net, X, Y, sample_weight=a)
    ),
    "loss-y_hat": Slot("y_hat", C, lambda net, a: [losses.MSE()(a, Y)]),
    "loss-y": Slot("y", Y, lambda net, a: [losses.MSE()(C, a)]),
    "loss-sample_weight": Slot("sample_weight", W, lambda net, a: [losses.MSE()(C, Y, a)]),
    "loss.gradient-y_hat": Slot("y_hat", C, lambda net, a: [losses.L1().gradient(a, Y)]),
    "loss.gradient-y": Slot("y", Y, lambda net, a: [losses.L1().gradient(C, a)]),
    "optimizer.step": Slot("gradients", G, _stepped),
}
slots = pytest.mark.parametrize("slot", SLOTS.values(), ids=SLOTS)

# ---- odd but good -------------------------------------------------------------------------------


def _unaligned(a):
    memory = np.zeros(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def _every_other(a):
    wide = np.full((2 * a.shape[0], *a.shape[1:]), 7, a.dtype)
    wide[::2] = a
    return wide[::2]


def _matrix(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(a) if a.ndim == 2 else a


class _Array(np.ndarray):
    """A subclass that nobody has heard of."""


class _Duck:
    """Not an array, but knows how to become one, like another library's tensor."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


ODD = {
    "fortran": np.asfortranarray,
    "every other row": _every_other,
    "negative strides": lambda a: a[::-1].copy()[::-1],
    "mirrored": lambda a: np.flip(np.flip(a).copy()),
    "transposed": lambda a: a.T.copy().T,
    "unaligned": _unaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "byte-swapped float64": lambda a: a.astype(">f8"),
    "read-only": _read_only,
    "float16": lambda a: a.astype(np.float16),
    "float64": lambda a: a.astype(np.float64),
    "longdouble": lambda a: a.astype(np.longdouble),
    "int8": lambda a: a.astype(np.int8),
    "int64": lambda a: a.astype(np.int64),
    "bytes of ints": lambda a: memoryview(a.astype(np.int16)),
    "object of floats": lambda a: a.astype(np.float64).astype(object),
    "list": lambda a: a.tolist(),
    "tuple of rows": tuple,
    "masked array, nothing masked": np.ma.array,
    "matrix": _matrix,
    "subclass": lambda a: a.view(_Array),
    "duck": _Duck,
    "view of a lost owner": lambda a: np.concatenate([a, a])[: len(a)],
}


@slots
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_layout_and_dtype_do_not_matter(slot, odd):
    value = odd(slot.good)
    before = np.array(value, dtype=np.float64, subok=False)
    expected = slot.call(make_net(), slot.good.copy())
    actual = slot.call(make_net(), value)
    for a, b in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.array(value, dtype=np.float64, subok=False), before)


@slots
def test_nothing_passed_in_is_written_to(slot):
    value = slot.good.copy()
    slot.call(make_net(), value)
    assert value.tobytes() == slot.good.tobytes()


@slots
def test_a_broadcast_array_is_read_as_what_it_shows(slot):
    value = np.broadcast_to(np.float32(1), slot.good.shape)
    expected = slot.call(make_net(), np.ones(slot.good.shape, np.float32))
    for a, b in zip(expected, slot.call(make_net(), value), strict=True):
        np.testing.assert_array_equal(a, b)


@slots
def test_bool_is_zero_and_one(slot):
    value = slot.good > 0
    expected = slot.call(make_net(), value.astype(np.float32))
    for a, b in zip(expected, slot.call(make_net(), value), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memmap(tmp_path):
    X.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", np.float32, "r", shape=X.shape)
    np.testing.assert_array_equal(make_net()(mapped), make_net()(X))


def test_the_slots_are_no_vacuous_test():
    net = make_net()
    for slot in SLOTS.values():
        for result in slot.call(net.copy(), slot.good):
            assert np.isfinite(result).all()
            assert np.any(result)


# ---- bad ----------------------------------------------------------------------------------------

STRUCTURED = np.dtype([("a", np.float32), ("b", np.float32)])

WRONG_KIND = {
    "str": lambda a: "1.0",
    "bytes": lambda a: b"1.0",
    "array of str": lambda a: a.astype(str),
    "list of str": lambda a: a.astype(str).tolist(),
    "array of bytes": lambda a: a.astype("S4"),
    "objects of str": lambda a: a.astype(str).astype(object),
    "objects of None": lambda a: np.full(a.shape, None),
    "objects, one complex": lambda a: np.where(a == a.max(), 1j, a.astype(object)),
    "complex": lambda a: a.astype(complex),
    "list of complex": lambda a: (a * 1j).tolist(),
    "datetime": lambda a: a.astype(int).astype("M8[s]"),
    "timedelta": lambda a: a.astype("m8[s]"),
    "structured": lambda a: np.zeros(a.shape, STRUCTURED),
    "void": lambda a: np.zeros(a.shape, "V4"),
    "dict": lambda a: {"a": 1.0},
    "set": lambda a: {1.0, 2.0},
    "generator": lambda a: (row for row in a),
    "function": lambda a: np.sin,
    "type": lambda a: float,
    "object()": lambda a: object(),
}


@pytest.mark.parametrize("bad", WRONG_KIND)
@slots
def test_wrong_kind_is_a_type_error(slot, bad):
    net = make_net()
    before = net.parameters.copy()
    with pytest.raises(TypeError, match=rf"^{slot.argument}: expected "):
        slot.call(net, WRONG_KIND[bad](slot.good))
    np.testing.assert_array_equal(net.parameters, before)


NOT_OPTIONAL = [name for name, slot in SLOTS.items() if slot.argument != "sample_weight"]


@pytest.mark.parametrize("name", NOT_OPTIONAL)
def test_none_is_a_type_error_where_an_array_has_to_be(name):
    with pytest.raises(TypeError, match=rf"^{SLOTS[name].argument}: expected .*None"):
        SLOTS[name].call(make_net(), None)


WRONG_SHAPE = {
    "0-d": lambda a: a.ravel()[0],
    "number": lambda a: 1.0,
    "3-d": lambda a: a.reshape(1, *a.shape, 1),
    "empty": lambda a: [],
    "no column": lambda a: a.reshape(a.shape[0], -1)[:, :0],
    "one column more": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1] + 1],
    "one column less": lambda a: a[..., :-1],
    "transposed": lambda a: a.reshape(a.shape[0], -1).T,
    "unequal rows": lambda a: [[1.0, 2.0], [3.0], [4.0, 5.0], [6.0]],
    "beyond 2**31, broadcast": lambda a: np.broadcast_to(np.float32(1), (2**40, 7)),
    "huge 1-d, broadcast": lambda a: np.broadcast_to(np.float32(1), (2**50,)),
}
# Predictions alone come in any shape that has columns: then it is the targets that do not fit.
ANY_SHAPE = {"one column more", "one column less", "transposed"}
# Nothing is wrong with so many of them, but the memory that they would take.
TOO_MANY = {name for name in WRONG_SHAPE if "broadcast" in name}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        (name, bad)
        for name, slot in SLOTS.items()
        for bad in WRONG_SHAPE
        if not (slot.argument == "y_hat" and bad in TOO_MANY)
    ],
)
def test_wrong_shape_is_a_value_error(name, bad):
    slot, net = SLOTS[name], make_net()
    before = net.parameters.copy()
    argument = "y" if slot.argument == "y_hat" and bad in ANY_SHAPE else slot.argument
    with pytest.raises(ValueError, match=rf"^{argument}: expected .*got "):
        slot.call(net, WRONG_SHAPE[bad](slot.good))
    np.testing.assert_array_equal(net.parameters, before)


WITHOUT_ROWS = [name for name, slot in SLOTS.items() if slot.argument not in ("x", "y_hat")]


@pytest.mark.parametrize("n", [0, N - 1, N + 1, 2 * N])
@pytest.mark.parametrize("name", WITHOUT_ROWS)
def test_wrong_number_of_rows_is_a_value_error(name, n):
    slot = SLOTS[name]
    rows = np.concatenate([slot.good] * 3)[:n]
    with pytest.raises(ValueError, match=rf"^{slot.argument}: expected shape .*got shape"):
        slot.call(make_net(), rows)


BEYOND = {
    "float64": lambda a: np.where(a == a.max(), 1e300, a.astype(np.float64)),
    "longdouble": lambda a: np.where(a == a.max(), np.longdouble("1e400"), a),
    "object int": lambda a: np.where(a == a.max(), 10**400, a.astype(object)),
}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        (name, bad)
        for name, slot in SLOTS.items()
        for bad in BEYOND
        if not (slot.argument == "y_hat" and bad == "float64")  # computed in float64
    ],
)
def test_a_finite_value_that_the_dtype_cannot_hold_is_a_value_error(name, bad):
    slot = SLOTS[name]
    value = BEYOND[bad](slot.good)
    with pytest.raises(ValueError, match=rf"^{slot.argument}: expected values in the range of"):
        slot.call(make_net(), value)


@pytest.mark.parametrize(
    ("name", "shape", "place"),
    [
        ("call", X.shape, "row 2, column 1"),
        ("backward-cotangent", C.shape, "row 2, column 1"),
        ("train_step-sample_weight", W.shape, "index 2"),
    ],
)
def test_the_value_at_fault_is_named_with_its_place(name, shape, place):
    index = (2, 1)[: len(shape)]
    for value, shown in (
        (1e300, r"1e\+300"),
        ("male", r"'male' \(str\)"),
        (None, r"None \(NoneType\)"),
        (10**60, "1000.*0000"),
    ):
        bad = np.ones(shape, object)
        bad[index] = value
        with pytest.raises((ValueError, TypeError), match=rf"expected .*got {shown} at {place}$"):
            SLOTS[name].call(make_net(), bad)
    bad = np.ones(shape)
    bad[index] = -1e39
    with pytest.raises(ValueError, match=rf"range of float32, got -1e\+39 at {place}$"):
        SLOTS[name].call(make_net(), bad)


def test_a_weight_that_rounds_to_zero_is_named():
    for bad, got in (([0, 0, 1e-60, 0], "1e-60 at index 2"), ([0, 0, 0, 0], "zeros")):
        with pytest.raises(ValueError, match=rf"^sample_weight: .*above 0 in float32, got {got}"):
            make_net().value_and_grad(X, Y, "mse", bad)
    with pytest.raises(ValueError, match=r"got -2\.0 at index 1"):
        make_net().value_and_grad(X, Y, "mse", [1, -2, 1, 1])


@pytest.mark.parametrize("shape", [(), (1, N, D), (D, 1, 1)])
def test_samples_of_another_rank_are_told_the_shapes_that_fit(shape):
    with pytest.raises(ValueError, match=r"^x: expected shape \(N, 3\) or \(3,\), got shape"):
        make_net()(np.ones(shape))


@slots
def test_masked_entries_are_a_value_error(slot):
    masked = np.ma.array(slot.good, mask=slot.good > 0)
    with pytest.raises(ValueError, match=rf"^{slot.argument}: expected an array without masked"):
        slot.call(make_net(), masked)


@pytest.mark.parametrize("state", ["ignore", "warn", "raise"])
def test_numpy_error_state_of_the_caller_does_not_matter(state):
    net = make_net()
    with np.errstate(all=state):
        np.testing.assert_array_equal(net(X.astype(np.float64) * 1e-300), net(0 * X))


def test_an_error_in_an_arrays_own_conversion_comes_out_as_it_is():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        make_net()(Broken())


WEIGHTED = [name for name, slot in SLOTS.items() if slot.argument == "sample_weight"]


@pytest.mark.parametrize(
    "bad",
    [
        [1, 1, -1, 1],
        [0, 0, 0, 0],
        [1, np.nan, 1, 1],
        [1, np.inf, 1, 1],
        [1, 1, 1, -np.inf],
        [1e-300, 0, 0, 0],
    ],
    ids=str,
)
@pytest.mark.parametrize("name", WEIGHTED)
def test_bad_sample_weights(name, bad):
    if name == "loss-sample_weight" and bad[0] == 1e-300:
        bad = np.float32([1e-30, 0, 0, 0]) ** 2
    with pytest.raises(ValueError, match=r"^sample_weight: expected .*got"):
        SLOTS[name].call(make_net(), bad)


# ---- classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64, ">i4", bool, list]
)
def test_classes_of_any_integer_kind(kind):
    net, classes = make_net(), np.array([0, 1, 1, 0])
    expected, _ = net.value_and_grad(X, np.eye(K)[classes], "cross_entropy")
    given = classes.tolist() if kind is list else classes.astype(kind)
    assert net.value_and_grad(X, given, "cross_entropy")[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("bad", "received"),
    [
        ([0, 1, 2, 0], "2 at index 2"),
        ([0, 1, -1, 5], "-1 at index 2"),
        ([0, 1, -100, 0], "-100"),
        (np.array([0, 1, 2**64 - 1, 0], np.uint64), str(2**64 - 1)),
        (np.array([0, 1, 2**62, 0]), str(2**62)),
        ([0, 1, 0], "shape"),
        ([[0], [1], [1], [0]], "shape"),
        ([0.0, 1.0, 1.0, 0.0], "shape"),
        ([], "shape"),
    ],
    ids=str,
)
def test_bad_classes_are_a_value_error(bad, received):
    for call in (
        lambda net: net.train_step(X, bad, "cross_entropy", mlpcore.SGD()),
        lambda net: net.backward(net.trace(X), "cross_entropy", bad),
        lambda net: losses.CrossEntropy()(C, bad),
    ):
        with pytest.raises(ValueError, match=rf"^y: expected .*got {received}"):
            call(make_net())


@pytest.mark.parametrize("nothing", [[], np.empty(0), np.empty(0, np.int8), np.empty(0, object)])
def test_no_classes_have_no_dtype(nothing):
    value, gradients = make_net().value_and_grad(X[:0], nothing, "cross_entropy")
    assert value == 0.0
    assert not gradients.flat.any()


@pytest.mark.parametrize("loss", ["mse", "poisson", "bce_with_logits"])
def test_a_vector_of_targets_is_never_broadcast(loss):
    with pytest.raises(ValueError, match=r"^y: expected shape \(4, 2\), got shape \(4,\)"):
        make_net().train_step(X, [0, 1, 1, 0], loss, mlpcore.SGD())


# ---- configuration ------------------------------------------------------------------------------

RELU = ["relu", "identity"]

BAD_ARGUMENTS = [
    ("sizes", TypeError, {"sizes": 3}),
    ("sizes", TypeError, {"sizes": None}),
    ("sizes", TypeError, {"sizes": "345"}),
    ("sizes", TypeError, {"sizes": {3}}),
    ("sizes", TypeError, {"sizes": {3: "inputs", 2: "outputs"}}),
    ("sizes", TypeError, {"sizes": np.array(3)}),
    ("sizes", ValueError, {"sizes": []}),
    ("sizes", ValueError, {"sizes": [3]}),
    ("sizes", ValueError, {"sizes": [2**40, 2**40, 2]}),
    ("sizes", ValueError, {"sizes": [2**70, 2]}),
    (r"sizes\[0\]", ValueError, {"sizes": [0, 5, 2]}),
    (r"sizes\[1\]", ValueError, {"sizes": [3, -1, 2]}),
    (r"sizes\[1\]", TypeError, {"sizes": [3, "10", 2]}),
    (r"sizes\[1\]", TypeError, {"sizes": [3, 5.0, 2]}),
    (r"sizes\[2\]", TypeError, {"sizes": [3, 5, True]}),
    (r"sizes\[0\]", TypeError, {"sizes": [None, 5, 2]}),
    (r"sizes\[0\]", TypeError, {"sizes": np.array([3.0, 5.0])}),
    (r"sizes\[0\]", TypeError, {"sizes": [[3, 5], [5, 2]]}),
    ("activations", ValueError, {"activations": "Relu"}),
    ("activations", ValueError, {"activations": "softmax"}),
    ("activations", TypeError, {"activations": None}),
    ("activations", TypeError, {"activations": 1}),
    ("activations", TypeError, {"activations": {"relu"}}),
    ("activations", TypeError, {"activations": {"relu": 0, "identity": 1}}),
    ("activations", ValueError, {"activations": []}),
    ("activations", ValueError, {"activations": ["relu"]}),
    ("activations", ValueError, {"activations": ["relu"] * 3}),
    ("activations", ValueError, {"activations": ["softmax", "identity"]}),
    (r"activations\[1\]", ValueError, {"activations": ["relu", "sinus"]}),
    (r"activations\[1\]", TypeError, {"activations": ["relu", None]}),
    (r"activations\[0\]", TypeError, {"activations": [np.tanh, "relu"]}),
    ("dtype", ValueError, {"dtype": "float16"}),
    ("dtype", ValueError, {"dtype": "int32"}),
    ("dtype", ValueError, {"dtype": "complex64"}),
    ("dtype", ValueError, {"dtype": ">f4"}),
    ("dtype", ValueError, {"dtype": "single-ish"}),
    ("dtype", ValueError, {"dtype": np.longdouble}),
    ("dtype", TypeError, {"dtype": None}),
    ("dtype", TypeError, {"dtype": 32}),
    ("seed", ValueError, {"seed": -1}),
    ("seed", ValueError, {"seed": 2**64}),
    ("seed", TypeError, {"seed": 0.0}),
    ("seed", TypeError, {"seed": "0"}),
    ("seed", TypeError, {"seed": True}),
    ("seed", TypeError, {"seed": [1, 2]}),
    ("init", ValueError, {"init": "He"}),
    ("init", ValueError, {"init": ""}),
    ("init", TypeError, {"init": None}),
    ("init", TypeError, {"init": 0}),
    ("bias", TypeError, {"bias": 1}),
    ("bias", TypeError, {"bias": None}),
    ("bias", TypeError, {"bias": "True"}),
]


@pytest.mark.parametrize(("name", "error", "change"), BAD_ARGUMENTS, ids=str)
def test_bad_arguments_of_a_net(name, error, change):
    with pytest.raises(error, match=rf"^{name}: .*(got|expected)"):
        mlpcore.MLP(**{"sizes": [D, 5, K], "activations": RELU, **change})


def test_an_iterator_is_no_sequence_of_sizes():
    with pytest.raises(TypeError, match=r"^sizes: expected a sequence"):
        mlpcore.MLP(iter([D, K]))


def test_one_name_is_no_names():
    with pytest.raises(ValueError, match=r"^activations: expected 1 name, one per layer, got"):
        mlpcore.MLP([D, K], ["relu", "identity"])


def test_a_seed_is_checked_alike_everywhere():
    messages = set()
    for use in (
        lambda: mlpcore.MLP([D, K], seed=-1),
        lambda: make_net().fit(X, Y, "mse", mlpcore.SGD(), epochs=1, seed=-1),
        lambda: mlpcore.Trainer(make_net(), "mse", mlpcore.SGD(), seed=-1),
    ):
        with pytest.raises(ValueError, match=r"^seed: expected None or") as caught:
            use()
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_sizes_that_no_memory_holds():
    with pytest.raises(MemoryError):
        mlpcore.MLP([2**44, 2**12], init="zeros")


@pytest.mark.parametrize("kind", [tuple, np.array, lambda s: list(map(np.int16, s))])
def test_sizes_of_any_kind_of_sequence(kind):
    assert mlpcore.MLP(kind([D, 5, K])).sizes == (D, 5, K)


BAD_HYPERPARAMETERS = [
    (cls, name, error, value)
    for cls, names in [
        (mlpcore.SGD, ["learning_rate", "momentum", "weight_decay"]),
        (mlpcore.Adam, ["learning_rate", "beta1", "beta2", "epsilon", "weight_decay"]),
        (mlpcore.AdamW, ["learning_rate", "beta1", "beta2", "epsilon", "weight_decay"]),
    ]
    for name in names
    for error, value in [
        (ValueError, -1.0),
        (ValueError, float("nan")),
        (ValueError, float("inf")),
        (TypeError, "0.1"),
        (TypeError, None),
        (TypeError, 1j),
        (TypeError, True),
        (TypeError, [0.1]),
        (TypeError, np.array([0.1])),
    ]
]


@pytest.mark.parametrize(("cls", "name", "error", "value"), BAD_HYPERPARAMETERS)
def test_bad_hyperparameters(cls, name, error, value):
    with pytest.raises(error, match=rf"^{name}: expected .*got"):
        cls(**{name: value})


@pytest.mark.parametrize("cls", [mlpcore.SGD, mlpcore.Adam, mlpcore.AdamW])
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "0.1", None])
def test_bad_hyperparameters_are_refused_later_too(cls, name, value):
    optimizer = cls()
    before = getattr(optimizer, name)
    with pytest.raises((ValueError, TypeError), match=rf"^{name}: expected .*got"):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before


@pytest.mark.parametrize(
    ("name", "error", "make"),
    [
        ("learning_rate", ValueError, lambda: mlpcore.SGD(0)),
        ("learning_rate", ValueError, lambda: mlpcore.Adam(0.0)),
        ("momentum", ValueError, lambda: mlpcore.SGD(momentum=1)),
        ("nesterov", ValueError, lambda: mlpcore.SGD(nesterov=True)),
        ("nesterov", TypeError, lambda: mlpcore.SGD(momentum=0.5, nesterov=1)),
        ("beta1", ValueError, lambda: mlpcore.Adam(beta1=1.0)),
        ("beta2", ValueError, lambda: mlpcore.AdamW(beta2=1.5)),
        ("epsilon", ValueError, lambda: mlpcore.Adam(epsilon=0)),
        ("delta", ValueError, lambda: losses.Huber(0)),
        ("delta", ValueError, lambda: losses.Huber(-1)),
        ("delta", ValueError, lambda: losses.Huber(np.inf)),
        ("delta", TypeError, lambda: losses.Huber("1")),
        ("q", ValueError, lambda: losses.Quantile(0)),
        ("q", ValueError, lambda: losses.Quantile(1)),
        ("q", ValueError, lambda: losses.Quantile(np.nan)),
        ("q", TypeError, lambda: losses.Quantile(None)),
        ("reduction", ValueError, lambda: losses.MSE("average")),
        ("reduction", TypeError, lambda: losses.MSE(None)),
        ("reduction", TypeError, lambda: losses.BCE(1)),
        ("from_logits", TypeError, lambda: losses.CrossEntropy("sum")),
        ("from_logits", TypeError, lambda: losses.CrossEntropy(0)),
        ("n_threads", ValueError, lambda: mlpcore.set_n_threads(0)),
        ("n_threads", ValueError, lambda: mlpcore.set_n_threads(-1)),
        ("n_threads", ValueError, lambda: mlpcore.set_n_threads(2**40)),
        ("n_threads", TypeError, lambda: mlpcore.set_n_threads(1.0)),
        ("n_threads", TypeError, lambda: mlpcore.set_n_threads(None)),
        ("n_threads", ValueError, lambda: make_net().forward(X, n_threads=0)),
        ("n_threads", TypeError, lambda: make_net().forward(X, n_threads="2")),
        ("n_threads", TypeError, lambda: make_net().forward(X, n_threads=True)),
    ],
)
def test_bad_settings(name, error, make):
    with pytest.raises(error, match=rf"^{name}: expected .*got"):
        make()


@pytest.mark.parametrize(
    ("name", "error", "loss", "optimizer"),
    [
        ("loss", ValueError, "MSE", mlpcore.SGD()),
        ("loss", ValueError, "", mlpcore.SGD()),
        ("loss", TypeError, None, mlpcore.SGD()),
        ("loss", TypeError, 3, mlpcore.SGD()),
        ("loss", TypeError, losses.MSE, mlpcore.SGD()),
        ("loss", ValueError, "bce", mlpcore.SGD()),
        ("loss", ValueError, losses.BCE("sum"), mlpcore.SGD()),
        ("loss", ValueError, losses.CrossEntropy(from_logits=False), mlpcore.SGD()),
        ("optimizer", TypeError, "mse", "adam"),
        ("optimizer", TypeError, "mse", None),
        ("optimizer", TypeError, "mse", mlpcore.Adam),
    ],
)
def test_bad_loss_or_optimizer(name, error, loss, optimizer):
    with pytest.raises(error, match=rf"^{name}: .*expected .*got"):
        make_net().train_step(X, Y, loss, optimizer)
    with pytest.raises(error, match=rf"^{name}: .*expected .*got"):
        make_net().fit(X, Y, loss, optimizer, epochs=1)


@pytest.mark.parametrize("output", ["identity", "relu", "tanh", "softplus", "elu"])
def test_bce_after_an_output_that_can_leave_0_and_1_names_both_remedies(output):
    net = mlpcore.MLP([D, K], [output])
    with pytest.raises(ValueError, match=r"sigmoid.*bce_with_logits.*" + output):
        net.train_step(X, Y, "bce", mlpcore.SGD())


@pytest.mark.parametrize("net", [None, "net", X, mlpcore.MLP, 3])
def test_what_is_no_net(net):
    with pytest.raises(TypeError, match=r"^net: expected an MLP, got"):
        mlpcore.SGD().step(net, G)
    with pytest.raises(TypeError, match=r"^net: expected an MLP, got"):
        mlpcore.Trainer(net, "mse", mlpcore.SGD())


# ---- out= ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (TypeError, [[0.0] * K] * N),
        (TypeError, "out"),
        (TypeError, np.empty((N, K), np.float64)),
        (TypeError, np.empty((N, K), np.int32)),
        (TypeError, np.empty((N, K), np.float16)),
        (TypeError, np.empty((N, K), object)),
        (ValueError, np.empty((N, K + 1), np.float32)),
        (ValueError, np.empty((N + 1, K), np.float32)),
        (ValueError, np.empty((K, N), np.float32)),
        (ValueError, np.empty(N * K, np.float32)),
        (ValueError, np.empty((1, N, K), np.float32)),
        (ValueError, _read_only(np.empty((N, K), np.float32))),
    ],
)
def test_bad_out(error, out):
    with pytest.raises(error, match=r"^out: expected .*got"):
        make_net().forward(X, out=out)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((N, K), np.float32),
        np.empty((N, K), np.float32, order="F"),
        np.empty((2 * N, K), np.float32)[::2],
        np.empty((N, K), ">f4"),
        _unaligned(np.zeros((N, K), np.float32)),
    ],
)
def test_out_of_any_layout(out):
    net = make_net()
    assert net.forward(X, out=out) is out
    np.testing.assert_array_equal(out, net(X))


def test_out_of_one_sample():
    net, out = make_net(), np.empty(2 * K, np.float32)
    assert net.forward(X[1], out=out[:K]).base is out
    net.forward(X[1].tolist(), out=out[::2])
    np.testing.assert_array_equal(out[::2], net(X[1]))
    with pytest.raises(ValueError, match=r"^out: expected shape \(2,\), got shape \(1, 2\)"):
        net.forward(X[1], out=out[None, :K])


def test_out_that_overlaps_the_input_or_the_parameters():
    net = mlpcore.MLP([K, K], "tanh", seed=0)
    memory = np.ones((N + 1, K), np.float32)
    expected = net(memory[:N])
    np.testing.assert_array_equal(net.forward(memory[:N], out=memory[1:]), expected)
    one = np.ones((1, K), np.float32)
    expected = net(one)
    np.testing.assert_array_equal(net.forward(one, out=net.parameters[None, :K]), expected)


# ---- the matrix itself --------------------------------------------------------------------------


def test_every_argument_has_its_slots():
    arguments = Counter(slot.argument for slot in SLOTS.values())
    assert set(arguments) == {"x", "y", "sample_weight", "cotangent", "y_hat", "gradients"}
