# SPDX-License-Identifier: BSD-3-Clause
"""mlpcore, as a user calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlpcore

from ..cases import Array, Case
from ..work import DERIVATIVES
from .base import BETA1, BETA2, EPSILON, Learner

LOSSES = {
    "mse": mlpcore.losses.MSE(),
    "bce": mlpcore.losses.BCE(),
    "cross_entropy": mlpcore.losses.CrossEntropy(),
}


class MlpcoreNet(Learner):
    """Public calls alone; `fit` is a `Trainer`'s, which is made once."""

    title = "mlpcore"
    derivative_jobs = DERIVATIVES

    def __init__(self, case: Case, n_threads: int) -> None:
        super().__init__(case, n_threads)
        self.net = mlpcore.MLP(list(case.sizes), case.activations)
        self.loss = LOSSES[case.loss]
        self.out = np.empty((case.batch_size, case.sizes[-1]), np.float32)

    @classmethod
    def version(cls) -> str:
        return f"{mlpcore.__version__} ({mlpcore.cpu.isa()})"

    def reset(self, parameters: Array, learning_rate: float) -> None:
        self.net.parameters[:] = parameters
        self.sgd = mlpcore.SGD(learning_rate)
        self.adam = mlpcore.Adam(learning_rate, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
        self.sgd_trainer, self.adam_trainer = (
            mlpcore.Trainer(self.net, self.loss, optimizer, self.case.batch_size, shuffle=False)
            for optimizer in (
                mlpcore.SGD(learning_rate),
                mlpcore.Adam(learning_rate, beta1=BETA1, beta2=BETA2, epsilon=EPSILON),
            )
        )

    def before_slice(self) -> None:
        mlpcore.set_n_threads(self.n_threads)

    @property
    def parameters(self) -> Array:
        return self.net.parameters

    def forward(self, x: Array) -> Array:
        return self.net.forward(x, out=self.out)

    def call(self, x: Array) -> Array:
        return self.net(x)

    def value_and_grad(self, x: Array, y: NDArray[Any]) -> tuple[float, Array, Array]:
        value, gradients = self.net.value_and_grad(x, y, self.loss)
        return value, gradients.flat, gradients.inputs

    def sgd_step(self, x: Array, y: NDArray[Any]) -> float:
        return self.net.train_step(x, y, self.loss, self.sgd)

    def adam_step(self, x: Array, y: NDArray[Any]) -> float:
        return self.net.train_step(x, y, self.loss, self.adam)

    def sgd_epoch(self, x: Array, y: NDArray[Any]) -> object:
        return self.sgd_trainer.fit(x, y, epochs=1)

    def learn(self, x: Array, y: NDArray[Any], orders: list[NDArray[np.int64]]) -> None:
        # The seed of the orders.
        trainer = mlpcore.Trainer(self.net, self.loss, self.adam, self.case.batch_size, seed=0)
        trainer.fit(x, y, epochs=len(orders))

    def adam_epoch(self, x: Array, y: NDArray[Any]) -> object:
        return self.adam_trainer.fit(x, y, epochs=1)

    def jacobian(self, x: Array) -> Array:
        return self.net.jacobian(x)

    def value_and_jacobian(self, x: Array) -> tuple[Array, Array]:
        return self.net.value_and_jacobian(x)

    def hvp(self, x: Array, y: NDArray[Any], vector: Array) -> Array:
        return self.net.hvp(x, y, self.loss, vector)

    def gradient_norms(self, x: Array, y: NDArray[Any]) -> Array:
        return self.net.per_sample_gradient_norms(x, y, self.loss)
