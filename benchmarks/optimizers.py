# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks optimizers``: which one is the first to the same validation error.

Each optimizer trains the same net on the same rows with the same penalty, from several first
weights, and where the rows are measurements also with several sets of rows held out. A first fit
finds out after which epoch the validation error is small enough; a second one, without validation,
has the same bits, and its processor time is taken. Of measurements nobody knows how small the error
can be: there it is compared with the smallest that any of the optimizers ever had with this seed.
scikit-learn does not say what its net was like after each iteration: there `max_iter` grows by a
quarter, and the time is that of the last fit alone. All have one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

import mlpcore

from .optimizer_tasks import TASKS, Data, Task, yacht_task

FOREVER = 10**9  # epochs

Epochs = list[tuple[int, float]]  # an epoch, and the figure of the validation rows after it


@dataclass(frozen=True)
class Ours:
    """An optimizer of mlpcore, and what `fit` is told besides."""

    make: Callable[[float], Any]  # of the penalty
    epochs: int = FOREVER
    options: dict[str, Any] = field(default_factory=dict)

    def _fit(self, task: Task, data: Data, seed: int, look: Any, **options: Any) -> None:
        output = "softmax" if task.is_share else "identity"
        activations = [task.activation] * (len(task.sizes) - 2) + [output]
        net = mlpcore.MLP(task.sizes, activations, dtype="float64", seed=seed)
        net.fit(
            data.x, data.y, task.loss, self.make(task.l2), epochs=self.epochs, seed=seed,
            callbacks=[look], **options, **self.options,
        )  # fmt: skip

    def path(self, task: Task, data: Data, seed: int) -> Epochs:
        """What each epoch is worth, until the last goal, the end of the fit or the limit."""
        started, path = time.process_time(), Epochs()

        def look(state: Any) -> bool:
            path.append((state.epoch, state.row[key]))
            is_late = time.process_time() - started > task.limit
            return is_late or (not task.is_relative and reaches(task, path[-1][1], task.goals[-1]))

        key = "validation_accuracy" if task.is_share else "validation_loss"
        self._fit(
            task, data, seed, look, validation=data[2:],
            metrics=["accuracy"] if task.is_share else (),
        )  # fmt: skip
        return path

    def seconds(self, task: Task, data: Data, seed: int, epochs: list[int]) -> list[float]:
        """Processor time until the end of each of these epochs."""
        times: dict[int, float] = {}
        start = time.process_time()

        def note(state: Any) -> bool:
            times[state.epoch] = time.process_time() - start
            return state.epoch == epochs[-1]

        if epochs:
            self._fit(task, data, seed, note)
        return [times[epoch] for epoch in epochs]


