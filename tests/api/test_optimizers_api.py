# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers as objects: the update, their state, copies, and whom they belong to."""

import copy
import pickle

import numpy as np
import pytest

import mlpcore
from mlpcore import reference

MAKE = {
    "sgd": lambda: mlpcore.SGD(0.1),
    "sgd decay": lambda: mlpcore.SGD(0.1, weight_decay=0.2),
    "momentum": lambda: mlpcore.SGD(0.1, momentum=0.9),
    "nesterov": lambda: mlpcore.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: mlpcore.Adam(0.1),
    "adam decay": lambda: mlpcore.Adam(0.1, 0.8, 0.99, 1e-4, 0.1),
    "adamw": lambda: mlpcore.AdamW(0.1),
    "rmsprop": lambda: mlpcore.RMSprop(0.1),
    "rmsprop momentum": lambda: mlpcore.RMSprop(0.1, 0.9, 1e-4, 0.1, 0.8),
}
makes = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def gradients_of(net, step):
    generator = np.random.default_rng(step)
    return generator.standard_normal(net.n_parameters).astype(net.dtype)


def by_the_slow_twin(optimizer, parameters, gradients):
    """Parameters after these updates, as the reference makes them."""
    step = getattr(reference, f"{type(optimizer).__name__.lower()}_step")
    names = [name for name in optimizer._hyperparameters if name not in ("l1", "l2", "clip_norm")]
    options = {name: getattr(optimizer, name) for name in names}
    state = {}
    for g in gradients:
        parameters, state = step(parameters, g, state, **options)
    return parameters


@makes
def test_updates_are_the_references(make, dtype):
    net = mlpcore.MLP([3, 40, 2], dtype=dtype, seed=0)
    optimizer = make()
    gradients = [gradients_of(net, step) for step in range(5)]
    expected = by_the_slow_twin(optimizer, net.parameters, gradients)
    for g in gradients:
        optimizer.step(net, g)
    assert optimizer.n_steps == 5
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(net.parameters, expected, rtol=tolerance, atol=tolerance)


@makes
def test_gradients_objects_and_vectors_are_the_same(make):
    net = mlpcore.MLP([3, 4, 2], seed=0)
    other = net.copy()
    x, y = np.ones((5, 3)), np.zeros((5, 2))
    gradients = net.value_and_grad(x, y, "mse")[1]
    make().step(net, gradients)
    make().step(other, gradients.flat.astype(np.float64).tolist())
    assert net == other


def test_gradients_are_not_changed():
    net = mlpcore.MLP([3, 4, 2], seed=0)
    gradients = gradients_of(net, 0)
    before = gradients.copy()
    mlpcore.AdamW().step(net, gradients)
    np.testing.assert_array_equal(gradients, before)


@pytest.mark.parametrize("name", [name for name in MAKE if name not in ("sgd", "sgd decay")])
def test_an_optimizer_belongs_to_its_net_until_reset(name):
    make = MAKE[name]
    net, other = mlpcore.MLP([3, 4, 2], seed=0), mlpcore.MLP([3, 4, 2], seed=1)
    optimizer = make()
    optimizer.step(net, gradients_of(net, 0))
    before = other.parameters.copy()
    for use in (
        lambda: optimizer.step(other, gradients_of(net, 1)),
        lambda: other.train_step(np.ones(3), np.ones(2), "mse", optimizer),
    ):
        with pytest.raises(ValueError, match=r"belong to another net.*reset"):
            use()
    np.testing.assert_array_equal(other.parameters, before)
    optimizer.reset()
    assert optimizer.n_steps == 0
    assert optimizer.first_moment is None
    optimizer.step(other, gradients_of(net, 1))
    fresh = mlpcore.MLP([3, 4, 2], seed=1)
    make().step(fresh, gradients_of(net, 1))
    assert other == fresh


