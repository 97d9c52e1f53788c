# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's checks of its own conventions: all of them, for many settings, none left out."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.utils import estimator_checks
from sklearn.utils._param_validation import Interval, Options, StrOptions

import mlpcore
from mlpcore import losses, schedules
from mlpcore.estimators import parameters

ESTIMATORS = [mlpcore.MLPClassifier, mlpcore.MLPRegressor]


def look_on(state):
    """A callback that does nothing."""


# Settings for which a weight of k is the row k times, exactly: batches of all rows, no dropout, and
# float64, where the rounding is far below the tolerance.
SETTINGS = {
    "default": {},
    "sgd": {
        "solver": "sgd",
        "learning_rate_init": 0.05,
        "learning_rate": "adaptive",
        "max_iter": 60,
        "activation": "tanh",
    },
    "plain sgd": {
        "solver": "sgd",
        "learning_rate_init": 0.05,
        "activation": "tanh",
        "momentum": 0.8,
        "nesterovs_momentum": False,
        "batch_size": 64,
        "max_iter": 80,
    },
    # Its minimum is the only one: elsewhere its iterations magnify the last bits of a sum.
    "lbfgs": {
        "solver": "lbfgs",
        "hidden_layer_sizes": (),
        "alpha": 0.1,
        "tol": 1e-10,
        "max_iter": 200,
    },
    "deep": {
        "hidden_layer_sizes": (20, 20),
        "hidden_activations": ("gelu", "silu"),
        "l1": 1e-3,
        "clip_norm": 5.0,
        "learning_rate_init": 0.01,
        "max_iter": 80,
    },
    "no hidden layer": {
        "hidden_layer_sizes": (),
        "learning_rate_init": 0.1,
        "shuffle": False,
        "max_iter": 100,
    },
    "schedule": {
        "schedule": schedules.Cosine(warmup=2.0),
        "learning_rate_init": 0.02,
        "n_threads": 1,
        "max_iter": 60,
        "callbacks": [look_on],
    },
    "another loss": {"learning_rate_init": 0.02, "max_iter": 150},
    "another output": {"learning_rate_init": 0.01, "max_iter": 150, "activation": "logistic"},
}
OWN = {
    ("another loss", mlpcore.MLPClassifier): {"loss": losses.MSE("batch_mean")},
    ("another loss", mlpcore.MLPRegressor): {"loss": "huber"},
    ("another output", mlpcore.MLPClassifier): {"output_activation": "logistic"},
    ("another output", mlpcore.MLPRegressor): {"hidden_activations": "softplus"},
}
# Settings for which it cannot be exact: copies of a row fall into several batches, are held out or
# dropped apart from each other; see test_weights.py. And early_stopping refuses partial_fit.
NOT_EXACT = {
    "mini-batches": {"batch_size": 4, "max_iter": 30},
    "dropout": {"dropout": 0.2, "hidden_layer_sizes": (50,), "max_iter": 80},
    "early stopping": {
        "early_stopping": True,
        "validation_fraction": 0.2,
        "n_iter_no_change": 30,
        "learning_rate_init": 0.02,
        "max_iter": 100,
    },
}
OF_PARTIAL_FIT = {
    "check_fit_score_takes_y",
    "check_n_features_in_after_fitting",
    "check_estimators_partial_fit_n_features",
}
EQUIVALENCES = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}


def results_of(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit of a few epochs has not converged
        return estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)


def report(results):
    return [(r["check_name"], r["status"], str(r["exception"])) for r in results]


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_check_passes(cls, name):
    results = results_of(cls(**SETTINGS[name], **OWN.get((name, cls), {})))
    assert report(r for r in results if r["status"] != "passed") == []
    with_epochs = name != "lbfgs"
    n_checks = {mlpcore.MLPClassifier: 67, mlpcore.MLPRegressor: 60}[cls] + with_epochs
    assert len(results) >= n_checks


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("name", NOT_EXACT)
def test_every_check_passes_but_what_cannot_be(cls, name):
    results = results_of(cls(**NOT_EXACT[name]))
    impossible = EQUIVALENCES | (OF_PARTIAL_FIT if name == "early stopping" else set())
    assert impossible <= {r["check_name"] for r in results} | OF_PARTIAL_FIT
    failed = [r for r in results if r["status"] != "passed"]
    assert report(r for r in failed if r["check_name"] not in impossible) == []


