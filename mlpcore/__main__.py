# SPDX-License-Identifier: BSD-3-Clause
"""The command line: ``python -m mlpcore info | demo | explain``."""

import argparse
import platform
import sys
from collections.abc import Sequence

import numpy as np

import mlpcore

from ._core import cache_bytes


def make_parser() -> argparse.ArgumentParser:
    """Everything that the command line understands."""
    parser = argparse.ArgumentParser(prog="python -m mlpcore", description=mlpcore.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="version, instruction set, threads, caches")
    commands.add_parser("demo", help="train three nets and show what they computed")
    explain = commands.add_parser("explain", help="the chain rule of a net, as tables")
    explain.add_argument(
        "--sizes",
        required=True,
        help="layer sizes, inputs first: 2,20,5",
        type=layer_sizes,
    )
    explain.add_argument(
        "--activations",
        required=True,
        help="one for each layer: relu,identity; one alone is that of every hidden layer",
    )
    explain.add_argument("--loss", default="mse", help="its name (default: mse)")
    explain.add_argument("--format", default="text", choices=("text", "markdown", "latex"))
    return parser


def layer_sizes(text: str) -> list[int]:
    """Sizes from ``2,20,5``."""
    return [int(size) for size in text.split(",")]


def print_info() -> None:
    """Print what decides how fast mlpcore runs here."""
    rows = {
        "mlpcore": mlpcore.__version__,
        "instruction set": mlpcore.cpu.isa(),
        "available": ", ".join(mlpcore.cpu.available_isas()),
        "threads": mlpcore.get_n_threads(),
        "caches": ", ".join(f"L{level} {cache_bytes(level) // 1024} KiB" for level in (1, 2, 3)),
        "NumPy": np.__version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    for name, value in rows.items():
        print(f"{name:16} {value}")


def explain_text(arguments: argparse.Namespace) -> str:
    """The tables of the net that the arguments describe."""
    names = arguments.activations.split(",")
    activations = names[0] if len(names) == 1 else names
    net = mlpcore.MLP(arguments.sizes, activations, init="zeros")
    return net.explain(arguments.loss, format=arguments.format)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "demo":
        from .demo import demo

        return demo()
    if arguments.command == "info":
        print_info()
        return 0
    try:
        print(explain_text(arguments))
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
