# SPDX-License-Identifier: BSD-3-Clause
"""The problem that optimizers of all rows are set: one rule for its penalties."""

from importlib.util import find_spec

import numpy as np
import pytest
from regression import make_net, regression_data
from tolerances import CONVEX_MINIMUM, GRADIENT, assert_close

import mlpcore
from mlpcore._validation import Batch
from mlpcore.full_batch_problem import FullBatchProblem
from mlpcore.topology import layer_views

optimizers = pytest.mark.parametrize(
    "cls",
    [
        pytest.param(
            mlpcore.LBFGS,
            marks=pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is optional"),
        ),
        mlpcore.LevenbergMarquardt,
    ],
)


def is_weight(net):
    """Whether each parameter (P,) is one of a weight, and not of a bias."""
    mask = np.zeros(net.n_parameters)
    for weight in layer_views(mask, net.sizes, net.has_bias)[0]:
        weight[...] = 1.0
    return mask


@pytest.mark.parametrize(("weight_decay", "l2"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_the_penalty_and_its_derivatives_are_those_of_the_formula(weight_decay, l2, dtype):
    net = make_net(dtype)
    net.parameters[:] = np.random.default_rng(0).standard_normal(net.n_parameters)
    batch = Batch(*regression_data(dtype=dtype), None)
    optimizer = mlpcore.LevenbergMarquardt(weight_decay=weight_decay, l2=l2)
    problem = FullBatchProblem(net, mlpcore.losses.MSE(), batch, optimizer, 1)
    p, decay = net.parameters.astype(np.float64), weight_decay + l2 * is_weight(net)
    assert problem.penalty_here() == pytest.approx(0.5 * (decay * p**2).sum(), rel=1e-14)
    gradient, hessian = np.ones(p.size), np.ones((p.size, p.size))
    problem.add_penalty_here(gradient, hessian)
    assert_close(gradient, 1.0 + decay * p, GRADIENT["float64"])
    np.testing.assert_array_equal(hessian, 1.0 + np.diag(decay))
    tried = net.parameters + 1
    problem.move(tried)  # the penalty is that of the parameters that are tried
    want = 0.5 * (decay * tried.astype(np.float64) ** 2).sum()
    assert problem.penalty_here() == pytest.approx(want, rel=1e-14)


@optimizers
@pytest.mark.parametrize(("weight_decay", "l2"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_both_penalties_are_ridge_regression_with_both_optimizers(cls, weight_decay, l2):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), 2.0 + rng.standard_normal((40, 1))
    net = mlpcore.MLP([3, 1], "identity", dtype="float64", seed=0)
    optimizer = cls(tolerance=0.0, weight_decay=weight_decay, l2=l2)
    history = net.fit(x, y, "mse", optimizer, epochs=200)
    design = np.c_[x, np.ones(40)]
    decay = np.diag([weight_decay + l2] * 3 + [weight_decay])
    want = np.linalg.solve(design.T @ design / 40 + decay / 2, design.T @ y / 40)
    assert_close(np.r_[net.weights[0][0], net.biases[0]], want[:, 0], CONVEX_MINIMUM)
    assert history[-1]["loss"] == net.value_and_grad(x, y, "mse")[0]


@optimizers
def test_a_penalty_with_a_kink_is_not_among_their_arguments(cls):
    with pytest.raises(TypeError, match="l1"):
        cls(l1=0.1)
