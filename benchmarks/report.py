# SPDX-License-Identifier: BSD-3-Clause
"""What was measured, as lines of text while it runs, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bars import findings
from .cases import Case
from .fits import Fitted
from .measure import Result
from .sweep import Point
from .tables import (
    figures_table,
    fits_table,
    lost_lines,
    microseconds,
    plain,
    sweep_lines,
    threads_word,
)
from .timing import Timing
from .work import TITLES


@dataclass
class Run:
    """One run: the facts, the limits, and whatever was measured."""

    facts: dict[str, Any]
    limits: dict[str, float]
    results: list[Result] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    fits: list[Fitted] = field(default_factory=list)

    @property
    def n_threads(self) -> int:
        n_threads: int = self.facts["n_threads"]
        return n_threads

    def save(self, path: Path) -> None:
        """Write everything, in seconds, FLOP per second and bytes per second."""
        data = {
            "facts": self.facts,
            "limits": self.limits,
            "results": [
                {
                    **result._asdict(),
                    "case": result.case._asdict(),
                    "timings": {name: t._asdict() for name, t in result.timings.items()},
                }
                for result in self.results
            ],
            "points": [point._asdict() for point in self.points],
            "fits": [fitted._asdict() for fitted in self.fits],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Run:
        data = json.loads(path.read_text(encoding="utf-8"))
        for record in data["results"]:
            case = {**record["case"], "sizes": tuple(record["case"]["sizes"])}
            record["case"] = Case(**case)
            record["timings"] = {name: Timing(**t) for name, t in record["timings"].items()}
        return cls(
            data["facts"],
            data["limits"],
            [Result(**record) for record in data["results"]],
            [Point(**record) for record in data["points"]],
            [Fitted(**record) for record in data["fits"]],
        )


def heading(run: Run) -> Iterator[str]:
    """The machine, the versions, the limits."""
    facts = run.facts
    caches = ", ".join(f"{name} {size >> 10} KiB" for name, size in facts["caches"].items())
    yield (
        f"{facts['processor']}, {facts['vector_bits']}-bit vectors, {caches}; {facts['system']}; "
        f"{threads_word(run.n_threads)}; float32; {facts['date']}"
    )
    yield f"Python {facts['python']}; {facts['compiler']}"
    yield "; ".join(f"{title} {version}" for title, version in facts["peers"].items())
    for name, reason in facts["absent"].items():
        yield f"not measured: {name} ({reason})"
    bandwidths = ", ".join(
        f"{name} {value / 1e9:.0f}" for name, value in run.limits.items() if name != "flops"
    )
    yield f"FMA peak {run.limits['flops'] / 1e9:.0f} GFLOP/s; reading, GB/s: {bandwidths}"


COLUMNS = "{:<26} {:>5}  {:<10} {:>26} {:>7}  {}"


def line(result: Result) -> str:
    """A result as one line: mlpcore's time, its share of the peak, the others' times over it."""
    timing = result.timings["mlpcore"]
    spread = (
        f"{microseconds(timing.median)} ({microseconds(timing.lower_quartile)}"
        f" .. {microseconds(timing.upper_quartile)})"
    )
    others = "  ".join(
        f"{name.removeprefix('mlpcore, ')} {t.median / timing.median:.2f}"
        for name, t in result.timings.items()
        if name != "mlpcore"
    )
    marks = "" if result.steady else "  (disturbed)"
    case = result.case
    net = case.net if result.question != "activations" else f"{case.net} {case.hidden_activation}"
    share = f"{100 * result.share:.1f} %"
    return COLUMNS.format(net, case.batch_size, TITLES[result.job], spread, share, others + marks)


def text(run: Run, results: Iterable[Result]) -> Iterator[str]:
    """Everything, each line as soon as it is known; the results are added to the run."""
    yield from heading(run)
    yield ""
    yield "Microseconds per call, or per step of an epoch: median (quartiles); the share of the FMA"
    yield "peak; the others' times over mlpcore's. The gradient is a query: dl/dx is part of it."
    yield ""
    yield COLUMNS.format("net", "batch", "job", "mlpcore", "of peak", "times mlpcore's")
    for result in results:
        run.results.append(result)
        yield line(result)
    yield ""
    yield from plain(figures_table(list(findings(run.results))))
    yield ""
    yield from lost_lines(run.results)
    disturbed = [result for result in run.results if not result.steady]
    if disturbed:
        yield ""
        yield f"Other programs disturbed {len(disturbed)} of {len(run.results)} rows: run it again."


def sweep_text(run: Run, points: Iterable[Point]) -> Iterator[str]:
    """A sweep, point by point; the points are added to the run."""
    yield from heading(run)
    yield ""
    columns = "{:<6} {:>6}  {:<9} {:>12} {:>8} {:>14}"
    yield columns.format("sweep", "size", "job", "µs", "of peak", "ps/(mult.+add)")
    for point in points:
        run.points.append(point)
        yield columns.format(
            point.sweep,
            point.size,
            TITLES[point.job],
            microseconds(point.seconds),
            f"{100 * point.share:.1f} %",
            f"{1e12 * point.seconds_per_multiply_add:.2f}",
        ) + ("" if point.steady else "  (disturbed)")
    yield ""
    yield from sweep_lines(run.points)


def fits_text(run: Run, fits: Iterable[Fitted]) -> Iterator[str]:
    """Whole fits, each as soon as it is done; they are added to the run."""
    yield from heading(run)
    yield ""
    for fitted in fits:
        run.fits.append(fitted)
        yield (
            f"{fitted.net}, {fitted.n_rows} rows, {fitted.name}: {1e3 * fitted.seconds:.2f} ms an "
            f"epoch, loss {fitted.loss:.4g}"
        )
    yield ""
    yield from plain(fits_table(run.fits, run.facts["names"]))
