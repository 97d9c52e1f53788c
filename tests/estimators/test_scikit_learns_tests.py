# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own tests of its MLP, as they are installed with it, of these estimators."""

import importlib.util

import pytest
from sklearn import neural_network
from sklearn.neural_network.tests import test_mlp as theirs

import mlpcore

# Tests of what is not public, of which tests here have the like: test_against_sklearn.py.
PRIVATE = {
    "test_fit",  # sets the weights of an estimator that was never fitted
    "test_gradient",  # _loss_grad_lbfgs
    "test_learning_rate_warmstart",  # _optimizer
    "test_adaptive_learning_rate",  # _optimizer
    "test_n_iter_no_change",  # _no_improvement_count
    "test_n_iter_no_change_inf",  # _no_improvement_count
}
# What docs/from_sklearn.md says that differs.
DIFFERENT = {
    "test_early_stopping_stratified",  # a class of one row is learnt, and no error
    "test_mlp_diverging_loss",  # divergence is an error, with the last finite weights kept
}

pytestmark = pytest.mark.filterwarnings("default")


def with_ours():
    """Their module with these estimators in place of theirs."""
    spec = importlib.util.spec_from_file_location("test_mlp_of_scikit_learn", theirs.__file__)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLPClassifier", "MLPRegressor"):
            patch.setattr(neural_network, name, getattr(mlpcore, name))
        spec.loader.exec_module(module)
    assert module.MLPClassifier is mlpcore.MLPClassifier
    return module


TESTS = {name: test for name, test in vars(with_ours()).items() if name.startswith("test_")}
globals().update({n: t for n, t in TESTS.items() if n not in PRIVATE | DIFFERENT})


@pytest.fixture
def global_random_seed():
    return 42


def test_what_is_left_out_is_there():
    assert set(TESTS) > PRIVATE | DIFFERENT
    assert len(TESTS) - len(PRIVATE | DIFFERENT) >= 35
