# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch on the CPU: modules and optimizers as everyone writes them, and compiled functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import func
from torch.nn import functional

from ..cases import Array, Case
from ..work import DERIVATIVES
from .base import BETA1, BETA2, EPSILON, OF_INPUTS, Learner, direction, join, mini_batches, split

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "softplus": functional.softplus,
}
# From the output's pre-activation, as PyTorch recommends.
LOSSES = {
    "mse": functional.mse_loss,
    "bce": functional.binary_cross_entropy_with_logits,
    "cross_entropy": functional.cross_entropy,
}
# The gradient of mse_loss has no forward mode in PyTorch 2.13: "ZeroTensors are immutable".
TWICE = LOSSES | {"mse": lambda z, y: (z - y).square().mean()}


def as_layers(tensors: list[torch.Tensor]) -> Array:
    """Flat parameters from weights (n_outputs, n_inputs) and biases by turns."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    return join([(weight.T, bias) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)])


class TorchNet(Learner):
    """Eager; the optimizers are the fused ones, which are the fastest."""

    title = "PyTorch"
    derivative_jobs = DERIVATIVES

    def __init__(self, case: Case, n_threads: int) -> None:
        super().__init__(case, n_threads)
        torch.set_num_threads(n_threads)
        self.tensors = [
            torch.zeros(shape, requires_grad=True)
            for n_inputs, n_outputs in case.layers
            for shape in ((n_outputs, n_inputs), (n_outputs,))
        ]
        self.loss = LOSSES[case.loss]

        def value_twice(tensors: Any, x: torch.Tensor) -> Any:
            y_hat = self._forward(tensors, x)
            return y_hat, y_hat

        def loss(tensors: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return TWICE[case.loss](self._pre_activation(tensors, x), y)

        def norm(tensors: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            gradients = func.grad(loss)(tensors, x[None], y[None])
            return torch.stack([g.square().sum() for g in gradients]).sum().sqrt()

        def gradient_of(x: torch.Tensor, y: torch.Tensor) -> Any:
            return lambda tensors: func.grad(loss)(tensors, x, y)

        # The mode with fewer rows, sample by sample.
        in_mode = func.jacrev if case.sizes[-1] <= case.sizes[0] else func.jacfwd
        of_sample = in_mode(value_twice, argnums=1, has_aux=True)
        self._value_and_jacobian = func.vmap(of_sample, in_dims=(None, 0))
        self._gradient_norms = func.vmap(norm, in_dims=(None, 0, 0))
        self._gradient_of = gradient_of

    @classmethod
    def version(cls) -> str:
        return str(torch.__version__)

    def reset(self, parameters: Array, learning_rate: float) -> None:
        with torch.no_grad():
            for i, (weight, bias) in enumerate(split(parameters, self.case)):
                self.tensors[2 * i].copy_(torch.from_numpy(weight.T))
                self.tensors[2 * i + 1].copy_(torch.from_numpy(bias))
        self.sgd = torch.optim.SGD(self.tensors, lr=learning_rate, fused=True)
        self.adam = torch.optim.Adam(
            self.tensors, lr=learning_rate, betas=(BETA1, BETA2), eps=EPSILON, fused=True
        )

    def prepare(self, job: str, x: Array, y: NDArray[Any]) -> tuple[Any, ...]:
        if job == "call":
            return (x,)
        rows = torch.from_numpy(x)
        if job in OF_INPUTS:
            return (rows,)
        if job == "hvp":
            parts = split(direction(self.case), self.case)
            tensors = [torch.tensor(a) for weight, bias in parts for a in (weight.T, bias)]
            return rows, torch.from_numpy(y), tensors
        return rows.requires_grad_(job == "value_and_grad"), torch.from_numpy(y)

    @property
    def parameters(self) -> Array:
        return as_layers(self.tensors)

    def as_gradients(self, result: Any) -> tuple[float, Array, Array]:
        value, (*flat, inputs) = result
        return float(value.detach()), as_layers(flat), inputs.numpy()

    def as_derivative(self, job: str, result: Any) -> Array:
        if job == "hvp":
            return as_layers(result)
        array: Array = (result[0] if job == "value_and_jacobian" else result).numpy()
        return array

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        jacobian: torch.Tensor = self.value_and_jacobian(x)[0]
        return jacobian

    def value_and_jacobian(self, x: torch.Tensor) -> Any:
        return self._value_and_jacobian(self._constants, x)

    def hvp(self, x: torch.Tensor, y: torch.Tensor, vector: list[torch.Tensor]) -> Any:
        return func.jvp(self._gradient_of(x, y), (self._constants,), (vector,))[1]

    def gradient_norms(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self._gradient_norms(self._constants, x, y)

    @property
    def _constants(self) -> list[torch.Tensor]:
        """The parameters, of which autograd shall keep nothing."""
        return [tensor.detach() for tensor in self.tensors]

    def _pre_activation(self, tensors: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        activate = ACTIVATIONS[self.case.hidden_activation]
        for i in range(0, len(tensors), 2):
            x = functional.linear(x if i == 0 else activate(x), tensors[i], tensors[i + 1])
        return x

    def _forward(self, tensors: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return ACTIVATIONS[self.case.output_activation](self._pre_activation(tensors, x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self._forward(self.tensors, x)

    def call(self, x: Array) -> Array:
        array: Array = self.forward(torch.from_numpy(x)).numpy()
        return array

    def value_and_grad(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        value = self.loss(self._pre_activation(self.tensors, x), y)
        return value, torch.autograd.grad(value, [*self.tensors, x])

    def _step(self, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> Any:
        optimizer.zero_grad()
        value = self.loss(self._pre_activation(self.tensors, x), y)
        value.backward()
        optimizer.step()
        return value

    def sgd_step(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self._step(self.sgd, x, y)

    def adam_step(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self._step(self.adam, x, y)

    def sgd_epoch(self, x: torch.Tensor, y: torch.Tensor) -> None:
        for batch in mini_batches(self.case, x, y):
            self.sgd_step(*batch)

    def adam_epoch(self, x: torch.Tensor, y: torch.Tensor) -> None:
        for batch in mini_batches(self.case, x, y):
            self.adam_step(*batch)

    def learn(self, x: torch.Tensor, y: torch.Tensor, orders: list[NDArray[np.int64]]) -> None:
        for order in orders:
            for rows in torch.from_numpy(order).split(self.case.batch_size):
                self.adam_step(x[rows], y[rows])


class TorchCompileNet(TorchNet):
    """Each job one compiled function of tensors, the update within: no autograd at run time.

    That is faster than a compiled module with an optimizer beside it.
    """

    title = "torch.compile"
    derivative_jobs = ()

    def __init__(self, case: Case, n_threads: int) -> None:
        super().__init__(case, n_threads)
        # Else the guards of every net before this one would be tried at each call.
        torch._dynamo.reset()
        self.tensors = [tensor.detach() for tensor in self.tensors]
        compile_ = torch.compile(dynamic=False, fullgraph=True)
        gradient_of = torch.func.grad_and_value

        def loss(tensors: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.loss(self._pre_activation(tensors, x), y)

        def sgd(tensors: Any, rate: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            gradients, value = gradient_of(loss)(tensors, x, y)
            for tensor, gradient in zip(tensors, gradients, strict=True):
                tensor.sub_(rate * gradient)
            return value

        def adam(
            tensors: Any, moments: Any, n_steps: torch.Tensor, rate: Any, x: Any, y: Any
        ) -> torch.Tensor:
            gradients, value = gradient_of(loss)(tensors, x, y)
            n_steps.add_(1.0)
            first_scale = rate / (1.0 - BETA1**n_steps)
            second_scale = 1.0 / (1.0 - BETA2**n_steps)
            for tensor, gradient, (first, second) in zip(tensors, gradients, moments, strict=True):
                first.lerp_(gradient, 1.0 - BETA1)
                second.mul_(BETA2).add_((1.0 - BETA2) * gradient * gradient)
                tensor.sub_(first_scale * first / ((second * second_scale).sqrt() + EPSILON))
            return value

        self._compiled_forward = compile_(self._forward)
        self._compiled_gradient = compile_(gradient_of(loss, argnums=(0, 1)))
        self._compiled_sgd = compile_(sgd)
        self._compiled_adam = compile_(adam)

    def reset(self, parameters: Array, learning_rate: float) -> None:
        for i, (weight, bias) in enumerate(split(parameters, self.case)):
            self.tensors[2 * i].copy_(torch.from_numpy(weight.T))
            self.tensors[2 * i + 1].copy_(torch.from_numpy(bias))
        self.moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in self.tensors]
        self.n_steps = torch.zeros(())
        self.rate = torch.tensor(learning_rate)

    def prepare(self, job: str, x: Array, y: NDArray[Any]) -> tuple[Any, ...]:
        arguments = super().prepare(job, x, y)
        return arguments if job == "call" else tuple(tensor.detach() for tensor in arguments)

    def as_gradients(self, result: Any) -> tuple[float, Array, Array]:
        (flat, inputs), value = result
        return float(value), as_layers(flat), inputs.numpy()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = self._compiled_forward(self.tensors, x)
        return output

    def value_and_grad(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self._compiled_gradient(self.tensors, x, y)

    def sgd_step(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return self._compiled_sgd(self.tensors, self.rate, x, y)

    def adam_step(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        arguments = (self.tensors, self.moments, self.n_steps, self.rate, x, y)
        return self._compiled_adam(*arguments)
