# SPDX-License-Identifier: BSD-3-Clause
"""Beside scikit-learn's estimators: the same weights, curves, epochs, attributes and messages."""

import inspect
import re

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_digits

import mlpcore

CLASSIFIERS = neural_network.MLPClassifier, mlpcore.MLPClassifier
REGRESSORS = neural_network.MLPRegressor, mlpcore.MLPRegressor

X, LABELS = load_digits(return_X_y=True)
X = X[:600] / 16.0
LABELS = LABELS[:600]
TARGETS = np.c_[LABELS / 5.0, X[:, 20]]
PROBLEMS = {
    "classes": (CLASSIFIERS, LABELS, {}),
    "two classes": (CLASSIFIERS, LABELS % 2, {}),
    "several labels": (CLASSIFIERS, np.c_[LABELS % 2, LABELS % 3 == 0, LABELS > 4] * 1, {}),
    "one target": (REGRESSORS, TARGETS[:, 0], {}),
    "several targets": (REGRESSORS, TARGETS, {}),
    "poisson": (REGRESSORS, LABELS, {"loss": "poisson"}),
}


def both(problem, sample_weight=None, **settings):
    """Their estimator and ours, fitted to the rows as they lie."""
    classes, y, own = PROBLEMS[problem]
    settings = {"shuffle": False, "max_iter": 5, "random_state": 3, "batch_size": 200} | settings
    return [cls(**(settings | own)).fit(X, y, sample_weight) for cls in classes]


def difference(theirs, ours):
    return max(
        np.abs(a - b).max()
        for a, b in zip(
            theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True
        )
    )


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate_init": 0.02, "alpha": 0.1},
        {"learning_rate_init": 0.02, "alpha": 1.0, "activation": "logistic", "momentum": 0.5},
        {"learning_rate_init": 0.02, "activation": "tanh", "nesterovs_momentum": False},
        {"learning_rate_init": 0.02, "hidden_layer_sizes": (7, 5), "momentum": 0.0},
        {"learning_rate_init": 0.02, "hidden_layer_sizes": [], "activation": "identity"},
    ],
)
def test_sgd_makes_the_same_weights(problem, settings):
    theirs, ours = both(problem, solver="sgd", **settings)
    assert difference(theirs, ours) < 1e-13
    # Theirs is taken before each step, with the penalty of then; ours has that of the epoch's end.
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=2e-3)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_) == (5, 3000)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_curves_without_a_penalty_are_the_same(problem):
    theirs, ours = both(problem, solver="sgd", alpha=0.0, learning_rate_init=0.02)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-12)
    assert ours.loss_ == ours.loss_curve_[-1]
    assert ours.best_loss_ == min(ours.loss_curve_)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_sample_weights_have_the_same_meaning(problem):
    weight = np.random.default_rng(0).uniform(0.0, 3.0, len(X))
    theirs, ours = both(
        problem, weight, solver="sgd", learning_rate_init=0.02, alpha=0.3, batch_size=600
    )
    assert difference(theirs, ours) < 1e-13


@pytest.mark.parametrize("problem", PROBLEMS)
def test_adam_makes_weights_that_are_close(problem):
    # Theirs adds epsilon before the bias of the second moment is corrected, ours after it; a larger
    # gradient makes that small.
    theirs, ours = both(problem, epsilon=1e-14, alpha=1.0, activation="tanh")
    assert difference(theirs, ours) < 1e-6


# With several targets theirs is given the mean of their losses and the gradient of the sum.
@pytest.mark.parametrize("problem", sorted(set(PROBLEMS) - {"several targets"}))
def test_lbfgs_goes_the_same_way(problem):
    theirs, ours = both(problem, solver="lbfgs", alpha=0.5, max_iter=8)
    assert difference(theirs, ours) < 1e-9
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-12)
    assert ours.n_iter_ == theirs.n_iter_ == len(ours.loss_curve_) == 8


