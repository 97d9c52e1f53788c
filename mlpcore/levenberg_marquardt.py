# SPDX-License-Identifier: BSD-3-Clause
"""Levenberg-Marquardt: Gauss-Newton steps with a damping that follows how good they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _core
from ._checks import check_in_range, check_positive_int, received
from .full_batch import AfterIteration, FullBatchOptimizer, fixed
from .loss_base import Loss

if TYPE_CHECKING:
    from ._core import Array
    from .full_batch_problem import FullBatchProblem
    from .losses import CallableLoss

# Matrices (P, P) of float64 in memory at the same time: the normal equations, their factor, and
# LAPACK's copy of it.
N_MATRICES = 3

# How far along a step, on both sides, the change of J s is looked at; and what the second part of a
# step may be of the first.
PROBE, LONGEST_BEND = 0.1, 0.375


class LevenbergMarquardt(FullBatchOptimizer):
    """Levenberg-Marquardt: least squares by steps between Gauss-Newton's and a short gradient's.

    For `fit` alone, which gives it all rows at once, and for the loss ``mse`` alone: an epoch is
    one step that lowers the loss, and `batch_size`, `schedule` and `dropout` are not for it. With
    the Jacobian J of the outputs in the parameters p, of them the weights w, it minimises
    loss + weight_decay / 2 * sum(p^2) + l2 / 2 * sum(w^2), whose gradient is g and whose Hessian is
    close to H, 2 J^T J times the loss's factor plus weight_decay, and for weights plus l2 [1]_:

    step
        s from (H + mu I) s = -g, with mu = damping * max(diag H) before the first. It goes straight
        on where the outputs bend; so a is added, from (H + mu I) a = -h / 2, where h is g with the
        outputs' second derivative along s in the place of the residuals [2]_. An a that is longer
        than 3/8 of s is left out.
    gain
        Of what the quadratic model promises of s, (mu s^T s - s^T g) / 2, the part that the loss
        really goes down by.
    gain > 0
        The step is made, and mu = mu * max(1/3, 1 - (2 gain - 1)^3).
    else
        mu is multiplied by 2, then by 4, 8, ..., and the step tried anew.

    A fit ends before its epochs are over where `stop_reason` is one of

    ``"gradient"``
        No entry of g is larger than `tolerance`.
    ``"step"``
        No step that changes the parameters by more than the dtype's epsilon lowers the loss.

    Parameters
    ----------
    damping : float, default=1e-3
        The first mu, in terms of the largest entry on the diagonal of H; 0 or above. 0 begins with
        the step of Gauss and Newton, which solves a linear problem at once.
    tolerance : float, default=1e-8
        The largest entry of a gradient that counts as zero; 0 or above.
    max_memory : int, default=2**28
        Bytes that its matrices may take, see below.
    weight_decay : float, default=0.0
        L2 penalty of all parameters; 0 or above. It is not part of the loss that is reported.
    l2 : float, default=0.0
        The same of the weights alone, which spares the biases.

    Attributes
    ----------
    current_damping : float or None
        The mu of the next step; None before the first.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of a wrong kind; by `fit`, if the loss is no sum of
        squares, or `max_memory` too little for the net.

    Notes
    -----
    A step costs P^3 / 3 + N K P^2 multiply-adds, beside which a is next to nothing: it is for nets
    of up to a few thousand parameters.
    `max_memory` has to hold three matrices (P, P) of ``float64``; what is left of it is filled with
    rows of the Jacobian, one block of them after the other. J^T J is summed over the blocks in
    ``float64``, in their order, so that the bits do not depend on mlpcore's threads. The products
    and the Cholesky factor are NumPy's, with the threads and the bits of its BLAS.

    A row of the history has ``epoch``, ``loss``, ``seconds``, ``n_evaluations`` and ``damping``,
    the mu of the step that was made; its loss is that of the parameters which the step ends with. A
    fit that finds nothing to gain leaves one row, without a damping.

    The damping goes on from call to call, and into the file of a trainer: two fits of 10 epochs are
    one of 20. So it belongs to the net of its first step, until `reset`.

    References
    ----------
    .. [1] K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for non-linear least squares problems",
       2nd edition, Technical University of Denmark, 2004, algorithm 3.16; the rule for mu is
       H. B. Nielsen's, "Damping parameter in Marquardt's method", IMM-REP-1999-05.
    .. [2] M. K. Transtrum, J. P. Sethna, "Improvements to the Levenberg-Marquardt algorithm for
       nonlinear least-squares minimization", 2012, https://arxiv.org/abs/1201.5885: geodesic
       acceleration.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> net = mlpcore.MLP([1, 8, 1], "tanh", dtype="float64", seed=0)
    >>> history = net.fit(x, np.sin(3 * x), "mse", mlpcore.LevenbergMarquardt(), epochs=100)
    >>> history[-1]["loss"] < 1e-5
    True
    """

    _kept = ("current_damping",)

    damping: float = fixed("damping", "The first mu, in terms of the largest entry of diag H.")
    tolerance: float = fixed("tolerance", "The largest entry of a gradient that counts as zero.")
    max_memory: int = fixed("max_memory", "Bytes that its matrices may take.")

    def __init__(
        self,
        damping: float = 1e-3,
        tolerance: float = 1e-8,
        max_memory: int = 2**28,
        weight_decay: float = 0.0,
        *,
        l2: float = 0.0,
    ) -> None:
        super().__init__(
            damping=check_in_range(damping, "damping", 0.0),
            tolerance=check_in_range(tolerance, "tolerance", 0.0),
            max_memory=check_positive_int(max_memory, "max_memory"),
            weight_decay=check_in_range(weight_decay, "weight_decay", 0.0),
            l2=check_in_range(l2, "l2", 0.0),
        )

    def reset(self) -> None:
        """Forget the damping, and with it the net.

        Examples
        --------
        >>> import mlpcore
        >>> optimizer = mlpcore.LevenbergMarquardt()
        >>> optimizer.reset()
        >>> optimizer.n_steps
        0
        """
        super().reset()
        self.current_damping: float | None = None
        self._owner: Array | None = None

    def _minimize(self, problem: FullBatchProblem, epochs: int, after: AfterIteration) -> None:
        if self._owner is not None and self._owner is not problem.net.parameters:
            raise ValueError(
                "optimizer: its damping belongs to another net; give each net an optimizer of its "
                "own (copy.deepcopy(optimizer) goes on with a copy of the net), or call "
                "optimizer.reset()"
            )
        n_rows = self._block_rows(problem)
        for i in range(epochs):
            n_before = problem.n_evaluations
            # What overflows is found where it is looked at.
            with self._at_work(), np.errstate(over="ignore", invalid="ignore"):
                made = self._make_step(problem, n_rows)
                self.n_evaluations = problem.n_evaluations
            if self.stop_reason is None or i == 0:
                stop = after({**made, "n_evaluations": problem.n_evaluations - n_before})
            if self.stop_reason is not None or stop:
                return

    def _make_step(self, problem: FullBatchProblem, n_rows: int) -> dict[str, float]:
        """One step, or a reason to stop; the loss and the damping for the history."""
        self.stop_reason = None
        parameters = problem.net.parameters.astype(np.float64)
        problem.move(parameters)
        loss = problem.loss_here()
        value = loss + problem.penalty_here()
        if not np.isfinite(value):
            problem.raise_not_finite("the penalty")
        hessian, gradient = normal_equations(problem, n_rows)
        diagonal = hessian.diagonal().copy()
        if not (np.isfinite(gradient).all() and np.isfinite(diagonal).all()):
            problem.raise_not_finite("the square of the Jacobian")
        if abs(gradient).max() <= self.tolerance:
            self.stop_reason = "gradient"
            return {"loss": loss}
        mu, factor = self.current_damping, 2.0
        if mu is None:
            mu = self.damping * float(diagonal.max())
        epsilon = float(np.finfo(problem.net.dtype).eps)
        while True:
            lower = damped_factor(hessian, diagonal, mu)
            if lower is not None:
                step = solve_factored(lower, -gradient)
                length = float(np.linalg.norm(step))
                if length <= epsilon * (float(np.linalg.norm(parameters)) + epsilon):
                    self.stop_reason = "step"
                    return {"loss": loss}
                promised = 0.5 * (mu * length**2 - float(step @ gradient))
                bend = solve_factored(
                    lower, -0.5 * bend_gradient(problem, parameters, step, n_rows)
                )
                if np.linalg.norm(bend) <= LONGEST_BEND * length:  # a NaN is not
                    step += bend
                problem.move(parameters + step)
                new_loss = problem.loss_here()
                gain = (value - new_loss - problem.penalty_here()) / promised
                if gain > 0.0:
                    break
            # Without any damping there is nothing to multiply.
            mu = max(mu, np.finfo(np.float64).eps * float(diagonal.max())) * factor
            factor *= 2.0
        problem.accept()
        self._owner = problem.net.parameters
        self.current_damping = mu * max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
        self.n_steps += 1
        return {"loss": new_loss, "damping": mu}

    def _block_rows(self, problem: FullBatchProblem) -> int:
        """Rows of the Jacobian in memory at a time, of one output each."""
        n_parameters, dtype = problem.net.n_parameters, problem.net.dtype
        matrices = N_MATRICES * 8 * n_parameters**2
        row = n_parameters * (8 if dtype == np.float64 else 8 + dtype.itemsize)
        if matrices + row > self.max_memory:
            raise ValueError(
                f"optimizer: expected max_memory of at least {matrices + row} bytes for a net of "
                f"{n_parameters} parameters, got {self.max_memory}; LBFGS needs no matrices"
            )
        return min((self.max_memory - matrices) // row, len(problem.rows.x))

    def _check_loss(self, loss: Loss | CallableLoss) -> None:
        if not isinstance(loss, Loss) or loss.kind != _core.LOSSES["mse"]:
            raise ValueError(
                "loss: expected mse with LevenbergMarquardt, which needs a sum of squares, got "
                f"{loss!r}"
            )

    def _check_dy_dx(self, dy_dx: Any) -> None:
        if dy_dx is not None:
            raise ValueError(
                "dy_dx: expected None with LevenbergMarquardt, which has the outputs' Jacobian in "
                f"the parameters and not that of their derivatives, got {received(dy_dx)}"
            )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_owner": None}


class NormalEquations(NamedTuple):
    """What a step of Gauss and Newton is made of, of loss and penalty together."""

    hessian: Array  # (P, P), 2 J^T J times the loss's factor, plus the penalty's
    gradient: Array  # (P,)


def normal_equations(problem: FullBatchProblem, n_rows: int) -> NormalEquations:
    """Sum J^T J and J^T residual over blocks of so many rows, at the parameters that are tried."""
    net, (x, target, weight, _) = problem.moved, problem.rows
    n_parameters, n_outputs = net.n_parameters, net.sizes[-1]
    hessian, product = np.zeros((n_parameters, n_parameters)), np.empty((n_parameters,) * 2)
    gradient = np.zeros(n_parameters)
    jacobian = np.empty((n_rows, n_parameters), net.dtype)
    wide = jacobian if net.dtype == np.float64 else np.empty(jacobian.shape)
    for first in range(0, len(x), n_rows):
        block = slice(first, first + n_rows)
        n = len(x[block])
        residual = net.forward(x[block], n_threads=problem.n_threads).astype(np.float64)
        residual -= target[block]
        root = None if weight is None else np.sqrt(weight[block].astype(np.float64))
        for k in range(n_outputs):
            unit = np.zeros((n, n_outputs), net.dtype)
            unit[:, k] = 1.0
            net._per_sample_rows(x[block], unit, None, jacobian[:n], None, problem.n_threads)
            if wide is not jacobian:
                wide[:n] = jacobian[:n]
            column = residual[:, k]
            if root is not None:
                wide[:n] *= root[:, np.newaxis]
                column = column * root
            np.matmul(wide[:n].T, wide[:n], out=product)
            hessian += product
            gradient += wide[:n].T @ column
    factor = 2.0 * loss_factor(problem.loss, n_outputs, len(x), weight)
    hessian *= factor
    gradient *= factor
    problem.add_penalty_here(gradient, hessian)
    return NormalEquations(hessian, gradient)


def loss_factor(
    loss: Loss | CallableLoss, n_outputs: int, n_samples: int, weight: Array | None
) -> float:
    """What the weighted sum of all squares is multiplied with to be the loss."""
    assert isinstance(loss, Loss)  # _check_loss
    if loss.reduction == "sum":
        return 1.0
    total = float(n_samples) if weight is None else float(weight.sum(dtype=np.float64))
    return 1.0 / (total * n_outputs if loss.reduction == "mean" else total)


def bend_gradient(problem: FullBatchProblem, parameters: Array, step: Array, n_rows: int) -> Array:
    """The gradient (P,) with the outputs' second derivative along the step for the residuals.

    That derivative is the central difference of J s, which loses no more digits than J s has, where
    one of the outputs would lose those that they have before it.
    """
    net, (x, _, weight, _) = problem.moved, problem.rows
    direction = step.astype(net.dtype)
    gradient, of_block = np.zeros(net.n_parameters), np.empty_like(net.parameters)
    for first in range(0, len(x), n_rows):
        rows = x[first : first + n_rows]
        y_hat, after, before = np.empty((3, len(rows), net.sizes[-1]), net.dtype)
        for change, distance in ((after, PROBE), (before, -PROBE)):
            problem.move(parameters + distance * step)
            net._jvp_rows(rows, None, direction, y_hat, change, problem.n_threads)
        second = (after - before) / (2.0 * PROBE)
        if weight is not None:
            second *= weight[first : first + n_rows, np.newaxis]
        problem.move(parameters)
        net._vjp_rows(rows, second, of_block, None, problem.n_threads)
        gradient += of_block
    gradient *= 2.0 * loss_factor(problem.loss, net.sizes[-1], len(x), weight)
    return gradient


def damped_factor(hessian: Array, diagonal: Array, mu: float) -> Array | None:
    """The lower factor of hessian + mu I; None where that is not positive definite.

    The hessian's own diagonal is overwritten: `diagonal` is what it was.
    """
    hessian.flat[:: len(hessian) + 1] = diagonal + mu
    try:
        return np.linalg.cholesky(hessian)
    except np.linalg.LinAlgError:
        return None


def solve_factored(lower: Array, right: Array) -> Array:
    """The x with lower lower^T x = right."""
    x = right.copy()
    _core.solve_factored(lower, x)
    return x
