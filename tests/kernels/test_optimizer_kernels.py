# SPDX-License-Identifier: BSD-3-Clause
"""The optimizer kernels of every instruction set against the reference, and each other."""

import numpy as np
import pytest
from guarded import guarded
from loss_driver import (
    CANDIDATES,
    DTYPES,
    needs_posix,
    optimizer_step,
    wide_isas,
)

from mlpcore import reference

pytestmark = needs_posix

SIZES = [1, 7, 8, 16, 31, 32, 33, 165]
N_STEPS = 7

ADAM = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
RMSPROP = {"learning_rate": 0.01, "beta2": 0.99, "epsilon": 1e-8}
CASES = [
    ("sgd", {"learning_rate": 0.1}),
    ("sgd", {"learning_rate": 0.1, "weight_decay": 0.2}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.2, "nesterov": True}),
    ("adam", ADAM),
    ("adam", {**ADAM, "weight_decay": 0.2}),
    ("adam", {**ADAM, "beta1": 0.0, "beta2": 0.5, "epsilon": 0.1}),
    ("adamw", {**ADAM, "weight_decay": 0.0}),
    ("adamw", {**ADAM, "weight_decay": 0.2}),
    ("rmsprop", RMSPROP),
    ("rmsprop", {**RMSPROP, "weight_decay": 0.2}),
    ("rmsprop", {**RMSPROP, "weight_decay": 0.2, "momentum": 0.9}),
]

each_isa = pytest.mark.parametrize("isa", CANDIDATES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values()))}"
)


def moments_of(kind, options, n, dtype):
    """Zeros, for those that this optimizer has."""
    has_first = kind in ("adam", "adamw") or options.get("momentum", 0.0) != 0.0
    has_second = kind != "sgd"
    return [guarded(np.zeros(n, dtype)) if has else None for has in (has_first, has_second)]


def run(isa, case, parameters, gradients, n_threads=1):
    """Parameters and moments after one step for each row of gradients."""
    kind, options = case
    parameters = guarded(parameters)
    moments = moments_of(kind, options, parameters.size, parameters.dtype)
    for step, gradient in enumerate(gradients):
        next_step = optimizer_step(
            isa, kind, parameters, gradient, moments, options, step, n_threads
        )
        assert next_step == step + 1
    return parameters, moments


@each_isa
@each_dtype
@each_case
def test_steps_match_reference(isa, dtype, case):
    kind, options = case
    rng = np.random.default_rng(1)
    for n in SIZES:
        start = rng.normal(size=n).astype(dtype)
        gradients = [guarded(rng.normal(size=n).astype(dtype)) for _ in range(N_STEPS)]
        got, _ = run(isa, case, start, gradients)
        theta, state = start.astype(np.float64), {}
        for gradient in gradients:
            theta, state = getattr(reference, f"{kind}_step")(theta, gradient, state, **options)
        # A step moves a parameter by about one: rounding errors are relative to that.
        np.testing.assert_allclose(got, theta, rtol=0, atol=8 * N_STEPS * np.finfo(dtype).eps)


@each_dtype
@each_case
def test_instruction_sets_have_the_same_bits(dtype, case):
    rng = np.random.default_rng(2)
    for n in SIZES:
        start = rng.normal(size=n).astype(dtype)
        gradients = rng.normal(size=(N_STEPS, n)).astype(dtype)
        results = set()
        for isa in wide_isas():
            parameters, moments = run(isa, case, start, gradients)
            results.add(b"".join(a.tobytes() for a in [parameters, *moments] if a is not None))
        assert len(results) <= 1


@each_isa
@each_dtype
@each_case
def test_threads_do_not_change_bits(isa, dtype, case):
    n = 3 * 65536 + 1234  # more than three pieces
    rng = np.random.default_rng(3)
    start = rng.normal(size=n).astype(dtype)
    gradients = rng.normal(size=(2, n)).astype(dtype)
    alone, moments_alone = run(isa, case, start, gradients)
    shared, moments_shared = run(isa, case, start, gradients, n_threads=3)
    np.testing.assert_array_equal(shared, alone)
    for a, b in zip(moments_shared, moments_alone, strict=True):
        assert (a is None) == (b is None)
        assert a is None or a.tobytes() == b.tobytes()
    # The first and the last parameters alone.
    for part in (slice(0, 5), slice(n - 5, n)):
        few, _ = run(isa, case, start[part], np.ascontiguousarray(gradients[:, part]))
        assert few.tobytes() == shared[part].tobytes()


