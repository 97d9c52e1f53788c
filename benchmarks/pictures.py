# SPDX-License-Identifier: BSD-3-Clause
"""Pictures: shares of the peak, case by case; and what a sweep looks like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .bars import peak_share
from .measure import Result
from .sweep import SWEEPS, Point
from .work import TITLES

MARKERS = "osD^vP"


def shares(results: Sequence[Result], titles: dict[str, str], path: Path) -> None:
    """A panel for each job: mlpcore's share of the peak as a bar, the peers' as marks."""
    jobs = [job for job in TITLES if job != "call" and any(r.job == job for r in results)]
    cases = list(dict.fromkeys(result.case for result in results))
    names = [name for name in titles if any(name in result.ratios for result in results)]
    figure, panels = plt.subplots(
        1,
        len(jobs),
        figsize=(2.0 + 2.6 * len(jobs), 1.6 + 0.32 * len(cases)),
        sharey=True,
        squeeze=False,
    )
    for panel, job in zip(panels[0], jobs, strict=True):
        of_case = {result.case: result for result in results if result.job == job}
        for y, case in enumerate(cases):
            result = of_case.get(case)
            if result is None:
                continue
            panel.barh(y, 100 * result.share, color="tab:blue", height=0.6)
            bar = peak_share(case, job)
            if bar is not None:
                panel.plot([100 * bar] * 2, [y - 0.4, y + 0.4], color="black")
            for marker, name in zip(MARKERS, names, strict=False):
                if name in result.ratios:
                    share = 100 * result.share / result.ratios[name]
                    panel.plot(share, y, marker, ms=4, color=f"C{names.index(name) + 1}")
        panel.set_title(TITLES[job])
        panel.set_xlim(0, 100)
        panel.set_xlabel("% of the FMA peak")
        panel.grid(axis="x", alpha=0.3)
    labels = [f"{case.net}, {case.batch_size}" for case in cases]
    panels[0][0].set_yticks(range(len(cases)), labels)
    panels[0][0].invert_yaxis()
    handles = [plt.Rectangle((0, 0), 1, 1, color="tab:blue")]
    handles += [
        plt.Line2D([], [], ls="", marker=marker, color=f"C{i + 1}")
        for i, (marker, _) in enumerate(zip(MARKERS, names, strict=False))
    ]
    figure.legend(
        handles, ["mlpcore", *(titles[name] for name in names)], loc="outside lower center", ncols=7
    )
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=80)
    plt.close(figure)


def sweeps(points: Sequence[Point], path: Path) -> None:
    """Above, the cost of one multiplication with its addition; below, the share of the peak.

    What other programs disturbed is left out.
    """
    names = [name for name in SWEEPS if any(point.sweep == name for point in points)]
    figure, panels = plt.subplots(
        2, len(names), figsize=(5.0 * len(names), 7.5), sharex="col", squeeze=False
    )
    for (cost, share), name in zip(panels.T, names, strict=True):
        for key in dict.fromkeys((p.job, p.n_threads) for p in points if p.sweep == name):
            line = [p for p in points if p.steady and (p.sweep, p.job, p.n_threads) == (name, *key)]
            sizes = [p.size for p in line]
            label = f"{TITLES[key[0]]}, {key[1]} thr."
            cost.loglog(sizes, [1e12 * p.seconds_per_multiply_add for p in line], ".-", label=label)
            share.semilogx(sizes, [100 * p.share for p in line], ".-", label=label)
        cost.set_title(SWEEPS[name], fontsize=10)
        share.set_ylim(0, 100)
        share.set_xlabel(name)
        for panel in (cost, share):
            panel.grid(which="both", alpha=0.2)
            panel.legend(fontsize=8)
    panels[0][0].set_ylabel("ps for each multiplication with addition")
    panels[1][0].set_ylabel("% of the FMA peak")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
