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
# Nor does a round count in which the machine itself was slower than this share of its best. That
# is the best of the same measurement: from one to the next, a clock may go up and down.
STEADY_SHARE = 0.95
# At most so many rounds are begun for each one that is asked for.
PATIENCE = 2
# Calls that take long make for fewer rounds, which vary less.
MIN_ROUNDS, LONG_SECONDS = 5, 10.0
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
    the slices that something disturbed. They are thrown away, if enough others are left: `steady`
    tells.
    """

    timings: dict[str, Timing]
    limits: dict[str, float]
    n_disturbed: int
    steady: bool


class Clock:
    """Times slices, and knows whether this process had the machine to itself."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def elapsed(self, call: Callable[[], object], n_calls: int) -> tuple[float, bool]:
        """Seconds of so many calls, and whether nobody else had the CPU meanwhile."""
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in repeat(None, n_calls):
            call()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        # Of several threads, some may rest while others work: then the CPU time tells nothing.
        stolen = seconds - cpu_seconds if self.machine.n_threads == 1 else 0.0
        return seconds, stolen <= STOLEN_SHARE * seconds + STOLEN_SECONDS

    def n_calls(self, entry: Entry, slice_seconds: float) -> tuple[int, float]:
        """How many calls fill a slice, and the seconds that they take together.

        The first, which may compile something, does not count.
        """
        entry.before_slice()
        entry.call()
        n_calls = 1
        while (seconds := self.elapsed(entry.call, n_calls)[0]) < slice_seconds / 4:
            n_calls *= 2
        enough = math.ceil(n_calls * slice_seconds / seconds)
        return enough, enough * seconds / n_calls

    def slice(self, entry: Entry, n_calls: int) -> tuple[float, bool]:
        """Seconds per call, once undisturbed or after some attempts, and whether it was."""
        self.pause()
        entry.before_slice()
        if n_calls > 1:
            entry.call()  # wakes threads, and brings its data back into the caches
        for _ in range(N_ATTEMPTS):
            seconds, undisturbed = self.elapsed(entry.call, n_calls)
            if undisturbed:
                break
        return seconds / n_calls, undisturbed

    def pause(self) -> None:
        """Let the threads of whoever was timed last fall asleep, and the CPUs stay awake.

        A host may wake two that slept as the two hardware threads of one core.
        """
        if self.machine.n_threads > 1:
            end = time.perf_counter() + PAUSE_SECONDS
            while time.perf_counter() < end:
                self.machine.flops()

    def flops(self) -> float:
        """The peak now; the best of three, since one may be cut short."""
        self.pause()
        return max(self.machine.flops() for _ in range(3))

    def interleave(
        self,
        entries: dict[str, Entry],
        budget: Budget,
        limits: dict[str, Callable[[], float]],
    ) -> Timed:
        """Rounds of one slice of each entry and one measurement of each limit.

        The peak stands first and last in a round, and says whether the machine was itself. A slice
        counts if it was, and if nobody disturbed the slice; if an entry has too few of these, all
        of its slices count, and the result says so.
        """
        calibrated = {
            name: self.n_calls(entry, budget.slice_seconds) for name, entry in entries.items()
        }
        round_seconds = sum(seconds for _, seconds in calibrated.values())
        n_rounds = max(MIN_ROUNDS, int(LONG_SECONDS / round_seconds))
        n_rounds = min(n_rounds, budget.n_rounds)
        slices: dict[str, list[tuple[float, bool]]] = {name: [] for name in entries}
        lowest: list[float] = []  # the peak of each round, before or after its slices
        best = 0.0
        measured: dict[str, list[float]] = {name: [] for name in ("flops", *limits)}
        gc.disable()
        try:
            for i in range(PATIENCE * n_rounds):
                if all(len(good(kept, lowest, best)) >= n_rounds for kept in slices.values()):
                    break
                before = self.flops()
                for name, measure in limits.items():
                    measured[name].append(measure())
                # The one that comes first is another one each round.
                order = list(entries) if i % 2 == 0 else list(reversed(entries))
                samples = {name: self.slice(entries[name], calibrated[name][0]) for name in order}
                after = self.flops()
                measured["flops"].append(max(before, after))
                lowest.append(min(before, after))
                best = max(best, before, after)
                for name, sample in samples.items():
                    slices[name].append(sample)
        finally:
            gc.enable()
        timings, n_disturbed, all_steady = {}, 0, True
        for name, kept in slices.items():
            chosen = good(kept, lowest, best)
            n_disturbed += len(kept) - len(chosen)
            if len(chosen) <= n_rounds // 2:
                chosen, all_steady = [seconds for seconds, _ in kept], False
            timings[name] = Timing(*map(float, np.quantile(chosen, (0.25, 0.5, 0.75))))
        medians = {name: float(np.median(values)) for name, values in measured.items()}
        return Timed(timings, medians, n_disturbed, all_steady)


def good(kept: list[tuple[float, bool]], lowest: list[float], best: float) -> list[float]:
    """The seconds of those slices that nobody disturbed, in rounds in which the peak was steady."""
    return [
        seconds
        for (seconds, undisturbed), flops in zip(kept, lowest, strict=True)
        if undisturbed and flops >= STEADY_SHARE * best
    ]
