# SPDX-License-Identifier: BSD-3-Clause
"""A small regression, a net and a trainer for it, and what they are compared with."""

import numpy as np

import mlpcore
from mlpcore import _core
from mlpcore.held_out import HeldOut


def regression_data(n_samples=70, dtype=np.float32):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n_samples, 3)).astype(dtype)
    y = np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], axis=1)
    return x, y.astype(dtype)


def make_net(dtype="float32"):
    return mlpcore.MLP([3, 8, 2], activations="tanh", dtype=dtype, seed=0)


def make_trainer(net=None, optimizer=None, **options):
    optimizer = optimizer or mlpcore.Adam(1e-2)
    return mlpcore.Trainer(net or make_net(), "mse", optimizer, **{"seed": 0} | options)


def replay(net, optimizer, x, y, *, n_steps, batch_size=32, seed=0, loss="mse"):
    """The updates of `fit`, one `train_step` each; returns the batches' losses."""
    values = []
    epoch = 0
    while True:
        order = _core.permutation(seed, epoch, len(x))
        for start in range(0, len(x), batch_size):
            if len(values) == n_steps:
                return values
            rows = order[start : start + batch_size]
            values.append(net.train_step(x[rows], y[rows], loss, optimizer))
        epoch += 1


def script_losses(monkeypatch, values):
    """Let the validation losses be `values`."""
    remaining = iter(values)
    monkeypatch.setattr(HeldOut, "_loss", lambda self, n_threads: next(remaining))
