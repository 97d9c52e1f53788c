# SPDX-License-Identifier: BSD-3-Clause
"""Timing several calls in turns, so that whatever slows the machine down hits all of them alike."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from itertools import repeat
from typing import NamedTuple

import numpy as np

from .machine import Machine

# What other programs took from a slice, above which it is measured again.
STOLEN_SHARE, STOLEN_SECONDS = 0.02, 5e-5
N_ATTEMPTS = 2
# A round in which the machine itself was slower than this share of its best is measured again.
STEADY_SHARE = 0.95
# At most so many rounds are begun for each one that is asked for.
PATIENCE = 2
# The threads of a BLAS or of OpenMP spin after a call, OpenBLAS's for 2^26 cycles, some 25 ms
# (its THREAD_TIMEOUT), on the CPUs that the next peer's are about to need.
PAUSE_SECONDS = 0.05


class Timing(NamedTuple):
    """Seconds per call: the median slice and the quartiles."""

    lower_quartile: float
    median: float
    upper_quartile: float

    def divided_by(self, n: int) -> Timing:
        return Timing(*(seconds / n for seconds in self))


class Entry(NamedTuple):
    """A call, and what has to be done before a slice of it."""

    call: Callable[[], object]
    before_slice: Callable[[], None] = lambda: None


class Budget(NamedTuple):
    """How much is measured: rounds, and the length of a slice of each."""

    n_rounds: int
    slice_seconds: float


class Timed(NamedTuple):
    """What came out of the rounds that count.

    `timings` by the entries' names, `limits` (medians) by the names of the machine's limits, and
    the rounds in which something disturbed. They are thrown away, if enough others are left:
    `steady` tells.
    """

    timings: dict[str, Timing]
    limits: dict[str, float]
    n_disturbed: int
    steady: bool


class Clock:
    """Times slices, and knows whether this process had the machine to itself."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.best_flops = 0.0

    def elapsed(self, call: Callable[[], object], n_calls: int) -> tuple[float, bool]:
        """Seconds of so many calls, and whether nobody else had the CPU meanwhile."""
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in repeat(None, n_calls):
            call()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        # Of several threads, some may rest while others work: then the CPU time tells nothing.
        stolen = seconds - cpu_seconds if self.machine.n_threads == 1 else 0.0
        return seconds, stolen <= STOLEN_SHARE * seconds + STOLEN_SECONDS

    def n_calls(self, entry: Entry, slice_seconds: float) -> int:
        """How many calls fill a slice; the first, which may compile something, does not count."""
        entry.before_slice()
        entry.call()
        n_calls = 1
        while (seconds := self.elapsed(entry.call, n_calls)[0]) < slice_seconds / 4:
            n_calls *= 2
        return math.ceil(n_calls * slice_seconds / seconds)

    def slice(self, entry: Entry, n_calls: int) -> tuple[float, bool]:
        """Seconds per call, once undisturbed or after some attempts, and whether it was."""
        if self.machine.n_threads > 1:
            time.sleep(PAUSE_SECONDS)
        entry.before_slice()
        if n_calls > 1:
            entry.call()  # wakes threads, and brings its data back into the caches
        for _ in range(N_ATTEMPTS):
            seconds, undisturbed = self.elapsed(entry.call, n_calls)
            if undisturbed:
                break
        return seconds / n_calls, undisturbed

    def flops(self) -> float:
        """The peak now; the best of three, since one may be cut short."""
        flops = max(self.machine.flops() for _ in range(3))
        self.best_flops = max(self.best_flops, flops)
        return flops

    def interleave(
        self,
        entries: dict[str, Entry],
        budget: Budget,
        limits: dict[str, Callable[[], float]],
    ) -> Timed:
        """Rounds of one slice of each entry and one measurement of each limit.

        The peak stands first and last in a round, and says whether the machine was itself. If too
        few rounds were steady, all of them count, and the result says so.
        """
        n_calls = {
            name: self.n_calls(entry, budget.slice_seconds) for name, entry in entries.items()
        }
        rounds: list[tuple[bool, dict[str, float]]] = []
        gc.disable()
        try:
            for i in range(PATIENCE * budget.n_rounds):
                if sum(steady for steady, _ in rounds) == budget.n_rounds:
                    break
                before = self.flops()
                samples = {name: measure() for name, measure in limits.items()}
                steady = True
                # The one that comes first is another one each round.
                for name in entries if i % 2 == 0 else reversed(entries):
                    samples[name], undisturbed = self.slice(entries[name], n_calls[name])
                    steady &= undisturbed
                after = self.flops()
                samples["flops"] = (before + after) / 2
                steady &= min(before, after) >= STEADY_SHARE * self.best_flops
                rounds.append((steady, samples))
        finally:
            gc.enable()
        kept = [samples for steady, samples in rounds if steady]
        enough = len(kept) > budget.n_rounds // 2
        if not enough:
            kept = [samples for _, samples in rounds]
        quantiles = {
            name: np.quantile([samples[name] for samples in kept], (0.25, 0.5, 0.75))
            for name in kept[0]
        }
        return Timed(
            {name: Timing(*map(float, quantiles[name])) for name in entries},
            {name: float(quantiles[name][1]) for name in ("flops", *limits)},
            sum(not steady for steady, _ in rounds),
            enough,
        )
