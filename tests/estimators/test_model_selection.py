# SPDX-License-Identifier: BSD-3-Clause
"""In scikit-learn's hands: searches, pipelines, cross-validation, routing, several processes."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlpcore import MLPClassifier, MLPRegressor, _core, schedules

X, Y = load_iris(return_X_y=True)
MODEL = MLPClassifier((16,), learning_rate_init=0.03, max_iter=60, random_state=0)


def test_cross_validation_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), MODEL)
    scores = cross_val_score(pipeline, X, Y, cv=5)
    assert scores.mean() > 0.93
    np.testing.assert_array_equal(scores, cross_val_score(pipeline, X, Y, cv=5, n_jobs=2))
    assert cross_val_predict(pipeline, X, Y, method="predict_proba", cv=3).shape == (150, 3)


def test_a_grid_search_over_what_is_ours():
    grid = {
        "mlpclassifier__hidden_activations": ["gelu", "tanh"],
        "mlpclassifier__dropout": [0.0, 0.1],
        "mlpclassifier__schedule": [None, schedules.Cosine()],
    }
    pipeline = make_pipeline(StandardScaler(), MODEL)
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, scoring="neg_log_loss").fit(X, Y)
    assert search.best_score_ > -0.2
    assert len(search.cv_results_["params"]) == 8
    assert search.best_estimator_[-1].net_.sizes == (4, 16, 3)


def test_a_clone_has_the_parameters_and_nothing_else():
    fitted = clone(MODEL).set_params(callbacks=[print], schedule=schedules.Cosine())
    fitted.set_params(callbacks=[]).fit(X, Y)
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    assert not hasattr(other, "net_")
    assert (is_classifier(other), is_regressor(other)) == (True, False)
    assert is_regressor(MLPRegressor())


def test_tags_html_and_text():
    tags = MODEL.__sklearn_tags__()
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_label
    assert MLPRegressor().__sklearn_tags__().target_tags.multi_output
    assert "MLPClassifier" in MODEL._repr_html_()
    assert repr(MLPRegressor(alpha=1.0)) == "MLPRegressor(alpha=1.0)"


def test_metadata_are_routed_to_fit():
    seen = []

    def note(state):
        seen.append("validation_score" in state.row)

    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(MODEL).set_params(callbacks=[note], max_iter=2)
        model.set_fit_request(sample_weight=True, validation_data=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        weight = (Y == 1) * 1.0
        pipeline.fit(X, Y, sample_weight=weight, validation_data=(X, Y))
        request = model.get_metadata_routing().fit.requests
    assert seen == [True, True]
    assert request == {"sample_weight": True, "validation_data": True}


def threads_of_a_fit(seed):
    """How many threads this process may use at once, and how many it had made after a wide fit."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2000, 200)).astype(np.float32)
    MLPRegressor(hidden_layer_sizes=(400,), max_iter=2, batch_size=1000).fit(rows, rows[:, 0])
    names = [
        Path(f"/proc/self/task/{task}/comm").read_text().strip()
        for task in os.listdir("/proc/self/task")
    ]
    return os.getpid(), _core.default_n_threads(), _core.n_workers(), names


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_two_workers_do_not_have_more_threads_than_there_are_processors():
    n_processors = len(os.sched_getaffinity(0))
    with joblib.parallel_config(backend="loky", n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(threads_of_a_fit)(seed) for seed in range(8))
    per_process = {pid: (n_threads, n_workers) for pid, n_threads, n_workers, _ in found}
    assert len(per_process) <= 2
    share = max(n_processors // 2, 1)
    for n_threads, n_workers in per_process.values():
        assert n_threads == share
        assert n_workers <= share - 1  # the caller is one of them


def fits_of_two_threads():
    _core.set_default_n_threads(2)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        return joblib.Parallel()(joblib.delayed(threads_of_a_fit)(seed) for seed in range(6))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_two_threads_share_the_workers_of_one_process():
    # A process of its own: workers stay, and tests before this one may have made more.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        found = executor.submit(fits_of_two_threads).result()
    assert len({pid for pid, *_ in found}) == 1
    assert {n_workers for _, _, n_workers, _ in found} == {1}


def test_results_of_processes_are_those_of_one():
    fits = [clone(MODEL).set_params(random_state=seed, max_iter=5) for seed in range(4)]
    with joblib.parallel_config(backend="loky", n_jobs=2):
        there = joblib.Parallel()(joblib.delayed(model.fit)(X, Y) for model in fits)
    for model, other in zip(fits, there, strict=True):
        assert model.fit(X, Y).net_ == other.net_
