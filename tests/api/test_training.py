# SPDX-License-Identifier: BSD-3-Clause
"""Trainer, fit, history, callbacks, early stopping and progress."""

import os
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, losses
from mlpcore.held_out import HeldOut
from mlpcore.history import History


def regression_data(n_samples=70, dtype=np.float32):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n_samples, 3)).astype(dtype)
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
    return x, y.astype(dtype)


def make_net(dtype="float32"):
    return mlpcore.MLP([3, 8, 2], activations="tanh", dtype=dtype, seed=0)


def make_trainer(net=None, optimizer=None, **options):
    optimizer = optimizer or mlpcore.Adam(1e-2)
    return mlpcore.Trainer(net or make_net(), "mse", optimizer, **{"seed": 0} | options)


def replay(net, optimizer, x, y, *, n_steps, batch_size=32, seed=0, loss="mse"):
    """The updates of `fit`, one `train_step` each; returns the batches' losses."""
    values = []
    epoch = 0
    while True:
        order = _core.permutation(seed, epoch, len(x))
        for start in range(0, len(x), batch_size):
            if len(values) == n_steps:
                return values
            rows = order[start : start + batch_size]
            values.append(net.train_step(x[rows], y[rows], loss, optimizer))
        epoch += 1


# ---- the epoch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_makes_the_updates_of_train_step(dtype):
    x, y = regression_data(dtype=dtype)
    trainer = make_trainer(make_net(dtype), seed=7)
    trainer.fit(x, y, epochs=3)
    twin, optimizer = make_net(dtype), mlpcore.Adam(1e-2)
    replay(twin, optimizer, x, y, n_steps=9, seed=7)
    assert trainer.net == twin
    assert trainer.optimizer.n_steps == optimizer.n_steps == 9


def test_loss_of_an_epoch_is_the_mean_of_its_batches_weighted_by_rows():
    x, y = regression_data(n_samples=70)
    history = make_trainer().fit(x, y, epochs=1)
    values = replay(make_net(), mlpcore.Adam(1e-2), x, y, n_steps=3)
    assert history[0]["loss"] == pytest.approx(np.average(values, weights=[32, 32, 6]), rel=1e-12)


def test_without_shuffling_rows_are_used_as_they_lie():
    x, y = regression_data()
    trainer = make_trainer(shuffle=False, batch_size=50)
    trainer.fit(x, y, epochs=1)
    twin, optimizer = make_net(), mlpcore.Adam(1e-2)
    twin.train_step(x[:50], y[:50], "mse", optimizer)
    twin.train_step(x[50:], y[50:], "mse", optimizer)
    assert trainer.net == twin


def test_order_depends_on_the_seed():
    x, y = regression_data()
    nets = []
    for seed in (0, 0, 1):
        trainer = make_trainer(seed=seed)
        trainer.fit(x, y, epochs=1)
        nets.append(trainer.net)
    assert nets[0] == nets[1]
    assert nets[0] != nets[2]


def test_two_fits_leave_the_bits_of_one():
    x, y = regression_data()
    whole, parts = make_trainer(), make_trainer()
    history = whole.fit(x, y, epochs=5)
    parts.fit(x, y, epochs=2)
    assert parts.fit(x, y, epochs=3) is parts.history
    assert parts.net == whole.net
    assert [row["epoch"] for row in parts.history] == [1, 2, 3, 4, 5]
    assert [row["loss"] for row in parts.history] == [row["loss"] for row in history]


def test_the_history_is_the_callers_to_change():
    x, y = regression_data()
    whole, parts = make_trainer(), make_trainer()
    whole.fit(x, y, epochs=3)
    parts.fit(x, y, epochs=2).clear()
    assert parts.n_epochs == 2
    assert parts.fit(x, y, epochs=1)[-1]["epoch"] == 3
    assert parts.net == whole.net


