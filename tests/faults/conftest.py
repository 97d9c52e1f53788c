# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of faults share."""

from pathlib import Path

import pytest

import mlpcore


@pytest.fixture(autouse=True)
def package_of_children(monkeypatch):
    """Processes that a test starts import the package that is tested, from wherever it comes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(mlpcore.__file__).parents[1]))
