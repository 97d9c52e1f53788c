# SPDX-License-Identifier: BSD-3-Clause
"""Jacobians, Hessians and their products: finite differences, and identities between them."""

import numpy as np
import pytest

from mlpcore import reference

SIZES = [3, 4, 2]
NETS = [
    ["tanh", "identity"],
    ["gelu", "sigmoid"],
    ["silu", "softmax"],
    ["softplus", "elu"],
    ["sigmoid", "gelu"],
    ["relu", "tanh"],
    ["leaky_relu", "silu"],
    ["softmax", "softplus"],  # a hidden softmax: the formulas do not care where it stands
]
LOSSES = [
    "mse",
    "huber",
    "log_cosh",
    "bce_with_logits",
    "cross_entropy",
    "poisson",
]

each_net = pytest.mark.parametrize("activations", NETS, ids="-".join)
net_loss_pairs = pytest.mark.parametrize(
    ("activations", "loss"),
    [(net, loss) for net in NETS for loss in LOSSES] + [(NETS[1], "bce"), (NETS[2], "bce")],
)


def problem(activations):
    rng = np.random.default_rng(7)
    while True:
        flat = rng.normal(scale=0.7, size=3 * 4 + 4 + 4 * 2 + 2)
        layers = reference.layers_from_flat(flat, SIZES, activations)
        x, y = rng.normal(size=(4, 3)), rng.uniform(0.1, 0.9, (4, 2))
        kinked = [
            np.abs(step.pre_activation)
            for step in reference.trace(layers, x)
            if step.layer.activation in ("relu", "leaky_relu", "elu")
        ]
        error = np.abs(reference.forward(layers, x) - y)
        if np.min([np.min(a) for a in [*kinked, np.abs(error - 1.0)]]) > 0.01:
            return flat, layers, x, y, rng


@each_net
def test_jacobian_matches_differences(activations):
    _, layers, x, _, _ = problem(activations)
    jacobian = reference.jacobian(layers, x)
    assert jacobian.shape == (4, 2, 3)
    for i, row in enumerate(x):
        want = reference.numerical_gradient(lambda r: reference.forward(layers, r[None])[0], row)
        np.testing.assert_allclose(jacobian[i], want, rtol=1e-9, atol=1e-10)


@each_net
def test_jacobian_times_cotangent_is_vjp(activations):
    _, layers, x, _, rng = problem(activations)
    cotangent = rng.normal(size=(4, 2))
    want = np.einsum("nk,nkd->nd", cotangent, reference.jacobian(layers, x))
    got = reference.vjp(layers, x, cotangent)
    np.testing.assert_allclose(got.inputs, want, rtol=1e-12, atol=1e-15)
    value, gradients = reference.value_and_grad(layers, x, np.zeros((4, 2)), "mse", "sum")
    y_hat = reference.forward(layers, x)
    np.testing.assert_allclose(value, np.sum(y_hat**2), rtol=1e-14)
    got = reference.vjp(layers, x, 2.0 * y_hat)
    np.testing.assert_array_equal(got.flat, gradients.flat)


@each_net
def test_jvp_matches_jacobian_and_differences(activations):
    flat, layers, x, _, rng = problem(activations)
    tangent, direction = rng.normal(size=x.shape), rng.normal(size=flat.shape)
    y_hat, dy_hat = reference.jvp(layers, x, tangent)
    np.testing.assert_array_equal(y_hat, reference.forward(layers, x))
    want = np.einsum("nkd,nd->nk", reference.jacobian(layers, x), tangent)
    np.testing.assert_allclose(dy_hat, want, rtol=1e-12, atol=1e-14)

    def moved(t):
        net = reference.layers_from_flat(flat + t * direction, SIZES, activations)
        return reference.forward(net, x + t * tangent)

    both = reference.jvp(layers, x, tangent, direction)[1]
    want = reference.numerical_gradient(moved, 0.0, step=1e-4)
    np.testing.assert_allclose(both, want, rtol=1e-8, atol=1e-9)
    # cotangent . jvp = vjp . (tangent, direction), the two modes being transposes of each other
    cotangent = rng.normal(size=(4, 2))
    back = reference.vjp(layers, x, cotangent)
    pulled = np.sum(back.inputs * tangent) + np.sum(back.flat * direction)
    np.testing.assert_allclose(np.sum(cotangent * both), pulled, rtol=1e-12)
    np.testing.assert_array_equal(reference.jvp(layers, x)[1], np.zeros((4, 2)))


