# SPDX-License-Identifier: BSD-3-Clause
"""Train three nets on real data and show what they computed, beside scikit-learn."""

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import mlpcore

from ..gradient_report import frobenius_norm
from ..history import History

Array = NDArray[Any]

BATCH_SIZE = 32
N_ROUNDS = 3
PICTURE = "mlpcore-demo.png"
MISSING = "this needs scikit-learn and matplotlib: pip install scikit-learn matplotlib"


class Task(NamedTuple):
    """A data set of scikit-learn's, and the net that learns it.

    Attributes
    ----------
    loader : str
        Name of the function of ``sklearn.datasets``.
    min_score : float
        Accuracy, or R² of a regression, on held-out rows below which something is broken.
    """

    loader: str
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: mlpcore.losses.Loss
    learning_rate: float
    epochs: int
    min_score: float

    @property
    def is_regression(self) -> bool:
        return self.activations[-1] == "identity"

    def make_net(self) -> mlpcore.MLP:
        return mlpcore.MLP(self.sizes, self.activations, seed=0)

    def fit(self, net: mlpcore.MLP, data: "Data", **options: Any) -> History:
        return net.fit(
            data.x,
            data.y,
            loss=self.loss,
            optimizer=mlpcore.Adam(self.learning_rate),
            epochs=self.epochs,
            batch_size=BATCH_SIZE,
            seed=0,
            **options,
        )

    def make_rival(self) -> Any:
        """scikit-learn's net of the same sizes, trained in the same way."""
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        make = MLPRegressor if self.is_regression else MLPClassifier
        return make(
            hidden_layer_sizes=self.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(self.activations[0], self.activations[0]),
            solver="adam",
            learning_rate_init=self.learning_rate,
            alpha=0.0,
            batch_size=BATCH_SIZE,
            max_iter=self.epochs,
            n_iter_no_change=self.epochs + 1,  # never stop early
            random_state=0,
        )

    def score(self, net: mlpcore.MLP, data: "Data") -> float:
        """Accuracy, or R² of a regression, on the held-out rows."""
        y_hat = net(data.x_held_out)
        y = data.y_held_out
        if self.is_regression:
            return float(1.0 - np.sum((y_hat - y) ** 2) / np.sum((y - y.mean(axis=0)) ** 2))
        if y_hat.shape[1] == 1:
            return float(np.mean((y_hat > 0.5) == (y > 0.5)))
        return float(np.mean(y_hat.argmax(axis=1) == y))


class Data(NamedTuple):
    """Standardised float32 rows, three quarters of them to learn from."""

    x: Array
    y: Array
    x_held_out: Array
    y_held_out: Array


