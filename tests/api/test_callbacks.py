# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks, the history, its picture and the progress bar."""

import pickle
import sys
import time

import numpy as np
import pytest
from regression import make_net, make_trainer, regression_data

import mlpcore
from mlpcore import losses
from mlpcore.history import History

# ---- callbacks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["net", "loss", "optimizer", "shuffle", "seed", "n_threads", "history", "n_epochs"]
)
def test_what_a_trainer_was_made_with_is_read_only(name):
    trainer = make_trainer()
    with pytest.raises(AttributeError):
        setattr(trainer, name, getattr(trainer, name))


def test_a_callback_may_change_the_batch_size_and_is_checked():
    x, y = regression_data()
    trainer = make_trainer()

    def change(state):
        for bad in (0, -1, 2.5, None):
            with pytest.raises((ValueError, TypeError), match=r"^batch_size: expected"):
                state.trainer.batch_size = bad
        state.trainer.batch_size = 10

    trainer.fit(x, y, epochs=2, callbacks=[change])
    assert trainer.optimizer.n_steps == 3 + 7


@pytest.mark.parametrize("batch_size", [71, 2**31, 2**64, 10**30])
@pytest.mark.parametrize("as_callable", [False, True])
def test_a_batch_larger_than_the_data_is_all_of_them(batch_size, as_callable):
    x, y = regression_data()
    mse = losses.MSE()
    loss = (lambda y_hat, y: (mse(y_hat, y), mse.gradient(y_hat, y))) if as_callable else mse
    trainer = mlpcore.Trainer(make_net(), loss, mlpcore.SGD(0.1), batch_size=batch_size)
    trainer.fit(x, y, epochs=2)
    assert trainer.optimizer.n_steps == 2


@pytest.mark.parametrize("spoiled", [-1, 3, 2**62])
def test_classes_that_a_callback_changes_are_those_of_the_call(spoiled):
    x, _ = regression_data()
    nets = []
    for spoil in (False, True):
        y = np.arange(len(x)) % 2
        held_out = y.copy()

        def change(state, y=y, held_out=held_out, spoil=spoil):
            if spoil:
                y[:] = held_out[:] = spoiled

        net = make_net()
        trainer = mlpcore.Trainer(net, "cross_entropy", mlpcore.Adam(1e-2), seed=0)
        history = trainer.fit(x, y, epochs=3, validation=(x, held_out), callbacks=[change])
        nets.append((net, [row["validation_loss"] for row in history]))
    assert nets[0] == nets[1]


def test_callback_sees_the_epoch_and_may_change_what_it_sees():
    x, y = regression_data()
    seen = []

    def callback(state):
        seen.append(state.epoch)
        assert state.trainer is trainer
        assert state.net is trainer.net
        assert state.optimizer is trainer.optimizer
        assert state.row is trainer.history[-1]
        state.row["learning_rate"] = state.optimizer.learning_rate
        state.optimizer.learning_rate /= 2

    trainer = make_trainer()
    history = trainer.fit(x, y, epochs=3, callbacks=[callback])
    assert seen == [1, 2, 3]
    assert [row["learning_rate"] for row in history] == [0.01, 0.005, 0.0025]


@pytest.mark.parametrize(("value", "n_epochs"), [(True, 1), (np.True_, 1), (1, 4), ("on", 4)])
def test_only_true_stops(value, n_epochs):
    x, y = regression_data()
    calls = []
    callbacks = [lambda _: value, calls.append]
    assert len(make_trainer().fit(x, y, epochs=4, callbacks=callbacks)) == n_epochs
    assert len(calls) == n_epochs


def test_exception_of_a_callback_comes_out_and_training_can_go_on():
    x, y = regression_data()

    def fail(state):
        if state.epoch == 2:
            raise RuntimeError("from the callback")

    trainer = make_trainer()
    with pytest.raises(RuntimeError, match="from the callback"):
        trainer.fit(x, y, epochs=5, callbacks=[fail])
    assert trainer.n_epochs == len(trainer.history) == 2
    trainer.fit(x, y, epochs=3)
    whole = make_trainer()
    whole.fit(x, y, epochs=5)
    assert trainer.net == whole.net


# ---- history and progress ------------------------------------------------------------------------


def test_history_is_a_list_of_dictionaries():
    x, y = regression_data()
    start = time.perf_counter()
    history = make_trainer().fit(x, y, epochs=2, validation=(x, y))
    elapsed = time.perf_counter() - start
    assert isinstance(history, list)
    keys = ["epoch", "learning_rate", "loss", "seconds", "validation_loss"]
    assert [sorted(row) for row in history] == [keys] * 2
    assert 0 < sum(row["seconds"] for row in history) < elapsed
    assert all(type(row["loss"]) is float for row in history)
    copied = pickle.loads(pickle.dumps(history))
    assert copied == history
    assert type(copied) is History


class RecordingAxes:
    """Stands in for matplotlib's, and remembers what was drawn."""

    def __init__(self):
        self.lines = {}

    def plot(self, x, y, label):
        self.lines[label] = (x, y)

    def set_xlabel(self, text): ...
    def set_ylabel(self, text): ...
    def legend(self): ...


def test_plot_draws_every_loss_there_is():
    rows = [{"epoch": 1, "loss": 3.0, "validation_loss": 4.0}, {"epoch": 2, "loss": 2.0}]
    ax = RecordingAxes()
    assert History(rows).plot(ax) is ax
    assert ax.lines == {"training": ([1, 2], [3.0, 2.0]), "validation": ([1], [4.0])}
    assert History().plot(RecordingAxes()).lines == {}


def test_plot_without_matplotlib_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        History().plot()


def test_progress_without_tqdm_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    x, y = regression_data()
    make_trainer().fit(x, y, epochs=3, validation=(x, y), progress=True)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.endswith("\n")
    assert output.err.count("\n") == 1
    assert "3/3" in output.err.rpartition("\r")[2]
    assert "validation_loss=" in output.err


def test_progress_with_tqdm(capsys):
    pytest.importorskip("tqdm")
    x, y = regression_data()
    make_trainer().fit(x, y, epochs=3, progress=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize("progress", [False, None])
def test_no_progress_where_nobody_looks(progress, capsys):
    x, y = regression_data()
    make_trainer().fit(x, y, epochs=2, progress=progress)
    assert capsys.readouterr().err == ""


def test_progress_line_ends_when_training_fails(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    x, y = regression_data()

    def fail(state):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make_trainer().fit(x, y, epochs=3, callbacks=[fail], progress=True)
    assert capsys.readouterr().err.endswith("\n")
