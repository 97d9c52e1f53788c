# SPDX-License-Identifier: BSD-3-Clause
"""What stops a fit: Ctrl-C, an exception, what is not finite, arguments that do not fit."""

import os
import signal
import threading

import numpy as np
import pytest
from regression import make_net, make_trainer, regression_data, replay

import mlpcore
from mlpcore import _core, losses

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
