# SPDX-License-Identifier: BSD-3-Clause
"""Sparse rows: the bits of the same rows as an array, and never all of them as one."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from mlpcore import MLPClassifier, MLPRegressor, losses, schedules, sparse_rows

rng = np.random.default_rng(0)
DENSE = rng.normal(size=(130, 40)) * (rng.random((130, 40)) < 0.1)
LABELS = (DENSE[:, :20].sum(axis=1) > 0).astype(int) + (DENSE[:, 20:].sum(axis=1) > 0)
TARGETS = DENSE[:, :3] @ rng.normal(size=(3, 2))
CONTAINERS = [sparse.csr_matrix, sparse.csr_array, sparse.csc_array, sparse.coo_matrix]


@pytest.fixture(params=[2**22, 4096])
def block(request, monkeypatch):
    """All rows in one block, and in several."""
    monkeypatch.setattr(sparse_rows, "DENSE_BYTES", request.param)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 7, "dropout": 0.2},
        {"early_stopping": True, "batch_size": 5},
        {"shuffle": False, "batch_size": 4, "dtype": "float32"},
        {"warm_start": True, "solver": "sgd", "batch_size": 6},
        {"schedule": schedules.Cosine(warmup=1), "batch_size": 6, "learning_rate_init": 0.02},
    ],
)
def test_a_classifier_learns_the_same_bits(container, settings, block):
    settings = settings | {"max_iter": 4, "random_state": 0}
    dense, thin = (MLPClassifier((8,), **settings) for _ in range(2))
    for _ in range(2):
        dense.fit(DENSE, LABELS)
        thin.fit(container(DENSE), LABELS)
    assert dense.net_ == thin.net_
    np.testing.assert_allclose(dense.loss_curve_, thin.loss_curve_, rtol=1e-5)
    assert dense.validation_scores_ == thin.validation_scores_
    rows = container(DENSE)
    np.testing.assert_array_equal(dense.predict(DENSE), thin.predict(rows))
    np.testing.assert_array_equal(dense.predict_proba(DENSE), thin.predict_proba(rows))
    np.testing.assert_array_equal(dense.predict_gradient(DENSE), thin.predict_gradient(rows))
    assert dense.score(DENSE, LABELS) == thin.score(rows, LABELS)


@pytest.mark.parametrize("loss", ["squared_error", losses.MSE("sum")])
def test_lbfgs_goes_the_same_way(loss, block):
    settings = {"solver": "lbfgs", "max_iter": 10, "random_state": 0, "alpha": 1.0}
    weight = rng.integers(0, 3, 130)
    dense = MLPRegressor(loss, (5,), "tanh", **settings).fit(DENSE, TARGETS, weight)
    thin = MLPRegressor(loss, (5,), "tanh", **settings)
    thin.fit(sparse.csr_array(DENSE), TARGETS, weight)
    np.testing.assert_allclose(dense.predict(DENSE), thin.predict(DENSE), rtol=1e-6, atol=1e-8)


def test_lbfgs_needs_a_loss_that_can_be_taken_in_parts():
    def own(y_hat, y):
        return ((y_hat - y) ** 2).sum(), 2 * (y_hat - y)

    rows = sparse.csr_array(DENSE)
    assert MLPRegressor(own, learning_rate_init=1e-5, max_iter=2).fit(rows, TARGETS).n_iter_ == 2
    with pytest.raises(ValueError, match=r"loss: expected one of mlpcore\.losses with sparse"):
        MLPRegressor(own, solver="lbfgs").fit(rows, TARGETS)
    data = (rows, TARGETS)
    judged = MLPRegressor(own, learning_rate_init=1e-5, max_iter=2)
    assert len(judged.fit(rows, TARGETS, validation_data=data).validation_scores_) == 2


def test_partial_fits_of_sparse_rows(block):
    dense, thin = (MLPRegressor(random_state=0, batch_size=8) for _ in range(2))
    for part in (slice(0, 60), slice(60, 130)):
        dense.partial_fit(DENSE[part], TARGETS[part])
        thin.partial_fit(sparse.csr_array(DENSE[part]), TARGETS[part])
    assert dense.net_ == thin.net_


def test_what_is_given_is_not_changed_and_entries_given_twice_are_summed():
    twice = sparse.csr_array(
        (np.ones(4), np.array([0, 0, 1, 1]), np.array([0, 2, 4])), shape=(2, 3)
    )
    before = twice.data.copy(), twice.indices.copy(), twice.indptr.copy()
    thin = MLPRegressor(max_iter=2, random_state=0).fit(twice, [1.0, 2.0])
    dense = MLPRegressor(max_iter=2, random_state=0).fit([[2.0, 0, 0], [0, 2.0, 0]], [1.0, 2.0])
    assert thin.net_ == dense.net_
    for array, expected in zip((twice.data, twice.indices, twice.indptr), before, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    rows = sparse.csr_array(DENSE)
    rows.data[3] = value
    with pytest.raises(ValueError, match="Input X contains"):
        MLPRegressor().fit(rows, TARGETS)


def test_complex_values_are_refused():
    with pytest.raises(ValueError, match="Complex data not supported"):
        MLPRegressor().fit(sparse.csr_array(DENSE * 1j), TARGETS)


MEMORY = """
import warnings
import numpy as np
from scipy import sparse
import mlpcore
warnings.simplefilter("ignore")
def peak():  # in KiB; getrusage's includes what the process was before it became this program
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
mlpcore.MLPClassifier((4,), max_iter=1).fit(sparse.csr_array(np.eye(8)), [0, 1] * 4)
rng = np.random.default_rng(0)
n, d = 10_000, 5_000  # 400 MB as an array of float64
rows = sparse.csr_array(
    (np.ones(20 * n), rng.integers(0, d, 20 * n), np.arange(0, 20 * n + 1, 20)), shape=(n, d))
y = np.arange(n) % 2
before = peak()
model = mlpcore.MLPClassifier((4,), max_iter=1, early_stopping=True, random_state=0)
model.fit(rows, y)
model.predict(rows)
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_two_blocks():
    command = [sys.executable, "-c", MEMORY]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 100  # MB; the rows as an array are 400
