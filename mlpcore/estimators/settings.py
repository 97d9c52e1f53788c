# SPDX-License-Identifier: BSD-3-Clause
"""What the parameters of an estimator mean in this package's words: optimizer, first weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..lbfgs import LBFGS
from ..optimizers import SGD, Adam, Optimizer, remade

if TYPE_CHECKING:
    from ..full_batch import AnyOptimizer
    from ..mlp import MLP

# What a trainer is made with. Another value in a fit that continues takes another trainer, which
# goes on from the same weights, moments and count of epochs.
# Those of "lbfgs" are not here: it keeps nothing between two fits, and is made for each.
OF_THE_TRAINER = (
    "solver",
    "learning_rate",
    "learning_rate_init",
    "momentum",
    "nesterovs_momentum",
    "beta_1",
    "beta_2",
    "epsilon",
    "clip_norm",
    "loss",
    "schedule",
    "dropout",
    "shuffle",
    "n_threads",
)


# What scikit-learn's "lbfgs" cannot do either, or has no meaning without steps.
NOT_WITH_LBFGS = {"dropout": 0.0, "l1": 0.0, "clip_norm": None, "schedule": None}


def check_lbfgs(estimator: Any) -> None:
    """Raise ValueError for what an optimizer of all rows at once cannot do."""
    for name, default in NOT_WITH_LBFGS.items():
        value = getattr(estimator, name)
        if np.any(value != default):
            raise ValueError(f"{name}: expected {default!r} with solver='lbfgs', got {value!r}")


def as_random_state(random_state: Any) -> np.random.RandomState:
    """The generator that scikit-learn would take."""
    if random_state is None:
        return np.random.mtrand._rand
    if isinstance(random_state, np.random.RandomState):
        return random_state
    return np.random.RandomState(random_state)


def draw_parameters(net: MLP, generator: np.random.RandomState) -> None:
    """Draw weights and biases as scikit-learn does: the same numbers, in the same order.

    |w|, |b| <= sqrt(6 / (n_inputs + n_outputs)), with 2 for 6 where the hidden activation is the
    logistic one; an output layer goes by the hidden layer before it.

    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    hidden = net.activations[:-1]
    deciding = [*hidden, hidden[-1] if hidden else "identity"]
    for weight, bias, activation in zip(net.weights, net.biases, deciding, strict=True):
        n_outputs, n_inputs = weight.shape
        bound = math.sqrt((2.0 if activation == "sigmoid" else 6.0) / (n_inputs + n_outputs))
        weight.T[:] = generator.uniform(-bound, bound, (n_inputs, n_outputs))
        assert bias is not None
        bias[:] = generator.uniform(-bound, bound, n_outputs)


def make_optimizer(estimator: Any, l2: float, former: AnyOptimizer | None) -> AnyOptimizer:
    """The optimizer of the parameters, with the moments of a `former` one of the same rule."""
    if estimator.solver == "lbfgs":
        return LBFGS(tolerance=estimator.tol, max_evaluations=estimator.max_fun, l2=l2)
    optimizer: Optimizer
    if estimator.solver == "adam":
        optimizer = Adam(
            estimator.learning_rate_init,
            float(estimator.beta_1),
            float(estimator.beta_2),
            estimator.epsilon,
            clip_norm=estimator.clip_norm,
        )
    else:
        # A momentum of 1 is allowed there: the velocity is never forgotten.
        momentum = min(float(estimator.momentum), math.nextafter(1.0, 0.0))
        nesterov = bool(estimator.nesterovs_momentum) and momentum > 0.0
        optimizer = SGD(
            estimator.learning_rate_init, momentum, nesterov, clip_norm=estimator.clip_norm
        )
    if not isinstance(former, Optimizer) or type(former) is not type(optimizer):
        return optimizer
    moments = former.n_steps, former.first_moment, former.second_moment
    return remade(type(optimizer), optimizer._arguments, moments)
