# SPDX-License-Identifier: BSD-3-Clause
"""Updates in passing have the bits, and the refusals, of updates after the gradient."""

import copy
import os
import pickle
import signal

import numpy as np
import pytest

import mlpcore
from mlpcore import _core
from mlpcore.optimizer_base import remade

RULES = {
    "plain": lambda: mlpcore.SGD(0.05),
    "momentum": lambda: mlpcore.SGD(0.05, momentum=0.9),
    "nesterov": lambda: mlpcore.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "plain with l2": lambda: mlpcore.SGD(0.05, l2=0.01),
    "plain with weight_decay": lambda: mlpcore.SGD(0.05, weight_decay=0.01),
    "Adam": lambda: mlpcore.Adam(0.01),
    "Adam with l1 and l2": lambda: mlpcore.Adam(0.01, l1=1e-3, l2=1e-2),
    "Adam with weight_decay": lambda: mlpcore.Adam(0.01, weight_decay=0.1),
    "AdamW": lambda: mlpcore.AdamW(0.01, weight_decay=0.1),
    "RMSprop": lambda: mlpcore.RMSprop(0.01),
    "RMSprop with momentum": lambda: mlpcore.RMSprop(0.01, momentum=0.5),
}
each_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])

# Many parameters and few rows: these pass by, the first one but for plain SGD. The second net has
# more than one piece a layer, the third a row of tiles that alone is longer than a piece; the last
# has narrow outputs, and rows enough for whole tiles.
SHAPES = [([40, 50, 3], 4), ([500, 400, 1], 32), ([3, 2000, 4], 1), ([64, 128, 10], 80)]


def data_of(sizes, n_rows, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, sizes[0])).astype(dtype)
    y = rng.normal(size=(n_rows, sizes[-1])).astype(dtype)
    return x, y


def step_after(net, x, y, optimizer):
    value, gradients = net.value_and_grad(x, y, "mse")
    optimizer.step(net, gradients)
    return value


def is_made_after(net, x, y, optimizer):
    try:
        return np.isfinite(step_after(net, x, y, optimizer))
    except FloatingPointError:
        return False


def state_of(net, optimizer):
    moments = (optimizer.first_moment, optimizer.second_moment)
    return [net.parameters.tobytes(), *(m.tobytes() for m in moments if m is not None)]


