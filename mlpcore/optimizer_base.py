# SPDX-License-Identifier: BSD-3-Clause
"""What every optimizer can do: `Optimizer`, whose rule is computed in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._attributes import added_attributes, as_call, restore_attributes
from ._checks import check_in_range, check_momentum, check_n_steps
from ._validation import as_moment, as_network, as_optimizer
from .trace import as_gradients

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .mlp import MLP
    from .trace import Gradients

# The core's attributes; the class below shows them with checks.
_KERNEL = vars(_core.OptimizerKernel)
# The arguments that end every constructor.
PENALTIES: tuple[str, ...] = ("l1", "l2", "clip_norm")


def _settable(name: str, *, include_low: bool, doc: str) -> Any:
    def assign(optimizer: Optimizer, value: float) -> None:
        checked = check_in_range(value, name, 0.0, include_low=include_low)
        _KERNEL[name].__set__(optimizer, checked)

    return property(_KERNEL[name].__get__, assign, doc=doc)


def _clip_norm(optimizer: Optimizer) -> float | None:
    return _KERNEL["clip_norm"].__get__(optimizer) or None


def _set_clip_norm(optimizer: Optimizer, value: float | None) -> None:
    checked = 0.0
    if value is not None:
        checked = check_in_range(value, "clip_norm", 0.0, include_low=False)
    _KERNEL["clip_norm"].__set__(optimizer, checked)


def _fixed(name: str, doc: str) -> Any:
    # Read-only: the moments that exist have been made with it, or are it.
    return property(_KERNEL[name].__get__, doc=doc)


class Optimizer(_core.OptimizerKernel):
    """Base of all optimizers: ``optimizer.step(net, gradients)`` makes one update.

    Attributes
    ----------
    learning_rate : float
        Length of a step; above 0. It may be set at any time.
    weight_decay : float
        How strongly parameters are drawn to zero; 0 or above. It may be set at any time.
    l1 : float
        Penalty on the absolute values of the weights, not of the biases; 0 or above. It may be set
        at any time.
    l2 : float
        Penalty on half the squares of the weights, not of the biases; 0 or above. It may be set at
        any time.
    clip_norm : float or None
        The longest gradient, or None for any length. It may be set at any time.
    n_steps : int
        Updates made.
    first_moment, second_moment : numpy.ndarray of shape (P,) or None
        The running means of the rule, velocity or moments, to be read; None before the first
        update, and where the rule has none.
    momentum, nesterov, beta1, beta2, epsilon
        Those that the rule has, as they were given; read-only.

    Raises
    ------
    ValueError, TypeError
        If an argument of the constructor of an optimizer is out of its range or of a wrong kind.

    Examples
    --------
    >>> import mlpcore
    >>> adam = mlpcore.Adam(1e-3)
    >>> adam.learning_rate /= 2
    >>> isinstance(adam, mlpcore.optimizers.Optimizer), adam.learning_rate
    (True, 0.0005)
    """

    __slots__ = ()

    # The constructor's arguments, in order.
    _hyperparameters: tuple[str, ...]

    learning_rate: float = _settable(
        "learning_rate", include_low=False, doc="Length of a step; above 0."
    )
    weight_decay: float = _settable(
        "weight_decay", include_low=True, doc="How strongly parameters are drawn to zero."
    )
    l1: float = _settable("l1", include_low=True, doc="Penalty on the absolute values of weights.")
    l2: float = _settable("l2", include_low=True, doc="Penalty on half the squares of weights.")
    clip_norm: float | None = property(  # type: ignore[assignment]  # the core has 0 for None
        _clip_norm, _set_clip_norm, doc="The longest gradient, or None for any length."
    )
    n_steps: int = _fixed("n_steps", "Updates made.")
    first_moment: Array | None = _fixed("first_moment", "The velocity, or the first moment.")
    second_moment: Array | None = _fixed("second_moment", "The second moment.")
    # Of the core's rules, each class names those that it has; on the others they are fixed.
    momentum: float = _fixed("momentum", "Share of the velocity that is kept.")
    nesterov: bool = _fixed("nesterov", "Whether to look ahead along the velocity.")
    beta1: float = _fixed("beta1", "Share of the first moment that is kept.")
    beta2: float = _fixed("beta2", "Share of the second moment that is kept.")
    epsilon: float = _fixed("epsilon", "Keeps the denominator from zero.")

    def __init__(
        self,
        kind: str,
        learning_rate: float,
        weight_decay: float,
        l1: float,
        l2: float,
        clip_norm: float | None,
    ) -> None:
        super().__init__(kind)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.l1 = l1
        self.l2 = l2
        self.clip_norm = clip_norm

    def _fix(
        self,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        **others: float,  # betas and epsilon
    ) -> None:
        """Check what belongs to the rule, and set it for good."""
        checked: dict[str, Any] = {
            name: check_in_range(value, name, 0.0, include_low=False)
            if name == "epsilon"
            else check_in_range(value, name, 0.0, 1.0)
            for name, value in others.items()
        }
        checked["momentum"], checked["nesterov"] = check_momentum(momentum, nesterov)
        for name, value in checked.items():
            _KERNEL[name].__set__(self, value)

    def step(self, net: MLP, gradients: Gradients | ArrayLike) -> None:
        """Update the parameters of `net` once, in place.

        Parameters
        ----------
        net : MLP
            Always the same, until `reset`.
        gradients : Gradients, or array_like of shape (P,)
            As `MLP.backward` gives them.

        Raises
        ------
        FloatingPointError
            If a gradient or the update is not finite; nothing was updated then.
        ValueError, TypeError
            If the gradients are not those of such a net, or the optimizer belongs to another one.

        Examples
        --------
        >>> import mlpcore
        >>> net = mlpcore.MLP([1, 1], init="zeros")
        >>> mlpcore.SGD(0.5).step(net, [1.0, -1.0])
        >>> net.parameters
        array([-0.5,  0.5], dtype=float32)
        """
        as_optimizer(self)
        flat = as_gradients(as_network(net), gradients)
        if not np.isfinite(flat).all():
            raise FloatingPointError("a gradient is not finite; the parameters were not updated")
        self._apply(net, flat, _core.default_n_threads())

    def reset(self) -> None:
        """Forget the step count and the moments, and with them the net.

        Examples
        --------
        >>> import mlpcore
        >>> adam = mlpcore.Adam()
        >>> adam.step(mlpcore.MLP([1, 1]), [1.0, 1.0])
        >>> adam.reset()
        >>> adam.n_steps
        0
        """
        super().reset()

    @property
    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments, as they are now."""
        return {name: getattr(self, name) for name in self._hyperparameters}

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.n_steps, self.first_moment, self.second_moment)
        return remade, (type(self), self._arguments, state), added_attributes(self, ())

    def __setstate__(self, state: Any) -> None:
        restore_attributes(self, state)

    def __repr__(self) -> str:
        return as_call(self, self._arguments)


def remade(
    cls: type[Optimizer],
    arguments: dict[str, Any],
    state: tuple[int, Array | None, Array | None],
) -> Optimizer:
    """An optimizer with a state of its own, for copies and pickles.

    A subclass may have another constructor: that of the class with these hyperparameters is called.
    """
    n_steps, first_moment, second_moment = state
    optimizer = cls.__new__(cls)
    base: Any = next(base for base in cls.__mro__ if "_hyperparameters" in vars(base))
    base.__init__(optimizer, **arguments)
    _KERNEL["n_steps"].__set__(optimizer, check_n_steps(n_steps))
    _KERNEL["first_moment"].__set__(optimizer, as_moment(first_moment, "first_moment"))
    _KERNEL["second_moment"].__set__(optimizer, as_moment(second_moment, "second_moment"))
    return optimizer
