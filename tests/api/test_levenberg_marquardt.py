# SPDX-License-Identifier: BSD-3-Clause
"""Levenberg-Marquardt: against the reference, closed forms, its bound of memory, its reasons."""

import tracemalloc

import numpy as np
import pytest
from guarded import guarded
from regression import make_net, regression_data
from tolerances import GAUSS_NEWTON, TRAINED, assert_close

import mlpcore
from mlpcore import _core, levenberg_marquardt, reference
from mlpcore._validation import Batch
from mlpcore.full_batch_problem import FullBatchProblem
from mlpcore.topology import layer_views


def residuals_of(net, x, y, reduction, sample_weight, weight_decay, l2=0.0):
    """The residuals of loss and penalty, whose squares have the sum that is minimised."""
    weight = np.ones(len(x)) if sample_weight is None else sample_weight
    total = {"mean": weight.sum() * y.shape[1], "batch_mean": weight.sum(), "sum": 1.0}[reduction]
    scale = np.sqrt(weight / total)[:, np.newaxis]
    decay = np.full(net.n_parameters, weight_decay)
    for of_weight in layer_views(decay, net.sizes, net.has_bias)[0]:
        of_weight += l2

    def function(parameters):
        layers = reference.layers_from_flat(parameters, net.sizes, net.activations, net.has_bias)
        jacobian = scale[..., np.newaxis] * reference.parameter_jacobian(layers, x)
        residuals = scale * (reference.forward(layers, x) - y)
        root = np.sqrt(0.5 * decay)
        return (
            np.concatenate([residuals.reshape(-1), root * parameters]),
            np.concatenate([jacobian.reshape(-1, len(parameters)), np.diag(root)]),
        )

    return function


@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum"])
@pytest.mark.parametrize(
    ("damping", "weight_decay", "l2", "activations"),
    [
        (1e-3, 0.0, 0.0, ["tanh", "identity"]),
        (1e-6, 0.1, 0.0, ["softplus", "tanh"]),
        (1e-3, 0.02, 0.1, ["tanh", "tanh"]),
        (1.0, 0.0, 0.0, ["sigmoid", "softmax"]),
    ],
)
def test_its_steps_are_those_of_the_reference(
    reduction, damping, weight_decay, l2, activations, dtype
):
    x, y = regression_data(n_samples=30, dtype=dtype)
    weight = np.random.default_rng(0).uniform(0, 3, 30)
    net = mlpcore.MLP([3, 4, 2], activations, dtype=dtype, seed=0)
    lm = mlpcore.LevenbergMarquardt(damping, weight_decay=weight_decay, l2=l2)
    function = residuals_of(net, x, y, reduction, weight, weight_decay, l2)
    want, state = net.parameters.astype(np.float64), {}
    loss = mlpcore.losses.MSE(reduction)
    trainer = mlpcore.Trainer(net, loss, lm)
    for _ in range(4):
        want, state = reference.levenberg_marquardt_step(function, want, state, damping)
        trainer.fit(x, y, epochs=1, sample_weight=weight)
        assert_close(net.parameters, want, GAUSS_NEWTON[dtype])
        assert lm.current_damping == pytest.approx(state["mu"], rel=GAUSS_NEWTON[dtype])


def test_a_step_that_raises_the_loss_is_tried_anew_with_more_damping():
    x, y = np.array([[1.0]]), np.array([[0.0]])
    net = mlpcore.MLP([1, 1], ["tanh"], dtype="float64", bias=False)
    net.parameters[:] = 1.5  # from here, Newton's step overshoots to where tanh is flatter still
    function = residuals_of(net, x, y, "sum", None, 0.0)
    want, state = reference.levenberg_marquardt_step(function, net.parameters, {}, 1e-3)
    lm = mlpcore.LevenbergMarquardt()
    history = net.fit(x, y, mlpcore.losses.MSE("sum"), lm, epochs=1)
    n_rejected = history[0]["n_evaluations"] - 2
    assert n_rejected >= 2
    first = 1e-3 * 2 * (1 - np.tanh(1.5) ** 2) ** 2
    doublings = n_rejected * (n_rejected + 1) // 2  # 2 times 4 times 8 ...
    assert history[0]["damping"] == pytest.approx(first * 2**doublings, rel=1e-9)
    assert_close(net.parameters, want, TRAINED["float64"])
    assert lm.current_damping == pytest.approx(state["mu"], rel=1e-9)
    assert history[0]["loss"] < np.tanh(1.5) ** 2


