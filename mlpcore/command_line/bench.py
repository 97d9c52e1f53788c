# SPDX-License-Identifier: BSD-3-Clause
"""Measure how fast a net is here, beside NumPy and the peak of one processor.

A net with ReLU between its layers, in float32 and on one thread: its output, and a step of SGD on
the mean squared error. The same is written in NumPy and compared before anything is timed. The peak
is measured in the same rounds: multiply-adds from registers, with the vectors that mlpcore uses.
The figures are of the quickest round. A BLAS whose threads are set in the environment keeps them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

import mlpcore

from .. import _core
from .arguments import whole_numbers

if TYPE_CHECKING:
    from .._core import Array

N_ROUNDS = 9
SLICE_SECONDS = 4e-3
LEARNING_RATE = 1e-3
# What NumPy's BLAS, whichever it is, reads when it is loaded.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command understands."""
    parser.add_argument(
        "--sizes",
        default=[32, 64, 64, 1],
        type=whole_numbers("32,64,64,1"),
        help="layer sizes, inputs first (default: 32,64,64,1)",
    )
    parser.add_argument(
        "--batches",
        default=[1, 32, 256],
        type=whole_numbers("1,32,256"),
        metavar="SIZES",
        help="rows of a call (default: 1,32,256)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print as it goes."""
    sizes = arguments.sizes
    if len(sizes) < 2:
        raise argparse.ArgumentError(None, f"--sizes: expected two sizes or more, got {sizes[0]}")
    if not any(name in os.environ for name in BLAS_THREADS):
        in_a_process_of_one_thread(arguments)
        return
    n_threads = mlpcore.get_n_threads()
    mlpcore.set_n_threads(1)
    try:
        print(f"mlpcore {mlpcore.__version__} ({mlpcore.cpu.isa()}), NumPy {np.__version__}")
        print(f"net {'-'.join(map(str, sizes))}, ReLU, float32, one thread")
        print()
        print(f"{'rows':>6}  {'':8} {'time':>10} {'of the peak':>12} {'NumPy takes':>12}")
        for n_rows in arguments.batches:
            print("\n".join(lines(sizes, n_rows)), flush=True)
    finally:
        mlpcore.set_n_threads(n_threads)


def in_a_process_of_one_thread(arguments: argparse.Namespace) -> None:
    """Measure in another process: NumPy is loaded here, and has its threads already."""
    sizes, batches = (",".join(map(str, each)) for each in (arguments.sizes, arguments.batches))
    command = [sys.executable, "-m", "mlpcore", "bench", "--sizes", sizes, "--batches", batches]
    finished = subprocess.run(command, env=os.environ | dict.fromkeys(BLAS_THREADS, "1"))
    if finished.returncode != 0:
        raise ValueError("the process that measures ended before it was done")


def lines(sizes: Sequence[int], n_rows: int) -> list[str]:
    """The figures of one batch."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_rows, sizes[0])).astype(np.float32)
    y = rng.standard_normal((n_rows, sizes[-1])).astype(np.float32)
    net = mlpcore.MLP(sizes, "relu", seed=0)
    rival = NumPyNet(net)
    sgd = mlpcore.SGD(LEARNING_RATE)
    compare(net, rival, x, y, sgd)
    calls: list[Callable[[], object]] = [
        partial(net, x),
        partial(rival.forward, x),
        partial(net.train_step, x, y, "mse", sgd),
        partial(rival.train_step, x, y),
    ]
    seconds, peak = measure(calls)
    products = n_rows * sum(n * m for n, m in pairwise(sizes))
    # A step has three products for each layer, but the first, whose inputs need no gradient.
    work = {"forward": 2 * products, "step": 6 * products - 2 * n_rows * sizes[0] * sizes[1]}
    found = []
    for (what, flops), ours, theirs in zip(work.items(), seconds[::2], seconds[1::2], strict=True):
        found.append(
            f"{n_rows:6}  {what:8} {1e6 * ours:7.2f} µs {flops / ours / peak:12.0%} "
            f"{theirs / ours:11.1f}×"
        )
    return found


def measure(calls: Sequence[Callable[[], object]]) -> tuple[list[float], float]:
    """The fewest seconds of each call, and multiplications and additions a second at most."""
    peaks: list[float] = []
    times: list[list[float]] = [[] for _ in calls]
    n_repeats = [repeats(partial(repeat, call)) for call in calls]
    n_rounds = repeats(multiply_adds)
    for _ in range(N_ROUNDS):
        # In turns, so that a disturbance hits all of them.
        peaks.append(multiply_adds(n_rounds)[1])
        for call, n, found in zip(calls, n_repeats, times, strict=True):
            found.append(repeat(call, n)[0] / n)
    return [min(found) for found in times], max(peaks)


def repeat(call: Callable[[], object], n: int) -> tuple[float, None]:
    """Seconds of n calls."""
    start = time.perf_counter()
    for _ in range(n):
        call()
    return time.perf_counter() - start, None


def multiply_adds(n: int) -> tuple[float, float]:
    """Seconds of n rounds, and multiplications and additions a second."""
    start = time.perf_counter()
    count = _core.multiply_adds("float32", n)
    seconds = time.perf_counter() - start
    return seconds, 2.0 * count / max(seconds, 1e-9)


def repeats(run: Callable[[int], tuple[float, object]]) -> int:
    """How often something has to be done to take a slice's time."""
    n = 1
    while (seconds := run(n)[0]) < SLICE_SECONDS / 2:
        n *= 2
    return max(1, round(n * SLICE_SECONDS / seconds))


def compare(net: mlpcore.MLP, rival: "NumPyNet", x: "Array", y: "Array", sgd: mlpcore.SGD) -> None:
    """Both compute the same, or there is nothing to compare."""
    np.testing.assert_allclose(net(x), rival.forward(x), rtol=1e-3, atol=1e-4)
    net.train_step(x, y, "mse", sgd)
    rival.train_step(x, y)
    for ours, theirs in zip(net.weights, rival.weights, strict=True):
        np.testing.assert_allclose(ours.T, theirs, rtol=1e-3, atol=1e-5)


class NumPyNet:
    """The net as one would write it in NumPy with care for speed: in place where it can be."""

    def __init__(self, net: mlpcore.MLP) -> None:
        self.weights = [np.ascontiguousarray(weight.T) for weight in net.weights]
        self.biases = [np.array(bias) for bias in net.biases]

    def layers(self, x: "Array") -> list["Array"]:
        """Inputs of each layer, and the output."""
        found = [x]
        last = len(self.weights) - 1
        for l, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = found[-1] @ weight
            z += bias
            found.append(np.maximum(z, 0.0, out=z) if l < last else z)
        return found

    def forward(self, x: "Array") -> "Array":
        """The output."""
        return self.layers(x)[-1]

    def train_step(self, x: "Array", y: "Array") -> float:
        """One step of SGD on the mean squared error, which is returned."""
        *inputs, y_hat = self.layers(x)
        error = y_hat - y
        loss = float(np.vdot(error, error)) / error.size
        delta = error
        delta *= np.float32(2.0 / error.size)
        for l in range(len(self.weights) - 1, -1, -1):
            below = delta @ self.weights[l].T if l > 0 else delta
            gradient = inputs[l].T @ delta
            gradient *= np.float32(LEARNING_RATE)
            self.weights[l] -= gradient
            self.biases[l] -= np.float32(LEARNING_RATE) * delta.sum(axis=0)
            delta = below
            if l > 0:
                delta *= inputs[l] > 0.0
        return loss
