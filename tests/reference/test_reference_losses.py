# SPDX-License-Identifier: BSD-3-Clause
"""The reference losses against hand-worked values, finite differences and their conventions."""

import mpmath
import numpy as np
import pytest

from mlpcore import reference

REDUCTIONS = ("mean", "batch_mean", "sum")
LOG2, LOG4 = np.log(2.0), np.log(4.0)

# name, parameters, y_hat, y, sum of the terms, gradient of the sum: one sample each, by hand.
BY_HAND = [
    ("mse", {}, [3.0, -1.0], [1.0, 0.0], 4.0 + 1.0, [4.0, -2.0]),
    ("l1", {}, [3.0, -1.0], [1.0, 0.0], 2.0 + 1.0, [1.0, -1.0]),
    ("l1", {}, [2.0, -1.0], [2.0, -1.0], 0.0, [0.0, 0.0]),
    # |r| = 0.5 is inside, r^2 / 2; |r| = 3 is outside, 1 (3 - 0.5).
    ("huber", {}, [0.5, -3.0], [0.0, 0.0], 0.125 + 2.5, [0.5, -1.0]),
    # |r| = 2 is on the border, where both forms give 2; |r| = 3: 2 (3 - 1).
    ("huber", {"delta": 2.0}, [2.0, 3.0], [0.0, 0.0], 2.0 + 4.0, [2.0, 2.0]),
    # cosh(log 2) = (2 + 1/2) / 2 = 5/4, tanh(log 2) = (4 - 1) / (4 + 1) = 3/5.
    ("log_cosh", {}, [LOG2, 0.0], [0.0, LOG2], 2.0 * np.log(1.25), [0.6, -0.6]),
    # Too low by 2 costs q each, too high by 1 costs 1 - q.
    ("quantile", {"q": 0.75}, [1.0, 4.0], [3.0, 3.0], 1.5 + 0.25, [-0.75, 0.25]),
    ("quantile", {}, [1.0, 3.0], [3.0, 3.0], 1.0, [-0.5, 0.0]),
    # -log 1/2 - log(1 - 3/4); -1 / (1/2), 1 / (1/4).
    ("bce", {}, [0.5, 0.75], [1.0, 0.0], LOG2 + LOG4, [-2.0, 4.0]),
    # Soft target 1/2 at 1/4: (log 4 + log 4/3) / 2; (1/4 - 1/2) / (3/16).
    ("bce", {}, [0.25], [0.5], 0.5 * (LOG4 + np.log(4.0 / 3.0)), [-4.0 / 3.0]),
    # sigmoid(0) = 1/2, sigmoid(log 3) = 3/4.
    ("bce_with_logits", {}, [0.0, np.log(3.0)], [1.0, 0.0], LOG2 + LOG4, [-0.5, 0.75]),
    # softmax(0, log 3) = 1/4, 3/4.
    ("cross_entropy", {}, [0.0, np.log(3.0)], [1.0, 0.0], LOG4, [-0.75, 0.75]),
    # A soft target that sums to 2: the gradient is 2 p - y.
    ("cross_entropy", {}, [0.0, 0.0], [1.5, 0.5], 2.0 * LOG2, [-0.5, 0.5]),
    ("cross_entropy", {"from_logits": False}, [0.25, 0.75], [1.0, 0.0], LOG4, [-4.0, 0.0]),
    # exp(log 2) - 3 log 2 and 2 - 3; exp(0) - 0.
    ("poisson", {}, [LOG2, 0.0], [3.0, 5.0], 2.0 - 3.0 * LOG2 + 1.0, [-1.0, -4.0]),
]

# One entry per loss and variant, with how to draw y_hat and y inside the loss's domain.
SMOOTH_CASES = [
    ("mse", {}, "real", "real"),
    ("l1", {}, "real", "real"),
    ("huber", {}, "real", "real"),
    ("huber", {"delta": 0.3}, "real", "real"),
    ("log_cosh", {}, "real", "real"),
    ("quantile", {"q": 0.2}, "real", "real"),
    ("bce", {}, "unit", "unit"),
    ("bce_with_logits", {}, "real", "unit"),
    ("cross_entropy", {}, "real", "unit"),
    ("cross_entropy", {"from_logits": False}, "unit", "unit"),
    ("poisson", {}, "real", "counts"),
]


