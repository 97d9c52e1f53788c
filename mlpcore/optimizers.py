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

from .optimizer_base import PENALTIES, Optimizer

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]


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
    _hyperparameters = ("learning_rate", "momentum", "nesterov", "weight_decay", *PENALTIES)

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
        super().__init__("sgd", learning_rate, weight_decay, l1, l2, clip_norm)
        self._fix(momentum=momentum, nesterov=nesterov)


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
    _hyperparameters = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay", *PENALTIES)
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
        super().__init__(self._kind, learning_rate, weight_decay, l1, l2, clip_norm)
        self._fix(beta1=beta1, beta2=beta2, epsilon=epsilon)


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
    _hyperparameters = ("learning_rate", "beta2", "epsilon", "weight_decay", "momentum", *PENALTIES)

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
        super().__init__("rmsprop", learning_rate, weight_decay, l1, l2, clip_norm)
        self._fix(beta2=beta2, epsilon=epsilon, momentum=momentum)