@each_rule
@each_dtype
@pytest.mark.parametrize(("sizes", "n_rows"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_the_bits_are_those_of_an_update_after_the_gradient(make, dtype, sizes, n_rows, bias):
    net = mlpcore.MLP(sizes, ["tanh", "identity"], dtype=dtype, seed=1, bias=bias)
    twin, after = net.copy(), make()
    others = [(net.copy(), make(), n_threads) for n_threads in (2, 3)]
    optimizer = make()
    for step in range(4):
        x, y = data_of(sizes, n_rows, dtype, step)
        before = net.parameters.copy()
        assert net.train_step(x, y, "mse", optimizer) == step_after(twin, x, y, after)
        assert np.mean(net.parameters != before) > 0.9
        assert state_of(net, optimizer) == state_of(twin, after)
    order = np.arange(n_rows)
    for other, rule, n_threads in others:
        for step in range(4):
            x, y = data_of(sizes, n_rows, dtype, step)
            kernel = mlpcore.losses.as_loss(other, "mse")
            other._train_epoch(x, y, None, order, n_rows, kernel, rule, n_threads)
        assert state_of(other, rule) == state_of(net, optimizer)


@each_rule
@each_dtype
def test_what_is_not_finite_is_refused_as_after_the_gradient(make, dtype):
    """Inputs and targets grow until a square, a gradient, a moment or a loss overflows."""
    sizes, n_rows = SHAPES[0]
    net = mlpcore.MLP(sizes, ["relu", "identity"], dtype=dtype, seed=1)
    start, n_refused, n_made = net.parameters.copy(), 0, 0
    highest = np.log10(float(np.finfo(dtype).max)) - 1
    for exponent in np.linspace(0.0, highest, 60):
        for grows in ("x", "y", "both"):
            x, y = data_of(sizes, n_rows, dtype)
            factor = dtype(10.0**exponent)
            x, y = x * (factor if grows != "y" else 1), y * (factor if grows != "x" else 1)
            net.parameters[:] = start
            optimizer = make()
            net.train_step(*data_of(sizes, n_rows, dtype), "mse", optimizer)
            twin, after = net.copy(), copy.deepcopy(optimizer)
            before = state_of(net, optimizer)
            with np.errstate(over="ignore"):
                is_made = is_made_after(twin, x, y, after)
            if is_made:
                net.train_step(x, y, "mse", optimizer)
                assert state_of(net, optimizer) == state_of(twin, after)
                n_made += 1
            else:
                with pytest.raises(FloatingPointError):
                    net.train_step(x, y, "mse", optimizer)
                assert state_of(net, optimizer) == before
                n_refused += 1
    assert n_refused > 20
    assert n_made > 20


# What bounds a gradient, one by one: the sizes of a net, its rows, x, and the weights; a
# gradient overflows in float32, while all that the net computes before it is finite.
OVERFLOWS = {
    "x": ([64, 128, 1], 4, 1e30, (1e-32, 1e5)),
    "outputs of a hidden layer": ([64, 128, 4], 4, 1e15, (1e16, 1e-22)),
    "outputs of a narrow layer": ([2000, 10, 10], 32, 1e15, (1e16, 1e-26)),
    "dl/dz of the output layer": ([128, 100], 4, 1e25, (1e-10,)),
    "dl/dz of a hidden layer": ([64, 128, 1], 4, 1e3, (1e-36, 1e36)),
    "dl/dz of a hidden layer, by a tile that turns": ([64, 128, 20], 4, 1e3, (1e-36, 1e36)),
}


@each_rule
@pytest.mark.parametrize(
    ("sizes", "n_rows", "x_size", "weight_sizes"), OVERFLOWS.values(), ids=OVERFLOWS
)
def test_an_overflow_that_one_factor_brings_about(make, sizes, n_rows, x_size, weight_sizes):
    net = mlpcore.MLP(sizes, ["identity"] * len(weight_sizes), seed=1)
    x, y = data_of(sizes, n_rows, np.float32)
    for weight, size in zip(net.weights, weight_sizes, strict=True):
        weight[:] = size
    x = np.float32(x_size) * np.abs(x)
    value, gradients = net.value_and_grad(x, y, "mse")
    assert np.isfinite(net(x)).all()
    assert np.isfinite(value)
    assert np.isinf(gradients.flat).any()
    check_refused(net, x, y, make())


@each_dtype
@pytest.mark.parametrize("name", sorted(set(_core.ACTIVATIONS) - {"softmax"}))
def test_no_activation_exceeds_what_the_bound_takes_it_for(name, dtype):
    exponents = np.linspace(-30.0, 30.0, 400)
    z = np.concatenate([10.0**exponents, -(10.0**exponents), [0.0]]).astype(dtype)
    output = mlpcore.MLP([1, 1], [name], dtype=dtype, seed=0)
    output.parameters[:] = 1.0, 0.0
    assert np.all(np.abs(output(z[:, None])[:, 0]) <= 2 * np.abs(z) + 2)


@each_rule
def test_rows_of_several_blocks(make):
    """Plain SGD passes by here too, on top of the gradients of the blocks before."""
    sizes, n_rows = [2000, 800, 1], 1100
    net = mlpcore.MLP(sizes, ["tanh", "identity"], seed=1)
    x, y = data_of(sizes, n_rows, np.float32)
    twin, optimizer, after = net.copy(), make(), make()
    for _ in range(2):
        assert net.train_step(x, y, "mse", optimizer) == step_after(twin, x, y, after)
        assert state_of(net, optimizer) == state_of(twin, after)


def check_refused(net, x, y, optimizer):
    twin, after = net.copy(), copy.deepcopy(optimizer)
    before = state_of(net, optimizer)
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, "mse", optimizer)
    assert state_of(net, optimizer) == before
    assert not is_made_after(twin, x, y, after)


@each_dtype
@pytest.mark.parametrize("n_made", [0, 1, 2])
def test_what_is_known_of_moments_from_elsewhere(dtype, n_made):
    """The mean of the gradients over epsilon overflows, once there is no gradient."""
    sizes, n_rows = SHAPES[0]
    net = mlpcore.MLP(sizes, ["tanh", "identity"], dtype=dtype, seed=1)
    x, y = data_of(sizes, n_rows, dtype)
    large = float(np.finfo(dtype).max) * 1e-6
    arguments = {"learning_rate": 1e-4 / large, "beta2": 0.0, "epsilon": 1e-8}
    moments = np.full_like(net.parameters, large), np.zeros_like(net.parameters)
    optimizer = remade(mlpcore.Adam, arguments, (5, *moments))
    for _ in range(n_made):
        net.train_step(x, y, "mse", optimizer)
    check_refused(net, x, net(x), optimizer)


@each_dtype
def test_what_is_known_of_moments_that_were_followed(dtype):
    sizes, n_rows = SHAPES[0]
    net = mlpcore.MLP(sizes, ["tanh", "identity"], dtype=dtype, seed=1)
    x, y = data_of(sizes, n_rows, dtype)
    arguments = {"learning_rate": 1e-6, "beta2": 0.0, "epsilon": 1 / float(np.finfo(dtype).max)}
    optimizer = mlpcore.Adam(**arguments)
    for _ in range(3):
        net.train_step(x, 100 * y, "mse", optimizer)
    check_refused(net, x, net(x), optimizer)


@pytest.mark.parametrize("cls", [mlpcore.Adam, mlpcore.AdamW, mlpcore.RMSprop])
def test_an_epsilon_that_the_dtype_does_not_know(cls):
    """0 / 0, where there is no gradient; float64 has such a number."""
    for dtype, is_made in ((np.float32, False), (np.float64, True)):
        sizes, n_rows = SHAPES[0]
        net = mlpcore.MLP(sizes, ["tanh", "identity"], dtype=dtype, seed=1)
        x, _ = data_of(sizes, n_rows, dtype)
        optimizer = cls(epsilon=1e-50)
        if is_made:
            net.train_step(x, net(x), "mse", optimizer)
            assert np.isfinite(net.parameters).all()
        else:
            check_refused(net, x, net(x), optimizer)


@pytest.mark.parametrize("cls", [mlpcore.SGD, mlpcore.Adam, mlpcore.RMSprop])
def test_a_rate_that_the_dtype_does_not_know(cls):
    sizes, n_rows = SHAPES[0]
    net = mlpcore.MLP(sizes, ["tanh", "identity"], seed=1)
    x, _ = data_of(sizes, n_rows, np.float32)
    check_refused(net, x, net(x), cls(1e60))


@each_dtype
@pytest.mark.parametrize("option", ["weight_decay", "l2"])
def test_a_penalty_on_a_large_parameter(dtype, option):
    """A unit that is never active hides it from the loss, not from the rule."""
    sizes, n_rows = SHAPES[0]
    net = mlpcore.MLP(sizes, ["relu", "identity"], dtype=dtype, seed=1)
    x, y = data_of(sizes, n_rows, dtype)
    optimizer = mlpcore.Adam(1e-3, **{option: 1.0})
    net.train_step(np.abs(x), y, "mse", optimizer)
    net.weights[0][7, :] = -np.sqrt(np.finfo(dtype).max) * 100
    check_refused(net, np.abs(x), y, optimizer)


@pytest.mark.parametrize("make", [RULES["Adam"], RULES["momentum"]])
def test_moments_cannot_be_written_past_the_optimizer(make):
    sizes, n_rows = SHAPES[0]
    net, optimizer = mlpcore.MLP(sizes, seed=1), make()
    x, y = data_of(sizes, n_rows, np.float32)
    net.train_step(x, y, "mse", optimizer)
    with pytest.raises(ValueError, match="read-only"):
        optimizer.first_moment[0] = np.nan
    again = pickle.loads(pickle.dumps(optimizer))
    twin = net.copy()
    for _ in range(3):
        net.train_step(x, y, "mse", optimizer)
        twin.train_step(x, y, "mse", again)
    assert state_of(net, optimizer) == state_of(twin, again)


@pytest.mark.skipif(os.name == "nt", reason="there is no timer with a signal there")
def test_a_penalty_that_comes_in_the_course_of_an_epoch():
    """A step of another kind than the epoch was prepared for, which has no room for pieces."""
    sizes, n_rows = [300, 200, 3], 100_000
    net, optimizer = mlpcore.MLP(sizes, seed=1), mlpcore.SGD(1e-4)
    x, y = data_of(sizes, n_rows, np.float32)
    comes_at = []

    def add_penalty(number, frame):
        if optimizer.n_steps > 0:
            comes_at.append(optimizer.n_steps)
            optimizer.l2 = 0.1
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    former = signal.signal(signal.SIGALRM, add_penalty)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        net.fit(x, y, "mse", optimizer, epochs=1, batch_size=10, seed=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, former)
    assert 0 < comes_at[0] < n_rows // 10
    assert optimizer.n_steps == n_rows // 10
    assert np.isfinite(net.parameters).all()
