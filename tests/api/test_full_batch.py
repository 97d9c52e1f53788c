# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers that learn from all rows at once: what they share with the others as seen from fit."""

import copy
import os
import pickle
import signal
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from regression import make_net, regression_data, script_losses
from tolerances import FULL_BATCH_WEIGHTS, assert_close

import mlpcore
from mlpcore.full_batch import FullBatchOptimizer

needs_scipy = pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is optional")
makes = pytest.mark.parametrize(
    "make",
    [
        pytest.param(mlpcore.LBFGS, marks=needs_scipy, id="lbfgs"),
        pytest.param(
            lambda: mlpcore.LBFGS(history_size=3, tolerance=0.0, weight_decay=0.01, l2=1e-3),
            marks=needs_scipy,
            id="lbfgs decay",
        ),
        pytest.param(mlpcore.LevenbergMarquardt, id="lm"),
        pytest.param(
            lambda: mlpcore.LevenbergMarquardt(10.0, tolerance=0.0, weight_decay=0.01, l2=1e-3),
            id="lm decay",
        ),
    ],
)


def fit(make, *, net=None, data=None, epochs=6, trainer_options=None, **options):
    x, y = data or regression_data(dtype=np.float64)
    optimizer = make() if callable(make) else make
    net = net or make_net("float64")
    trainer = mlpcore.Trainer(net, "mse", optimizer, seed=0, **trainer_options or {})
    trainer.fit(x, y, epochs=epochs, **options)
    return trainer


# ---- the epoch -----------------------------------------------------------------------------------


@makes
def test_an_epoch_is_an_iteration_and_its_loss_that_of_the_parameters_it_ends_with(make, dtype):
    x, y = regression_data(dtype=dtype)
    kept = []
    trainer = fit(
        make,
        net=make_net(dtype),
        data=(x, y),
        validation=(x[:10], y[:10]),
        callbacks=[lambda state: kept.append(state.net.copy())],
    )
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4, 5, 6]
    assert trainer.n_epochs == trainer.optimizer.n_steps == 6
    assert trainer.net == kept[-1]
    assert trainer.net.dtype == dtype
    for row, net in zip(trainer.history, kept, strict=True):
        assert row["loss"] == net.value_and_grad(x, y, "mse")[0]
        assert row["validation_loss"] == net.value_and_grad(x[:10], y[:10], "mse")[0]
        assert row["seconds"] > 0
        assert row["n_evaluations"] >= 1
        assert "learning_rate" not in row
    losses = [row["loss"] for row in trainer.history]
    assert losses == sorted(losses, reverse=True)
    n_evaluations = sum(row["n_evaluations"] for row in trainer.history)
    assert n_evaluations == trainer.optimizer.n_evaluations


@makes
def test_net_fit_is_a_trainer_of_its_own(make):
    x, y = regression_data(dtype=np.float64)
    net = make_net("float64")
    history = net.fit(x, y, "mse", make(), epochs=6)
    trainer = fit(make)
    assert net == trainer.net
    assert [row["loss"] for row in history] == [row["loss"] for row in trainer.history]


@makes
def test_threads_and_the_seed_change_no_bit(make):
    data = regression_data(n_samples=3000, dtype=np.float64)
    nets = []
    for n_threads in (1, 2, 3):
        trainer = mlpcore.Trainer(make_net("float64"), "mse", make(), n_threads=n_threads)
        trainer.fit(*data, epochs=4)
        nets.append(trainer.net)
    assert nets[0] == nets[1] == nets[2]


@makes
@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
def test_a_weight_equals_the_row_as_often(make, reduction):
    x, y = regression_data(dtype=np.float64)
    weight = np.arange(len(x)) % 4
    weighted, repeated = make_net("float64"), make_net("float64")
    loss = mlpcore.losses.MSE(reduction)
    weighted.fit(x, y, loss, make(), epochs=5, sample_weight=weight)
    repeated.fit(np.repeat(x, weight, 0), np.repeat(y, weight, 0), loss, make(), epochs=5)
    assert weighted != make_net("float64")
    assert_close(weighted.parameters, repeated.parameters, FULL_BATCH_WEIGHTS)


@makes
def test_a_share_that_is_held_out_is_not_learnt(make):
    data = regression_data(dtype=np.float64)
    trainer = fit(make, validation=0.2)
    again = mlpcore.Trainer(make_net("float64"), "mse", make(), seed=0)
    from mlpcore.held_out import held_out_rows

    rows = held_out_rows(0.2, *data, 0)
    learnt = np.setdiff1d(np.arange(len(data[0])), rows)
    x, y = data
    again.fit(x[learnt], y[learnt], epochs=6, validation=(x[rows], y[rows]))
    assert len(rows) == 14
    assert trainer.net == again.net
    assert trainer.history[-1]["validation_loss"] == again.history[-1]["validation_loss"]


