# SPDX-License-Identifier: BSD-3-Clause
"""What sample weights and class weights mean: rows given several times, exactly or in the mean."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.utils.class_weight import compute_sample_weight

from mlpcore import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
TIMES = np.random.default_rng(0).integers(0, 4, len(X))
REPEATED = np.repeat(np.arange(len(X)), TIMES)


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 1000, "alpha": 0.3, "l1": 0.01},
        {"batch_size": 1000, "solver": "sgd", "learning_rate_init": 0.1, "alpha": 0.3},
        {"solver": "lbfgs", "alpha": 0.3, "max_iter": 15},
    ],
)
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
def test_a_weight_of_k_is_the_row_k_times_where_a_batch_is_all_rows(cls, settings):
    settings = settings | {"random_state": 0, "activation": "tanh"}
    settings = {"max_iter": 40} | settings
    weighted = cls(**settings).fit(X, Y, sample_weight=TIMES)
    repeated = cls(**settings).fit(X[REPEATED], Y[REPEATED])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)
    plain = cls(**settings).fit(X, Y)
    assert abs(plain.loss_curve_[-1] - weighted.loss_curve_[-1]) > 1e-4


def test_in_mini_batches_it_is_so_in_the_mean_over_orders():
    # A linear net and an epoch of small steps: what is learnt is the sum of the gradients.
    settings = {"solver": "sgd", "learning_rate_init": 1e-5, "momentum": 0.0, "alpha": 0.0}
    settings |= {"hidden_layer_sizes": (), "batch_size": 10, "tol": 0.0}

    def learnt(rows, weight, seed):
        model = MLPRegressor(max_iter=1, random_state=seed, **settings)
        start = MLPRegressor(max_iter=1, random_state=seed, **settings)
        start.set_params(learning_rate_init=1e-300).fit(X[rows], Y[rows])
        model.fit(X[rows], Y[rows], sample_weight=weight)
        return (model.coefs_[0] - start.coefs_[0]).ravel() / len(rows)

    every = np.arange(len(X))
    weighted = np.array([learnt(every, TIMES, seed) for seed in range(100)])
    repeated = np.array([learnt(REPEATED, None, seed) for seed in range(100)])
    # A batch of 10 weights is divided by their sum, which biases the mean by some 10 %.
    np.testing.assert_allclose(weighted.mean(axis=0), repeated.mean(axis=0), rtol=0.1)
    assert np.abs(weighted[0] - repeated[0]).max() > 1e-9


@pytest.mark.parametrize("given", ["balanced", {0: 2.0, 1: 0.5, 2: 1.0}, {0: 3.0}])
@pytest.mark.parametrize("of_rows", [None, TIMES])
def test_class_weights_are_weights_of_rows(given, of_rows):
    settings = {"max_iter": 10, "random_state": 0}
    rows = np.arange(20, 150)  # fewer of class 0
    weight = compute_sample_weight(given, Y[rows])
    if of_rows is not None:
        weight = weight * of_rows[rows]
    by_class = MLPClassifier(class_weight=given, **settings)
    by_class.fit(X[rows], Y[rows], None if of_rows is None else of_rows[rows])
    by_row = MLPClassifier(**settings).fit(X[rows], Y[rows], weight)
    assert by_class.net_ == by_row.net_


def test_balanced_is_refused_by_partial_fit_and_a_wrong_label_by_both():
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    model = MLPClassifier(class_weight={0: 2.0}).partial_fit(X, Y, classes=[0, 1, 2])
    assert model.n_iter_ == 1
    with pytest.raises(ValueError, match="are not in class_weight"):
        MLPClassifier(class_weight={0: 2.0, "one": 1.0}).fit(X, Y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(150), "at least one non-zero"),
        (-np.ones(150), "Negative values in sample_weight"),
        (np.ones(149), r"sample_weight.shape == \(149,\), expected \(150,\)"),
        (np.ones((150, 1)), "1D array or scalar"),
        (np.full(150, np.nan), "Input sample_weight contains NaN"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier().fit(X, Y, sample_weight=weight)


def test_one_weight_for_all_is_no_weight_but_for_the_penalties():
    one = MLPClassifier(max_iter=3, random_state=0, alpha=2e-4).fit(X, Y, sample_weight=2.0)
    none = MLPClassifier(max_iter=3, random_state=0).fit(X, Y)
    np.testing.assert_allclose(one.predict_proba(X), none.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "weight"),
    [
        ({"class_weight": {0: 0.0, 1: 0.0, 2: 0.0}}, None),
        ({"class_weight": {0: 0.0}}, (Y == 0).astype(float)),
        ({"early_stopping": True, "validation_fraction": 0.99}, np.eye(150)[7]),  # held out
        ({"dtype": "float32"}, np.full(150, 1e-60)),
    ],
)
def test_rows_to_learn_need_a_weight_above_zero(settings, weight):
    with pytest.raises(ValueError, match="at least one non-zero number: those of the rows"):
        MLPClassifier(random_state=0, **settings).fit(X, Y, sample_weight=weight)


def test_weights_beyond_the_precision_are_refused():
    with pytest.raises(ValueError, match="sample_weight: expected values in the range of float32"):
        MLPClassifier(dtype="float32").fit(X, Y, sample_weight=np.full(150, 1e60))


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, None, "2"])
def test_weights_of_classes_are_numbers(weight):
    with pytest.raises(ValueError, match=r"class_weight: expected finite .* for the class 1"):
        MLPClassifier(class_weight={1: weight}).fit(X, Y)
