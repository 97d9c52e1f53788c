# SPDX-License-Identifier: BSD-3-Clause
"""What a fit does, and goes on with; what scikit-learn's estimators cannot."""

import copy
import pickle
import signal

import joblib
import numpy as np
import pandas
import polars
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, make_regression

import mlpcore
from mlpcore import losses, schedules
from mlpcore.estimators import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
REAL_X, REAL_Y = make_regression(120, 5, n_informative=5, random_state=0)
REAL_Y /= REAL_Y.std()
ENDLESS = {"n_iter_no_change": np.inf, "random_state": 0}


def same_bits(first, second):
    assert first.net_ == second.net_
    assert first.loss_curve_ == second.loss_curve_
    assert first.t_ == second.t_


# ---- going on ------------------------------------------------------------------------------------

SOLVERS = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "dropout": {"dropout": 0.3, "hidden_layer_sizes": (20, 10)},
    "schedule": {"schedule": schedules.Exponential(0.9)},
    "early stopping": {"early_stopping": True},
    "sparse steps": {"batch_size": 7, "l1": 0.01, "clip_norm": 0.5},
}


@pytest.mark.parametrize("name", SOLVERS)
def test_warm_fits_of_a_and_b_epochs_are_one_of_a_and_b(name):
    settings = {"batch_size": 32, **ENDLESS, **SOLVERS[name]}
    at_once = MLPClassifier(max_iter=12, **settings).fit(X, NAMES)
    parts = MLPClassifier(max_iter=5, warm_start=True, **settings).fit(X, NAMES)
    assert parts.n_iter_ == 5
    parts.set_params(max_iter=7).fit(X, NAMES)
    assert (parts.n_iter_, len(parts.history_)) == (7, 12)
    same_bits(parts, at_once)
    assert parts.validation_scores_ == at_once.validation_scores_


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - {"early stopping"}))
def test_partial_fits_are_epochs_of_a_fit(name):
    settings = {"batch_size": 32, **ENDLESS, **SOLVERS[name]}
    at_once = MLPClassifier(max_iter=4, **settings).fit(X, NAMES)
    parts = MLPClassifier(max_iter=4, **settings)
    for _ in range(4):
        parts.partial_fit(X, NAMES, classes=np.unique(NAMES))
        assert parts.n_iter_ == 1
    same_bits(parts, at_once)


@pytest.mark.parametrize("how", [pickle.dumps, copy.deepcopy, None, "r"])  # joblib's mmap_mode
def test_a_copy_goes_on_with_the_same_bits(how, tmp_path):
    model = MLPRegressor(
        hidden_layer_sizes=(8,), max_iter=3, warm_start=True, dropout=0.1, **ENDLESS
    )
    model.fit(REAL_X, REAL_Y)
    if not callable(how):
        joblib.dump(model, tmp_path / "model")
        other = joblib.load(tmp_path / "model", mmap_mode=how)
    else:
        other = pickle.loads(how(model)) if how is pickle.dumps else how(model)
    assert other.net_ is not model.net_
    same_bits(model.fit(REAL_X, REAL_Y), other.fit(REAL_X, REAL_Y))


def test_a_warm_fit_goes_on_with_another_learning_rate_and_the_moments():
    model = MLPClassifier(max_iter=3, warm_start=True, **ENDLESS).fit(X, NAMES)
    moments = model._trainer.optimizer.first_moment.copy()
    n_steps, curve = model._trainer.optimizer.n_steps, model.loss_curve_
    model.set_params(learning_rate_init=1e-300).fit(X, NAMES)  # no step that can be noticed
    assert model._trainer.optimizer.n_steps == 2 * n_steps
    assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4, 5, 6]
    assert model.loss_curve_[:3] == curve
    assert not np.array_equal(model._trainer.optimizer.first_moment, moments)
    assert model.loss_curve_[3] == pytest.approx(model.loss_curve_[5], rel=1e-9)


