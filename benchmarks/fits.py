# SPDX-License-Identifier: BSD-3-Clause
"""Whole fits: from parameters and rows to parameters, with the peak of the memory.

Each library does each fit in a process of its own, so that a peak is its own: once to compile and
to warm up, then some times that count. All begin with the same parameters and take the rows in the
same orders, so that the loss afterwards has to be the same; scikit-learn draws both by itself.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cases import MNIST, Array, Case

ROOT = Path(__file__).parents[1]
SEED = 0
LEARNING_RATE = 1e-3
# Beside mlpcore's loss after the fit. Hundreds of updates make of a rounding error what they like;
# with a start and orders of its own, a loss near 0 has the right magnitude at best.
LOSS_TOLERANCE, OWN_DRAWS_FACTOR = 0.02, 4.0
# Whichever is more.
N_TIMES, N_SECONDS = 5, 3.0


class Fit(NamedTuple):
    """So many epochs of a case's mini-batches, by Adam; `peers` can do it."""

    case: Case
    n_rows: int
    n_epochs: int
    peers: tuple[str, ...]


class Fitted(NamedTuple):
    """A fit by one library: seconds of an epoch, the loss afterwards, bytes at the peak.

    The bytes are those of the process, libraries and all, less those of the rows.
    """

    name: str
    net: str
    batch_size: int
    n_rows: int
    n_epochs: int
    n_threads: int
    seconds: float
    loss: float
    peak_bytes: int


_DIGITS = Case("digits", "fit", (64, 64, 10), "relu", "identity", "cross_entropy", 32)
_MNIST = Case("mnist", "fit", *MNIST, 128)
FITS = {
    "digits": Fit(_DIGITS, 1797, 50, ("sklearn", "torch", "jax")),
    "mnist": Fit(_MNIST, 60_000, 1, ("sklearn", "torch", "torch_compile", "jax")),
}


def make_rows(fit: Fit) -> tuple[Array, NDArray[np.int64]]:
    """Images of as many classes: a pattern for each, dimmed and noisy, most of it dark."""
    n_pixels, n_classes = fit.case.sizes[0], fit.case.sizes[-1]
    rng = np.random.default_rng(SEED)
    patterns = np.maximum(rng.standard_normal((n_classes, n_pixels), np.float32), 0.0)
    y = rng.integers(n_classes, size=fit.n_rows)
    # At a multiple of 64 bytes, where JAX takes it as it is; without copies, for the peak's sake.
    space = np.empty(fit.n_rows * n_pixels + 16, np.float32)
    begin = -(space.ctypes.data // 4) % 16
    x = space[begin : begin + fit.n_rows * n_pixels].reshape(fit.n_rows, n_pixels)
    for start in range(0, fit.n_rows, 1000):
        rows = slice(start, start + 1000)
        x[rows] = patterns[y[rows]] * rng.uniform(0.2, 1.0, (len(y[rows]), 1))
        x[rows] += 0.7 * rng.standard_normal(x[rows].shape, np.float32)
        np.clip(x[rows], 0.0, 1.0, out=x[rows])
    return x, y


def orders(fit: Fit) -> list[NDArray[np.int64]]:
    """The rows of each epoch, as `Trainer` takes them."""
    from mlpcore import _core

    return [_core.permutation(SEED, epoch, fit.n_rows) for epoch in range(fit.n_epochs)]


def loss_of(parameters: Array, fit: Fit, x: Array, y: NDArray[np.int64]) -> float:
    """Cross-entropy of all rows, by mlpcore, piece by piece."""
    import mlpcore

    net = mlpcore.MLP(list(fit.case.sizes), fit.case.activations)
    net.parameters[:] = parameters
    pieces = [slice(i, i + 1000) for i in range(0, fit.n_rows, 1000)]
    losses = [mlpcore.losses.CrossEntropy(reduction="sum")(net(x[p]), y[p]) for p in pieces]
    return sum(losses) / fit.n_rows


def peak_bytes() -> int:
    """The most memory that this process has had.

    Raises
    ------
    RuntimeError
        Where nobody tells: getrusage counts what the process was before it became this program.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError("fits: expected Linux, whose /proc tells the peak of the memory")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def work(name: str, key: str, n_threads: int) -> Fitted:
    """Do one fit in this process."""
    from .peers import load
    from .peers.base import Learner
    from .verify import initial_parameters

    fit = FITS[key]
    x, y = make_rows(fit)
    peer = load(name)(fit.case, n_threads)
    assert isinstance(peer, Learner)  # FITS names no other
    arguments = peer.prepare("learn", x, y)
    rows_of_epochs = orders(fit)
    seconds: list[float] = []
    while len(seconds) < 1 + N_TIMES or sum(seconds[1:]) < N_SECONDS:
        peer.before_slice()
        peer.reset(initial_parameters(fit.case), LEARNING_RATE)
        start = time.perf_counter()
        peer.learn(*arguments, rows_of_epochs)
        seconds.append(time.perf_counter() - start)
    parameters, peak = peer.parameters, peak_bytes()
    return Fitted(
        name,
        fit.case.net,
        fit.case.batch_size,
        fit.n_rows,
        fit.n_epochs,
        n_threads,
        median(seconds[1:]) / fit.n_epochs,
        loss_of(parameters, fit, x, y),
        peak - x.nbytes,
    )


def measure(key: str, names: tuple[str, ...], n_threads: int) -> Iterator[Fitted]:
    """mlpcore's fit, then those of the peers; each is checked against mlpcore's.

    Raises
    ------
    RuntimeError
        If a library came to another loss, or could not do it.
    """
    expected = math.nan
    for name in ("mlpcore", *(name for name in FITS[key].peers if name in names)):
        command = [sys.executable, "-m", "benchmarks.fits", name, key, str(n_threads)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{key} by {name}: {done.stderr}")
        fitted = Fitted(**json.loads(done.stdout.splitlines()[-1]))
        if name == "mlpcore":
            expected = fitted.loss
        ratio = fitted.loss / expected
        tolerance = OWN_DRAWS_FACTOR if name == "sklearn" else 1.0 + LOSS_TOLERANCE
        if not 1.0 / tolerance <= ratio <= tolerance:
            raise RuntimeError(
                f"{key}: the loss after the fit is {fitted.loss:.4g} by {name}, "
                f"{expected:.4g} by mlpcore"
            )
        yield fitted


def main(arguments: list[str]) -> None:
    """What a process does: NAME KEY N_THREADS; prints a JSON object.

    The threads of the libraries, and its CPUs, it has from the process that starts it.
    """
    name, key, n_threads = arguments
    print(json.dumps(work(name, key, int(n_threads))._asdict()))


if __name__ == "__main__":
    main(sys.argv[1:])
