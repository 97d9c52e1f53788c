# SPDX-License-Identifier: BSD-3-Clause
"""Too little memory is a MemoryError that leaves all as it was; and how much is enough."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits of this kind, and /proc, are Linux's"
)

# What is done, and how often at least there was too little.
STARVED = {
    "fit": 5,
    "fit, threads": 5,
    "fit, validation": 5,
    "step": 5,
    "forward": 5,
    "trace": 5,
    "value_and_grad": 5,
    "jacobian": 5,
    "input_hessian": 5,
    "per_sample_gradients": 5,
    "hvp": 5,
    "save": 1,
    "Trainer.save": 1,
    "load": 1,
    "Trainer.load": 1,
    "copy": 1,
}


def run(program, *arguments):
    command = [sys.executable, HERE / program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", STARVED)
def test_too_little_memory_is_an_error_that_changes_nothing(kind, tmp_path):
    result = run("starved.py", kind, tmp_path)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= STARVED[kind]


def test_a_fit_of_arrays_takes_little_besides_them(tmp_path):
    """The whole process, interpreter and NumPy included: the data and 64 MB."""
    result = run("bounded.py", "arrays", 60, 0, tmp_path / "x")
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 64e6


@pytest.mark.parametrize(
    ("kind", "data", "enough", "too_little"),
    [
        # Two blocks of 16 MiB, the order of a block, the net, a thread's stack of 8 MiB.
        ("memmap", 256, 56, 24),
        # Two batches of 3 MiB, and the third that the generator makes; the same besides.
        ("batches", 128, 24, 4),
        pytest.param("memmap", 4096, 56, 24, marks=[pytest.mark.soak]),
        pytest.param("batches", 4096, 24, 4, marks=[pytest.mark.soak]),
    ],
)
def test_data_larger_than_memory_take_two_blocks(kind, data, enough, too_little, tmp_path):
    result = run("bounded.py", kind, data, enough, tmp_path / "x")
    assert result.returncode == 0, result.stderr
    result = run("bounded.py", kind, data, too_little, tmp_path / "x")
    assert result.returncode == 1
    assert "MemoryError" in result.stderr
