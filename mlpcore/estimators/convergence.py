# SPDX-License-Identifier: BSD-3-Clause
"""When scikit-learn's rules stop training, and how they change the learning rate meanwhile.

They are not those of `mlpcore.EarlyStopping`: an epoch counts as none that improves unless it beats
the best one by `tol`, but the best one moves with every smaller step too, and training stops after
one more epoch than `n_iter_no_change` says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..optimizer_base import Optimizer

if TYPE_CHECKING:
    from .._core import Array
    from ..callbacks import EpochState

# scikit-learn's, of an adaptive learning rate.
RATE_DIVISOR = 5.0
SMALLEST_RATE = 1e-6


@dataclass
class Curves:
    """What an estimator knows of its epochs; it goes on with each fit that continues."""

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_score: float = -math.inf
    n_samples_seen: int = 0
    epochs_without_improvement: int = 0


@dataclass
class Convergence:
    """A callback of `Trainer.fit`: keeps the curves, and stops by scikit-learn's rules.

    Parameters
    ----------
    curves : Curves
        Where the epochs are noted.
    n_samples : int
        Rows of an epoch.
    score_key : str or None
        Key of the validation score in the history; None without validation rows.
    is_judged_by_score : bool
        Whether the validation score decides; else the training loss.
    tol, n_iter_no_change, learning_rate, learning_rate_init, power_t, verbose
        Parameters of the estimator.
    scale, constant : float
        The loss that is noted is scale * loss + constant + penalty.
    alpha, l1 : float
        Penalties of the weights, each already divided by the rows of a batch.
    weights : list of numpy.ndarray
        Those of the net, each as one live vector.
    """

    curves: Curves
    n_samples: int
    score_key: str | None
    is_judged_by_score: bool
    tol: float
    n_iter_no_change: float
    learning_rate: str
    learning_rate_init: float
    power_t: float
    verbose: bool
    scale: float
    constant: float
    alpha: float
    l1: float
    weights: list[Array]
    has_converged: bool = False

    def __call__(self, state: EpochState) -> bool:
        """Note an epoch; True stops."""
        self.note(state.row)
        curves = self.curves
        if self.verbose:
            print(f"Iteration {len(curves.losses)}, loss = {curves.losses[-1]:.8f}")
        if self.verbose and self.score_key is not None:
            print(f"Validation score: {curves.scores[-1]:.6f}")
        if self.learning_rate == "invscaling":
            assert isinstance(state.optimizer, Optimizer)
            rate = self.learning_rate_init / (curves.n_samples_seen + 1) ** self.power_t
            state.optimizer.learning_rate = rate
        if curves.epochs_without_improvement <= self.n_iter_no_change:
            return False
        return self._stops(state)

    def note(self, row: dict[str, Any]) -> None:
        """Take an epoch into the curves, as a whole or not at all, wherever Ctrl-C comes."""
        curves, losses, scores = self.curves, self.curves.losses, self.curves.scores
        n_epochs, n_scores = len(losses), len(scores)
        loss = self.scale * row["loss"] + self.constant + self._penalty()
        new_scores = [] if self.score_key is None else [row[self.score_key]]
        if self.is_judged_by_score:
            is_worse = new_scores[0] < curves.best_score + self.tol
        else:
            is_worse = loss > curves.best_loss - self.tol
        curves_after = (
            curves.n_samples_seen + self.n_samples,
            curves.epochs_without_improvement + 1 if is_worse else 0,
            loss if loss < curves.best_loss else curves.best_loss,
            max([curves.best_score, *new_scores]),
        )
        # Nothing is called between the assignments.
        losses[n_epochs:], scores[n_scores:] = [loss], new_scores
        (
            curves.n_samples_seen,
            curves.epochs_without_improvement,
            curves.best_loss,
            curves.best_score,
        ) = curves_after

    def _penalty(self) -> float:
        """The penalties of the weights that the epoch has ended with."""
        total = 0.0
        for weight in self.weights:
            if self.alpha > 0.0:
                # Unlike @ it does not warn of an overflow: the next epoch says where it diverged.
                total += 0.5 * self.alpha * float(np.vdot(weight, weight))
            if self.l1 > 0.0:
                with np.errstate(over="ignore"):
                    total += self.l1 * float(np.abs(weight).sum())
        return total

    def _stops(self, state: EpochState) -> bool:
        """Patience is over: an adaptive learning rate is reduced first."""
        judged = "Validation score" if self.is_judged_by_score else "Training loss"
        message = (
            f"{judged} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} "
            "consecutive epochs."
        )
        optimizer = state.optimizer
        assert isinstance(optimizer, Optimizer)
        if self.learning_rate == "adaptive" and optimizer.learning_rate > SMALLEST_RATE:
            self.curves.epochs_without_improvement = 0
            optimizer.learning_rate /= RATE_DIVISOR
            if self.verbose:
                print(f"{message} Setting learning rate to {optimizer.learning_rate:f}")
            return False
        if self.verbose:
            print(f"{message} Stopping.")
        self.has_converged = True
        return True
