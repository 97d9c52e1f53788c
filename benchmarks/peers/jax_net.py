# SPDX-License-Identifier: BSD-3-Clause
"""JAX on the CPU: every job is one jitted function, an epoch one `lax.scan`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from ..cases import Array, Case
from ..work import DERIVATIVES
from .base import BETA1, BETA2, EPSILON, Learner, is_epoch, join, split

jax.config.update("jax_platforms", "cpu")
# A call then returns when it is done, without a trip to another thread: faster where calls are
# short, and it has to be waited for in any case.
jax.config.update("jax_cpu_enable_async_dispatch", False)

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "softplus": jax.nn.softplus,
}


def mse(z: Any, y: Any) -> Any:
    return jnp.mean((z - y) ** 2)


def bce(z: Any, y: Any) -> Any:
    return jnp.mean(jax.nn.softplus(z) - y * z)


def cross_entropy(z: Any, y: Any) -> Any:
    log_probabilities = jax.nn.log_softmax(z)
    return -jnp.mean(jnp.take_along_axis(log_probabilities, y[:, None], axis=1))


LOSSES = {"mse": mse, "bce": bce, "cross_entropy": cross_entropy}


class JaxNet(Learner):
    """Steps give their old parameters away, so that the new ones can take their place."""

    title = "JAX"
    derivative_jobs = DERIVATIVES

    def __init__(self, case: Case, n_threads: int) -> None:
        super().__init__(case, n_threads)
        hidden = ACTIVATIONS[case.hidden_activation]
        output = ACTIVATIONS[case.output_activation]
        loss_of = LOSSES[case.loss]

        def pre_activation(layers: Any, x: Any) -> Any:
            for i, (weight, bias) in enumerate(layers):
                x = (x if i == 0 else hidden(x)) @ weight + bias
            return x

        def loss(layers: Any, x: Any, y: Any) -> Any:
            return loss_of(pre_activation(layers, x), y)

        def sgd(layers: Any, rate: Any, x: Any, y: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(layers, x, y)
            return jax.tree.map(lambda p, g: p - rate * g, layers, gradients), value

        def adam(state: Any, rate: Any, x: Any, y: Any) -> Any:
            layers, first, second, n_steps = state
            value, gradients = jax.value_and_grad(loss)(layers, x, y)
            n_steps = n_steps + 1.0
            first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
            second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
            first_scale = rate / (1.0 - BETA1**n_steps)
            second_scale = 1.0 / (1.0 - BETA2**n_steps)

            def updated(p: Any, m: Any, v: Any) -> Any:
                return p - first_scale * m / (jnp.sqrt(v * second_scale) + EPSILON)

            return (jax.tree.map(updated, layers, first, second), first, second, n_steps), value

        def epoch_of(step: Any) -> Any:
            def epoch(state: Any, rate: Any, x: Any, y: Any) -> Any:
                return lax.scan(lambda state, batch: step(state, rate, *batch), state, (x, y))

            return epoch

        def shuffled(state: Any, rate: Any, x: Any, y: Any, order: Any) -> Any:
            def steps(state: Any, rows: Any) -> Any:
                return adam(state, rate, x[rows], y[rows])

            n = len(order) // case.batch_size * case.batch_size
            state, values = lax.scan(steps, state, order[:n].reshape(-1, case.batch_size))
            if n < len(order):
                state, value = steps(state, order[n:])
                values = jnp.append(values, value)
            return state, values

        self._shuffled = jax.jit(shuffled, donate_argnums=0)

        def value_twice(layers: Any, x: Any) -> Any:
            y_hat = output(pre_activation(layers, x))
            return y_hat, y_hat

        # The mode with fewer rows, sample by sample.
        in_mode = jax.jacrev if case.sizes[-1] <= case.sizes[0] else jax.jacfwd
        of_sample = in_mode(value_twice, argnums=1, has_aux=True)

        def hvp(layers: Any, x: Any, y: Any, vector: Any) -> Any:
            return jax.jvp(lambda p: jax.grad(loss)(p, x, y), (layers,), (vector,))[1]

        def norm(layers: Any, x: Any, y: Any) -> Any:
            gradients = jax.grad(loss)(layers, x[None], y[None])
            return jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))

        self._value_and_jacobian = jax.jit(jax.vmap(of_sample, in_axes=(None, 0)))
        self._jacobian = jax.jit(lambda layers, x: self._value_and_jacobian(layers, x)[0])
        self._hvp = jax.jit(hvp)
        self._gradient_norms = jax.jit(jax.vmap(norm, in_axes=(None, 0, 0)))
        self._forward = jax.jit(lambda layers, x: output(pre_activation(layers, x)))
        self._value_and_grad = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        self._sgd_step, self._adam_step, self._sgd_epoch, self._adam_epoch = (
            jax.jit(function, donate_argnums=0)
            for function in (sgd, adam, epoch_of(sgd), epoch_of(adam))
        )

    @classmethod
    def version(cls) -> str:
        return str(jax.__version__)

    def reset(self, parameters: Array, learning_rate: float) -> None:
        self.rate = jnp.float32(learning_rate)
        # Copies: what a step gives away must not be NumPy's memory, nor be held twice.
        self.layers = jax.tree.map(lambda a: jnp.array(a, copy=True), split(parameters, self.case))
        self.moments = [jax.tree.map(jnp.zeros_like, self.layers) for _ in range(2)]
        self.n_steps = jnp.float32(0.0)

    def prepare(self, job: str, x: Array, y: NDArray[Any]) -> tuple[Any, ...]:
        if job == "call":
            return (x,)
        if job == "learn":  # as it is, if it is aligned
            return jnp.asarray(x), jnp.asarray(y.astype(np.int32))
        if is_epoch(job):
            x, y = (a.reshape(-1, self.case.batch_size, *a.shape[1:]) for a in (x, y))
        if y.dtype == np.int64:
            y = y.astype(np.int32)
        arguments = super().prepare(job, *(jnp.array(a, copy=True) for a in (x, y)))
        if job == "hvp":
            *arguments, vector = arguments
            vector = jax.tree.map(lambda a: jnp.array(a, copy=True), split(vector, self.case))
            return (*arguments, vector)
        return arguments

    def as_derivative(self, job: str, result: Any) -> Array:
        if job == "hvp":
            return join(result)
        return np.asarray(result[0] if job == "value_and_jacobian" else result)

    @property
    def parameters(self) -> Array:
        return join(self.layers)

    def as_gradients(self, result: Any) -> tuple[float, Array, Array]:
        value, (layers, inputs) = result
        return float(value), join(layers), np.asarray(inputs)

    def forward(self, x: Any) -> Any:
        return self._forward(self.layers, x).block_until_ready()

    def call(self, x: Array) -> Array:
        return np.asarray(self._forward(self.layers, x))

    def value_and_grad(self, x: Any, y: Any) -> Any:
        return jax.block_until_ready(self._value_and_grad(self.layers, x, y))

    def _sgd(self, function: Any, x: Any, y: Any) -> Any:
        self.layers, value = function(self.layers, self.rate, x, y)
        return value.block_until_ready()

    def _adam(self, function: Any, *data: Any) -> Any:
        state = (self.layers, *self.moments, self.n_steps)
        (self.layers, *self.moments, self.n_steps), value = function(state, self.rate, *data)
        return value.block_until_ready()

    def sgd_step(self, x: Any, y: Any) -> Any:
        return self._sgd(self._sgd_step, x, y)

    def adam_step(self, x: Any, y: Any) -> Any:
        return self._adam(self._adam_step, x, y)

    def sgd_epoch(self, x: Any, y: Any) -> Any:
        return self._sgd(self._sgd_epoch, x, y)

    def adam_epoch(self, x: Any, y: Any) -> Any:
        return self._adam(self._adam_epoch, x, y)

    def learn(self, x: Any, y: Any, orders: list[NDArray[np.int64]]) -> None:
        for order in orders:
            self._adam(self._shuffled, x, y, jnp.asarray(order.astype(np.int32)))

    def jacobian(self, x: Any) -> Any:
        return self._jacobian(self.layers, x).block_until_ready()

    def value_and_jacobian(self, x: Any) -> Any:
        return jax.block_until_ready(self._value_and_jacobian(self.layers, x))

    def hvp(self, x: Any, y: Any, vector: Any) -> Any:
        return jax.block_until_ready(self._hvp(self.layers, x, y, vector))

    def gradient_norms(self, x: Any, y: Any) -> Any:
        return self._gradient_norms(self.layers, x, y).block_until_ready()
