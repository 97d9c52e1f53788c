# SPDX-License-Identifier: BSD-3-Clause
"""The two nets of docs/seed.md: each formula of that page written out, against the calls."""

import numpy as np
import pytest
from tolerances import GRADIENT, LOSS, assert_close

import mlpcore
from mlpcore import losses


def make_net(output, hidden="relu", dtype="float64"):
    net = mlpcore.MLP([3, 5, 2], activations=[hidden, output], dtype=dtype, seed=0)
    net.parameters[:] = np.random.default_rng(2).normal(0.0, 0.6, net.n_parameters)
    return net


def make_data(net, n_samples=7):
    rng = np.random.default_rng(n_samples)
    x = rng.normal(size=(n_samples, 3)).astype(net.dtype)
    return x, rng.uniform(0.1, 0.9, size=(n_samples, 2)).astype(net.dtype)


# ---- the net with the squared error -------------------------------------------------------------


def test_squared_norm_of_one_sample():
    net = make_net("identity")
    x, y = (rows[0] for rows in make_data(net))
    c = net.chain(x, y, losses.MSE("sum"))
    (w1, w2), (b1, b2) = net.weights, net.biases
    z1 = w1 @ x + b1
    z2 = np.maximum(z1, 0.0)
    y_hat = w2 @ z2 + b2
    delta3 = 2.0 * (y_hat - y)
    delta1 = delta3 @ w2 * (z1 > 0.0)
    assert_close(c["l"], np.sum((y_hat - y) ** 2), LOSS["float64"])
    for key, want in {
        "z1": z1, "z2": z2, "z3": y_hat, "y_hat": y_hat, "dl/dy_hat": delta3, "dl/dy": -delta3,
        "dy_hat/dz3": np.ones(2), "dz3/dz2": w2, "dz2/dz1": (z1 > 0.0) * 1.0, "dz1/dx": w1,
        "dl/dz3": delta3, "dl/dz1": delta1, "dl/dx": delta1 @ w1,
        "dl/dW2": np.outer(delta3, z2), "dl/db2": delta3,
        "dl/dW1": np.outer(delta1, x), "dl/db1": delta1,
    }.items():  # fmt: skip
        assert_close(c[key], want, GRADIENT["float64"], key)


def test_gradients_of_the_parameters_have_their_shapes():
    net = make_net("identity")
    x, y = make_data(net)
    _, w2 = net.weights
    z1 = x @ net.weights[0].T + net.biases[0]
    z2 = np.maximum(z1, 0.0)
    d3 = 2.0 * (z2 @ w2.T + net.biases[1] - y)
    d1 = d3 @ w2 * (z1 > 0.0)
    by_hand = {
        "dl/dW1": d1.T @ x,
        "dl/db1": d1.sum(axis=0),
        "dl/dW2": d3.T @ z2,
        "dl/db2": d3.sum(axis=0),
    }
    chain = net.chain(x, y, losses.MSE("sum"))
    _, gradients = net.value_and_grad(x, y, losses.MSE("sum"))
    for i in range(2):
        for key, gradient, parameter in (
            (f"dl/dW{i + 1}", gradients.weights[i], net.weights[i]),
            (f"dl/db{i + 1}", gradients.biases[i], net.biases[i]),
        ):
            assert gradient.shape == chain[key].shape == parameter.shape
            assert_close(gradient, by_hand[key], GRADIENT["float64"], key)
            assert_close(chain[key], by_hand[key], GRADIENT["float64"], key)


# ---- local derivatives --------------------------------------------------------------------------


def test_identity_has_the_identity_matrix_as_its_jacobian():
    net = make_net("identity")
    x, y = make_data(net)
    assert np.array_equal(net.chain(x, y, "mse").jacobian("dy_hat/dz3"), [np.eye(2)] * 7)
    assert np.array_equal(net.chain(x[0], y[0], "mse").jacobian("dy_hat/dz3"), np.eye(2))


def test_relu_has_the_derivative_0_at_0():
    net = mlpcore.MLP([1, 1, 1], init="zeros")
    net.weights[1][:] = 1.0
    assert net.chain([1.0], [1.0], "mse")["dz2/dz1"] == [0.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_keeps_its_derivative_where_its_output_rounds_to_1(dtype):
    net = mlpcore.MLP([1, 1], activations=["sigmoid"], dtype=dtype, init="zeros")
    net.weights[0][:] = 1.0
    z = np.array([[-80.0], [-2.0], [0.0], [2.0], [40.0], [80.0]])
    layer = net.trace(z).layers[0]
    assert (layer.output[-2:] == 1.0).all()
    # With exp(-|z|), none of whose terms cancel.
    want = np.exp(-abs(z)) / (1.0 + np.exp(-abs(z))) ** 2
    ulp = np.finfo(dtype).eps
    assert np.allclose(layer.activation_derivative, want, rtol=8 * ulp, atol=0.0)
    assert (
        net.chain(z, np.zeros((6, 1)), "bce")["dy_hat/dz1"] == layer.activation_derivative
    ).all()


# ---- the net with binary cross-entropy ----------------------------------------------------------


def test_binary_cross_entropy_of_one_sample():
    net = make_net("sigmoid")
    x, y = (rows[0] for rows in make_data(net))
    c = net.chain(x, y, losses.BCE("mean"))
    y_hat = 1.0 / (1.0 + np.exp(-c["z3"]))
    assert_close(c["dl/dy_hat"], -(y / y_hat - (1 - y) / (1 - y_hat)) / 2, GRADIENT["float64"])
    assert_close(c["dy_hat/dz3"], y_hat * (1 - y_hat), GRADIENT["float64"])
    assert_close(c["dl/dz3"], (y_hat - y) / 2, GRADIENT["float64"])
    assert_close(c["dl/dy"], -np.log(y_hat / (1 - y_hat)) / 2, GRADIENT["float64"])


@pytest.mark.parametrize("hidden", ["relu", "sigmoid"])
def test_sigmoid_and_bce_in_one_step_are_their_two_factors(hidden):
    net = make_net("sigmoid", hidden)
    x, y = make_data(net)
    chain = net.chain(x, y, "bce")
    at_once = chain["dl/dz3"]
    assert_close(at_once, (chain["y_hat"] - y) / y.size, GRADIENT["float64"])
    apart = chain.vjp("dy_hat/dz3", chain["dl/dy_hat"])
    assert_close(apart, at_once, GRADIENT["float64"])
    assert_close(
        net.backward(net.trace(x), chain["dl/dy_hat"]).flat,
        net.value_and_grad(x, y, "bce")[1].flat,
        GRADIENT["float64"],
    )


def test_another_loss_and_nothing_else():
    net = make_net("sigmoid", "sigmoid")
    x, y = make_data(net)
    y_hat = net(x)
    dl_dy_hat = {
        "mse": 2.0 * (y_hat - y) / y.size,
        "bce": -(y / y_hat - (1 - y) / (1 - y_hat)) / y.size,
    }
    value = {
        "mse": np.mean((y_hat - y) ** 2),
        "bce": -np.mean(y * np.log(y_hat) + (1 - y) * np.log(1 - y_hat)),
    }
    for loss in ("mse", "bce"):
        trained = net.copy()
        got = trained.train_step(x, y, loss, mlpcore.SGD(0.5))
        assert_close(got, value[loss], LOSS["float64"])
        step = trained.parameters - net.parameters
        assert_close(step, -0.5 * net.vjp(x, dl_dy_hat[loss]).flat, 1e-12, loss)
