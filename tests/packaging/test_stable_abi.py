# SPDX-License-Identifier: BSD-3-Clause
"""One file for every CPython from 3.11 on, at no cost per call."""

import statistics
import sys
import sysconfig
import time

import numpy as np
import pytest
from test_packaging import EXTENSION

import mlpcore

pytestmark = pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="no stable ABI without the GIL"
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows puts no ABI into the file name")
def test_extension_is_loaded_by_its_stable_name():
    assert EXTENSION.name == "_core.abi3.so"


@pytest.mark.timing
def test_arguments_by_name_cost_no_dict():
    """With a tuple and a dict for each call the ratio is 1.5."""
    net = mlpcore.MLP([2, 20, 5], seed=0)
    x, out = np.ones((1, 2), np.float32), np.empty((1, 5), np.float32)

    def of(n_calls=2000, /, *, by_name):
        start = time.perf_counter()
        if by_name:
            for _ in range(n_calls):
                net.forward(x, out=out)
        else:
            for _ in range(n_calls):
                net.forward(x, out)
        return time.perf_counter() - start

    ratios = [of(by_name=True) / of(by_name=False) for _ in range(101)]
    assert statistics.median(ratios) < 1.2
