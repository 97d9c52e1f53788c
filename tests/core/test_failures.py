# SPDX-License-Identifier: BSD-3-Clause
"""What is left after a call that did not go well: no memory, not finite, interrupted, in use."""

import signal
import threading
import time

import numpy as np
import pytest
from starving import fail_each_allocation

import mlpcore
from mlpcore import _core


def make(sizes=(5, 40, 3), n_rows=60):
    rng = np.random.default_rng(0)
    net = mlpcore.MLP(list(sizes), ["tanh", "identity"], seed=0)
    x = rng.normal(size=(n_rows, sizes[0])).astype("float32")
    return net, x, rng.normal(size=(n_rows, sizes[-1])).astype("float32")


CALLS = {
    "forward": lambda net, x, y, optimizer: net(x),
    "trace": lambda net, x, y, optimizer: net.trace(x),
    "backward": lambda net, x, y, optimizer: net.vjp(x, y),
    "value_and_grad": lambda net, x, y, optimizer: net.value_and_grad(x, y, "mse"),
    "train_step": lambda net, x, y, optimizer: net.train_step(x, y, "mse", optimizer),
    "fit": lambda net, x, y, optimizer: net.fit(
        x, y, loss="mse", optimizer=optimizer, epochs=1, batch_size=7, seed=0
    ),
}


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("call", CALLS)
def test_every_allocation_may_fail(call, once):
    def with_an_optimizer():
        return *make(), mlpcore.Adam(1e-2)

    def works_as_if_nothing_had_happened(net, x, y, optimizer):
        other, _, _, another = with_an_optimizer()
        assert net == other
        assert optimizer.n_steps == 0
        CALLS[call](net, x, y, optimizer)
        CALLS[call](other, x, y, another)
        assert net == other

    n_allocations = fail_each_allocation(
        with_an_optimizer, CALLS[call], works_as_if_nothing_had_happened, once
    )
    assert n_allocations >= 2  # the workspace and its arena


@pytest.mark.parametrize("rule", [mlpcore.SGD, mlpcore.Adam])
def test_a_finite_loss_with_an_update_that_is_not(rule):
    net = mlpcore.MLP([1, 1], ["identity"], init="zeros")
    x, y = np.full((1, 1), 1e25, "float32"), np.full((1, 1), 1e14, "float32")
    value, _ = net.value_and_grad(x, y, "mse")
    assert np.isfinite(value)
    optimizer = rule(1e-3)
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, "mse", optimizer)
    assert not np.any(net.parameters)
    assert optimizer.n_steps == 0
    # It is bound to no net: this one is another.
    fresh = mlpcore.MLP([1, 1], ["identity"], seed=0)
    fresh.train_step(np.ones((1, 1)), np.ones((1, 1)), "mse", optimizer)


def test_a_learning_rate_beyond_the_dtype():
    net, x, y = make()
    before = net.parameters.copy()
    with pytest.raises((FloatingPointError, ValueError)):
        net.fit(x, y, loss="mse", optimizer=mlpcore.SGD(1e39), epochs=1, seed=0)
    assert np.all(np.isfinite(net.parameters))
    assert np.array_equal(net.parameters, before)


class Interrupt:
    """Sends SIGINT to this thread some time from now."""

    def __enter__(self):
        self.timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        self.timer.start()

    def __exit__(self, *_):
        self.timer.cancel()
        self.timer.join()


def long_epoch():
    """An epoch of some seconds, so that it is C that has to ask for signals."""
    rng = np.random.default_rng(0)
    net = mlpcore.MLP([2, 2, 1], ["tanh", "identity"], seed=0)
    x = rng.normal(size=(8_000_000, 2)).astype("float32")
    kernel = mlpcore.losses.as_loss(net, "mse")
    return net, x, x[:, :1].copy(), kernel


@pytest.mark.timing
def test_an_interrupt_is_heard_within_an_epoch_of_tiny_steps():
    net, x, y, kernel = long_epoch()
    optimizer = mlpcore.SGD(1e-3)
    started = time.perf_counter()
    with Interrupt(), pytest.raises(KeyboardInterrupt):
        net._train_epoch(x, y, None, None, 1, kernel, optimizer, 1)
    assert time.perf_counter() - started < 0.3 + 0.2
    assert 0 < optimizer.n_steps < len(x)
    # Whole updates: the same number of single ones gives the same bits.
    again, *_ = long_epoch()
    first = optimizer.n_steps
    again._train_epoch(x[:first], y[:first], None, None, 1, kernel, mlpcore.SGD(1e-3), 1)
    assert np.array_equal(net.parameters, again.parameters)


def test_an_optimizer_is_in_one_call_at_a_time():
    net, x, y, kernel = long_epoch()
    optimizer = mlpcore.Adam(1e-3)
    messages = []

    def handler(*_):
        for use in (
            optimizer.reset,
            lambda: net.train_step(x[:1], y[:1], kernel, optimizer),
            lambda: mlpcore.MLP([1, 1]).train_step([[1.0]], [[1.0]], "mse", optimizer),
        ):
            try:
                use()
            except RuntimeError as error:
                messages.append(str(error))
        net(x[:3])  # the net itself may be used
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, handler)
    try:
        with Interrupt(), pytest.raises(KeyboardInterrupt):
            net._train_epoch(x, y, None, None, 1, kernel, optimizer, 1)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert messages == ["optimizer: in use by another call"] * 3
    optimizer.reset()
    mlpcore.MLP([1, 1]).train_step([[1.0]], [[1.0]], "mse", optimizer)


def test_nothing_is_allocated_after_the_first_batch():
    net, x, y = make(n_rows=65)
    kernel, optimizer = mlpcore.losses.as_loss(net, "mse"), mlpcore.Adam(1e-3)
    order = _core.permutation(0, 0, len(x))

    def epoch():
        # The last batch has one row, the others 16.
        return net._train_epoch(x, y, None, order, 16, kernel, optimizer, 2)

    epoch()
    blocks = _core.live_allocations()
    _core.fail_allocations_after(0, False)
    try:
        status, _, n_steps = epoch()
    finally:
        _core.fail_allocations_after(-1, False)
    assert (status, n_steps) == (_core.OK, 5)
    assert _core.live_allocations() == blocks
