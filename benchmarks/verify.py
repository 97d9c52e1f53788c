# SPDX-License-Identifier: BSD-3-Clause
"""Before anything is timed: does it compute the same as the reference?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import mlpcore
from mlpcore import reference

from .cases import Array, Case
from .peers.base import BETA1, BETA2, EPSILON, Peer, direction, is_epoch

# float32 against the float64 reference, norm against norm. A ReLU whose rounding error takes it
# across 0 changes the gradient by about 1 / sqrt(units). An update is a small difference of large
# parameters, and Adam's has the size of the learning rate wherever a gradient is not exactly zero.
VALUE_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 0.01
UPDATE_TOLERANCE = 0.05
LEARNING_RATES = {"sgd": 0.1, "adam": 1e-3}
# While they are timed, the parameters should stay where they are.
TIMED_LEARNING_RATE = 1e-6
# Enough for a second step to show that state and parameters are carried on.
N_EPOCH_STEPS = 2


def initial_parameters(case: Case) -> Array:
    parameters: Array = mlpcore.MLP(list(case.sizes), case.activations, seed=0).parameters.copy()
    return parameters


def relative_difference(actual: ArrayLike, expected: ArrayLike) -> float:
    """Norm of the difference over the norm of what is expected."""
    expected = np.asarray(expected, dtype=np.float64)
    difference = np.linalg.norm(np.asarray(actual, dtype=np.float64) - expected)
    return float(difference / np.linalg.norm(expected))


class Expected:
    """What the reference says about a case, each part computed when it is first asked for."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.parameters = initial_parameters(case)
        self.x, self.y = case.make_batch()
        self.epoch = case.make_batch(N_EPOCH_STEPS * case.batch_size)
        self._known: dict[str, Any] = {}

    def batch(self, job: str) -> tuple[Array, NDArray[Any]]:
        return self.epoch if is_epoch(job) else (self.x, self.y)

    def __getitem__(self, job: str) -> Any:
        job = "forward" if job == "call" else job
        if job not in self._known:
            self._known[job] = self._compute(job)
        return self._known[job]

    def _compute(self, job: str) -> Any:
        layers = self._layers(self.parameters)
        if job == "forward":
            return reference.forward(layers, self.x)
        if job == "value_and_grad":
            return reference.value_and_grad(layers, self.x, self.y, self.case.loss)
        if job in ("jacobian", "value_and_jacobian"):
            return reference.jacobian(layers, self.x)
        if job == "hvp":
            vector = direction(self.case)
            return reference.hvp(layers, self.x, self.y, self.case.loss, vector)
        if job == "gradient_norms":
            rows = reference.per_sample_gradients(layers, self.x, self.y, self.case.loss)
            return np.linalg.norm(rows, axis=1)
        rule = job.partition("_")[0]
        x, y = self.batch(job)
        parameters: NDArray[Any] = self.parameters
        state: dict[str, Any] = {}
        for start in range(0, len(x), self.case.batch_size):
            rows = slice(start, start + self.case.batch_size)
            layers = self._layers(parameters)
            _, gradients = reference.value_and_grad(layers, x[rows], y[rows], self.case.loss)
            arguments = (parameters, gradients.flat, state, LEARNING_RATES[rule])
            if rule == "sgd":
                parameters, state = reference.sgd_step(*arguments)
            else:
                parameters, state = reference.adam_step(*arguments, BETA1, BETA2, EPSILON)
        return parameters - self.parameters

    def _layers(self, parameters: NDArray[Any]) -> Any:
        return reference.layers_from_flat(parameters, self.case.sizes, self.case.activations)


def verify(peer: Peer, jobs: tuple[str, ...], expected: Expected) -> None:
    """Compare the jobs of a peer with the reference; those that it does not have are left out.

    Raises
    ------
    RuntimeError
        If a result is further from the reference than rounding explains.
    """

    def check(what: str, difference: float, tolerance: float) -> None:
        if not difference <= tolerance:
            raise RuntimeError(
                f"{peer.case.net}, batch {peer.case.batch_size}: {what} of {peer.title} differs "
                f"by {difference:.1e} from the reference, more than {tolerance:.0e}"
            )

    for job in jobs:
        if job not in (*peer.jobs, *peer.derivative_jobs):
            continue
        peer.before_slice()
        learning_rate = LEARNING_RATES.get(job.partition("_")[0], TIMED_LEARNING_RATE)
        peer.reset(expected.parameters, learning_rate)
        result = getattr(peer, job)(*peer.prepare(job, *expected.batch(job)))
        if job in ("forward", "call"):
            output = peer.as_output(result)
            difference = relative_difference(output, peer.as_expected(expected[job]))
            check(f"the output of {job}", difference, VALUE_TOLERANCE)
        elif job == "value_and_grad":
            value, gradients = expected[job]
            actual, flat, inputs = peer.as_gradients(result)
            check("the loss", relative_difference(actual, value), VALUE_TOLERANCE)
            difference = relative_difference(flat, gradients.flat)
            check("the gradient", difference, GRADIENT_TOLERANCE)
            difference = relative_difference(inputs, gradients.inputs)
            check("dl/dx", difference, GRADIENT_TOLERANCE)
        elif job in peer.derivative_jobs:
            difference = relative_difference(peer.as_derivative(job, result), expected[job])
            check(f"the result of {job}", difference, GRADIENT_TOLERANCE)
        else:
            update = peer.parameters - expected.parameters
            difference = relative_difference(update, expected[job])
            check(f"the update of {job}", difference, UPDATE_TOLERANCE)