def test_other_layers_cannot_go_on():
    model = MLPClassifier((5,), max_iter=2, warm_start=True, **ENDLESS).fit(X, NAMES)
    before = model.net_.copy()
    with pytest.raises(ValueError, match="warm_start and partial_fit go on with"):
        model.set_params(hidden_layer_sizes=(6,)).fit(X, NAMES)
    assert model.net_ == before
    with pytest.raises(ValueError, match="dtype: expected None or 'float64', in which warm_start"):
        model.set_params(hidden_layer_sizes=(5,), dtype="float32").fit(X, NAMES)
    assert model.net_ == before
    model.set_params(dtype=None, warm_start=False).fit(X[:, :2], NAMES)
    assert model.n_features_in_ == 2


# ---- what is minimised, and by what --------------------------------------------------------------


def test_losses_by_name_instance_and_function():
    def quantile(y_hat, y):
        loss = losses.Quantile(0.9, reduction="batch_mean")
        return loss(y_hat, y), loss.gradient(y_hat, y)

    settings = {"hidden_layer_sizes": (8,), "max_iter": 150, "learning_rate_init": 0.01}
    settings |= ENDLESS
    instance = MLPRegressor(losses.Quantile(0.9, reduction="batch_mean"), **settings)
    function = MLPRegressor(quantile, **settings)
    same_bits(instance.fit(REAL_X, REAL_Y), function.fit(REAL_X, REAL_Y))
    assert np.mean(instance.predict(REAL_X) > REAL_Y) > 0.8
    for name in ("l1", "huber", "log_cosh", "quantile"):
        model = MLPRegressor(name, **settings).fit(REAL_X, REAL_Y)
        assert model.score(REAL_X, REAL_Y) > 0.9
        assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_another_loss_of_a_classifier_sees_probabilities_and_zeros_and_ones():
    seen = []

    def squares(y_hat, y):
        seen.append((y_hat.sum(axis=1), y))
        return ((y_hat - y) ** 2).sum() / len(y), 2 * (y_hat - y) / len(y)

    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, **ENDLESS}
    own = MLPClassifier(loss=squares, shuffle=False, **settings).fit(X, NAMES)
    np.testing.assert_allclose(seen[0][0], 1.0)
    np.testing.assert_array_equal(seen[0][1], np.eye(3)[Y])
    named = MLPClassifier(loss=losses.MSE("batch_mean"), shuffle=False, **settings).fit(X, NAMES)
    np.testing.assert_allclose(own.predict_proba(X), named.predict_proba(X), rtol=1e-10)


def test_activations_of_each_layer_and_of_the_output():
    model = MLPRegressor(
        hidden_layer_sizes=(6, 5),
        hidden_activations=["gelu", "logistic"],
        output_activation="softplus",
        max_iter=2,
        **ENDLESS,
    ).fit(REAL_X, np.abs(REAL_Y))
    assert model.net_.activations == ("gelu", "sigmoid", "softplus")
    assert model.out_activation_ == "softplus"
    assert model.predict(REAL_X).min() >= 0.0
    one = MLPRegressor(hidden_activations="silu", max_iter=1, **ENDLESS).fit(REAL_X, REAL_Y)
    assert one.net_.activations == ("silu", "identity")


