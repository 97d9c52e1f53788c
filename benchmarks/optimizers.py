# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks optimizers``: which one is the first to the same validation error.

Each optimizer trains the same net on the same rows, from several first weights, until the error of
the validation rows is small enough. A first fit finds out after which epoch that is; a second one,
without validation, has the same bits, and its processor time is taken. scikit-learn does not say
what its net was like after each iteration: there `max_iter` grows by a quarter until the error is
reached, and the time is that of this last fit alone. All have one thread.

The inverse dynamics are those of a planar arm of two links with their masses at the ends: which two
torques give these accelerations? (M. Spong, S. Hutchinson, M. Vidyasagar, "Robot modeling and
control", 2006, section 7.3.) The digits are real: 1797 scanned ones, UCI repository, as
scikit-learn brings them.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

import mlpcore

LINKS, MASSES, GRAVITY = (1.0, 0.7), (2.0, 1.0), 9.81
ADAM_RATES = (1e-3, 1e-2)
COSINE_EPOCHS = (1000,)

Times = list[float]  # until the first goal, the second and so on, as far as they were reached


@dataclass(frozen=True)
class Task:
    """A net to be trained, and the validation error at which it is good enough."""

    name: str
    sizes: tuple[int, ...]
    activation: str
    loss: str
    rows: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    figure: str  # key of the history
    goals: tuple[float, ...]  # each harder than the one before
    limit: float  # seconds of the processor

    def n_reached(self, figure: float) -> int:
        """How many of the goals this figure of the validation rows reaches."""
        is_share = self.figure == "validation_accuracy"
        return sum(figure >= goal if is_share else figure <= goal for goal in self.goals)


def torques(state: np.ndarray) -> np.ndarray:
    """Of shoulder and elbow, (N, 2), for angles, velocities and accelerations (N, 6)."""
    q1, q2, v1, v2, a1, a2 = state.T
    (l1, l2), (m1, m2) = LINKS, MASSES
    inertia = m2 * l1 * l2 * np.cos(q2)
    coriolis = m2 * l1 * l2 * np.sin(q2)
    far = m2 * l2 * GRAVITY * np.cos(q1 + q2)
    near = (m1 + m2) * l1 * GRAVITY * np.cos(q1)
    own = m2 * l2**2
    shoulder = ((m1 + m2) * l1**2 + own + 2 * inertia) * a1 + (own + inertia) * a2
    shoulder += -coriolis * (2 * v1 * v2 + v2**2) + near + far
    elbow = (own + inertia) * a1 + own * a2 + coriolis * v1**2 + far
    return np.stack([shoulder, elbow], axis=1)


def arm_task() -> Task:
    """Inverse dynamics: 1000 samples of a function without noise."""
    rng = np.random.default_rng(0)
    state = rng.uniform(-1.0, 1.0, (2000, 6))
    y = torques(state * np.array([np.pi / 2, np.pi / 2, 1, 1, 1, 1]))
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    rows, validation = (state[:1000], y[:1000]), (state[1000:], y[1000:])
    return Task(
        "arm 6-20-20-2", (6, 20, 20, 2), "tanh", "mse", rows, validation,
        "validation_loss", (1e-2, 1e-4, 1e-6), 6,
    )  # fmt: skip


def digits_task() -> Task:
    """Scanned digits, ten classes."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16.0, y[order]
    rows, validation = (x[:1297], y[:1297]), (x[1297:], y[1297:])
    return Task(
        "digits 64-32-10", (64, 32, 10), "relu", "cross_entropy", rows, validation,
        "validation_accuracy", (0.95, 0.965), 3,
    )  # fmt: skip


def times_of(task: Task, make: Callable[[], Any], seed: int, epochs: int, **options: Any) -> Times:
    """Seconds until each goal; fewer of them beyond the limit, or where the fit ends before."""
    output = "softmax" if task.loss == "cross_entropy" else "identity"
    hidden = [task.activation] * (len(task.sizes) - 2)
    net = mlpcore.MLP(task.sizes, [*hidden, output], dtype="float64", seed=seed)
    first, started = net.copy(), time.process_time()
    reached_after: list[int] = []

    def look(state: Any) -> bool:
        while len(reached_after) < task.n_reached(state.row[task.figure]):
            reached_after.append(state.epoch)
        is_late = time.process_time() - started > task.limit
        return is_late or len(reached_after) == len(task.goals)

    net.fit(
        *task.rows, task.loss, make(), epochs=epochs, seed=seed, callbacks=[look],
        validation=task.validation,
        metrics=["accuracy"] if task.loss == "cross_entropy" else (),
        **options,
    )  # fmt: skip
    times: dict[int, float] = {}
    start = time.process_time()

    def note(state: Any) -> bool:
        times[state.epoch] = time.process_time() - start
        return state.epoch == max(reached_after)

    if reached_after:
        first.fit(
            *task.rows, task.loss, make(), epochs=epochs, seed=seed, callbacks=[note], **options
        )
    return [times[epoch] for epoch in reached_after]


def times_of_sklearn(task: Task, seed: int) -> Times:
    """The same of scikit-learn's lbfgs."""
    is_classifier = task.loss == "cross_entropy"
    cls = MLPClassifier if is_classifier else MLPRegressor
    n_iterations, started = 1, time.process_time()
    times: Times = []
    while len(times) < len(task.goals) and time.process_time() - started < 3 * task.limit:
        estimator = cls(
            hidden_layer_sizes=task.sizes[1:-1], activation=task.activation, solver="lbfgs",
            alpha=0.0, tol=0.0, max_iter=n_iterations, max_fun=10**9, random_state=seed,
        )  # fmt: skip
        start = time.process_time()
        estimator.fit(*task.rows)
        seconds = time.process_time() - start
        y_hat = estimator.predict(task.validation[0])
        hits, errors = y_hat == task.validation[1], y_hat - task.validation[1]
        figure = float(hits.mean() if is_classifier else (errors**2).mean())
        while len(times) < task.n_reached(figure):
            times.append(seconds)
        if estimator.n_iter_ < n_iterations:  # nothing is left to gain
            break
        n_iterations += max(n_iterations // 4, 1)
    return times


def ways_of(task: Task) -> dict[str, Callable[[int], Times]]:
    """What is compared: from the seed of the first weights to the seconds."""

    def adam(rate: float, epochs: int, **options: Any) -> Callable[[int], Times]:
        return lambda seed: times_of(
            task, lambda: mlpcore.Adam(rate), seed, epochs, batch_size=32, **options
        )

    ways = {f"`Adam({rate:g})`": adam(rate, 10**6) for rate in ADAM_RATES}
    for epochs in COSINE_EPOCHS:
        schedule = mlpcore.schedules.Cosine()
        name = f"`Adam({ADAM_RATES[-1]:g})`, cosine over {epochs} epochs"
        ways[name] = adam(ADAM_RATES[-1], epochs, schedule=schedule)
    ways["`LBFGS(tolerance=0)`"] = lambda seed: times_of(
        task, lambda: mlpcore.LBFGS(tolerance=0.0), seed, 10**6
    )
    if task.loss == "mse":
        ways["`LevenbergMarquardt()`"] = lambda seed: times_of(
            task, mlpcore.LevenbergMarquardt, seed, 10**6
        )
    ways["scikit-learn's `lbfgs`"] = lambda seed: times_of_sklearn(task, seed)
    return ways


def report(task: Task, n_seeds: int) -> str:
    """A table of the times, as Markdown."""
    ways = ways_of(task)
    results: dict[str, list[Times]] = {name: [] for name in ways}
    for seed in range(n_seeds):
        for name, way in ways.items():
            results[name].append(way(seed))
    goals = [f"{task.figure.removeprefix('validation_')} {goal:g}" for goal in task.goals]
    lines = [f"| {task.name} | {' | '.join(goals)} |", "|---|" + "---:|" * len(goals)]
    for name, runs in results.items():
        cells = []
        for place in range(len(goals)):
            reached = sorted(times[place] for times in runs if len(times) > place)
            cell = f"{len(reached)} of {n_seeds}"
            if reached:
                middle, low, high = statistics.median(reached), reached[0], reached[-1]
                few = f", {cell}" if len(reached) < n_seeds else ""
                cell = f"**{middle:.2g}** ({low:.2g} to {high:.2g}{few})"
            cells.append(cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Print a table for each task."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks optimizers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="first weights of each net")
    arguments = parser.parse_args(words)
    warnings.simplefilter("ignore", ConvergenceWarning)
    mlpcore.set_n_threads(1)
    with threadpool_limits(1):
        for make_task in (arm_task, digits_task):
            print(report(make_task(), arguments.seeds), end="\n\n", flush=True)
    return 0
