# SPDX-License-Identifier: BSD-3-Clause
"""To and from scikit-learn's estimators."""

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from tolerances import FORWARD, assert_close

import mlpcore

networks = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is missing")

NAMES = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}


def rows(n, d, dtype):
    return np.random.default_rng(0).standard_normal((n, d)).astype(dtype)


def fitted(kind, targets, dtype, activation="relu", hidden=(8, 5)):
    x = rows(len(targets), 4, dtype)
    estimator = kind(hidden_layer_sizes=hidden, activation=activation, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five epochs do not converge
        return estimator.fit(x, targets), x


def assert_same_bits(estimator, net):
    for weight, coefficients in zip(net.weights, estimator.coefs_, strict=True):
        assert weight.T.tobytes() == coefficients.tobytes()
        assert weight.dtype == coefficients.dtype
    for bias, intercepts in zip(net.biases, estimator.intercepts_, strict=True):
        assert bias.tobytes() == intercepts.tobytes()


@pytest.mark.parametrize("activation", NAMES.values())
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_regressor_comes_over(dtype, activation, n_outputs):
    targets = rows(60, n_outputs, dtype)
    targets = targets[:, 0] if n_outputs == 1 else targets
    estimator, x = fitted(networks.MLPRegressor, targets, dtype, activation)
    net = mlpcore.MLP.from_sklearn(estimator)
    assert net.dtype == dtype
    assert_same_bits(estimator, net)
    assert_close(net(x), estimator.predict(x).reshape(60, -1), FORWARD[dtype])
    assert_same_bits(net.to_sklearn(), net)


def test_a_classifier_of_two_classes_comes_over(dtype):
    estimator, x = fitted(networks.MLPClassifier, np.arange(60) % 2, dtype)
    net = mlpcore.MLP.from_sklearn(estimator)
    assert_close(net(x), estimator.predict_proba(x)[:, 1:], FORWARD[dtype])
    back = net.to_sklearn()
    assert_same_bits(back, net)
    np.testing.assert_array_equal(back.predict_proba(x), estimator.predict_proba(x))
    np.testing.assert_array_equal(back.predict(x), estimator.predict(x))


def test_a_classifier_of_many_classes_comes_over(dtype):
    estimator, x = fitted(networks.MLPClassifier, np.arange(60) % 4, dtype)
    net = mlpcore.MLP.from_sklearn(estimator)
    assert net.activations[-1] == "softmax"
    assert_close(net(x), estimator.predict_proba(x), FORWARD[dtype])
    back = net.to_sklearn()
    np.testing.assert_array_equal(back.predict(x), estimator.predict(x))


def test_labels_that_do_not_exclude_each_other_come_over(dtype):
    targets = np.random.default_rng(1).integers(0, 2, (60, 3))
    estimator, x = fitted(networks.MLPClassifier, targets, dtype)
    net = mlpcore.MLP.from_sklearn(estimator)
    assert net.activations[-1] == "sigmoid"
    assert_close(net(x), estimator.predict_proba(x), FORWARD[dtype])
    np.testing.assert_array_equal(net.to_sklearn().predict(x), estimator.predict(x))


@pytest.mark.parametrize("hidden", NAMES)
@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
def test_round_trip_to_the_bit(dtype, hidden, output):
    net = mlpcore.MLP([3, 6, 4, 3], [hidden, hidden, output], dtype=dtype, seed=0)
    assert mlpcore.MLP.from_sklearn(net.to_sklearn()) == net
    assert mlpcore.convert.from_sklearn(mlpcore.convert.to_sklearn(net)) == net


def test_one_layer_is_enough(dtype):
    net = mlpcore.MLP([3, 1], dtype=dtype, seed=0)
    estimator = net.to_sklearn()
    assert mlpcore.MLP.from_sklearn(estimator) == net
    x = rows(5, 3, dtype)
    assert_close(estimator.predict(x), net(x)[:, 0], FORWARD[dtype])


def test_without_biases_the_intercepts_are_zeros():
    net = mlpcore.MLP([3, 4, 1], bias=False, seed=0)
    estimator = net.to_sklearn()
    assert not any(intercepts.any() for intercepts in estimator.intercepts_)
    x = rows(5, 3, "float32")
    assert_close(estimator.predict(x), net(x)[:, 0], FORWARD["float32"])


def test_training_goes_on_from_the_net():
    net = mlpcore.MLP([4, 5, 1], activations="tanh", seed=0)
    estimator = net.to_sklearn()
    assert (estimator.n_iter_, estimator.t_, estimator.loss_curve_) == (0, 0, [])
    x = rows(60, 4, "float32")
    estimator.partial_fit(x, x[:, 0])
    moved = mlpcore.MLP.from_sklearn(estimator).parameters - net.parameters
    # Adam's first step is about the learning rate, 0.001, and there is one; the moments are new.
    assert 0.0 < np.abs(moved).max() < 0.0011


def test_copies_are_independent():
    net = mlpcore.MLP([4, 5, 1], seed=0)
    before = net.copy()
    estimator = net.to_sklearn()
    estimator.coefs_[0][:] = 0.0
    estimator.intercepts_[0][:] = 1.0
    assert net == before


@pytest.mark.parametrize(
    ("sizes", "activations", "message"),
    [
        ([2, 3, 1], ["gelu", "identity"], "layer 0: .*'gelu'"),
        ([2, 3, 3, 1], ["relu", "tanh", "identity"], "layer 1: .*here 'relu', got 'tanh'"),
        ([2, 3, 1], ["relu", "relu"], "layer 1: .*'relu'"),
        ([2, 3, 2], ["relu", "softmax"], "layer 1: .*softmax over 2"),
        ([2, 3, 1], ["relu", "softmax"], "layer 1: .*softmax over 1"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(sizes, activations, message):
    with pytest.raises(ValueError, match=message):
        mlpcore.MLP(sizes, activations).to_sklearn()


def test_an_unknown_activation_is_named():
    estimator, _ = fitted(networks.MLPRegressor, np.arange(60.0), "float64")
    estimator.out_activation_ = "exp"
    with pytest.raises(ValueError, match=r"layer 2: .*got 'exp'"):
        mlpcore.MLP.from_sklearn(estimator)
    estimator.activation = "swish"
    with pytest.raises(ValueError, match=r"layer 0: .*got 'swish'"):
        mlpcore.MLP.from_sklearn(estimator)


def test_mlpcore_s_own_estimators_may_have_an_activation_for_each_layer():
    estimator = mlpcore.MLPRegressor(
        hidden_layer_sizes=(5, 4), hidden_activations=["gelu", "tanh"], max_iter=2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two epochs do not converge
        estimator.fit(rows(20, 3, "float64"), np.arange(20.0))
    assert mlpcore.MLP.from_sklearn(estimator) == estimator.net_


def test_a_layer_without_intercepts_is_named():
    estimator, _ = fitted(networks.MLPRegressor, np.arange(60.0), "float64")
    estimator.intercepts_ = estimator.intercepts_[:-1]
    with pytest.raises(ValueError, match="intercepts_: expected 3, one for each of coefs_, got 2"):
        mlpcore.MLP.from_sklearn(estimator)


def test_other_objects_are_refused():
    with pytest.raises(ValueError, match="that is fitted"):
        mlpcore.MLP.from_sklearn(networks.MLPRegressor())
    for other in (networks.MLPRegressor, SimpleNamespace(coefs_=[]), None):
        with pytest.raises(TypeError, match="expected an MLPClassifier or MLPRegressor"):
            mlpcore.MLP.from_sklearn(other)


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, mlpcore\n"
        "mlpcore.convert.from_keras_weights\n"
        "mlpcore.convert.from_sklearn\n"
        "print({'sklearn', 'scipy', 'torch', 'onnx', 'keras'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    with pytest.raises(ImportError, match="to_sklearn needs scikit-learn"):
        mlpcore.MLP([2, 1]).to_sklearn()
