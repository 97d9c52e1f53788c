# SPDX-License-Identifier: BSD-3-Clause
"""How the weights start."""

import numpy as np
import pytest

import mlpcore
from mlpcore import _core
from mlpcore.initializers import INITIALIZERS

SOURCES = {
    # name: (n_inputs, n_outputs) -> variance, and whether the distribution is uniform
    "he": (lambda n, m: 2 / n, False),
    "he_normal": (lambda n, m: 2 / n, False),
    "he_uniform": (lambda n, m: 2 / n, True),
    "glorot": (lambda n, m: 2 / (n + m), True),
    "glorot_uniform": (lambda n, m: 2 / (n + m), True),
    "glorot_normal": (lambda n, m: 2 / (n + m), False),
    "lecun": (lambda n, m: 1 / n, False),
    "lecun_normal": (lambda n, m: 1 / n, False),
    "lecun_uniform": (lambda n, m: 1 / n, True),
}


def test_every_initializer_is_tested():
    assert set(INITIALIZERS) == {*SOURCES, "auto", "orthogonal", "zeros"}


@pytest.mark.parametrize("init", SOURCES)
def test_distribution_of_the_first_weights(init):
    n, m = 300, 200
    weight = mlpcore.MLP([n, m], init=init, seed=5, dtype="float64").weights[0]
    variance, uniform = SOURCES[init]
    expected = variance(n, m)
    # Of 60000 draws the standard error of the variance is below 0.6 %, of the mean 0.4 % of sigma.
    assert weight.var() == pytest.approx(expected, rel=0.03)
    assert abs(weight.mean()) < 0.02 * np.sqrt(expected)
    largest = np.abs(weight).max() / np.sqrt(expected)
    assert (largest <= np.sqrt(3)) if uniform else (3.5 < largest < 7)
    kurtosis = np.mean(weight**4) / weight.var() ** 2
    assert kurtosis == pytest.approx(1.8 if uniform else 3.0, rel=0.05)


@pytest.mark.parametrize("sizes", [[7, 4], [4, 7], [5, 5], [1, 3], [3, 1]])
def test_orthogonal(sizes):
    weight = mlpcore.MLP(sizes, init="orthogonal", seed=0, dtype="float64").weights[0]
    product = weight @ weight.T if sizes[1] <= sizes[0] else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(min(sizes)), atol=1e-14)


def test_auto_suits_each_layers_activation():
    he = {"relu", "leaky_relu", "elu", "gelu", "silu", "softplus"}
    for name in _core.ACTIVATIONS:
        auto = mlpcore.MLP([6, 4], [name], seed=2)
        assert auto == mlpcore.MLP([6, 4], [name], seed=2, init="he" if name in he else "glorot")


@pytest.mark.parametrize("init", INITIALIZERS)
def test_float32_is_the_rounded_float64(init):
    sizes = [9, 33, 2, 40, 1]
    single = mlpcore.MLP(sizes, init=init, seed=11)
    double = mlpcore.MLP(sizes, init=init, seed=11, dtype="float64")
    np.testing.assert_array_equal(single.parameters, double.parameters.astype(np.float32))
    for bias in double.biases:
        assert not bias.any()


def test_weights_are_drawn_in_the_order_in_which_they_are_shown():
    net = mlpcore.MLP([3, 4, 2], init="lecun", seed=123, dtype="float64")
    generator = np.random.Generator(np.random.Philox(123))
    for weight in net.weights:
        drawn = generator.standard_normal(weight.shape)
        np.testing.assert_array_equal(weight, np.sqrt(1 / weight.shape[1]) * drawn)


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1, np.int64(7), np.uint64(2**63)])
def test_a_seed_fixes_the_net(seed):
    assert mlpcore.MLP([3, 4, 2], seed=seed) == mlpcore.MLP([3, 4, 2], seed=int(seed))


def test_no_seed_is_another_net_each_time_and_leaves_numpys_generator_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert mlpcore.MLP([3, 4, 2]) != mlpcore.MLP([3, 4, 2])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
