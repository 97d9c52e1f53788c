# SPDX-License-Identifier: BSD-3-Clause
"""Train a net on a table, and write it with the table's encoding into a model file.

    mlpcore train iris.csv --target species
    mlpcore predict model.safetensors new.csv

A column of numbers is scaled to mean 0 and deviation 1; a column of text becomes one input for each
category. Text, or few different whole numbers, in the target are classes (cross entropy); other
numbers are a regression (mean squared error). Learnt with Adam; the net of the epoch that is best
on the rows held out is kept. After Ctrl-C nothing is written.
"""

import argparse
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from .. import Adam, EarlyStopping, _core
from ..held_out import drawn_rows
from ..history import History
from ..metrics import accuracy, r2
from ..mlp import MLP
from ..tabular import CategoryColumn, Encoding, TableModel, read_table
from ..tabular.cells import MissingCellError
from ..tabular.encoding import TASKS
from .arguments import names, number, whole_number, whole_numbers
from .info import encoding_rows, net_rows, print_rows

if TYPE_CHECKING:
    from .._core import Array

# Of a table with hundreds of columns; `info` shows them all.
MAX_ROWS = 20

HIDDEN = tuple(name for name in _core.ACTIVATIONS if name != "softmax")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands."""
    parser.add_argument("table", help="a file of .csv, .tsv, .parquet (needs pyarrow) or .npz")
    parser.add_argument("--target", required=True, help="the column that is to be predicted")
    parser.add_argument(
        "--output", default="model.safetensors", help="where the model goes (default: %(default)s)"
    )
    columns = parser.add_argument_group("columns")
    columns.add_argument(
        "--task", default="auto", choices=TASKS, help="default: as the target looks"
    )
    columns.add_argument(
        "--categorical",
        default=[],
        type=names,
        metavar="NAMES",
        help="columns, between commas, that hold categories though they look like numbers",
    )
    columns.add_argument(
        "--ignore", default=[], type=names, metavar="NAMES", help="columns that are no inputs"
    )
    columns.add_argument(
        "--missing",
        default="refuse",
        choices=("refuse", "fill"),
        help="fill: a missing number is the column's mean, a missing category none of them "
        "(default: refuse)",
    )
    net = parser.add_argument_group("net and training")
    net.add_argument(
        "--hidden",
        default=[64, 64],
        type=whole_numbers("64,64"),
        metavar="SIZES",
        help="sizes of the hidden layers (default: 64,64)",
    )
    net.add_argument("--activation", default="relu", choices=HIDDEN, metavar="NAME")
    net.add_argument("--epochs", default=200, type=whole_number(1), help="default: %(default)s")
    net.add_argument("--batch-size", default=32, type=whole_number(1), help="default: %(default)s")
    net.add_argument(
        "--learning-rate",
        default=1e-3,
        type=number(1e-12, 1e6, "a number above 0"),
        help="default: %(default)s",
    )
    net.add_argument(
        "--validation",
        default=0.2,
        type=number(0.0, 1.0, "a share of 0 or more, below 1"),
        metavar="SHARE",
        help="share of the rows that is held out (default: %(default)s); 0: none",
    )
    net.add_argument(
        "--patience",
        default=20,
        type=whole_number(1),
        help="epochs without a better loss on the rows held out after which training stops "
        "(default: %(default)s)",
    )
    net.add_argument(
        "--seed", default=0, type=whole_number(0), help="the same seed, the same model (default: 0)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, train, say how it went, write."""
    check_place(arguments.output)
    table = read_table(arguments.table)
    learnt, held_out = split(table.n_rows, arguments.validation, arguments.seed, table.source)
    try:
        encoding = Encoding.of(
            table,
            arguments.target,
            task=arguments.task,
            categorical=arguments.categorical,
            ignore=arguments.ignore,
            fills=arguments.missing == "fill",
            rows=learnt,
        )
    except MissingCellError as error:
        raise ValueError(f"{error}; --missing fill is for inputs that are not all known") from None
    x, y = encoding.inputs(table), encoding.targets(table)
    output = "softmax" if encoding.is_classification else "identity"
    net = MLP(
        [encoding.n_inputs, *arguments.hidden, encoding.n_outputs],
        [arguments.activation] * len(arguments.hidden) + [output],
        seed=arguments.seed,
    )
    described = encoding_rows(encoding)
    if len(described) > MAX_ROWS:
        left_out = len(described) - MAX_ROWS
        described[MAX_ROWS - 2 : -2] = [("...", f"{left_out} more, which mlpcore info shows")]
    print_rows([*described, *net_rows(net)])
    start = time.perf_counter()
    try:
        history = net.fit(
            x[learnt],
            y[learnt],
            loss="cross_entropy" if encoding.is_classification else "mse",
            optimizer=Adam(arguments.learning_rate),
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            validation=(x[held_out], y[held_out]) if len(held_out) > 0 else None,
            early_stopping=EarlyStopping(arguments.patience) if len(held_out) > 0 else None,
            progress=None,
            seed=arguments.seed,
        )
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}; a smaller --learning-rate may help") from None
    seconds = time.perf_counter() - start
    rows = [("training", f"{len(learnt)} rows, {epochs_in_words(history)}, {seconds:.1f} s")]
    if len(held_out) > 0:
        rows.append(score(encoding, net(x[held_out]), y[held_out], y[learnt]))
    print_rows(rows)
    TableModel(net, encoding).save(arguments.output)
    print_rows([("written", arguments.output)])


def check_place(path: str) -> None:
    """Refuse a place that cannot be written to before there is anything to lose."""
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(None, "expected a file's name, got a folder", path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(None, "there is no such folder", folder)
    if not os.access(folder, os.W_OK):
        raise PermissionError(None, "this folder cannot be written to", folder)


def split(n_rows: int, share: float, seed: int, source: str) -> "tuple[Array, Array]":
    """Numbers of the rows that are learnt from, and of those that are held out."""
    n_held_out = max(1, round(share * n_rows)) if share > 0.0 else 0
    if n_rows - n_held_out < 1:
        raise ValueError(
            f"{source}: expected a row to learn from besides {n_held_out} held out, got {n_rows}"
        )
    held_out = drawn_rows(n_held_out, np.zeros(n_rows, np.int64), seed)
    return np.delete(np.arange(n_rows), held_out), held_out


def epochs_in_words(history: History) -> str:
    """How many epochs, and which of them was kept."""
    words = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    if "validation_loss" not in history[0]:
        return words
    losses = [row["validation_loss"] for row in history]
    return f"{words}, the best of them number {1 + int(np.argmin(losses))}"


def score(encoding: Encoding, y_hat: "Array", y: "Array", y_learnt: "Array") -> tuple[str, str]:
    """How good the net is on the rows held out, beside an answer that is always the same."""
    if isinstance(encoding.target, CategoryColumn):
        commonest = int(np.bincount(y_learnt).argmax())
        always = float(np.mean(y == commonest))
        name = encoding.target.categories[commonest]
        words = f"accuracy {accuracy(y_hat, y):.3f}, of always {name!r} {always:.3f}"
    else:
        error = encoding.target.scale * float(np.sqrt(np.mean((y_hat - y) ** 2)))
        words = f"R² {r2(y_hat, y):.3f}, root mean squared error {error:.4g}"
    return "held out", f"{len(y)} {'row' if len(y) == 1 else 'rows'}: {words}"
