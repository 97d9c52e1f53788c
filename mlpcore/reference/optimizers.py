# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers as pure functions: old parameters, gradients and state in, new ones out.

The state is a dictionary, empty before the first step.  The update rules and their defaults are
PyTorch's (https://pytorch.org/docs/stable/optim.html).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import Array

State = dict[str, Any]


def sgd_step(
    parameters: ArrayLike,
    gradients: ArrayLike,
    state: State,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[Array, State]:
    """One step of stochastic gradient descent.

    Parameters
    ----------
    parameters, gradients : array_like of shape (P,)
        Where the net is, and the loss's gradient there.
    state : dict
        What the step before returned; ``{}`` at first.
    learning_rate : float
        Length of a step.
    momentum : float
        Share of the buffer of past gradients that is kept.
    weight_decay : float
        L2 penalty: this times the parameters is added to the gradients.
    nesterov : bool
        Whether the step looks ahead along the buffer.

    Returns
    -------
    parameters : numpy.ndarray of shape (P,)
        The new ones.
    state : dict
        ``momentum_buffer``, if there is momentum.

    Notes
    -----
    buffer = momentum * buffer + gradient, without damping; the first buffer is the first gradient.

    Examples
    --------
    >>> sgd_step([1.0], [0.5], {}, learning_rate=0.1)
    (array([0.95]), {})
    """
    theta = np.asarray(parameters, dtype=np.float64)
    gradient = np.asarray(gradients, dtype=np.float64) + weight_decay * theta
    if momentum == 0.0:
        return theta - learning_rate * gradient, {}
    # Before the first step there is no buffer, and 0 stands for it.
    buffer = momentum * state.get("momentum_buffer", 0.0) + gradient
    direction = gradient + momentum * buffer if nesterov else buffer
    return theta - learning_rate * direction, {"momentum_buffer": buffer}


def adam_step(
    parameters: ArrayLike,
    gradients: ArrayLike,
    state: State,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, State]:
    """One step of Adam (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Parameters
    ----------
    parameters, gradients : array_like of shape (P,)
        Where the net is, and the loss's gradient there.
    state : dict
        What the step before returned; ``{}`` at first.
    learning_rate : float
        Length of a step.
    beta1, beta2 : float
        Share of the first and second moment that is kept.
    epsilon : float
        Added to the square root of the second moment.
    weight_decay : float
        L2 penalty: this times the parameters is added to the gradients.

    Returns
    -------
    parameters : numpy.ndarray of shape (P,)
        The new ones.
    state : dict
        ``step`` (count of steps), ``first_moment`` and ``second_moment``.

    Examples
    --------
    >>> adam_step([1.0], [0.5], {}, learning_rate=0.1, epsilon=0.0)[0]
    array([0.9])
    """
    theta = np.asarray(parameters, dtype=np.float64)
    gradient = np.asarray(gradients, dtype=np.float64) + weight_decay * theta
    step = state.get("step", 0) + 1
    first_moment = beta1 * state.get("first_moment", 0.0) + (1.0 - beta1) * gradient
    second_moment = beta2 * state.get("second_moment", 0.0) + (1.0 - beta2) * gradient**2
    # The moments start at 0; dividing by 1 - beta^step takes that bias out.
    first_unbiased = first_moment / (1.0 - beta1**step)
    second_unbiased = second_moment / (1.0 - beta2**step)
    theta = theta - learning_rate * first_unbiased / (np.sqrt(second_unbiased) + epsilon)
    return theta, {"step": step, "first_moment": first_moment, "second_moment": second_moment}


def adamw_step(
    parameters: ArrayLike,
    gradients: ArrayLike,
    state: State,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 1e-2,
) -> tuple[Array, State]:
    """One step of AdamW (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101).

    Parameters
    ----------
    parameters, gradients, state, learning_rate, beta1, beta2, epsilon
        As for `adam_step`.
    weight_decay : float
        The parameters lose their learning_rate * weight_decay part first, unseen by the moments.

    Returns
    -------
    parameters, state
        As for `adam_step`.

    Examples
    --------
    >>> adamw_step([1.0], [0.5], {}, learning_rate=0.1, epsilon=0.0, weight_decay=1.0)[0]
    array([0.8])
    """
    decayed = (1.0 - learning_rate * weight_decay) * np.asarray(parameters, dtype=np.float64)
    return adam_step(decayed, gradients, state, learning_rate, beta1, beta2, epsilon)


def rmsprop_step(
    parameters: ArrayLike,
    gradients: ArrayLike,
    state: State,
    learning_rate: float = 1e-2,
    beta2: float = 0.99,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> tuple[Array, State]:
    """One step of RMSprop (Tieleman and Hinton, 2012), with PyTorch's places of epsilon, momentum.

    Parameters
    ----------
    parameters, gradients : array_like of shape (P,)
        Where the net is, and the loss's gradient there.
    state : dict
        What the step before returned; ``{}`` at first.
    learning_rate : float
        Length of a step.
    beta2 : float
        Share of the second moment that is kept.
    epsilon : float
        Added to the square root of the second moment.
    weight_decay : float
        L2 penalty: this times the parameters is added to the gradients.
    momentum : float
        Share of the buffer of past steps that is kept.

    Returns
    -------
    parameters : numpy.ndarray of shape (P,)
        The new ones.
    state : dict
        ``second_moment`` and, if there is momentum, ``momentum_buffer``.

    Examples
    --------
    >>> rmsprop_step([1.0], [0.5], {}, learning_rate=0.1, beta2=0.75, epsilon=0.0)[0]
    array([0.8])
    """
    theta = np.asarray(parameters, dtype=np.float64)
    gradient = np.asarray(gradients, dtype=np.float64) + weight_decay * theta
    second_moment = beta2 * state.get("second_moment", 0.0) + (1.0 - beta2) * gradient**2
    buffer = momentum * state.get("momentum_buffer", 0.0)
    buffer = buffer + gradient / (np.sqrt(second_moment) + epsilon)
    state = {"second_moment": second_moment, "momentum_buffer": buffer}
    return theta - learning_rate * buffer, state


def levenberg_marquardt_step(
    function: Callable[[Array], tuple[Array, Array]],
    parameters: ArrayLike,
    state: State,
    damping: float = 1e-3,
) -> tuple[Array, State]:
    """One step of Levenberg and Marquardt that lowers sum(residuals^2), or none.

    Parameters
    ----------
    function : callable
        ``function(parameters) -> (residuals (M,), jacobian (M, P))``. A weight of a residual, and
        a factor of the sum, are their square roots here; a penalty is P residuals more.
    parameters : array_like of shape (P,)
        Where the step begins.
    state : dict
        What the step before returned; ``{}`` at first.
    damping : float, default 1e-3
        The first mu, in terms of the largest diagonal entry of 2 J^T J.

    Returns
    -------
    parameters : numpy.ndarray of shape (P,)
        The given ones, if no step longer than the rounding lowers the sum.
    state : dict
        ``mu``, that of the next step.

    Notes
    -----
    Madsen, Nielsen, Tingleff, "Methods for non-linear least squares problems", 2004, algorithm
    3.16. With H = 2 J^T J and g = 2 J^T residuals, (H + mu I) s = -g, and the model
    g^T s + s^T H s / 2 of the change is then -(mu s^T s - g^T s) / 2. Transtrum, Sethna,
    "Improvements to the Levenberg-Marquardt algorithm", 2012, https://arxiv.org/abs/1201.5885: to s
    is added half the solution of (H + mu I) a = -2 J^T r'', where r'' is the residuals' second
    derivative along s, if that is at most 3/8 of the length of s.

    Examples
    --------
    >>> def line(p):
    ...     return np.array([p[0] - 1.0, 2.0 * p[0] - 2.0]), np.array([[1.0], [2.0]])
    >>> levenberg_marquardt_step(line, [5.0], {}, damping=0.0)
    (array([1.]), {'mu': 0.0})
    """
    theta = np.asarray(parameters, dtype=np.float64)
    residuals, jacobian = function(theta)
    before = residuals @ residuals
    hessian, gradient = 2.0 * jacobian.T @ jacobian, 2.0 * jacobian.T @ residuals
    largest, epsilon = hessian.diagonal().max(), np.finfo(np.float64).eps
    mu, factor = float(state.get("mu", damping * largest)), 2.0
    while True:
        step = np.linalg.solve(hessian + mu * np.eye(theta.size), -gradient)
        if np.linalg.norm(step) <= epsilon * (np.linalg.norm(theta) + epsilon):
            return theta, state
        promised = 0.5 * (mu * step @ step - gradient @ step)
        change = (function(theta + 0.1 * step)[1] - function(theta - 0.1 * step)[1]) @ step / 0.2
        bend = 0.5 * np.linalg.solve(hessian + mu * np.eye(theta.size), -2.0 * jacobian.T @ change)
        if np.linalg.norm(bend) <= 0.375 * np.linalg.norm(step):
            step = step + bend
        moved = function(theta + step)[0]
        gain = (before - moved @ moved) / promised
        if gain > 0.0:
            mu *= max(1.0 / 3.0, 1.0 - (2.0 * float(gain) - 1.0) ** 3)
            return theta + step, {"mu": mu}
        # Without any damping there is nothing to multiply.
        mu, factor = float(max(mu, epsilon * largest)) * factor, 2.0 * factor


def adjusted_gradients(
    parameters: ArrayLike,
    gradients: ArrayLike,
    is_weight: ArrayLike,
    l1: float = 0.0,
    l2: float = 0.0,
    clip_norm: float | None = None,
) -> Array:
    """What every optimizer makes of gradients before its rule.

    Parameters
    ----------
    parameters, gradients : array_like of shape (P,)
        Where the net is, and the loss's gradient there.
    is_weight : array_like of bool, shape (P,)
        False for the biases.
    l1 : float
        Penalty on the absolute values of the weights: this times their sign is added.
    l2 : float
        Penalty on half the squares of the weights: this times the weight is added.
    clip_norm : float, optional
        Gradients that are longer are scaled to this length, before the penalties are added.

    Returns
    -------
    numpy.ndarray of shape (P,)
        What takes the gradients' place in the rule.

    Examples
    --------
    >>> adjusted_gradients([1.0, -1.0], [3.0, 4.0], [True, False], l1=0.5, clip_norm=1.0)
    array([1.1, 0.8])
    """
    theta, gradient = np.asarray(parameters, np.float64), np.asarray(gradients, np.float64)
    norm = np.linalg.norm(gradient)
    if clip_norm is not None and norm > clip_norm:
        gradient = gradient * (clip_norm / norm)
    return np.asarray(gradient + np.where(is_weight, l1 * np.sign(theta) + l2 * theta, 0.0))