@makes
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_a_copy_goes_on_with_the_same_bits_and_apart(make, copied, dtype):
    net = mlpcore.MLP([3, 4, 2], dtype=dtype, seed=0)
    optimizer = make()
    for step in range(3):
        optimizer.step(net, gradients_of(net, step))
    other_net, other = net.copy(), copied(optimizer)
    assert repr(other) == repr(optimizer)
    assert other.n_steps == 3
    for step in range(3, 6):
        optimizer.step(net, gradients_of(net, step))
        other.step(other_net, gradients_of(net, step))
        assert net == other_net
    if optimizer.first_moment is not None:
        assert not np.shares_memory(optimizer.first_moment, other.first_moment)


def test_without_moments_an_optimizer_belongs_to_no_net():
    sgd = mlpcore.SGD(0.5)
    for net in (mlpcore.MLP([1, 1], init="zeros"), mlpcore.MLP([1, 1], init="zeros")):
        sgd.step(net, [1.0, -1.0])
        np.testing.assert_array_equal(net.parameters, [-0.5, 0.5])
    assert sgd.n_steps == 2


def test_a_copys_moments_have_to_fit_the_net_that_it_meets():
    optimizer = mlpcore.Adam()
    optimizer.step(mlpcore.MLP([3, 4, 2]), np.ones(26))
    for net in (mlpcore.MLP([3, 5, 2]), mlpcore.MLP([3, 4, 2], dtype="float64")):
        before = net.parameters.copy()
        with pytest.raises(ValueError, match="moments"):
            copy.copy(optimizer).step(net, np.ones(net.n_parameters))
        np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize(
    "state",
    [
        (-1, None, None),
        (1.5, None, None),
        (None, None, None),
        (1, "moment", None),
        (1, np.zeros(3, int), None),
        (1, np.zeros((2, 2)), None),
        (1, None, [1.0, 2.0]),
        (2**70, None, None),
    ],
)
def test_a_damaged_pickle_is_an_error_and_no_crash(state):
    remake, (cls, arguments, _), _ = mlpcore.Adam().__reduce__()
    with pytest.raises((ValueError, TypeError), match=r"^(n_steps|first_moment|second_moment): "):
        remake(cls, arguments, state)
    with pytest.raises(ValueError, match=r"^learning_rate: expected"):
        remake(cls, {**arguments, "learning_rate": -1.0}, (0, None, None))


@makes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_updates_nothing(make, bad):
    net = mlpcore.MLP([3, 4, 2], seed=0)
    optimizer = make()
    before = net.parameters.copy()
    gradients = gradients_of(net, 0)
    gradients[7] = bad
    with pytest.raises(FloatingPointError, match="not updated"):
        optimizer.step(net, gradients)
    np.testing.assert_array_equal(net.parameters, before)
    assert optimizer.n_steps == 0


@pytest.mark.parametrize(
    "other",
    [
        mlpcore.MLP([3, 5, 2], seed=0),
        mlpcore.MLP([5, 3, 2], seed=0),  # as many parameters
        mlpcore.MLP([3, 5, 2], seed=0, bias=False),
    ],
)
def test_gradients_of_another_net_are_refused(other):
    net = mlpcore.MLP([3, 4, 2], seed=0)
    before = net.copy()
    gradients = other.vjp(np.ones(other.sizes[0]), np.ones(2))
    with pytest.raises(ValueError, match=r"^gradients: expected those of a net like MLP"):
        mlpcore.SGD().step(net, gradients)
    with pytest.raises(ValueError, match=r"^gradients: expected shape \(26,\)"):
        mlpcore.SGD().step(net, np.ones(27))
    assert net == before


