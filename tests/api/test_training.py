# SPDX-License-Identifier: BSD-3-Clause
"""Trainer and fit: rows, epochs and batches; every update is one of train_step."""

import numpy as np
import pytest
from regression import make_net, make_trainer, regression_data, replay

import mlpcore
from mlpcore import _core, losses


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_makes_the_updates_of_train_step(dtype):
    x, y = regression_data(dtype=dtype)
    trainer = make_trainer(make_net(dtype), seed=7)
    trainer.fit(x, y, epochs=3)
    twin, optimizer = make_net(dtype), mlpcore.Adam(1e-2)
    replay(twin, optimizer, x, y, n_steps=9, seed=7)
    assert trainer.net == twin
    assert trainer.optimizer.n_steps == optimizer.n_steps == 9


def test_loss_of_an_epoch_is_the_mean_of_its_batches_weighted_by_rows():
    x, y = regression_data(n_samples=70)
    history = make_trainer().fit(x, y, epochs=1)
    values = replay(make_net(), mlpcore.Adam(1e-2), x, y, n_steps=3)
    assert history[0]["loss"] == pytest.approx(np.average(values, weights=[32, 32, 6]), rel=1e-12)


def test_without_shuffling_rows_are_used_as_they_lie():
    x, y = regression_data()
    trainer = make_trainer(shuffle=False, batch_size=50)
    trainer.fit(x, y, epochs=1)
    twin, optimizer = make_net(), mlpcore.Adam(1e-2)
    twin.train_step(x[:50], y[:50], "mse", optimizer)
    twin.train_step(x[50:], y[50:], "mse", optimizer)
    assert trainer.net == twin


def test_order_depends_on_the_seed():
    x, y = regression_data()
    nets = []
    for seed in (0, 0, 1):
        trainer = make_trainer(seed=seed)
        trainer.fit(x, y, epochs=1)
        nets.append(trainer.net)
    assert nets[0] == nets[1]
    assert nets[0] != nets[2]


def test_two_fits_leave_the_bits_of_one():
    x, y = regression_data()
    whole, parts = make_trainer(), make_trainer()
    history = whole.fit(x, y, epochs=5)
    parts.fit(x, y, epochs=2)
    assert parts.fit(x, y, epochs=3) is parts.history
    assert parts.net == whole.net
    assert [row["epoch"] for row in parts.history] == [1, 2, 3, 4, 5]
    assert [row["loss"] for row in parts.history] == [row["loss"] for row in history]


def test_the_history_is_the_callers_to_change():
    x, y = regression_data()
    whole, parts = make_trainer(), make_trainer()
    whole.fit(x, y, epochs=3)
    parts.fit(x, y, epochs=2).clear()
    assert parts.n_epochs == 2
    assert parts.fit(x, y, epochs=1)[-1]["epoch"] == 3
    assert parts.net == whole.net


def test_without_a_seed_every_fit_has_an_order_of_its_own():
    x, y = regression_data()
    nets = [make_net(), make_net()]
    for net in nets:
        net.fit(x, y, loss="mse", optimizer=mlpcore.Adam(1e-2), epochs=1)
    assert nets[0] != nets[1]
    trainers = [make_trainer(seed=None) for _ in range(2)]
    assert trainers[0].seed != trainers[1].seed
    again = make_trainer(seed=trainers[0].seed)
    for trainer in (trainers[0], again):
        trainer.fit(x, y, epochs=2)
    assert trainers[0].net == again.net


def test_net_fit_is_a_trainer_of_its_own():
    x, y = regression_data()
    net = make_net()
    history = net.fit(
        x, y, loss="mse", optimizer=mlpcore.Adam(1e-2), epochs=2, batch_size=16, seed=3
    )
    trainer = make_trainer(batch_size=16, seed=3)
    expected = trainer.fit(x, y, epochs=2)
    assert net == trainer.net
    assert [row["loss"] for row in history] == [row["loss"] for row in expected]


def test_step_is_train_step():
    x, y = regression_data()
    weight = np.linspace(0.0, 1.0, len(x))
    trainer = make_trainer()
    twin = make_net()
    value = twin.train_step(x, y, "mse", mlpcore.Adam(1e-2), sample_weight=weight)
    assert trainer.step(x, y, sample_weight=weight) == value
    assert trainer.net == twin
    assert trainer.n_epochs == 0


def test_threads_change_no_bit():
    x, y = regression_data(n_samples=500)
    trainers = [make_trainer(n_threads=n_threads, batch_size=200) for n_threads in (1, 3)]
    for trainer in trainers:
        trainer.fit(x, y, epochs=2)
    assert trainers[0].net == trainers[1].net


@pytest.mark.parametrize("shuffle", [True, False])
def test_callable_loss_trains_like_the_built_in(shuffle):
    mse = losses.MSE()

    def callable_mse(y_hat, y):
        return mse(y_hat, y), mse.gradient(y_hat, y)

    x, y = regression_data()
    trainers = [
        mlpcore.Trainer(make_net(), loss, mlpcore.Adam(1e-2), shuffle=shuffle, seed=0)
        for loss in (mse, callable_mse)
    ]
    histories = [trainer.fit(x, y, epochs=2, validation=(x, y)) for trainer in trainers]
    assert trainers[0].net == trainers[1].net
    for built_in, by_hand in zip(*histories, strict=True):
        assert by_hand["loss"] == pytest.approx(built_in["loss"], rel=1e-12)
        assert by_hand["validation_loss"] == built_in["validation_loss"]


