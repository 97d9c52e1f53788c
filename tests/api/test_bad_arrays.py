# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that do not fit, cell by cell: the right exception, and a message that begins with the
argument's name.
"""

import numpy as np
import pytest
from slots import SLOTS, C, D, K, N, W, X, Y, make_net, slots

import mlpcore
from mlpcore import losses

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


OPTIONAL = ("sample_weight", "tangent", "parameters_tangent")
NOT_OPTIONAL = [name for name, slot in SLOTS.items() if slot.argument not in OPTIONAL]


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
