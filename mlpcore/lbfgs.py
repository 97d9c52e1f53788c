# SPDX-License-Identifier: BSD-3-Clause
"""L-BFGS: a quasi-Newton method, by way of SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import check_in_range, check_positive_int
from ._optional import library
from .full_batch import AfterIteration, FullBatchOptimizer, fixed

if TYPE_CHECKING:
    from ._core import Array
    from .full_batch_problem import FullBatchProblem
    from .losses import CallableLoss, Loss

# SciPy's default of `ftol`, and what it is of its customary tolerance of the gradient, 1e-4.
LARGEST_FTOL = 1e7 * float(np.finfo(np.float64).eps)
FTOL_PER_TOLERANCE = LARGEST_FTOL / 1e-4


class LBFGS(FullBatchOptimizer):
    """L-BFGS: the curvature from the latest changes of the gradient, and a line search.

    For `fit` alone, which gives it all rows at once: an epoch is one iteration, and `batch_size`,
    `schedule` and `dropout` are not for it. With parameters p, of them the weights w, it minimises
    loss + weight_decay / 2 * sum(p^2) + l2 / 2 * sum(w^2) with
    SciPy's ``L-BFGS-B`` without bounds [1]_. A fit ends before its epochs are over where
    `stop_reason` is one of

    ``"gradient"``
        No entry of the gradient is larger than `tolerance`.
    ``"loss"``
        An iteration lowered the loss by less than 2.2e-9 (if `tolerance` is below 1e-4: 2.2e-5 *
        `tolerance`) times the largest of it and 1.
    ``"max_evaluations"``
        The loss was computed so often.
    ``"line_search"``
        No lower loss was found along the direction, twice: what is left to gain is less than the
        rounding, or the gradient is not that of the loss.

    Parameters
    ----------
    history_size : int, default=10
        Changes of the gradient that are kept; at least 1.
    tolerance : float, default=1e-4
        The largest entry of a gradient that counts as zero; 0 or above. 0 goes on as long as the
        loss goes down.
    max_evaluations : int, default=15000
        How often a fit may compute the loss; the iteration that goes beyond is completed.
    weight_decay : float, default=0.0
        L2 penalty of all parameters; 0 or above. It is not part of the loss that is reported.
    l2 : float, default=0.0
        The same of the weights alone, which spares the biases.

    Raises
    ------
    ImportError
        If SciPy is not installed: ``pip install scipy``.
    ValueError, TypeError
        If an argument is out of its range or of a wrong kind.

    Notes
    -----
    A row of the history has ``epoch``, ``loss``, ``seconds`` and ``n_evaluations``, that of this
    iteration; its loss is that of the parameters which the iteration ends with. A fit that finds
    nothing to gain leaves one row.

    SciPy computes in ``float64`` and keeps some 2 * history_size + 9 vectors (P,) of it, also for a
    net in ``float32``, whose loss and gradient are still computed in ``float32``.

    What is known of the curvature ends with the call of `fit`. A next one, or a trainer from a
    file, starts without: two fits of 10 epochs are not one of 20. `Trainer.save` in a callback is
    therefore refused, and what a callback writes into the parameters does not last.

    References
    ----------
    .. [1] R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound constrained
       optimization", SIAM Journal on Scientific Computing 16 (1995), 1190-1208.

    Examples
    --------
    >>> import numpy as np
    >>> import mlpcore
    >>> x = np.linspace(-1, 1, 50)[:, np.newaxis]
    >>> net = mlpcore.MLP([1, 8, 1], "tanh", dtype="float64", seed=0)
    >>> lbfgs = mlpcore.LBFGS()
    >>> history = net.fit(x, np.sin(3 * x), loss="mse", optimizer=lbfgs, epochs=500)
    >>> history[-1]["loss"] < 1e-3, len(history) < 500, lbfgs.stop_reason in ("gradient", "loss")
    (True, True, True)
    """

    history_size: int = fixed("history_size", "Changes of the gradient that are kept.")
    tolerance: float = fixed("tolerance", "The largest entry of a gradient that counts as zero.")
    max_evaluations: int = fixed("max_evaluations", "How often a fit may compute the loss.")

    def __init__(
        self,
        history_size: int = 10,
        tolerance: float = 1e-4,
        max_evaluations: int = 15000,
        weight_decay: float = 0.0,
        *,
        l2: float = 0.0,
    ) -> None:
        library("scipy.optimize", "mlpcore.LBFGS")
        super().__init__(
            history_size=check_positive_int(history_size, "history_size"),
            tolerance=check_in_range(tolerance, "tolerance", 0.0),
            max_evaluations=check_positive_int(max_evaluations, "max_evaluations"),
            weight_decay=check_in_range(weight_decay, "weight_decay", 0.0),
            l2=check_in_range(l2, "l2", 0.0),
        )

    def _minimize(self, problem: FullBatchProblem, epochs: int, after: AfterIteration) -> None:
        with self._at_work():
            run = _Run(self, problem, after)
            self.n_evaluations, self.stop_reason = 0, None
            options = {
                "maxcor": self.history_size,
                "gtol": self.tolerance,
                "ftol": min(LARGEST_FTOL, FTOL_PER_TOLERANCE * self.tolerance),
                "maxfun": self.max_evaluations,
                "maxiter": epochs,
            }
            try:
                result = library("scipy.optimize", "mlpcore.LBFGS").minimize(
                    run.value_and_gradient,
                    problem.net.parameters.astype(np.float64),
                    jac=True,
                    method="L-BFGS-B",
                    callback=run.after_iteration,
                    options=options,
                )
            except _StopError:
                return
            if abs(result.jac).max() <= self.tolerance:
                self.stop_reason = "gradient"
            elif result.status == 0:
                self.stop_reason = "loss"
            elif result.status != 1:
                self.stop_reason = "line_search"
            elif result.nit < epochs:
                self.stop_reason = "max_evaluations"
            if result.nit == 0:  # the loss is that of the first evaluation, and of the net
                problem.move(problem.net.parameters)
                loss = problem.loss_here()
                self.n_evaluations = problem.n_evaluations
                after({"loss": loss, "n_evaluations": self.n_evaluations})

    def _check_loss(self, loss: Loss | CallableLoss) -> None:
        """Any loss will do."""

    def _check_dy_dx(self, dy_dx: Any) -> None:
        """Any derivatives will do."""

    def _check_idle(self) -> None:
        if self._busy:
            raise RuntimeError(
                "optimizer: LBFGS is at work, and what it knows of the curvature is in SciPy's "
                "hands until fit ends: reset, use and save it before or afterwards "
                "(mlpcore.save(net, path) keeps the net at any time)"
            )


class _StopError(Exception):
    """Ends SciPy's loop: to Python's StopIteration it gives a meaning of its own."""


class _Run:
    """One call of SciPy: what it computes, and what is to be done after an iteration."""

    def __init__(self, lbfgs: LBFGS, problem: FullBatchProblem, after: AfterIteration) -> None:
        self.lbfgs, self.problem, self.after = lbfgs, problem, after
        self.loss = 0.0  # of the latest evaluation
        self.n_before = 0  # evaluations, at the end of the iteration before

    def value_and_gradient(self, parameters: Array) -> tuple[float, Array]:
        problem = self.problem
        problem.move(parameters)
        self.loss, gradient = problem.loss_and_gradient_here()
        self.lbfgs.n_evaluations = problem.n_evaluations
        value = self.loss + problem.penalty_here()
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            problem.raise_not_finite("the penalty")
        wide = gradient.astype(np.float64, copy=False)
        problem.add_penalty_here(wide)
        return value, wide

    def after_iteration(self, parameters: Array) -> None:
        # An iteration ends with the evaluation that the line search accepts.
        self.problem.accept()
        n_evaluations = self.problem.n_evaluations - self.n_before
        self.n_before = self.problem.n_evaluations
        self.lbfgs.n_steps += 1
        try:
            stop = self.after({"loss": self.loss, "n_evaluations": n_evaluations})
        except StopIteration as error:  # SciPy would take it for the wish to stop
            raise RuntimeError("a callback raised StopIteration") from error
        if stop:
            raise _StopError