def test_outputs_of_a_classifier():
    settings = {"max_iter": 200, "learning_rate_init": 0.02, **ENDLESS}
    one_against_rest = MLPClassifier(output_activation="logistic", **settings).fit(X, NAMES)
    assert one_against_rest.net_.activations[-1] == "sigmoid"
    np.testing.assert_allclose(one_against_rest.predict_proba(X).sum(axis=1), 1.0)
    assert one_against_rest.score(X, NAMES) > 0.97
    two = MLPClassifier(output_activation="softmax", **settings).fit(X, Y == 2)
    assert two.n_outputs_ == 2
    p = two.predict_proba(X)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), two.decision_function(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_activations": ["relu", "relu"]}, "hidden_activations: expected a name for each"),
        ({"hidden_activations": ["softmax"]}, "hidden_activations: expected names among"),
        (
            {"schedule": schedules.Constant(), "learning_rate": "adaptive"},
            "learning_rate: expected",
        ),
        ({"solver": "lbfgs", "dropout": 0.1}, r"dropout: expected 0\.0 with solver='lbfgs'"),
        ({"solver": "lbfgs", "clip_norm": 1.0}, "clip_norm: expected None with solver='lbfgs'"),
        ({"dropout": [0.1, 0.2]}, "dropout: expected a rate for each of 1 hidden"),
        ({"loss": "poisson", "output_activation": "relu"}, "output_activation: expected None with"),
        ({"callbacks": [1]}, "callbacks: expected an iterable of callables"),
        ({"n_threads": 0}, "'n_threads' parameter of MLPRegressor must be an int in the range"),
        ({"dtype": "float16"}, "'dtype' parameter of MLPRegressor must be a str among"),
        ({"loss": "hinge"}, "'loss' parameter of MLPRegressor must be a str among .* a callable"),
    ],
)
def test_settings_that_do_not_fit_are_refused_and_leave_nothing(settings, message):
    model = MLPRegressor(**settings)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(REAL_X, REAL_Y)
    assert not [name for name in vars(model) if name.endswith("_")]


# ---- watching ------------------------------------------------------------------------------------


def test_validation_data_are_judged_and_not_learnt():
    train, held_out = slice(0, None, 2), slice(1, None, 2)
    settings = {"max_iter": 20, "learning_rate_init": 0.05, **ENDLESS}
    plain = MLPClassifier(**settings).fit(X[train], NAMES[train])
    judged = MLPClassifier(**settings).fit(
        X[train], NAMES[train], validation_data=(X[held_out], NAMES[held_out])
    )
    same_bits(plain, judged)
    assert plain.validation_scores_ is None
    assert len(judged.validation_scores_) == 20
    assert judged.validation_scores_[-1] == judged.score(X[held_out], NAMES[held_out])
    assert judged.best_validation_score_ == max(judged.validation_scores_)
    row = judged.history_[-1]
    p = judged.predict_proba(X[held_out])[np.arange(75), Y[held_out]]
    assert row["validation_loss"] == pytest.approx(-np.log(p).mean())


@pytest.mark.parametrize("given", [False, True])
def test_early_stopping_keeps_the_weights_with_the_best_score(given):
    y = REAL_Y + 2.0 * np.random.default_rng(0).normal(size=len(REAL_Y))
    data = (REAL_X[80:], y[80:]) if given else None
    model = MLPRegressor(
        hidden_layer_sizes=(50,),
        early_stopping=True,
        learning_rate_init=0.03,
        validation_fraction=0.3,
        random_state=0,
    ).fit(REAL_X[:80], y[:80], validation_data=data)
    assert model.n_iter_ < 200
    assert len(model.validation_scores_) == model.n_iter_
    best = int(np.argmax(model.validation_scores_))
    assert model.validation_scores_[best] == model.best_validation_score_
    assert best < model.n_iter_ - 1
    assert model.best_loss_ is None
    if given:
        assert model.score(*data) == pytest.approx(model.best_validation_score_, rel=1e-9)


def test_held_out_rows_are_of_each_class_alike():
    seen = []

    def note(y_hat, y):
        seen.append(len(y))
        return 0.0, np.zeros_like(y_hat)

    X, y = load_breast_cancer(return_X_y=True)
    model = MLPClassifier(early_stopping=True, loss=note, batch_size=1000, max_iter=1)
    with pytest.warns(UserWarning, match="clipped"):
        model.fit(X, y)
    assert sorted(seen) == [57, 512]


def test_weights_count_in_the_validation_score():
    data = (X[::2], NAMES[::2], (Y[::2] == 0) * 1.0)
    model = MLPClassifier(max_iter=5, **ENDLESS).fit(X, NAMES, validation_data=data)
    assert model.validation_scores_[-1] == model.score(X[Y == 0], NAMES[Y == 0])


