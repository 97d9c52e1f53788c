# SPDX-License-Identifier: BSD-3-Clause
"""Products take their way by their shape; none of the ways changes a bit."""

import numpy as np
import pytest

import mlpcore
from mlpcore import reference

LAYERS = [
    (activation, n_outputs)
    for activation in ("relu", "tanh", "identity", "softmax")
    for n_outputs in (1, 2, 3, 5, 6, 10, 11, 17)
    if (activation, n_outputs) != ("softmax", 1)  # a constant
]


@pytest.mark.parametrize(("activation", "n_outputs"), LAYERS)
def test_a_batch_has_the_bits_of_its_rows(isa, dtype, activation, n_outputs):
    """Narrow layers sum with samples in the lanes if there are enough; one row never does."""
    rng = np.random.default_rng(n_outputs)
    for n_inputs in (5, 31, 32, 64, 70, 600):
        net = mlpcore.MLP([n_inputs, n_outputs], [activation], dtype=dtype, seed=0)
        net.biases[0][:] = 0.3 * rng.normal(size=n_outputs)
        x = rng.normal(size=(300, n_inputs)).astype(dtype)
        alone = np.concatenate([net(row[None]) for row in x])
        assert np.all(np.count_nonzero(alone, axis=0) > 10)
        for n_rows in (31, 32, 33, 48, 128, 129, 300):
            assert net(x[:n_rows]).tobytes() == alone[:n_rows].tobytes()
        layer = net.trace(x).layers[0]
        assert layer.output.tobytes() == alone.tobytes()
        want = x @ net.weights[0].T + net.biases[0]
        atol = 1000 * np.finfo(dtype).eps
        np.testing.assert_allclose(layer.pre_activation, want, rtol=0, atol=atol)
        if activation != "softmax":
            slope = reference.activation_derivative(activation, layer.pre_activation)
            np.testing.assert_allclose(layer.activation_derivative, slope, rtol=0, atol=atol)


@pytest.mark.parametrize("n_inputs", [1, 7, 8, 29, 513, 2051])
@pytest.mark.parametrize("n_outputs", [257, 513, 1027, 2048, 2100])
def test_one_row_of_a_wide_layer_has_the_bits_of_a_batch(isa, dtype, n_inputs, n_outputs):
    """One row reads long rows of W end to end, a batch by tiles."""
    net = mlpcore.MLP([n_inputs, n_outputs, 3], ["tanh", "identity"], dtype=dtype, seed=0)
    rng = np.random.default_rng(n_inputs)
    net.biases[0][:] = 0.3 * rng.normal(size=n_outputs)
    x = rng.normal(size=(5, n_inputs)).astype(dtype)
    together = net.trace(x)
    assert np.count_nonzero(together.layers[0].output) > 4 * n_outputs
    for i, row in enumerate(x):
        alone = net.trace(row[None])
        for layer, one in zip(together.layers, alone.layers, strict=True):
            assert one.pre_activation.tobytes() == layer.pre_activation[i].tobytes()
            assert one.output.tobytes() == layer.output[i].tobytes()
            assert one.activation_derivative.tobytes() == layer.activation_derivative[i].tobytes()
        assert net(row[None]).tobytes() == together.output[i].tobytes()


@pytest.mark.parametrize("n_rows", range(1, 57))
def test_every_height_of_a_tile(isa, dtype, n_rows):
    """The rows of a batch are shared out evenly, so that tiles of each height come up."""
    net = mlpcore.MLP([40, 70, 33], ["tanh", "identity"], dtype=dtype, seed=0)
    rng = np.random.default_rng(n_rows)
    x = rng.normal(size=(n_rows, 40)).astype(dtype)
    y = rng.normal(size=(n_rows, 33)).astype(dtype)
    alone = np.concatenate([net(row[None]) for row in x])
    assert net(x).tobytes() == alone.tobytes()
    twin, sgd, other = net.copy(), mlpcore.SGD(0.1), mlpcore.SGD(0.1)
    _, gradients = twin.value_and_grad(x, y, "mse")
    net.train_step(x, y, "mse", sgd)
    other.step(twin, gradients)
    assert net.parameters.tobytes() == twin.parameters.tobytes()
