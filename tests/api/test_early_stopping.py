# SPDX-License-Identifier: BSD-3-Clause
"""Rows that are not learnt from, and training that stops when they are no longer fitted better."""

import numpy as np
import pytest
from regression import make_trainer, regression_data, script_losses

import mlpcore


def test_validation_loss_is_that_of_the_epochs_last_parameters():
    x, y = regression_data()
    plain, validated = make_trainer(), make_trainer()
    plain.fit(x, y, epochs=2)
    history = validated.fit(x, y, epochs=2, validation=(x[:10], y[:10]))
    assert validated.net == plain.net
    expected, _ = plain.net.value_and_grad(x[:10], y[:10], "mse")
    assert history[-1]["validation_loss"] == expected
    assert "validation_loss" not in plain.history[0]


def parameters_after_each_epoch(kept):
    return lambda state: kept.append(state.net.parameters.copy())


@pytest.mark.parametrize(
    ("values", "options", "n_epochs", "best"),
    [
        ([3, 2, 2, 2, 1], {"patience": 2}, 4, 2),
        ([3, 2, 2, 1, 1, 1, 0], {"patience": 2}, 6, 4),
        ([3, 2.5, 2.0, 1.9], {"patience": 1, "min_delta": 0.6}, 2, 1),
        ([3, 2, 1], {"patience": 5}, 3, 3),
        ([3, 2, float("nan"), float("nan"), 1], {"patience": 2}, 4, 2),
    ],
)
def test_early_stopping_stops_and_restores(monkeypatch, values, options, n_epochs, best):
    script_losses(monkeypatch, values)
    x, y = regression_data()
    kept = []
    trainer = make_trainer()
    history = trainer.fit(
        x,
        y,
        epochs=len(values),
        validation=(x, y),
        early_stopping=mlpcore.EarlyStopping(**options),
        callbacks=[parameters_after_each_epoch(kept)],
    )
    assert len(history) == n_epochs
    np.testing.assert_array_equal(trainer.net.parameters, kept[best - 1])


def test_early_stopping_keeps_the_last_parameters_if_asked(monkeypatch):
    script_losses(monkeypatch, [1, 2, 3])
    x, y = regression_data()
    kept = []
    trainer = make_trainer()
    rule = mlpcore.EarlyStopping(patience=2, restore_best=False)
    callbacks = [parameters_after_each_epoch(kept)]
    trainer.fit(x, y, epochs=9, validation=(x, y), early_stopping=rule, callbacks=callbacks)
    assert len(kept) == 3
    np.testing.assert_array_equal(trainer.net.parameters, kept[-1])


def test_early_stopping_of_the_training_loss():
    x, y = regression_data()
    trainer = make_trainer(optimizer=mlpcore.SGD(1e-30))
    rule = mlpcore.EarlyStopping(patience=3, min_delta=0.1, monitor="loss")
    assert len(trainer.fit(x, y, epochs=50, early_stopping=rule)) == 4


def test_best_parameters_are_those_before_a_callback_touched_them(monkeypatch):
    script_losses(monkeypatch, [1, 2])
    x, y = regression_data()

    def spoil(state):
        state.net.parameters[:] = 0.0

    trainer = make_trainer()
    rule = mlpcore.EarlyStopping(patience=1)
    trainer.fit(x, y, epochs=2, validation=(x, y), early_stopping=rule, callbacks=[spoil])
    assert np.all(trainer.net.weights[0] != 0.0)
