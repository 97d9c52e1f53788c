# SPDX-License-Identifier: BSD-3-Clause
"""A net in a file: safetensors, with the topology, a format version and a checksum in its header.

The weights lie as ``layers.0.weight`` (n_outputs, n_inputs) and ``layers.0.bias`` (n_outputs,), so
that whatever reads safetensors can use them. Files of every version load for ever.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _safetensors
from ._checks import as_activations, as_dtype, as_path, as_sizes, received
from ._validation import as_network

if TYPE_CHECKING:
    from ._core import Array
    from .mlp import MLP

FORMAT_VERSION = 1

_TOPOLOGY = ("activations", "bias", "dtype", "sizes")
_KEYS = {"format", "format_version", "checksum", *_TOPOLOGY}
# How the columns of a table become inputs (tabular/model.py), which a net alone can do without.
_TABLE_KEYS = {"table", "table_checksum"}


def save(net: MLP, path: str | os.PathLike[str]) -> None:
    """Write a net to a safetensors file, in full or not at all.

    Parameters
    ----------
    net : MLP
        Its topology and its parameters are written, bit by bit; attributes that a subclass added
        are not.
    path : str or path-like
        Such as ``"net.safetensors"``; an existing file is replaced in one step.

    Raises
    ------
    OSError
        If the file cannot be written: no such folder, no permission, a full disk. What was at
        `path` is then still there.
    TypeError
        If `net` is no `MLP`.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import os, tempfile
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.safetensors")
    ...     mlpcore.save(net, path)
    ...     mlpcore.load(path) == net
    True
    """
    metadata, arrays = pack(as_network(net))
    _safetensors.write(path, arrays, metadata)


def load(path: str | os.PathLike[str]) -> MLP:
    """Read a net that `save` has written. Nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    MLP
        Equal to the one that was saved, bit for bit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, was written by a newer version, or holds no net. A checksum tells a
        changed byte anywhere in the file; it is no signature.

    See Also
    --------
    mlpcore.tabular.TableModel.load : A net with the encoding of the table that it was trained with.

    Notes
    -----
    Memory: at most four times the file, and what a header of at most 1 MiB takes.

    Arrays that another program wrote have no topology with them; `MLP.from_torch` takes those.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.load("missing.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.safetensors'
    """
    metadata, arrays = _safetensors.read(path)
    return unpack(metadata, arrays, as_path(path))


def pack(net: MLP) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and arrays that stand for a net."""
    arrays: dict[str, Array] = {}
    for l, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        arrays[f"layers.{l}.weight"] = weight
        if bias is not None:
            arrays[f"layers.{l}.bias"] = bias
    metadata = {
        "format": "mlpcore",
        "format_version": str(FORMAT_VERSION),
        "sizes": json.dumps(net.sizes),
        "activations": json.dumps(net.activations),
        "dtype": net.dtype.name,
        "bias": json.dumps(net.has_bias),
    }
    metadata["checksum"] = _checksum(metadata, arrays)
    return metadata, arrays


def unpack(metadata: Mapping[str, str], arrays: Mapping[str, Array], source: str) -> MLP:
    """Net for which metadata and arrays stand; `source` begins the messages."""
    from .mlp import MLP

    _check_version(metadata, source)
    if set(metadata) not in (_KEYS, _KEYS | _TABLE_KEYS):
        raise ValueError(
            f"{source}: damaged metadata: expected {sorted(_KEYS)}, got {received(list(metadata))}"
        )
    if "table" in metadata and metadata["table_checksum"] != text_checksum(metadata["table"]):
        raise ValueError(f"{source}: damaged: the checksum of the table's encoding does not fit")
    try:
        sizes, activations, dtype, bias = _topology(metadata)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{source}: damaged metadata: {error}") from None
    # The arrays are there already: a net of their shapes takes no more memory than they do.
    _check_arrays(sizes, dtype, bias, arrays, source)
    if _checksum(metadata, arrays) != metadata["checksum"]:
        raise ValueError(f"{source}: damaged: the checksum of the parameters does not fit")
    net = MLP(sizes, activations, dtype=dtype, init="zeros", bias=bias)
    for l, (weight, bias_array) in enumerate(zip(net.weights, net.biases, strict=True)):
        weight[:] = arrays[f"layers.{l}.weight"]
        if bias_array is not None:
            bias_array[:] = arrays[f"layers.{l}.bias"]
    return net


def _check_version(metadata: Mapping[str, str], source: str) -> None:
    if metadata.get("format") != "mlpcore":
        raise ValueError(
            f"{source}: arrays without the topology of a net, which mlpcore.save would have "
            "written; MLP.from_torch takes them together with activations"
        )
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 10 and version[0] != "0"):
        raise ValueError(f"{source}: damaged metadata: expected a version, got {received(version)}")
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{source}: written by a newer mlpcore, in format {version}; this one reads formats up "
            f"to {FORMAT_VERSION}: install a newer mlpcore"
        )


def _topology(
    metadata: Mapping[str, str],
) -> tuple[tuple[int, ...], tuple[str, ...], np.dtype[Any], bool]:
    values = {key: _safetensors.strict_json(metadata[key]) for key in _TOPOLOGY if key != "dtype"}
    sizes = as_sizes(values["sizes"])
    if not isinstance(values["activations"], list):
        raise ValueError(f"activations: expected a list, got {received(values['activations'])}")
    activations = as_activations(values["activations"], len(sizes) - 1)
    if not isinstance(values["bias"], bool):
        raise ValueError(f"bias: expected true or false, got {received(values['bias'])}")
    if metadata["dtype"] not in ("float32", "float64"):
        raise ValueError(f"dtype: expected float32 or float64, got {received(metadata['dtype'])}")
    return sizes, activations, as_dtype(metadata["dtype"]), values["bias"]


def _check_arrays(
    sizes: tuple[int, ...],
    dtype: np.dtype[Any],
    bias: bool,
    arrays: Mapping[str, Array],
    source: str,
) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for l, (n_inputs, n_outputs) in enumerate(pairwise(sizes)):
        expected[f"layers.{l}.weight"] = (n_outputs, n_inputs)
        if bias:
            expected[f"layers.{l}.bias"] = (n_outputs,)
    if set(arrays) != set(expected):
        name = min(set(arrays) ^ set(expected))
        what = "missing" if name in expected else "one too many"
        raise ValueError(f"{source}: damaged: the array {name!r:.50} is {what}")
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{source}: damaged: {name}: expected shape {shape} of dtype {dtype}, "
                f"got {received(array)}"
            )


def text_checksum(text: str) -> str:
    """CRC-32 of a text in the metadata."""
    return f"crc32:{zlib.crc32(text.encode()):08x}"


def _checksum(metadata: Mapping[str, str], arrays: Mapping[str, Array]) -> str:
    """CRC-32 of topology, version and parameters in the order of the layers.

    It finds every change within four adjacent bytes; names, shapes and ranges are checked anyway.
    """
    text = "\n".join(metadata[key] for key in ("format_version", *_TOPOLOGY))
    value = zlib.crc32(text.encode())
    n_layers = sum(name.endswith(".weight") for name in arrays)
    for l in range(n_layers):
        for part in ("weight", "bias"):
            array = arrays.get(f"layers.{l}.{part}")
            if array is not None:
                stored = np.require(array, array.dtype.newbyteorder("<"), ["C"])
                value = zlib.crc32(stored.view(np.uint8).reshape(-1).data, value)
    return f"crc32:{value:08x}"
