# SPDX-License-Identifier: BSD-3-Clause
"""Training with known derivatives: steps, epochs, blocks, validation, files, refusals."""

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, losses, reference


def data(n_samples=70, dtype=np.float32):
    """Two outputs of three inputs, and their derivatives."""
    x = np.random.default_rng(1).standard_normal((n_samples, 3))
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
    dy_dx = np.zeros((n_samples, 2, 3))
    dy_dx[:, 0, 0] = np.cos(x[:, 0])
    dy_dx[:, 1, 1], dy_dx[:, 1, 2] = x[:, 2], x[:, 1]
    return tuple(array.astype(dtype) for array in (x, y, dy_dx))


def make_net(dtype="float32"):
    return mlpcore.MLP([3, 8, 2], "tanh", dtype=dtype, seed=0)


def make_trainer(optimizer=None, **options):
    optimizer = optimizer or mlpcore.Adam(1e-2)
    return mlpcore.Trainer(make_net(), "mse", optimizer, **{"seed": 0} | options)


@pytest.mark.parametrize("make", [lambda: mlpcore.SGD(0.1), lambda: mlpcore.Adam(1e-2)])
def test_a_step_is_the_gradient_then_the_update(make, dtype):
    x, y, dy_dx = data(dtype=dtype)
    weight = np.arange(70.0)
    net, by_hand = make_net(dtype), make_net(dtype)
    trainer = mlpcore.Trainer(net, "huber", make(), dy_dx_weight=0.3)
    value = trainer.step(x, y, weight, dy_dx)
    want, gradients = by_hand.value_and_grad(x, y, "huber", weight, dy_dx=dy_dx, dy_dx_weight=0.3)
    make().step(by_hand, gradients)
    assert value == want
    assert net == by_hand


@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_is_its_mini_batches(weighted, dtype):
    x, y, dy_dx = data(dtype=dtype)
    weight = np.arange(1.0, 71.0) if weighted else None
    net = make_net(dtype)
    history = net.fit(
        *(x, y, "mse", mlpcore.Adam(1e-2)),
        epochs=2,
        sample_weight=weight,
        seed=3,
        dy_dx=dy_dx,
        dy_dx_weight=0.5,
    )
    by_hand = mlpcore.Trainer(make_net(dtype), "mse", mlpcore.Adam(1e-2), dy_dx_weight=0.5)
    for epoch in range(2):
        order = _core.permutation(3, epoch, 70)
        total = 0.0
        for start in range(0, 70, 32):
            rows = order[start : start + 32]
            part = None if weight is None else weight[rows]
            total += by_hand.step(x[rows], y[rows], part, dy_dx[rows]) * (len(rows) / 70)
        assert history[epoch]["loss"] == pytest.approx(total, rel=1e-14)
    assert net == by_hand.net


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_bits_do_not_depend_on_threads(n_threads):
    rng = np.random.default_rng(0)
    x, y, dy_dx = (rng.normal(size=(600, *n)).astype("f4") for n in ((9,), (5,), (5, 9)))
    nets = []
    for threads in (1, n_threads):
        net = mlpcore.MLP([9, 64, 64, 5], "silu", seed=0)
        trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(), 256, seed=0, n_threads=threads)
        trainer.fit(x, y, epochs=2, dy_dx=dy_dx)
        nets.append(net)
    assert nets[0] == nets[1]


def test_derivatives_are_learnt():
    x, y, dy_dx = data(300, "float64")
    errors = []
    for known in (None, dy_dx):
        net = mlpcore.MLP([3, 24, 2], "tanh", dtype="float64", seed=0)
        net.fit(x, y, "mse", mlpcore.Adam(1e-2), epochs=60, seed=0, dy_dx=known)
        errors.append(np.mean((net.jacobian(x) - dy_dx) ** 2))
    assert errors[1] < 0.3 * errors[0]


