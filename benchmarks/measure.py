# SPDX-License-Identifier: BSD-3-Clause
"""The questions: each case is verified, then its jobs are timed, by mlpcore and by its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from .cases import ACTIVATIONS, Case, neighbour
from .machine import LEVELS
from .peers import load
from .peers.base import Peer, is_epoch
from .timing import Budget, Clock, Entry, Timing
from .verify import TIMED_LEARNING_RATE, Expected, verify
from .work import DERIVATIVES, JOBS, flops, n_epoch_steps, n_parameters, parameter_bytes

# Beside mlpcore and its peers, a measurement has mlpcore doing something to compare with.
ONE_THREAD = "mlpcore, 1 thread"
FORWARD = "mlpcore, forward"
SGD_STEP = "mlpcore, SGD step"
GRADIENT = "mlpcore, gradient"
# An activation's or a size's own comparisons.
RELU = "mlpcore, relu"
NEIGHBOUR = "mlpcore, sizes rounded up"


class Result(NamedTuple):
    """One job on one case: seconds per call, or per step of an epoch, by each that did it.

    `limits` has the machine's, measured in the same rounds: ``flops`` per second; ``read`` and
    the name of a level, bytes per second; ``update``, seconds. `question` is ``peers``,
    ``derivatives``, ``activations`` or ``odd``.
    """

    question: str
    case: Case
    job: str
    n_threads: int
    timings: dict[str, Timing]
    limits: dict[str, float]
    n_disturbed: int
    steady: bool

    @property
    def seconds(self) -> float:
        return self.timings["mlpcore"].median

    @property
    def share(self) -> float:
        """Of the peak, with the work that the job needs."""
        return flops(self.case, self.job) / self.seconds / self.limits["flops"]

    @property
    def ratios(self) -> dict[str, float]:
        """Each peer's median time over mlpcore's: above 1, mlpcore is faster."""
        return {
            name: timing.median / self.seconds
            for name, timing in self.timings.items()
            if not name.startswith("mlpcore")
        }


class Bench:
    """Makes nets, checks them, times them."""

    def __init__(self, clock: Clock, peers: dict[str, type[Peer]], budget: Budget) -> None:
        self.clock = clock
        self.machine = clock.machine
        self.peers = peers
        self.budget = budget

    def compare(self, case: Case, jobs: Iterable[str] = JOBS) -> Iterator[Result]:
        """mlpcore beside its peers."""
        jobs = tuple(jobs)
        expected = Expected(case)
        able = {name: peer for name, peer in self.peers.items() if peer.can_do(case)}
        nets = {name: peer(case, self.machine.n_threads) for name, peer in able.items()}
        for net in nets.values():
            verify(net, jobs, expected)
        for job in jobs:
            entries = {
                name: self._entry(net, job, expected)
                for name, net in nets.items()
                if job in net.jobs
            }
            if job == "call":
                entries[FORWARD] = self._entry(self._mlpcore(case), "forward", expected)
            if job == "adam_step":
                entries[SGD_STEP] = self._entry(self._mlpcore(case), "sgd_step", expected)
            if self.machine.n_threads > 1:
                entries[ONE_THREAD] = self._entry(self._mlpcore(case, 1), job, expected)
            yield self._result("peers", case, job, entries, self._limits(case, job))

    def derivatives(self, case: Case, jobs: Iterable[str] = DERIVATIVES) -> Iterator[Result]:
        """mlpcore beside the peers that can be asked for derivatives; a Hessian's by a gradient."""
        jobs = tuple(jobs)
        expected = Expected(case)
        able = {name: peer for name, peer in self.peers.items() if peer.derivative_jobs}
        nets = {name: peer(case, self.machine.n_threads) for name, peer in able.items()}
        for net in nets.values():
            verify(net, jobs, expected)
        for job in jobs:
            entries = {name: self._entry(net, job, expected) for name, net in nets.items()}
            if job == "hvp":
                entries[GRADIENT] = self._entry(self._mlpcore(case), "value_and_grad", expected)
            yield self._result("derivatives", case, job, entries, {})

    def activations(self, case: Case, jobs: Iterable[str]) -> Iterator[Result]:
        """Hidden activations beside ReLU, in nets that are otherwise the same."""
        cases = {name: case._replace(hidden_activation=name) for name in ACTIVATIONS}
        yield from self._among(cases, jobs, "activations", RELU, cases["relu"])

    def odd(self, case: Case, jobs: Iterable[str]) -> Iterator[Result]:
        """A net beside the one with every size rounded up."""
        yield from self._among({"odd": case}, jobs, "odd", NEIGHBOUR, neighbour(case))

    def _among(
        self, cases: dict[str, Case], jobs: Iterable[str], question: str, other: str, base: Case
    ) -> Iterator[Result]:
        jobs = tuple(jobs)
        nets = {}
        for name, case in {**cases, other: base}.items():
            expected = Expected(case)
            nets[name] = self._mlpcore(case), expected
            verify(nets[name][0], jobs, expected)
        for job in jobs:
            for name, case in cases.items():
                if case == base:
                    continue
                chosen = {"mlpcore": nets[name], other: nets[other]}
                entries = {key: self._entry(net, job, data) for key, (net, data) in chosen.items()}
                yield self._result(question, case, job, entries, {})

    def _mlpcore(self, case: Case, n_threads: int | None = None) -> Peer:
        return load("mlpcore")(case, self.machine.n_threads if n_threads is None else n_threads)

    def _entry(self, net: Peer, job: str, expected: Expected) -> Entry:
        case = net.case
        data: tuple[Any, Any] = (expected.x, expected.y)
        if is_epoch(job):
            data = case.make_batch(n_epoch_steps(case) * case.batch_size)
        net.reset(expected.parameters, TIMED_LEARNING_RATE)
        call = partial(getattr(net, job), *net.prepare(job, *data))
        return Entry(call, net.before_slice)

    def _limits(self, case: Case, job: str) -> dict[str, Callable[[], float]]:
        """What a case is held against, besides the peak."""
        limits: dict[str, Callable[[], float]] = {}
        if case.size_class == "row" and job == "forward":
            n_bytes = parameter_bytes(case)
            level = self.machine.level_of(n_bytes)
            limits["read"] = partial(self.machine.read, n_bytes)
            limits[level] = partial(self.machine.read, self.machine.typical_bytes(level))
        if case.size_class == "large" and job == "adam_step":
            # Two moments, which a step of SGD does not have.
            limits["update"] = partial(self.machine.update, 2 * 4 * n_parameters(case))
        return limits

    def _result(
        self,
        question: str,
        case: Case,
        job: str,
        entries: dict[str, Entry],
        limits: dict[str, Callable[[], float]],
    ) -> Result:
        timed = self.clock.interleave(entries, self.budget, limits)
        n_steps = n_epoch_steps(case) if is_epoch(job) else 1
        timings = {name: timing.divided_by(n_steps) for name, timing in timed.timings.items()}
        return Result(
            question,
            case,
            job,
            self.machine.n_threads,
            timings,
            timed.limits,
            timed.n_disturbed,
            timed.steady,
        )


def level_of(result: Result) -> str:
    """The level whose bandwidth was measured with a result."""
    return next(level for level in LEVELS if level in result.limits)
