# SPDX-License-Identifier: BSD-3-Clause
"""The nets and batches that are timed: from the homework's to a recommender's."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Case(NamedTuple):
    """A net, its loss and one batch size."""

    name: str
    sizes: tuple[int, ...]
    hidden_activation: str
    output_activation: str
    loss: str
    batch_size: int

    @property
    def activations(self) -> list[str]:
        return [self.hidden_activation] * (len(self.sizes) - 2) + [self.output_activation]

    def make_batch(self) -> tuple[Array, NDArray[np.generic]]:
        """Random rows, and targets of the kind that the loss wants; always the same ones."""
        rng = np.random.default_rng(0)
        shape = (self.batch_size, self.sizes[-1])
        x = rng.standard_normal((self.batch_size, self.sizes[0]), dtype=np.float32)
        if self.loss == "cross_entropy":
            return x, rng.integers(self.sizes[-1], size=self.batch_size)
        if self.loss == "bce":
            return x, rng.integers(2, size=shape).astype(np.float32)
        return x, rng.standard_normal(shape, dtype=np.float32)


def _cases(
    name: str,
    sizes: tuple[int, ...],
    hidden_activation: str,
    output_activation: str,
    loss: str,
    *batch_sizes: int,
) -> list[Case]:
    net = (name, sizes, hidden_activation, output_activation, loss)
    return [Case(*net, batch_size) for batch_size in batch_sizes]


CASES = [
    *_cases("seed_tiny", (2, 20, 5), "relu", "identity", "mse", 1, 32),
    *_cases("tabular", (32, 64, 64, 1), "relu", "identity", "mse", 1, 32, 256),
    *_cases("rl", (17, 256, 256, 6), "tanh", "identity", "mse", 1, 256),
    *_cases("digits", (64, 128, 10), "relu", "identity", "cross_entropy", 32, 256),
    *_cases("mnist", (784, 256, 128, 10), "relu", "identity", "cross_entropy", 1, 128, 1024),
    *_cases("wide", (784, 512, 512, 10), "relu", "identity", "cross_entropy", 128, 1024),
    *_cases("sigmoid2", (256, 512, 256), "sigmoid", "sigmoid", "bce", 256),
    *_cases("dlrm", (512, 1024, 1024, 1024, 256, 1), "relu", "sigmoid", "bce", 512, 2048),
]
BIG_CASES = _cases("big", (1024, 2048, 2048, 1024), "relu", "identity", "mse", 1024)
