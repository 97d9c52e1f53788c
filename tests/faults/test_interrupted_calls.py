# SPDX-License-Identifier: BSD-3-Clause
"""A signal handler that raises within one long call: soon, nothing changed, and it can be repeated.

The calls have one batch, and so no end of an update to wait for; that of a wide net is one block.
"""

import os
import random
import signal
import time
from importlib.util import find_spec

import numpy as np
import pytest

import mlpcore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no timer with a signal there")

N_ROWS = 120_000
N_INPUTS, N_OUTPUTS = 96, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N_ROWS, N_INPUTS), np.float32)
Y = np.tanh(X[:, :N_OUTPUTS])
PROMISED = 0.1


class HandlerError(Exception):
    """What the handler raises."""


def forward(net, optimizer):
    return net(X)


def into(net, optimizer):
    return net.forward(X, out=np.empty_like(Y))


def value_and_grad(net, optimizer):
    return net.value_and_grad(X, Y, "mse")[1].flat


def by_hand(net, optimizer):
    return net.backward(net.trace(X), Y).flat


def step(net, optimizer):
    net.train_step(X, Y, "mse", optimizer)
    return net.parameters.copy()


def fit(net, optimizer):
    net.fit(X, Y, "mse", optimizer, epochs=1, batch_size=N_ROWS, seed=0)
    return net.parameters.copy()


def lbfgs(net, optimizer):
    net.fit(X, Y, "mse", mlpcore.LBFGS(), epochs=1)
    return net.parameters.copy()


def jacobian(net, optimizer):
    return net.jacobian(X[: N_ROWS // 4])


def laplacian(net, optimizer):
    return net.laplacian(X[: N_ROWS // 60])


def hvp(net, optimizer):
    return net.hvp(X[: N_ROWS // 2], Y[: N_ROWS // 2], "mse", np.ones_like(net.parameters))


NEEDS_SCIPY = pytest.mark.skipif(find_spec("scipy") is None, reason="SciPy is optional")
CALLS = [forward, into, value_and_grad, by_hand, step, fit, jacobian, laplacian, hvp]
CALLS += [pytest.param(lbfgs, marks=NEEDS_SCIPY)]


def make():
    sizes = [N_INPUTS, 256, 256, N_OUTPUTS]
    return mlpcore.MLP(sizes, activations="tanh", seed=0), mlpcore.Adam()


def raise_interrupted(signum, frame):
    raise HandlerError


@pytest.fixture
def one_thread():
    before = mlpcore.get_n_threads()
    mlpcore.set_n_threads(1)
    yield
    mlpcore.set_n_threads(before)


def duration_of(call):
    """Seconds of the call on an idle machine, whose memory an earlier one has touched."""
    call(*make())
    begin = time.thread_time()  # a pause of the whole process does not count
    call(*make())
    return time.thread_time() - begin


def interrupted_after(call, seconds):
    """Call it, with a signal after so many seconds: how long it went on, leaving no trace."""
    net, optimizer = make()
    before = net.parameters.copy()
    former = signal.signal(signal.SIGALRM, raise_interrupted)
    try:
        begin = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with pytest.raises(HandlerError):
            call(net, optimizer)
        delay = time.perf_counter() - begin - seconds
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, former)
    assert np.array_equal(net.parameters, before)
    assert optimizer.n_steps == 0
    return delay, net, optimizer


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_call_is_cut_short_and_can_be_repeated(call, one_thread):
    whole, duration = call(*make()), duration_of(call)
    _, *again = interrupted_after(call, 0.2 * duration)
    assert np.array_equal(call(*again), whole)


def test_one_block_is_cut_short_before_its_update(one_thread):
    """Of a wide net: the rows take two thirds of the step, and the signal comes early in them."""
    net = mlpcore.MLP([N_INPUTS, 1500, 1500, N_OUTPUTS], seed=0)
    optimizer, before = mlpcore.SGD(1e-3), net.parameters.copy()
    begin = time.perf_counter()
    net.train_step(X[:1024], Y[:1024], "mse", optimizer)
    duration = time.perf_counter() - begin
    whole = net.parameters.copy()
    net.parameters[:] = before
    former = signal.signal(signal.SIGALRM, raise_interrupted)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1 * duration)
        with pytest.raises(HandlerError):
            net.train_step(X[:1024], Y[:1024], "mse", optimizer)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, former)
    assert np.array_equal(net.parameters, before)
    assert optimizer.n_steps == 1
    net.train_step(X[:1024], Y[:1024], "mse", optimizer)
    assert np.array_equal(net.parameters, whole)


@pytest.mark.timing
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_call_is_cut_short_within_100_ms(call, one_thread):
    duration = duration_of(call)
    generator = random.Random(0)
    delays = [interrupted_after(call, generator.uniform(0.0, 0.5 * duration))[0] for _ in range(10)]
    assert max(delays) < PROMISED
