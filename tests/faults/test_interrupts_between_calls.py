# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C in the Python of `fit`, after each of its calls in turn: nothing is half done.

The interpreter looks for signals after a call, so that these are the moments when one can be heard
outside the core. A profiler knows them all, and raises what a signal would.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import schedules

PACKAGE = str(Path(mlpcore.__file__).parent)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3), np.float32)
Y = np.tanh(X[:, :2])
EPOCHS = 3


def interrupted(call, n_calls):
    """Whether Ctrl-C after so many calls from within the package cut `call` short."""
    n_left = n_calls

    def profiler(frame, event, argument):
        nonlocal n_left
        caller = frame if event == "c_return" else frame.f_back
        if event not in ("return", "c_return") or caller is None:
            return
        if caller.f_code.co_filename.startswith(PACKAGE):
            n_left -= 1
            if n_left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(profiler)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def by_hand(y_hat, y):
    return float(((y_hat - y) ** 2).mean()), 2 * (y_hat - y) / y.size


# Blocks are read by a thread, whose end is told to a callback where exceptions are lost: not here.
CASES = {
    "plateau, early stopping": (
        "mse",
        {"schedule": schedules.ReduceOnPlateau(1, 0.5, monitor="loss", min_delta=1.0)},
        {"validation": (X[:5], Y[:5]), "early_stopping": mlpcore.EarlyStopping(99)},
    ),
    "a rate for each step": ("mse", {"schedule": schedules.Cosine(EPOCHS + 1)}, {}),
    "a function as loss": (by_hand, {}, {}),
}


def make_trainer(loss, options):
    net = mlpcore.MLP([3, 4, 2], activations="tanh", seed=0)
    return mlpcore.Trainer(net, loss, mlpcore.Adam(1e-2), 8, seed=3, **options)


def all_of(trainer):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in trainer.history]
    optimizer = trainer.optimizer
    moments = optimizer.first_moment.tobytes(), optimizer.second_moment.tobytes()
    return rows, trainer.net.parameters.tobytes(), moments, optimizer.n_steps


@pytest.mark.parametrize("case", CASES)
def test_after_any_call_it_goes_on_with_the_same_bits(case):
    loss, options, fit_options = CASES[case]
    whole = make_trainer(loss, options)
    whole.fit(X, Y, epochs=EPOCHS, **fit_options)
    whole.fit(X, Y, epochs=1, **fit_options)
    n_calls, n_epochs_seen = 0, set()
    while True:
        n_calls += 1
        trainer = make_trainer(loss, options)
        was_cut = interrupted(lambda: trainer.fit(X, Y, epochs=EPOCHS, **fit_options), n_calls)
        assert len(trainer.history) == trainer.n_epochs
        n_epochs_seen.add(trainer.n_epochs)
        trainer.fit(X, Y, epochs=EPOCHS + 1 - trainer.n_epochs, **fit_options)
        assert all_of(trainer) == all_of(whole), n_calls
        if not was_cut:
            break
    assert n_epochs_seen == set(range(EPOCHS + 1))
    assert n_calls > 100