@makes
def test_rows_on_disk_are_those_in_memory(make, tmp_path):
    x, y = regression_data(dtype=np.float64)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert fit(make, data=(mapped, y)).net == fit(make).net


@makes
def test_nothing_passed_in_is_written_to(make):
    x, y = regression_data(dtype=np.float64)
    weight = np.ones(len(x))
    before = [array.copy() for array in (x, y, weight)]
    for array in (x, y, weight):
        array.flags.writeable = False
    fit(make, data=(x, y), sample_weight=weight)
    for array, kept in zip((x, y, weight), before, strict=True):
        np.testing.assert_array_equal(array, kept)


# ---- what stops it -------------------------------------------------------------------------------


@makes
def test_a_callback_that_returns_true_stops(make):
    trainer = fit(make, callbacks=[lambda state: state.epoch == 3])
    assert len(trainer.history) == trainer.n_epochs == 3
    assert trainer.optimizer.stop_reason is None
    assert trainer.net == fit(make, epochs=3).net


@makes
def test_early_stopping_restores_the_best_and_a_next_fit_the_latest(make, monkeypatch):
    script_losses(monkeypatch, [3, 1, 2, 2, 2, 2])
    x, y = regression_data(dtype=np.float64)
    kept = []
    trainer = mlpcore.Trainer(make_net("float64"), "mse", make())
    options = {
        "validation": (x, y),
        "early_stopping": mlpcore.EarlyStopping(patience=2),
        "callbacks": [lambda state: kept.append(state.net.parameters.copy())],
    }
    trainer.fit(x, y, epochs=9, **options)
    assert len(trainer.history) == 4
    np.testing.assert_array_equal(trainer.net.parameters, kept[1])
    twin = mlpcore.Trainer(make_net("float64"), "mse", copy.deepcopy(trainer.optimizer))
    twin.net.parameters[:] = kept[3]
    twin.fit(x, y, epochs=1)
    trainer.fit(x, y, epochs=1, **options)
    np.testing.assert_array_equal(kept[4], twin.net.parameters)


@makes
@pytest.mark.parametrize("error", [KeyError, StopIteration])
def test_what_a_callback_raises_comes_out_and_training_can_go_on(make, error):
    def fail(state):
        if state.epoch == 3:
            raise error("mine")

    x, y = regression_data(dtype=np.float64)
    trainer = mlpcore.Trainer(make_net("float64"), "mse", make())
    with pytest.raises((KeyError, RuntimeError, StopIteration), match=r"mine|StopIteration"):
        trainer.fit(x, y, epochs=9, callbacks=[fail])
    assert trainer.n_epochs == 3
    assert trainer.net == fit(make, epochs=3).net
    loss = trainer.history[-1]["loss"]
    assert trainer.fit(x, y, epochs=1)[-1]["loss"] < loss


@makes
@pytest.mark.skipif(os.name == "nt", reason="os.kill cannot send Ctrl-C to this process alone")
@pytest.mark.parametrize("n_calls", [1, 2, 5, 9])
def test_ctrl_c_leaves_the_latest_iteration(make, n_calls, monkeypatch):
    from mlpcore import full_batch_problem

    calls = iter(range(n_calls))
    evaluate = full_batch_problem.value_and_gradients

    def interrupted(*arguments):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*arguments)

    monkeypatch.setattr(full_batch_problem, "value_and_gradients", interrupted)
    trainer = mlpcore.Trainer(make_net("float64"), "mse", make())
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*regression_data(dtype=np.float64), epochs=10**6)
    monkeypatch.undo()
    assert trainer.n_epochs == len(trainer.history) == trainer.optimizer.n_steps
    if trainer.n_epochs:
        assert trainer.net == fit(make, epochs=trainer.n_epochs).net
    else:
        assert trainer.net == make_net("float64")
    before = trainer.net.copy()
    trainer.fit(*regression_data(dtype=np.float64), epochs=1)
    assert trainer.net != before


@makes
@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (lambda net: net.parameters.fill(1e30), "the pre-activation of layer 2"),
        (lambda net: net.biases[1].fill(1e38), "the loss of what layer 2 gives"),
    ],
)
def test_a_loss_that_is_not_finite_names_the_epoch_and_keeps_the_parameters(make, spoil, where):
    net = mlpcore.MLP([3, 8, 2], "relu", dtype="float32", seed=0)
    spoil(net)
    if where.startswith("the loss"):
        net = mlpcore.MLP([3, 8, 2], "tanh", dtype="float32", seed=0)
        spoil(net)
    before = net.copy()
    with pytest.raises(FloatingPointError, match=f"^epoch 1: {where} is not finite; the net has"):
        fit(make, net=net, data=regression_data())
    assert net == before


