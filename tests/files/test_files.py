# SPDX-License-Identifier: BSD-3-Clause
"""`mlpcore.save` and `mlpcore.load`: what comes back, and what happens when something is wrong."""

import errno
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tolerances import FORWARD, assert_close

import mlpcore
from mlpcore import _core, _safetensors, files

GOLDEN = Path(__file__).parent / "golden"
HIDDEN = [name for name in _core.ACTIVATIONS if name != "softmax"]


def golden_net(dtype):
    """Parameters that no generator of random numbers has to repeat."""
    net = mlpcore.MLP([3, 4, 2], ["gelu", "softmax"], dtype=dtype, seed=0)
    net.parameters[:] = (np.arange(net.n_parameters) % 7 - 3) / 8
    return net


@pytest.fixture
def net():
    return mlpcore.MLP([3, 4, 2], ["tanh", "softmax"], seed=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


# ---- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("output", list(_core.ACTIVATIONS))
def test_every_activation_comes_back(path, dtype, output, bias):
    net = mlpcore.MLP([3, 5, 1, 2], ["relu", "elu", output], dtype=dtype, bias=bias, seed=1)
    mlpcore.save(net, path)
    loaded = mlpcore.load(path)
    assert loaded == net
    assert repr(loaded) == repr(net)
    x = np.ones((2, 3), dtype)
    assert loaded(x).tobytes() == net(x).tobytes()


def test_every_bit_comes_back(net, path):
    bits = net.parameters.view(np.uint32)
    bits[:5] = [0x7FC00001, 0xFFC12345, 0x7F800000, 0x80000000, 0x00000001]  # NaN, inf, -0, tiny
    mlpcore.save(net, path)
    assert mlpcore.load(path) == net


def test_a_loaded_net_owns_writable_parameters(net, path):
    mlpcore.save(net, path)
    loaded = mlpcore.load(path)
    loaded.parameters[:] = 0.0
    assert mlpcore.load(path) == net


def test_the_same_net_makes_the_same_bytes(net, path, tmp_path):
    mlpcore.save(net, path)
    mlpcore.save(net.copy(), tmp_path / "other")
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("version", range(1, files.FORMAT_VERSION + 1))
def test_golden_files_load_for_ever(version, dtype):
    loaded = mlpcore.load(GOLDEN / f"v{version}_{dtype}.safetensors")
    assert loaded == golden_net(dtype)
    prediction = [0.4410728515035042, 0.5589271484964958]  # by Python's math module
    assert_close(loaded([1.0, -2.0, 0.5]), prediction, FORWARD[dtype])


def test_golden_file_is_what_is_written_now(path, dtype):
    mlpcore.save(golden_net(dtype), path)
    golden = GOLDEN / f"v{files.FORMAT_VERSION}_{dtype}.safetensors"
    assert path.read_bytes() == golden.read_bytes()


def test_a_subclass_is_saved_as_the_net_that_it_is(net, path):
    class Named(mlpcore.MLP):
        pass

    mlpcore.save(Named([3, 4, 2], ["tanh", "softmax"], seed=0), path)
    assert type(mlpcore.load(path)) is mlpcore.MLP
    assert mlpcore.load(path) == net


def test_what_is_no_net_is_refused(path):
    with pytest.raises(TypeError, match="net: expected an MLP"):
        mlpcore.save({"w": 1}, path)
    assert not path.exists()


# ---- replacing ----------------------------------------------------------------------------------


def test_a_missing_folder_is_named(net, tmp_path):
    path = tmp_path / "missing" / "net.safetensors"
    with pytest.raises(FileNotFoundError, match=r"missing/net\.safetensors"):
        mlpcore.save(net, path)
    with pytest.raises(FileNotFoundError, match=r"missing/net\.safetensors"):
        mlpcore.load(path)


def test_a_folder_is_no_file(net, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        mlpcore.save(net, tmp_path / "folder")
    with pytest.raises(ValueError, match="expected a regular file"):
        mlpcore.load(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes in folders")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a regular file"):
        mlpcore.load(tmp_path / "pipe")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(net, path, monkeypatch, call):
    mlpcore.save(net, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    net.parameters[:] = 0.0
    with pytest.raises(OSError, match=r"No space left on device: '.*net\.safetensors'"):
        mlpcore.save(net, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="limits a file's size by setrlimit")
def test_a_write_that_fails_half_way_leaves_the_old_file(net, path):
    mlpcore.save(net, path)
    before = path.read_bytes()
    code = (
        "import resource, sys, mlpcore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "mlpcore.save(mlpcore.MLP([100, 100]), sys.argv[1])\n"
    )
    failed = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert "File too large" in failed.stderr
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupt_leaves_the_old_file(net, path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mlpcore.save(net, path)
    assert os.listdir(path.parent) == []


@pytest.mark.skipif(sys.platform == "win32", reason="is about links and modes of POSIX")
def test_a_link_and_a_mode_stay(net, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"")
    target.chmod(0o640)
    link.symlink_to(target)
    mlpcore.save(net, link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert mlpcore.load(target) == net


# ---- damage -------------------------------------------------------------------------------------


def test_truncated_at_every_byte(net, path):
    mlpcore.save(net, path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"net\.safetensors: "):
            mlpcore.load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match=r"expected \d+ bytes of data"):
        mlpcore.load(path)


@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_flipped_at_every_byte(net, path, mask):
    mlpcore.save(net, path)
    content = bytearray(path.read_bytes())
    for i in range(len(content)):
        content[i] ^= mask
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.safetensors: "):
            mlpcore.load(path)
        content[i] ^= mask


def rewritten(path, **changes):
    """The file with other metadata; None takes a key away."""
    metadata, arrays = _safetensors.read(path)
    metadata |= changes
    kept = {key: value for key, value in metadata.items() if value is not None}
    _safetensors.write(path, arrays, kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "2"}, "written by a newer mlpcore, in format 2"),
        ({"format_version": "999999999"}, "written by a newer mlpcore"),
        ({"format_version": "0"}, "expected a version"),
        ({"format_version": "-1"}, "expected a version"),
        ({"format_version": "²"}, "expected a version"),
        ({"format_version": ""}, "expected a version"),
        ({"format_version": None}, "expected a version"),
        ({"format_version": "9" * 5000}, "expected a version"),
        ({"format": "pt"}, "MLP.from_torch"),
        ({"format": None}, "MLP.from_torch"),
        ({"sizes": None}, "damaged metadata"),
        ({"extra": "1"}, "damaged metadata"),
        ({"sizes": "[3, 4"}, "damaged metadata"),
        ({"sizes": "[" * 100_000}, "damaged metadata"),
        ({"sizes": "[3, -4, 2]"}, r"sizes\[1\]: expected a positive integer"),
        ({"sizes": "[3, 1e9, 2]"}, "expected integers alone"),
        ({"sizes": "[3, NaN, 2]"}, "expected integers alone"),
        ({"sizes": "[3, true, 2]"}, r"sizes\[1\]"),
        ({"sizes": "[3, 1000000000000000000, 2]"}, "memory can address"),
        ({"sizes": "[3, 1" + "0" * 5000 + ", 2]"}, "beyond 64 bits"),
        ({"sizes": "[3, 1000000, 2]"}, r"layers\.0\.weight: expected shape \(1000000, 3\)"),
        ({"sizes": "[3, 4]"}, "damaged"),
        ({"activations": '"tanh"'}, "expected a list"),
        ({"activations": '["tanh", "selu"]'}, r"activations\[1\]"),
        ({"activations": '["softmax", "tanh"]'}, "softmax is for the output layer"),
        ({"activations": '["relu", "softmax"]'}, "checksum"),
        ({"dtype": "float64"}, "of dtype float64"),
        ({"dtype": "f4"}, "expected float32 or float64"),
        ({"bias": "1"}, "expected true or false"),
        ({"bias": "false"}, r"'layers\.0\.bias' is one too many"),
        ({"checksum": "crc32:00000000"}, "checksum"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(net, path, changes, message):
    mlpcore.save(net, path)
    rewritten(path, **changes)
    with pytest.raises(ValueError, match=message):
        mlpcore.load(path)


def test_a_missing_array_is_named(net, path):
    mlpcore.save(net, path)
    metadata, arrays = _safetensors.read(path)
    del arrays["layers.1.bias"]
    _safetensors.write(path, arrays, metadata)
    with pytest.raises(ValueError, match=r"'layers\.1\.bias' is missing"):
        mlpcore.load(path)


def test_memory_is_at_most_four_times_the_file(path, dtype):
    mlpcore.save(mlpcore.MLP([1000, 1000, 10], dtype=dtype, seed=0), path)
    mlpcore.load(path)  # imports
    tracemalloc.start()
    try:
        mlpcore.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * path.stat().st_size


@pytest.mark.parametrize("bad", [b"net.safetensors", 3, None, ["net.safetensors"]])
def test_what_is_no_path_is_a_type_error(bad):
    net = mlpcore.MLP([2, 3, 1], seed=0)
    trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD())
    for use in (
        lambda: mlpcore.save(net, bad),
        lambda: mlpcore.load(bad),
        lambda: net.to_c(bad),
        lambda: trainer.save(bad),
        lambda: mlpcore.Trainer.load(bad),
    ):
        with pytest.raises(TypeError, match=r"^path: expected a string or a path-like, got "):
            use()