@pytest.mark.parametrize("sample_weight", [None, np.arange(40.0)])
def test_a_linear_problem_is_solved_in_one_undamped_step(sample_weight):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    net = mlpcore.MLP([3, 2], "identity", dtype="float64", seed=0)
    lm = mlpcore.LevenbergMarquardt(damping=0.0)
    history = net.fit(x, y, "mse", lm, epochs=9, sample_weight=sample_weight)
    root = np.sqrt(np.ones(40) if sample_weight is None else sample_weight)[:, np.newaxis]
    want, *_ = np.linalg.lstsq(root * np.c_[x, np.ones(40)], root * y)
    assert len(history) == 1
    assert history[0]["damping"] == lm.current_damping == 0.0
    assert lm.stop_reason == "gradient"
    assert_close(np.c_[net.weights[0], net.biases[0]], want.T, TRAINED["float64"])


def test_weight_decay_is_ridge_regression_of_all_parameters():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 1))
    net = mlpcore.MLP([3, 1], "identity", dtype="float64", seed=0)
    loss = mlpcore.losses.MSE("sum")
    lm = mlpcore.LevenbergMarquardt(damping=0.0, weight_decay=3.0)
    history = net.fit(x, y, loss, lm, epochs=1)
    design = np.c_[x, np.ones(40)]
    want = np.linalg.solve(design.T @ design + 1.5 * np.eye(4), design.T @ y)
    assert_close(np.r_[net.weights[0][0], net.biases[0]], want[:, 0], TRAINED["float64"])
    assert history[0]["loss"] == net.value_and_grad(x, y, loss)[0]


def test_without_damping_a_singular_problem_gets_some():
    x = np.zeros((5, 2))  # the weights have no influence
    y = np.ones((5, 1))
    net = mlpcore.MLP([2, 1], "identity", dtype="float64", seed=0)
    weights = net.weights[0].copy()
    history = net.fit(x, y, "mse", mlpcore.LevenbergMarquardt(damping=0.0), epochs=1)
    assert history[0]["damping"] > 0
    np.testing.assert_array_equal(net.weights[0], weights)
    np.testing.assert_allclose(net.biases[0], 1.0, rtol=1e-12)


def test_two_fits_are_one_and_a_file_in_the_middle_too(tmp_path):
    x, y = regression_data(dtype=np.float64)
    whole = mlpcore.Trainer(make_net("float64"), "mse", mlpcore.LevenbergMarquardt())
    path = tmp_path / "trainer"

    def save(state):
        if state.epoch == 2:
            state.trainer.save(path)

    whole.fit(x, y, epochs=6, callbacks=[save])
    parts = mlpcore.Trainer(make_net("float64"), "mse", mlpcore.LevenbergMarquardt())
    parts.fit(x, y, epochs=2)
    loaded = mlpcore.Trainer.load(path)
    assert loaded.n_epochs == 2
    assert loaded.optimizer.current_damping == parts.optimizer.current_damping
    for trainer in (parts, loaded):
        trainer.fit(x, y, epochs=4)
        assert trainer.net == whole.net
        assert [r["loss"] for r in trainer.history] == [r["loss"] for r in whole.history]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_blocks", [1, 3, 50])
