# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers: rules that turn gradients g into an update of the parameters p.

Before its rule, every optimizer does the same to the gradients: with `clip_norm`, where the norm
of all of them together is above it, they are scaled to that norm; then, with `l1`, l1 times the
sign of each weight is added, 0 for a weight of 0, and with `l2` l2 times the weight; nothing for a
bias. So g below is what this leaves, and no penalty is part of the loss that training reports.
`weight_decay` draws on all parameters, biases too, as in PyTorch; `l2` is the gradient of
l2 / 2 sum w^2, which spares them.

An optimizer keeps its state, a step count and moments, from step to step. It belongs to the net
that it updated first, until `reset`; a copy, or what a pickle brings back, belongs to the net that
it updates next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._attributes import added_attributes, restore_attributes
from ._checks import check_in_range, check_momentum, check_n_steps
from ._validation import as_moment, as_network, as_optimizer
from .trace import as_gradients

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array
    from .mlp import MLP
    from .trace import Gradients

# The core's attributes; the classes below show them with checks.
_KERNEL = vars(_core.OptimizerKernel)


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
    # Of the core's rules, each class below names those that it has; on the others they are fixed.
    momentum: float = _fixed("momentum", "Share of the velocity that is kept.")
    nesterov: bool = _fixed("nesterov", "Whether to look ahead along the velocity.")
    beta1: float = _fixed("beta1", "Share of the first moment that is kept.")
    beta2: float = _fixed("beta2", "Share of the second moment that is kept.")
    epsilon: float = _fixed("epsilon", "Keeps the denominator from zero.")

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
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items())
        return f"{type(self).__name__}({arguments})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    With d = g + weight_decay * p and the velocity v = momentum * v + d, the update is
    p = p - learning_rate * v; with `nesterov` it is p - learning_rate * (d + momentum * v) [1]_.

    Parameters
    ----------
    learning_rate : float, default=0.01
        Length of a step; above 0.
    momentum : float, default=0.0
        Share of the velocity that is kept, in [0, 1).
    nesterov : bool, default=False
        Whether to look ahead along the velocity; needs a momentum above 0.
    weight_decay : float, default=0.0
        L2 penalty, added to the gradient; 0 or above.
    l1 : float, default=0.0
        L1 penalty of the weights, added to the gradient; 0 or above.
    l2 : float, default=0.0
        L2 penalty of the weights alone, added to the gradient; 0 or above.
    clip_norm : float, optional
        The longest gradient; above 0.

    References
    ----------
    .. [1] I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
       momentum in deep learning", ICML 2013. The learning rate stands outside the velocity, as in
       PyTorch.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([1, 1], init="zeros")
    >>> sgd = mlpcore.SGD(0.5, momentum=0.5)
    >>> for _ in range(2):
    ...     sgd.step(net, [1.0, 0.0])
    >>> net.parameters
    array([-1.25,  0.  ], dtype=float32)
    """

    __slots__ = ()
    _hyperparameters = (
        "learning_rate",
        "momentum",
        "nesterov",
        "weight_decay",
        "l1",
        "l2",
        "clip_norm",
    )

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__("sgd")
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.l1 = l1
        self.l2 = l2
        self.clip_norm = clip_norm
        checked_momentum, checked_nesterov = check_momentum(momentum, nesterov)
        _KERNEL["momentum"].__set__(self, checked_momentum)
        _KERNEL["nesterov"].__set__(self, checked_nesterov)


class Adam(Optimizer):
    """Adam: steps scaled by running moments of the gradient.

    With d = g + weight_decay * p and t counting from 1, m = beta1 * m + (1 - beta1) * d and
    v = beta2 * v + (1 - beta2) * d^2, the update is
    p = p - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) [1]_.

    Parameters
    ----------
    learning_rate : float, default=0.001
        Length of a step; above 0.
    beta1, beta2 : float, default=0.9 and 0.999
        Shares of the first and of the second moment that are kept, in [0, 1).
    epsilon : float, default=1e-8
        Keeps the denominator from zero; above 0.
    weight_decay : float, default=0.0
        L2 penalty, added to the gradient; 0 or above. See `AdamW` for decay apart from it.
    l1 : float, default=0.0
        L1 penalty of the weights, added to the gradient; 0 or above.
    l2 : float, default=0.0
        L2 penalty of the weights alone, added to the gradient; 0 or above.
    clip_norm : float, optional
        The longest gradient; above 0.

    References
    ----------
    .. [1] D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([1, 1], init="zeros")
    >>> mlpcore.Adam(0.5).step(net, [100.0, -0.01])
    >>> net.parameters.round(3)
    array([-0.5,  0.5], dtype=float32)
    """

    __slots__ = ()
    _hyperparameters = (
        "learning_rate",
        "beta1",
        "beta2",
        "epsilon",
        "weight_decay",
        "l1",
        "l2",
        "clip_norm",
    )
    _kind = "adam"

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(self._kind)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.l1 = l1
        self.l2 = l2
        self.clip_norm = clip_norm
        _KERNEL["beta1"].__set__(self, check_in_range(beta1, "beta1", 0.0, 1.0))
        _KERNEL["beta2"].__set__(self, check_in_range(beta2, "beta2", 0.0, 1.0))
        epsilon = check_in_range(epsilon, "epsilon", 0.0, include_low=False)
        _KERNEL["epsilon"].__set__(self, epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay.

    As `Adam` with d = g, and each step begins with p = p - learning_rate * weight_decay * p [1]_.

    Parameters
    ----------
    learning_rate : float, default=0.001
        Length of a step; above 0.
    beta1, beta2 : float, default=0.9 and 0.999
        Shares of the first and of the second moment that are kept, in [0, 1).
    epsilon : float, default=1e-8
        Keeps the denominator from zero; above 0.
    weight_decay : float, default=0.01
        Share of the parameters that a step of length 1 takes away; 0 or above.
    l1 : float, default=0.0
        L1 penalty of the weights, added to the gradient; 0 or above.
    l2 : float, default=0.0
        L2 penalty of the weights alone, added to the gradient; 0 or above.
    clip_norm : float, optional
        The longest gradient; above 0.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019. The decay
       is scaled by the learning rate, as in PyTorch.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([1, 1], init="zeros")
    >>> net.parameters[:] = 2.0
    >>> mlpcore.AdamW(0.5, weight_decay=0.5).step(net, [0.0, 0.0])
    >>> net.parameters
    array([1.5, 1.5], dtype=float32)
    """

    __slots__ = ()
    _kind = "adamw"

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta1, beta2, epsilon, weight_decay, l1=l1, l2=l2, clip_norm=clip_norm
        )


