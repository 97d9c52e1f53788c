# SPDX-License-Identifier: BSD-3-Clause
"""The last columns of a product have rows in the lanes where they are few; no bit shows it.

A register has 16, 8, 4, 2 or 1 lanes: the widths below end a few columns after a multiple of each.
"""

import numpy as np
import pytest

import mlpcore

WIDTHS = [5, 6, 9, 10, 11, 12, 17, 18, 20, 21, 24, 25, 33, 34, 36, 40, 41, 49, 52, 65, 72]
SUM = mlpcore.losses.MSE(reduction="sum")


def make(sizes, activations, dtype, n_rows):
    rng = np.random.default_rng(sum(sizes) + n_rows)
    net = mlpcore.MLP(sizes, activations, dtype=dtype, seed=0)
    for bias in net.biases:
        bias[:] = 0.3 * rng.normal(size=bias.shape)
    x = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    return net, x, rng.normal(size=(n_rows, sizes[-1])).astype(dtype)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_forward_and_back_have_the_bits_of_rows_alone(isa, dtype, activation, width):
    net, x, cotangent = make([70, width, 70], [activation, "identity"], dtype, 150)
    together, grad_x = net.trace(x), net.vjp(x, cotangent).inputs
    assert np.count_nonzero(together.layers[0].output[:, -1]) > 40
    assert np.count_nonzero(grad_x[:, -1]) > 100
    assert net(x).tobytes() == together.output.tobytes()
    for i in range(0, len(x), 7):
        alone = net.trace(x[i : i + 1])
        assert net(x[i : i + 1]).tobytes() == together.output[i].tobytes()
        for layer, one in zip(together.layers, alone.layers, strict=True):
            assert one.pre_activation.tobytes() == layer.pre_activation[i].tobytes()
            assert one.output.tobytes() == layer.output[i].tobytes()
            assert one.activation_derivative.tobytes() == layer.activation_derivative[i].tobytes()
        assert net.vjp(x[i : i + 1], cotangent[i : i + 1]).inputs.tobytes() == grad_x[i].tobytes()


@pytest.mark.parametrize("n_rows", [5, 64, 1100])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_weight_gradient_has_the_bits_of_one_output_alone(isa, dtype, width, n_rows):
    net, x, y = make([70, width], ["tanh"], dtype, n_rows)
    _, gradients = net.value_and_grad(x, y, SUM)
    assert np.count_nonzero(gradients.weights[0][-1]) == 70
    for j in {0, width // 2, width - 2, width - 1}:
        one = mlpcore.MLP([70, 1], ["tanh"], dtype=dtype)
        one.weights[0][:], one.biases[0][:] = net.weights[0][j], net.biases[0][j]
        _, alone = one.value_and_grad(x, y[:, j : j + 1], SUM)
        assert alone.weights[0][0].tobytes() == gradients.weights[0][j].tobytes()
        assert alone.biases[0] == gradients.biases[0][j]


@pytest.mark.parametrize("sizes", [(40, 33, 3), (34, 17, 9), (130, 65, 40), (200, 41, 33)])
def test_an_update_in_passing_is_the_one_step_by_step(isa, dtype, sizes):
    """Few parameters are exchanged, many are sure to stay finite."""
    net, x, y = make(sizes, ["relu", "identity"], dtype, 64)
    twin, optimizer = net.copy(), mlpcore.SGD(0.1)
    for _ in range(3):
        _, gradients = twin.value_and_grad(x, y, "mse")
        assert all(np.count_nonzero(weight[-1]) > 0 for weight in gradients.weights)
        mlpcore.SGD(0.1).step(twin, gradients)
        net.train_step(x, y, "mse", optimizer)
        assert net.parameters.tobytes() == twin.parameters.tobytes()


@pytest.mark.parametrize("column", [0, 32])
def test_an_update_that_is_not_finite_in_one_column_is_undone(isa, dtype, column):
    net, x, y = make((40, 33), ["identity"], dtype, 64)
    x[:, 7] = 0.0
    x[0, 7] = np.finfo(dtype).max / 100
    net.weights[0][:, 7] = 0.0
    before = net.parameters.copy()
    y[0, column] = -1e4
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, SUM, mlpcore.SGD(1.0))
    assert net.parameters.tobytes() == before.tobytes()
