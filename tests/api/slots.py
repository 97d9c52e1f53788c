# SPDX-License-Identifier: BSD-3-Clause
"""Every argument that is an array, of every function: how it is handed over, and a good value."""

from typing import NamedTuple

import numpy as np
import pytest

import mlpcore
from mlpcore import losses

N, D, K = 4, 3, 2
X = np.array([[1, 0, 2], [0, 1, 1], [2, 2, 0], [1, 1, 1]], np.float32)
Y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
W = np.array([1, 2, 0, 1], np.float32)


def make_net(dtype="float32"):
    return mlpcore.MLP([D, 5, K], "tanh", dtype=dtype, seed=3)


P = make_net().n_parameters


class Slot(NamedTuple):
    """One argument of one function: how to call it with that argument, and a good value."""

    argument: str
    good: np.ndarray
    call: object


def _arrays(gradients):
    return [gradients.flat, gradients.inputs]


def _trained(net, *arguments, **options):
    return [net.train_step(*arguments, **options), net.parameters]


def _valued(pair):
    return [pair[0], *_arrays(pair[1])]


def _stepped(net, gradients):
    mlpcore.SGD(0.5).step(net, gradients)
    return [net.parameters]


def _fitted(net, *arguments, **options):
    options = {"epochs": 2, "batch_size": 3, "seed": 0} | options
    history = net.fit(*arguments, "mse", mlpcore.SGD(0.1), **options)
    return [history[-1]["loss"], net.parameters]


def _chained(chain):
    return [chain["l"], chain["dl/dW1"], chain["dl/dx"]]


def _reported(report):
    return [layer.grad_weight_norm for layer in report.layers]


C = np.array([[1, -1], [2, 0], [0, 1], [1, 1]], np.float32)
G = (np.arange(P) % 5).astype(np.float32)

SLOTS = {
    "call": Slot("x", X, lambda net, a: [net(a)]),
    "forward": Slot("x", X, lambda net, a: [net.forward(a, n_threads=1)]),
    "trace": Slot("x", X, lambda net, a: [net.trace(a).output]),
    "backward-y": Slot("y", Y, lambda net, a: _arrays(net.backward(net.trace(X), losses.MSE(), a))),
    "backward-sample_weight": Slot(
        "sample_weight", W, lambda net, a: _arrays(net.backward(net.trace(X), "mse", Y, a))
    ),
    "backward-cotangent": Slot(
        "cotangent", C, lambda net, a: _arrays(net.backward(net.trace(X), a))
    ),
    "train_step-x": Slot("x", X, lambda net, a: _trained(net, a, Y, "mse", mlpcore.SGD())),
    "train_step-y": Slot("y", Y, lambda net, a: _trained(net, X, a, "l1", mlpcore.SGD())),
    "train_step-sample_weight": Slot(
        "sample_weight",
        W,
        lambda net, a: _trained(net, X, Y, "mse", mlpcore.SGD(), sample_weight=a),
    ),
    "value_and_grad-x": Slot("x", X, lambda net, a: _valued(net.value_and_grad(a, Y, "mse"))),
    "value_and_grad-y": Slot("y", Y, lambda net, a: _valued(net.value_and_grad(X, a, "huber"))),
    "value_and_grad-sample_weight": Slot(
        "sample_weight", W, lambda net, a: _valued(net.value_and_grad(X, Y, "mse", a))
    ),
    "vjp-x": Slot("x", X, lambda net, a: _arrays(net.vjp(a, C))),
    "vjp-cotangent": Slot("cotangent", C, lambda net, a: _arrays(net.vjp(X, a))),
    "chain-x": Slot("x", X, lambda net, a: _chained(net.chain(a, Y, "mse"))),
    "chain-y": Slot("y", Y, lambda net, a: _chained(net.chain(X, a, "mse"))),
    "fit-x": Slot("x", X, lambda net, a: _fitted(net, a, Y)),
    "fit-y": Slot("y", Y, lambda net, a: _fitted(net, X, a)),
    "fit-sample_weight": Slot(
        "sample_weight", W, lambda net, a: _fitted(net, X, Y, sample_weight=a)
    ),
    "loss-y_hat": Slot("y_hat", C, lambda net, a: [losses.MSE()(a, Y)]),
    "loss-y": Slot("y", Y, lambda net, a: [losses.MSE()(C, a)]),
    "loss-sample_weight": Slot("sample_weight", W, lambda net, a: [losses.MSE()(C, Y, a)]),
    "loss.gradient-y_hat": Slot("y_hat", C, lambda net, a: [losses.L1().gradient(a, Y)]),
    "loss.gradient-y": Slot("y", Y, lambda net, a: [losses.L1().gradient(C, a)]),
    "jvp-x": Slot("x", X, lambda net, a: [*net.jvp(a, X)]),
    "jvp-tangent": Slot("tangent", X, lambda net, a: [*net.jvp(X, a)]),
    "jvp-parameters_tangent": Slot(
        "parameters_tangent", G, lambda net, a: [*net.jvp(X, parameters_tangent=a)]
    ),
    "jacobian-x": Slot("x", X, lambda net, a: [net.jacobian(a)]),
    "value_and_jacobian-x": Slot("x", X, lambda net, a: [*net.value_and_jacobian(a)]),
    "input_hessian-x": Slot("x", X, lambda net, a: [net.input_hessian(a)]),
    "laplacian-x": Slot("x", X, lambda net, a: [net.laplacian(a)]),
    "hvp-x": Slot("x", X, lambda net, a: [net.hvp(a, Y, "mse", G)]),
    "hvp-y": Slot("y", Y, lambda net, a: [net.hvp(X, a, "mse", G)]),
    "hvp-vector": Slot("vector", G, lambda net, a: [net.hvp(X, Y, "mse", a)]),
    "hvp-sample_weight": Slot(
        "sample_weight", W, lambda net, a: [net.hvp(X, Y, "mse", G, sample_weight=a)]
    ),
    "per_sample_gradients-x": Slot("x", X, lambda net, a: [net.per_sample_gradients(a, Y, "mse")]),
    "per_sample_gradients-y": Slot("y", Y, lambda net, a: [net.per_sample_gradients(X, a, "mse")]),
    "per_sample_gradient_norms-x": Slot(
        "x", X, lambda net, a: [net.per_sample_gradient_norms(a, Y, "mse")]
    ),
    "per_sample_gradient_norms-y": Slot(
        "y", Y, lambda net, a: [net.per_sample_gradient_norms(X, a, "mse")]
    ),
    "gradient_report-x": Slot("x", X, lambda net, a: _reported(net.gradient_report(a, Y, "mse"))),
    "gradient_report-y": Slot("y", Y, lambda net, a: _reported(net.gradient_report(X, a, "mse"))),
    "as_function-x": Slot("x", X, lambda net, a: [net.as_function(a, Y, "mse").jac(G)]),
    "as_function-y": Slot("y", Y, lambda net, a: [net.as_function(X, a, "mse").jac(G)]),
    "as_function-sample_weight": Slot(
        "sample_weight", W, lambda net, a: [net.as_function(X, Y, "mse", a).jac(G)]
    ),
    "optimizer.step": Slot("gradients", G, _stepped),
}
slots = pytest.mark.parametrize("slot", SLOTS.values(), ids=SLOTS)


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a
