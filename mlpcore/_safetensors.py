# SPDX-License-Identifier: BSD-3-Clause
"""Named arrays in a file: the safetensors format, read with distrust and written atomically.

A file is the length of its header (8 bytes, little-endian), a header in JSON, and the arrays' bytes
one after another (https://github.com/huggingface/safetensors#format). Nothing in it is executed.
The reader believes no length, type or range before it has checked it, and the ranges have to tile
the data without a hole or an overlap.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import as_path, received
from ._replace import replace_file

if TYPE_CHECKING:
    from ._core import Array

# JSON text grows up to twenty times in memory; this bounds it. Two arrays a layer take 150 bytes.
MAX_HEADER_BYTES = 2**20

_LENGTH_BYTES = 8
_ALIGNMENT = 8  # of the data in files written here
_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
# The upper half of a float32, which it is read as: no value changes.
_BFLOAT16 = "BF16"
_ITEM_BYTES = {code: dtype.itemsize for code, dtype in _DTYPES.items()} | {_BFLOAT16: 2}
_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}
_MAX_DIMENSIONS = 32
_MAX_DIGITS = 19  # of 2**63 - 1


def read(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Array]]:
    """Read a safetensors file.

    Parameters
    ----------
    path : str or path-like
        A regular file.

    Returns
    -------
    metadata : dict of str to str
        Empty if the file has none.
    arrays : dict of str to numpy.ndarray
        Writable, native and C-contiguous; bfloat16 comes as float32, which has the same values.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or no safetensors file; the message says where.

    Notes
    -----
    Memory: the file once, and what is converted once more; the header at most twenty times.
    """
    name = as_path(path)
    if not stat.S_ISREG(os.stat(name).st_mode):  # a pipe would keep open() waiting
        raise ValueError(f"{name}: expected a regular file")
    with open(name, "rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        header_bytes(file.read(_LENGTH_BYTES), n_bytes, name)  # before memory is taken
        file.seek(0)
        data = bytearray(n_bytes)
        n_read = file.readinto(data)
    if n_read != n_bytes:
        raise ValueError(f"{name}: expected {n_bytes} bytes, got {n_read}")
    return from_bytes(data, name)


def header_bytes(start: bytes | bytearray, n_bytes: int, name: str) -> int:
    """Length of the header of a file of `n_bytes` that begins with `start`."""
    if n_bytes < _LENGTH_BYTES or len(start) < _LENGTH_BYTES:
        raise ValueError(f"{name}: no safetensors file: expected 8 bytes or more, got {n_bytes}")
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError(
            f"{name}: no safetensors file, or one with more arrays than are read here: expected a "
            f"header of at most {MAX_HEADER_BYTES} bytes, got {length}"
        )
    if length > n_bytes - _LENGTH_BYTES:
        raise ValueError(
            f"{name}: truncated: expected a header of {length} bytes, got {n_bytes - _LENGTH_BYTES}"
        )
    return length


def from_bytes(data: bytearray, name: str) -> tuple[dict[str, str], dict[str, Array]]:
    """What `read` returns, from the content of a file; arrays may be views of `data`."""
    length = header_bytes(data, len(data), name)
    text = bytes(data[_LENGTH_BYTES : _LENGTH_BYTES + length]).rstrip(b" ")
    # Only spaces may pad the header, and only at its end.
    if not (text.startswith(b"{") and text.endswith(b"}")):
        raise ValueError(f"{name}: no safetensors file: expected a header in braces")
    try:
        header = strict_json(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{name}: damaged header: {error}") from None
    metadata = _checked_metadata(header.pop(_METADATA, {}), name)
    buffer = np.frombuffer(data, np.uint8, offset=_LENGTH_BYTES + length)
    ranges: list[tuple[int, int, str]] = []
    layout = {}
    for key, entry in header.items():
        _check_text(key, name)
        code, shape, begin, end = _checked_entry(key, entry, buffer.size, name)
        layout[key] = code, shape
        ranges.append((begin, end, key))
    arrays = {}
    position = 0
    for begin, end, key in sorted(ranges):
        if begin != position:
            what = "overlaps the array before it" if begin < position else "leaves a hole before it"
            raise ValueError(f"{name}: damaged header: the range of {key!r} {what}")
        arrays[key] = _as_array(buffer[begin:end], *layout[key], where=f"{name}: {key!r}")
        position = end
    if position != buffer.size:
        raise ValueError(f"{name}: expected {position} bytes of data, got {buffer.size}")
    return metadata, {key: arrays[key] for key in layout}


def strict_json(text: str, floats: bool = False) -> Any:
    """Return the value of a JSON text without what Python adds to JSON, or says nothing about.

    Refused are NaN and infinities, keys that come twice, integers beyond 64 bits and, unless
    `floats`, numbers with a fraction.
    """
    return json.loads(
        text,
        object_pairs_hook=_without_duplicates,
        parse_int=_small_int,
        parse_float=_finite_float if floats else _no_number,
        parse_constant=_no_number,
    )


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file: in full or not at all.

    Whoever reads sees the old file or the new one, even after a power cut.

    Parameters
    ----------
    path : str or path-like
        Replaced if it exists; a link to a file stays, and its file is replaced.
    arrays : mapping of str to numpy.ndarray
        Of floats, integers or bools, of any layout.
    metadata : mapping of str to str
        Kept in the header.

    Raises
    ------
    OSError
        If the file cannot be written; what was at `path` is then still there.
    TypeError, ValueError
        If an array has a dtype that the format lacks, or the header gets too long.
    """
    name = as_path(path)
    # Wide items first: then every array is aligned.
    stored = sorted(
        ((key, _stored(key, array)) for key, array in arrays.items()),
        key=lambda item: (-item[1].dtype.itemsize, item[0]),
    )
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    position = 0
    for key, array in stored:
        header[key] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(
            f"{name}: expected a header of at most {MAX_HEADER_BYTES} bytes, got {len(text)}"
        )
    replace_file(name, [len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(a for _, a in stored)])


