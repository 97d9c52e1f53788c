# SPDX-License-Identifier: BSD-3-Clause
"""One fit, several, or a file in between: the same bits for every way to train."""

import math

import numpy as np
import pytest

import mlpcore
from mlpcore import schedules

EPOCHS = 6
X = np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32)
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)


def by_hand(epoch):
    return 0.02 / (1 + epoch)


# Their lengths are given: without one, the first `fit` decides.
SCHEDULES = {
    "none": None,
    "constant": schedules.Constant(),
    "step": schedules.Step(2, 0.5),
    "exponential": schedules.Exponential(0.8),
    "cosine": schedules.Cosine(EPOCHS, warmup=1),
    "one-cycle": schedules.OneCycle(EPOCHS),
    "plateau": schedules.ReduceOnPlateau(2, 0.5, min_delta=0.05),
    "function": by_hand,
}
OPTIMIZERS = {
    "sgd": lambda: mlpcore.SGD(0.05),
    "momentum": lambda: mlpcore.SGD(0.05, momentum=0.9),
    "nesterov": lambda: mlpcore.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda: mlpcore.Adam(0.01, clip_norm=0.5),
    "adamw": lambda: mlpcore.AdamW(0.01, l1=1e-3),
    "rmsprop": lambda: mlpcore.RMSprop(0.01),
    "rmsprop, momentum": lambda: mlpcore.RMSprop(0.01, momentum=0.5),
}
STOPPING = {
    "no stopping": None,
    "best restored": mlpcore.EarlyStopping(3, min_delta=0.01),
    "latest kept": mlpcore.EarlyStopping(3, min_delta=0.01, restore_best=False),
    "stops soon": mlpcore.EarlyStopping(2, min_delta=10.0),
}


def make_trainer(optimizer, schedule):
    net = mlpcore.MLP([3, 8, 2], activations="tanh", seed=0)
    options = {"schedule": SCHEDULES[schedule], "dropout": 0.2, "seed": 7, "batch_size": 16}
    return mlpcore.Trainer(net, "mse", OPTIMIZERS[optimizer](), **options)


def fit(trainer, epochs, stopping, **options):
    validation = (X[:20], Y[:20])
    rule = STOPPING[stopping]
    trainer.fit(X, Y, epochs=epochs, validation=validation, early_stopping=rule, **options)


def state_of(trainer):
    optimizer, best = trainer.optimizer, trainer._state.best
    arrays = [trainer.net.parameters, optimizer.first_moment, optimizer.second_moment]
    kept = None
    if best is not None:
        arrays += [best.parameters, best.latest]
        kept = (best.rule, best.value, best.epochs_since, best.has_stopped)
    rows = [{key: row[key] for key in row if key != "seconds"} for row in trainer.history]
    return (
        [None if array is None else array.tobytes() for array in arrays],
        (repr(optimizer), optimizer.n_steps, optimizer._scheduled_rate),
        (rows, trainer.n_epochs, kept, trainer._rates.state),
    )


@pytest.mark.parametrize("stopping", STOPPING)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fits_in_parts_and_from_files_are_one(optimizer, schedule, stopping, tmp_path):
    whole = make_trainer(optimizer, schedule)
    fit(whole, EPOCHS, stopping)
    if stopping == "stops soon":
        assert whole.n_epochs == 3
    expected = state_of(whole)
    assert math.isfinite(whole.history[-1]["loss"])
    schedule_given = by_hand if schedule == "function" else None
    for n_first in range(1, whole.n_epochs):
        parts = make_trainer(optimizer, schedule)
        fit(parts, n_first, stopping)
        trainers = [parts]
        if n_first == 2:  # a disk takes its time
            parts.save(tmp_path / "between")
            trainers += [mlpcore.Trainer.load(tmp_path / "between", schedule=schedule_given)]
        for trainer in trainers:
            fit(trainer, EPOCHS - n_first, stopping)
            assert state_of(trainer)[:2] == expected[:2]
            got, want = state_of(trainer)[2], expected[2]
            assert got[:3] == want[:3]
            # How long the first fit was is remembered for schedules that ask for it.
            assert got[3].scale == want[3].scale
            assert (got[3].best, got[3].epochs_since, got[3].reduced) == (
                (want[3].best, want[3].epochs_since, want[3].reduced)
            )
