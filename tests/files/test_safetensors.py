# SPDX-License-Identifier: BSD-3-Clause
"""The reader and the writer of safetensors: the format, and files made to do harm."""

import json
import os
import tracemalloc

import numpy as np
import pytest

from mlpcore import _safetensors

ARRAYS = {
    "b": np.arange(6, dtype=np.float64).reshape(2, 3),
    "a": np.array(1.5, np.float32),
    "half": np.array([1, 2.5, np.inf], np.float16),
    "empty": np.empty((0, 4), np.float32),
    "i8": np.array([-128, 127], np.int8),
    "i16": np.array([[-1]], np.int16),
    "i32": np.array([2**31 - 1], np.int32),
    "i64": np.array([-(2**63)], np.int64),
    "u8": np.arange(3, dtype=np.uint8),
    "u16": np.array([65535], np.uint16),
    "u32": np.array([2**32 - 1], np.uint32),
    "u64": np.array([2**64 - 1], np.uint64),
    "flags": np.array([True, False, True]),
    "Grüße 😀": np.zeros((1, 1, 1), np.float32),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays.safetensors"


def content(header, data=b""):
    """The bytes of a file; a header that is no text is encoded as JSON."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return bytearray(len(header).to_bytes(8, "little") + header + data)


def read(data):
    return _safetensors.from_bytes(bytearray(data), "file")


def entry(dtype="U8", shape=(1,), offsets=(0, 1)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# ---- the format ---------------------------------------------------------------------------------


def test_arrays_and_metadata_come_back(path):
    metadata = {"one": "1", "text": 'ä"\\\n\x01😀'}
    _safetensors.write(path, ARRAYS, metadata)
    read_metadata, arrays = _safetensors.read(path)
    assert read_metadata == metadata
    assert set(arrays) == set(ARRAYS)
    for key, array in ARRAYS.items():
        got = arrays[key]
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.tobytes() == array.tobytes()
        assert got.flags.writeable
        assert got.flags.c_contiguous
        assert got.flags.aligned


def test_any_layout_and_byte_order_is_written(path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    others = {"f": np.asfortranarray(array), "step": array[:, ::-2], "big": array.astype(">f4")}
    _safetensors.write(path, others, {})
    _, arrays = _safetensors.read(path)
    for key, other in others.items():
        np.testing.assert_array_equal(arrays[key], other)


def test_nothing_at_all_is_a_file_too(path):
    _safetensors.write(path, {}, {})
    assert _safetensors.read(path) == ({}, {})


@pytest.mark.parametrize("dtype", [object, complex, "U3", "M8[s]", np.longdouble])
def test_a_dtype_that_the_format_lacks_is_refused(path, dtype):
    with pytest.raises(TypeError, match="a: expected an array of floats, integers or bools"):
        _safetensors.write(path, {"a": np.zeros(2, dtype)}, {})
    assert not path.exists()


def test_a_header_that_could_not_be_read_back_is_not_written(path):
    with pytest.raises(ValueError, match="header of at most 1048576 bytes"):
        _safetensors.write(path, {}, {"a": "x" * 2**20})
    assert not path.exists()


def test_unaligned_data_are_read():
    header = json.dumps({"a": entry("F64", [1], [1, 9]), "b": entry()}).encode()
    header += b" " * (-len(header) % 8)
    _, arrays = read(content(header, b"\x07" + np.float64(1.25).tobytes()))
    assert (float(arrays["a"][0]), int(arrays["b"][0])) == (1.25, 7)
    assert arrays["a"].flags.aligned


def test_bfloat16_is_read_as_float32():
    values = np.array([1.0, -2.5, np.inf, 3.0e38, 1e-40], np.float32).view(np.uint32) >> 16
    data = values.astype("<u2").tobytes()
    _, arrays = read(content({"a": entry("BF16", [5], [0, 10])}, data))
    np.testing.assert_array_equal(arrays["a"].view(np.uint32), values << 16)
    assert arrays["a"].dtype == np.float32


def test_a_bool_is_never_another_byte():
    _, arrays = read(content({"a": entry("BOOL", [3], [0, 3])}, b"\x00\x01\xff"))
    assert arrays["a"].tobytes() == b"\x00\x01\x01"


def test_the_safetensors_package_reads_ours_and_we_read_its(path):
    package = pytest.importorskip("safetensors.numpy", reason="the safetensors package is missing")
    metadata = {"format": "np"}
    _safetensors.write(path, ARRAYS, metadata)
    theirs = package.load_file(path)
    _, ours = _safetensors.from_bytes(bytearray(package.save(ARRAYS, metadata)), "file")
    for key, array in ARRAYS.items():
        for arrays in (theirs, ours):
            assert (arrays[key].dtype, arrays[key].shape) == (array.dtype, array.shape)
            assert arrays[key].tobytes() == array.tobytes()


# ---- files made to do harm ----------------------------------------------------------------------

HARMFUL = {
    "no length": (b"", "8 bytes or more"),
    "half a length": (b"\x02\0\0", "8 bytes or more"),
    "huge length": (b"\xff" * 8 + b"{}", "header of at most"),
    "long length": ((2**20).to_bytes(8, "little") + b"{}", "truncated"),
    "empty header": (content(b""), "header in braces"),
    "no object": (content(b"[]"), "header in braces"),
    "space before": (content(b" {}"), "header in braces"),
    "tab after": (content(b"{}\t"), "header in braces"),
    "byte order mark": (content(b"\xef\xbb\xbf{}"), "header in braces"),
    "two objects": (content(b"{}{}"), "damaged header"),
    "no text": (content(b'{"\xff":1}'), "damaged header"),
    "utf-16": (content("{}".encode("utf-16-le")), "header in braces"),
    "comment": (content(b"{/**/}"), "damaged header"),
    "control character": (content(b'{"a\n":1}'), "damaged header"),
    "deep": (content(b'{"a":' * 100_000 + b"}"), "damaged header"),
    "deep lists": (content(b'{"a":' + b"[" * 500_000 + b"}"), "damaged header"),
    "twice": (content(b'{"a":1,"a":1}'), "comes twice"),
    "twice inside": (
        content(b'{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}', b"\0"),
        "comes twice",
    ),
    "twice metadata": (content(b'{"__metadata__":{},"__metadata__":{}}'), "comes twice"),
    "metadata list": (content({"__metadata__": []}), "text to text"),
    "metadata number": (content({"__metadata__": {"a": 1}}), "text to text"),
    "half a character": (content(b'{"__metadata__":{"a":"\\ud800"}}'), "is no text"),
    "half a name": (content(b'{"\\udfff":{}}'), "is no text"),
    "not a number": (content(b'{"a":NaN}'), "integers alone"),
    "infinity": (content(b'{"a":-Infinity}'), "integers alone"),
    "a float": (content(b'{"a":1.0}'), "integers alone"),
    "an exponent": (content(b'{"a":1e2}'), "integers alone"),
    "a long integer": (content(b'{"a":' + b"1" * 500_000 + b"}"), "beyond 64 bits"),
    "entry is null": (content({"a": None}), "expected dtype, shape and data_offsets"),
    "entry lacks shape": (content({"a": {"dtype": "U8", "data_offsets": [0, 1]}}), "shape"),
    "entry has more": (content({"a": entry() | {"b": 1}}, b"\0"), "expected dtype, shape"),
    "dtype unknown": (content({"a": entry("F8_E4M3")}, b"\0"), "expected a dtype"),
    "dtype a list": (content({"a": entry(["U8"])}, b"\0"), "expected a dtype"),
    "shape a number": (content({"a": entry() | {"shape": 1}}, b"\0"), "expected a shape"),
    "shape negative": (content({"a": entry(shape=[-1])}, b"\0"), "expected a shape"),
    "shape bool": (content({"a": entry(shape=[True])}, b"\0"), "expected a shape"),
    "shape text": (content({"a": entry(shape=["1"])}, b"\0"), "expected a shape"),
    "shape deep": (content({"a": entry(shape=[1] * 33)}, b"\0"), "expected a shape"),
    "shape huge": (content({"a": entry(shape=[2**62, 4])}, b"\0"), "got 1"),
    "shape wraps to 0": (content({"a": entry(shape=[2**32, 2**32], offsets=[0, 0])}), "got 0"),
    "shape empty and huge": (
        content({"a": entry(shape=[0, 10**19 - 1], offsets=[0, 0])}),
        "NumPy can hold",
    ),
    "shape too small": (content({"a": entry(offsets=[0, 2])}, b"\0\0"), "got 2"),
    "offsets three": (content({"a": entry(offsets=[0, 1, 2])}, b"\0"), "two data_offsets"),
    "offsets negative": (content({"a": entry(offsets=[-1, 0])}, b"\0"), "two data_offsets"),
    "offsets backwards": (content({"a": entry(offsets=[1, 0])}, b"\0"), "expected a range"),
    "offsets beyond": (content({"a": entry(shape=[2], offsets=[0, 2])}, b"\0"), "a range in 1"),
    "offsets far beyond": (
        content({"a": entry(offsets=[2**63 - 2, 2**63 - 1])}, b"\0"),
        "expected a range",
    ),
    "overlap": (
        content({"a": entry("U16", [1], [0, 2]), "b": entry("U16", [1], [1, 3])}, b"\0" * 3),
        "overlaps",
    ),
    "the same range": (content({"a": entry(), "b": entry()}, b"\0"), "overlaps"),
    "hole": (content({"a": entry(), "b": entry(offsets=[2, 3])}, b"\0" * 3), "leaves a hole"),
    "hole first": (content({"a": entry(offsets=[1, 2])}, b"\0" * 2), "leaves a hole"),
    "data left": (content({"a": entry()}, b"\0\0"), "expected 1 bytes of data, got 2"),
    "data of nothing": (content({}, b"\0"), "expected 0 bytes of data, got 1"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_file_is_an_error(name, path):
    data, message = HARMFUL[name]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        _safetensors.read(path)


def test_ranges_may_come_in_any_order():
    header = {"a": entry(offsets=[1, 2]), "b": entry(offsets=[0, 1])}
    _, arrays = read(content(header, b"\x05\x06"))
    assert (int(arrays["a"][0]), int(arrays["b"][0])) == (6, 5)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(path, monkeypatch):
    _safetensors.write(path, ARRAYS, {})
    honest = os.fstat

    class Longer:
        def __init__(self, status):
            self.st_size = status.st_size + 8

    monkeypatch.setattr(os, "fstat", lambda handle: Longer(honest(handle)))
    with pytest.raises(ValueError, match=r"expected \d+ bytes, got \d+"):
        _safetensors.read(path)


def peak_memory(data):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="file"):
            _safetensors.from_bytes(data, "file")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":[' + b"[]," * 349_000 + b"[]]}",
        b'{"a":[' + b"{}," * 349_000 + b"{}]}",
        b"{" + b",".join(b'"%x":0' % i for i in range(100_000)) + b"}",
    ],
    ids=["lists", "objects", "names"],
)
def test_a_header_cannot_take_much_memory(text):
    assert len(text) <= _safetensors.MAX_HEADER_BYTES
    assert peak_memory(content(text)) < 32 * 2**20