def test_defaults_are_pytorchs():
    assert repr(mlpcore.SGD()) == (
        "SGD(learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.0, l1=0.0, "
        "l2=0.0, clip_norm=None)"
    )
    assert repr(mlpcore.Adam()) == (
        "Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.0, "
        "l1=0.0, l2=0.0, clip_norm=None)"
    )
    assert repr(mlpcore.AdamW()) == (
        "AdamW(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.01, "
        "l1=0.0, l2=0.0, clip_norm=None)"
    )
    assert repr(mlpcore.RMSprop()) == (
        "RMSprop(learning_rate=0.01, beta2=0.99, epsilon=1e-08, weight_decay=0.0, momentum=0.0, "
        "l1=0.0, l2=0.0, clip_norm=None)"
    )


@makes
def test_repr_is_the_call_that_makes_it(make):
    text = repr(make())
    assert repr(eval(text, vars(mlpcore).copy())) == text


def test_learning_rate_and_weight_decay_can_be_set():
    net, other = mlpcore.MLP([3, 4, 2], seed=0), mlpcore.MLP([3, 4, 2], seed=0)
    optimizer = mlpcore.SGD(0.5)
    optimizer.learning_rate = np.float32(0.25)
    optimizer.weight_decay = 1
    assert optimizer.learning_rate == 0.25
    optimizer.step(net, gradients_of(net, 0))
    mlpcore.SGD(0.25, weight_decay=1.0).step(other, gradients_of(net, 0))
    assert net == other


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_what_moments_were_made_with_is_fixed(name):
    with pytest.raises(AttributeError):
        setattr(mlpcore.SGD(), name, 0.5)
    for other in ("beta1", "beta2", "epsilon"):
        with pytest.raises(AttributeError):
            setattr(mlpcore.AdamW(), other, 0.5)


@makes
def test_its_state_is_not_set_by_hand(make):
    optimizer = make()
    names = ("n_steps", "first_moment", "second_moment", "momentum", "nesterov", "beta1", "beta2")
    for name in (*names, "epsilon"):
        with pytest.raises(AttributeError):
            setattr(optimizer, name, 5)


class Gentle(mlpcore.Adam):
    """A constructor of its own, an attribute and a slot."""

    __slots__ = ("__dict__", "note")

    def __init__(self, note):
        super().__init__(1e-4, beta1=0.5)
        self.note = note
        self.seen = [note]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_a_copy_of_a_subclass_keeps_its_attributes(copied):
    net = mlpcore.MLP([3, 4, 2], seed=0)
    optimizer = Gentle("slow")
    optimizer.step(net, gradients_of(net, 0))
    other_net, other = net.copy(), copied(optimizer)
    assert type(other) is Gentle
    assert (other.note, other.seen, other.n_steps) == ("slow", ["slow"], 1)
    assert repr(other) == repr(optimizer)
    optimizer.step(net, gradients_of(net, 1))
    other.step(other_net, gradients_of(net, 1))
    assert net == other_net


class Forgetful(mlpcore.Adam):
    def __init__(self):
        pass


@pytest.mark.parametrize("make", [Forgetful, lambda: mlpcore.Adam.__new__(mlpcore.Adam)])
def test_an_optimizer_without_its_constructor_trains_nothing(make):
    net = mlpcore.MLP([3, 4, 2], seed=0)
    x, y = np.ones((1, 3)), np.ones((1, 2))
    for use in (
        lambda: make().step(net, np.ones(26)),
        lambda: net.train_step(x, y, "mse", make()),
        lambda: net.fit(x, y, "mse", make(), epochs=1),
        lambda: mlpcore.Trainer(net, "mse", make()),
    ):
        with pytest.raises(RuntimeError, match="the optimizer is not initialised"):
            use()


def test_parameters_made_read_only_are_not_trained():
    net = mlpcore.MLP([3, 4, 2], seed=0)
    net.parameters.flags.writeable = False
    for use in (
        lambda: mlpcore.SGD().step(net, np.ones(26)),
        lambda: net.train_step(np.ones(3), np.ones(2), "mse", mlpcore.SGD()),
    ):
        with pytest.raises(ValueError, match="read-only"):
            use()
