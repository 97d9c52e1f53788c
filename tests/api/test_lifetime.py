# SPDX-License-Identifier: BSD-3-Clause
"""Nets that were never initialised, outlive their owners or are made by the thousand."""

import copy
import pickle
import sys
import threading

import numpy as np
import pytest
from rows import data

import mlpcore


class NeverInitialised(mlpcore.MLP):
    def __init__(self):
        pass


def make_raw():
    return mlpcore.MLP.__new__(mlpcore.MLP)


@pytest.mark.parametrize("make", [NeverInitialised, make_raw])
def test_a_net_without_its_constructor_is_an_error_and_no_crash(make):
    x, y = [[0.0, 1.0]], [[0.0]]
    for use in (
        lambda net: net(x),
        lambda net: net(np.zeros((1, 2), np.float32)),
        lambda net: net.parameters,
        lambda net: net.weights,
        lambda net: net.copy(),
        lambda net: net.trace(x),
        lambda net: net.train_step(x, y, "mse", mlpcore.SGD()),
        lambda net: net.value_and_grad(x, y, "mse"),
        lambda net: mlpcore.SGD().step(net, np.zeros(3)),
        lambda net: pickle.dumps(net),
        lambda net: net == mlpcore.MLP([2, 1]),
        lambda net: net.sizes,
        lambda net: net.n_parameters,
        lambda net: net.backward(mlpcore.MLP([2, 1]).trace(x), "mse", y),
        lambda net: net.fit(x, y, "mse", mlpcore.SGD(), epochs=1),
        lambda net: copy.deepcopy(net),
        lambda net: mlpcore.Trainer(net, "mse", mlpcore.SGD()),
    ):
        with pytest.raises(RuntimeError, match="the net is not initialised"):
            use(make())
    with pytest.raises(AttributeError, match="has no attribute 'layers'"):
        make().layers  # noqa: B018


def test_a_failed_constructor_leaves_a_net_that_is_an_error_and_no_crash():
    net = make_raw()
    with pytest.raises(ValueError, match=r"^sizes"):
        net.__init__([2, 0])
    with pytest.raises(RuntimeError, match="the net is not initialised"):
        net(np.zeros((1, 2), np.float32))
    net.__init__([2, 1], init="zeros")
    assert net([1.0, 1.0]) == [0.0]


def test_a_net_is_not_initialised_twice():
    net = mlpcore.MLP([2, 1], init="zeros")
    with pytest.raises(RuntimeError):
        net.__init__([3, 3])
    assert net([1.0, 1.0]) == [0.0]
    assert net.sizes == (2, 1)


def test_threads_share_a_net():
    net = mlpcore.MLP([3, 64, 64, 2], "tanh", seed=0)
    x, y = data(net, 65)
    expected = net(x), net.value_and_grad(x, y, "mse")[1].flat
    wrong = []

    def work():
        for _ in range(50):
            results = net(x), net.value_and_grad(x, y, "mse")[1].flat
            if not all(map(np.array_equal, results, expected)):
                wrong.append(threading.get_ident())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
