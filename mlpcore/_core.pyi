# SPDX-License-Identifier: BSD-3-Clause
"""The binding: pointers in, status out, the GIL released. Nothing here checks shapes or values;
`_validation` has done so. Arrays are C-contiguous, aligned, native and of the network's dtype."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from numpy.typing import ArrayLike, NDArray

from .mlp import LossLike
from .optimizers import Optimizer
from .trace import Gradients

Array = NDArray[Any]

ACTIVATIONS: Final[dict[str, int]]  # name -> code
LOSSES: Final[dict[str, int]]  # "mse" ... "cross_entropy", "cross_entropy_with_logits", "poisson"
REDUCTIONS: Final[dict[str, int]]  # "mean", "batch_mean", "sum"

OK: Final[int]
NOT_FINITE: Final[int]
MAX_THREADS: Final[int]

class LossKernel:
    """A loss as C knows it: kind, reduction and one parameter (Huber's delta, the quantile's q)."""

    kind: int
    reduction: int
    parameter: float
    def __init__(self, kind: int, reduction: int, parameter: float = 0.0) -> None: ...
    # As a net with this output activation computes it; steps of such nets ask Python no more.
    def _remember(self, activation: int, after: LossKernel) -> None: ...
    def _evaluate(
        self,
        prediction: Array,  # (N, K)
        target: Array,  # (N, K) of the same dtype, or int64 (N,) class indices
        sample_weight: Array | None,  # (N,) of the same dtype
        gradient: Array | None,  # (N, K), written
    ) -> float: ...

class OptimizerKernel:
    """An optimizer as C knows it: rule, hyperparameters, step count and moments.

    The moments are allocated at the first update and then belong to the parameters that they
    were made for; an update of other parameters raises ValueError until `reset()`.
    """

    learning_rate: float
    weight_decay: float
    l1: float
    l2: float
    clip_norm: float  # 0: any length
    momentum: float
    nesterov: bool
    beta1: float
    beta2: float
    epsilon: float
    n_steps: int  # updates made
    first_moment: Array | None  # (P,)
    second_moment: Array | None  # (P,)
    def __init__(self, kind: str) -> None: ...  # "sgd", "adam", "adamw", "rmsprop"
    def reset(self) -> None: ...
    _scheduled_rate: float  # that a schedule has set last; 0: none has
    def _schedule(self, learning_rate: float) -> None: ...  # sets both rates
    def _check_idle(self) -> None: ...  # RuntimeError while another call uses it
    def _apply(
        self,
        network: Network,
        gradients: Array,
        n_threads: int,
        position: EpochPosition | None = None,  # moved on by a step of this loss
        loss: float = 0.0,
    ) -> None: ...

class GradientArrays:
    """Arrays of the parameters' and the inputs' gradients. `Gradients` derives from it."""

    flat: Array
    inputs: Array
    _sizes: tuple[int, ...]
    _has_bias: bool
    # Of the derived class: the flat array that they are of, and the views.
    _views: tuple[Array, tuple[Array, ...], tuple[Array | None, ...]] | None
    def __init__(self, net: Network, flat: Array, inputs: Array) -> None: ...

class Dropout:
    """Rates of the hidden layers, and the seed of what is drawn."""

    rates: Array
    def __init__(self, rates: Array, seed: int) -> None: ...  # float64 (n_layers - 1,) in [0, 1)

class EpochPosition:
    """How far an epoch is: updates made, and the sum of their losses as `_train_epoch` gives it."""

    n_steps: int
    loss_total: float
    def __init__(self, n_steps: int = 0, loss_total: float = 0.0) -> None: ...

class Network:
    """Topology, flat parameters and scratch of one net. `MLP` derives from it."""

    parameters: Array  # (P,), live, 64-byte aligned; read-only attribute, writable array
    def __init__(
        self, dtype: str, sizes: tuple[int, ...], activations: Sequence[int], has_bias: bool
    ) -> None: ...  # parameters start at zero; dtype is "float32" or "float64"
    def __call__(self, x: Any) -> Array: ...
    def forward(self, x: Any, out: Array | None = None, n_threads: int | None = None) -> Array: ...
    def train_step(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossLike,
        optimizer: Optimizer,
        sample_weight: ArrayLike | None = None,
    ) -> float: ...
    def value_and_grad(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossLike,
        sample_weight: ArrayLike | None = None,
        *,
        dy_dx: ArrayLike | None = None,
        dy_dx_weight: float = 1.0,
    ) -> tuple[float, Gradients]: ...
    def jacobian(self, x: ArrayLike, out: Array | None = None) -> Array: ...
    def value_and_jacobian(self, x: ArrayLike) -> tuple[Array, Array]: ...
    def vjp(self, x: ArrayLike, cotangent: ArrayLike) -> Gradients: ...
    def hvp(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossLike,
        vector: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Array: ...
    # These eight run at once when their arrays can be read as they are and the loss is known (see
    # LossKernel._remember). In every other case they return what the derived class's
    # _forward_checked, _train_step_checked, _value_and_grad_checked, _jacobian_checked,
    # _value_and_jacobian_checked, _vjp_checked or _hvp_checked make of the same arguments: these
    # validate, convert and word the errors.
    def _vjp_rows(
        self,
        x: Array,  # (N, D)
        cotangent: Array,  # (N, K)
        gradients: Array,  # (P,), written
        grad_x: Array | None,  # (N, D), written
        n_threads: int = 0,
    ) -> None: ...
    def _jacobian_rows(
        self,
        x: Array,  # (N, D)
        y: Array | None,  # (N, K), written
        jacobian: Array,  # (N, K, D), written
    ) -> None: ...
    def _jvp_rows(
        self,
        x: Array,  # (N, D)
        tangent: Array | None,  # (N, D)
        direction: Array | None,  # (P,); one of the two is given
        y: Array,  # (N, K), written
        dy: Array,  # (N, K), written
        n_threads: int = 0,
    ) -> None: ...
    def _input_curvature_rows(
        self,
        x: Array,  # (N, D)
        result: Array,  # written: (N, K, D, D) if whole, else the Laplacian (N, K)
        whole: bool,
    ) -> None: ...
    def _per_sample_rows(
        self,
        x: Array,  # (N, D)
        target: Array,  # (N, K), or int64 (N,); dl/dy_hat without a loss
        loss: LossKernel | None,
        gradients: Array | None,  # (N, P), written
        norms: Array | None,  # (N,) float64, written
        n_threads: int = ...,
    ) -> None: ...
    def _hvp_rows(
        self,
        x: Array,  # (N, D)
        target: Array,  # (N, K), or int64 (N,)
        sample_weight: Array | None,
        loss: LossKernel,
        vector: Array,  # (P,)
        product: Array,  # (P,), written
    ) -> None: ...
    def _forward_rows(self, x: Array, out: Array, n_threads: int) -> None: ...  # (N, D) -> (N, K)
    def _forward_records(
        self,
        parameters: Array,
        x: Array,
        pre_activations: list[Array],  # per layer (N, n_outputs), written
        outputs: list[Array],
        activation_derivatives: list[Array | None],  # softmax: None
        n_threads: int,
        dropout: Dropout | None = None,
        step: int = 0,  # that the dropout is drawn for
    ) -> None: ...
    def _backward_records(
        self,
        parameters: Array,
        x: Array,
        pre_activations: list[Array],
        outputs: list[Array],
        activation_derivatives: list[Array | None],  # softmax: None
        cotangent: Array | None,  # (N, K); None: from loss and target
        loss: LossKernel | None,
        target: Array | None,  # (N, K), or int64 (N,)
        sample_weight: Array | None,
        gradients: Array,  # (P,), written
        grad_x: Array | None,  # (N, D), written
        grad_outputs: list[Array] | None,  # per layer dl/da, written
        grad_pre_activations: list[Array] | None,  # per layer dl/dz, written
        n_threads: int,
    ) -> float: ...  # the loss; nan when a cotangent was given
    def _value_and_grad(
        self,
        x: Array,
        target: Array,
        sample_weight: Array | None,
        loss: LossKernel,
        gradients: Array | None,  # None: the loss alone
        grad_x: Array | None,
        n_threads: int,
        jacobian: tuple[Array, float] | None = None,  # dy_dx (N, K, D), and its weight
    ) -> float: ...
    def _train_step(
        self,
        x: Array,
        target: Array,
        sample_weight: Array | None,
        loss: LossKernel,
        optimizer: OptimizerKernel,
        n_threads: int,
        dropout: Dropout | None = None,
        jacobian: tuple[Array, float] | None = None,
    ) -> tuple[int, float]: ...  # status (OK or NOT_FINITE: parameters not updated), loss
    def _train_epoch(
        self,
        x: Array,
        target: Array,
        sample_weight: Array | None,
        order: Array | None,  # int64 (N,)
        batch_size: int,
        loss: LossKernel,
        optimizer: OptimizerKernel,
        n_threads: int,
        learning_rates: Array | None = None,  # float64, one for each step of the epoch
        position: EpochPosition | None = None,  # where to go on; moved on, whatever happens
        dropout: Dropout | None = None,
        jacobian: tuple[Array, float] | None = None,
    ) -> tuple[int, float, int]: ...
    # (status, sum over batches of loss times the batch's share of the rows, updates made); rows
    # that the order leaves out are not used.
    # A Ctrl-C raises KeyboardInterrupt after the running update, or before one of many rows.

def register(losses: Mapping[str, LossKernel], gradients: type[GradientArrays]) -> None: ...
def aligned_zeros(n: int, dtype: str) -> Array: ...  # (n,), 64-byte aligned
def permutation(seed: int, epoch: int, n: int) -> Array: ...  # int64 (n,)
def solve_factored(lower: Array, x: Array) -> None: ...  # lower lower^T x_after = x_before
def random_key(seed: int, purpose: str, index: int) -> int: ...  # "blocks", "rows", "held_out"
def fused_loss(kind: int, output_activation: int) -> tuple[int, bool]: ...
def isa() -> str: ...
def all_isas() -> tuple[str, ...]: ...
def available_isas() -> tuple[str, ...]: ...
def select_isa(name: str) -> None: ...  # for tests; ValueError if this CPU lacks it
def default_n_threads() -> int: ...
def set_default_n_threads(n: int) -> None: ...
def n_workers() -> int: ...
def cache_bytes(level: int) -> int: ...
def multiply_adds(dtype: str, n_repeats: int) -> float: ...  # how many; one thread
def floating_point_state() -> int: ...
def fail_allocations_after(n: int, once: bool) -> None: ...  # for tests; n < 0: never
def live_allocations() -> int: ...