TASKS = (
    Task(
        "load_digits",
        (64, 64, 10),
        ("relu", "softmax"),
        mlpcore.losses.CrossEntropy(from_logits=False),
        learning_rate=1e-3,
        epochs=40,
        min_score=0.95,
    ),
    Task(
        "load_breast_cancer",
        (30, 20, 1),
        ("sigmoid", "sigmoid"),
        mlpcore.losses.BCE(),
        learning_rate=5e-3,
        epochs=60,
        min_score=0.93,
    ),
    Task(
        "load_diabetes",
        (10, 20, 1),
        ("relu", "identity"),
        mlpcore.losses.MSE(),
        learning_rate=1e-3,
        epochs=60,
        min_score=0.25,
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands: nothing."""


def run(_: argparse.Namespace) -> None:
    """Train the three nets, print what there is to see, save the loss curves.

    Raises
    ------
    ImportError
        If scikit-learn or matplotlib is missing.
    RuntimeError
        If a net did not learn.
    """
    try:
        import sklearn.datasets  # noqa: F401
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{MISSING} ({error})") from None
    figure = Figure(figsize=(12, 4), layout="constrained")
    lines = []
    for task, ax in zip(TASKS, figure.subplots(1, len(TASKS)), strict=True):
        history, line = show(task)
        history.plot(ax).set_title(name_of(task))
        lines.append(line)
    figure.savefig(PICTURE)
    print("In short", *lines, sep="\n")
    print(f"The loss curves are in {Path(PICTURE).resolve()}")


def name_of(task: Task) -> str:
    return task.loader.removeprefix("load_").replace("_", " ")


def show(task: Task) -> tuple[History, str]:
    """Train one net, and print all about it; returns its history and a summary in a line."""
    data = load(task)
    net = task.make_net()
    sizes = "-".join(map(str, task.sizes))
    print(f"== {name_of(task)}: {sizes}, {', '.join(task.activations)}, {task.loss!r} ==")
    print(f"{len(data.x)} rows to learn from, {len(data.x_held_out)} held out")
    difference = gradient_difference(task, net, data)
    history = task.fit(net, data, validation=(data.x_held_out, data.y_held_out), progress=True)
    seconds, scores = race(task, data)
    ours, theirs = scores
    unit = "R²" if task.is_regression else "accuracy"
    print(f"{unit} on held-out rows: {ours:.3f}; scikit-learn {theirs:.3f}")
    print(f"gradients: within {difference:.1e} of mlpcore.reference (float64), norm against norm")
    print(
        f"time per epoch: {1e3 * seconds[0]:.2f} ms; scikit-learn {1e3 * seconds[1]:.2f} ms, "
        f"{seconds[1] / seconds[0]:.0f} times as long"
    )
    print()
    print(net.explain(task.loss))
    if min(scores) < task.min_score:
        raise RuntimeError(f"{name_of(task)}: {unit} {scores}, expected at least {task.min_score}")
    line = (
        f"  {name_of(task):14} {unit} {ours:.3f}, scikit-learn's {theirs:.3f}; "
        f"{seconds[1] / seconds[0]:.0f} times its speed; gradients within {difference:.1e}"
    )
    return history, line


def load(task: Task) -> Data:
    """The task's rows: shuffled, split, and standardised by those that are learnt from."""
    import sklearn.datasets

    x, y = getattr(sklearn.datasets, task.loader)(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order]
    n = len(x) * 3 // 4
    # A pixel that is always white has no deviation.
    x = (x - x[:n].mean(axis=0)) / np.maximum(x[:n].std(axis=0), 1e-3)
    if task.sizes[-1] == 1:
        y = y.astype(np.float32)[:, None]
    if task.is_regression:
        y = (y - y[:n].mean()) / y[:n].std()
    return Data(x[:n], y[:n], x[n:], y[n:])


def gradient_difference(task: Task, net: mlpcore.MLP, data: Data) -> float:
    """The largest ‖gradient - reference‖ / ‖reference‖ of any weight, bias or input, on a batch."""
    x, y = data.x[:BATCH_SIZE], data.y[:BATCH_SIZE]
    _, gradients = net.value_and_grad(x, y, task.loss)
    reference = mlpcore.reference
    layers = reference.layers_from_flat(net.parameters, task.sizes, task.activations)
    _, expected = reference.value_and_grad(layers, x, y, task.loss.name)
    actual_arrays = [*gradients.weights, *gradients.biases, gradients.inputs]
    expected_arrays = [*expected.weights, *expected.biases, expected.inputs]
    return max(
        frobenius_norm(a - b) / frobenius_norm(b)
        for a, b in zip(actual_arrays, expected_arrays, strict=True)
        if a is not None and b is not None
    )


def race(task: Task, data: Data) -> tuple[tuple[float, float], tuple[float, float]]:
    """Median seconds per epoch, and scores, of mlpcore and scikit-learn: whole fits, in turns."""
    ours, theirs = [], []
    for _ in range(N_ROUNDS):
        net = task.make_net()
        ours.append(seconds_of(partial(task.fit, net, data)))
        rival = task.make_rival()
        theirs.append(seconds_of(partial(rival.fit, data.x, data.y.ravel())))
    rival_score = float(rival.score(data.x_held_out, data.y_held_out.ravel()))
    seconds = (float(np.median(ours)) / task.epochs, float(np.median(theirs)) / task.epochs)
    return seconds, (task.score(net, data), rival_score)


def seconds_of(call: Callable[[], object]) -> float:
    with warnings.catch_warnings():
        # scikit-learn warns that it could have gone on learning.
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
