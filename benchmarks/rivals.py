# SPDX-License-Identifier: BSD-3-Clause
"""The four jobs that are timed, done by mlpcore and by NumPy: one class for each, the same methods.

`NumpyNet` is what a careful engineer writes: parameters, gradients and moments in one vector each,
every intermediate in a buffer of its own that is made once, nothing allocated in a call, products
by the BLAS in its best layout, and the losses merged with the output's activation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlpcore

from .cases import Array, Case

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

LOSSES = {
    "mse": mlpcore.losses.MSE(),
    "bce": mlpcore.losses.BCE(),
    "cross_entropy": mlpcore.losses.CrossEntropy(),
}


class MlpcoreNet:
    """The library as a user calls it."""

    def __init__(self, case: Case, parameters: Array, learning_rate: float) -> None:
        self.net = mlpcore.MLP(list(case.sizes), case.activations)
        self.parameters = self.net.parameters
        self.parameters[:] = parameters
        self.loss = LOSSES[case.loss]
        self.sgd = mlpcore.SGD(learning_rate)
        self.adam = mlpcore.Adam(learning_rate, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)

    def forward(self, x: Array) -> Array:
        return self.net(x)

    def value_and_grad(self, x: Array, y: NDArray[Any]) -> tuple[float, Array, Array]:
        value, gradients = self.net.value_and_grad(x, y, self.loss)
        return value, gradients.flat, gradients.inputs

    def sgd_step(self, x: Array, y: NDArray[Any]) -> float:
        return self.net.train_step(x, y, self.loss, self.sgd)

    def adam_step(self, x: Array, y: NDArray[Any]) -> float:
        return self.net.train_step(x, y, self.loss, self.adam)


class NumpyNet:
    """The same by hand in NumPy, for one batch size."""

    def __init__(self, case: Case, parameters: Array, learning_rate: float) -> None:
        self.case = case
        self.learning_rate = np.float32(learning_rate)
        self.parameters = parameters.copy()
        self.gradients = np.zeros_like(parameters)
        self.first_moment = np.zeros_like(parameters)
        self.second_moment = np.zeros_like(parameters)
        self.scratch = [np.zeros_like(parameters) for _ in range(2)]
        self.n_steps = 0
        self.weights, self.biases = self._views(self.parameters)
        self.grad_weights, self.grad_biases = self._views(self.gradients)
        self.outputs = [self._buffer(width) for width in case.sizes[1:]]
        self.deltas = [self._buffer(width) for width in case.sizes]
        self.derivatives = [self._buffer(width) for width in case.sizes[1:]]
        self.ones = np.ones(case.batch_size, np.float32)
        self.rows = np.arange(case.batch_size)

    def _buffer(self, width: int) -> Array:
        return np.zeros((self.case.batch_size, width), np.float32)

    def _views(self, flat: Array) -> tuple[list[Array], list[Array]]:
        weights, biases, start = [], [], 0
        for n_inputs, n_outputs in zip(self.case.sizes[:-1], self.case.sizes[1:], strict=True):
            end = start + n_inputs * n_outputs
            weights.append(flat[start:end].reshape(n_inputs, n_outputs))
            biases.append(flat[end : end + n_outputs])
            start = end + n_outputs
        return weights, biases

    def forward(self, x: Array) -> Array:
        z = self._pre_activation_of_output(x)
        return activate(self.case.output_activation, z)

    def _pre_activation_of_output(self, x: Array) -> Array:
        a = x
        last = len(self.weights) - 1
        for i, (weight, bias, out) in enumerate(
            zip(self.weights, self.biases, self.outputs, strict=True)
        ):
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
        self.parameters -= self.gradients
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
        self.parameters -= update
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
