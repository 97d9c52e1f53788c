# SPDX-License-Identifier: BSD-3-Clause
"""L-BFGS: what it finds, why it ends, and what it is of SciPy's."""

import sys

import numpy as np
import pytest
from regression import make_net, regression_data
from tolerances import CONVEX_MINIMUM, assert_close

import mlpcore
from mlpcore import reference

optimize = pytest.importorskip("scipy.optimize", reason="SciPy is optional")


def logistic_data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    y = (x @ [1.0, -2.0, 0.5, 0.0, 1.0] + rng.standard_normal(200) > 0.3).astype(float)
    return x, y[:, np.newaxis]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_finds_the_minimum_of_a_convex_problem(weight_decay):
    x, y = logistic_data()

    def value_and_gradient(parameters):
        layers = reference.layers_from_flat(parameters, [5, 1], ["sigmoid"])
        value, gradients = reference.value_and_grad(layers, x, y, "bce")
        penalty = 0.5 * weight_decay * parameters @ parameters
        return value + penalty, gradients.flat + weight_decay * parameters

    want = optimize.minimize(
        value_and_gradient, np.zeros(6), jac=True, method="BFGS", options={"gtol": 1e-10}
    )
    assert max(abs(want.jac)) < 1e-8
    net = mlpcore.MLP([5, 1], ["sigmoid"], dtype="float64", init="zeros")
    lbfgs = mlpcore.LBFGS(tolerance=0.0, weight_decay=weight_decay)
    history = net.fit(x, y, "bce", lbfgs, epochs=1000)
    assert lbfgs.stop_reason is not None
    assert_close(net.parameters, want.x, CONVEX_MINIMUM)
    loss = want.fun - 0.5 * weight_decay * want.x @ want.x
    assert history[-1]["loss"] == pytest.approx(loss, rel=CONVEX_MINIMUM)


def test_its_iterations_are_those_of_scipy():
    x, y = regression_data(dtype=np.float64)
    net = make_net("float64")
    function = net.as_function(x, y, "mse")
    options = {"maxcor": 5, "gtol": 1e-3, "ftol": 0.0, "maxiter": 200}
    want = optimize.minimize(
        function.value, net.parameters, jac=function.jac, method="L-BFGS-B", options=options
    )
    history = net.fit(x, y, "mse", mlpcore.LBFGS(5, 1e-3), epochs=200)
    np.testing.assert_array_equal(net.parameters, want.x)
    assert len(history) == want.nit < 200
    assert history[-1]["loss"] == want.fun


def test_any_loss_will_do():
    x, y = regression_data(dtype=np.float64)

    def squared(y_hat, y):
        return ((y_hat - y) ** 2).mean(), 2 * (y_hat - y) / y.size

    nets = [make_net("float64"), make_net("float64")]
    for net, loss in zip(nets, ("mse", squared), strict=True):
        net.fit(x, y, loss, mlpcore.LBFGS(), epochs=10)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-6)
    classes = np.arange(70) % 2
    history = make_net().fit(x, classes, "cross_entropy", mlpcore.LBFGS(), epochs=10)
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize(
    ("options", "epochs", "scale", "reason"),
    [
        ({"tolerance": 1e-2}, 10**4, 1.0, "gradient"),
        ({}, 10**4, 1e3, "loss"),
        ({"tolerance": 0.0, "max_evaluations": 20}, 1000, 1.0, "max_evaluations"),
        ({"tolerance": 0.0}, 20, 1.0, None),
    ],
)
def test_why_a_fit_ends_can_be_read(options, epochs, scale, reason):
    x, y = regression_data(dtype=np.float64)
    net = mlpcore.MLP([3, 4, 2], "tanh", dtype="float64", seed=0)
    lbfgs = mlpcore.LBFGS(**options)
    # A large loss gains next to nothing while its gradient is still large.
    loss = mlpcore.losses.MSE("sum") if scale > 1.0 else "mse"
    history = net.fit(x, scale * y, loss, lbfgs, epochs=epochs)
    assert lbfgs.stop_reason == reason
    assert (len(history) == epochs) == (reason is None)
    gradient = abs(net.value_and_grad(x, scale * y, loss)[1].flat).max()
    assert (gradient <= lbfgs.tolerance) == (reason == "gradient")
    if reason == "max_evaluations":
        assert 20 < lbfgs.n_evaluations < 40
    lbfgs.reset()
    assert (lbfgs.stop_reason, lbfgs.n_steps, lbfgs.n_evaluations) == (None, 0, 0)


def test_a_fit_that_does_not_come_to_an_iteration_counts_none():
    x, y = regression_data(dtype=np.float64)
    net, lbfgs = make_net("float64"), mlpcore.LBFGS()
    net.fit(x, y, "mse", lbfgs, epochs=3)
    assert lbfgs.n_evaluations >= 3

    def fails(y_hat, y):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        net.fit(x, y, fails, lbfgs, epochs=3)
    assert (lbfgs.n_evaluations, lbfgs.stop_reason) == (0, None)


