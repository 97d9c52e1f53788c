# SPDX-License-Identifier: BSD-3-Clause
"""Tables: rows of cells, written as plain text or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from .bars import Finding, lost_rows, shown
from .fits import Fitted
from .measure import Result
from .sweep import STEP, Point, steps
from .work import TITLES

# The first row is the heading; columns but the first are aligned to the right.
Table = list[tuple[str, ...]]


def microseconds(seconds: float) -> str:
    """Three significant digits, without an exponent."""
    value = seconds * 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def threads_word(n_threads: int) -> str:
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"


def spread(result: Result) -> str:
    """Half the distance between the quartiles, as a share of the median."""
    timing = result.timings["mlpcore"]
    return f"{50 * (timing.upper_quartile - timing.lower_quartile) / timing.median:.1f} %"


def plain(table: Table) -> Iterator[str]:
    """The table in columns."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def markdown(table: Table) -> Iterator[str]:
    """The table as Markdown; what is not reached stands out."""
    head, *rows = table
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join("**no**" if cell == "no" else cell for cell in row) + " |"


def figures_table(findings: Sequence[Finding]) -> Table:
    """Each figure beside its bar."""
    table: Table = [
        ("net", "batch", "threads", "job", "µs", "spread", "figure", "measured", "bar", "reached")
    ]
    for finding in findings:
        result = finding.result
        bar = ""
        if finding.bar is not None:
            bar = f"{'≥' if finding.at_least else '≤'} {shown(finding.bar, finding.unit)}"
            bar += f" {finding.unit}"
        table.append(
            (
                result.case.net,
                str(result.case.batch_size),
                str(result.n_threads),
                TITLES[result.job],
                microseconds(result.seconds),
                spread(result) + ("" if result.steady else " (disturbed)"),
                finding.what,
                f"{shown(finding.value, finding.unit)} {finding.unit}",
                bar,
                "" if finding.bar is None else "yes" if finding.reached else "no",
            )
        )
    return table


def peers_table(results: Sequence[Result], titles: dict[str, str]) -> Table:
    """mlpcore's time, and how many times longer each peer takes; empty: it has no such job."""
    names = [name for name in titles if any(name in result.ratios for result in results)]
    table: Table = [
        ("net", "batch", "job", "µs", "of peak", "spread", *(titles[name] for name in names))
    ]
    for result in results:
        ratios = (f"{result.ratios[name]:.2f}" if name in result.ratios else "" for name in names)
        table.append(
            (
                result.case.net,
                str(result.case.batch_size),
                TITLES[result.job],
                microseconds(result.seconds),
                f"{100 * result.share:.1f} %",
                spread(result) + ("" if result.steady else " (disturbed)"),
                *ratios,
            )
        )
    return table


def short_table(results: Sequence[Result], jobs: Sequence[str]) -> Table:
    """A row for each case: mlpcore's time and, in brackets, the fastest peer's time over it."""
    table: Table = [("net", "batch", *(TITLES[job] for job in jobs))]
    for case, group in groupby(results, key=lambda result: result.case):
        of_job = {result.job: result for result in group}
        cells = []
        for job in jobs:
            result = of_job[job]
            best = min(result.ratios, key=result.ratios.__getitem__, default=None)
            beside = "" if best is None else f" ({result.ratios[best]:.1f}× {best})"
            cells.append(f"{microseconds(result.seconds)} µs{beside}")
        table.append((case.net, str(case.batch_size), *cells))
    return table


def fits_table(fits: Sequence[Fitted], titles: dict[str, str]) -> Table:
    """Whole fits: the time of an epoch, over mlpcore's, the loss afterwards, the memory."""
    table: Table = [
        ("net", "rows", "batch", "epochs", "by", "ms an epoch", "× mlpcore's", "loss", "peak, MB")
    ]
    ours = {fitted.net: fitted.seconds for fitted in fits if fitted.name == "mlpcore"}
    for fitted in fits:
        table.append(
            (
                fitted.net,
                str(fitted.n_rows),
                str(fitted.batch_size),
                str(fitted.n_epochs),
                titles[fitted.name],
                f"{1e3 * fitted.seconds:.3g}",
                f"{fitted.seconds / ours[fitted.net]:.2f}",
                f"{fitted.loss:.3g}",
                f"{fitted.peak_bytes / 1e6:.0f}",
            )
        )
    return table


def lost_lines(results: Sequence[Result]) -> Iterator[str]:
    """Every row in which a peer is as fast or faster."""
    lost = lost_rows(results)
    if not any(result.ratios for result in results):
        yield "No peer was measured."
        return
    if not lost:
        yield "No row is lost: in each of them mlpcore is faster than every peer that was measured."
        return
    yield f"Rows that are lost, {len(lost)}, each with the peer's time over mlpcore's:"
    yield ""
    for result, name, ratio in lost:
        case = result.case
        yield (
            f"- {case.net}, batch {case.batch_size}, {threads_word(result.n_threads)}, "
            f"{TITLES[result.job]}: {name} {ratio:.2f}"
        )


def sweep_lines(points: Sequence[Point]) -> Iterator[str]:
    """Where the cost per multiplication rises from a size to a larger one."""
    n_disturbed = sum(not point.steady for point in points)
    if n_disturbed:
        yield f"Other programs disturbed {n_disturbed} of {len(points)} points: they are left out."
        yield ""
    found = steps(list(points))
    percent = round(100 * (STEP - 1))
    if not found:
        yield f"No step: the cost per multiplication never rises by more than {percent} %."
        return
    yield f"Steps, where the cost per multiplication rises by more than {percent} %:"
    yield ""
    for before, after in found:
        rise = after.seconds_per_multiply_add / before.seconds_per_multiply_add - 1
        yield (
            f"- {after.sweep} {before.size} to {after.size}, {TITLES[after.job]}, "
            f"{threads_word(after.n_threads)}: {100 * rise:.0f} %"
        )