def test_weight_of_two_equals_the_row_given_twice():
    x, y = regression_data(n_samples=20, dtype=np.float64)
    weight = np.ones(20)
    weight[:5] = 2.0
    weighted = make_trainer(make_net("float64"), batch_size=25, shuffle=False)
    weighted.fit(x, y, epochs=3, sample_weight=weight)
    twice = make_trainer(make_net("float64"), batch_size=25, shuffle=False)
    twice.fit(np.concatenate([x, x[:5]]), np.concatenate([y, y[:5]]), epochs=3)
    np.testing.assert_allclose(weighted.net.parameters, twice.net.parameters, rtol=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mlpcore.SGD(0.1, momentum=0.9),
        lambda: mlpcore.AdamW(1e-2),
        lambda: mlpcore.RMSprop(1e-2),
    ],
)
@pytest.mark.parametrize("loss", ["mse", losses.MSE("sum"), "huber"])
def test_weights_are_copies_of_rows_in_full_batches(make, loss):
    x, y = regression_data(n_samples=30, dtype=np.float64)
    weight = np.arange(30) % 4
    copies = np.repeat(np.arange(30), weight)
    nets = []
    for rows, sample_weight in ((np.arange(30), weight), (copies, None)):
        net = make_net("float64")
        trainer = mlpcore.Trainer(net, loss, make(), batch_size=len(copies), seed=0)
        trainer.fit(x[rows], y[rows], epochs=4, sample_weight=sample_weight)
        nets.append(net)
    np.testing.assert_allclose(nets[0].parameters, nets[1].parameters, rtol=1e-9, atol=1e-12)
    assert not np.allclose(nets[0].parameters, make_net("float64").parameters, rtol=1e-3)


@pytest.mark.parametrize(("batch_size", "is_close"), [(64, True), (1, False)])
def test_weights_are_copies_of_rows_in_the_mean_of_large_mini_batches(batch_size, is_close):
    x, y = regression_data(n_samples=512, dtype=np.float64)
    weight = np.where(x[:, 0] > 0.5, 5.0, 1.0)
    net = make_net("float64")
    _, copies = net.value_and_grad(x, y, "mse", sample_weight=weight)
    _, plain = net.value_and_grad(x, y, "mse")
    mean = np.zeros(net.n_parameters)
    n_batches = 0
    for epoch in range(40):
        order = _core.permutation(0, epoch, len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            _, gradients = net.value_and_grad(x[rows], y[rows], "mse", sample_weight=weight[rows])
            mean += gradients.flat
            n_batches += 1
    mean /= n_batches
    from_copies, from_plain = (np.linalg.norm(mean - g.flat) for g in (copies, plain))
    if is_close:
        assert from_copies < 0.05 * np.linalg.norm(copies.flat - plain.flat)
    else:  # a row's weight is all the weight there is
        assert from_plain < 1e-12 * np.linalg.norm(plain.flat)


def test_in_mini_batches_of_one_row_weights_say_nothing():
    x, y = regression_data()
    trainers = [make_trainer(batch_size=1) for _ in range(2)]
    trainers[0].fit(x, y, epochs=1, sample_weight=np.linspace(0.5, 8.0, len(x)))
    trainers[1].fit(x, y, epochs=1)
    np.testing.assert_allclose(
        trainers[0].net.parameters, trainers[1].net.parameters, rtol=1e-4, atol=1e-6
    )


def test_batch_without_weight_changes_nothing():
    x, y = regression_data(n_samples=40)
    trainer = make_trainer(optimizer=mlpcore.SGD(0.1), batch_size=20, shuffle=False)
    trainer.fit(x, y, epochs=1, sample_weight=np.repeat([0.0, 1.0], 20))
    twin = make_net()
    twin.train_step(x[20:], y[20:], "mse", mlpcore.SGD(0.1))
    assert trainer.net == twin


def test_callable_loss_knows_no_sample_weight():
    x, y = regression_data()
    trainer = mlpcore.Trainer(make_net(), lambda y_hat, y: (0.0, y_hat), mlpcore.SGD(0.1))
    with pytest.raises(ValueError, match="sample_weight"):
        trainer.fit(x, y, epochs=1, sample_weight=np.ones(len(x)))


def test_integer_classes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2))
    y = (x[:, 0] > 0).astype(int) + 2 * (x[:, 1] > 0)
    net = mlpcore.MLP([2, 16, 4], activations=["relu", "softmax"], seed=0)
    net.fit(x, y, loss="cross_entropy", optimizer=mlpcore.Adam(1e-2), epochs=30)
    assert np.mean(net(x).argmax(axis=1) == y) > 0.95


def test_inputs_may_be_anything_like_an_array_and_are_not_written_to(tmp_path):
    x, y = regression_data()
    expected = make_trainer()
    expected.fit(x, y, epochs=1)
    on_disk = np.memmap(tmp_path / "x", dtype=x.dtype, mode="w+", shape=x.shape)
    on_disk[:] = x
    for like_x in (x.tolist(), np.asfortranarray(x), x.astype(">f8"), on_disk):
        trainer = make_trainer()
        trainer.fit(like_x, y, epochs=1)
        assert trainer.net == expected.net
        np.testing.assert_array_equal(np.asarray(like_x, dtype=np.float32), x)