def test_in_float32_it_ends_with_the_digits():
    x, y = regression_data()
    net, lbfgs = mlpcore.MLP([3, 4, 2], "tanh", seed=0), mlpcore.LBFGS(tolerance=0.0)
    history = net.fit(x, y, "mse", lbfgs, epochs=10**5)
    assert lbfgs.stop_reason in ("loss", "line_search")
    assert history[-1]["loss"] == net.value_and_grad(x, y, "mse")[0]
    assert history[-1]["loss"] < history[0]["loss"] / 10


def test_a_gradient_that_points_up_ends_in_the_line_search():
    x, y = regression_data(dtype=np.float64)
    net, lbfgs = make_net("float64"), mlpcore.LBFGS()
    before = net.copy()

    def wrong(y_hat, y):
        return ((y_hat - y) ** 2).sum(), -2 * (y_hat - y)

    history = net.fit(x, y, wrong, lbfgs, epochs=9)
    assert lbfgs.stop_reason == "line_search"
    assert len(history) == 1
    assert net == before
    assert history[0]["loss"] == pytest.approx(((net(x) - y) ** 2).sum(), rel=1e-12)
    assert history[0]["n_evaluations"] == lbfgs.n_evaluations > 2


def test_it_goes_on_below_what_scipy_takes_for_no_progress():
    x = np.linspace(-1, 1, 50)[:, np.newaxis]
    ends = []
    for tolerance in (1e-4, 1e-8):
        net = mlpcore.MLP([1, 8, 1], "tanh", dtype="float64", seed=0)
        history = net.fit(x, np.sin(3 * x), "mse", mlpcore.LBFGS(tolerance=tolerance), epochs=5000)
        ends.append((len(history), history[-1]["loss"]))
    # Where it ends in the valley depends on the last bits of a BLAS; that it went on does not.
    assert ends[1][0] > ends[0][0]
    assert ends[1][1] < ends[0][1]


def test_it_cannot_be_saved_while_it_is_at_work(tmp_path):
    x, y = regression_data()
    kept = []

    def save(state):
        with pytest.raises(RuntimeError, match=r"LBFGS is at work.*curvature.*mlpcore\.save"):
            state.trainer.save(tmp_path / "trainer")
        mlpcore.save(state.net, tmp_path / "net")
        kept.append(state.epoch)

    trainer = mlpcore.Trainer(make_net(), "mse", mlpcore.LBFGS())
    trainer.fit(x, y, epochs=2, callbacks=[save])
    assert kept == [1, 2]
    assert not (tmp_path / "trainer").exists()
    assert mlpcore.load(tmp_path / "net") == trainer.net


def test_without_scipy_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"mlpcore\.LBFGS needs scipy: pip install scipy"):
        mlpcore.LBFGS()


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"history_size": 0}, ValueError, "history_size"),
        ({"history_size": 2.0}, TypeError, "history_size"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"tolerance": np.inf}, ValueError, "tolerance"),
        ({"max_evaluations": 0}, ValueError, "max_evaluations"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay"),
        ({"weight_decay": "0"}, TypeError, "weight_decay"),
    ],
)
def test_arguments_out_of_range_are_refused(options, error, name):
    with pytest.raises(error, match=f"^{name}: expected .*got "):
        mlpcore.LBFGS(**options)


def test_its_arguments_are_read_only():
    lbfgs = mlpcore.LBFGS()
    for name in ("history_size", "tolerance", "max_evaluations", "weight_decay"):
        with pytest.raises(AttributeError):
            setattr(lbfgs, name, 1)
    assert (lbfgs.history_size, lbfgs.tolerance) == (10, 1e-4)
    assert (lbfgs.max_evaluations, lbfgs.weight_decay) == (15000, 0.0)


def test_a_loss_that_is_lost_on_the_way_names_its_epoch_and_keeps_the_last():
    x, y = regression_data(dtype=np.float64)
    net, kept = make_net("float64"), []

    def spoiled(y_hat, y):
        value = np.nan if len(kept) == 3 else ((y_hat - y) ** 2).mean()
        return value, 2 * (y_hat - y) / y.size

    trainer = mlpcore.Trainer(net, spoiled, mlpcore.LBFGS())
    with pytest.raises(
        FloatingPointError, match=r"^epoch 4: the loss of what layer 2 gives is not"
    ):
        trainer.fit(x, y, epochs=9, callbacks=[lambda state: kept.append(state.net.copy())])
    assert trainer.n_epochs == 3
    assert net == kept[-1]


def test_l2_is_a_penalty_of_the_weights_alone():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 1)) + 5.0
    net = mlpcore.MLP([3, 1], dtype="float64", seed=0)
    lbfgs = mlpcore.LBFGS(tolerance=1e-12, l2=0.7)
    net.fit(x, y, "mse", lbfgs, epochs=200)
    centred = x - x.mean(axis=0)
    normal = centred.T @ centred * (2 / 60) + 0.7 * np.eye(3)
    weight = np.linalg.solve(normal, centred.T @ (y - y.mean()) * (2 / 60))
    np.testing.assert_allclose(net.weights[0].T, weight, rtol=1e-7)
    # The bias is free: the residuals have no mean.
    np.testing.assert_allclose((net(x) - y).mean(), 0.0, atol=1e-9)
    with pytest.raises(ValueError, match=r"^l2: expected a number in \[0, inf\), got -1"):
        mlpcore.LBFGS(l2=-1.0)