def test_without_a_seed_every_fit_has_an_order_of_its_own():
    x, y = regression_data()
    nets = [make_net(), make_net()]
    for net in nets:
        net.fit(x, y, loss="mse", optimizer=mlpcore.Adam(1e-2), epochs=1)
    assert nets[0] != nets[1]
    trainers = [make_trainer(seed=None) for _ in range(2)]
    assert trainers[0].seed != trainers[1].seed
    again = make_trainer(seed=trainers[0].seed)
    for trainer in (trainers[0], again):
        trainer.fit(x, y, epochs=2)
    assert trainers[0].net == again.net


def test_net_fit_is_a_trainer_of_its_own():
    x, y = regression_data()
    net = make_net()
    history = net.fit(
        x, y, loss="mse", optimizer=mlpcore.Adam(1e-2), epochs=2, batch_size=16, seed=3
    )
    trainer = make_trainer(batch_size=16, seed=3)
    expected = trainer.fit(x, y, epochs=2)
    assert net == trainer.net
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]


def test_step_is_train_step():
    x, y = regression_data()
    weight = np.linspace(0.0, 1.0, len(x))
    trainer = make_trainer()
    twin = make_net()
    value = twin.train_step(x, y, "mse", mlpcore.Adam(1e-2), sample_weight=weight)
    assert trainer.step(x, y, sample_weight=weight) == value
    assert trainer.net == twin
    assert trainer.n_epochs == 0


def test_threads_change_no_bit():
    x, y = regression_data(n_samples=500)
    trainers = [make_trainer(n_threads=n_threads, batch_size=200) for n_threads in (1, 3)]
    for trainer in trainers:
        trainer.fit(x, y, epochs=2)
    assert trainers[0].net == trainers[1].net


@pytest.mark.parametrize("shuffle", [True, False])
def test_callable_loss_trains_like_the_built_in(shuffle):
    mse = losses.MSE()

    def callable_mse(y_hat, y):
        return mse(y_hat, y), mse.gradient(y_hat, y)

    x, y = regression_data()
    trainers = [
        mlpcore.Trainer(make_net(), loss, mlpcore.Adam(1e-2), shuffle=shuffle, seed=0)
        for loss in (mse, callable_mse)
    ]
    histories = [trainer.fit(x, y, epochs=2, validation=(x, y)) for trainer in trainers]
    assert trainers[0].net == trainers[1].net
    for built_in, by_hand in zip(*histories, strict=True):
        assert by_hand["loss"] == pytest.approx(built_in["loss"], rel=1e-12)
        assert by_hand["validation_loss"] == built_in["validation_loss"]


def test_weight_of_two_equals_the_row_given_twice():
    x, y = regression_data(n_samples=20, dtype=np.float64)
    weight = np.ones(20)
    weight[:5] = 2.0
    weighted = make_trainer(make_net("float64"), batch_size=25, shuffle=False)
    weighted.fit(x, y, epochs=3, sample_weight=weight)
    twice = make_trainer(make_net("float64"), batch_size=25, shuffle=False)
    twice.fit(np.concatenate([x, x[:5]]), np.concatenate([y, y[:5]]), epochs=3)
    np.testing.assert_allclose(weighted.net.parameters, twice.net.parameters, rtol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mlpcore.SGD(0.1, momentum=0.9),
        lambda: mlpcore.AdamW(1e-2),
        lambda: mlpcore.RMSprop(1e-2),
    ],
)
@pytest.mark.parametrize("loss", ["mse", losses.MSE("sum"), "huber"])
def test_weights_are_copies_of_rows_in_full_batches(make, loss):
    x, y = regression_data(n_samples=30, dtype=np.float64)
    weight = np.arange(30) % 4
    copies = np.repeat(np.arange(30), weight)
    nets = []
    for rows, sample_weight in ((np.arange(30), weight), (copies, None)):
        net = make_net("float64")
        trainer = mlpcore.Trainer(net, loss, make(), batch_size=len(copies), seed=0)
        trainer.fit(x[rows], y[rows], epochs=4, sample_weight=sample_weight)
        nets.append(net)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-9, atol=1e-12)
    assert not np.allclose(nets[0].parameters, make_net("float64").parameters, rtol=1e-3)


