# SPDX-License-Identifier: BSD-3-Clause
"""Rows in memory, on disk and from iterables: the same bits, in bounded memory."""

import _thread
import signal
import time
import tracemalloc

import numpy as np
import pytest
from regression import make_net, regression_data

import mlpcore
from mlpcore import _core, losses, sources
from mlpcore.read_ahead import read_ahead

MSE = losses.MSE()


def by_hand(y_hat, y):
    return MSE(y_hat, y), MSE.gradient(y_hat, y)


def make_trainer(loss="mse", dtype="float32", **options):
    options = {"seed": 4, "batch_size": 16} | options
    return mlpcore.Trainer(make_net(dtype), loss, mlpcore.Adam(0.01), **options)


def trained(x, y=None, *, loss="mse", dtype="float32", shuffle=True, epochs=3, **options):
    trainer = make_trainer(loss, dtype, shuffle=shuffle)
    trainer.fit(x, y, epochs=epochs, **options)
    return trainer


def on_disk(tmp_path, name, array):
    file = np.memmap(tmp_path / name, dtype=array.dtype, mode="w+", shape=array.shape)
    file[:] = array
    file.flush()
    return np.memmap(tmp_path / name, dtype=array.dtype, mode="r", shape=array.shape)


def curve(trainer):
    return [row["loss"] for row in trainer.history]


# ---- blocks of arrays ----------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("loss", ["mse", by_hand])
@pytest.mark.parametrize("stored", [np.float32, np.float64, ">f4"])
def test_on_disk_and_in_memory_have_the_same_bits(tmp_path, shuffle, loss, stored):
    x, y = regression_data(103)
    options = {"loss": loss, "shuffle": shuffle, "block_rows": 40}
    in_memory = trained(x, y, **options)
    files = [on_disk(tmp_path, name, a.astype(stored)) for name, a in (("x", x), ("y", y))]
    assert not files[0].flags.writeable
    mapped = trained(*files, **options)
    assert mapped.net == in_memory.net
    assert curve(mapped) == curve(in_memory)
    assert mapped.optimizer.n_steps == 3 * (3 + 3 + 2)


def test_an_automatic_block_is_bounded(tmp_path, monkeypatch):
    x, y = regression_data(5000)
    mapped = on_disk(tmp_path, "x", x)
    whole = trained(mapped, y, epochs=1)
    assert whole.net == trained(x, y, epochs=1).net  # smaller than a block
    monkeypatch.setattr(sources, "BLOCK_BYTES", 2 * 1024 * 5 * 4 + 17)
    assert trained(mapped, y, epochs=1).net == trained(x, y, epochs=1, block_rows=2048).net
    assert trained(mapped, y, epochs=1).net != whole.net


def test_without_shuffling_blocks_of_whole_batches_change_nothing():
    x, y = regression_data(100)
    assert trained(x, y, shuffle=False).net == trained(x, y, shuffle=False, block_rows=32).net


@pytest.mark.parametrize("schedule", [None, mlpcore.schedules.Cosine(warmup=1)])
def test_blocks_go_on_in_the_epoch_where_the_one_before_ended(schedule):
    """Rates by the step, the loss of the epoch and the number of a step that fails."""
    x, y = regression_data(100)
    options = {"schedule": schedule, "shuffle": False}
    whole, blocks = make_trainer(**options), make_trainer(**options)
    whole.fit(x, y, epochs=3)
    blocks.fit(x, y, epochs=3, block_rows=32)
    assert blocks.net == whole.net
    np.testing.assert_allclose(curve(blocks), curve(whole), rtol=1e-12)
    y[70] = 1e30  # in the third block: the fifth mini-batch of 16
    with (
        np.errstate(over="ignore"),
        pytest.raises(FloatingPointError, match=r"^epoch 4, step 5: "),
    ):
        blocks.fit(x, y, epochs=1, block_rows=32)


