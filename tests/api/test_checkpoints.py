# SPDX-License-Identifier: BSD-3-Clause
"""Trainers in files: a resumed run has the bits of the uninterrupted one; damage is an error."""

import json
import random
import signal
from dataclasses import replace

import numpy as np
import pytest
from regression import make_net, regression_data

import mlpcore
from mlpcore import _safetensors, checkpoint, losses, schedules

SOAK = [pytest.mark.soak, pytest.mark.timeout(3600)]
MSE = losses.MSE()
EPOCHS = 5
N_BATCHES = 3  # 70 rows by 32

CASES = {
    "sgd": {"optimizer": lambda: mlpcore.SGD(0.05)},
    "momentum and steps": {
        "optimizer": lambda: mlpcore.SGD(0.05, momentum=0.9, nesterov=True),
        "schedule": schedules.Step(2, 0.5),
    },
    "adam, cosine, dropout": {
        "optimizer": lambda: mlpcore.Adam(0.01, clip_norm=0.5),
        "schedule": schedules.Cosine(warmup=1),
        "dropout": 0.3,
    },
    "adamw, early stopping": {
        "optimizer": lambda: mlpcore.AdamW(0.01, l1=1e-3),
        "early_stopping": mlpcore.EarlyStopping(3),
    },
    "rmsprop, plateau, in order": {
        "optimizer": lambda: mlpcore.RMSprop(0.01, momentum=0.5),
        "schedule": schedules.ReduceOnPlateau(1, 0.5, min_delta=0.05),
        "shuffle": False,
    },
}


def interrupting(n_calls):
    """A loss whose call after so many is Ctrl-C."""
    calls = iter(range(n_calls))

    def loss(y_hat, y):
        if len(y_hat) != 11 and next(calls, None) is None:  # 11 rows are the validation
            raise KeyboardInterrupt
        return MSE(y_hat, y), MSE.gradient(y_hat, y)

    return loss


def make_trainer(case, loss, dtype="float32"):
    options = {key: value for key, value in case.items() if key != "early_stopping"}
    optimizer = options.pop("optimizer")()
    return mlpcore.Trainer(make_net(dtype), loss, optimizer, seed=3, **options)


def fit(trainer, case, epochs=EPOCHS, dtype="float32", **options):
    x, y = regression_data(dtype=dtype)
    options = {"validation": (x[:11], y[:11]), **options}
    stopping = case.get("early_stopping")
    return trainer.fit(x, y, epochs=epochs, early_stopping=stopping, **options)


def without_seconds(history):
    return [{key: row[key] for key in row if key != "seconds"} for row in history]


def assert_same(trainer, other):
    assert trainer.net == other.net
    assert without_seconds(trainer.history) == without_seconds(other.history)
    assert trainer.n_epochs == other.n_epochs
    a, b = trainer.optimizer, other.optimizer
    assert (repr(a), a.n_steps) == (repr(b), b.n_steps)
    assert a._scheduled_rate == b._scheduled_rate
    for name in ("first_moment", "second_moment"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    # How long the first fit was matters to a schedule that has no length of its own.
    assert replace(trainer._rates.state, n_epochs=0) == replace(other._rates.state, n_epochs=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trainer.safetensors"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n_steps", range(EPOCHS * N_BATCHES))
def test_resumed_after_any_step(name, n_steps, path, dtype):
    """Ctrl-C after so many steps, save, load, go on: a run without any of it."""
    case = CASES[name]
    whole = make_trainer(case, interrupting(10**9), dtype)
    fit(whole, case, dtype=dtype)
    cut = make_trainer(case, interrupting(n_steps), dtype)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, case, dtype=dtype)
    assert cut.optimizer.n_steps == n_steps
    cut.save(path)
    loaded = mlpcore.Trainer.load(path, loss=interrupting(10**9))
    for trainer in (loaded, cut):  # and without a file
        if trainer is cut:
            trainer._loss = loaded.loss
        fit(trainer, case, EPOCHS - trainer.n_epochs, dtype)
        assert_same(trainer, whole)


@pytest.mark.parametrize("name", CASES)
def test_resumed_after_any_epoch(name, path, dtype):
    case = CASES[name]
    whole = make_trainer(case, "mse", dtype)

    def save(state):
        state.trainer.save(path.with_suffix(f".{state.epoch}"))

    fit(whole, case, dtype=dtype, callbacks=[save])
    for epoch in range(1, whole.n_epochs):
        trainer = mlpcore.Trainer.load(path.with_suffix(f".{epoch}"))
        assert trainer.n_epochs == epoch
        fit(trainer, case, EPOCHS - epoch, dtype)
        assert_same(trainer, whole)