@each_isa
@each_dtype
def test_velocity_starts_as_the_gradient(isa, dtype):
    gradient = guarded(np.array([0.3, -1.7, 5.0], dtype))
    options = {"learning_rate": 0.0, "momentum": 0.9}
    _, (velocity, _) = run(isa, ("sgd", options), np.ones(3, dtype), [gradient])
    assert velocity.tobytes() == gradient.tobytes()


@each_isa
@each_dtype
@pytest.mark.parametrize("step", [0, 1, 2, 9, 999, 10**6, 10**12])
def test_bias_correction_at_any_step(isa, dtype, step):
    """With a constant gradient, every step is the learning rate."""
    beta1, beta2, t = 0.9, 0.999, step + 1
    gradient = np.array([2.0], dtype)
    # Chosen so that the step makes them (1 - beta^t) g and (1 - beta^t) g^2.
    first = (gradient * (beta1 - beta1**t) / beta1).astype(dtype)
    second = (gradient**2 * (beta2 - beta2**t) / beta2).astype(dtype)
    parameters = guarded(np.zeros(1, dtype))
    options = {"learning_rate": 0.25, "beta1": beta1, "beta2": beta2, "epsilon": 0.0}
    got = optimizer_step(isa, "adam", parameters, gradient, (first, second), options, step)
    assert got == t
    np.testing.assert_allclose(parameters, [-0.25], rtol=1000 * np.finfo(dtype).eps)


@each_isa
@each_dtype
@each_case
def test_an_update_that_would_not_be_finite_is_not_made(isa, dtype, case):
    kind, options = case
    for n in (1, 7, 8, 9, 16, 17, 33, 70_001):
        for place in {0, n // 2, n - 1}:
            for bad in (np.nan, np.inf, -np.inf):
                parameters = guarded(np.ones(n, dtype))
                moments = moments_of(kind, options, n, dtype)
                gradient = np.ones(n, dtype)
                gradient[place] = bad
                step = optimizer_step(
                    isa, kind, parameters, guarded(gradient), moments, options, 0, n_threads=2
                )
                assert step == 0
                assert np.all(parameters == 1)
                assert all(moment is None or not np.any(moment) for moment in moments)


@each_isa
@each_dtype
def test_a_finite_gradient_may_overflow_too(isa, dtype):
    largest = np.finfo(dtype).max
    parameters, gradient = guarded(np.full(5, -largest)), guarded(np.full(5, largest))
    parameters, gradient = parameters.astype(dtype), gradient.astype(dtype)
    step = optimizer_step(isa, "sgd", parameters, gradient, [None, None], {"learning_rate": 1.0}, 0)
    assert step == 0
    assert np.all(parameters == -largest)


@each_isa
@each_dtype
@pytest.mark.parametrize("kind", ["adam", "adamw"])
@pytest.mark.parametrize(
    ("parameter", "first", "second", "is_made"),
    [
        (0.6, 0.0, 0.0, True),  # far out, and not moved
        (0.0, 1e-6, 1e-8, True),  # first / epsilon overflows, first / root does not
        (0.0, 1e-6, 0.0, False),  # here the root is epsilon
        (-1.0, 3e-12, 0.0, False),  # the step is finite, and leads beyond the largest number
        (0.0, 0.0, -1e-20, False),  # no root
        (0.0, 0.0, np.inf, False),
        (np.nan, 0.0, 0.0, False),
    ],
)
def test_adam_refuses_just_what_is_not_finite(isa, dtype, kind, parameter, first, second, is_made):
    """Parameter and moments are given in shares of the largest number; the gradient is 0."""
    options = {"learning_rate": 0.01, "beta1": 0.5, "beta2": 0.5, "epsilon": 1e-8}
    largest = np.finfo(dtype).max
    for n in (1, 16, 64, 77):
        for place in {0, n // 2, n - 1}:
            arrays = [guarded(np.ones(n, dtype)) for _ in range(3)]
            for array, share in zip(arrays, (parameter, first, second), strict=True):
                array[place] = dtype(share) * largest
            before = [array.copy() for array in arrays]
            gradient = guarded(np.zeros(n, dtype))
            step = optimizer_step(isa, kind, arrays[0], gradient, arrays[1:], options, 1000)
            assert step == 1000 + is_made
            for array, was in zip(arrays, before, strict=True):
                assert np.isfinite(array).all() if is_made else array.tobytes() == was.tobytes()
