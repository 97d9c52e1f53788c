# SPDX-License-Identifier: BSD-3-Clause
"""One fit: rows are parted, a trainer is made or goes on, and scikit-learn's attributes are set."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import EarlyStopping
from ..full_batch import FullBatchOptimizer
from ..held_out import drawn_rows
from ..sparse_rows import SparseRows
from ..trainer import Trainer
from ..training import memory_of, remember, spread_schedule
from ..training_state import TrainingState
from .convergence import Convergence
from .foundation import ConvergenceWarning
from .settings import OF_THE_TRAINER, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core import Array
    from ..losses import CallableLoss, Loss
    from ..mlp import MLP
    from .base import BaseMLP
    from .inputs import Rows

# Keeps the weights with the best score, and leaves it to `Convergence` to stop.
KEEP_BEST = EarlyStopping(sys.maxsize, monitor="validation_score", maximize=True)

# scikit-learn's size of an automatic mini-batch.
AUTO_BATCH_SIZE = 200

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class Objective(NamedTuple):
    """What is minimised, and how ``loss_curve_`` tells it: scale * loss + constant + penalty."""

    loss: Loss | CallableLoss | Callable[..., Any]
    scale: float = 1.0
    constant: float = 0.0


class Data(NamedTuple):
    """Rows that are learnt or judged."""

    rows: Rows  # (N, D)
    target: Array  # (N, K), or int64 classes (N,)
    weight: Array | None  # (N,)

    def part(self, chosen: Array) -> Data:
        """Some of the rows."""
        weight = None if self.weight is None else self.weight[chosen]
        return Data(self.rows[chosen], self.target[chosen], weight)


class Fit(NamedTuple):
    """What one fit is made of."""

    learnt: Data
    judged: Data | None
    objective: Objective
    is_partial: bool  # one epoch, of a partial_fit
    batch_size: int
    batch_weight: float  # of the mean batch


def part_rows(data: Data, share: float, seed: int) -> tuple[Data, Data]:
    """The rows to learn, and the share that is held out: of each class alike, of single labels."""
    n_rows = len(data.target)
    strata = data.target if data.target.ndim == 1 else np.zeros(n_rows, np.int64)
    held_out = drawn_rows(int(np.ceil(share * n_rows)), strata, seed)
    learnt = np.delete(np.arange(n_rows), held_out)
    if len(held_out) < 2 or len(learnt) < 1:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            f"dataset (n_samples = {n_rows})."
        )
    return data.part(learnt), data.part(held_out)


def as_fit(
    estimator: BaseMLP, learnt: Data, judged: Data | None, objective: Objective, is_partial: bool
) -> Fit:
    """Return a fit of these rows, with the size of its batches and what a mean one weighs."""
    n_rows = len(learnt.target)
    batch_size = min(AUTO_BATCH_SIZE, n_rows)
    if estimator.solver == "lbfgs":
        batch_size = n_rows
    elif not isinstance(estimator.batch_size, str):
        batch_size = int(min(estimator.batch_size, n_rows))
        if batch_size < estimator.batch_size:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be "
                "clipped",
                stacklevel=5,
            )
    # scikit-learn divides its penalties by the weights of the very batch; here it is the mean
    # batch, which differs for the last one of an epoch and where batches weigh differently.
    mean_weight = 1.0 if learnt.weight is None else float(learnt.weight.mean(dtype=np.float64))
    if mean_weight == 0.0:
        raise ValueError(
            "Sample weights must contain at least one non-zero number: those of the rows that are "
            f"learnt, times the weights of their classes, are all 0 in {learnt.rows.dtype}."
        )
    return Fit(learnt, judged, objective, is_partial, batch_size, batch_size * mean_weight)


def make_trainer(
    estimator: BaseMLP, net: MLP, fit: Fit, seed: int, former: Trainer | None
) -> Trainer:
    """The `former` trainer with its state, unless something that it was made with has changed."""
    settings = {name: getattr(estimator, name) for name in OF_THE_TRAINER}
    settings["dropout"] = np.ravel(estimator.dropout).tolist()  # an array has no truth
    l2, l1 = estimator.alpha / fit.batch_weight, estimator.l1 / fit.batch_weight
    trainer = former
    if (
        former is None
        or settings != estimator._trainer_settings
        or isinstance(former.optimizer, FullBatchOptimizer)
    ):
        trainer = Trainer(
            net,
            fit.objective.loss,
            make_optimizer(estimator, l2, None if former is None else former.optimizer),
            schedule=estimator.schedule,
            dropout=estimator.dropout,
            shuffle=bool(estimator.shuffle),
            seed=seed,
            n_threads=estimator.n_threads,
        )
        spread_schedule(trainer, estimator.max_iter)  # partial_fit makes one epoch at a time
        if former is not None:
            state, history = TrainingState(former.n_epochs), former.history
            remember(trainer, memory_of(trainer)._replace(state=state, history=history))
        estimator._trainer_settings = settings
    assert trainer is not None
    if not isinstance(trainer.optimizer, FullBatchOptimizer):
        trainer.batch_size = fit.batch_size
        trainer.optimizer.l2, trainer.optimizer.l1 = l2, l1
    if isinstance(fit.learnt.rows, SparseRows):
        fit.learnt.rows.batch_size = fit.batch_size
    return trainer


def train(estimator: BaseMLP, trainer: Trainer, fit: Fit) -> None:
    """Train, and set scikit-learn's attributes."""
    learnt, judged, is_lbfgs = fit.learnt, fit.judged, estimator.solver == "lbfgs"
    former = estimator._curves
    # A copy: should this fit fail, the former ones stay what they are.
    curves = replace(former, losses=[*former.losses], scores=[*former.scores])
    convergence = Convergence(
        curves,
        n_samples=len(learnt.target),
        score_key=None if judged is None else "validation_score",
        is_judged_by_score=bool(estimator.early_stopping) and not is_lbfgs,
        tol=estimator.tol,
        n_iter_no_change=np.inf if is_lbfgs else estimator.n_iter_no_change,
        learning_rate=estimator.learning_rate if estimator.solver == "sgd" else "constant",
        learning_rate_init=estimator.learning_rate_init,
        power_t=estimator.power_t,
        verbose=bool(estimator.verbose),
        scale=fit.objective.scale,
        constant=fit.objective.constant,
        alpha=estimator.alpha / fit.batch_weight,
        l1=estimator.l1 / fit.batch_weight,
        weights=[weight.T.ravel() for weight in trainer.net.weights],  # as they lie in memory
    )
    n_before, is_interrupted = trainer.n_epochs, False
    try:
        trainer.fit(
            learnt.rows,  # type: ignore[arg-type]  # sparse ones are known to trainers alone
            learnt.target,
            sample_weight=learnt.weight,
            epochs=1 if fit.is_partial else estimator.max_iter,
            validation=None if judged is None else (judged.rows, judged.target),  # type: ignore[arg-type]
            metrics={} if judged is None else {"score": _score(estimator, judged)},
            early_stopping=KEEP_BEST if convergence.is_judged_by_score else None,
            callbacks=[convergence, *estimator.callbacks],
        )
    except KeyboardInterrupt:
        is_interrupted = True
        if trainer.n_epochs - n_before > len(curves.losses) - len(former.losses):
            convergence.note(trainer.history[-1])  # it came before the callback, or within
    except FloatingPointError as error:
        raise ValueError(f"{NOT_FINITE} ({error})") from error
    if convergence.has_converged:
        curves.epochs_without_improvement = 0  # for a fit that goes on
    estimator._curves, estimator._trainer = curves, trainer
    estimator.net_, estimator.history_ = trainer.net, trainer.history
    estimator.n_iter_ = trainer.n_epochs - n_before
    estimator.t_ = curves.n_samples_seen
    estimator.loss_curve_ = curves.losses
    estimator.loss_ = curves.losses[-1] if curves.losses else np.inf
    estimator.best_loss_ = None if convergence.is_judged_by_score else curves.best_loss
    estimator.validation_scores_ = None if judged is None else curves.scores
    estimator.best_validation_score_ = None if judged is None else curves.best_score
    if is_interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not convergence.has_converged and not fit.is_partial:
        _warn(estimator, trainer)


def _score(estimator: BaseMLP, judged: Data) -> Callable[[Array, Array], float]:
    return lambda y_hat, target: estimator._score_of(y_hat, target, judged.weight)


def _warn(estimator: BaseMLP, trainer: Trainer) -> None:
    """Say that training has not come to rest, where it was to."""
    optimizer = trainer.optimizer
    if isinstance(optimizer, FullBatchOptimizer):
        if optimizer.stop_reason not in ("gradient", "loss"):
            reason = optimizer.stop_reason or f"max_iter={estimator.max_iter} is reached"
            warnings.warn(
                f"lbfgs failed to converge after {estimator.n_iter_} iteration(s): {reason}",
                ConvergenceWarning,
                stacklevel=6,
            )
    elif estimator.n_iter_ == estimator.max_iter:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=6,
        )
