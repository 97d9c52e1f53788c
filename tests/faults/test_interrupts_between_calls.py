# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C in the Python of `fit`, after each of its calls in turn: nothing is half done.

The interpreter looks for signals after a call, so that these are the moments when one can be heard
outside the core. A profiler knows them all, and raises what a signal would.
"""

import inspect
import sys
import time
import warnings
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import schedules
from mlpcore.read_ahead import read_ahead

PACKAGE = str(Path(mlpcore.__file__).parent)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3), np.float32)
Y = np.tanh(X[:, :2])
EPOCHS = 3


def interrupted(call, n_calls, where=PACKAGE):
    """Whether Ctrl-C after so many calls, from code in this folder, cut `call` short."""
    n_left = n_calls

    def profiler(frame, event, argument):
        nonlocal n_left
        caller = frame if event == "c_return" else frame.f_back
        if event not in ("return", "c_return") or caller is None:
            return
        if event == "return" and frame.f_code.co_flags & inspect.CO_GENERATOR:
            return  # what a profiler raises at a yield does not come to the `finally` around it
        if caller.f_code.co_filename.startswith(where):
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


CASES = {
    "plateau, early stopping": (
        "mse",
        {"schedule": schedules.ReduceOnPlateau(1, 0.5, monitor="loss", min_delta=1.0)},
        {"validation": (X[:5], Y[:5]), "early_stopping": mlpcore.EarlyStopping(99)},
    ),
    "a rate for each step": ("mse", {"schedule": schedules.Cosine(EPOCHS + 1)}, {}),
    "a function as loss": (by_hand, {}, {}),
    "blocks": ("mse", {}, {"block_rows": 8}),
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
        fit = partial(trainer.fit, X, Y, epochs=EPOCHS, **fit_options)
        was_cut = interrupted(fit, n_calls)
        assert len(trainer.history) == trainer.n_epochs
        n_epochs_seen.add(trainer.n_epochs)
        trainer.fit(X, Y, epochs=EPOCHS + 1 - trainer.n_epochs, **fit_options)
        assert all_of(trainer) == all_of(whole), n_calls
        if not was_cut:
            break
    assert n_epochs_seen == set(range(EPOCHS + 1))
    assert n_calls > 100


def test_the_thread_that_reads_ahead_always_ends_and_nothing_waits_for_ever():
    class Items:
        """What the thread holds on to."""

        def __init__(self):
            self.items = iter(range(3))

        def __next__(self):
            return next(self.items)

    n_calls, was_cut = 0, True
    while was_cut:
        n_calls += 1
        items = Items()
        was_cut = interrupted(partial(list, read_ahead(items)), n_calls, where="")
        held = weakref.ref(items)
        del items
        deadline = time.monotonic() + 5.0
        while held() is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert held() is None, n_calls
    assert n_calls > 10


def test_an_estimators_curves_have_each_epoch_that_was_made():
    whole = mlpcore.MLPRegressor(hidden_layer_sizes=(4,), max_iter=EPOCHS, random_state=0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        whole.fit(X, Y, validation_data=(X[:5], Y[:5]))
    n_calls, n_epochs_seen = 0, set()
    while EPOCHS not in n_epochs_seen:
        n_calls += 1
        model = mlpcore.MLPRegressor(**whole.get_params())
        fit = partial(model.fit, X, Y, validation_data=(X[:5], Y[:5]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if interrupted(fit, n_calls):  # before the first epoch, or after the last
                continue
        n_epochs = model.n_iter_
        assert len(model.history_) == len(model.loss_curve_) == n_epochs, n_calls
        assert model.loss_curve_ == whole.loss_curve_[:n_epochs]
        assert model.validation_scores_ == whole.validation_scores_[:n_epochs]
        assert model.t_ == n_epochs * len(X)
        assert model.best_validation_score_ == max([-np.inf, *model.validation_scores_])
        n_epochs_seen.add(n_epochs)
    assert n_epochs_seen == set(range(EPOCHS + 1))
