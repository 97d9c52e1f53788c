# SPDX-License-Identifier: BSD-3-Clause
"""What all tests share: instruction set, thread count and Ctrl-C are put back after each test."""

import os
import signal

# Before anything imports SciPy: scikit-learn skips some of its checks without it.
os.environ["SCIPY_ARRAY_API"] = "1"

import pytest

from mlpcore import _core


def pytest_collection_modifyitems(config, items):
    """Leave out what takes minutes, unless it is asked for by its marker."""
    if "soak" not in config.option.markexpr:
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]


@pytest.fixture(autouse=True)
def _restore_machine():
    isa, n_threads = _core.isa(), _core.default_n_threads()
    # A shell starts background jobs with SIGINT ignored, and Python then leaves it so.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, interrupt)
    _core.select_isa(isa)
    _core.set_default_n_threads(n_threads)


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Every instruction set that this machine can run, selected."""
    _core.select_isa(request.param)
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
