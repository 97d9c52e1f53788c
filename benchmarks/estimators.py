# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks estimators``: the estimators beside scikit-learn's, in speed and in score.

Speed: whole calls of `fit` on the digits, 64-64-10, batches of 32 rows, Adam, 50 epochs; one thread
each, in turns. Score: means over seeds, each of which parts the rows anew; the same settings and
rows for both.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .threads import limit_threads

# What has to hold: how many times as fast, in mlpcore's own precision, and by how much a mean score
# may be lower.
LEAST_SPEED = {"mlpcore, float32": 25.0}
LARGEST_LOSS = {"accuracy": 0.005, "R^2": 0.01}


@dataclass(frozen=True)
class Task:
    """A data set of scikit-learn's, and settings that suit it."""

    name: str
    load: str
    score: str  # of LARGEST_LOSS
    settings: dict[str, Any]


TASKS = (
    Task("digits", "load_digits", "accuracy", {"max_iter": 60}),
    Task("breast cancer", "load_breast_cancer", "accuracy", {"max_iter": 200}),
    Task("wine", "load_wine", "accuracy", {"max_iter": 300}),
    Task(
        "diabetes",
        "load_diabetes",
        "R^2",
        {"max_iter": 300, "learning_rate_init": 0.01, "early_stopping": True},
    ),
)
SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.02},
    "lbfgs": {"solver": "lbfgs", "alpha": 1.0},
}


def fit_speed(n_rounds: int = 7) -> dict[str, float]:
    """Seconds of a fit, the median, by scikit-learn and by mlpcore in two precisions.

    They are those of the processor: with one thread they are the clock's, less what others take.
    """
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    import mlpcore

    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    settings: dict[str, Any] = {
        "hidden_layer_sizes": (64,),
        "batch_size": 32,
        "max_iter": 50,
        "n_iter_no_change": 1000,
        "random_state": 0,
    }
    fits: dict[str, Callable[[], Any]] = {
        "scikit-learn, float64": lambda: MLPClassifier(**settings).fit(X, y),
        "mlpcore, float64": lambda: mlpcore.MLPClassifier(**settings).fit(X, y),
        "mlpcore, float32": lambda: mlpcore.MLPClassifier(**settings).fit(narrow, y),
        "scikit-learn, float32": lambda: MLPClassifier(**settings).fit(narrow, y),
    }
    narrow = X.astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in fits}
    for i in range(n_rounds + 1):
        for name, fit in fits.items():
            begin = time.process_time()
            model = fit()
            if i > 0:  # the first round loads what the others find
                seconds[name].append(time.process_time() - begin)
            if model.n_iter_ != 50 or model.score(X, y) < 0.99:
                raise SystemExit(f"{name}: {model.n_iter_} epochs, score {model.score(X, y)}")
    return {name: statistics.median(times) for name, times in seconds.items()}


def scores(task: Task, solver: str, n_seeds: int) -> tuple[list[float], list[float]]:
    """Scores of held-out rows by scikit-learn and by mlpcore, for each seed."""
    import sklearn.datasets
    from sklearn import neural_network
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    import mlpcore

    X, y = getattr(sklearn.datasets, task.load)(return_X_y=True)
    if task.score == "R^2":
        y = (y - y.mean()) / y.std()
        classes = neural_network.MLPRegressor, mlpcore.MLPRegressor
    else:
        classes = neural_network.MLPClassifier, mlpcore.MLPClassifier
    settings = task.settings | SOLVERS[solver]
    theirs: list[float] = []
    ours: list[float] = []
    for seed in range(n_seeds):
        strata = None if task.score == "R^2" else y
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.3, stratify=strata, random_state=seed
        )
        scaler = StandardScaler().fit(X_train)
        X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
        for cls, results in zip(classes, (theirs, ours), strict=True):
            model = cls(random_state=seed, **settings).fit(X_train, y_train)
            results.append(model.score(X_test, y_test))
    return theirs, ours


def main(words: Sequence[str]) -> int:
    """Print both tables in Markdown; fails where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks estimators", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="for the scores (default: 10)")
    parser.add_argument("--only", choices=["speed", "score"], help="one of the tables")
    arguments = parser.parse_args(words)
    limit_threads(1)
    warnings.simplefilter("ignore")  # some fits end by max_iter, as they are told
    is_met = True
    if arguments.only != "score":
        seconds = fit_speed()
        print("| `fit` on the digits | seconds | scikit-learn's time over it |\n|---|---:|---:|")
        for name, value in seconds.items():
            of_same = seconds[f"scikit-learn, {name.split(', ')[1]}"] / value
            print(f"| {name} | {value:.4f} | {of_same:.1f} |", flush=True)
            is_met &= of_same >= LEAST_SPEED.get(name, 0.0)
        print()
    if arguments.only != "speed":
        print("| data | solver | score | scikit-learn | mlpcore | difference |")
        print("|---|---|---|---:|---:|---:|")
        for task in TASKS:
            for solver in SOLVERS:
                theirs, ours = scores(task, solver, arguments.seeds)
                difference = statistics.mean(ours) - statistics.mean(theirs)
                means = [
                    f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"
                    for values in (theirs, ours)
                ]
                print(
                    f"| {task.name} | {solver} | {task.score} | {' | '.join(means)} "
                    f"| {difference:+.4f} |",
                    flush=True,
                )
                is_met &= difference >= -LARGEST_LOSS[task.score]
    return 0 if is_met else 1
