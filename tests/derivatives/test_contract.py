# SPDX-License-Identifier: BSD-3-Clause
"""The arithmetic contract for derivatives, and that no query leaves the arrays it was given."""

import numpy as np
import pytest
from guarded import guarded, guarded_empty
from nets import ACTIVATIONS, make_net, rows

import mlpcore
from mlpcore import _core, losses

FUSED_ISAS = [name for name in _core.available_isas() if name != "generic"]


def everything(net, x, y, loss, vector):
    """Every derivative of a batch."""
    return [
        *net.value_and_jacobian(x),
        net.jvp(x, x, vector)[1],
        net.vjp(x, y).flat,
        net.hvp(x, y, loss, vector),
        net.input_hessian(x),
        net.laplacian(x),
        net.per_sample_gradients(x, y, loss),
        net.per_sample_gradient_norms(x, y, loss),
        net.value_and_grad(x, y, loss, dy_dx=net.jacobian(x) - 1)[1].flat,
    ]


def make(activation, dtype, loss):
    net = make_net(activation, 3, dtype)
    rng = np.random.default_rng(4)
    y = rng.uniform(0.1, 0.9, size=(37, net.sizes[-1])).astype(dtype)
    return net, rows(net, 37), y, loss, rng.normal(size=net.n_parameters).astype(dtype)


@pytest.mark.skipif(len(FUSED_ISAS) < 2, reason="this machine has one instruction set with FMA")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["mse", "log_cosh", "huber", "cross_entropy", "poisson"])
def test_same_bits_on_every_instruction_set(activation, loss, dtype):
    if loss in ("cross_entropy", "poisson") and activation not in ("softmax", "identity"):
        loss = losses.BCEWithLogits()
    if loss == "cross_entropy" and activation == "identity":
        loss = losses.CrossEntropy()
    got = []
    for name in FUSED_ISAS:
        _core.select_isa(name)
        got.append([part.tobytes() for part in everything(*make(activation, dtype, loss))])
    assert all(other == got[0] for other in got[1:])


@pytest.mark.parametrize("n_rows", [1, 2, 15])
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("widths", [(1, 1, 1), (3, 17, 2), (2, 5, 16), (16, 33, 31), (9, 3, 15)])
def test_every_array_of_a_query_ends_at_a_guard_page(widths, output, n_rows, dtype, isa):
    net = mlpcore.MLP(widths, ["tanh", output], dtype=dtype, seed=0)
    rng = np.random.default_rng(0)
    n_inputs, n_outputs = net.sizes[0], net.sizes[-1]
    x = guarded(rng.normal(size=(n_rows, n_inputs)).astype(dtype))
    y = guarded(rng.uniform(0.1, 0.9, size=(n_rows, n_outputs)).astype(dtype))
    weight = guarded(rng.uniform(0.5, 2.0, size=n_rows).astype(dtype))
    vector = guarded(rng.normal(size=net.n_parameters).astype(dtype))
    loss = losses.as_loss(net, losses.CrossEntropy() if output != "sigmoid" else "bce")

    jacobian = guarded_empty((n_rows, n_outputs, n_inputs), dtype)
    y_hat, dy_hat = (guarded_empty((n_rows, n_outputs), dtype) for _ in range(2))
    net._jacobian_rows(x, y_hat, jacobian)
    assert np.array_equal(jacobian, net.jacobian(x))
    net._jvp_rows(x, x, vector, y_hat, dy_hat)
    assert np.array_equal(dy_hat, net.jvp(x, x, vector)[1])
    flat, grad_x = guarded_empty(vector.shape, dtype), guarded_empty(x.shape, dtype)
    net._vjp_rows(x, y, flat, grad_x)
    assert np.array_equal(flat, net.vjp(x, y).flat)
    net._hvp_rows(x, y, weight, loss, vector, flat)
    assert np.array_equal(flat, net.hvp(x, y, loss, vector, weight))
    hessian = guarded_empty((n_rows, n_outputs, n_inputs, n_inputs), dtype)
    net._input_curvature_rows(x, hessian, True)
    assert np.array_equal(hessian, net.input_hessian(x))
    net._input_curvature_rows(x, y_hat, False)
    assert np.array_equal(y_hat, net.laplacian(x))
    gradients, norms = guarded_empty((n_rows, net.n_parameters), dtype), guarded_empty(n_rows, "f8")
    dy_dx = guarded(rng.normal(size=jacobian.shape).astype(dtype))
    net._value_and_grad(x, y, weight, loss, flat, grad_x, 1, (dy_dx, 0.5))
    want = net.value_and_grad(x, y, loss, weight, dy_dx=dy_dx, dy_dx_weight=0.5)[1]
    assert np.array_equal(flat, want.flat)
    assert np.array_equal(grad_x, want.inputs)
    net._per_sample_rows(x, y, loss, gradients, norms)
    assert np.array_equal(gradients, net.per_sample_gradients(x, y, loss))
