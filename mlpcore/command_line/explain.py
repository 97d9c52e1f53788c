# SPDX-License-Identifier: BSD-3-Clause
"""Write the chain rule of a net as tables."""

import argparse

from ..mlp import MLP
from .arguments import whole_numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands."""
    parser.add_argument(
        "--sizes",
        required=True,
        help="layer sizes, inputs first: 2,20,5",
        type=whole_numbers("2,20,5"),
    )
    parser.add_argument(
        "--activations",
        required=True,
        help="one for each layer: relu,identity; one for several layers is that of the hidden ones",
    )
    parser.add_argument("--loss", default="mse", help="its name (default: mse)")
    parser.add_argument("--format", default="text", choices=("text", "markdown", "latex"))


def run(arguments: argparse.Namespace) -> None:
    """Print the tables of the net that the arguments describe."""
    names = arguments.activations.split(",")
    # MLP takes a single name for that of the hidden layers, of which a net with one layer has none.
    n_layers = len(arguments.sizes) - 1
    activations = names[0] if len(names) == 1 and n_layers > 1 else names
    try:
        net = MLP(arguments.sizes, activations, init="zeros")
        text = net.explain(arguments.loss, format=arguments.format)
    except ValueError as error:
        raise argparse.ArgumentError(None, str(error)) from None
    print(text)