# ---- what there is nothing to do for -------------------------------------------------------------


@makes
def test_a_fit_that_finds_nothing_to_gain_leaves_one_row(make):
    x = np.zeros((5, 3))
    net = mlpcore.MLP([3, 8, 2], "tanh", dtype="float64", init="zeros")
    trainer = fit(make, net=net, data=(x, np.zeros((5, 2))))
    assert [(row["epoch"], row["loss"]) for row in trainer.history] == [(1, 0.0)]
    assert trainer.history[0]["n_evaluations"] == trainer.optimizer.n_evaluations
    assert trainer.optimizer.stop_reason == "gradient"
    assert trainer.optimizer.n_steps == 0
    assert not net.parameters.any()


# ---- the optimizer -------------------------------------------------------------------------------


@makes
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_a_copy_goes_on_with_the_same_bits(make, copied):
    trainer = fit(make, epochs=3)
    other = copied(trainer.optimizer)
    assert repr(other) == repr(trainer.optimizer)
    assert other.n_steps == 3
    twin = fit(other, net=trainer.net.copy(), epochs=3)
    trainer.fit(*regression_data(dtype=np.float64), epochs=3)
    assert twin.net == trainer.net


@makes
def test_saved_after_a_fit_and_loaded_it_goes_on_with_the_same_bits(make, tmp_path):
    trainer = fit(make, epochs=3)
    trainer.save(tmp_path / "trainer")
    again = mlpcore.Trainer.load(tmp_path / "trainer")
    assert repr(again.optimizer) == repr(trainer.optimizer)
    assert again.optimizer.n_steps == 3
    assert again.batch_size is None
    for one in (trainer, again):
        one.fit(*regression_data(dtype=np.float64), epochs=3)
    assert again.net == trainer.net
    assert again.history[-1]["loss"] == trainer.history[-1]["loss"]


@makes
def test_one_step_is_not_to_be_had(make):
    net, optimizer = make_net(), make()
    x, y = regression_data()
    trainer = mlpcore.Trainer(net, "mse", optimizer)
    for step in (
        lambda: optimizer.step(net, np.ones(net.n_parameters)),
        lambda: net.train_step(x, y, "mse", optimizer),
        lambda: trainer.step(x, y),
    ):
        with pytest.raises(TypeError, match=r"^optimizer: expected.*all rows.*use net\.fit"):
            step()
    assert net == make_net()


@makes
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 32}, "batch_size: expected None with"),
        ({"dropout": 0.5}, "dropout: expected 0 with"),
        ({"schedule": mlpcore.schedules.Cosine()}, "schedule: expected None with"),
        ({"block_rows": 10}, "block_rows: expected None with"),
        ({"x": [regression_data()], "y": None}, "x: expected one array of all rows"),
    ],
)
def test_what_is_for_mini_batches_is_refused(make, options, message):
    x, y = regression_data()
    net = make_net()
    with pytest.raises(ValueError, match=f"^{message}.*got"):
        net.fit(**{"x": x, "y": y, "loss": "mse", "optimizer": make(), "epochs": 1} | options)
    assert net == make_net()


@makes
def test_parameters_that_cannot_be_written_are_refused(make):
    net = make_net("float64")
    net.parameters.flags.writeable = False
    with pytest.raises(ValueError, match=r"^net\.parameters: must be writable"):
        fit(make, net=net)


@makes
def test_one_optimizer_for_two_fits_at_a_time_is_refused(make):
    optimizer, messages = make(), []

    def again(state):
        with pytest.raises((RuntimeError, ValueError), match=r"^optimizer: ") as caught:
            fit(optimizer, epochs=1)
        messages.append(caught.value)

    assert fit(optimizer, callbacks=[again]).net == fit(make).net
    assert len(messages) == 6


@needs_scipy
def test_a_subclass_that_forgets_the_base_is_told():
    class Mine(mlpcore.LBFGS):
        def __init__(self):
            pass

    assert issubclass(Mine, FullBatchOptimizer)
    with pytest.raises(RuntimeError, match=r"not initialised: Mine\.__init__ did not run"):
        mlpcore.Trainer(make_net(), "mse", Mine())


@makes
def test_progress_ends_with_its_line(make, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    loss = fit(make, epochs=3, progress=True).history[-1]["loss"]
    assert capsys.readouterr().err.rstrip().endswith(f"3/3 loss={loss:.4g}")