@pytest.mark.parametrize(("batch_size", "is_close"), [(64, True), (1, False)])
def test_weights_are_copies_of_rows_in_the_mean_of_large_mini_batches(batch_size, is_close):
    x, y = regression_data(n_samples=512, dtype=np.float64)
    weight = np.where(x[:, 0] > 0.5, 5.0, 1.0)
    net = make_net("float64")
    _, copies = net.value_and_grad(x, y, "mse", sample_weight=weight)
    _, plain = net.value_and_grad(x, y, "mse")
    mean = np.zeros(net.n_parameters)
    n_batches = 0
    for epoch in range(40):
        order = _core.permutation(0, epoch, len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            _, gradients = net.value_and_grad(x[rows], y[rows], "mse", sample_weight=weight[rows])
            mean += gradients.flat
            n_batches += 1
    mean /= n_batches
    from_copies, from_plain = (np.linalg.norm(mean - g.flat) for g in (copies, plain))
    if is_close:
        assert from_copies < 0.05 * np.linalg.norm(copies.flat - plain.flat)
    else:  # a row's weight is all the weight there is
        assert from_plain < 1e-12 * np.linalg.norm(plain.flat)


def test_in_mini_batches_of_one_row_weights_say_nothing():
    x, y = regression_data()
    trainers = [make_trainer(batch_size=1) for _ in range(2)]
    trainers[0].fit(x, y, epochs=1, sample_weight=np.linspace(0.5, 8.0, len(x)))
    trainers[1].fit(x, y, epochs=1)
    np.testing.assert_allclose(
        trainers[0].net.parameters, trainers[1].net.parameters, rtol=1e-4, atol=1e-6
    )


def test_batch_without_weight_changes_nothing():
    x, y = regression_data(n_samples=40)
    trainer = make_trainer(optimizer=mlpcore.SGD(0.1), batch_size=20, shuffle=False)
    trainer.fit(x, y, epochs=1, sample_weight=np.repeat([0.0, 1.0], 20))
    twin = make_net()
    twin.train_step(x[20:], y[20:], "mse", mlpcore.SGD(0.1))
    assert trainer.net == twin


def test_callable_loss_knows_no_sample_weight():
    x, y = regression_data()
    trainer = mlpcore.Trainer(make_net(), lambda y_hat, y: (0.0, y_hat), mlpcore.SGD(0.1))
    with pytest.raises(ValueError, match="sample_weight"):
        trainer.fit(x, y, epochs=1, sample_weight=np.ones(len(x)))


def test_integer_classes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2))
    y = (x[:, 0] > 0).astype(int) + 2 * (x[:, 1] > 0)
    net = mlpcore.MLP([2, 16, 4], activations=["relu", "softmax"], seed=0)
    net.fit(x, y, loss="cross_entropy", optimizer=mlpcore.Adam(1e-2), epochs=30)
    assert np.mean(net(x).argmax(axis=1) == y) > 0.95


def test_inputs_may_be_anything_like_an_array_and_are_not_written_to(tmp_path):
    x, y = regression_data()
    expected = make_trainer()
    expected.fit(x, y, epochs=1)
    on_disk = np.memmap(tmp_path / "x", dtype=x.dtype, mode="w+", shape=x.shape)
    on_disk[:] = x
    for like_x in (x.tolist(), np.asfortranarray(x), x.astype(">f8"), on_disk):
        trainer = make_trainer()
        trainer.fit(like_x, y, epochs=1)
        assert trainer.net == expected.net
        np.testing.assert_array_equal(np.asarray(like_x, dtype=np.float32), x)


# ---- validation and early stopping ---------------------------------------------------------------


def test_validation_loss_is_that_of_the_epochs_last_parameters():
    x, y = regression_data()
    plain, validated = make_trainer(), make_trainer()
    plain.fit(x, y, epochs=2)
    history = validated.fit(x, y, epochs=2, validation=(x[:10], y[:10]))
    assert validated.net == plain.net
    expected, _ = plain.net.value_and_grad(x[:10], y[:10], "mse")
    assert history[-1]["validation_loss"] == expected
    assert "validation_loss" not in plain.history[0]


def script_losses(monkeypatch, values):
    """Let the validation losses be `values`."""
    remaining = iter(values)
    monkeypatch.setattr(HeldOut, "_loss", lambda self, n_threads: next(remaining))


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


