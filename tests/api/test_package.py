# SPDX-License-Identifier: BSD-3-Clause
"""The package: what it exports and loads, how soon, and its number of threads."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rows import data

import mlpcore


def test_set_n_threads():
    for n in (1, 2, 5, np.int32(3)):
        mlpcore.set_n_threads(n)
        assert mlpcore.get_n_threads() == n


def test_the_number_of_threads_changes_no_bit():
    net = mlpcore.MLP([20, 150, 90, 3], "gelu", seed=0)
    x, y = data(net, 301)
    results = []
    for n in (1, 2, 3, 8):
        mlpcore.set_n_threads(n)
        gradients = net.value_and_grad(x, y, "huber")[1]
        results.append((net.forward(x, n_threads=n), net(x), gradients.flat, gradients.inputs))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(a, b)


def test_public_names():
    assert dir(mlpcore) == sorted(mlpcore.__all__)
    for name in mlpcore.__all__:
        assert getattr(mlpcore, name) is getattr(mlpcore, name)
    with pytest.raises(AttributeError, match="no attribute 'Multilayer'"):
        mlpcore.Multilayer  # noqa: B018
    assert mlpcore.cpu.isa() in mlpcore.cpu.available_isas()


def test_version_is_that_of_the_project():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    if not pyproject.exists():
        pytest.skip("no source tree")
    version = re.search(r'^version = "(.*)"', pyproject.read_text(), re.MULTILINE)[1]
    assert mlpcore.__version__ == version


# The package that is tested, from wherever it comes, and not the folder that pytest was called in.
IMPORT_PATH = {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}


def test_import_loads_only_what_a_net_needs():
    code = "import sys, mlpcore; print(*[m for m in sys.modules if m.startswith('mlpcore.')])"
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **IMPORT_PATH},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    late = (
        *("trainer", "gradient_check", "gradient_report", "explain"),
        *("chain", "derivatives", "reference", "demo"),
    )
    assert not [name for name in loaded if name.split(".")[1] in late]


@pytest.mark.timing
def test_import_is_quick(tmp_path):
    code = (
        "import numpy, time; a = time.perf_counter(); import mlpcore; "
        "print(time.perf_counter() - a)"
    )
    # As installed: compiled once, in the first of the runs.
    environment = {**os.environ, **IMPORT_PATH, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-P", "-c", code]
    seconds = [
        float(subprocess.check_output(command, env=environment, text=True)) for _ in range(6)
    ]
    assert min(seconds) < 0.010
