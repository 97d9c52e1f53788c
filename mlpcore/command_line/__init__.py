# SPDX-License-Identifier: BSD-3-Clause
"""The command line, ``mlpcore`` or ``python -m mlpcore``: one module for each command.

Exit status: 0 when it is done; 1 when a file or what is in it does not fit; 2 when the command is
not understood; 130 after Ctrl-C. A message goes to standard error, results to standard output.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import mlpcore

from . import bench, convert, demo, explain, info, predict, train

COMMANDS = (info, demo, bench, train, predict, explain, convert)


def make_parser() -> argparse.ArgumentParser:
    """Everything that the command line understands."""
    parser = argparse.ArgumentParser(
        prog="mlpcore",
        description=(mlpcore.__doc__ or "").partition("\n")[0],
        epilog="mlpcore COMMAND --help tells more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"mlpcore {mlpcore.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        summary, _, rest = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            module.__name__.rpartition(".")[2],
            help=summary[0].lower() + summary.rstrip(".")[1:],
            description=summary,
            epilog=rest.strip("\n") or None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return parser


def discard_output() -> None:
    """Let what standard output could not take go nowhere: Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = make_parser().parse_args(argv)
    failed = f"mlpcore {arguments.command}: error:"
    try:
        arguments.run(arguments)
        sys.stdout.flush()  # a full disk is told here, not when nobody listens any more
    except argparse.ArgumentError as error:
        arguments.parser.error(str(error))
    except KeyboardInterrupt:
        print(f"mlpcore {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        discard_output()
        return 1
    except OSError as error:
        if error.filename is None:
            discard_output()
        name = f" {error.filename}:" if error.filename is not None else ""
        print(f"{failed}{name} {error.strerror or error}", file=sys.stderr)
        return 1
    except (ValueError, TypeError, FloatingPointError, ImportError, MemoryError) as error:
        print(f"{failed} {error}", file=sys.stderr)
        return 1
    return 0
