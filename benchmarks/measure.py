# SPDX-License-Identifier: BSD-3-Clause
"""First check that the rivals compute the same, then time them in turns."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import NamedTuple

import numpy as np

import mlpcore
from mlpcore import reference

from .cases import Array, Case
from .rivals import MlpcoreNet, NumpyNet

JOBS = ("forward", "value_and_grad", "sgd_step", "adam_step")
RIVALS = {"mlpcore": MlpcoreNet, "numpy": NumpyNet}

# float32 against the float64 reference, norm against norm. A ReLU whose rounding error takes it
# across 0 changes the gradient by about 1 / sqrt(units). An update is a small difference of large
# parameters, and Adam's has the size of the learning rate wherever a gradient is not exactly zero.
VALUE_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 0.01
UPDATE_TOLERANCE = 0.05
LEARNING_RATE = {"sgd_step": 0.1, "adam_step": 1e-3}
# While they are timed, the parameters should stay where they are.
TIMED_LEARNING_RATE = 1e-6


class Timing(NamedTuple):
    """Seconds per call: the median slice and the quartiles."""

    lower_quartile: float
    median: float
    upper_quartile: float


class Result(NamedTuple):
    """One job on one case, by each rival."""

    case: Case
    job: str
    timings: dict[str, Timing]

    @property
    def ratio(self) -> float:
        """NumPy's median time over mlpcore's: above 1, mlpcore is faster."""
        return self.timings["numpy"].median / self.timings["mlpcore"].median


def initial_parameters(case: Case) -> Array:
    parameters: Array = mlpcore.MLP(list(case.sizes), case.activations, seed=0).parameters.copy()
    return parameters


def relative_difference(actual: np.typing.ArrayLike, expected: np.typing.ArrayLike) -> float:
    """Norm of the difference over the norm of what is expected."""
    expected = np.asarray(expected, dtype=np.float64)
    difference = np.linalg.norm(np.asarray(actual, dtype=np.float64) - expected)
    return float(difference / np.linalg.norm(expected))


def verify(case: Case) -> None:
    """Compare every job of every rival with the reference.

    Raises
    ------
    RuntimeError
        If a result is further from the reference than rounding explains.
    """
    x, y = case.make_batch()
    parameters = initial_parameters(case)
    layers = reference.layers_from_flat(parameters, case.sizes, case.activations)
    value, gradients = reference.value_and_grad(layers, x, y, case.loss)
    stepped = {
        "sgd_step": reference.sgd_step(parameters, gradients.flat, {}, LEARNING_RATE["sgd_step"]),
        "adam_step": reference.adam_step(
            parameters, gradients.flat, {}, LEARNING_RATE["adam_step"]
        ),
    }

    def check(rival: str, what: str, difference: float, tolerance: float) -> None:
        if not difference <= tolerance:
            raise RuntimeError(
                f"{case.name}, batch {case.batch_size}: {what} of {rival} differs by "
                f"{difference:.1e} from the reference, more than {tolerance:.0e}"
            )

    for rival, make in RIVALS.items():
        net = make(case, parameters, TIMED_LEARNING_RATE)
        y_hat = net.forward(x)
        expected = reference.forward(layers, x)
        check(rival, "the output", relative_difference(y_hat, expected), VALUE_TOLERANCE)
        actual, flat, inputs = net.value_and_grad(x, y)
        check(rival, "the loss", relative_difference(actual, value), VALUE_TOLERANCE)
        for what, a, b in (
            ("the gradient", flat, gradients.flat),
            ("dl/dx", inputs, gradients.inputs),
        ):
            check(rival, what, relative_difference(a, b), GRADIENT_TOLERANCE)
        for job, (expected_parameters, _) in stepped.items():
            net = make(case, parameters, LEARNING_RATE[job])
            getattr(net, job)(x, y)
            update = net.parameters - parameters
            difference = relative_difference(update, expected_parameters - parameters)
            check(rival, f"the update of {job}", difference, UPDATE_TOLERANCE)


# OpenBLAS's workers spin for 2^26 cycles after a call (its THREAD_TIMEOUT), some 25 ms, on the CPUs
# that the next rival's workers are about to need.
PAUSE_SECONDS = 0.05


def slices(
    calls: dict[str, Callable[[], object]], n_rounds: int, slice_seconds: float, n_threads: int
) -> dict[str, list[float]]:
    """Seconds per call of each function, from slices that take turns.

    Whatever slows the machine down for a moment then hits all alike. With several threads, a slice
    begins when those of the one before are asleep, and after a call that wakes its own.
    """

    def elapsed(call: Callable[[], object], n_calls: int) -> float:
        start = time.perf_counter()
        for _ in repeat(None, n_calls):
            call()
        return time.perf_counter() - start

    n_calls = {}
    for name, call in calls.items():
        call()
        n_calls[name] = 1
        while (seconds := elapsed(call, n_calls[name])) < slice_seconds / 4:
            n_calls[name] *= 2
        n_calls[name] = math.ceil(n_calls[name] * slice_seconds / seconds)

    result: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    try:
        for i in range(n_rounds):
            # The one that comes first is another one each round.
            order = list(calls) if i % 2 == 0 else list(reversed(calls))
            for name in order:
                if n_threads > 1:
                    time.sleep(PAUSE_SECONDS)
                    calls[name]()
                result[name].append(elapsed(calls[name], n_calls[name]) / n_calls[name])
    finally:
        gc.enable()
    return result


def measure(
    case: Case, jobs: Sequence[str] = JOBS, n_rounds: int = 7, slice_seconds: float = 0.02
) -> list[Result]:
    """Verify a case, then time its jobs."""
    verify(case)
    x, y = case.make_batch()
    parameters = initial_parameters(case)
    results = []
    for job in jobs:
        nets = {name: make(case, parameters, TIMED_LEARNING_RATE) for name, make in RIVALS.items()}
        arguments = (x,) if job == "forward" else (x, y)
        calls = {name: partial(getattr(net, job), *arguments) for name, net in nets.items()}
        timed = slices(calls, n_rounds, slice_seconds, mlpcore.get_n_threads())
        timings = {
            name: Timing(*(float(q) for q in np.quantile(seconds, (0.25, 0.5, 0.75))))
            for name, seconds in timed.items()
        }
        results.append(Result(case, job, timings))
    return results
