# SPDX-License-Identifier: BSD-3-Clause
"""Where a result is to be put, `out=`: what is refused, and what may overlap."""

import numpy as np
import pytest
from slots import K, N, X, make_net, read_only, unaligned

import mlpcore


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (TypeError, [[0.0] * K] * N),
        (TypeError, "out"),
        (TypeError, np.empty((N, K), np.float64)),
        (TypeError, np.empty((N, K), np.int32)),
        (TypeError, np.empty((N, K), np.float16)),
        (TypeError, np.empty((N, K), object)),
        (ValueError, np.empty((N, K + 1), np.float32)),
        (ValueError, np.empty((N + 1, K), np.float32)),
        (ValueError, np.empty((K, N), np.float32)),
        (ValueError, np.empty(N * K, np.float32)),
        (ValueError, np.empty((1, N, K), np.float32)),
        (ValueError, read_only(np.empty((N, K), np.float32))),
    ],
)
def test_bad_out(error, out):
    with pytest.raises(error, match=r"^out: expected .*got"):
        make_net().forward(X, out=out)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((N, K), np.float32),
        np.empty((N, K), np.float32, order="F"),
        np.empty((2 * N, K), np.float32)[::2],
        np.empty((N, K), ">f4"),
        unaligned(np.zeros((N, K), np.float32)),
    ],
)
def test_out_of_any_layout(out):
    net = make_net()
    assert net.forward(X, out=out) is out
    np.testing.assert_array_equal(out, net(X))


def test_out_of_one_sample():
    net, out = make_net(), np.empty(2 * K, np.float32)
    assert net.forward(X[1], out=out[:K]).base is out
    net.forward(X[1].tolist(), out=out[::2])
    np.testing.assert_array_equal(out[::2], net(X[1]))
    with pytest.raises(ValueError, match=r"^out: expected shape \(2,\), got shape \(1, 2\)"):
        net.forward(X[1], out=out[None, :K])


def test_out_that_overlaps_the_input_or_the_parameters():
    net = mlpcore.MLP([K, K], "tanh", seed=0)
    memory = np.ones((N + 1, K), np.float32)
    expected = net(memory[:N])
    np.testing.assert_array_equal(net.forward(memory[:N], out=memory[1:]), expected)
    one = np.ones((1, K), np.float32)
    expected = net(one)
    np.testing.assert_array_equal(net.forward(one, out=net.parameters[None, :K]), expected)
