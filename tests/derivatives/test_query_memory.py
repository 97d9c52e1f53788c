# SPDX-License-Identifier: BSD-3-Clause
"""Memory of the derivative queries: any allocation may fail, and the second call makes none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from starving import fail_each_allocation

import mlpcore
from mlpcore import _core, losses


def sobolev(net, x, y):
    """Gradients of a loss of the derivatives, in the inputs and in the parameters."""
    dy_dx = np.ones((len(x), *y.shape[1:], x.shape[1]), x.dtype)
    gradients = net.value_and_grad(x, y, losses.MSE("sum"), dy_dx=dy_dx)[1]
    return gradients.inputs


QUERIES = {
    "jacobian": lambda net, x, y, v: net.jacobian(x),
    "value_and_jacobian": lambda net, x, y, v: net.value_and_jacobian(x)[1],
    "vjp": lambda net, x, y, v: net.vjp(x, y).inputs,
    "jvp": lambda net, x, y, v: net.jvp(x, x, v)[1],
    "input_hessian": lambda net, x, y, v: net.input_hessian(x),
    "laplacian": lambda net, x, y, v: net.laplacian(x),
    "per_sample_gradients": lambda net, x, y, v: net.per_sample_gradients(x, y, "mse"),
    "per_sample_gradient_norms": lambda net, x, y, v: net.per_sample_gradient_norms(x, y, "mse"),
    "parameter_jacobian": lambda net, x, y, v: jacobian_rows(net, x, y),
    "hvp": lambda net, x, y, v: net.hvp(x, y, "mse", v),
    "sobolev": lambda net, x, y, v: sobolev(net, x, y),
}


def jacobian_rows(net, x, cotangent):
    rows = np.empty((len(x), net.n_parameters), x.dtype)
    net._per_sample_rows(x, cotangent, None, rows, None)
    return rows


def make():
    rng = np.random.default_rng(0)
    net = mlpcore.MLP([5, 40, 3], ["tanh", "identity"], seed=0)
    x, y = (rng.normal(size=(60, n)).astype("float32") for n in (5, 3))
    return net, x, y, rng.normal(size=net.n_parameters).astype("float32")


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("query", QUERIES)
def test_every_allocation_may_fail(query, once):
    call = QUERIES[query]
    want = call(*make())

    def works_as_if_nothing_had_happened(*made):
        assert np.array_equal(call(*made), want)

    n_allocations = fail_each_allocation(make, call, works_as_if_nothing_had_happened, once)
    assert n_allocations >= 2  # the workspace and an arena


@pytest.mark.parametrize("query", QUERIES)
def test_a_call_of_the_same_shape_allocates_nothing(query):
    call = QUERIES[query]
    net, x, y, v = make()
    want = call(net, x, y, v)
    net(x)  # has scratch memory of its own
    _core.fail_allocations_after(0, False)
    try:
        again = call(net, x, y, v)
    finally:
        _core.fail_allocations_after(-1, False)
    assert np.array_equal(again, want)


@pytest.mark.parametrize("query", QUERIES)
def test_shapes_may_change_from_call_to_call(query):
    call = QUERIES[query]
    net, x, y, v = make()
    whole = call(net, x, y, v)
    for n in (1, 60, 7):
        part = call(net, x[:n], y[:n], v)
        if part.shape[0] == n:
            assert np.array_equal(part, whole[:n])


PEAK_OF_HESSIAN = """
import sys
from pathlib import Path
import numpy as np
import mlpcore
n_samples, n_inputs, width, n_outputs, n_threads = map(int, sys.argv[1:])
mlpcore.set_n_threads(n_threads)
net = mlpcore.MLP([n_inputs, width, width, n_outputs], "tanh", dtype="float64", seed=0)
x = np.ones((n_samples, n_inputs))
mlpcore.MLP([1, 1], "tanh").input_hessian([1.0])  # imports
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = peak()
hessian = net.input_hessian(x)
print(peak() - before - hessian.nbytes)
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is Linux's to tell"
)
@pytest.mark.parametrize(
    ("n_samples", "n_inputs", "width", "n_outputs", "n_threads"),
    [
        (1, 10, 64, 1, 1),
        (30_000, 10, 64, 1, 1),
        (1, 300, 500, 3, 1),
        (20, 300, 500, 3, 2),
        (1, 2, 20, 2000, 1),
        (1, 1500, 4, 1, 1),
    ],
)
def test_input_hessian_needs_what_its_documentation_says(
    n_samples, n_inputs, width, n_outputs, n_threads
):
    arguments = map(str, (n_samples, n_inputs, width, n_outputs, n_threads))
    program = [sys.executable, "-c", PEAK_OF_HESSIAN, *arguments]
    extra = int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)
    # Rows may be longer by some registers.
    moved = max(n_inputs * (max(width, n_outputs) + 64), n_outputs * (width + 64))
    reals = (2 * n_inputs + n_outputs + 256) * 2 * width + n_inputs * (n_inputs + n_outputs)
    reals += 2 * moved
    # Beside that: threads, their stacks, Python's own, and pages where something else was before.
    assert extra < n_threads * (2**19 + 8 * reals) + 2**21
