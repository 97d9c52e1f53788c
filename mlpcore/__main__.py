# SPDX-License-Identifier: BSD-3-Clause
"""The command line: ``python -m mlpcore info | demo | explain``."""

import argparse
import platform
import sys
from collections.abc import Sequence

import numpy as np

import mlpcore


def make_parser() -> argparse.ArgumentParser:
    """Everything that the command line understands."""
    parser = argparse.ArgumentParser(
        prog="python -m mlpcore", description=(mlpcore.__doc__ or "").partition("\n")[0]
    )
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
        help="one for each layer: relu,identity; one for several layers is that of the hidden ones",
    )
    explain.add_argument("--loss", default="mse", help="its name (default: mse)")
    explain.add_argument("--format", default="text", choices=("text", "markdown", "latex"))
    return parser


def layer_sizes(text: str) -> list[int]:
    """Sizes from ``2,20,5``."""
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        message = f"expected sizes like 2,20,5, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def print_info() -> None:
    """Print what decides how fast mlpcore runs here."""
    rows = {
        "mlpcore": mlpcore.__version__,
        "instruction set": mlpcore.cpu.isa(),
        "available": ", ".join(mlpcore.cpu.available_isas()),
        "threads": mlpcore.get_n_threads(),
        "caches": ", ".join(f"L{i} {mlpcore.cpu.cache_bytes(i) // 1024} KiB" for i in (1, 2, 3)),
        "NumPy": np.__version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    for name, value in rows.items():
        print(f"{name:16} {value}")


def explain_text(arguments: argparse.Namespace) -> str:
    """The tables of the net that the arguments describe."""
    names = arguments.activations.split(",")
    # MLP takes a single name for that of the hidden layers, of which a net with one layer has none.
    n_layers = len(arguments.sizes) - 1
    activations = names[0] if len(names) == 1 and n_layers > 1 else names
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