@pytest.mark.parametrize("schedule", [schedules.Cosine(6), schedules.Exponential(0.9)])
def test_a_rate_set_by_hand_after_loading_scales_the_schedule(schedule, path):
    case = {"optimizer": lambda: mlpcore.Adam(0.01), "schedule": schedule}
    trainer = make_trainer(case, "mse")
    fit(trainer, case, 2)
    trainer.save(path)
    loaded = mlpcore.Trainer.load(path)
    for one in (trainer, loaded):
        one.optimizer.learning_rate /= 2
        fit(one, case, 2)
    assert_same(loaded, trainer)


@pytest.mark.parametrize("name", CASES)
def test_two_fits_are_one(name):
    # Lengths are given where a schedule would take that of the first fit.
    case = dict(CASES[name])
    if isinstance(case.get("schedule"), schedules.Cosine):
        case["schedule"] = schedules.Cosine(EPOCHS, warmup=1)
    whole, parts = make_trainer(case, "mse"), make_trainer(case, "mse")
    fit(whole, case)
    fit(parts, case, 2)
    fit(parts, case, EPOCHS - 2)
    assert_same(parts, whole)


def test_the_best_parameters_are_taken_along(path, monkeypatch):
    values = iter([3, 1, 2, 2])
    monkeypatch.setattr(mlpcore.held_out.HeldOut, "_loss", lambda self, n: next(values))
    case = {
        "optimizer": lambda: mlpcore.Adam(0.01),
        "early_stopping": mlpcore.EarlyStopping(3),
    }
    trainer = make_trainer(case, "mse")
    kept = []
    fit(trainer, case, 3, callbacks=[lambda state: kept.append(state.net.parameters.copy())])
    np.testing.assert_array_equal(trainer.net.parameters, kept[1])
    trainer.save(path)
    loaded = mlpcore.Trainer.load(path)
    assert loaded.net == trainer.net
    # It goes on from the latest, and still knows the best.
    seen = []
    fit(loaded, case, 1, callbacks=[lambda state: seen.append(state.net.parameters.copy())])
    np.testing.assert_array_equal(loaded.net.parameters, kept[1])
    twin = make_trainer({"optimizer": lambda: mlpcore.Adam(0.01)}, "mse")
    monkeypatch.undo()
    fit(twin, {}, 4)
    np.testing.assert_array_equal(seen[0], twin.net.parameters)


def test_a_net_that_was_changed_in_between_is_not_taken_back():
    case = CASES["adamw, early stopping"]
    trainer = make_trainer(case, "mse")
    fit(trainer, case, 3)
    trainer.net.parameters[:] = 0.25
    twin = mlpcore.MLP([3, 8, 2], activations="tanh", init="zeros")
    twin.parameters[:] = 0.25
    seen = []
    trainer.optimizer.learning_rate = 1e-30
    fit(trainer, {}, 1, callbacks=[lambda state: seen.append(state.net.parameters.copy())])
    np.testing.assert_allclose(seen[0], 0.25, rtol=1e-6)


def test_everything_that_was_given_comes_back(path):
    options = {
        "batch_size": 7,
        "schedule": schedules.OneCycle(9, rise=0.4),
        "dropout": (0.25,),
        "shuffle": False,
        "seed": 2**64 - 1,
        "n_threads": 2,
    }
    net = mlpcore.MLP([3, 8, 2], ["relu", "softmax"], dtype="float64", seed=1, bias=False)
    trainer = mlpcore.Trainer(net, "cross_entropy", mlpcore.AdamW(0.3, epsilon=0.1), **options)
    trainer.history.append(
        {"epoch": 1, "loss": float("nan"), "note": "by hand", "x": np.float32(2)}
    )
    trainer.save(path)
    loaded = mlpcore.Trainer.load(path)
    for name, value in options.items():
        assert getattr(loaded, name) == value
    assert loaded.net == net
    assert loaded.net is not net
    assert loaded.loss == trainer.loss
    assert repr(loaded.optimizer) == repr(trainer.optimizer)
    assert repr(loaded.history) == repr([{**trainer.history[0], "x": 2.0}])


@pytest.mark.parametrize(
    "loss", [MSE, losses.Huber(2.5, reduction="sum"), losses.Quantile(0.9), losses.LogCosh()]
)
def test_losses_come_back(loss, path):
    mlpcore.Trainer(make_net(), loss, mlpcore.SGD(0.1)).save(path)
    assert mlpcore.Trainer.load(path).loss == loss


