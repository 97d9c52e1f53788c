# SPDX-License-Identifier: BSD-3-Clause
"""Trains until SIGINT comes, compares with undisturbed updates, and begins again when told to.

Usage: interrupted.py KIND FOLDER. Says "fits" when training begins, "same" and the time at which
Ctrl-C came out of it when every bit was found right, and "finished" when a last epoch was, too.
"""

import os
import signal
import sys
import time

import numpy as np

import mlpcore
from mlpcore import _core

KIND, FOLDER = sys.argv[1:]
MSE = mlpcore.losses.MSE()


def by_hand(y_hat, y):
    return MSE(y_hat, y), MSE.gradient(y_hat, y)


# sizes, rows, batch_size, block_rows
WHAT = {
    "tiny": ([2, 20, 5], 40_000, 1, None),
    "rows": ([20, 60, 5], 20_000, 1, None),
    "bounded rows": ([20, 64, 64, 5], 20_000, 1, None),
    "wide": ([784, 512, 512, 10], 4096, 512, None),
    "threads": ([784, 512, 512, 10], 4096, 512, None),
    "callable": ([20, 64, 2], 2000, 32, None),
    "blocks": ([20, 64, 2], 20_000, 16, 3000),
    "batches": ([20, 64, 2], 20_000, 16, 3000),
    "validation": ([20, 600, 2], 640, 16, None),
}
SIZES, N_ROWS, BATCH_SIZE, BLOCK_ROWS = WHAT[KIND]

rng = np.random.default_rng(0)
x = rng.standard_normal((N_ROWS, SIZES[0])).astype(np.float32)
y = np.tanh(x[:, :1] + np.linspace(-1.0, 1.0, SIZES[-1], dtype=np.float32))
validation = None
if KIND == "validation":
    held_out = rng.standard_normal((50_000, SIZES[0])).astype(np.float32)
    validation = (held_out, held_out[:, : SIZES[-1]])


def batches():
    for start in range(0, N_ROWS, BLOCK_ROWS):
        yield x[start : start + BLOCK_ROWS], y[start : start + BLOCK_ROWS]


if KIND == "blocks":
    for name, array in (("x", x), ("y", y)):
        array.tofile(os.path.join(FOLDER, name))
    rows = [
        np.memmap(os.path.join(FOLDER, name), np.float32, "r", shape=array.shape)
        for name, array in (("x", x), ("y", y))
    ]
    DATA, OPTIONS = rows, {"block_rows": BLOCK_ROWS}
elif KIND == "batches":
    DATA, OPTIONS = [batches], {}
else:
    DATA, OPTIONS = [x, y], {"validation": validation}


def make_trainer(n_threads):
    net = mlpcore.MLP(SIZES, activations="tanh", seed=0)
    loss = by_hand if KIND == "callable" else "mse"
    is_plain = "rows" in KIND  # such steps keep no books
    optimizer = mlpcore.SGD(1e-3) if is_plain else mlpcore.Adam(1e-3)
    options = {"dropout": 0.0 if is_plain else 0.2, "seed": 5, "n_threads": n_threads}
    return mlpcore.Trainer(net, loss, optimizer, BATCH_SIZE, **options)


def mini_batches():
    """The rows of each update, epoch after epoch, by the rule that the documentation gives."""
    epoch = 0
    while True:
        n_blocks = 1 if BLOCK_ROWS is None else -(-N_ROWS // BLOCK_ROWS)
        places = range(n_blocks)
        if KIND == "blocks":
            places = _core.permutation(_core.random_key(5, "blocks", 0), epoch, n_blocks)
        for place, block in enumerate(places):
            first = int(block) * (BLOCK_ROWS or 0)
            n_rows = min(BLOCK_ROWS or N_ROWS, N_ROWS - first)
            key = 5 if place == 0 else _core.random_key(5, "rows", place)
            order = first + _core.permutation(key, epoch, n_rows)
            for start in range(0, n_rows, BATCH_SIZE):
                yield order[start : start + BATCH_SIZE]
        epoch += 1


def n_steps_of_an_epoch():
    block_rows = BLOCK_ROWS or N_ROWS
    lengths = [min(block_rows, N_ROWS - first) for first in range(0, N_ROWS, block_rows)]
    return sum(-(-length // BATCH_SIZE) for length in lengths)


def assert_whole_updates(trainer, twin, remaining):
    """Let the twin catch up, update by update, and compare."""
    while twin.optimizer.n_steps < trainer.optimizer.n_steps:
        rows = next(remaining)
        twin.step(x[rows], y[rows])
    n_steps, n_epochs = trainer.optimizer.n_steps, trainer.n_epochs
    assert len(trainer.history) == n_epochs
    # After its last update an epoch still has its validation before it.
    assert 0 <= n_steps - n_epochs * n_steps_of_an_epoch() <= n_steps_of_an_epoch()
    assert trainer.net == twin.net
    for name in ("first_moment", "second_moment"):
        assert np.array_equal(getattr(trainer.optimizer, name), getattr(twin.optimizer, name))


def main():
    trainer, twin = make_trainer(2 if KIND == "threads" else 1), make_trainer(1)
    remaining = mini_batches()
    told = "again\n"
    while told:
        try:
            print("fits", flush=True)  # from here on SIGINT may come
            trainer.fit(*DATA, epochs=10**9, **OPTIONS)
        except KeyboardInterrupt:
            came = time.clock_gettime(time.CLOCK_MONOTONIC)
        assert_whole_updates(trainer, twin, remaining)
        print("same", came, flush=True)
        told = sys.stdin.readline()
    trainer.fit(*DATA, epochs=1, **OPTIONS)
    assert_whole_updates(trainer, twin, remaining)
    assert trainer.optimizer.n_steps == trainer.n_epochs * n_steps_of_an_epoch()
    print("finished", flush=True)


signal.signal(signal.SIGINT, signal.default_int_handler)
main()