def test_callbacks_see_epochs_change_the_rate_and_stop():
    rates = []

    def halve(state):
        rates.append(state.optimizer.learning_rate)
        state.row["half"] = state.optimizer.learning_rate / 2
        state.optimizer.learning_rate /= 2
        return state.epoch == 4

    model = MLPClassifier(callbacks=[halve], **ENDLESS).fit(X, NAMES)
    assert rates == [1e-3, 5e-4, 2.5e-4, 1.25e-4]
    assert model.n_iter_ == 4
    assert model.history_[-1]["half"] == 6.25e-5


def test_a_schedule_changes_the_rate_over_max_iter_also_in_partial_fits():
    rates = []
    for fit in ("fit", "partial_fit"):
        model = MLPRegressor(schedule=schedules.Cosine(), max_iter=4, **ENDLESS)
        for _ in range(1 if fit == "fit" else 4):
            getattr(model, fit)(REAL_X, REAL_Y)
        rates.append([row["learning_rate"] for row in model.history_])
    assert rates[0] == rates[1]
    assert rates[0][0] > 5 * rates[0][-1]


def test_ctrl_c_leaves_a_fitted_model():
    def interrupt(state):
        if state.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    model = MLPClassifier(callbacks=[interrupt], max_iter=50, **ENDLESS)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, NAMES)
    assert model.n_iter_ == 3
    assert model.predict(X).shape == (150,)


def test_divergence_says_where_and_keeps_the_former_model():
    model = MLPRegressor(solver="sgd", max_iter=5, random_state=0).fit(REAL_X, REAL_Y)
    before, net = dict(vars(model)), model.net_.copy()
    model.set_params(learning_rate_init=1e200)
    with pytest.raises(ValueError, match=r"Solver produced non-finite.*epoch 2, step") as caught:
        model.fit(REAL_X, REAL_Y)
    assert isinstance(caught.value.__cause__, FloatingPointError)
    assert model.net_ == net
    assert {n: v for n, v in vars(model).items() if n != "learning_rate_init"} == {
        n: v for n, v in before.items() if n != "learning_rate_init"
    }