@each_net
def test_input_hessian_matches_differences(activations):
    _, layers, x, _, _ = problem(activations)
    hessian = reference.input_hessian(layers, x)
    assert hessian.shape == (4, 2, 3, 3)
    for i, row in enumerate(x):
        want = reference.numerical_gradient(lambda r: reference.jacobian(layers, r[None])[0], row)
        np.testing.assert_allclose(hessian[i], want, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(hessian, hessian.transpose(0, 1, 3, 2), rtol=1e-12, atol=1e-15)
    diagonals = hessian[:, :, 0, 0] + hessian[:, :, 1, 1] + hessian[:, :, 2, 2]
    np.testing.assert_allclose(reference.laplacian(layers, x), diagonals, rtol=1e-12, atol=1e-15)


@net_loss_pairs
def test_hvp_matches_differences(activations, loss):
    flat, layers, x, y, rng = problem(activations)
    vector, other = rng.normal(size=(2, *flat.shape))
    rest = ("batch_mean", rng.uniform(0.5, 2.0, 4))

    def gradient(t):
        net = reference.layers_from_flat(flat + t * vector, SIZES, activations)
        return reference.value_and_grad(net, x, y, loss, *rest)[1].flat

    product = reference.hvp(layers, x, y, loss, vector, *rest)
    want = reference.numerical_gradient(gradient, 0.0, step=1e-4)
    scale = np.max(np.abs(want))
    assert scale > 1e-3
    np.testing.assert_allclose(product, want, rtol=1e-7, atol=1e-8 * scale)
    other_product = reference.hvp(layers, x, y, loss, other, *rest)
    np.testing.assert_allclose(other @ product, vector @ other_product, rtol=1e-10)


def test_hvp_of_a_linear_model_by_hand():
    # l = (3 w + b - 5)^2: the Hessian is 2 (3, 1)(3, 1)^T.
    net = [([[2.0]], [0.0], "identity")]
    product = reference.hvp(net, [[3.0]], [[5.0]], "mse", [1.0, -2.0])
    np.testing.assert_array_equal(product, [6.0, 2.0])


@pytest.mark.parametrize("bias", [True, False])
def test_without_bias(bias):
    rng = np.random.default_rng(8)
    flat = rng.normal(size=3 * 4 + 4 * 2 + 6 * bias)
    layers = reference.layers_from_flat(flat, SIZES, ["tanh", "identity"], bias)
    x, y, vector = rng.normal(size=(2, 3)), rng.normal(size=(2, 2)), rng.normal(size=flat.shape)

    def gradient(t):
        net = reference.layers_from_flat(flat + t * vector, SIZES, ["tanh", "identity"], bias)
        return reference.value_and_grad(net, x, y, "mse")[1].flat

    product = reference.hvp(layers, x, y, "mse", vector)
    want = reference.numerical_gradient(gradient, 0.0, step=1e-4)
    np.testing.assert_allclose(product, want, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("reduction", "factor"), [("sum", 1.0), ("mean", 4.0), ("batch_mean", 4.0)]
)
@net_loss_pairs
def test_per_sample_gradients_sum_to_the_batch_gradient(activations, loss, reduction, factor):
    flat, layers, x, y, _ = problem(activations)
    rows = reference.per_sample_gradients(layers, x, y, loss, reduction)
    assert rows.shape == (4, flat.size)
    batch = reference.value_and_grad(layers, x, y, loss, reduction)[1].flat
    np.testing.assert_allclose(rows.sum(axis=0), factor * batch, rtol=1e-12, atol=1e-14)
    alone = reference.value_and_grad(layers, x[2:3], y[2:3], loss, reduction)[1].flat
    np.testing.assert_array_equal(rows[2], alone)


def test_per_sample_gradients_of_integer_classes_and_of_none():
    _, layers, x, _, _ = problem(["tanh", "softmax"])
    rows = reference.per_sample_gradients(layers, x, [0, 1, 1, 0], "cross_entropy")
    y = reference.one_hot([0, 1, 1, 0], 2)
    want = reference.per_sample_gradients(layers, x, y, "cross_entropy")
    np.testing.assert_array_equal(rows, want)
    empty = reference.per_sample_gradients(layers, x[:0], y[:0], "cross_entropy")
    assert empty.shape == (0, 26)