def draw(kind, rng, shape):
    if kind == "real":
        return rng.normal(size=shape)
    return rng.uniform(0.25, 0.75, shape) if kind == "unit" else rng.integers(0, 5, shape) * 1.0


def draw_away_from_kinks(case, rng, shape):
    name, parameters, *kinds = case
    kinks = {"l1": 0.0, "quantile": 0.0, "huber": parameters.get("delta", 1.0)}
    y_hat, y = (draw(kind, rng, shape) for kind in kinds)
    while name in kinks and np.min(np.abs(np.abs(y_hat - y) - kinks[name])) < 0.01:
        y_hat = draw(kinds[0], rng, shape)
    return y_hat, y


def case_id(case):
    return "-".join([case[0], *map(str, case[1].values())])


def test_every_loss_is_covered():
    assert {case[0] for case in BY_HAND} == {case[0] for case in SMOOTH_CASES}
    assert {case[0] for case in BY_HAND} == set(reference.LOSSES)


@pytest.mark.parametrize(("name", "parameters", "y_hat", "y", "value", "gradient"), BY_HAND)
def test_by_hand(name, parameters, y_hat, y, value, gradient):
    n_terms = 1 if name == "cross_entropy" else len(y_hat)
    for reduction, scale in (("sum", 1.0), ("batch_mean", 1.0), ("mean", 1.0 / n_terms)):
        arguments = (name, [y_hat], [y], None, reduction)
        got = reference.loss_value(*arguments, **parameters)
        assert isinstance(got, float)
        np.testing.assert_allclose(got, value * scale, rtol=4e-15, atol=1e-15)
        got = reference.loss_gradient(*arguments, **parameters)
        np.testing.assert_allclose(got, [np.multiply(gradient, scale)], rtol=3e-15)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SMOOTH_CASES, ids=case_id)
def test_derivatives_match_differences(case, reduction, is_weighted):
    name, parameters = case[:2]
    rng = np.random.default_rng(1)
    y_hat, y = draw_away_from_kinks(case, rng, (3, 4))
    rest = (rng.uniform(0.5, 2.0, 3) if is_weighted else None, reduction)

    def value(p):
        return reference.loss_value(name, p, y, *rest, **parameters)

    def gradient(p):
        return reference.loss_gradient(name, p, y, *rest, **parameters)

    want = reference.numerical_gradient(value, y_hat)
    assert np.all(np.abs(want) > 1e-6)  # nothing is compared with a gradient that is not there
    np.testing.assert_allclose(gradient(y_hat), want, rtol=1e-8, atol=1e-10)

    hessian = reference.numerical_gradient(gradient, y_hat).reshape(12, 12)
    diagonal = reference.loss_second_derivative(name, y_hat, y, *rest, **parameters)
    np.testing.assert_allclose(diagonal.ravel(), np.diag(hessian), rtol=1e-8, atol=1e-10)
    vector = rng.normal(size=(3, 4))
    product = reference.loss_hessian_product(name, y_hat, y, vector, *rest, **parameters)
    np.testing.assert_allclose(product.ravel(), hessian @ vector.ravel(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SMOOTH_CASES, ids=case_id)
def test_weight_three_is_the_row_three_times(case, reduction):
    name, parameters, *kinds = case
    rng = np.random.default_rng(2)
    y_hat, y = (draw(kind, rng, (3, 2)) for kind in kinds)
    rows = [0, 1, 1, 1]  # and row 2 not at all
    weight = [1.0, 3.0, 0.0]
    weighted = reference.loss_value(name, y_hat, y, weight, reduction, **parameters)
    repeated = reference.loss_value(name, y_hat[rows], y[rows], None, reduction, **parameters)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-14)
    weighted = reference.loss_gradient(name, y_hat, y, weight, reduction, **parameters)
    repeated = reference.loss_gradient(name, y_hat[rows], y[rows], None, reduction, **parameters)
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-14)
    np.testing.assert_allclose(weighted[1], repeated[1:].sum(axis=0), rtol=1e-14)
    assert np.all(weighted[2] == 0.0)