# ---- what stops it -------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="os.kill cannot send Ctrl-C to this process alone")
def test_interrupt_leaves_whole_updates():
    x, y = regression_data(n_samples=4000)
    trainer = make_trainer(batch_size=8)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(x, y, epochs=10**6)
    finally:
        timer.join()
    assert trainer.n_epochs == len(trainer.history)
    n_steps = trainer.optimizer.n_steps
    assert 500 * trainer.n_epochs <= n_steps <= 500 * (trainer.n_epochs + 1)
    # Replaying all would take minutes: as many epochs by a trainer, the rest one by one.
    twin = make_trainer(batch_size=8)
    if trainer.n_epochs:
        twin.fit(x, y, epochs=trainer.n_epochs)
    order = _core.permutation(0, trainer.n_epochs, len(x))
    for start in range(0, 8 * (n_steps - 500 * trainer.n_epochs), 8):
        rows = order[start : start + 8]
        twin.step(x[rows], y[rows])
    assert trainer.net == twin.net


@pytest.mark.parametrize("as_callable", [False, True])
def test_diverging_loss_names_epoch_and_step_and_keeps_the_parameters(as_callable):
    mse = losses.MSE()
    loss = (lambda y_hat, y: (mse(y_hat, y), mse.gradient(y_hat, y))) if as_callable else mse
    x, y = regression_data()
    net = mlpcore.MLP([3, 8, 2], activations="relu", seed=0)
    trainer = mlpcore.Trainer(net, loss, mlpcore.SGD(10.0), seed=0)
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(FloatingPointError, match=r"epoch \d+, step \d+") as caught,
    ):
        trainer.fit(x, y, epochs=100)
    n_steps = trainer.optimizer.n_steps
    epoch, step = divmod(n_steps, 3)
    assert f"epoch {epoch + 1}, step {step + 1}:" in str(caught.value)
    assert len(trainer.history) == epoch
    twin = mlpcore.MLP([3, 8, 2], activations="relu", seed=0)
    replay(twin, mlpcore.SGD(10.0), x, y, n_steps=n_steps)
    assert trainer.net == twin
    assert np.all(np.isfinite(net.parameters))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("argument", ["x", "y", "sample_weight", "validation: x", "validation: y"])
def test_data_that_are_not_finite_are_refused(argument, bad):
    x, y = regression_data()
    arguments = {
        "x": x.copy(),
        "y": y.copy(),
        "sample_weight": np.ones(len(x)),
        "validation: x": x.copy(),
        "validation: y": y.copy(),
    }
    arguments[argument][17] = bad
    trainer = make_trainer()
    before = trainer.net.parameters.copy()
    with pytest.raises(ValueError, match="finite") as caught:
        trainer.fit(
            arguments["x"],
            arguments["y"],
            epochs=1,
            sample_weight=arguments["sample_weight"],
            validation=(arguments["validation: x"], arguments["validation: y"]),
        )
    assert str(caught.value).startswith(f"{argument}:")
    assert "17" in str(caught.value)
    np.testing.assert_array_equal(trainer.net.parameters, before)


@pytest.mark.parametrize(
    ("loss", "good", "bad"),
    [
        ("bce", 1.0, 1.5),
        ("bce", 0.0, -0.5),
        ("bce_with_logits", 1.0, 2.0),
        ("cross_entropy", 5.0, -1.0),
        ("poisson", 5.0, -1.0),
    ],
)
@pytest.mark.parametrize("argument", ["y", "validation: y"])
def test_targets_outside_the_range_of_the_loss_are_refused(loss, good, bad, argument):
    x, _ = regression_data()
    output = {"bce": "sigmoid", "cross_entropy": "softmax"}.get(loss, "identity")
    net = mlpcore.MLP([3, 2], [output], seed=0)
    targets = {"y": np.full((len(x), 2), good), "validation: y": np.full((len(x), 2), good)}
    targets[argument][17, 1] = bad
    before = net.copy()
    with pytest.raises(ValueError, match=rf"^{argument}: .*got {bad} at row 17, column 1"):
        net.fit(
            x,
            targets["y"],
            loss,
            mlpcore.SGD(1e-3),
            epochs=1,
            validation=(x, targets["validation: y"]),
        )
    assert net == before
    targets[argument][17, 1] = good
    net.fit(x, targets["y"], loss, mlpcore.SGD(1e-3), epochs=1)