def test_every_row_is_used_once_in_an_order_of_the_epoch():
    orders = []
    x = np.arange(103.0, dtype=np.float32)[:, np.newaxis]
    source = sources.as_source(
        mlpcore.MLP([1, 1]), MSE, x, x, None, epochs=1, block_rows=25, held_out=None
    )
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        blocks = list(source.blocks(seed, epoch, 0))
        assert all(block.n_rows <= 25 for block in blocks)
        orders.append([int(row) for block in blocks for row in block.rows(slice(None)).x[:, 0]])
        assert sorted(orders[-1]) == list(range(103))
        # Two whole blocks of an epoch are not shuffled alike.
        first, second = (
            [int(row) % 25 for row in block.rows(slice(None)).x[:, 0]]
            for block in [block for block in blocks if block.n_rows == 25][:2]
        )
        assert first != second
    assert orders[0] == orders[3]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    firsts = {min(rows) for rows in (orders[0][:3], orders[1][:3], orders[2][:3])}
    assert len(firsts) > 1


def test_blocks_with_weights_classes_and_held_out_rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3)).astype(np.float32)
    y = rng.integers(0, 2, 300)
    weight = rng.uniform(0, 2, 300)
    weight[40:80] = 0.0  # a block without any
    options = {"loss": "cross_entropy", "sample_weight": weight, "block_rows": 40}
    trainer = trained(x, y, validation=0.2, metrics=["accuracy"], **options)
    held_out = np.sort(_core.permutation(_core.random_key(4, "held_out", 0), 0, 300)[:60])
    twin = trained(x, y, validation=(x[held_out], y[held_out]), metrics=["accuracy"], **options)
    assert trainer.history[0]["validation_loss"] != twin.history[0]["validation_loss"]
    spoiled, others = x.copy(), np.setdiff1d(np.arange(300), held_out)
    spoiled[held_out] += 1000.0
    again = trained(spoiled, y, validation=0.2, **options)
    assert again.net == trainer.net  # what is held out is not learnt
    assert len(others) == 240
    whole = trained(x, y, validation=0.2, loss="cross_entropy", sample_weight=weight)
    alone = trained(x[others], y[others], loss="cross_entropy", sample_weight=weight[others])
    assert whole.net == alone.net


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 0.001, 0.999])
def test_a_share_leaves_and_holds_out_some(share):
    x, y = regression_data()
    with pytest.raises(ValueError, match=r"^validation: expected .*got "):
        trained(x, y, validation=share)


def test_bad_rows_are_found_when_their_block_is_read():
    x, y = regression_data(100)
    x[77, 1] = np.nan
    trainer = make_trainer(shuffle=False)
    with pytest.raises(ValueError, match=r"rows from 60 to 90: x: .*row 17, column 1"):
        trainer.fit(x, y, epochs=1, block_rows=30)
    assert trainer.optimizer.n_steps == 4
    assert np.isfinite(trainer.net.parameters).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block_rows": 0}, ValueError, "block_rows"),
        ({"block_rows": 2.5}, TypeError, "block_rows"),
        ({"block_rows": 10, "y": np.zeros((5, 2))}, ValueError, "y"),
        ({"block_rows": 10, "y": [[1.0, 2.0], [3.0]]}, ValueError, "y"),
        ({"block_rows": 10, "y": np.ma.masked_all(70)}, ValueError, "y"),
        ({"block_rows": 10, "sample_weight": np.zeros(70)}, ValueError, "sample_weight"),
        ({"x": [1, 2], "y": None}, TypeError, "batch 1: x"),
        ({"x": [], "y": None}, ValueError, "x"),
        ({"x": [], "y": None, "block_rows": 5}, ValueError, "block_rows"),
        ({"x": [], "y": None, "sample_weight": np.ones(3)}, ValueError, "sample_weight"),
        ({"x": [], "y": None, "validation": 0.5}, ValueError, "validation"),
    ],
)
def test_what_is_refused(options, error, message):
    x, y = regression_data()
    with pytest.raises(error, match=f"^{message}: expected .*got "):
        trained(**{"x": x, "y": y} | options)


# ---- iterables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", by_hand])
def test_batches_have_the_bits_of_arrays(loss):
    x, y = regression_data(100)
    parts = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 100, 32)]
    expected = trained(x, y, loss=loss, shuffle=False, block_rows=32)
    lists = [tuple(array.tolist() for array in part) for part in parts]
    for batches in (parts, lambda: iter(parts), lambda: (part for part in parts), lists):
        trainer = trained(batches, loss=loss, shuffle=False)
        assert trainer.net == expected.net
        assert curve(trainer) == curve(expected)


