# SPDX-License-Identifier: BSD-3-Clause
"""The nets and batches that are timed: from the homework's to a recommender's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Case(NamedTuple):
    """A net, its loss and one batch size."""

    name: str
    size_class: str  # what is asked of it depends on this, see `bars`
    sizes: tuple[int, ...]
    hidden_activation: str
    output_activation: str
    loss: str
    batch_size: int

    @property
    def activations(self) -> list[str]:
        return [self.hidden_activation] * (len(self.sizes) - 2) + [self.output_activation]

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def net(self) -> str:
        return "-".join(map(str, self.sizes))

    def make_batch(self, n_samples: int | None = None) -> tuple[Array, NDArray[Any]]:
        """Random rows, and targets of the kind that the loss wants; always the same ones."""
        n_samples = self.batch_size if n_samples is None else n_samples
        rng = np.random.default_rng(0)
        shape = (n_samples, self.sizes[-1])
        x = rng.standard_normal((n_samples, self.sizes[0]), dtype=np.float32)
        if self.loss == "cross_entropy":
            return x, rng.integers(self.sizes[-1], size=n_samples)
        if self.loss == "bce":
            return x, rng.integers(2, size=shape).astype(np.float32)
        return x, rng.standard_normal(shape, dtype=np.float32)


JACOBIANS = ("jacobian", "value_and_jacobian")
DIGITS = ((64, 128, 10), "relu", "identity", "cross_entropy")
DLRM = ((512, 1024, 1024, 1024, 256, 1), "relu", "sigmoid", "bce")
MNIST = ((784, 256, 128, 10), "relu", "identity", "cross_entropy")
RL = ((17, 256, 256, 6), "tanh", "identity", "mse")
SEED = ((2, 20, 5), "relu", "identity", "mse")
SIGMOID2 = ((256, 512, 256), "sigmoid", "sigmoid", "bce")
TABULAR = ((32, 64, 64, 1), "relu", "identity", "mse")
WIDE = ((784, 512, 512, 10), "relu", "identity", "cross_entropy")

CASES = [
    Case("seed", "tiny", *SEED, 1),
    Case("seed", "tiny", *SEED, 32),
    Case("tabular", "tiny", *TABULAR, 1),
    Case("rl", "tiny", *RL, 1),
    Case("tabular", "small", *TABULAR, 32),
    Case("tabular", "small", *TABULAR, 256),
    Case("digits", "small", *DIGITS, 32),
    Case("digits", "small", *DIGITS, 256),
    Case("rl", "small", *RL, 256),
    Case("mnist", "row", *MNIST, 1),
    Case("dlrm", "row", *DLRM, 1),
    Case("mnist", "large", *MNIST, 128),
    Case("mnist", "large", *MNIST, 1024),
    Case("sigmoid2", "large", *SIGMOID2, 256),
    Case("wide", "large", *WIDE, 128),
    Case("wide", "large", *WIDE, 1024),
    Case("dlrm", "large", *DLRM, 512),
    Case("dlrm", "large", *DLRM, 2048),
    Case("big", "large", (1024, 2048, 2048, 1024), "relu", "identity", "mse", 1024),
]

# Derivatives beyond the gradient: a policy's or a model's Jacobian in a loop of control and in a
# batch, second derivatives and norms where a net is learnt. One row has to be quick as a call.
DERIVATIVE_CASES = [
    (Case("derivatives", "row", (4, 64, 64, 2), "tanh", "identity", "mse", 1), JACOBIANS),
    (Case("derivatives", "row", *RL, 1), JACOBIANS),
    (Case("derivatives", "small", *RL, 256), JACOBIANS),
    (Case("derivatives", "large", *MNIST, 128), ("hvp", "gradient_norms")),
]

# The short form: of each class, what is over soonest.
_SHORT = {("seed", 1), ("tabular", 1), ("digits", 32), ("mnist", 1), ("mnist", 128)}
SHORT_CASES = [case for case in CASES if (case.name, case.batch_size) in _SHORT]
SHORT_CASES += [case for case in CASES if case.name == "sigmoid2"]

# Hidden activations that are compared with ReLU, which costs nothing, in nets of the same shape.
ACTIVATIONS = ("relu", "sigmoid", "tanh", "gelu", "softplus")
ACTIVATION_CASES = [
    Case("mnist", "large", *MNIST, 128),
    Case("sigmoid2", "large", (256, 512, 256), "relu", "sigmoid", "bce", 256),
    Case("wide", "large", *WIDE, 1024),
]

# Sizes that are a multiple of nothing.
ODD_CASES = [
    Case("odd", "odd", (400, 600, 200, 3), "relu", "identity", "cross_entropy", 150),
    Case("odd", "odd", (900, 257, 12), "relu", "identity", "cross_entropy", 93),
    Case("odd", "odd", (80, 80, 80, 80, 2), "relu", "identity", "cross_entropy", 48),
    Case("odd", "odd", (5, 3, 2), "relu", "identity", "cross_entropy", 1000),
]


def rounded_up(size: int) -> int:
    """The next multiple of 32, two vectors of AVX-512; up to there, the next power of two."""
    return -(-size // 32) * 32 if size > 32 else 1 << (size - 1).bit_length()


def neighbour(case: Case) -> Case:
    """The case with every size rounded up."""
    sizes = tuple(map(rounded_up, case.sizes))
    return case._replace(name="even", sizes=sizes, batch_size=rounded_up(case.batch_size))
