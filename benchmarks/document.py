# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks document RUN.json...``: write what was measured into the pages.

A page has blocks, from a comment ``measured: NAME`` to a comment ``end``; what stands between them
is replaced by the table of that name. Pictures go beside docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import pictures
from .bars import findings
from .report import Run, heading
from .tables import (
    figures_table,
    fits_table,
    lost_lines,
    markdown,
    peers_table,
    short_table,
    sweep_lines,
    threads_word,
)

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/benchmarks.md")
BLOCK = re.compile(r"(<!-- measured: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOTHING = "Not part of these runs."
FIGURES = ("large", "small", "tiny", "row", "derivatives", "activations", "odd", "threads")
README_JOBS = ("forward", "value_and_grad", "sgd_step", "adam_step")


class Document:
    """The blocks, made of any number of runs: one for each number of threads, sweeps, fits."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = sorted(runs, key=lambda run: (bool(run.points), run.n_threads))
        self.findings = [finding for run in runs for finding in findings(run.results)]

    def block(self, name: str) -> str:
        """What stands between the comments of a block.

        Raises
        ------
        ValueError
            If there is no block of that name.
        """
        if name in FIGURES:
            chosen = [finding for finding in self.findings if finding.table == name]
            lines = markdown(figures_table(chosen)) if chosen else iter([NOTHING])
        elif name in ("machine", "peers", "lost", "fits", "sweeps", "pictures", "readme"):
            lines = getattr(self, f"_{name}")()
        else:
            raise ValueError(f"measured: expected the name of a block, got {name!r}")
        return "\n" + "\n".join(lines) + "\n\n"

    def _machine(self) -> Iterator[str]:
        for run in self.runs:
            what = "Sweeps" if run.points else "Fits" if run.fits else "Tables"
            yield f"- {what}, {threads_word(run.n_threads)}: {'. '.join(heading(run))}."

    def _compared(self) -> list[Run]:
        return [run for run in self.runs if any(r.question == "peers" for r in run.results)]

    def _peers(self) -> Iterator[str]:
        for run in self._compared():
            yield f"### {threads_word(run.n_threads)}"
            yield ""
            results = [r for r in run.results if r.question in ("peers", "derivatives")]
            yield from markdown(peers_table(results, run.facts["names"]))
            yield ""

    def _lost(self) -> Iterator[str]:
        yield from lost_lines([result for run in self.runs for result in run.results])

    def _sweeps(self) -> Iterator[str]:
        points = [point for run in self.runs for point in run.points]
        yield from sweep_lines(points) if points else [NOTHING]

    def _fits(self) -> Iterator[str]:
        runs = [run for run in self.runs if run.fits]
        if not runs:
            yield NOTHING
        for run in runs:
            yield from markdown(fits_table(run.fits, run.facts["names"]))

    def _readme(self) -> Iterator[str]:
        run = next((run for run in self._compared() if run.n_threads == 1), None)
        if run is None:
            yield NOTHING
            return
        results = [result for result in run.results if result.question == "peers"]
        jobs = [job for job in README_JOBS if any(result.job == job for result in results)]
        yield from markdown(short_table(results, jobs))
        yield ""
        first, *others = heading(run)
        yield f"Median time, and in brackets the fastest peer's time over it. {first}. {others[1]}."

    def _pictures(self) -> Iterator[str]:
        for path, what in self._drawn():
            yield f"![{what}]({path})"
            yield ""

    def _drawn(self) -> Iterator[tuple[str, str]]:
        """File names of the pictures that these runs give, and what each of them shows."""
        for run in self._compared():
            word = threads_word(run.n_threads)
            yield f"benchmarks-{word.replace(' ', '-')}.png", f"Shares of the FMA peak, {word}"
        if any(run.points for run in self.runs):
            yield "benchmarks-sweeps.png", "Cost and share of the peak over width, batch and depth"

    def draw(self, folder: Path) -> None:
        """Draw the pictures."""
        for run, (name, _) in zip(self._compared(), self._drawn(), strict=False):
            results = [result for result in run.results if result.question == "peers"]
            pictures.shares(results, run.facts["names"], folder / name)
        points = [point for run in self.runs for point in run.points]
        if points:
            pictures.sweeps(points, folder / "benchmarks-sweeps.png")

    def fill(self, text: str) -> str:
        """A page with its blocks replaced."""
        return BLOCK.sub(lambda match: match[1] + self.block(match[2]) + match[3], text)


def main(words: Sequence[str]) -> int:
    """Fill the pages of the repository from these files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks document", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="files of `speed --save`")
    document = Document([Run.load(path) for path in parser.parse_args(words).runs])
    document.draw(ROOT / "docs")
    for page in PAGES:
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        filled = document.fill(text)
        if filled != text:
            path.write_text(filled, encoding="utf-8")
            print(f"{page} is written")
    return 0