def test_functions_are_given_again(path):
    loss, schedule = interrupting(10**9), lambda epoch: 0.1
    mlpcore.Trainer(make_net(), loss, mlpcore.SGD(0.1), schedule=schedule).save(path)
    with pytest.raises(ValueError, match=r"^loss: expected the function"):
        mlpcore.Trainer.load(path)
    with pytest.raises(ValueError, match=r"^schedule: expected the function"):
        mlpcore.Trainer.load(path, loss=loss)
    assert mlpcore.Trainer.load(path, loss=loss, schedule=schedule).schedule is schedule
    mlpcore.Trainer(make_net(), "mse", mlpcore.SGD(0.1)).save(path)
    with pytest.raises(ValueError, match=r"^loss: expected None"):
        mlpcore.Trainer.load(path, loss=loss)
    with pytest.raises(ValueError, match=r"^schedule: expected None"):
        mlpcore.Trainer.load(path, schedule=schedule)


class OwnOptimizer(mlpcore.SGD):
    pass


class OwnSchedule(schedules.Constant):
    pass


class OwnLoss(losses.MSE):
    pass


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"optimizer": OwnOptimizer(0.1)}, "optimizer"),
        ({"schedule": OwnSchedule()}, "schedule"),
        ({"loss": OwnLoss()}, "loss"),
    ],
)
def test_classes_of_ones_own_are_refused(options, name, path):
    arguments = {"net": make_net(), "loss": "mse", "optimizer": mlpcore.SGD(0.1)} | options
    with pytest.raises(TypeError, match=f"^{name}: expected one of .*got "):
        mlpcore.Trainer(**arguments).save(path)
    assert not path.exists()


def test_what_cannot_be_saved_in_a_history_is_named(path):
    trainer = mlpcore.Trainer(make_net(), "mse", mlpcore.SGD(0.1))
    trainer.history.append({"weights": np.zeros(3)})
    with pytest.raises(TypeError, match=r"^history: .*weights"):
        trainer.save(path)


# ---- damage --------------------------------------------------------------------------------------


@pytest.fixture
def saved(path):
    case = CASES["adam, cosine, dropout"] | {"early_stopping": mlpcore.EarlyStopping(3)}
    trainer = make_trainer(case, interrupting(7))
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, case)
    trainer._loss = losses.MSE()
    trainer.save(path)
    return path


def test_a_file_that_is_cut_anywhere_is_refused(saved):
    content = saved.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=str(saved)):
            mlpcore.Trainer.load(saved)


def test_a_byte_that_is_changed_anywhere_is_refused(saved):
    content = bytearray(saved.read_bytes())
    generator = random.Random(0)
    header_end = 8 + int.from_bytes(content[:8], "little")
    padding = range(len(content[:header_end].rstrip()), header_end)
    for place in range(0, len(content), 13):
        changed = content.copy()
        changed[place] ^= 1 << generator.randrange(8)
        saved.write_bytes(changed)
        if place in padding:
            assert mlpcore.Trainer.load(saved).n_epochs == 2
        else:
            with pytest.raises(ValueError, match=str(saved)):
                mlpcore.Trainer.load(saved)


MUTATIONS = [
    ("batch_size", 0),
    ("batch_size", 2.5),
    ("batch_size", True),
    ("seed", -1),
    ("seed", 2**64),
    ("seed", None),
    ("shuffle", 1),
    ("n_threads", 0),
    ("dropout", [0.5, 0.5]),
    ("dropout", [1.5]),
    ("dropout", 0.5),
    ("scheduled_rate", float("nan")),
    ("n_steps", -1),
    ("n_steps", 2**63),
    ("n_epochs", -1),
    ("n_epochs", 1e3),
    ("n_epochs", 2**63),
    ("history", {}),
    ("history", [1]),
    ("loss", {"name": "Loss", "arguments": {}}),
    ("loss", {"name": "Huber", "arguments": {"delta": -1.0}}),
    ("loss", {"name": "MSE", "arguments": {"other": 1}}),
    ("loss", None),
    ("optimizer", {"name": "os.system", "arguments": {}}),
    ("optimizer", {"name": "Adam", "arguments": {"learning_rate": 0}}),
    ("optimizer", {"name": "SGD", "arguments": None}),
    ("schedule", {"name": "Cosine", "arguments": {"warmup": -1}}),
    ("schedule", {"name": "Rates", "arguments": {}}),
    ("rates", {}),
    ("part", []),
    ("best", {"rule": {"patience": 0}, "value": 0.0, "epochs_since": 0}),
    ("best", None),
    ("net", {}),
    ("net", {"format": "other"}),
]
NESTED = [
    ("part", "batch_size", 0),
    ("part", "n_blocks", -1),
    ("part", "n_rows", 2**63),
    ("part", "block", [1]),
    ("part", "block", [-1, 0.0]),
    ("part", "block", [2**62, 0.0]),
    ("part", "block", [0, None]),
    ("part", "layout", ["a"]),
    ("part", "loss", "low"),
    ("rates", "scale", "large"),
    ("rates", "best", float("nan")),
    ("best", "value", None),
    ("best", "epochs_since", -5),
]


