# SPDX-License-Identifier: BSD-3-Clause
"""As many threads for each of the libraries that are compared."""

from __future__ import annotations

import os
import sys


def limit_threads(n_threads: int) -> None:
    """Give every library as many threads, each in the way in which it can be told."""
    # A BLAS reads its number of threads when it is loaded, which importing NumPy does.
    if "numpy" in sys.modules:
        raise RuntimeError("NumPy was imported before its number of threads could be set")
    for name in ("OPENBLAS", "OMP", "MKL", "VECLIB", "MLPCORE"):
        suffix = "MAXIMUM_THREADS" if name == "VECLIB" else "NUM_THREADS"
        os.environ[f"{name}_{suffix}"] = str(n_threads)
    # JAX takes as many as there are CPUs; the first one of a machine has most of the interrupts.
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < n_threads:
            raise SystemExit(f"--threads: expected at most {len(cpus)} CPUs, got {n_threads}")
        os.sched_setaffinity(0, cpus[-n_threads:])
