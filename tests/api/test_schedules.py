# SPDX-License-Identifier: BSD-3-Clause
"""Schedules: every one against its formula, what training makes of them, and their arguments."""

import math

import numpy as np
import pytest
from regression import make_net, regression_data

import mlpcore
from mlpcore import losses, schedules

FORMULAS = {
    "constant": (schedules.Constant(), lambda t, n: 1.0),
    "step": (schedules.Step(every=3, gamma=0.5), lambda t, n: 0.5 ** math.floor(t / 3)),
    "exponential": (schedules.Exponential(0.9), lambda t, n: 0.9**t),
    "cosine": (
        schedules.Cosine(final=0.1),
        lambda t, n: 0.1 + 0.9 * (1 + math.cos(math.pi * t / n)) / 2 if t < n else 0.1,
    ),
    "cosine with warm-up": (
        schedules.Cosine(warmup=2),
        lambda t, n: t / 2 if t < 2 else (1 + math.cos(math.pi * min((t - 2) / (n - 2), 1))) / 2,
    ),
    "one-cycle": (
        schedules.OneCycle(rise=0.25, start_div=10, final_div=100),
        lambda t, n: (
            1 + (0.1 - 1) * (1 + math.cos(math.pi * t / (0.25 * n))) / 2
            if t < 0.25 * n
            else 0.001
            + (1 - 0.001) * (1 + math.cos(math.pi * min((t - 0.25 * n) / (0.75 * n), 1))) / 2
        ),
    ),
}
BY_STEP = ("cosine", "cosine with warm-up", "one-cycle")
SMALLEST = 2.0**-1022


def trained(schedule, epochs=8, *, net=None, optimizer=None, loss="mse", n_samples=70, **options):
    x, y = regression_data(n_samples)
    optimizer = optimizer or mlpcore.SGD(0.01)
    trainer = mlpcore.Trainer(net or make_net(), loss, optimizer, schedule=schedule, seed=0)
    trainer.fit(x, y, epochs=epochs, **options)
    return trainer


@pytest.mark.parametrize("name", FORMULAS)
def test_factor_is_the_formula(name):
    schedule, formula = FORMULAS[name]
    assert schedule.unit == ("step" if name in BY_STEP else "epoch")
    for t in np.arange(0, 13, 1 if schedule.unit == "epoch" else 0.25):
        assert schedule.factor(float(t), 8) == pytest.approx(formula(float(t), 8), rel=1e-14)


def test_exact_points_of_the_formulas():
    cosine, cycle = schedules.Cosine(warmup=1), schedules.OneCycle(rise=0.5)
    assert [cosine.factor(t, 5) for t in (0, 0.5, 1, 5, 9)] == [0.0, 0.5, 1.0, 0.0, 0.0]
    assert cycle.factor(0, 4) == 1 / 25
    assert cycle.factor(2, 4) == 1.0
    assert cycle.factor(4, 4) == cycle.factor(100, 4) == pytest.approx(1 / 25e4)


