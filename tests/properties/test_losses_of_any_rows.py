# SPDX-License-Identifier: BSD-3-Clause
"""What holds for every loss: of what sign and shape it is, and what weights and reductions mean."""

import numpy as np
import pytest
import tolerances
from drawn import DTYPES, assert_within, property_test, reductions, seeds
from hypothesis import given
from hypothesis import strategies as st

import mlpcore
from mlpcore import losses

OF_ERRORS = ("mse", "l1", "huber", "log_cosh", "quantile")
shapes = st.tuples(st.integers(1, 33), st.integers(2, 37))


def predictions(name, shape, seed, dtype):
    """Two sets of predictions, and targets that suit the loss."""
    rng = np.random.default_rng(seed)
    sets = [rng.normal(scale=2.0, size=shape) for _ in range(2)]
    if name == "bce":
        sets = [rng.uniform(0.02, 0.98, shape) for _ in range(2)]
    y = rng.uniform(0.05, 0.95, shape)
    if name == "cross_entropy":
        y /= y.sum(axis=1, keepdims=True)
    if name in OF_ERRORS:
        y = rng.normal(scale=2.0, size=shape)
    return [values.astype(dtype) for values in (*sets, y)]


every_loss = st.sampled_from(tuple(losses.NAMED))
every_dtype = st.sampled_from(DTYPES)


def make(name, reduction="mean"):
    return type(losses.NAMED[name])(reduction=reduction)


@property_test
@given(every_loss, shapes, seeds, reductions)
def test_every_loss_is_convex(name, shape, seed, reduction):
    """A chord lies above it, and along the chord the gradient grows."""
    a, b, y = predictions(name, shape, seed, "float64")
    loss = make(name, reduction)
    middle, ends = loss((a + b) / 2, y), (loss(a, y) + loss(b, y)) / 2
    assert middle <= ends + 1e-12 * abs(ends)
    grown = (loss.gradient(a, y) - loss.gradient(b, y)) * (a - b)
    assert grown.sum() >= -1e-12 * np.abs(grown).sum()


@property_test
@given(every_loss, shapes, seeds, reductions)
def test_gradients_of_losses_are_what_differences_approach(name, shape, seed, reduction):
    """By a mean value: between two predictions the loss grows by its gradient in between."""
    a, b, y = predictions(name, shape, seed, "float64")
    loss = make(name, reduction)
    step = (b - a) * 1e-4
    if name in ("l1", "quantile", "huber"):  # no error may pass a kink
        edges = (losses.Huber().delta,) if name == "huber" else (0.0,)
        distance = np.min([np.abs(np.abs(a - y) - edge) for edge in edges], axis=0)
        step[distance < 3 * np.abs(step)] = 0.0
    grown = loss(a + step, y) - loss(a - step, y)
    terms = loss.gradient(a, y) * 2 * step
    assert abs(grown - terms.sum()) <= 1e-5 * np.abs(terms).sum() + 1e-12 * abs(loss(a, y))


@property_test
@given(st.sampled_from(OF_ERRORS), shapes, seeds, every_dtype)
def test_a_loss_of_errors_is_least_and_flat_without_any(name, shape, seed, dtype):
    a, _, y = predictions(name, shape, seed, dtype)
    loss = make(name)
    assert loss(y, y) == 0.0
    assert loss(a, y) > 0.0
    assert not loss.gradient(y, y).any()


@property_test
@given(every_loss, shapes, seeds, every_dtype, st.booleans())
def test_the_reductions_are_sums_by_the_numbers_of_terms(name, shape, seed, dtype, weighted):
    a, _, y = predictions(name, shape, seed, dtype)
    n, k = shape
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, n).astype(dtype) if weighted else None
    total = float(n) if weight is None else float(weight.sum(dtype=np.float64))
    whole, of_whole = make(name, "sum")(a, y, weight), make(name, "sum").gradient(a, y, weight)
    n_terms = {"batch_mean": total, "mean": total * (1 if name == "cross_entropy" else k)}
    for reduction, n_reduced in n_terms.items():
        loss = make(name, reduction)
        tolerance = 10 * tolerances.LOSS[dtype]
        assert loss(a, y, weight) == pytest.approx(whole / n_reduced, rel=tolerance)
        assert_within(loss.gradient(a, y, weight) * n_reduced, of_whole, tolerance)


