# SPDX-License-Identifier: BSD-3-Clause
"""One size after the other, by mlpcore alone: does the cost grow as the work does?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from .cases import Case
from .peers import load
from .timing import Budget, Clock, Entry
from .verify import TIMED_LEARNING_RATE, initial_parameters
from .work import flops

JOBS = ("forward", "sgd_step")
# A cost per multiplication that rises by more than this, from one size to a larger one, is a step.
STEP = 1.15
BUDGET = Budget(n_rounds=5, slice_seconds=0.003)


class Point(NamedTuple):
    """One size of a sweep: seconds, the median; and the peak in the same rounds.

    `steady` is False where other programs disturbed: such a point says nothing about mlpcore.
    """

    sweep: str
    size: int
    job: str
    n_threads: int
    seconds: float
    flops: int
    peak: float
    steady: bool

    @property
    def share(self) -> float:
        return self.flops / self.seconds / self.peak

    @property
    def seconds_per_multiply_add(self) -> float:
        return 2.0 * self.seconds / self.flops


def around(exponent: int) -> list[int]:
    """A power of two with its neighbours, and sizes on the way to the next one."""
    size = 1 << exponent
    return [size - 1, size, size + 1, size * 5 // 4, size * 3 // 2 - 1, size * 7 // 4]


def up_to(last: int, first_exponent: int) -> list[int]:
    """Every size at first, then ever fewer."""
    sizes = {*range(1, 1 << first_exponent)}
    for exponent in range(first_exponent, last.bit_length()):
        sizes |= {size for size in around(exponent) if size <= last}
    return sorted(sizes)


def cases(sweep: str) -> list[tuple[int, Case]]:
    """The nets of a sweep, each with the size that varies."""

    def case(sizes: tuple[int, ...], batch_size: int) -> Case:
        return Case(sweep, "sweep", sizes, "relu", "identity", "mse", batch_size)

    if sweep == "width":
        return [(n, case((n, n, n), 128)) for n in up_to(4096, 6)]
    if sweep == "batch":
        return [(n, case((64, 256, 64), n)) for n in up_to(65536, 5)]
    return [(n, case((96,) * (n + 1), 128)) for n in range(1, 65)]


SWEEPS = {
    "width": "n in n-n-n, batch 128",
    "batch": "rows of a batch through 64-256-64",
    "depth": "layers of 96 units, batch 128",
}


def sweep(name: str, clock: Clock) -> Iterator[Point]:
    """Measure a sweep, point by point."""
    machine = clock.machine
    for size, case in cases(name):
        x, y = case.make_batch()
        for job in JOBS:
            net = load("mlpcore")(case, machine.n_threads)
            net.reset(initial_parameters(case), TIMED_LEARNING_RATE)
            call = partial(getattr(net, job), *net.prepare(job, x, y))
            timed = clock.interleave({"mlpcore": Entry(call, net.before_slice)}, BUDGET, {})
            seconds = timed.timings["mlpcore"].median
            peak = timed.limits["flops"]
            work = flops(case, job)
            yield Point(name, size, job, machine.n_threads, seconds, work, peak, timed.steady)


def steps(points: list[Point]) -> list[tuple[Point, Point]]:
    """Where the cost per multiplication jumps up from one steady point to the next."""
    result = []
    for key in dict.fromkeys((p.sweep, p.job, p.n_threads) for p in points):
        line = [p for p in points if (p.sweep, p.job, p.n_threads) == key]
        for before, after in pairwise(line):
            rise = after.seconds_per_multiply_add / before.seconds_per_multiply_add
            if rise > STEP and before.steady and after.steady:
                result.append((before, after))
    return result