def test_memory_stays_below_the_bound(dtype, n_blocks):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 4)).astype(dtype)
    y = rng.standard_normal((1500, 2)).astype(dtype)
    net = mlpcore.MLP([4, 20, 2], "tanh", dtype=dtype, seed=0)
    row = net.n_parameters * (8 if dtype == "float64" else 12)
    max_memory = 24 * net.n_parameters**2 + row * (1500 // n_blocks)
    net.copy().fit(x, y, "mse", mlpcore.LevenbergMarquardt(), epochs=1)  # imports
    lm = mlpcore.LevenbergMarquardt(max_memory=max_memory)
    tracemalloc.start()
    try:
        net.fit(x, y, "mse", lm, epochs=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Beside the matrices: outputs, residuals and cotangents of a block, vectors (P,), the history.
    assert peak < max_memory + 100 * (1500 // n_blocks) + 40 * 8 * net.n_parameters + 20_000
    assert lm.n_steps == 2


def test_blocks_change_nothing_but_the_rounding():
    x, y = regression_data(n_samples=200, dtype=np.float64)
    nets = []
    for n_rows in (200, 7, 1):
        net = make_net("float64")
        bound = 24 * net.n_parameters**2 + 8 * net.n_parameters * n_rows
        net.fit(x, y, "mse", mlpcore.LevenbergMarquardt(max_memory=bound), epochs=2)
        nets.append(net)
    for net in nets[1:]:
        assert_close(net.parameters, nets[0].parameters, GAUSS_NEWTON["float64"])


def test_a_bound_that_is_too_low_is_refused():
    net = make_net("float64")
    least = 24 * net.n_parameters**2 + 8 * net.n_parameters
    x, y = regression_data(dtype=np.float64)
    with pytest.raises(
        ValueError, match=rf"max_memory of at least {least} bytes.*{least - 1}.*LBF"
    ):
        net.fit(x, y, "mse", mlpcore.LevenbergMarquardt(max_memory=least - 1), epochs=1)
    assert net == make_net("float64")
    net.fit(x, y, "mse", mlpcore.LevenbergMarquardt(max_memory=least), epochs=1)
    assert net != make_net("float64")


@pytest.mark.parametrize(
    "loss", ["huber", "l1", "log_cosh", "quantile", "poisson", "bce_with_logits", "cross_entropy"]
)
def test_losses_that_are_no_sum_of_squares_are_named(loss):
    x, y = regression_data()
    name = type(mlpcore.losses.NAMED[loss]).__name__
    with pytest.raises(ValueError, match=rf"^loss: expected mse with Lev.*squares, got {name}\("):
        make_net().fit(x, abs(y) / 9, loss, mlpcore.LevenbergMarquardt(), epochs=1)


def test_a_function_is_no_sum_of_squares_either():
    def mine(y_hat, y):
        return ((y_hat - y) ** 2).sum(), 2 * (y_hat - y)

    with pytest.raises(ValueError, match=r"^loss: expected mse.*got CallableLoss\(mine\)"):
        make_net().fit(*regression_data(), mine, mlpcore.LevenbergMarquardt(), epochs=1)


def test_it_ends_where_no_step_is_left():
    x, y = regression_data()
    net = mlpcore.MLP([3, 4, 2], "tanh", dtype="float32", seed=0)
    lm = mlpcore.LevenbergMarquardt(tolerance=0.0)
    trainer = mlpcore.Trainer(net, "mse", lm)
    trainer.fit(x, y, epochs=2000)
    assert lm.stop_reason == "step"
    damping, n_rows, before = lm.current_damping, len(trainer.history), net.copy()
    assert n_rows == lm.n_steps < 2000
    last = trainer.fit(x, y, epochs=5)[-1]
    assert len(trainer.history) == n_rows + 1
    assert "damping" not in last
    assert lm.current_damping == damping
    assert net == before
    assert last["loss"] == net.value_and_grad(x, y, "mse")[0]


def test_near_the_solution_it_goes_on_to_the_last_digit():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 2))
    net = mlpcore.MLP([2, 3, 1], "tanh", dtype="float64", seed=0)
    y, truth = net(x), net.parameters.copy()
    net.parameters[:] += 0.01 * rng.standard_normal(net.n_parameters)
    lm = mlpcore.LevenbergMarquardt(tolerance=0.0)
    history = net.fit(x, y, "mse", lm, epochs=50)
    assert lm.stop_reason == "step"
    assert history[-1]["loss"] < 1e-28
    assert len(history) < 15
    assert_close(net.parameters, truth, GAUSS_NEWTON["float64"])


def test_its_damping_belongs_to_its_net_until_reset():
    x, y = regression_data()
    lm, net = mlpcore.LevenbergMarquardt(), make_net()
    net.fit(x, y, "mse", lm, epochs=1)
    other = make_net()
    with pytest.raises(ValueError, match=r"belongs to another net.*deepcopy.*reset"):
        other.fit(x, y, "mse", lm, epochs=1)
    assert other == make_net()
    lm.reset()
    assert (lm.current_damping, lm.n_steps) == (None, 0)
    other.fit(x, y, "mse", lm, epochs=1)
    assert other == net


def test_what_a_callback_writes_into_the_parameters_is_learnt_from():
    x, y = regression_data(dtype=np.float64)
    best = make_net("float64")
    best.fit(x, y, "mse", mlpcore.LevenbergMarquardt(), epochs=20)

    def jump(state):
        if state.epoch == 1:
            state.net.parameters[:] = best.parameters

    history = make_net("float64").fit(
        x, y, "mse", mlpcore.LevenbergMarquardt(), epochs=2, callbacks=[jump]
    )
    assert history[1]["loss"] < best.value_and_grad(x, y, "mse")[0]


def test_a_jacobian_whose_square_is_not_finite_is_an_error():
    net = mlpcore.MLP([1, 1], "identity", dtype="float64", bias=False, init="zeros")
    with pytest.raises(FloatingPointError, match=r"^epoch 1: the square of the Jacobian is not"):
        net.fit([[1e200]], [[0.0]], "mse", mlpcore.LevenbergMarquardt(), epochs=1)


@pytest.mark.parametrize("n_rows", [30, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_bend_of_the_outputs_is_their_second_derivative(weighted, n_rows):
    x, y = regression_data(n_samples=30, dtype=np.float64)
    weight = np.random.default_rng(0).uniform(0, 3, 30) if weighted else None
    net = make_net("float64")
    problem = FullBatchProblem(
        net,
        mlpcore.losses.MSE(),
        Batch(np.ascontiguousarray(x), np.ascontiguousarray(y), weight),
        mlpcore.LevenbergMarquardt(weight_decay=0.1),
        1,
    )
    parameters, step = net.parameters.copy(), np.linspace(-0.01, 0.02, net.n_parameters)
    got = levenberg_marquardt.bend_gradient(problem, parameters, step, n_rows)
    h = 1e-3
    ends = [
        mlpcore.reference.forward(
            reference.layers_from_flat(
                parameters + k * h * step, net.sizes, net.activations, net.has_bias
            ),
            x,
        )
        for k in (-1, 0, 1)
    ]
    second = (ends[0] - 2 * ends[1] + ends[2]) / h**2
    share = np.ones(30) if weight is None else weight
    cotangent = 2 * second * share[:, np.newaxis] / (share.sum() * second.shape[1])
    want = net.vjp(x, cotangent).flat
    # The rest of a central difference, 0.1^2 / 6 of the step's length squared; and the rounding of
    # a second difference, some epsilons over h^2 of the outputs.
    np.testing.assert_allclose(got, want, atol=1e-3 * abs(want).max())


def test_the_bend_saves_steps_in_a_curved_valley():
    x = np.linspace(-1, 1, 60)[:, np.newaxis]
    y = np.sin(3 * x)
    reached = []
    for bend in (levenberg_marquardt.LONGEST_BEND, -1.0):  # none is as short as that
        net = mlpcore.MLP([1, 6, 6, 1], "tanh", dtype="float64", seed=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(levenberg_marquardt, "LONGEST_BEND", bend)
            history = net.fit(x, y, "mse", mlpcore.LevenbergMarquardt(), epochs=400)
        losses = np.array([row["loss"] for row in history])
        reached.append(int((losses > 1e-9).sum()))
    assert reached[0] < 0.75 * reached[1]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 64, 201])
def test_damped_solutions(n):
    rng = np.random.default_rng(n)
    root = rng.standard_normal((n, n))
    hessian, gradient = root @ root.T, rng.standard_normal(n)
    diagonal = hessian.diagonal().copy()
    for mu in (10.0, 0.5):  # the second time the diagonal has been overwritten
        want = np.linalg.solve(root @ root.T + mu * np.eye(n), -gradient)
        lower = levenberg_marquardt.damped_factor(hessian, diagonal, mu)
        got = levenberg_marquardt.solve_factored(lower, -gradient)
        assert_close(got, want, GAUSS_NEWTON["float64"])
        # Nothing is read that is not L, neither beside it nor behind it.
        lower[np.triu_indices(n, 1)] = np.nan
        again = guarded(-gradient)
        _core.solve_factored(guarded(lower), again)
        assert np.array_equal(again, got)
    assert levenberg_marquardt.damped_factor(-root @ root.T, -diagonal, 0.0) is None


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"damping": -1e-3}, ValueError, "damping"),
        ({"damping": np.nan}, ValueError, "damping"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"max_memory": 0}, ValueError, "max_memory"),
        ({"max_memory": 1e9}, TypeError, "max_memory"),
        ({"weight_decay": "0"}, TypeError, "weight_decay"),
        ({"l2": -1.0}, ValueError, "l2"),
    ],
)
def test_arguments_out_of_range_are_refused(options, error, name):
    with pytest.raises(error, match=f"^{name}: expected .*got "):
        mlpcore.LevenbergMarquardt(**options)


def test_its_arguments_are_read_only():
    lm = mlpcore.LevenbergMarquardt()
    for name in ("damping", "tolerance", "max_memory", "weight_decay", "l2"):
        with pytest.raises(AttributeError):
            setattr(lm, name, 1)
    assert (lm.damping, lm.tolerance, lm.max_memory, lm.weight_decay) == (1e-3, 1e-8, 2**28, 0.0)
