# SPDX-License-Identifier: BSD-3-Clause
"""Rows that suit a net."""

import numpy as np


def data(net, n=6, seed=0):
    """Inputs, and targets in [0, 1)."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, net.sizes[0])).astype(net.dtype)
    return x, generator.random((n, net.sizes[-1])).astype(net.dtype)
