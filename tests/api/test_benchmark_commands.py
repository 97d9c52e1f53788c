# SPDX-License-Identifier: BSD-3-Clause
"""The one way into the benchmarks, and what a first prediction takes; no duration is asserted."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True
    )


def test_every_command_says_what_it_does():
    listed = run("--help").stdout
    for name in ("speed", "estimators", "optimizers", "first_prediction", "document"):
        assert f"\n{name}  " in listed
    told = run("first_prediction", "--help")
    assert told.returncode == 0
    assert told.stdout.startswith("usage: python -m benchmarks first_prediction")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "COMMAND: expected one of speed, estimators"),
        (["document"], "the following arguments are required: runs"),
        (["--threads", "0"], "--threads: expected at least 1, got 0"),  # of speed
        (["--peers", "numpi"], "--peers: expected some of"),
        (["first_prediction", "no.whl"], "wheel: expected a file, got no.whl"),
        (["optimizers", "--yachts", "no.data"], "--yachts: expected a file, got no.data"),
    ],
)
def test_what_is_not_understood_is_refused(words, message):
    refused = run(*words)
    assert refused.returncode == 2
    assert message in refused.stderr


@pytest.fixture
def first_prediction(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import first_prediction

    return first_prediction


def write_wheel(folder, code, name="one"):
    """A package of one module, with nothing that it needs."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    module = f"{name}/__init__.py"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(module, code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", f"{module},,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    return path


def test_what_is_installed_is_what_runs(first_prediction, monkeypatch, tmp_path):
    """Not a module of the folder that the command was called in, nor one of PYTHONPATH."""
    (tmp_path / "one.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = write_wheel(tmp_path, "value = 1\n" + "#" * 100_000)
    one = first_prediction.Subject("import one; assert one.value == 1", os.fspath(wheel))
    environment = first_prediction.Environment(tmp_path / "new", tmp_path / "packages")
    environment.download([one.requirement])
    assert first_prediction.disk(tmp_path / "packages") == wheel.stat().st_size
    taken = first_prediction.measure(one, first_prediction.PIP, environment)
    assert taken.versions == ("one 1.0",)
    assert 100_000 < taken.grown < 110_000  # with the compiled module, of some 100 bytes
    assert min(taken.install, taken.predict) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for uv")
@pytest.mark.parametrize("online", [False, True])
def test_settings_hold_for_downloads_alone(first_prediction, monkeypatch, tmp_path, online):
    """Those of the machine, as a program in uv's place sees them."""
    monkeypatch.setenv("PIP_INDEX_URL", "elsewhere")
    monkeypatch.setenv("UV_INDEX_URL", "elsewhere")
    environment = first_prediction.Environment(tmp_path / "new", tmp_path / "packages")
    told = tmp_path / "packages" / "told"
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\nenv >told\necho "$@" >>told\n')
    uv.chmod(0o755)
    environment.install("one", way=first_prediction.Way("", uv=True, online=online), uv=str(uv))
    lines = told.read_text().splitlines()
    assert ("PIP_INDEX_URL=elsewhere" in lines) == online
    assert ("UV_INDEX_URL=elsewhere" in lines) == online
    assert f"UV_CACHE_DIR={tmp_path / 'new' / 'cache' / 'UV'}" in lines
    folder = "" if online else f" --no-index --find-links {tmp_path / 'packages'}"
    python = environment.program("python")
    assert lines[-1] == f"pip --quiet install{folder} one --python {python}"


NUMPY = """
import sys, types
sys.modules["numpy.random"] = random = types.ModuleType("numpy.random")
float32 = "float32"
class ones:
    def __init__(self, shape, dtype):
        self.shape = shape
"""
MLPCORE = """
import time, numpy
def MLP(sizes, activations, seed):
    time.sleep(0.2)
    return lambda x: numpy.ones((1, sizes[-1]), x)
"""


def test_a_step_has_the_time_that_it_takes(first_prediction, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheels = [write_wheel(tmp_path, NUMPY, "numpy"), write_wheel(tmp_path, MLPCORE, "mlpcore")]
    environment = first_prediction.Environment(tmp_path / "new", tmp_path / "packages")
    environment.download([os.fspath(wheel) for wheel in wheels])
    steps = first_prediction.parts(environment)
    assert list(steps)[2:6] == [
        f"{name}: {what}" for name in ("numpy", "mlpcore") for what in ("files", "bytecode")
    ]
    assert steps["a net and its prediction"] > 0.2
    assert 0 < steps["import of mlpcore"] < 0.2
    # Both were installed with nothing compiled by pip, then compiled.
    assert len(list((tmp_path / "new").rglob("site-packages/[mn]*/__pycache__/*.pyc"))) == 2


def test_shares_of_what_each_way_takes(first_prediction):
    taken = first_prediction.Taken
    ours = ("mlpcore 0.1", "numpy 2")
    rows = {
        ("online", "mlpcore"): [taken(4.0, 0.5, 5 * 10**7, ours)],
        ("online", "PyTorch"): [taken(85.0, 5.0, 5 * 10**9, ("torch 2", "triton 3"))],
        ("pip", "mlpcore"): [taken(seconds, 0.5, 5 * 10**7, ours) for seconds in (2.0, 3.5, 1.9)],
        ("pip", "PyTorch, CPU build"): [taken(18.0, 2.0, 10**9, ("torch 2+cpu",))],
        ("pip", "PyTorch"): [taken(45.0, 5.0, 5 * 10**9, ("torch 2", "triton 3"))],
    }
    downloads = {"mlpcore": 10**7, "PyTorch": 3 * 10**9}
    steps = {"start of pip": 0.5, "numpy: files": 1.5}
    lines = list(first_prediction.report(rows, downloads, steps))
    assert "| online | 4.5 | 90.0 |  | 5.0 % |  |" in lines
    assert "| pip | 2.5 (2.4 to 4.0) | 50.0 | 20.0 | 5.0 % | 12.5 % |" in lines
    assert "| pip | 50.0 (50.0 to 50.0) | 5000.0 | 1000.0 | 1.0 % | 5.0 % |" in lines
    assert "PyTorch: 3000.0 MB, 2 packages: torch 2, triton 3." in lines
    assert "| numpy: files | 1.50 s | 75 % |" in lines
    assert "| together | 2.00 s | 100 % |" in lines
