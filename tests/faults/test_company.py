# SPDX-License-Identifier: BSD-3-Clause
"""Training that is not alone: forked processes, fits within fits, threads, sources that fail."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import mlpcore

FORKS = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # CPython 3.12 and later: the workers of the core are threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def data(n_rows=1200):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_rows, 30)).astype(np.float32)
    return x, np.tanh(x[:, :4])


def make_trainer(seed=0, loss="mse", n_threads=2, **options):
    # Enough work for two threads: an update has some 30 million multiply-adds.
    net = mlpcore.MLP([30, 200, 100, 4], activations="tanh", seed=seed)
    options = {"batch_size": 400, "seed": 3, "n_threads": n_threads} | options
    return mlpcore.Trainer(net, loss, mlpcore.Adam(1e-3), **options)


def trained(n_epochs, **options):
    trainer = make_trainer(**options)
    trainer.fit(*data(), epochs=n_epochs)
    return trainer


# ---- fork ----------------------------------------------------------------------------------------


def in_a_child(work):
    """Whether `work` returned True in a forked process, within half a minute."""
    child = os.fork()
    if child == 0:
        # No handler of this process, and no hang: the alarm ends the child.
        signal.alarm(30)
        try:
            os._exit(0 if work() is True else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


@pytest.mark.usefixtures("_many_threads")
class TestFork:
    pytestmark = FORKS

    @pytest.fixture
    def _many_threads(self):
        mlpcore.set_n_threads(2)

    def test_after_a_fit(self):
        trainer = trained(2)
        x, y = data()
        expected = trainer.net(x)

        def work():
            same = np.array_equal(trainer.net(x), expected)
            trainer.fit(x, y, epochs=2)
            return same and trainer.net == trained(4).net

        assert in_a_child(work)
        # What the child learnt is its own.
        np.testing.assert_array_equal(trainer.net(x), expected)
        assert trained(2).net == trainer.net

    def test_from_a_callback(self):
        x, y = data()
        whole = trained(4)
        seen = []

        def callback(state):
            if state.epoch == 2:
                net = state.net.copy()
                seen.append(in_a_child(lambda: np.array_equal(state.net(x), net(x))))
                seen.append(
                    in_a_child(lambda: state.trainer.fit(x, y, epochs=2) is not None)
                    and state.trainer.n_epochs == 2
                )

        trainer = make_trainer()
        trainer.fit(x, y, epochs=4, callbacks=[callback])
        assert seen == [True, True]
        assert trainer.net == whole.net

    def test_while_another_thread_fits(self):
        x, y = data()
        trainer = make_trainer()
        stop = threading.Event()
        thread = threading.Thread(
            target=trainer.fit,
            args=(x, y),
            kwargs={"epochs": 10**6, "callbacks": [lambda _: stop.is_set()]},
        )
        thread.start()
        try:
            deadline = time.monotonic() + 30.0
            while trainer.n_epochs == 0 and time.monotonic() < deadline:
                time.sleep(0.001)

            def work():
                # The net can be asked, and another one trained.
                return bool(np.isfinite(trainer.net(x)).all()) and trained(1).n_epochs == 1

            assert [in_a_child(work) for _ in range(5)] == [True] * 5
        finally:
            stop.set()
            thread.join()
        twin = trained(trainer.n_epochs)
        assert trainer.net == twin.net


# ---- fits within fits, and beside one another ----------------------------------------------------


def test_another_net_may_be_fitted_within_a_callback():
    x, y = data()
    inner = []
    callback = [lambda state: inner.append(trained(1, seed=state.epoch).net)]
    trainer = make_trainer()
    trainer.fit(x, y, epochs=3, callbacks=callback)
    assert trainer.net == trained(3).net
    assert inner == [trained(1, seed=epoch).net for epoch in (1, 2, 3)]


def test_the_same_trainer_may_be_fitted_within_a_callback():
    x, y = data()

    def callback(state):
        if state.epoch == 2:
            state.trainer.fit(x, y, epochs=2)

    trainer = make_trainer()
    history = trainer.fit(x, y, epochs=4, callbacks=[callback])
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert trainer.net == trained(6).net


def test_threads_fit_nets_of_their_own():
    expected = [trained(3, seed=seed).net for seed in range(4)]
    got = [None] * 4

    def work(seed):
        got[seed] = trained(3, seed=seed).net

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


@pytest.mark.parametrize("shared", ["net", "optimizer", "trainer"])
def test_who_trains_what_another_thread_trains_is_told(shared):
    # Tiny steps for a second, in one call.
    x = np.random.default_rng(0).standard_normal((3_000_000, 2)).astype(np.float32)
    y = x[:, :1].copy()
    nets = [mlpcore.MLP([2, 2, 1], activations="tanh", seed=0) for _ in range(3)]
    trainer = mlpcore.Trainer(nets[0], "mse", mlpcore.Adam(1e-3), 1, shuffle=False)
    calls = {
        "net": lambda: nets[0].train_step(x[:1], y[:1], "mse", mlpcore.Adam(1e-3)),
        "optimizer": lambda: nets[1].train_step(x[:1], y[:1], "mse", trainer.optimizer),
        "trainer": lambda: trainer.step(x[:1], y[:1]),
    }
    thread = threading.Thread(target=trainer.fit, args=(x, y), kwargs={"epochs": 1})
    thread.start()
    try:
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            try:
                trainer.optimizer._check_idle()
            except RuntimeError:
                break
        with pytest.raises(RuntimeError, match=r"^(net|optimizer): in use by another call"):
            calls[shared]()
        assert nets[0](x[:1]).shape == (1, 1)  # it can be asked
    finally:
        thread.join()
    alone = mlpcore.Trainer(nets[2], "mse", mlpcore.Adam(1e-3), 1, shuffle=False)
    alone.fit(x, y, epochs=1)
    assert trainer.net == alone.net
    for call in calls.values():  # and now, one after the other, nothing is in the way
        if call is not calls["optimizer"]:
            call()


# ---- sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("n_given", [0, 1, 2])
def test_a_source_that_raises_leaves_what_was_learnt(error, n_given):
    x, y = data()
    parts = [(x[i : i + 400], y[i : i + 400]) for i in (0, 400, 800)]
    fails = [True]

    def batches():
        yield from parts[:n_given]
        if fails:
            fails.clear()
            raise error
        yield from parts[n_given:]

    trainer, whole = make_trainer(), make_trainer()
    with pytest.raises(type(error)) as caught:
        trainer.fit(batches, epochs=1)
    assert caught.value is error
    assert trainer.optimizer.n_steps == n_given
    twin = make_trainer()
    if n_given:
        twin.fit(parts[:n_given], epochs=1)
    assert trainer.net == twin.net
    trainer.fit(batches, epochs=2)
    whole.fit(parts, epochs=2)
    assert trainer.net == whole.net