def rewritten(path, change, change_arrays=None):
    """The same file with another state, and a checksum that fits."""
    metadata, arrays = _safetensors.read(path)
    content = json.loads(arrays["state"].tobytes())
    change(content)
    arrays["state"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    if change_arrays is not None:
        change_arrays(arrays)
    metadata["checksum"] = checkpoint._checksum(arrays)
    _safetensors.write(path, arrays, metadata)


def test_rewriting_without_a_change_changes_nothing(saved):
    expected = mlpcore.Trainer.load(saved)
    rewritten(saved, lambda content: None)
    assert_same(mlpcore.Trainer.load(saved), expected)


@pytest.mark.parametrize(("name", "value"), MUTATIONS)
def test_values_out_of_their_range_are_refused(saved, name, value):
    rewritten(saved, lambda content: content.__setitem__(name, value))
    with pytest.raises(ValueError, match=str(saved)):
        mlpcore.Trainer.load(saved)
    rewritten(saved, lambda content: content.__delitem__(name))
    with pytest.raises(ValueError, match=str(saved)):
        mlpcore.Trainer.load(saved)


@pytest.mark.parametrize(("outer", "name", "value"), NESTED)
def test_values_within_are_refused_too(saved, outer, name, value):
    rewritten(saved, lambda content: content[outer].__setitem__(name, value))
    with pytest.raises(ValueError, match=f"{saved}|position: expected at most"):
        # What only the data can tell is refused when they are there.
        fit(mlpcore.Trainer.load(saved), {}, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.__setitem__("other", np.zeros(1)),
        lambda arrays: arrays.__setitem__("best.parameters", np.zeros(3, np.float32)),
        lambda arrays: arrays.__setitem__(
            "optimizer.first_moment", arrays["optimizer.first_moment"].astype(np.float64)
        ),
        lambda arrays: arrays.__delitem__("net.layers.0.weight"),
        lambda arrays: arrays.__setitem__("state", np.frombuffer(b"[" * 10**5, np.uint8)),
        lambda arrays: arrays.__setitem__("state", np.frombuffer(b"\xff", np.uint8)),
        lambda arrays: arrays.__delitem__("state"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(saved, change):
    rewritten(saved, lambda content: None, change)
    with pytest.raises(ValueError, match=str(saved)):
        mlpcore.Trainer.load(saved)


def test_a_net_is_no_trainer_and_another_version_is_none_either(path, saved):
    metadata, arrays = _safetensors.read(saved)
    _safetensors.write(saved, arrays, metadata | {"format_version": "2"})
    with pytest.raises(ValueError, match="format 1, got '2'"):
        mlpcore.Trainer.load(saved)
    mlpcore.save(make_net(), path)
    with pytest.raises(ValueError, match=r"Trainer\.save"):
        mlpcore.Trainer.load(path)


# ---- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
@pytest.mark.parametrize("n_interrupts", [12, pytest.param(200, marks=SOAK)])
def test_interrupted_at_any_moment(n_interrupts, path):
    """Ctrl-C at random moments, in C or in Python, saved and loaded in between: the same bits."""
    case = CASES["adam, cosine, dropout"] | {"early_stopping": mlpcore.EarlyStopping(10**6)}
    case["schedule"] = schedules.Cosine(4000)
    generator = random.Random(1)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    trainer = make_trainer(case, "mse")
    n_done = 0
    try:
        while n_done < n_interrupts:
            try:
                signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-4, 0.01))
                fit(trainer, case, 10**6)
            except KeyboardInterrupt:
                n_done += 1
            if n_done % 4 == 0:
                trainer.save(path)
                trainer = mlpcore.Trainer.load(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    n_epochs = trainer.n_epochs + 1
    fit(trainer, case, 1)
    whole = make_trainer(case, "mse")
    fit(whole, case, n_epochs)
    assert_same(trainer, whole)