class ScikitLearns:
    """scikit-learn's lbfgs, from first weights of its own; its alpha is that of all rows' sum."""

    def _fit(self, task: Task, data: Data, seed: int, n_iterations: int) -> Any:
        cls = MLPClassifier if task.is_share else MLPRegressor
        estimator = cls(
            hidden_layer_sizes=task.sizes[1:-1], activation=task.activation, solver="lbfgs",
            alpha=len(data.x) * task.l2 / (1 if task.is_share else 2), tol=0.0,
            max_iter=n_iterations, max_fun=FOREVER, random_state=seed,
        )  # fmt: skip
        return estimator.fit(data.x, data.y.squeeze())

    def path(self, task: Task, data: Data, seed: int) -> Epochs:
        """As that of `Ours`, for some of the iterations."""
        started, path, n_iterations = time.process_time(), Epochs(), 1
        while time.process_time() - started < 3 * task.limit:
            estimator = self._fit(task, data, seed, n_iterations)
            y_hat = estimator.predict(data.x_validation).reshape(data.y_validation.shape)
            right, errors = y_hat == data.y_validation, y_hat - data.y_validation
            path.append((n_iterations, float((right if task.is_share else errors**2).mean())))
            is_there = not task.is_relative and reaches(task, path[-1][1], task.goals[-1])
            if is_there or estimator.n_iter_ < n_iterations:
                break
            n_iterations += max(n_iterations // 4, 1)
        return path

    def seconds(self, task: Task, data: Data, seed: int, epochs: list[int]) -> list[float]:
        """Processor time of a fit of so many iterations, one for each."""
        times = []
        for n_iterations in epochs:
            start = time.process_time()
            self._fit(task, data, seed, n_iterations)
            times.append(time.process_time() - start)
        return times


def ways_of(task: Task) -> dict[str, Ours | ScikitLearns]:
    """What is compared."""
    by_32, cosine = {"batch_size": 32}, mlpcore.schedules.Cosine()
    ways: dict[str, Ours | ScikitLearns] = {
        "`Adam(0.001)`": Ours(lambda l2: mlpcore.Adam(1e-3, l2=l2), options=by_32),
        "`Adam(0.01)`": Ours(lambda l2: mlpcore.Adam(1e-2, l2=l2), options=by_32),
        "`Adam(0.01)`, cosine over 1000 epochs": Ours(
            lambda l2: mlpcore.Adam(1e-2, l2=l2), 1000, by_32 | {"schedule": cosine}
        ),
        "`LBFGS(tolerance=0)`": Ours(lambda l2: mlpcore.LBFGS(tolerance=0.0, l2=l2)),
        "`LevenbergMarquardt()`": Ours(lambda l2: mlpcore.LevenbergMarquardt(l2=l2)),
        "scikit-learn's `lbfgs`": ScikitLearns(),
    }
    if task.loss != "mse":
        del ways["`LevenbergMarquardt()`"]
    return ways


def reaches(task: Task, figure: float, goal: float) -> bool:
    """Whether a figure of the validation rows is as good as that."""
    return figure >= goal if task.is_share else figure <= goal


def measure(task: Task, seed: int) -> dict[str, tuple[float, list[float]]]:
    """Of each way its best figure, and the seconds until each goal, as far as it came."""
    ways, data = ways_of(task), task.data(seed)
    paths = {name: way.path(task, data, seed) for name, way in ways.items()}
    choose = max if task.is_share else min
    best = {name: choose(figure for _, figure in path) for name, path in paths.items()}
    unit = choose(best.values()) if task.is_relative else 1.0
    results = {}
    for name, way in ways.items():
        epochs = [
            next(epoch for epoch, figure in paths[name] if reaches(task, figure, goal * unit))
            for goal in task.goals
            if reaches(task, best[name], goal * unit)
        ]
        results[name] = best[name], way.seconds(task, data, seed, epochs)
    return results


def report(task: Task, n_seeds: int) -> str:
    """A table of the times, as Markdown."""
    runs = [measure(task, seed) for seed in range(n_seeds)]
    word = "accuracy" if task.is_share else "loss"
    titles = [in_words(goal) if task.is_relative else f"{word} {goal:g}" for goal in task.goals]
    if task.is_relative:
        titles.insert(0, f"best {word}")
    lines = [f"| {task.name} | {' | '.join(titles)} |", "|---|" + "---:|" * len(titles)]
    for name in runs[0]:
        cells = [summary([run[name][0] for run in runs], n_seeds)] if task.is_relative else []
        for place in range(len(task.goals)):
            times = [run[name][1][place] for run in runs if len(run[name][1]) > place]
            cells.append(summary(times, n_seeds))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def in_words(goal: float) -> str:
    """A goal in terms of the best figure, as the page has it."""
    return "twice the best" if goal == 2.0 else f"{100 * (goal - 1):.0f} % above the best"


def summary(numbers: list[float], n_seeds: int) -> str:
    """Median, least and most, and of how many."""
    share = f"{len(numbers)} of {n_seeds}"
    if not numbers:
        return share
    few = f", {share}" if len(numbers) < n_seeds else ""
    return f"**{statistics.median(numbers):.2g}** ({min(numbers):.2g} to {max(numbers):.2g}{few})"


def main(words: Sequence[str]) -> int:
    """Print a table for each task."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks optimizers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="first weights of each net")
    parser.add_argument("--only", metavar="NAME", default="", help="tasks whose name begins so")
    parser.add_argument(
        "--yachts", type=Path, metavar="FILE", help="yacht_hydrodynamics.data, to learn it as well"
    )
    arguments = parser.parse_args(words)
    if arguments.yachts is not None and not arguments.yachts.is_file():
        parser.error(f"--yachts: expected a file, got {arguments.yachts}")
    tasks = TASKS if arguments.yachts is None else (*TASKS, yacht_task(arguments.yachts))
    warnings.simplefilter("ignore", ConvergenceWarning)
    mlpcore.set_n_threads(1)
    with threadpool_limits(1):
        for task in tasks:
            if task.name.startswith(arguments.only):
                print(report(task, arguments.seeds), end="\n\n", flush=True)
    return 0