# ---- the checks that check_estimator does not run by itself --------------------------------------


def as_sklearn_rule(rule):
    """The rule as scikit-learn writes it, for its own check of messages."""
    if isinstance(rule, parameters.Interval):
        high = None if rule.high == np.inf else rule.high
        return Interval(rule.kind, rule.low, high, closed=rule.closed)
    if isinstance(rule, parameters.Choice):
        make = StrOptions if rule.kind is str else lambda options: Options(rule.kind, options)
        return make(set(rule.options))
    if isinstance(rule, parameters.Instance):
        return rule.kind
    return "array-like" if isinstance(rule, parameters.ArrayLike) else callable


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_parameter_is_checked_with_scikit_learns_words(cls, solver, monkeypatch):
    rules = parameters.CLASSIFIER if cls is mlpcore.MLPClassifier else parameters.REGRESSOR
    rules = {name: [as_sklearn_rule(rule) for rule in rules[name]] for name in rules}
    monkeypatch.setattr(cls, "_parameter_constraints", rules, raising=False)
    estimator_checks.check_param_validation(cls.__name__, cls(solver=solver))


CHECKS_OF_COLUMNS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_inplace_ensure_writeable,
]


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("check", CHECKS_OF_COLUMNS)
def test_checks_of_names_and_counts_of_columns(cls, check):
    check(cls.__name__, cls(max_iter=5))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_balanced_classes_score_better():
    # Learnt where one class is rare, judged where both are as frequent.
    X, y = make_classification(n_samples=3000, class_sep=0.7, flip_y=0.05, random_state=0)
    rare = np.flatnonzero(y[:1500] == 1)[60:]
    estimator_checks.check_class_weight_balanced_classifiers(
        "MLPClassifier",
        mlpcore.MLPClassifier((), learning_rate_init=0.1),
        np.delete(X[:1500], rare, axis=0),
        np.delete(y[:1500], rare),
        X[1500:],
        y[1500:],
        None,
    )


# Of classifiers with several classes for each of several outputs, of what takes no negative numbers
# or has features to name; and parts of those that are run.
NOT_OF_ONE_LABEL = [
    "check_classifier_multioutput",
    "check_classifiers_predictions",
    "check_estimators_data_not_an_array",
    "check_fit_non_negative",
    "check_get_feature_names_out_error",
]


def name_of(check):
    while hasattr(check, "func"):
        check = check.func
    return check.__name__


@pytest.mark.filterwarnings("ignore:.*array API:UserWarning")
def test_no_check_of_scikit_learn_is_forgotten():
    every = {name for name in vars(estimator_checks) if name.startswith("check_")}
    every = {n for n in every if vars(estimator_checks)[n].__module__ == estimator_checks.__name__}
    for cls in ESTIMATORS:
        generator = estimator_checks.estimator_checks_generator(cls())
        every -= {name_of(check) for _, check in generator}
    every -= {check.__name__ for check in CHECKS_OF_COLUMNS}
    every -= {"check_estimator", "check_param_validation"}
    every -= {"check_class_weight_balanced_classifiers"}
    # These are for transformers, clusterers, outlier detectors, linear models and those who take
    # arrays of other libraries; or parts of one that is run.
    others = "transform|cluster|outlier|sparsify|linear|array_api|global_|nonsquare|multiclass"
    left = sorted(name for name in every if not re.search(others, name))
    assert left == NOT_OF_ONE_LABEL
