# SPDX-License-Identifier: BSD-3-Clause
"""Odd but good input: whatever layout or dtype an array has, the result is that of the plain array
with the same values, and the array is not written to.
"""

import inspect
import warnings

import numpy as np
import pytest
from slots import SLOTS, X, make_net, read_only, slots, unaligned

import mlpcore


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
    "unaligned": unaligned,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "byte-swapped float64": lambda a: a.astype(">f8"),
    "read-only": read_only,
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


def test_whatever_takes_rows_has_its_slots():
    methods = {
        name: inspect.signature(method).parameters
        for name, method in inspect.getmembers(mlpcore.MLP, callable)
        if not name.startswith("_")
    }
    takes_rows = {name for name, parameters in methods.items() if "x" in parameters}
    assert len(takes_rows) > 15
    assert takes_rows <= {name.split("-")[0] for name in SLOTS}
