# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks [COMMAND] ...``: mlpcore beside its peers; one module for each command.

speed             jobs beside the peers and the machine's limits, or whole fits, or sweeps;
                  it runs where no command is named: python -m benchmarks --full
estimators        fit and score of the estimators beside scikit-learn's
optimizers        which optimizer is the first to be as good as asked for
first_prediction  time and disk from an empty environment to a prediction, beside PyTorch
document          write what the first one saved into README.md and docs/benchmarks.md

python -m benchmarks COMMAND --help tells more about a command.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence

COMMANDS = re.findall(r"^(\w+)  ", __doc__, re.MULTILINE)


def main(words: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    if words and words[0] in ("-h", "--help"):
        print(__doc__.rstrip())
        return 0
    # NumPy must not be loaded before a command has set the number of threads.
    if not words or words[0].startswith("-"):
        words = ["speed", *words]
    if words[0] not in COMMANDS:
        print(f"COMMAND: expected one of {', '.join(COMMANDS)}, got {words[0]}", file=sys.stderr)
        return 2
    command = importlib.import_module(f".{words[0]}", __package__)
    status: int = command.main(words[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
