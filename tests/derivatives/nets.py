# SPDX-License-Identifier: BSD-3-Clause
"""Nets and data that the tests of derivatives share."""

import numpy as np

import mlpcore
from mlpcore import _core

ACTIVATIONS = tuple(_core.ACTIVATIONS)
HIDDEN = tuple(name for name in ACTIVATIONS if name != "softmax")
# Widths above and below a register; whether forward or reverse mode is cheaper changes with depth.
WIDTHS = (3, 17, 5, 34, 4, 9, 6)


def make_net(activation, depth, dtype, bias=True):
    """`depth` layers of one activation; a softmax comes after hidden layers of tanh."""
    hidden = "tanh" if activation == "softmax" else activation
    names = [hidden] * (depth - 1) + [activation]
    net = mlpcore.MLP(WIDTHS[: depth + 1], names, dtype=dtype, bias=bias)
    rng = np.random.default_rng(depth)
    for weight, bias_vector in zip(net.weights, net.biases, strict=True):
        weight[:] = rng.normal(0.0, 1.3 / np.sqrt(weight.shape[1]), weight.shape)
        if bias_vector is not None:
            bias_vector[:] = rng.normal(0.0, 0.3, bias_vector.shape)
    return net


def rows(net, n_samples=7, seed=1):
    """Samples for the net."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, net.sizes[0])).astype(net.dtype)


def at_its_kinks(activation, dtype):
    """A net of two layers all of whose pre-activations are 0."""
    net = mlpcore.MLP([2, 3, 2], [activation, activation], dtype=dtype, init="zeros")
    net.weights[0][:] = [[1, -1], [2, -2], [-1, 1]]
    net.weights[1][:] = [[1, 2, 3], [4, 5, 6]]
    net.biases[1][:] = -net(np.ones(2))  # what is before its activation for f(0) = 0
    return net, np.ones((1, 2), dtype)


def saturated(activation, dtype):
    """One layer with pre-activations far from 0 that are exact, as integers are."""
    net = mlpcore.MLP([2, 4], [activation], dtype=dtype, init="zeros")
    net.weights[0][:] = [[1, 0], [0, 1], [2, 1], [-3, 1]]
    return net, np.array([[10, -9], [-12, 3], [15, 14]], dtype)