@pytest.mark.parametrize("as_callable", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_step_has_its_rate(name, as_callable):
    """The updates of `fit` are those of train_step at the rates of the formula."""
    schedule, formula = FORMULAS[name]
    mse = losses.MSE()
    loss = (lambda y_hat, y: (mse(y_hat, y), mse.gradient(y_hat, y))) if as_callable else mse
    x, y = regression_data()
    trainer = trained(schedule, epochs=4, loss=loss)
    twin = make_net()
    rates = []
    for step in range(12):
        t = step / 3 if name in BY_STEP else step // 3
        sgd = mlpcore.SGD(max(0.01 * formula(t, 4), SMALLEST))
        rows = mlpcore._core.permutation(0, step // 3, 70)[step % 3 * 32 : step % 3 * 32 + 32]
        twin.train_step(x[rows], y[rows], "mse", sgd)
        rates.append(sgd.learning_rate)
    np.testing.assert_allclose(trainer.net.parameters, twin.parameters, rtol=1e-6)
    recorded = [row["learning_rate"] for row in trainer.history]
    assert recorded == pytest.approx(rates[2::3], rel=1e-14)


def test_a_function_gives_the_rate_itself():
    trainer = trained(lambda epoch: 0.1 / (epoch + 1), epochs=3)
    assert [row["learning_rate"] for row in trainer.history] == [0.1, 0.05, 0.1 / 3]


def test_a_rate_of_zero_moves_nothing(dtype):
    net = make_net(dtype)
    before = net.parameters.copy()
    trainer = trained(lambda epoch: 0.0, epochs=2, net=net)
    # A bias of 0 becomes a subnormal number in float64.
    np.testing.assert_allclose(net.parameters, before, rtol=0, atol=1e-300)
    x, y = regression_data()
    trainer.fit(x, y, epochs=1)  # the optimizer is still one
    assert trainer.optimizer.learning_rate == SMALLEST


@pytest.mark.parametrize("schedule", [schedules.Cosine(6), schedules.OneCycle(6)])
def test_two_fits_have_the_bits_of_one(schedule):
    x, y = regression_data()
    whole = trained(schedule, epochs=8)
    parts = trained(schedule, epochs=2)
    parts.fit(x, y, epochs=6)
    assert parts.net == whole.net
    assert [row["learning_rate"] for row in parts.history] == [
        row["learning_rate"] for row in whole.history
    ]


def test_without_a_length_the_first_fit_is_the_length():
    x, y = regression_data()
    trainer = trained(schedules.Cosine(final=0.25), epochs=4)
    trainer.fit(x, y, epochs=2)
    assert [row["learning_rate"] for row in trainer.history[4:]] == [0.0025, 0.0025]


@pytest.mark.parametrize("schedule", [schedules.Constant(), schedules.Cosine(), lambda epoch: 0.01])
def test_what_a_callback_sets_scales_the_schedule(schedule):
    def halve(state):
        if state.epoch == 2:
            assert state.row["learning_rate"] == state.optimizer.learning_rate
            state.optimizer.learning_rate /= 2

    rates = [row["learning_rate"] for row in trained(schedule, epochs=4).history]
    halved = trained(schedule, epochs=4, callbacks=[halve])
    expected = [rates[0], rates[1], rates[2] / 2, rates[3] / 2]
    assert [row["learning_rate"] for row in halved.history] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 2, "gamma": 0.5}, [3, 2, 2, 2, 1, 1, 1, 1], [8, 8, 8, 8, 4, 4, 4, 2]),
        ({"patience": 1, "gamma": 0.5, "min_factor": 0.25}, [1] * 5, [8, 8, 4, 2, 2]),
        ({"patience": 1, "gamma": 0.5, "min_delta": 2.0}, [9, 8, 6], [8, 8, 4]),
        ({"patience": 1, "gamma": 0.5}, [float("nan"), 1, 0], [8, 4, 4]),
        ({"patience": 1, "gamma": 0.5, "maximize": True}, [1, 2, 2, 3], [8, 8, 8, 4]),
    ],
)
def test_reduce_on_plateau(monkeypatch, options, values, rates):
    remaining = iter(values)
    monkeypatch.setattr(mlpcore.held_out.HeldOut, "_loss", lambda self, n: next(remaining))
    schedule = schedules.ReduceOnPlateau(**options)
    x, y = regression_data()
    trainer = trained(schedule, epochs=len(values), optimizer=mlpcore.SGD(8e-3), validation=(x, y))
    assert [row["learning_rate"] * 1e3 for row in trainer.history] == pytest.approx(rates)


def test_net_fit_takes_a_schedule():
    x, y = regression_data()
    net = make_net()
    history = net.fit(
        x, y, "mse", mlpcore.SGD(0.5), epochs=3, schedule=schedules.Exponential(0.5), seed=0
    )
    assert [row["learning_rate"] for row in history] == [0.5, 0.25, 0.125]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.Step(0), ValueError, "every"),
        (lambda: schedules.Step(1.5), TypeError, "every"),
        (lambda: schedules.Step(1, gamma=0.0), ValueError, "gamma"),
        (lambda: schedules.Exponential(-1.0), ValueError, "gamma"),
        (lambda: schedules.Cosine(0), ValueError, "n_epochs"),
        (lambda: schedules.Cosine(3, warmup=3), ValueError, "warmup"),
        (lambda: schedules.Cosine(final=1.5), ValueError, "final"),
        (lambda: schedules.OneCycle(rise=1.0), ValueError, "rise"),
        (lambda: schedules.OneCycle(rise=0.0), ValueError, "rise"),
        (lambda: schedules.OneCycle(start_div=0.5), ValueError, "start_div"),
        (lambda: schedules.OneCycle(final_div="4"), TypeError, "final_div"),
        (lambda: schedules.ReduceOnPlateau(0), ValueError, "patience"),
        (lambda: schedules.ReduceOnPlateau(gamma=1.0), ValueError, "gamma"),
        (lambda: schedules.ReduceOnPlateau(monitor="accuracy"), ValueError, "monitor"),
        (lambda: schedules.ReduceOnPlateau(maximize=1), TypeError, "maximize"),
        (lambda: trained(schedules.Cosine(warmup=2), epochs=2), ValueError, "warmup"),
        (lambda: trained(schedules.ReduceOnPlateau()), ValueError, "schedule"),
        (lambda: trained("cosine"), TypeError, "schedule"),
        (lambda: trained(schedules.Cosine), TypeError, "schedule"),
        (lambda: trained(lambda epoch: -1.0), ValueError, "schedule's learning rate"),
        (lambda: trained(lambda epoch: "fast"), TypeError, "schedule's learning rate"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=f"^{message}: expected .*got "):
        make()


def test_a_schedule_by_the_step_has_to_know_how_many():
    x, y = regression_data()
    trainer = mlpcore.Trainer(make_net(), "mse", mlpcore.SGD(0.1), schedule=schedules.Cosine())
    with pytest.raises(ValueError, match=r"^schedule: expected one by the epoch"):
        trainer.fit([(x, y)], epochs=2)
    assert trainer.optimizer.n_steps == 0
