# SPDX-License-Identifier: BSD-3-Clause
"""Training of any net by any rule: a whole has the bits of its parts; all of a step, or nothing."""

import copy
import pickle
import tempfile
from pathlib import Path

import numpy as np
import tolerances
from drawn import REAL_LOSSES, batch, nets, optimizers, property_test, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

import mlpcore
from mlpcore import _core
from mlpcore.schedules import Cosine, Exponential, OneCycle, Step

small = nets(widths=st.integers(1, 17))
n_rows = st.integers(1, 67)
batch_sizes = st.integers(1, 80)
schedules = st.sampled_from([None, Cosine(n_epochs=4), Step(2), Exponential(0.9)])


def bytes_of(net, rule):
    """All that the next step depends on."""
    arrays = net.parameters, rule.first_moment, rule.second_moment
    return [array if array is None else array.tobytes() for array in arrays], rule.n_steps


def state_of(trainer):
    rows = [{key: row[key] for key in row if key != "seconds"} for row in trainer.history]
    return bytes_of(trainer.net, trainer.optimizer), rows


@settings(property_test, max_examples=40)  # a disk takes its time
@given(small, n_rows, batch_sizes, seeds, optimizers(), schedules, st.integers(1, 3), st.booleans())
def test_training_goes_on_to_the_bit(net, n, size, seed, rule, schedule, n_first, from_file):
    """In one fit, or in two with a file, a copy or nothing in between."""
    x, y = batch(net, n, seed)
    options = {"batch_size": min(size, n), "seed": seed, "schedule": schedule, "dropout": 0.0}
    whole = mlpcore.Trainer(net.copy(), "huber", copy.copy(rule), **options)
    whole.fit(x, y, epochs=4)
    parts = mlpcore.Trainer(net.copy(), "huber", copy.copy(rule), **options)
    parts.fit(x, y, epochs=n_first)
    if from_file:
        with tempfile.TemporaryDirectory() as folder:
            parts.save(Path(folder, "trainer"))
            parts = mlpcore.Trainer.load(Path(folder, "trainer"))
    parts.fit(x, y, epochs=4 - n_first)
    assert state_of(parts) == state_of(whole)


@property_test
@given(small, n_rows, seeds, optimizers(), st.sampled_from(REAL_LOSSES))
def test_a_step_is_the_gradient_then_the_rule(net, n, seed, rule, cls):
    x, y = batch(net, n, seed)
    apart, fused, other = net.copy(), net.copy(), copy.copy(rule)
    for _ in range(3):
        value, gradients = apart.value_and_grad(x, y, cls())
        other.step(apart, gradients)
        assert fused.train_step(x, y, cls(), rule) == value
        assert np.array_equal(fused.parameters, apart.parameters)
    assert rule.n_steps == other.n_steps == 3


@property_test
@given(small, n_rows, seeds, optimizers(), st.sampled_from([pickle, copy]))
def test_a_copy_of_an_optimizer_goes_on_alike(net, n, seed, rule, way):
    x, y = batch(net, n, seed)
    net.train_step(x, y, "mse", rule)
    other = net.copy()
    twin = pickle.loads(pickle.dumps(rule)) if way is pickle else copy.deepcopy(rule)
    assert repr(twin) == repr(rule)
    for one, its_rule in ((net, rule), (other, twin)):
        for _ in range(2):
            one.train_step(x, y, "mse", its_rule)
    assert np.array_equal(net.parameters, other.parameters)


@property_test
@given(
    small, n_rows, seeds, optimizers(), st.sampled_from(["x", "y", "sample_weight"]),
    st.sampled_from([np.nan, np.inf]), st.data(),
)  # fmt: skip
def test_a_step_that_fails_changes_nothing(net, n, seed, rule, where, bad, data):
    x, y = batch(net, n, seed)
    net.train_step(x, y, "mse", rule)
    before = bytes_of(net, rule)
    weight = np.ones(n, net.dtype)
    arrays = {"x": x, "y": y, "sample_weight": weight}
    spoiled = arrays[where].reshape(-1)
    spoiled[data.draw(st.integers(0, spoiled.size - 1))] = bad
    try:
        net.train_step(x, y, "mse", rule, sample_weight=weight)
    except (FloatingPointError, ValueError):
        assert bytes_of(net, rule) == before
    else:  # a unit that is saturated, or off, has forgotten what it was given
        assert np.isfinite(net.parameters).all()


@property_test
@given(nets(), n_rows, seeds, st.floats(1e-3, 10.0), st.floats(1e-3, 10.0))
def test_a_longest_gradient_is_the_length_of_a_step(net, n, seed, rate, longest):
    x, y = batch(net, n, seed)
    _, gradients = net.value_and_grad(x, y, "mse")
    norm = float(np.linalg.norm(gradients.flat.astype(np.float64)))
    expected = gradients.flat.astype(np.float64) * rate * min(1.0, longest / max(norm, 1e-30))
    before = net.parameters.astype(np.float64)
    mlpcore.SGD(rate, clip_norm=longest).step(net, gradients)
    epsilon = tolerances.EPSILON[str(net.dtype)]
    error = np.abs(before - expected - net.parameters)
    assert (error <= 8 * epsilon * (np.abs(before) + np.abs(expected))).all()


@property_test
@given(small, n_rows, seeds, st.sampled_from([mlpcore.Adam, mlpcore.RMSprop]), st.integers(1, 6))
def test_a_first_step_does_not_know_how_long_the_gradient_is(net, n, seed, cls, power):
    """It is divided by its own moments, in which a power of two has no bit."""
    x, y = batch(net, n, seed)
    _, gradients = net.value_and_grad(x, y, "mse")
    flat = np.where(np.abs(gradients.flat) < 1e-3, 0.0, gradients.flat)
    once, longer = net.copy(), net.copy()
    cls(0.1, epsilon=1e-30).step(once, flat)
    cls(0.1, epsilon=1e-30).step(longer, flat * 2**power)
    assert np.array_equal(once.parameters, longer.parameters)
    assert np.array_equal(np.sign(net.parameters - once.parameters), np.sign(flat))


@property_test
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1), st.integers(0, 3000))
def test_a_permutation_holds_every_row_once(seed, epoch, n):
    order = _core.permutation(seed, epoch, n)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, _core.permutation(seed, epoch, n))


SCHEDULES = {
    "step": lambda n_epochs: Step(3),
    "exponential": lambda n_epochs: Exponential(0.97),
    "cosine": lambda n_epochs: Cosine(n_epochs=n_epochs),
    "one cycle": lambda n_epochs: OneCycle(n_epochs=n_epochs),
}


@property_test
@given(st.sampled_from(tuple(SCHEDULES)), st.integers(1, 200), st.data())
def test_a_schedule_keeps_the_rate_below_its_own_and_turns_once_at_most(name, n_epochs, data):
    schedule = SCHEDULES[name](n_epochs)
    epochs = sorted(data.draw(st.lists(st.floats(0.0, n_epochs), min_size=3, max_size=9)))
    factors = np.array([schedule.factor(epoch, n_epochs) for epoch in epochs])
    assert (factors >= 0.0).all()
    assert (factors <= 1.0).all()
    changes = np.sign(np.diff(factors))
    turns = np.count_nonzero(np.diff(changes[changes != 0]))
    assert turns <= (name == "one cycle")
    if name != "one cycle":
        assert (changes <= 0).all()
