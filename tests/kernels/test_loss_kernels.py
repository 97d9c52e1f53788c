# SPDX-License-Identifier: BSD-3-Clause
"""The loss kernels of every instruction set against the reference, extremes, and each other."""

import ctypes

import numpy as np
import pytest
from guarded import guarded, guarded_empty
from loss_driver import (
    CANDIDATES,
    DTYPES,
    LOSSES,
    REDUCTIONS,
    dtype_code,
    library,
    loss_evaluate,
    loss_kernel,
    needs_posix,
    pointer,
    size,
    wide_isas,
)

from mlpcore import _core, reference
from mlpcore.reference.loss_terms import LossParameters, terms_of

pytestmark = needs_posix

# 256 terms are made at a time and 64 rows of a softmax go together: sizes on both sides of each.
WIDTHS = [1, 2, 3, 10, 16, 17, 33, 100, 256, 257, 600]
ROWS = [0, 1, 2, 5, 33]
PARAMETERS = {"huber": {"delta": 0.7}, "quantile": {"q": 0.3}}
CROSS_ENTROPIES = ("cross_entropy", "cross_entropy_with_logits")

each_isa = pytest.mark.parametrize("isa", CANDIDATES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each_loss = pytest.mark.parametrize("kind", LOSSES)


def draw(kind, rng, shape, dtype, target="soft"):
    """Predictions and targets inside the loss's domain."""
    n_samples, n_columns = shape
    y_hat, y = 3.0 * rng.normal(size=shape), 3.0 * rng.normal(size=shape)
    if kind in ("bce", "bce_with_logits"):
        y = rng.uniform(size=shape)
        y = np.where(y < 0.3, 0.0, np.where(y > 0.7, 1.0, y))
    elif kind in CROSS_ENTROPIES:
        if target == "classes":
            y = rng.integers(0, n_columns, n_samples)
        else:
            y = rng.dirichlet(np.ones(n_columns), n_samples).reshape(shape)
    elif kind == "poisson":
        y = rng.poisson(3.0, shape)
    if kind == "bce":
        y_hat = rng.uniform(0.001, 0.999, shape)
    elif kind == "cross_entropy":
        y_hat = rng.dirichlet(np.ones(n_columns), n_samples).reshape(shape)
    is_classes = kind in CROSS_ENTROPIES and target == "classes"
    return y_hat.astype(dtype), y.astype(np.int64 if is_classes else dtype)


def reference_of(kind, dtype):
    """The reference's name of a loss, and its parameters."""
    name = "cross_entropy" if kind in CROSS_ENTROPIES else kind
    parameters = {"dtype": dtype}
    if kind in CROSS_ENTROPIES:
        parameters["from_logits"] = kind != "cross_entropy"
    return name, parameters | PARAMETERS.get(kind, {})


def one_hot_rows(y_hat, y):
    return reference.one_hot(y, y_hat.shape[1]) if y.dtype == np.int64 else y.astype(np.float64)


def row_values_and_gradient(kind, y_hat, y):
    """What the kernel is asked for, in float64, of the factor 1."""
    name, parameters = reference_of(kind, y_hat.dtype)
    y = one_hot_rows(y_hat, y)
    z = y_hat.astype(np.float64)
    if z.size == 0:
        return np.zeros(z.shape[0]), z
    terms = terms_of(name)
    settings = LossParameters(**parameters)
    return terms.value(z, y, settings).sum(axis=1), terms.gradient(z, y, settings)


def magnitudes(kind, y_hat, y):
    """What rounding errors of a row's value and of a gradient's entries are relative to."""
    value, gradient = row_values_and_gradient(kind, y_hat, y)
    y = one_hot_rows(y_hat, y)
    if kind == "poisson":
        rate = np.exp(y_hat.astype(np.float64))
        return (rate + np.abs(y * y_hat)).sum(axis=1), rate + np.abs(y)
    if kind == "bce_with_logits":
        return value, np.ones_like(gradient)
    if kind == "cross_entropy_with_logits":
        return value, np.ones_like(gradient) * y.sum(axis=1, keepdims=True)
    return np.abs(value), np.abs(gradient)


def assert_close(got, want, magnitude, dtype, units=16):
    assert got.shape == want.shape
    excess = np.abs(got - want) - units * np.finfo(dtype).eps * magnitude
    assert np.all(excess <= np.finfo(dtype).tiny), f"worst {excess.max()}"


def parameter_of(kind):
    (value,) = PARAMETERS.get(kind, {"none": 1.0}).values()
    return value


def targets_of(kind):
    return ("soft", "classes") if kind in CROSS_ENTROPIES else ("soft",)


@each_isa
@each_dtype
@each_loss
def test_kernel_matches_reference(isa, dtype, kind):
    rng = np.random.default_rng(1)
    for n_columns in WIDTHS:
        for n_samples in ROWS:
            for target in targets_of(kind):
                y_hat, y = draw(kind, rng, (n_samples, n_columns), dtype, target)
                weight = rng.uniform(0.0, 2.0, n_samples).astype(dtype)
                want = row_values_and_gradient(kind, y_hat, y)
                magnitude = magnitudes(kind, y_hat, y)
                for w in (None, weight):
                    scale = 0.37 * (np.ones(n_samples) if w is None else w)[:, None]
                    got = loss_kernel(isa, kind, y_hat, y, w, 0.37, parameter_of(kind))
                    assert_close(got[0], want[0], magnitude[0], dtype)
                    assert_close(got[1], scale * want[1], scale * magnitude[1], dtype)


def scale_of_rows(kind, shape, weight, reduction):
    """What a row's gradient is multiplied by: the table of the reference's losses.py."""
    weight = np.ones(shape[0]) if weight is None else weight.astype(np.float64)
    if reduction == "sum" or shape[0] == 0:
        return weight
    divisor = weight.sum()
    if reduction == "mean" and kind not in CROSS_ENTROPIES:
        divisor *= shape[1]
    return weight / divisor


@each_isa
@each_dtype
@each_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_evaluate_matches_reference(isa, dtype, kind, reduction):
    rng = np.random.default_rng(2)
    name, parameters = reference_of(kind, dtype)
    for shape in [(0, 3), (1, 1), (33, 10), (600, 2)]:  # mlp_loss_evaluate takes 256 rows at a time
        for target in targets_of(kind):
            y_hat, y = draw(kind, rng, shape, dtype, target)
            weight = rng.uniform(0.0, 2.0, shape[0]).astype(dtype)
            magnitude = magnitudes(kind, y_hat, y)
            for w in (None, weight):
                got = loss_evaluate(isa, kind, y_hat, y, w, reduction, parameter_of(kind))
                scale = scale_of_rows(kind, shape, w, reduction)
                want = reference.loss_value(name, y_hat, y, w, reduction, **parameters)
                assert_close(np.array(got[0]), np.array(want), np.sum(scale * magnitude[0]), dtype)
                want = reference.loss_gradient(name, y_hat, y, w, reduction, **parameters)
                assert_close(got[1], want, scale[:, None] * magnitude[1], dtype)


@each_isa
@each_dtype
@each_loss
def test_bits_do_not_depend_on_the_call(isa, dtype, kind):
    """Rows alone or together, classes or their one-hot rows, one output or both: the same bits."""
    rng = np.random.default_rng(3)
    for shape in [(130, 1), (7, 3), (70, 10), (3, 300)]:
        for target in targets_of(kind):
            y_hat, y = draw(kind, rng, shape, dtype, target)
            weight = rng.uniform(0.0, 2.0, shape[0]).astype(dtype)
            rest = (0.37, parameter_of(kind))
            values, gradient = loss_kernel(isa, kind, y_hat, y, weight, *rest)
            cut = shape[0] // 3
            for rows in [slice(0, cut), slice(cut, None), slice(cut, cut + 1)]:
                part = loss_kernel(isa, kind, y_hat[rows], y[rows], weight[rows], *rest)
                assert part[0].tobytes() == values[rows].tobytes()
                assert part[1].tobytes() == gradient[rows].tobytes()
            alone = loss_kernel(isa, kind, y_hat, y, weight, *rest, want=("row_values",))
            assert alone[0].tobytes() == values.tobytes()
            alone = loss_kernel(isa, kind, y_hat, y, weight, *rest, want=("gradient",))
            assert alone[1].tobytes() == gradient.tobytes()
            ones = np.ones(shape[0], dtype)
            unweighted = loss_kernel(isa, kind, y_hat, y, None, *rest)
            weighted = loss_kernel(isa, kind, y_hat, y, ones, *rest)
            assert weighted[1].tobytes() == unweighted[1].tobytes()
            if target == "classes":
                one_hot = reference.one_hot(y, shape[1]).astype(dtype)
                soft = loss_kernel(isa, kind, y_hat, one_hot, weight, *rest)
                np.testing.assert_array_equal(soft[0], values)
                np.testing.assert_array_equal(soft[1], gradient)


def sum_in_lanes(terms):
    """Element j in lane j % 16 of float64; lane l + lane l + 8, then + 4, + 2, + 1."""
    lanes = np.zeros(16)
    for begin in range(0, terms.size, 16):
        part = terms[begin : begin + 16]
        lanes[: part.size] += part
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    return lanes[0]


@each_isa
@each_dtype
def test_rows_are_summed_in_sixteen_lanes(isa, dtype):
    rng = np.random.default_rng(9)
    for n_columns in [*range(1, 35), 255, 256, 257, 600]:
        y_hat = (rng.normal(size=(3, n_columns)) * 10.0 ** rng.integers(-9, 9, n_columns)).astype(
            dtype
        )
        values, _ = loss_kernel(isa, "l1", y_hat, np.zeros_like(y_hat))
        want = [sum_in_lanes(np.abs(row).astype(np.float64)) for row in y_hat]
        np.testing.assert_array_equal(values, want)


@each_dtype
@each_loss
def test_instruction_sets_have_the_same_bits(dtype, kind):
    isas = wide_isas()
    if len(isas) < 2:
        pytest.skip("this processor has one instruction set with a fused multiply-add")
    rng = np.random.default_rng(4)
    for shape in [(n_samples, n_columns) for n_samples in (1, 5, 130) for n_columns in WIDTHS]:
        for target in targets_of(kind):
            y_hat, y = draw(kind, rng, shape, dtype, target)
            results = set()
            for isa in isas:
                values, gradient = loss_kernel(isa, kind, y_hat, y, None, 0.37, parameter_of(kind))
                results.add(values.tobytes() + gradient.tobytes())
            assert len(results) == 1


@each_isa
@each_dtype
@each_loss
def test_nan_stays_in_its_row(isa, dtype, kind):
    rng = np.random.default_rng(5)
    for n_columns in (1, 3, 17, 40, 300):
        for target in targets_of(kind):
            y_hat, y = draw(kind, rng, (5, n_columns), dtype, target)
            column = int(rng.integers(n_columns))
            y_hat[1, column] = np.nan
            bad = [1]
            if target == "soft":
                y[3, column] = np.nan
                bad = [1, 3]
            values, gradient = loss_kernel(isa, kind, y_hat, y, None, 1.0, parameter_of(kind))
            np.testing.assert_array_equal(np.isnan(values), np.isin(np.arange(5), bad))
            assert np.all(np.isfinite(np.delete(gradient, bad, axis=0)))
            assert np.all(np.isnan(gradient[bad, column]))
            if kind == "cross_entropy_with_logits":
                assert np.all(np.isnan(gradient[bad]))


# kind, y_hat, y, value, gradient; one element each.
EXTREMES = [
    ("mse", 1e30, 1e30, 0.0, 0.0),
    ("l1", 2.0, 2.0, 0.0, 0.0),
    ("l1", np.inf, 2.0, np.inf, 1.0),
    ("huber", -np.inf, 2.0, np.inf, -0.7),
    ("log_cosh", 1e4, 0.0, 1e4 - np.log(2.0), 1.0),
    ("log_cosh", 0.0, np.inf, np.inf, -1.0),
    ("log_cosh", 1e-3, 0.0, 0.5 * np.log1p(np.sinh(1e-3) ** 2), np.tanh(1e-3)),
    ("quantile", 3.0, 3.0, 0.0, 0.0),
    ("quantile", np.inf, 0.0, np.inf, 0.7),
    ("quantile", -np.inf, 0.0, np.inf, -0.3),
    ("bce", 0.0, 0.0, 0.0, 0.0),
    ("bce", 1.0, 1.0, 0.0, 0.0),
    ("bce", 0.0, 1.0, 100.0, None),
    ("bce", 1.0, 0.0, 100.0, None),
    ("bce", 1e-40, 0.0, 1e-40, None),
    ("bce", 1e-40, 1.0, -np.log(1e-40), None),
    ("bce_with_logits", 1e4, 1.0, 0.0, 0.0),
    ("bce_with_logits", 1e4, 0.0, 1e4, 1.0),
    ("bce_with_logits", -1e4, 1.0, 1e4, -1.0),
    ("bce_with_logits", -1e4, 0.0, 0.0, 0.0),
    ("bce_with_logits", 1e4, 0.25, 7500.0, 0.75),
    ("bce_with_logits", 50.0, 1.0, np.exp(-50.0), -np.exp(-50.0)),
    ("bce_with_logits", -50.0, 0.0, np.exp(-50.0), np.exp(-50.0)),
    ("bce_with_logits", np.inf, 1.0, 0.0, 0.0),
    ("bce_with_logits", -np.inf, 0.0, 0.0, 0.0),
    ("bce_with_logits", -np.inf, 1.0, np.inf, -1.0),
    ("poisson", -1e4, 0.0, 0.0, 0.0),
    ("poisson", -1e4, 1.0, 1e4, -1.0),
    ("poisson", 1e4, 1.0, np.inf, np.inf),
]


@each_isa
@each_dtype
@pytest.mark.parametrize("case", EXTREMES, ids=lambda case: "-".join(map(str, case[:3])))
def test_extremes(isa, dtype, case):
    kind, y_hat, y, value, gradient = case
    y_hat, y = np.full((1, 20), y_hat, dtype), np.full((1, 20), y, dtype)  # body and tail
    values, got = loss_kernel(isa, kind, y_hat, y, None, 1.0, parameter_of(kind))
    rtol, tiny = 64 * np.finfo(dtype).eps, np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(values, [20 * value], rtol=rtol, atol=20 * tiny)
    if gradient is None:  # of bce: over the smallest denominator that it knows
        gradient = (y_hat - y) / np.maximum(y_hat * (1 - y_hat), np.finfo(dtype).eps / 2)
    np.testing.assert_allclose(got, np.broadcast_to(gradient, got.shape), rtol=rtol, atol=tiny)


E = np.exp(-50.0)
# Logits, target row, value, gradient.
CROSS_ENTROPY_EXTREMES = [
    ([1e4, 0.0, -1e4], [1, 0, 0], 0.0, [0.0, 0.0, 0.0]),
    ([1e4, 0.0, -1e4], [0, 0, 1], 2e4, [1.0, 0.0, -1.0]),
    ([1e4, 1e4, 1e4], [0, 1, 0], np.log(3.0), [1 / 3, -2 / 3, 1 / 3]),
    ([-1e4, -1e4], [0.5, 0.5], np.log(2.0), [0.0, 0.0]),
    ([50.0, 0.0], [1, 0], E, [-E, E]),
    ([0.0, 0.0], [1.5, 0.5], 2.0 * np.log(2.0), [-0.5, 0.5]),
    ([0.0, 0.0], [0.25, 0.0], 0.25 * np.log(2.0), [-0.125, 0.125]),
    ([0.0, -np.inf], [1, 0], 0.0, [0.0, 0.0]),
    ([0.0, -np.inf, 0.0], [1, 0, 0], np.log(2.0), [-0.5, 0.0, 0.5]),
    ([0.0, -np.inf], [0, 1], np.inf, [1.0, -1.0]),
    ([3.0], [1], 0.0, [0.0]),
    ([np.inf, 0.0], [1, 0], np.nan, [np.nan, np.nan]),
    ([-np.inf, -np.inf], [1, 0], np.nan, [np.nan, np.nan]),
]


@each_isa
@each_dtype
@pytest.mark.parametrize("case", CROSS_ENTROPY_EXTREMES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_extreme_logits_of_cross_entropy(isa, dtype, case):
    logits, target, value, gradient = case
    rtol = 64 * np.finfo(dtype).eps
    for n_extra in (0, 14, 300):  # classes that have no part in it
        z = np.array([logits + [-np.inf] * n_extra], dtype)
        y = np.array([target + [0] * n_extra], dtype)
        want = np.array([gradient + [np.nan if np.isnan(value) else 0.0] * n_extra])
        targets = [y, np.argmax(y, axis=1)] if max(target) == 1 else [y]
        for y_or_class in targets:
            values, got = loss_kernel(isa, "cross_entropy_with_logits", z, y_or_class)
            np.testing.assert_allclose(values, [value], rtol=rtol)
            np.testing.assert_allclose(got, want, rtol=rtol, atol=0.1 * np.finfo(dtype).eps * E)


@each_isa
@each_dtype
def test_cross_entropy_of_saturated_probabilities(isa, dtype):
    largest = 2.0 / np.finfo(dtype).eps
    for p, value, gradient in (([1, 0], 0.0, -1.0), ([0, 1], 100.0, -largest)):
        for y in (np.array([[1, 0]], dtype), np.array([0])):
            values, got = loss_kernel(isa, "cross_entropy", np.array([p], dtype), y)
            assert values[0] == value
            np.testing.assert_array_equal(got, [[gradient, 0.0]])


@each_isa
@each_dtype
def test_factor_and_total(isa, dtype):
    weight = np.array([0.1, 2.0, 0.7], dtype)
    row_values = np.array([3.0, 1e-17, -3.0])
    w0, w1, w2 = (float(w) for w in weight)
    driver, code = library(isa), dtype_code(dtype)

    def factor(kind, reduction, weight):
        indices = LOSSES.index(kind), REDUCTIONS.index(reduction)
        return driver.driver_loss_factor(code, *indices, size(4), size(3), pointer(weight))

    for kind in LOSSES:
        n_terms = 1 if kind in CROSS_ENTROPIES else 4
        for w, total in ((None, 3.0), (weight, (w0 + w1) + w2)):
            assert factor(kind, "mean", w) == 1.0 / (total * n_terms)
            assert factor(kind, "batch_mean", w) == 1.0 / total
            assert factor(kind, "sum", w) == 1.0
        assert factor(kind, "mean", np.zeros(3, dtype)) == 0.0

    def total(weight):
        return driver.driver_loss_total(
            code, size(3), pointer(weight), pointer(row_values), ctypes.c_double(0.3)
        )

    assert total(None) == 0.3 * ((3.0 + 1e-17) - 3.0)
    assert total(weight) == 0.3 * ((w0 * 3.0 + w1 * 1e-17) - w2 * 3.0)


def test_fused_pairs():
    fused = {("bce", "sigmoid"), ("cross_entropy", "softmax")}
    for kind in LOSSES:
        for activation, code in _core.ACTIVATIONS.items():
            flag = ctypes.c_int(-1)
            got = library("generic").mlp_loss_fuse(LOSSES.index(kind), code, ctypes.byref(flag))
            if (kind, activation) in fused:
                assert (LOSSES[got], flag.value) == (f"{kind}_with_logits", 1)
            else:
                assert (LOSSES[got], flag.value) == (kind, 0)


def softmax_backward(isa, p, da, dz):
    library(isa).driver_softmax_backward(
        dtype_code(p.dtype), *map(size, p.shape), pointer(p), pointer(da), pointer(dz)
    )


@each_isa
@each_dtype
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0])  # of the logits: the largest p then rounds to 1
def test_softmax_backward(isa, dtype, in_place, scale):
    rng = np.random.default_rng(6)
    for shape in [(n_rows, n_columns) for n_rows in ROWS for n_columns in WIDTHS]:
        weights = np.exp(-scale * rng.exponential(size=shape))
        p = guarded((weights / weights.sum(axis=1, keepdims=True)).astype(dtype))
        da = guarded(rng.normal(size=shape).astype(dtype))
        # From the likeliest output, where nothing but da itself cancels.
        likeliest = p.argmax(axis=1)[:, np.newaxis]
        wide_p, wide_da = p.astype(np.longdouble), da.astype(np.longdouble)
        wide_da -= np.take_along_axis(wide_da, likeliest, axis=1)
        terms = wide_p * wide_da
        want = wide_p * (wide_da - terms.sum(axis=1, keepdims=True))
        magnitude = wide_p * (np.abs(wide_da) + np.abs(terms).sum(axis=1, keepdims=True))
        dz = da if in_place else guarded_empty(shape, dtype)
        softmax_backward(isa, p, da, dz)
        assert_close(dz, want, magnitude, dtype, units=4)


@each_dtype
def test_softmax_backward_has_the_same_bits(dtype):
    rng = np.random.default_rng(7)
    for n_columns in WIDTHS:
        p = rng.dirichlet(np.ones(n_columns), 3).astype(dtype)
        da = rng.normal(size=p.shape).astype(dtype)
        results = set()
        for isa in wide_isas():
            dz = np.empty_like(da)
            softmax_backward(isa, p, da, dz)
            results.add(dz.tobytes())
        assert len(results) <= 1


@each_isa
@each_dtype
@pytest.mark.parametrize("in_place", [False, True])
def test_multiply(isa, dtype, in_place):
    rng = np.random.default_rng(8)
    for n in (0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 100):
        da, d = (guarded(rng.normal(size=n).astype(dtype)) for _ in range(2))
        want = da * d
        dz = da if in_place else guarded_empty((n,), dtype)
        library(isa).driver_multiply(
            dtype_code(dtype), size(n), pointer(da), pointer(d), pointer(dz)
        )
        assert dz.tobytes() == want.tobytes()
