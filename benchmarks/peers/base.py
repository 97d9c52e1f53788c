# SPDX-License-Identifier: BSD-3-Clause
"""What every peer can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..cases import Array, Case
from ..work import EPOCHS, JOBS, n_parameters

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Peer(ABC):
    """One net of one case in one library.

    Each job is a method of its name; it takes what `prepare` made of the batch, and what it gives
    back, `as_output` or `as_gradients` turns into arrays. Neither conversion is timed.
    """

    title: ClassVar[str]
    jobs: ClassVar[tuple[str, ...]] = JOBS
    derivative_jobs: ClassVar[tuple[str, ...]] = ()  # those that can be asked for besides

    def __init__(self, case: Case, n_threads: int) -> None:
        self.case = case
        self.n_threads = n_threads

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The library's version, and what else decides about its speed."""

    @classmethod
    def can_do(cls, case: Case) -> bool:
        """Whether the library has the case's activations."""
        return True

    @abstractmethod
    def reset(self, parameters: Array, learning_rate: float) -> None:
        """Start over from these parameters, with a new optimizer."""

    def prepare(self, job: str, x: Array, y: NDArray[Any]) -> tuple[Any, ...]:
        """The arguments of a job, as the library keeps such data; `call` is for NumPy's arrays."""
        if job == "hvp":
            return x, y, direction(self.case)
        return (x,) if job in OF_INPUTS else (x, y)

    def before_slice(self) -> None:  # noqa: B027 - most peers have none
        """Settings that are the process's and not the net's."""

    def as_output(self, result: Any) -> Array:
        """What `forward` and `call` gave back, as an array."""
        return np.asarray(result)

    def as_expected(self, output: NDArray[Any]) -> NDArray[Any]:
        """What `forward` and `call` should give, from the output of the reference."""
        return output

    def as_gradients(self, result: Any) -> tuple[float, Array, Array]:
        """What `value_and_grad` gave back: loss, flat gradient of the parameters, dl/dx."""
        value, flat, inputs = result
        return value, flat, inputs

    def as_derivative(self, job: str, result: Any) -> Array:
        """What a derivative gave back: (N, K, D), (P,) in the layout of `parameters`, or (N,)."""
        return np.asarray(result[1] if job == "value_and_jacobian" else result)

    @property
    @abstractmethod
    def parameters(self) -> Array:
        """All of them now: of each layer the weight (n_inputs, n_outputs), then the bias."""


class Learner(Peer):
    """A peer whose whole fits are timed too; see `fits`."""

    @abstractmethod
    def learn(self, x: Any, y: Any, orders: list[NDArray[np.int64]]) -> None:
        """Epochs of Adam steps, each taking the rows in its order."""


# Jobs that need no targets.
OF_INPUTS = ("forward", "call", "jacobian", "value_and_jacobian")


def direction(case: Case) -> Array:
    """What the Hessian is multiplied with, in the layout of `Peer.parameters`."""
    return np.random.default_rng(1).standard_normal(n_parameters(case), dtype=np.float32)


def split(flat: Array, case: Case) -> list[tuple[Array, Array]]:
    """Weight (n_inputs, n_outputs) and bias of each layer: views of the flat parameters."""
    layers, start = [], 0
    for n_inputs, n_outputs in case.layers:
        end = start + n_inputs * n_outputs
        layers.append((flat[start:end].reshape(n_inputs, n_outputs), flat[end : end + n_outputs]))
        start = end + n_outputs
    return layers


def join(layers: list[tuple[Any, Any]]) -> Array:
    """The inverse of `split`; each layer's weight is (n_inputs, n_outputs)."""
    return np.concatenate([np.asarray(part).reshape(-1) for layer in layers for part in layer])


def mini_batches(case: Case, x: Any, y: Any) -> list[tuple[Any, Any]]:
    """An epoch cut into its mini-batches, as views."""
    starts = range(0, len(x), case.batch_size)
    return [(x[i : i + case.batch_size], y[i : i + case.batch_size]) for i in starts]


def is_epoch(job: str) -> bool:
    return job in EPOCHS