def test_shuffled_batches_have_the_bits_of_blocks_in_that_order():
    x, y = regression_data(100)
    epochs = iter(range(3))

    def batches():
        order = _core.permutation(_core.random_key(4, "blocks", 0), next(epochs), 4)
        for i in order:
            yield x[32 * i : 32 * i + 32], y[32 * i : 32 * i + 32]

    assert trained(batches).net == trained(x, y, block_rows=32).net


def test_batches_with_weights_and_empty_ones():
    x, y = regression_data(60)
    weight = np.linspace(0.1, 2.0, 60)
    empty = (np.zeros((0, 3)), np.zeros((0, 2)))
    batches = [(x[:32], y[:32], weight[:32]), empty, (x[32:], y[32:], weight[32:])]
    with_weights = trained(x, y, sample_weight=weight, shuffle=False, block_rows=32)
    got = trained(batches, shuffle=False)
    assert got.net == with_weights.net


def test_an_iterator_is_good_for_one_epoch():
    x, y = regression_data()
    once = trained(iter([(x, y)]), epochs=1)
    assert once.net == trained(x, y, epochs=1).net
    with pytest.raises(ValueError, match=r"^x: an iterator can be gone through once"):
        trained(iter([(x, y)]), epochs=2)


def test_an_error_of_the_iterable_comes_out_and_training_goes_on():
    x, y = regression_data(96)
    parts = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 96, 32)]
    fails = [True]

    def batches():
        yield from parts[:2]
        if fails:
            fails.clear()
            raise OSError("the disk is gone")
        yield parts[2]

    trainer = make_trainer()
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(batches, epochs=1)
    assert trainer.optimizer.n_steps == 4
    trainer.fit(batches, epochs=2)
    assert trainer.net == trained(parts, epochs=2).net


# ---- the thread ----------------------------------------------------------------------------------


def test_the_next_item_is_read_while_one_is_used_and_no_further():
    read = []

    def items():
        for i in range(6):
            read.append(i)
            yield i

    def wait_for(n):
        deadline = time.monotonic() + 5.0
        while len(read) < n and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)  # one more would come now
        return len(read)

    for i in read_ahead(items()):
        assert wait_for(min(i + 2, 6)) == min(i + 2, 6)


def test_a_consumer_that_stops_ends_the_thread():
    n_before = _thread._count()
    for _ in range(20):
        ahead = read_ahead(iter(range(1000)))
        next(ahead)
        ahead.close()
    deadline = time.monotonic() + 5.0
    while _thread._count() > n_before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert _thread._count() <= n_before


def test_memory_is_that_of_two_blocks(tmp_path):
    n_rows, block_rows = 200_000, 10_000
    x = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(n_rows, 30))
    y = np.memmap(tmp_path / "y", dtype=np.float32, mode="w+", shape=(n_rows, 1))
    net = mlpcore.MLP([30, 2, 1], seed=0)
    trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD(0.1), batch_size=1000)
    tracemalloc.start()
    try:
        trainer.fit(x, y, epochs=1, block_rows=block_rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    block = block_rows * (31 * 4 + 8)  # and the order
    # Two blocks; the mask of a check, at most 1 MiB; what is imported.
    assert peak < 2 * block + 2**21
    assert peak < x.nbytes / 4


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
@pytest.mark.timing
def test_ctrl_c_does_not_wait_for_the_reader_or_the_validation():
    def slow():
        yield np.zeros((10, 3)), np.zeros((10, 2))
        time.sleep(2.0)
        yield np.zeros((10, 3)), np.zeros((10, 2))

    rng = np.random.default_rng(0)
    wide = mlpcore.MLP([3, 1000, 1000, 2], seed=0)
    x, y = rng.standard_normal((200_000, 3)), np.zeros((200_000, 2))
    cases = [
        (make_trainer(), (slow,), {}),
        (
            mlpcore.Trainer(wide, "mse", mlpcore.SGD(1e-3)),
            (x[:10], y[:10]),
            {"validation": (x, y)},
        ),
    ]
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for trainer, arguments, options in cases:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            start = time.perf_counter()
            with pytest.raises(KeyboardInterrupt):
                trainer.fit(*arguments, epochs=1, **options)
            assert 0.5 <= time.perf_counter() - start < 0.6
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