@pytest.mark.parametrize("activation", ["relu", "logistic", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_first_weights_are_the_same_bits(activation, dtype):
    rows = X.astype(dtype)
    settings = {"activation": activation, "hidden_layer_sizes": (9, 4), "random_state": 5}
    settings |= {"learning_rate_init": 1e-300, "solver": "sgd", "max_iter": 1, "alpha": 0.0}
    theirs, ours = (cls(**settings).fit(rows, LABELS) for cls in CLASSIFIERS)
    assert all(array.dtype == dtype for array in ours.coefs_ + ours.intercepts_)
    assert difference(theirs, ours) == 0.0


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_training_stops_after_the_same_epochs(learning_rate, tol):
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    settings = {"solver": "sgd", "learning_rate": learning_rate, "tol": tol, "max_iter": 400}
    settings |= {"learning_rate_init": 0.1, "power_t": 0.1, "shuffle": False, "random_state": 0}
    settings |= {"batch_size": 221, "alpha": 0.0, "n_iter_no_change": 3}
    # Their velocities have the rates of their steps in them, ours do not: see SGD.
    settings |= {"momentum": 0.0}
    theirs, ours = (cls(**settings).fit(X, y) for cls in REGRESSORS)
    assert ours.n_iter_ == theirs.n_iter_
    rate = ours._trainer.optimizer.learning_rate
    assert rate == pytest.approx(theirs._optimizer.learning_rate, rel=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize(("theirs", "ours"), [CLASSIFIERS, REGRESSORS])
def test_parameters_are_theirs_in_order_and_default_and_more(theirs, ours):
    def parameters(cls):
        return [(p.name, p.default, p.kind) for p in inspect.signature(cls).parameters.values()]

    assert parameters(ours)[: len(parameters(theirs))] == parameters(theirs)
    assert {name for name, *_ in parameters(ours)[len(parameters(theirs)) :]} >= {
        "hidden_activations",
        "output_activation",
        "dropout",
        "l1",
        "clip_norm",
        "schedule",
        "callbacks",
        "dtype",
        "n_threads",
    }


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_attributes_are_theirs_and_more(problem, solver):
    theirs, ours = both(problem, solver=solver)
    names = [n for n in dir(theirs) if n.endswith("_") and not n.startswith("_")]
    for name in names:
        expected, got = getattr(theirs, name), getattr(ours, name)
        if isinstance(expected, np.floating):
            assert type(got) is float, name
        else:
            assert isinstance(got, type(expected)), name
        if name in ("n_layers_", "n_outputs_", "n_features_in_", "out_activation_"):
            assert got == expected, name
    assert {"coefs_", "n_iter_", "loss_"} < set(names)
    if hasattr(theirs, "classes_"):
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)


BAD = {
    "hidden_layer_sizes": [0, -3, "a", None],
    "activation": ["gelu", 1],
    "solver": ["newton", None],
    "alpha": [-1.0, "a", np.inf, np.nan],
    "batch_size": [0, 2.5, "all"],
    "learning_rate": ["fast"],
    "learning_rate_init": [0.0, -1],
    "power_t": [-1.0, None],
    "max_iter": [0, 1.5],
    "shuffle": [1, "yes"],
    "random_state": [-1, 2**32, "a"],
    "tol": [-1e-9],
    "verbose": [-1, 0.5],
    "warm_start": ["no"],
    "momentum": [1.1, -0.1],
    "nesterovs_momentum": [None],
    "early_stopping": [0],
    "validation_fraction": [1.0, -0.1],
    "beta_1": [1.0],
    "beta_2": [-0.1],
    "epsilon": [0.0],
    "n_iter_no_change": [0, 1.5],
    "max_fun": [0],
}


@pytest.mark.parametrize(("theirs", "ours"), [CLASSIFIERS, REGRESSORS])
@pytest.mark.parametrize("name", BAD)
def test_bad_parameters_have_their_messages(theirs, ours, name):
    def words(cls, value):
        with pytest.raises(ValueError, match=name) as caught:
            cls(**{name: value}).fit(X[:10], LABELS[:10])
        # Their options come out of a set, in any order.
        return sorted(re.findall(r"\w+|\S", str(caught.value))), type(caught.value).__mro__[1:]

    for value in BAD[name]:
        expected = words(theirs, value)
        if (name, value) == ("hidden_layer_sizes", "a"):
            continue  # a text is a sequence of texts to them
        assert words(ours, value) == expected, value


@pytest.mark.parametrize("sizes", [(3, 0), (-1,), [2, -5]])
def test_sizes_that_are_not_above_zero_have_their_message(sizes):
    messages = []
    for cls in CLASSIFIERS:
        with pytest.raises(ValueError, match="must be > 0") as caught:
            cls(hidden_layer_sizes=sizes).fit(X[:10], LABELS[:10])
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_momentum_of_one_is_taken():
    theirs, ours = both("one target", solver="sgd", momentum=1.0, learning_rate_init=1e-4)
    assert difference(theirs, ours) < 1e-12


def test_it_can_be_turned_into_theirs_and_back():
    _, ours = both("classes")
    theirs = ours.net_.to_sklearn()
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-10)
    assert mlpcore.MLP.from_sklearn(ours) == ours.net_