def test_blocks_from_disk_have_the_bits_of_memory(tmp_path):
    arrays = data(100)
    mapped = []
    for name, array in zip("xyj", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    nets = []
    for x, y, dy_dx in (arrays, mapped):
        trainer = make_trainer()
        trainer.fit(x, y, epochs=2, block_rows=40, dy_dx=dy_dx, validation=0.2)
        nets.append(trainer.net)
    assert nets[0] == nets[1]
    whole = make_trainer()
    whole.fit(*arrays[:2], epochs=2, dy_dx=arrays[2], validation=0.2)
    assert whole.net != nets[0]


def test_batches_of_an_iterable_bring_their_derivatives():
    x, y, dy_dx = data(64)
    weight = np.linspace(0.5, 2.0, 64)
    cuts = [slice(0, 32), slice(32, 64)]
    for given in (None, weight):
        batches = [
            (x[cut], y[cut], None if given is None else given[cut], dy_dx[cut]) for cut in cuts
        ]
        trainer, by_hand = make_trainer(shuffle=False), make_trainer()
        trainer.fit(batches, epochs=1)
        for batch in batches:
            by_hand.step(*batch)
        assert trainer.net == by_hand.net


def test_validation_has_the_derivatives_that_it_is_given():
    x, y, dy_dx = data(70)
    trainer = make_trainer(dy_dx_weight=0.5)
    trainer.fit(x, y, epochs=1, dy_dx=dy_dx, validation=(x, y, dy_dx))
    with_them = trainer.net.value_and_grad(x, y, "mse", dy_dx=dy_dx, dy_dx_weight=0.5)[0]
    assert trainer.history[-1]["validation_loss"] == pytest.approx(with_them, rel=1e-6)
    trainer.fit(x, y, epochs=1, dy_dx=dy_dx, validation=(x, y))
    without = trainer.net.value_and_grad(x, y, "mse")[0]
    assert trainer.history[-1]["validation_loss"] == pytest.approx(without, rel=1e-6)


def test_held_out_rows_are_scored_with_their_derivatives():
    x, y, dy_dx = data(70)
    trainer = make_trainer(seed=5)
    trainer.fit(x, y, epochs=1, dy_dx=dy_dx, validation=0.3)
    order = _core.permutation(_core.random_key(5, "held_out", 0), 0, 70)
    rows = np.sort(order[:21])
    want = trainer.net.value_and_grad(x[rows], y[rows], "mse", dy_dx=dy_dx[rows])[0]
    assert trainer.history[-1]["validation_loss"] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_validation_in_pieces_is_that_of_all_rows(monkeypatch, reduction):
    from mlpcore import held_out

    monkeypatch.setattr(held_out, "PIECE_WORK", 1)
    monkeypatch.setattr(held_out, "PIECE_ROWS", 16)
    x, y, dy_dx = data(70, "float64")
    net, loss = make_net("float64"), losses.MSE(reduction)
    history = net.fit(
        *(x, y, loss, mlpcore.SGD(1e-4)), epochs=1, dy_dx=dy_dx, validation=(x, y, dy_dx)
    )
    want = net.value_and_grad(x, y, loss, dy_dx=dy_dx)[0]
    assert history[-1]["validation_loss"] == pytest.approx(want, rel=1e-12)


def test_a_trainer_from_a_file_goes_on_with_the_same_bits(tmp_path):
    x, y, dy_dx = data()
    path = tmp_path / "trainer.safetensors"
    trainer = make_trainer(dy_dx_weight=0.25)
    trainer.fit(x, y, epochs=2, dy_dx=dy_dx)
    trainer.save(path)
    again = mlpcore.Trainer.load(path)
    assert again.dy_dx_weight == 0.25
    for one in (trainer, again):
        one.fit(x, y, epochs=2, dy_dx=dy_dx)
    assert trainer.net == again.net


def test_the_reference_learns_the_same(dtype):
    x, y, dy_dx = data(20, dtype)
    net = make_net(dtype)
    layers = reference.layers_from_flat(net.parameters, net.sizes, net.activations)
    for _ in range(5):
        gradients = reference.sobolev_value_and_grad(layers, x, y, "mse", dy_dx)[1]
        flat = reference.flatten(layers) - 0.1 * gradients.flat
        layers = reference.layers_from_flat(flat, net.sizes, net.activations)
    trainer = mlpcore.Trainer(net, "mse", mlpcore.SGD(0.1))
    for _ in range(5):
        trainer.step(x, y, dy_dx=dy_dx)
    np.testing.assert_allclose(net.parameters, flat, rtol=0, atol=1e-5)


def test_a_divergence_leaves_the_net_as_it_was_before_the_step():
    x, y, dy_dx = data()
    dy_dx[40] = 3e38
    trainer = make_trainer(shuffle=False)
    with pytest.raises(FloatingPointError, match=r"^epoch 1, step 2: the loss of what .* is not"):
        trainer.fit(x, y, epochs=1, dy_dx=dy_dx)
    by_hand = make_trainer()
    by_hand.step(x[:32], y[:32], dy_dx=dy_dx[:32])
    assert trainer.net == by_hand.net
    with pytest.raises(FloatingPointError, match="the parameters were not"):
        trainer.step(x, y, dy_dx=dy_dx)
    assert trainer.net == by_hand.net


@pytest.mark.parametrize("block_rows", [None, 20])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d[:, :, :2], ValueError, r"dy_dx: expected shape \(\d+, 2, 3\), got"),
        (lambda d: d[:-1], ValueError, r"dy_dx: expected shape \(70, 2, 3\), got"),
        (lambda d: d[0, 0, 0], ValueError, r"dy_dx: expected shape \(70, 2, 3\), got"),
        (lambda d: d * np.nan, ValueError, "dy_dx: expected finite numbers, got nan at index"),
        (lambda d: d + 1j, TypeError, "dy_dx: expected an array of real numbers"),
    ],
)
def test_derivatives_are_checked(change, error, message, block_rows):
    x, y, dy_dx = data()
    trainer = make_trainer()
    before = trainer.net.copy()
    with pytest.raises(error, match=message):
        trainer.fit(x, y, epochs=1, dy_dx=change(dy_dx), block_rows=block_rows)
    assert trainer.net == before


def test_what_does_not_go_together_is_refused():
    x, y, dy_dx = data()
    for call in ("fit", "step"):
        arguments = {"epochs": 1} if call == "fit" else {}
        dropping = make_trainer(dropout=0.5)
        with pytest.raises(ValueError, match=r"dy_dx: expected None with dropout=\(0.5,\), got"):
            getattr(dropping, call)(x, y, dy_dx=dy_dx, **arguments)
        own = mlpcore.Trainer(make_net(), lambda y_hat, y: (0.0, y_hat), mlpcore.SGD(0.1))
        with pytest.raises(TypeError, match="dy_dx: expected a loss with a name"):
            getattr(own, call)(x, y, dy_dx=dy_dx, **arguments)
    with pytest.raises(ValueError, match="dy_dx: expected None with an iterable of batches"):
        make_trainer().fit([(x, y)], epochs=1, dy_dx=dy_dx)
    with pytest.raises(TypeError, match=r"expected batches .*sample_weight, dy_dx\), got"):
        make_trainer().fit([(x, y, None, dy_dx, 1)], epochs=1)
    with pytest.raises(ValueError, match="dy_dx: expected None with dropout="):
        make_trainer(dropout=0.5).fit([(x, y, None, dy_dx)], epochs=1)
    for weight in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"dy_dx_weight: expected a number in \[0, inf\)"):
            make_trainer(dy_dx_weight=weight)
