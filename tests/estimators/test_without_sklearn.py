# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn is optional: it is not imported unasked, and without it the estimators work."""

import subprocess
import sys

import pytest

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"sklearn", "scipy", "pandas", "joblib"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Absent())
"""


def run(code, blocked=True):
    command = [sys.executable, "-W", "error", "-c", BLOCKED * blocked + code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_mlpcore_imports_neither_scikit_learn_nor_scipy():
    code = "import sys, mlpcore; print(sorted({'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    assert run(code, blocked=False) == "[]"
    assert run(f"{code}; mlpcore.MLPClassifier; print('sklearn' in sys.modules)", False).split()[
        -1
    ] == str(True)


def test_estimators_work_by_themselves():
    code = """
import pickle, warnings
import numpy as np
import mlpcore
rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = np.where(X[:, 0] > X[:, 1], "a", "b")
model = mlpcore.MLPClassifier((8,), learning_rate_init=0.05, tol=0.01, random_state=0)
assert repr(model) == (
    "MLPClassifier(hidden_layer_sizes=(8,), learning_rate_init=0.05, random_state=0, tol=0.01)")
assert model.fit(X, y).score(X, y) > 0.95
assert model.predict_proba(X).shape == (120, 2)
assert pickle.loads(pickle.dumps(model)).net_ == model.net_
assert model.get_params()["tol"] == 0.01
assert model.set_params(tol=0.1, early_stopping=True).fit(X, y).best_validation_score_ > 0.8
model = mlpcore.MLPRegressor(tol=0.01, random_state=0).fit(X, X[:, :2])
assert model.score(X, X[:, :2]) > 0.6 and model.predict_gradient(X).shape == (120, 2, 3)
for call, error, words in [
    (lambda: mlpcore.MLPRegressor().predict(X), ValueError, "not fitted yet"),
    (lambda: mlpcore.MLPRegressor(alpha=-1).fit(X, y), TypeError, "The 'alpha' parameter of"),
    (lambda: model.set_params(size=3), ValueError, "Invalid parameter 'size'"),
    (lambda: model.predict(X[:, :2]), ValueError, "is expecting 3 features"),
    (lambda: mlpcore.MLPRegressor(solver="lbfgs").fit(X, X), ImportError, "pip install scipy"),
]:
    try:
        call()
    except error as caught:
        assert words in str(caught), caught
    else:
        raise AssertionError(words)
for warned, words in [
    (lambda: mlpcore.MLPRegressor(max_iter=1).fit(X, X[:, 0]), "ConvergenceWarning"),
    (lambda: mlpcore.MLPRegressor(tol=1e9).fit(X, X[:, :1]), "DataConversionWarning"),
]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warned()
    assert [w.category.__name__ for w in caught] == [words], caught
print("fine")
"""
    assert run(code) == "fine"


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("1,4", 1), ("999", 0), ("many", 0)])
def test_omp_num_threads_lowers_the_number_of_threads(value, expected):
    code = f"""
import os
os.environ.pop("MLPCORE_NUM_THREADS", None)
os.environ.pop("OMP_NUM_THREADS", None)
import subprocess, sys
ask = [sys.executable, "-c", "import mlpcore; print(mlpcore.get_n_threads())"]
alone = subprocess.run(ask, capture_output=True, text=True).stdout
os.environ["OMP_NUM_THREADS"] = {value!r}
lowered = subprocess.run(ask, capture_output=True, text=True).stdout
print(int(lowered) == ({expected} or int(alone)))
"""
    assert run(code, blocked=False) == "True"