# ---- data of all kinds ---------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame])
def test_frames_are_taken_with_their_names(frame):
    columns = ["sepal length", "sepal width", "petal length", "petal width"]
    rows = frame({name: X[:, i] for i, name in enumerate(columns)})
    series = pandas.Series if frame is pandas.DataFrame else polars.Series
    model = MLPClassifier(max_iter=3, **ENDLESS).fit(rows, series(NAMES))
    same_bits(model, MLPClassifier(max_iter=3, **ENDLESS).fit(X, NAMES))
    assert model.feature_names_in_.tolist() == columns
    assert set(model.predict(rows)) <= set(NAMES)
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model.predict(rows[columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_stays_what_it_is(dtype):
    rows = REAL_X.astype(dtype)
    model = MLPRegressor(max_iter=2, **ENDLESS).fit(rows, REAL_Y)
    assert model.net_.dtype == dtype
    assert model.predict(rows).dtype == model.predict(REAL_X).dtype == dtype
    assert model.predict_gradient(rows).dtype == dtype
    classifier = MLPClassifier(max_iter=2, **ENDLESS).fit(X.astype(dtype), NAMES)
    assert classifier.predict_proba(X).dtype == dtype
    assert MLPRegressor(dtype=dtype, max_iter=2).fit(REAL_X, REAL_Y).net_.dtype == dtype


def test_integers_become_float64_and_float32_stays_through_lists():
    assert MLPClassifier(max_iter=1).fit((X * 10).astype(int), Y).net_.dtype == np.float64
    rows = [np.float32(row) for row in X]
    assert MLPClassifier(max_iter=1).fit(rows, Y).net_.dtype == np.float32


def test_labels_of_all_kinds():
    for labels in (Y, NAMES, NAMES.astype(object), Y == 1, (Y - 5).astype(np.int8), Y * 1.0):
        model = MLPClassifier((20,), learning_rate_init=0.05, random_state=0).fit(X, labels)
        assert model.predict(X).dtype == labels.dtype
        assert model.score(X, labels) > 0.97
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        MLPClassifier().fit(X, Y + 0.5)
    with pytest.raises(ValueError, match="multiclass-multioutput"):
        MLPClassifier().fit(X, np.c_[Y, Y])


def test_several_labels_a_row():
    labels = np.c_[Y == 0, Y != 1, Y > 0]
    model = MLPClassifier((20,), learning_rate_init=0.05, random_state=0).fit(X, labels)
    assert model.predict(X).dtype == bool
    assert model.score(X, labels) > 0.97
    assert model.predict_proba(X).shape == model.decision_function(X).shape == (150, 3)
    with pytest.raises(ValueError, match="class_weight: expected None with several labels"):
        MLPClassifier(class_weight="balanced").fit(X, labels)


def test_one_class_is_predicted_with_certainty():
    model = MLPClassifier(max_iter=2).fit(X, np.full(150, "all"))
    assert set(model.predict(X)) == {"all"}
    np.testing.assert_array_equal(model.predict_proba(X), np.ones((150, 1)))


# ---- derivatives and weights ---------------------------------------------------------------------


def central_difference(function, x, step=1e-5):
    columns = []
    for i in range(x.shape[1]):
        ahead, behind = x.copy(), x.copy()
        ahead[:, i] += step
        behind[:, i] -= step
        columns.append((function(ahead) - function(behind)) / (2 * step))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(
    "model",
    [
        MLPRegressor(activation="tanh"),
        MLPRegressor("poisson", activation="tanh"),
        MLPClassifier(activation="tanh"),
    ],
)
def test_predict_gradient_is_the_derivative_of_what_is_predicted(model):
    is_classifier = isinstance(model, MLPClassifier)
    predict = "predict_proba" if is_classifier else "predict"
    for n_targets in (1, 3):
        if is_classifier:
            rows, y = X, Y if n_targets == 3 else Y == 0
        else:
            several = np.abs(np.stack([REAL_Y] * 3, axis=1))
            rows, y = REAL_X, several if n_targets == 3 else several[:, 0]
        model.set_params(max_iter=3, random_state=0).fit(rows, y)
        expected = central_difference(getattr(model, predict), rows[:10])
        if is_classifier and n_targets == 1:
            expected = expected[:, 1]
        np.testing.assert_allclose(model.predict_gradient(rows[:10]), expected, atol=1e-7)


def test_weights_that_are_put_in_are_the_nets():
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1).fit(REAL_X, REAL_Y)
    model.coefs_[0] = np.ones((5, 3))
    model.intercepts_ = [np.zeros(3), [7.0]]
    np.testing.assert_array_equal(model.net_.weights[0], np.ones((3, 5)))
    assert model.net_.biases[1][0] == 7.0
    model.coefs_[1][:] = 0.0
    np.testing.assert_array_equal(model.predict(REAL_X), 7.0)
    with pytest.raises(ValueError, match=r"layer 0: expected shape \(5, 3\), got \(3, 5\)"):
        model.coefs_[0] = np.ones((3, 5))
    with pytest.raises(ValueError, match="expected an array for each of 2 layers, got 1"):
        model.coefs_ = [np.ones((5, 3))]


def test_the_net_can_be_asked_for_more():
    model = MLPRegressor(hidden_layer_sizes=(3,), activation="tanh", max_iter=1).fit(REAL_X, REAL_Y)
    assert isinstance(model.net_, mlpcore.MLP)
    assert model.net_.input_hessian(REAL_X).shape == (120, 1, 5, 5)
    assert model.history_.to_pandas().shape[0] == 1


def test_threads_do_not_change_the_bits():
    models = [MLPClassifier((300,), n_threads=n, max_iter=2, **ENDLESS) for n in (1, 2)]
    same_bits(*[model.fit(X, NAMES) for model in models])


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_labels_of_a_partial_fit_are_forgotten_by_a_fit(fails):
    model = MLPClassifier((4,), max_iter=2, random_state=0)
    if fails:
        with pytest.raises(ValueError, match="NaN"):
            model.partial_fit(np.full_like(X, np.nan), Y, classes=[0, 1, 2])
    else:
        model.partial_fit(X, Y, classes=[0, 1, 2])
    assert model.fit(X, NAMES).classes_.tolist() == np.unique(NAMES).tolist()