class RMSprop(Optimizer):
    """RMSprop: steps scaled by a running mean of the squared gradient.

    With d = g + weight_decay * p and v = beta2 * v + (1 - beta2) * d^2, the velocity is
    b = momentum * b + d / (sqrt(v) + epsilon), and the update p = p - learning_rate * b [1]_.

    Parameters
    ----------
    learning_rate : float, default=0.01
        Length of a step; above 0.
    beta2 : float, default=0.99
        Share of the second moment that is kept, in [0, 1); PyTorch calls it alpha.
    epsilon : float, default=1e-8
        Keeps the denominator from zero; above 0.
    weight_decay : float, default=0.0
        L2 penalty, added to the gradient; 0 or above.
    momentum : float, default=0.0
        Share of the velocity that is kept, in [0, 1).
    l1 : float, default=0.0
        L1 penalty of the weights, added to the gradient; 0 or above.
    l2 : float, default=0.0
        L2 penalty of the weights alone, added to the gradient; 0 or above.
    clip_norm : float, optional
        The longest gradient; above 0.

    References
    ----------
    .. [1] T. Tieleman, G. Hinton, "Lecture 6.5 - RMSProp", COURSERA: Neural Networks for Machine
       Learning, 2012. The places of epsilon and of the momentum are PyTorch's.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([1, 1], init="zeros")
    >>> mlpcore.RMSprop(0.5, beta2=0.75).step(net, [100.0, -0.01])
    >>> net.parameters.round(3)
    array([-1.,  1.], dtype=float32)
    """

    __slots__ = ()
    _hyperparameters = (
        "learning_rate",
        "beta2",
        "epsilon",
        "weight_decay",
        "momentum",
        "l1",
        "l2",
        "clip_norm",
    )

    def __init__(
        self,
        learning_rate: float = 0.01,
        beta2: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__("rmsprop")
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.l1 = l1
        self.l2 = l2
        self.clip_norm = clip_norm
        _KERNEL["beta2"].__set__(self, check_in_range(beta2, "beta2", 0.0, 1.0))
        epsilon = check_in_range(epsilon, "epsilon", 0.0, include_low=False)
        _KERNEL["epsilon"].__set__(self, epsilon)
        _KERNEL["momentum"].__set__(self, check_momentum(momentum, False)[0])


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