# ---- reading ------------------------------------------------------------------------------------


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name comes twice")
    return result


def _small_int(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        raise ValueError("an integer beyond 64 bits")
    return int(digits)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number beyond float64, {text[:20]}")
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"expected integers alone, got {text[:20]}")


def _check_text(text: str, name: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name}: damaged header: {text[:20]!r} is no text") from None


def _checked_metadata(metadata: Any, name: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{name}: damaged header: expected metadata that map text to text")
    for key, value in metadata.items():
        _check_text(key, name)
        _check_text(value, name)
    return metadata


def _checked_entry(
    key: str, entry: Any, n_bytes: int, name: str
) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape and range of an array, all of them consistent."""
    where = f"{name}: damaged header: {key[:100]!r}"
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        raise ValueError(f"{where}: expected dtype, shape and data_offsets, got {received(entry)}")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _ITEM_BYTES:
        raise ValueError(f"{where}: expected a dtype of {', '.join(_ITEM_BYTES)}, got {code!r:.50}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"{where}: expected a shape, got {received(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{where}: expected two data_offsets, got {received(offsets)}")
    begin, end = offsets
    if not begin <= end <= n_bytes:
        raise ValueError(f"{where}: expected a range in {n_bytes} bytes of data, got {offsets}")
    n_items = 1
    for size in shape:
        n_items *= size
    if n_items * _ITEM_BYTES[code] != end - begin:
        raise ValueError(
            f"{where}: expected {n_items * _ITEM_BYTES[code]} bytes for {code} of shape {shape}, "
            f"got {end - begin}"
        )
    return code, tuple(shape), begin, end


def _are_sizes(value: Any) -> bool:
    # A bool is an int to Python, not to JSON.
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _as_array(content: Array, code: str, shape: tuple[int, ...], where: str) -> Array:
    if code == _BFLOAT16:
        upper = content.view(np.dtype("<u2")).astype(np.uint32)
        array = (upper << np.uint32(16)).view(np.float32)
    elif code == "BOOL":
        array = content != 0  # any other byte than 0 and 1 would be no bool
    else:
        stored = content.view(_DTYPES[code])
        array = np.require(stored, stored.dtype.newbyteorder("="), ["C", "A", "W"])
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError):  # an empty array with a huge axis
        raise ValueError(f"{where}: expected a shape that NumPy can hold, got {shape}") from None


# ---- writing ------------------------------------------------------------------------------------


def _stored(key: str, array: Array) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("<") not in _CODES:
        raise TypeError(
            f"{key}: expected an array of floats, integers or bools, got {received(array)}"
        )
    return np.require(array, array.dtype.newbyteorder("<"), ["C"])
