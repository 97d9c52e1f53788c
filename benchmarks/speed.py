# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks speed``: mlpcore beside its peers and beside the machine's limits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .threads import limit_threads

if TYPE_CHECKING:
    from .cases import Case
    from .measure import Bench, Result


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What is asked for."""
    from .peers import NAMES

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks speed",
        description="Time mlpcore beside its peers and the machine's limits; results are checked.",
    )
    parser.add_argument("--full", action="store_true", help="all nets, jobs and peers")
    parser.add_argument("--threads", type=int, default=1, help="for all of them (default: 1)")
    parser.add_argument("--peers", help=f"some of {','.join(NAMES)}, or none")
    parser.add_argument("--only", default="", help="what has this in its name or its sizes")
    parser.add_argument("--fits", action="store_true", help="instead: whole fits, and their memory")
    parser.add_argument("--sweep", action="store_true", help="instead: width, batch and depth")
    parser.add_argument("--save", type=Path, help="also write everything to this JSON file")
    arguments = parser.parse_args(words)
    if arguments.threads < 1:
        parser.error(f"--threads: expected at least 1, got {arguments.threads}")
    arguments.chosen = None
    if arguments.peers is not None:
        arguments.chosen = tuple(name for name in arguments.peers.split(",") if name != "none")
        unknown = set(arguments.chosen) - set(NAMES)
        if unknown:
            parser.error(f"--peers: expected some of {','.join(NAMES)}, got {arguments.peers}")
    return arguments


def results(bench: Bench, full: bool, only: str) -> Iterator[Result]:
    """All that is asked for, case by case."""
    from .cases import ACTIVATION_CASES, CASES, DERIVATIVE_CASES, ODD_CASES, SHORT_CASES
    from .work import JOBS

    def chosen(cases: list[Case]) -> list[Case]:
        return [case for case in cases if only in case.name or only in case.net]

    short_jobs = ("forward", "call", "value_and_grad", "sgd_step", "adam_epoch")
    for case in chosen(CASES if full else SHORT_CASES):
        yield from bench.compare(case, JOBS if full else short_jobs)
    jobs = dict(DERIVATIVE_CASES)
    for case in chosen(list(jobs)):
        yield from bench.derivatives(case, jobs[case])
    for case in chosen(ACTIVATION_CASES if full else ACTIVATION_CASES[:1]):
        yield from bench.activations(case, ("forward", "sgd_step"))
    for case in chosen(ODD_CASES):
        yield from bench.odd(case, ("forward", "sgd_step"))


def main(words: Sequence[str]) -> int:
    """Measure and print; fails if a result is wrong."""
    arguments = parse(words)
    limit_threads(arguments.threads)

    from . import fits, peers, report, sweep
    from .machine import Machine, facts
    from .measure import Bench
    from .timing import Budget, Clock

    names = peers.NAMES if arguments.full or arguments.fits else peers.SHORT_NAMES
    names = names if arguments.chosen is None else arguments.chosen
    classes, absent = peers.load_all(() if arguments.sweep else names)
    if names == peers.SHORT_NAMES:
        absent["torch_compile"] = "part of --full alone: it compiles for half a minute a net"
    machine = Machine(arguments.threads)
    described = facts(machine)
    described["peers"] = {peer.title: peer.version() for peer in classes.values()}
    described["names"] = {name: peer.title for name, peer in classes.items()}
    described["absent"] = absent
    run = report.Run(described, machine.limits())
    clock = Clock(machine)
    if arguments.sweep:
        chosen = [name for name in sweep.SWEEPS if arguments.only in name]
        points = (point for name in chosen for point in sweep.sweep(name, clock))
        lines = report.sweep_text(run, points)
    elif arguments.fits:
        chosen = [key for key in fits.FITS if arguments.only in key]
        fitted = (one for key in chosen for one in fits.measure(key, tuple(classes), run.n_threads))
        lines = report.fits_text(run, fitted)
    else:
        budget = Budget(9, 0.01) if arguments.full else Budget(7, 0.005)
        bench = Bench(clock, classes, budget)
        lines = report.text(run, results(bench, arguments.full, arguments.only))
    for line in lines:
        print(line, flush=True)
        if arguments.save is not None:
            run.save(arguments.save)
    return 0
