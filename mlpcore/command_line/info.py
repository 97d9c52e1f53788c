# SPDX-License-Identifier: BSD-3-Clause
"""Say what mlpcore found on this machine, or what is in a model file."""

import argparse
import platform
import sys

import numpy as np

import mlpcore

from ..mlp import MLP
from ..tabular import Encoding, NumberColumn, TableModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands."""
    parser.add_argument("model", nargs="?", help="a model file, to be described instead")


def run(arguments: argparse.Namespace) -> None:
    """Print what is asked for."""
    print_rows(machine_rows() if arguments.model is None else model_rows(arguments.model))


def machine_rows() -> list[tuple[str, str]]:
    """What decides how fast mlpcore runs here."""
    caches = {f"L{level}": mlpcore.cpu.cache_bytes(level) // 1024 for level in (1, 2, 3)}
    return [
        ("mlpcore", mlpcore.__version__),
        ("instruction set", mlpcore.cpu.isa()),
        ("available", ", ".join(mlpcore.cpu.available_isas())),
        ("threads", str(mlpcore.get_n_threads())),
        ("caches", ", ".join(f"{name} {size} KiB" for name, size in caches.items())),
        ("NumPy", np.__version__),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
    ]


def model_rows(path: str) -> list[tuple[str, str]]:
    """What is in a model file."""
    from .. import _safetensors

    metadata, _ = _safetensors.read(path)
    if "table" not in metadata:
        return net_rows(mlpcore.load(path))
    model = TableModel.load(path)
    return [*encoding_rows(model.encoding), *net_rows(model.net)]


def net_rows(net: MLP) -> list[tuple[str, str]]:
    """A net in words."""
    sizes = "-".join(map(str, net.sizes))
    return [
        ("net", f"{sizes}, {', '.join(net.activations)}"),
        ("parameters", f"{net.n_parameters} in {net.dtype}"),
    ]


def encoding_rows(encoding: Encoding) -> list[tuple[str, str]]:
    """The columns of a table in words, in the order of the net's inputs."""
    rows = []
    for column in encoding.columns:
        if isinstance(column, NumberColumn):
            what = f"number, (value - {column.mean:.6g}) / {column.scale:.6g}"
        else:
            what = f"{len(column.categories)} categories: {listed(column.categories)}"
        rows.append(("input", f"{column.name}: {what}"))
    target = encoding.target
    if isinstance(target, NumberColumn):
        what = f"number, {target.mean:.6g} + {target.scale:.6g} output"
    else:
        what = f"{len(target.categories)} classes: {listed(target.categories)}"
    rows.append(("target", f"{target.name}: {what}"))
    if encoding.fills:
        rows.append(("missing cells", "a number is filled in by the mean, a category by none"))
    return rows


def listed(names: tuple[str, ...]) -> str:
    """The first of the names."""
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print names and values in two columns, at once: training may follow."""
    for name, value in rows:
        print(f"{name:16} {value}")
    sys.stdout.flush()
