# SPDX-License-Identifier: BSD-3-Clause
"""What was measured, as text, as a Markdown table, as JSON."""

import json
import platform
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

import mlpcore

from .measure import JOBS, Result

TITLES = {
    "forward": "forward",
    "value_and_grad": "gradient",
    "sgd_step": "SGD step",
    "adam_step": "Adam step",
}


def processor() -> str:
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine(n_threads: int) -> dict[str, Any]:
    """Everything that has to be known to read the numbers."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "processor": processor(),
        "isa": mlpcore.cpu.isa(),
        "n_threads": n_threads,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "mlpcore": mlpcore.__version__,
    }


def heading(n_threads: int) -> str:
    facts = machine(n_threads)
    threads = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    return (
        f"{facts['processor']}, {facts['isa']}, {threads}, float32. mlpcore {facts['mlpcore']}, "
        f"NumPy {facts['numpy']} ({facts['blas']}), Python {facts['python']}."
    )


def microseconds(seconds: float) -> str:
    """Three significant digits, without an exponent."""
    value = seconds * 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def text(results: Iterable[Result], n_threads: int) -> Iterator[str]:
    """One line for each job, ready to print while the next one runs."""
    yield heading(n_threads)
    yield "Microseconds per call: median (quartiles). Ratio: NumPy / mlpcore."
    yield ""
    columns = "{:<10} {:<27} {:>5}  {:<9} {:>24} {:>24} {:>6}"
    yield columns.format("net", "sizes", "batch", "job", "mlpcore", "NumPy", "ratio")
    for case, job, timings in results:
        cells = (
            f"{microseconds(t.median)} ({microseconds(t.lower_quartile)}"
            f" .. {microseconds(t.upper_quartile)})"
            for t in (timings["mlpcore"], timings["numpy"])
        )
        sizes = "-".join(map(str, case.sizes))
        ratio = f"{Result(case, job, timings).ratio:.2f}"
        yield columns.format(case.name, sizes, case.batch_size, TITLES[job], *cells, ratio)


def markdown(results: Iterable[Result], n_threads: int) -> Iterator[str]:
    """The table of the README: a row for each case."""
    yield "| net | batch | " + " | ".join(TITLES[job] for job in JOBS) + " |"
    yield "|---|---:|" + "---:|" * len(JOBS)
    for case, jobs in groupby(results, key=lambda result: result.case):
        cells = [
            f"{microseconds(result.timings['mlpcore'].median)} µs ({result.ratio:.1f}×)"
            for result in jobs
        ]
        sizes = "-".join(map(str, case.sizes))
        yield f"| {sizes} | {case.batch_size} | " + " | ".join(cells) + " |"
    yield ""
    yield f"Median time of mlpcore and, in brackets, NumPy's time over it. {heading(n_threads)}"


def as_json(results: Iterable[Result], n_threads: int) -> Iterator[str]:
    """Everything, in seconds."""
    records = [
        {
            **result.case._asdict(),
            "job": result.job,
            "seconds": {name: timing._asdict() for name, timing in result.timings.items()},
            "ratio": result.ratio,
        }
        for result in results
    ]
    yield json.dumps({"machine": machine(n_threads), "results": records}, indent=2)