@pytest.mark.parametrize("from_logits", [True, False])
def test_integer_classes_are_one_hot_rows(from_logits):
    y_hat = np.random.default_rng(3).uniform(0.1, 0.9, (4, 3))
    classes = np.array([2, 0, 0, 1])
    rows = [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(reference.one_hot(classes, 3), rows)
    for function in (reference.loss_value, reference.loss_gradient):
        got = function("cross_entropy", y_hat, classes, from_logits=from_logits)
        want = function("cross_entropy", y_hat, rows, from_logits=from_logits)
        np.testing.assert_array_equal(got, want)
    for wrong in ([0, 3, 0, 0], [0, -1, 0, 0], [0.5, 0, 0, 0]):
        with pytest.raises(ValueError, match="classes must be integers from 0 to 2"):
            reference.loss_value("cross_entropy", y_hat, wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bce_of_saturated_probabilities(dtype):
    y_hat = [[0.0, 1.0, 0.0, 1.0, 1e-300]]
    y = [[0.0, 1.0, 1.0, 0.0, 1.0]]
    terms = [reference.loss_value("bce", [[p]], [[t]]) for p, t in zip(y_hat[0], y[0], strict=True)]
    assert terms == [0.0, 0.0, 100.0, 100.0, 100.0]
    largest = 2.0 / np.finfo(dtype).eps
    gradient = reference.loss_gradient("bce", y_hat, y, reduction="sum", dtype=dtype)
    np.testing.assert_array_equal(gradient, [[0.0, 0.0, -largest, largest, -largest]])
    second = reference.loss_second_derivative("bce", y_hat, y, reduction="sum", dtype=dtype)
    np.testing.assert_array_equal(second, [[0.0, 0.0, largest**2, largest**2, largest**2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_saturated_probabilities(dtype):
    for p, value in (([1.0, 0.0], 0.0), ([0.0, 1.0], 100.0), ([1e-300, 1.0], 100.0)):
        got = reference.loss_value("cross_entropy", [p], [0], from_logits=False, dtype=dtype)
        assert got == value
        got = reference.loss_gradient("cross_entropy", [p], [0], from_logits=False, dtype=dtype)
        np.testing.assert_array_equal(got, [[-1.0 / max(p[0], np.finfo(dtype).eps / 2.0), 0.0]])


def test_second_derivatives_at_the_kinks():
    for name, r in (("l1", 0.0), ("quantile", 0.0)):
        assert reference.loss_second_derivative(name, [[r]], [[0.0]]) == 0.0
    for r in (-1.0, 1.0):
        assert reference.loss_second_derivative("huber", [[r]], [[0.0]]) == 1.0
        assert reference.loss_second_derivative("huber", [[1.01 * r]], [[0.0]]) == 0.0


def test_small_probability_of_the_other_class_counts():
    # -log(1 - p) = p for tiny p, where 1 - p rounds to 1.
    got = reference.loss_value("bce", [[1e-20]], [[0.0]])
    np.testing.assert_allclose(got, 1e-20, rtol=4e-15)


def test_extreme_logits_of_bce():
    for z, y, value, gradient in (
        (1e4, 1.0, 0.0, 0.0),
        (1e4, 0.0, 1e4, 1.0),
        (-1e4, 1.0, 1e4, -1.0),
        (-1e4, 0.0, 0.0, 0.0),
        (1e4, 0.25, 7500.0, 0.75),
        (50.0, 1.0, np.exp(-50.0), -np.exp(-50.0)),
        (-50.0, 0.0, np.exp(-50.0), np.exp(-50.0)),
        (np.inf, 1.0, 0.0, 0.0),
        (-np.inf, 1.0, np.inf, -1.0),
    ):
        got = reference.loss_value("bce_with_logits", [[z]], [[y]])
        np.testing.assert_allclose(got, value, rtol=4e-15)
        got = reference.loss_gradient("bce_with_logits", [[z]], [[y]])
        np.testing.assert_allclose(got, [[gradient]], rtol=4e-15)


def test_extreme_logits_of_cross_entropy():
    e = np.exp(-50.0)
    for z, y, value, gradient in (
        ([1e4, -1e4], 0, 0.0, [0.0, 0.0]),
        ([1e4, -1e4], 1, 2e4, [1.0, -1.0]),
        ([-1e4, -1e4], 0, LOG2, [-0.5, 0.5]),
        ([1e4, 1e4], 1, LOG2, [0.5, -0.5]),
        ([50.0, 0.0], 0, e, [-e, e]),
        ([50.0, 0.0, 0.0], 0, 2.0 * e, [-2.0 * e, e, e]),
        ([3.0, -np.inf], 0, 0.0, [0.0, 0.0]),
        ([3.0, -np.inf], 1, np.inf, [1.0, -1.0]),
    ):
        got = reference.loss_value("cross_entropy", [z], [y])
        np.testing.assert_allclose(got, value, rtol=1e-14)
        got = reference.loss_gradient("cross_entropy", [z], [y])
        np.testing.assert_allclose(got, [gradient], rtol=1e-14)


def test_other_losses_far_out():
    assert reference.loss_value("log_cosh", [[1e4]], [[0.0]]) == 1e4 - LOG2
    assert reference.loss_value("log_cosh", [[1.5e308]], [[0.0]]) == 1.5e308
    assert reference.loss_value("huber", [[1e300]], [[0.0]]) == 1e300
    assert reference.loss_value("poisson", [[1e4]], [[0.0]]) == np.inf
    assert reference.loss_value("poisson", [[-1e4]], [[2.0]]) == 2e4


@pytest.mark.parametrize("r", [1e-12, 1e-4, 0.3, 0.999, 1.001, 5.0, 40.0, 800.0])
def test_log_cosh_matches_high_precision(r):
    with mpmath.workdps(800):
        want = float(mpmath.log(mpmath.cosh(mpmath.mpf(r))))
    for sign in (1.0, -1.0):
        got = reference.loss_value("log_cosh", [[sign * r]], [[0.0]])
        np.testing.assert_allclose(got, want, rtol=4e-15)


@pytest.mark.parametrize("case", SMOOTH_CASES, ids=case_id)
def test_nan_stays_in_its_row(case):
    name, parameters, *kinds = case
    rng = np.random.default_rng(4)
    for spoiled in (0, 1):
        pair = [draw(kind, rng, (3, 2)) for kind in kinds]
        pair[spoiled][1, 0] = np.nan
        assert np.isnan(reference.loss_value(name, *pair, **parameters))
        for function in (reference.loss_gradient, reference.loss_second_derivative):
            got = function(name, *pair, **parameters)
            assert np.isnan(got[1, 0])
            assert np.all(np.isfinite(got[[0, 2]]))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", SMOOTH_CASES, ids=case_id)
def test_empty_batch_and_batch_without_weight(case, reduction):
    name, parameters = case[:2]
    for n_samples, weight in ((0, None), (2, [0.0, 0.0])):
        y_hat = np.full((n_samples, 3), 0.5)
        rest = (y_hat, np.zeros_like(y_hat), weight, reduction)
        assert reference.loss_value(name, *rest, **parameters) == 0.0
        gradient = reference.loss_gradient(name, *rest, **parameters)
        np.testing.assert_array_equal(gradient, np.zeros((n_samples, 3)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="loss must be one of mse, l1"):
        reference.loss_value("mae", [[0.0]], [[0.0]])
    with pytest.raises(ValueError, match='reduction must be "mean"'):
        reference.loss_value("mse", [[0.0]], [[0.0]], reduction="none")
    with pytest.raises(ValueError, match="y must have the shape"):
        reference.loss_value("mse", [[0.0], [0.0]], [0.0, 0.0])
    with pytest.raises(TypeError, match="sigma"):
        reference.loss_value("mse", [[0.0]], [[0.0]], sigma=1.0)
