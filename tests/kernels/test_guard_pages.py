# SPDX-License-Identifier: BSD-3-Clause
"""No kernel reads or writes behind the end of an array: all of them end at a guard page."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from guarded import guarded, guarded_empty

import mlpcore
from mlpcore import _core

WIDTHS = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65]


def test_the_guard_page_is_real():
    code = (
        "from guarded import guarded_empty; import ctypes\n"
        "a = guarded_empty((5,), 'float32'); ctypes.string_at(a.ctypes.data, 21)"
    )
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    child = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert child.returncode == -signal.SIGSEGV


LAST_LAYERS = [("identity", "mse"), ("softmax", "cross_entropy"), ("sigmoid", "bce")]


def check_every_array(net, n_rows, loss, rng):
    """Forward, records, backward and the loss alone, on arrays that all end at a guard page."""
    dtype = str(net.dtype)
    parameters = guarded(net.parameters)
    x = guarded(rng.normal(size=(n_rows, net.sizes[0])).astype(dtype))
    y = guarded(rng.uniform(size=(n_rows, net.sizes[-1])).astype(dtype))
    weight = guarded(rng.uniform(0.5, 2, size=n_rows).astype(dtype))
    kernel = mlpcore.losses.as_loss(net, loss)
    z, a, d, ga, gz = ([guarded_empty((n_rows, n), dtype) for n in net.sizes[1:]] for _ in range(5))
    out = guarded_empty((n_rows, net.sizes[-1]), dtype)
    net._forward_rows(x, out, 1)
    net._forward_records(parameters, x, z, a, d, 1)
    assert np.array_equal(out, a[-1])
    flat, grad_x = guarded_empty(parameters.shape, dtype), guarded_empty(x.shape, dtype)
    net._backward_records(parameters, x, z, a, d, None, kernel, y, weight, flat, grad_x, ga, gz, 1)
    assert np.all(np.isfinite(flat))
    assert np.any(flat)
    again = guarded_empty(parameters.shape, dtype)
    net._value_and_grad(x, y, weight, kernel, again, None, 1)
    assert np.array_equal(flat, again)
    gradient = guarded_empty((n_rows, net.sizes[-1]), dtype)
    kernel._evaluate(a[-1], y, weight, gradient)
    assert np.any(gradient)


@pytest.mark.parametrize("n_rows", [1, 2, 13, 14, 15, 29])
@pytest.mark.parametrize("bias", [True, False])
def test_every_array_of_a_step_ends_at_a_guard_page(isa, dtype, n_rows, bias):
    rng = np.random.default_rng(n_rows)
    for width in WIDTHS:
        for last, loss in LAST_LAYERS:
            if width == 1 and last == "softmax":
                continue  # a softmax of one is constant: all gradients are 0 and prove nothing
            sizes = [width, width + 1, width]
            net = mlpcore.MLP(sizes, ["gelu", last], dtype=dtype, seed=0, bias=bias)
            check_every_array(net, n_rows, loss, rng)


def test_weights_that_are_packed_end_at_a_guard_page(isa, dtype):
    rng = np.random.default_rng(0)
    for width in (33, 65, 70):
        net = mlpcore.MLP([width, width + 1, width], ["tanh", "identity"], dtype=dtype, bias=False)
        check_every_array(net, 150, "mse", rng)


def test_weights_whose_rows_share_a_set_of_l1_end_at_a_guard_page(isa, dtype):
    rng = np.random.default_rng(0)
    for sizes, rows in (
        ([29, 1024, 1], (1, 9, 29)),
        ([29, 512, 3], (1, 29)),
        ([9, 1027, 3], (1,)),
        ([7000, 10], (40,)),
    ):
        for n_rows in rows:
            activations = ["tanh", "identity"][-len(sizes) + 1 :]
            net = mlpcore.MLP(sizes, activations, dtype=dtype, seed=0, bias=False)
            check_every_array(net, n_rows, "mse", rng)


def test_the_optimizers_stop_at_the_end(isa, dtype):
    for width in WIDTHS:
        net = mlpcore.MLP([width, width], dtype=dtype, seed=0)
        gradients = guarded(np.ones(net.parameters.shape, dtype))
        for optimizer in (mlpcore.SGD(0.1, momentum=0.9), mlpcore.Adam(), mlpcore.AdamW()):
            moments = ["first_moment", "second_moment"]
            for name in moments[:1] if isinstance(optimizer, mlpcore.SGD) else moments:
                moment = guarded(np.zeros(net.parameters.shape, dtype))
                vars(_core.OptimizerKernel)[name].__set__(optimizer, moment)
            before = net.parameters.copy()
            optimizer._apply(net, gradients, 1)
            assert np.all(net.parameters != before)


def test_the_gathered_rows_of_an_epoch_end_at_a_guard_page(isa, dtype):
    rng = np.random.default_rng(0)
    net = mlpcore.MLP([7, 5, 3], ["tanh", "softmax"], dtype=dtype, seed=0)
    x = guarded(rng.normal(size=(29, 7)).astype(dtype))
    classes = guarded(rng.integers(0, 3, 29))
    order = guarded(_core.permutation(1, 2, 29))
    kernel = mlpcore.losses.as_loss(net, "cross_entropy")
    before = net.parameters.copy()
    status, _, n_steps = net._train_epoch(x, classes, None, order, 8, kernel, mlpcore.Adam(), 1)
    assert (status, n_steps) == (_core.OK, 4)
    assert np.any(net.parameters != before)