def test_not_finite_step_is_refused():
    trainer = make_trainer()
    x, y = regression_data()
    before = trainer.net.parameters.copy()
    with pytest.raises(FloatingPointError, match="not finite"):
        trainer.step(np.full_like(x, np.nan), y)
    np.testing.assert_array_equal(trainer.net.parameters, before)


# ---- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"net": "net"}, TypeError, "net"),
        ({"loss": "mean"}, ValueError, "loss"),
        ({"loss": "bce"}, ValueError, "loss"),
        ({"optimizer": "adam"}, TypeError, "optimizer"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, TypeError, "batch_size"),
        ({"shuffle": 1}, TypeError, "shuffle"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"n_threads": 0}, ValueError, "n_threads"),
    ],
)
def test_trainer_refuses(options, error, message):
    arguments = {"net": make_net(), "loss": "mse", "optimizer": mlpcore.SGD(0.1)} | options
    with pytest.raises(error, match=f"^{message}:"):
        mlpcore.Trainer(**arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs"),
        ({"epochs": 1.0}, TypeError, "epochs"),
        ({"x": np.zeros((70, 4))}, ValueError, "x"),
        ({"x": np.zeros((0, 3)), "y": np.zeros((0, 2))}, ValueError, "x"),
        ({"y": np.zeros((69, 2))}, ValueError, "y"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
        ({"sample_weight": np.zeros(70)}, ValueError, "sample_weight"),
        ({"validation": np.zeros((70, 3))}, TypeError, "validation"),
        ({"validation": [1] * 3}, ValueError, "validation"),
        ({"validation": (np.zeros((0, 3)), np.zeros((0, 2)))}, ValueError, "validation"),
        ({"validation": (np.zeros((5, 1)), np.zeros((5, 2)))}, ValueError, "validation: x"),
        ({"validation": (np.zeros((5, 3)), np.zeros((4, 2)))}, ValueError, "validation: y"),
        ({"early_stopping": 5}, TypeError, "early_stopping"),
        ({"early_stopping": mlpcore.EarlyStopping(5)}, ValueError, "early_stopping"),
        ({"callbacks": print}, TypeError, "callbacks"),
        ({"callbacks": [None]}, TypeError, "callbacks"),
        ({"progress": "yes"}, TypeError, "progress"),
    ],
)
def test_fit_refuses(options, error, message):
    x, y = regression_data()
    trainer = make_trainer()
    before = trainer.net.parameters.copy()
    with pytest.raises(error, match=f"^{message}.*: expected .*got "):
        trainer.fit(**{"x": x, "y": y, "epochs": 1} | options)
    np.testing.assert_array_equal(trainer.net.parameters, before)


def test_validation_with_weights_says_how_many_entries_it_got():
    x, y = regression_data()
    weight = np.ones(len(x))
    with pytest.raises(ValueError, match=r"^validation: expected a tuple .*, got 4 entries"):
        make_trainer().fit(x, y, epochs=1, validation=(x, y, None, weight))
    with pytest.raises(ValueError, match=r"^validation: dy_dx: expected shape \(70, 2, 3\), got"):
        make_trainer().fit(x, y, epochs=1, validation=(x, y, weight))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience"),
        ({"patience": 1.5}, TypeError, "patience"),
        ({"patience": 1, "min_delta": -1.0}, ValueError, "min_delta"),
        ({"patience": 1, "min_delta": "0"}, TypeError, "min_delta"),
        ({"patience": 1, "restore_best": "no"}, TypeError, "restore_best"),
        ({"patience": 1, "monitor": "accuracy"}, ValueError, "monitor"),
    ],
)
def test_early_stopping_refuses(options, error, message):
    with pytest.raises(error, match=f"^{message}:"):
        mlpcore.EarlyStopping(**options)


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
