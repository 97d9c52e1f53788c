# SPDX-License-Identifier: BSD-3-Clause
"""Any net comes back from a file, a copy or another library's form as the same net."""

import copy
import pickle
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from drawn import batch, nets, property_test, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

import mlpcore
from mlpcore import _safetensors

on_disk = settings(property_test, max_examples=40)  # a disk takes its time


@property_test
@given(nets(), st.sampled_from(["copy", "deepcopy", "pickle", "own"]))
def test_a_copy_is_equal_and_apart(net, way):
    twin = {
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda net: pickle.loads(pickle.dumps(net)),
        "own": lambda net: net.copy(),
    }[way](net)
    assert twin == net
    before = net.parameters.tobytes()
    twin.parameters[:] += 1.0
    assert twin != net
    assert net.parameters.tobytes() == before


@on_disk
@given(nets(), st.integers(0, 9), seeds)
def test_a_saved_net_is_the_net(net, n_rows, seed):
    x, _ = batch(net, n_rows, seed)
    with tempfile.TemporaryDirectory() as folder:
        mlpcore.save(net, Path(folder, "net"))
        loaded = mlpcore.load(Path(folder, "net"))
    assert loaded == net
    assert loaded(x).tobytes() == net(x).tobytes()


@on_disk
@given(nets(), st.data())
def test_a_file_that_was_changed_anywhere_is_no_other_net(net, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net")
        mlpcore.save(net, path)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with pytest.raises(ValueError, match="net"):
            mlpcore.load(path)


dtypes = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=9)


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(0, 5), max_size=3))
    dtype = np.dtype(draw(dtypes))
    seed = draw(st.integers(0, 2**32 - 1))
    raw = np.random.default_rng(seed).integers(0, 256, int(np.prod(shape)) * dtype.itemsize)
    values = raw.astype(np.uint8)
    return (values % 2 == 1 if dtype.kind == "b" else values.view(dtype)).reshape(shape)


@on_disk
@given(
    st.dictionaries(names.filter(lambda name: name != "__metadata__"), arrays(), max_size=5),
    st.dictionaries(names, st.text(st.characters(codec="utf-8"), max_size=20), max_size=3),
)
def test_arrays_of_any_name_shape_and_bits_come_back(given_arrays, metadata):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "arrays")
        _safetensors.write(path, given_arrays, metadata)
        its_metadata, loaded = _safetensors.read(path)
    assert its_metadata == metadata
    assert loaded.keys() == given_arrays.keys()
    for name, array in given_arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()


@property_test
@given(nets())
def test_lists_of_weights_make_the_net_again(net):
    arrays = net.to_keras_weights()
    kernels = arrays[:: 1 + net.has_bias]
    assert [kernel.shape for kernel in kernels] == list(pairwise(net.sizes))
    assert mlpcore.MLP.from_keras_weights(arrays, net.activations) == net