@property_test
@given(every_loss, shapes, seeds, every_dtype, st.data())
def test_rows_of_weight_zero_are_not_there(name, shape, seed, dtype, data):
    a, b, y = predictions(name, shape, seed, dtype)
    there = np.array(data.draw(st.lists(st.booleans(), min_size=shape[0], max_size=shape[0])))
    there[data.draw(st.integers(0, shape[0] - 1))] = True  # nothing at all is refused
    loss = make(name)
    weight = there.astype(dtype)
    value, gradient = loss(a, y, weight), loss.gradient(a, y, weight)
    assert value == pytest.approx(loss(a[there], y[there]), rel=10 * tolerances.LOSS[dtype])
    assert not gradient[~there].any()
    assert_within(gradient[there], loss.gradient(a[there], y[there]), 10 * tolerances.LOSS[dtype])
    elsewhere = np.where(there[:, None], a, b)
    assert loss(elsewhere, y, weight) == value


@property_test
@given(shapes, seeds, st.floats(-100.0, 100.0))
def test_logits_that_are_moved_together_are_the_same_classes(shape, seed, shift):
    a, _, y = predictions("cross_entropy", shape, seed, "float64")
    loss = losses.CrossEntropy()
    assert loss(a + shift, y) == pytest.approx(loss(a, y), rel=1e-11)
    assert_within(loss.gradient(a + shift, y), loss.gradient(a, y), 1e-11)
    # Of every row the gradient adds up to 0: no class gains but from another one.
    assert np.abs(loss.gradient(a, y).sum(axis=1)).max() <= 1e-15 * shape[1]


@property_test
@given(shapes, seeds, every_dtype)
def test_classes_are_rows_of_one_hot_targets(shape, seed, dtype):
    a, _, _ = predictions("cross_entropy", shape, seed, dtype)
    classes = np.random.default_rng(seed).integers(0, shape[1], shape[0])
    one_hot = np.eye(shape[1], dtype=dtype)[classes]
    loss = losses.CrossEntropy()
    assert loss(a, classes) == pytest.approx(loss(a, one_hot), rel=10 * tolerances.LOSS[dtype])
    assert_within(loss.gradient(a, classes), loss.gradient(a, one_hot), tolerances.FORWARD[dtype])


@property_test
@given(shapes, seeds, st.sampled_from(["sigmoid", "softmax"]), every_dtype)
def test_a_fused_loss_is_that_of_its_probabilities(shape, seed, output, dtype):
    """A net that ends in logits, and one that ends in probabilities, have one loss and gradient."""
    name, of_logits = {
        "sigmoid": ("bce", "bce_with_logits"),
        "softmax": ("cross_entropy", "cross_entropy"),
    }[output]
    n, k = shape
    _, _, y = predictions("cross_entropy", shape, seed, dtype)
    net = mlpcore.MLP([3, k], [output], dtype=dtype, seed=seed)
    logits = mlpcore.MLP([3, k], ["identity"], dtype=dtype, seed=seed)
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(dtype)
    value, gradients = net.value_and_grad(x, y, name)
    other, of_other = logits.value_and_grad(x, y, of_logits)
    assert value == pytest.approx(other, rel=10 * tolerances.LOSS[dtype])
    assert_within(gradients.flat, of_other.flat, 10 * tolerances.GRADIENT[dtype])
    bare = {"bce": losses.BCE(), "cross_entropy": losses.CrossEntropy(from_logits=False)}[name]
    assert bare(net(x), y) == pytest.approx(value, rel=100 * tolerances.LOSS[dtype])
