# SPDX-License-Identifier: BSD-3-Clause
"""NumPy, as a careful engineer writes it.

Parameters, gradients and moments in one vector each, every intermediate in a buffer of its own that
is made once, nothing allocated in a call, products by the BLAS in its best layout, and the losses
merged with the output's activation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cases import Array, Case
from .base import BETA1, BETA2, EPSILON, Peer, mini_batches, split


class NumpyNet(Peer):
    """By hand, for one batch size."""

    title = "NumPy"

    def __init__(self, case: Case, n_threads: int) -> None:
        super().__init__(case, n_threads)
        n_parameters = sum((n_inputs + 1) * n_outputs for n_inputs, n_outputs in case.layers)
        self._parameters, self.gradients, self.first_moment, self.second_moment, *self.scratch = (
            np.zeros(n_parameters, np.float32) for _ in range(6)
        )
        self.layers = split(self._parameters, case)
        self.weights = [weight for weight, _ in self.layers]
        self.grad_weights, self.grad_biases = zip(*split(self.gradients, case), strict=True)
        self.outputs = [self._buffer(width) for width in case.sizes[1:]]
        self.deltas = [self._buffer(width) for width in case.sizes]
        self.derivatives = [self._buffer(width) for width in case.sizes[1:]]
        self.ones = np.ones(case.batch_size, np.float32)
        self.rows = np.arange(case.batch_size)

    def _buffer(self, width: int) -> Array:
        return np.zeros((self.case.batch_size, width), np.float32)

    @classmethod
    def version(cls) -> str:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{np.__version__} ({blas['name']} {blas['version']}{core_type()})"

    @classmethod
    def can_do(cls, case: Case) -> bool:
        return {*case.activations} <= {"identity", "relu", "tanh", "sigmoid"}

    def reset(self, parameters: Array, learning_rate: float) -> None:
        self.learning_rate = np.float32(learning_rate)
        self._parameters[:] = parameters
        self.first_moment[:] = 0.0
        self.second_moment[:] = 0.0
        self.n_steps = 0

    @property
    def parameters(self) -> Array:
        return self._parameters

    def call(self, x: Array) -> Array:
        return self.forward(x).copy()

    def sgd_epoch(self, x: Array, y: NDArray[Any]) -> None:
        for batch in mini_batches(self.case, x, y):
            self.sgd_step(*batch)

    def adam_epoch(self, x: Array, y: NDArray[Any]) -> None:
        for batch in mini_batches(self.case, x, y):
            self.adam_step(*batch)

    def forward(self, x: Array) -> Array:
        z = self._pre_activation_of_output(x)
        return activate(self.case.output_activation, z)

    def _pre_activation_of_output(self, x: Array) -> Array:
        a = x
        last = len(self.weights) - 1
        for i, ((weight, bias), out) in enumerate(zip(self.layers, self.outputs, strict=True)):
            np.matmul(a, weight, out=out)
            out += bias
            a = activate(self.case.hidden_activation, out) if i < last else out
        return a

    def value_and_grad(self, x: Array, y: NDArray[Any]) -> tuple[float, Array, Array]:
        value = self._gradients(x, y)
        np.matmul(self.deltas[1], self.weights[0].T, out=self.deltas[0])
        return value, self.gradients, self.deltas[0]

    def _gradients(self, x: Array, y: NDArray[Any]) -> float:
        z = self._pre_activation_of_output(x)
        value = self._loss(z, y, self.deltas[-1])
        for i in reversed(range(len(self.weights))):
            delta = self.deltas[i + 1]
            a = x if i == 0 else self.outputs[i - 1]
            np.matmul(a.T, delta, out=self.grad_weights[i])
            np.matmul(self.ones, delta, out=self.grad_biases[i])
            if i > 0:
                np.matmul(delta, self.weights[i].T, out=self.deltas[i])
                derivative = self.derivatives[i - 1]
                write_derivative(self.case.hidden_activation, self.outputs[i - 1], derivative)
                self.deltas[i] *= derivative
        return value

    def _loss(self, z: Array, y: NDArray[Any], delta: Array) -> float:
        """Mean loss of the output's pre-activation; dl/dz goes into `delta`."""
        if self.case.loss == "mse":
            np.subtract(z, y, out=delta)
            flat = delta.reshape(-1)
            value = float(flat @ flat) / z.size
            delta *= np.float32(2.0 / z.size)
            return value
        if self.case.loss == "cross_entropy":
            np.subtract(z, z.max(axis=1, keepdims=True), out=delta)
            of_target = delta[self.rows, y]
            np.exp(delta, out=delta)
            total = delta.sum(axis=1, keepdims=True)
            value = float(np.log(total).sum() - of_target.sum()) / len(z)
            delta /= total
            delta[self.rows, y] -= 1.0
            delta *= np.float32(1.0 / len(z))
            return value
        # bce of sigmoid(z): max(z, 0) - y z + log(1 + exp(-|z|)); dl/dz = (sigmoid(z) - y) / (N K).
        scratch = self.derivatives[-1]
        np.abs(z, out=scratch)
        np.negative(scratch, out=scratch)
        np.exp(scratch, out=scratch)
        np.log1p(scratch, out=scratch)
        value = float(scratch.sum()) - float(z.reshape(-1) @ y.reshape(-1))
        np.maximum(z, 0.0, out=scratch)
        value += float(scratch.sum())
        np.copyto(delta, z)
        activate("sigmoid", delta)
        delta -= y
        delta *= np.float32(1.0 / z.size)
        return value / z.size

    def sgd_step(self, x: Array, y: NDArray[Any]) -> float:
        value = self._gradients(x, y)
        self.gradients *= self.learning_rate
        self._parameters -= self.gradients
        return value

    def adam_step(self, x: Array, y: NDArray[Any]) -> float:
        value = self._gradients(x, y)
        self.n_steps += 1
        update, root = self.scratch
        np.multiply(self.gradients, np.float32(1.0 - BETA1), out=update)
        self.first_moment *= np.float32(BETA1)
        self.first_moment += update
        np.multiply(self.gradients, self.gradients, out=update)
        update *= np.float32(1.0 - BETA2)
        self.second_moment *= np.float32(BETA2)
        self.second_moment += update
        # The two corrections of the bias towards 0 go into the step size and into epsilon.
        correction = (1.0 - BETA2**self.n_steps) ** 0.5
        np.sqrt(self.second_moment, out=root)
        root += np.float32(EPSILON * correction)
        step_size = float(self.learning_rate) * correction / (1.0 - BETA1**self.n_steps)
        np.multiply(self.first_moment, np.float32(step_size), out=update)
        update /= root
        self._parameters -= update
        return value


def activate(name: str, z: Array) -> Array:
    """z becomes f(z)."""
    if name == "relu":
        np.maximum(z, 0.0, out=z)
    elif name == "tanh":
        np.tanh(z, out=z)
    elif name == "sigmoid":
        np.negative(z, out=z)
        np.exp(z, out=z)
        z += 1.0
        np.reciprocal(z, out=z)
    return z


def write_derivative(name: str, a: Array, out: Array) -> None:
    """f'(z) from a = f(z)."""
    if name == "relu":
        np.greater(a, 0.0, out=out, casting="unsafe")
    elif name == "tanh":
        np.multiply(a, a, out=out)
        np.subtract(1.0, out, out=out)
    else:
        np.subtract(1.0, a, out=out)
        out *= a


def core_type() -> str:
    """Whose kernels OpenBLAS has taken: it names a processor, and may not know this one."""
    try:
        import threadpoolctl
    except ImportError:
        return ", core type unknown without threadpoolctl"
    names = {
        library["architecture"]
        for library in threadpoolctl.threadpool_info()
        if library["internal_api"] == "openblas"
    }
    return f", core type {'/'.join(sorted(names))}" if names else ""
