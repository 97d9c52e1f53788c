# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks``: forward, gradient and training step beside NumPy."""

import argparse
import os
import sys


def main() -> int:
    """Measure and print; the exit status is 0 unless a result was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time mlpcore beside an optimised NumPy implementation, results checked.",
    )
    parser.add_argument("--threads", type=int, default=1, help="for both (default: 1)")
    parser.add_argument("--full", action="store_true", help="also a net of 8 million parameters")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--markdown", action="store_true", help="print the README's table")
    output.add_argument("--json", action="store_true", help="print everything as JSON")
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error(f"--threads: expected at least 1, got {arguments.threads}")

    # A BLAS reads its number of threads when it is loaded, which importing NumPy does.
    if "numpy" in sys.modules:
        raise RuntimeError("NumPy was imported before its number of threads could be set")
    for name in ("OPENBLAS", "OMP", "MKL", "VECLIB", "MLPCORE"):
        suffix = "MAXIMUM_THREADS" if name == "VECLIB" else "NUM_THREADS"
        os.environ[f"{name}_{suffix}"] = str(arguments.threads)
    from . import report
    from .cases import BIG_CASES, CASES
    from .measure import measure

    cases = CASES + BIG_CASES if arguments.full else CASES
    results = (result for case in cases for result in measure(case))
    write = report.text
    if arguments.markdown:
        write = report.markdown
    elif arguments.json:
        write = report.as_json
    for line in write(results, arguments.threads):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
