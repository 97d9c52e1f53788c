# SPDX-License-Identifier: BSD-3-Clause
"""What is asked of each result, and whether it is reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .cases import Case, neighbour
from .measure import FORWARD, GRADIENT, NEIGHBOUR, ONE_THREAD, RELU, SGD_STEP, Result, level_of
from .work import flops, parameter_bytes

MICROSECOND = 1e-6

# Share of the FMA peak, by class and job; small batches of the small class have their own bar.
PEAK_SHARES = {
    ("large", "forward"): 0.95,
    ("large", "value_and_grad"): 0.92,
    ("large", "sgd_step"): 0.92,
    ("small", "forward"): 0.85,
    ("small", "sgd_step"): 0.80,
}
SMALL_BATCH_SGD_STEP = 0.75
# Time over that of an SGD step and of reading and writing the two moments once.
ADAM = 1.03
# Two threads against one, in the large class; anywhere else, more threads are never slower.
TWO_THREADS, MORE_THREADS = 1.9, 1.0
# Seconds of a call on top of so many times its arithmetic at the peak.
FORWARD_CALL, FORWARD_FMA = 0.3 * MICROSECOND, 2.0
STEP_CALL, STEP_FMA = 0.8 * MICROSECOND, 1.5
NEW_ARRAY = 0.15 * MICROSECOND
STEP_OF_EPOCH = 0.1 * MICROSECOND
ROW_BANDWIDTH = 0.85
ACTIVATION_COSTS = {"sigmoid": 1.05, "tanh": 1.05}
ODD_SHARE = 0.90
# Of the fastest peer's time, of one row and of more; seconds of a value with its Jacobian, in the
# smallest net of one row; and the time of a gradient.
ROW_DERIVATIVES, DERIVATIVES = 5.0, 1.0
VALUE_AND_JACOBIAN = 3.0 * MICROSECOND
HVP = 4.0


class Finding(NamedTuple):
    """A figure beside its bar; `unit` is ``%``, ``µs`` or ``×``, for values of 1, seconds and 1.

    A `bar` of None: nothing is asked.
    """

    result: Result
    table: str
    what: str
    value: float
    bar: float | None
    at_least: bool
    unit: str

    @property
    def reached(self) -> bool:
        if self.bar is None:
            return True
        # As it is printed: what reads the same is the same.
        value, bar = (float(shown(x, self.unit)) for x in (self.value, self.bar))
        return value >= bar if self.at_least else value <= bar


def shown(value: float, unit: str) -> str:
    """A value in its unit, without it."""
    if unit == "%":
        return f"{100 * value:.1f}"
    return f"{value / MICROSECOND:.3f}" if unit == "µs" else f"{value:.2f}"


def peak_share(case: Case, job: str) -> float | None:
    """The share of the peak that is asked for, if any."""
    if (case.size_class, job) == ("small", "sgd_step") and case.batch_size <= 32:
        return SMALL_BATCH_SGD_STEP
    return PEAK_SHARES.get((case.size_class, job))


def findings(results: Iterable[Result]) -> Iterator[Finding]:
    """Everything that is asked of these results."""
    for result in results:
        if result.question == "activations":
            yield _activation(result)
        elif result.question == "odd":
            yield _odd(result)
        elif result.question == "derivatives":
            yield from _derivative(result)
        else:
            yield from {"large": _large, "small": _small, "tiny": _tiny, "row": _row}[
                result.case.size_class
            ](result)
            yield from _threads(result)


def _large(result: Result) -> Iterator[Finding]:
    bar = peak_share(result.case, result.job)
    if bar is not None:
        yield Finding(result, "large", "of the FMA peak", result.share, bar, True, "%")
    if result.job == "adam_step":
        floor = result.timings[SGD_STEP].median + result.limits["update"]
        what = "SGD step + moments read and written"
        yield Finding(result, "large", what, result.seconds / floor, ADAM, False, "×")


def _small(result: Result) -> Iterator[Finding]:
    bar = peak_share(result.case, result.job)
    if bar is not None:
        yield Finding(result, "small", "of the FMA peak", result.share, bar, True, "%")


def _tiny(result: Result) -> Iterator[Finding]:
    arithmetic = flops(result.case, result.job) / result.limits["flops"]
    if result.job == "forward":
        bar = FORWARD_CALL + FORWARD_FMA * arithmetic
        yield Finding(result, "tiny", "forward(x, out=)", result.seconds, bar, False, "µs")
    elif result.job == "call":
        more = result.seconds - result.timings[FORWARD].median
        yield Finding(result, "tiny", "net(x) more than that", more, NEW_ARRAY, False, "µs")
    elif result.job == "sgd_step":
        bar = STEP_CALL + STEP_FMA * arithmetic
        yield Finding(result, "tiny", "train_step", result.seconds, bar, False, "µs")
    elif result.job == "sgd_epoch":
        bar = STEP_OF_EPOCH + STEP_FMA * arithmetic
        yield Finding(result, "tiny", "a step of an epoch in fit", result.seconds, bar, False, "µs")


def _row(result: Result) -> Iterator[Finding]:
    if result.job == "forward":
        speed = parameter_bytes(result.case) / result.seconds
        level = level_of(result)
        share = speed / result.limits[level]
        what = f"of the read bandwidth of {level}"
        yield Finding(result, "row", what, share, ROW_BANDWIDTH, True, "%")
        what = "of reading as many bytes in a loop"
        yield Finding(result, "row", what, speed / result.limits["read"], None, True, "%")


def _activation(result: Result) -> Finding:
    name = result.case.hidden_activation
    cost = result.seconds / result.timings[RELU].median
    bar = ACTIVATION_COSTS.get(name)
    return Finding(result, "activations", f"{name} over relu", cost, bar, False, "×")


def _odd(result: Result) -> Finding:
    other = neighbour(result.case)
    seconds = result.timings[NEIGHBOUR].median
    share = result.share / (flops(other, result.job) / seconds / result.limits["flops"])
    what = f"of the share of {other.net}, batch {other.batch_size}"
    return Finding(result, "odd", what, share, ODD_SHARE, True, "%")


def _derivative(result: Result) -> Iterator[Finding]:
    is_row = result.case.size_class == "row"
    if result.ratios:
        bar = ROW_DERIVATIVES if is_row else DERIVATIVES
        name = min(result.ratios, key=result.ratios.__getitem__)
        what = f"the time of the fastest peer, {name}"
        yield Finding(result, "derivatives", what, result.ratios[name], bar, True, "×")
    if result.job == "value_and_jacobian" and is_row and max(result.case.sizes) <= 64:
        what = "value and Jacobian in one call"
        yield Finding(result, "derivatives", what, result.seconds, VALUE_AND_JACOBIAN, False, "µs")
    if result.job == "hvp":
        cost = result.seconds / result.timings[GRADIENT].median
        yield Finding(result, "derivatives", "the time of a gradient", cost, HVP, False, "×")


def _threads(result: Result) -> Iterator[Finding]:
    if ONE_THREAD in result.timings:
        speed_up = result.timings[ONE_THREAD].median / result.seconds
        large = result.case.size_class == "large" and result.n_threads == 2
        bar = TWO_THREADS if large else MORE_THREADS
        what = f"{result.n_threads} threads against 1"
        yield Finding(result, "threads", what, speed_up, bar, True, "×")


def lost_rows(results: Iterable[Result]) -> list[tuple[Result, str, float]]:
    """Each row in which a peer is at least as fast: the result, the peer, its ratio."""
    return [
        (result, name, ratio)
        for result in results
        for name, ratio in result.ratios.items()
        if ratio <= 1.0
    ]
