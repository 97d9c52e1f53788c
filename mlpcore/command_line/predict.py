# SPDX-License-Identifier: BSD-3-Clause
"""Predict the target for the rows of a table, with a model that `train` has written.

The answer is CSV, a line for each row in the same order. Columns that the model does not know do
not count; a category that was not in the training is refused.
"""

import argparse
import csv
import io
import sys
from typing import Any

from .._replace import replace_file
from ..tabular import CategoryColumn, TableModel, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands."""
    parser.add_argument("model", help="a model file that `mlpcore train` has written")
    parser.add_argument("table", help="a file of .csv, .tsv, .parquet (needs pyarrow) or .npz")
    parser.add_argument("--output", help="a CSV file (default: standard output)")
    parser.add_argument("--probabilities", action="store_true", help="add a column for each class")


def run(arguments: argparse.Namespace) -> None:
    """Write the predictions, all of them or none."""
    rows = predictions(arguments.model, arguments.table, arguments.probabilities)
    if arguments.output is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        replace_file(arguments.output, [text.getvalue().encode()])


def predictions(model_path: str, table_path: str, probabilities: bool) -> list[tuple[Any, ...]]:
    """Names of columns, and then a row for each of the table."""
    model = TableModel.load(model_path)
    target = model.encoding.target
    if probabilities and not isinstance(target, CategoryColumn):
        raise ValueError(f"--probabilities: expected classes, got numbers for {target.name!r}")
    y_hat = model.net(model.encoding.inputs(read_table(table_path)))
    columns = [model.encoding.answers(y_hat).tolist()]
    header = [target.name]
    if probabilities and isinstance(target, CategoryColumn):
        header += [f"P({name})" for name in target.categories]
        columns += [list(map(str, column)) for column in y_hat.T]  # the digits of a float32
    return [tuple(header), *zip(*columns, strict=True)]
