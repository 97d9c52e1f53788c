# SPDX-License-Identifier: BSD-3-Clause
"""Losses: classes, and the names by which every function that takes a loss knows them.

======================  =============================================================
name                    term of one output, r = y_hat - y
======================  =============================================================
``mse``                 r^2
``l1``                  abs(r)
``huber``               r^2 / 2 up to abs(r) = delta, then delta (abs(r) - delta / 2)
``log_cosh``            log(cosh(r))
``quantile``            q (y - y_hat) where y > y_hat, else (1 - q) (y_hat - y)
``bce``                 -y log(y_hat) - (1 - y) log(1 - y_hat)
``bce_with_logits``     the same of y_hat = sigmoid(z)
``cross_entropy``       -y log(p), one term a sample: the sum over the outputs
``poisson``             exp(z) - y z of the log-rate z
======================  =============================================================

The terms become a loss by the `reduction`, here with the sample weights w (1 if not given):

``"mean"``
    sum_i w_i term_i / (K sum_i w_i); for ``cross_entropy``, whose term is one a sample, without K
``"batch_mean"``
    sum_i w_i term_i / sum_i w_i
``"sum"``
    sum_i w_i term_i

An instance computes in float32 if the predictions are float32, and otherwise in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _core
from ._checks import check_bool, check_choice, check_in_range, received
from .callable_loss import CallableLoss
from .loss_base import Loss

if TYPE_CHECKING:
    from .mlp import MLP

_PROBABILITIES = ("sigmoid", "softmax")

__all__ = [
    "BCE",
    "L1",
    "MSE",
    "NAMED",
    "BCEWithLogits",
    "CallableLoss",
    "CrossEntropy",
    "Huber",
    "LogCosh",
    "Loss",
    "Poisson",
    "Quantile",
]


class MSE(Loss):
    """Mean squared error: terms (y_hat - y)^2, without a factor 1/2.

    Parameters
    ----------
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.losses.MSE()([[1.0, 3.0]], [[0.0, 0.0]])
    5.0
    """

    __slots__ = ()
    name = "mse"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__("mse", 0.0, reduction=reduction)


class L1(Loss):
    """Absolute error: terms abs(y_hat - y); the gradient at the kink is 0.

    Parameters
    ----------
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.losses.L1()([[1.0, -3.0]], [[0.0, 0.0]])
    2.0
    """

    __slots__ = ()
    name = "l1"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__("l1", 0.0, reduction=reduction)


class Huber(Loss):
    """Huber's loss: quadratic for errors up to `delta`, linear beyond.

    The terms are r^2 / 2 where r = abs(y_hat - y) <= delta, else delta (r - delta / 2) [1]_.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss turns linear; above 0.
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical
       Statistics 35 (1964), 73-101.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.losses.Huber(delta=1.0, reduction="sum")([[1.0, -3.0]], [[0.0, 0.0]])
    3.0
    """

    __slots__ = ()
    name = "huber"

    def __init__(self, delta: float = 1.0, reduction: str = "mean") -> None:
        delta = check_in_range(delta, "delta", 0.0, include_low=False)
        super().__init__("huber", delta, delta=delta, reduction=reduction)

    @property
    def delta(self) -> float:
        """Where the loss turns linear."""
        return self.parameter


class LogCosh(Loss):
    """Terms log(cosh(y_hat - y)): r^2 / 2 for a small error r, abs(r) - log(2) for a large one.

    Parameters
    ----------
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    Examples
    --------
    >>> import mlpcore
    >>> round(mlpcore.losses.LogCosh()([[100.0]], [[0.0]]), 3)
    99.307
    """

    __slots__ = ()
    name = "log_cosh"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__("log_cosh", 0.0, reduction=reduction)


class Quantile(Loss):
    """Pinball loss, least where y_hat is the `q`-quantile of y.

    The terms are q (y - y_hat) where y > y_hat, else (1 - q) (y_hat - y) [1]_; the gradient at the
    kink is 0.

    Parameters
    ----------
    q : float, default=0.5
        The quantile, in (0, 1); 0.5 is the median.
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    References
    ----------
    .. [1] R. Koenker, G. Bassett, "Regression quantiles", Econometrica 46 (1978), 33-50.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.losses.Quantile(0.75, reduction="sum")([[0.0, 0.0]], [[1.0, -1.0]])
    1.0
    """

    __slots__ = ()
    name = "quantile"

    def __init__(self, q: float = 0.5, reduction: str = "mean") -> None:
        q = check_in_range(q, "q", 0.0, 1.0, include_low=False)
        super().__init__("quantile", q, q=q, reduction=reduction)

    @property
    def q(self) -> float:
        """The quantile."""
        return self.parameter


class BCE(Loss):
    """Binary cross entropy of probabilities: -y log(y_hat) - (1 - y) log(1 - y_hat).

    After a sigmoid output an `MLP`, and a `Trace` of it, compute it from the pre-activation, so
    that it neither overflows nor loses its gradient. Of bare probabilities each logarithm is kept
    at -100 or above, and y_hat (1 - y_hat) in the gradient's denominator at half the machine
    epsilon.

    Parameters
    ----------
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    Examples
    --------
    >>> import mlpcore
    >>> round(mlpcore.losses.BCE()([[0.5, 1.0]], [[1.0, 1.0]]), 4)
    0.3466
    """

    __slots__ = ()
    name = "bce"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__("bce", 0.0, reduction=reduction)

    def after(self, activation: str) -> Loss:
        """As `Loss.after`; after a softmax or a sigmoid alone."""
        if activation not in _PROBABILITIES:
            raise ValueError(
                "loss: bce needs an output in (0, 1): expected a sigmoid output or the loss "
                '"bce_with_logits", which takes the output as logits, got the output activation '
                f"{activation!r}"
            )
        return super().after(activation)


class BCEWithLogits(Loss):
    """Binary cross entropy of logits z: that of the probability sigmoid(z), without overflow.

    Parameters
    ----------
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.losses.BCEWithLogits()([[-1000.0]], [[1.0]])
    1000.0
    """

    __slots__ = ()
    name = "bce_with_logits"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__("bce_with_logits", 0.0, reduction=reduction)


class CrossEntropy(Loss):
    """Cross entropy over K classes, -sum_k y_k log(p_k), one term a sample.

    Targets are integer classes (N,), or rows of probabilities (N, K).

    Parameters
    ----------
    from_logits : bool, default=True
        Whether predictions are logits z, with p = softmax(z), or the probabilities themselves,
        whose logarithms are kept at -100 or above. After a softmax output an `MLP`, and a `Trace`
        of it, take the pre-activation for the logits, whatever is given here: a softmax is not
        taken twice. See the warning below for probabilities without their trace.
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        Over the samples: ``"mean"`` and ``"batch_mean"`` are the same here.

    Warnings
    --------
    Bare predictions are what `from_logits` says, whichever net they come from: given the
    probabilities ``trace.output`` of a softmax, ``CrossEntropy()`` takes them for logits, and both
    value and gradient are those of a second softmax. Give it the trace, ``loss(trace, y)`` and
    ``loss.gradient(trace, y)``, or say ``from_logits=False``.

    Examples
    --------
    >>> import mlpcore
    >>> loss = mlpcore.losses.CrossEntropy()
    >>> loss([[1000.0, 0.0], [0.0, 1000.0]], [0, 0])
    500.0
    >>> round(mlpcore.losses.CrossEntropy(from_logits=False)([[0.25, 0.75]], [[0.0, 1.0]]), 4)
    0.2877
    """

    __slots__ = ()
    name = "cross_entropy"

    def __init__(self, from_logits: bool = True, reduction: str = "mean") -> None:
        from_logits = check_bool(from_logits, "from_logits")
        kind = "cross_entropy_with_logits" if from_logits else "cross_entropy"
        super().__init__(kind, 0.0, from_logits=from_logits, reduction=reduction)

    @property
    def from_logits(self) -> bool:
        """Whether predictions are logits."""
        return self.kind == _core.LOSSES["cross_entropy_with_logits"]

    def after(self, activation: str) -> Loss:
        """As `Loss.after`; after a softmax a loss of probabilities."""
        loss = super().after(activation)
        if activation == "softmax" and self.from_logits:
            return _OF_PROBABILITIES[self.reduction]
        if not self.from_logits and activation not in _PROBABILITIES:
            raise ValueError(
                "loss: cross_entropy with from_logits=False needs an output in (0, 1): expected a "
                "softmax output or from_logits=True, which takes the output as logits, got the "
                f"output activation {activation!r}"
            )
        return loss

    def _fused_kind(self, activation: str) -> int | None:
        # After a softmax, whatever `from_logits` says: it is the loss that `after` gives.
        return _core.LOSSES["cross_entropy_with_logits"] if activation == "softmax" else None


class Poisson(Loss):
    """Poisson's negative log-likelihood, without its constant, of log-rates z: exp(z) - y z.

    Parameters
    ----------
    reduction : {"mean", "batch_mean", "sum"}, default="mean"
        How the terms become one number; see the head of `mlpcore.losses`.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.losses.Poisson()([[0.0]], [[3.0]])
    1.0
    """

    __slots__ = ()
    name = "poisson"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__("poisson", 0.0, reduction=reduction)


_OF_PROBABILITIES = {
    reduction: CrossEntropy(from_logits=False, reduction=reduction)
    for reduction in _core.REDUCTIONS
}

# Every name that stands for a loss, and what it stands for.
NAMED: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        MSE(),
        L1(),
        Huber(),
        LogCosh(),
        Quantile(),
        BCE(),
        BCEWithLogits(),
        CrossEntropy(),
        Poisson(),
    )
}
# Classes whose `after` gives the same whenever it is asked; a derived class may have another one.
_BUILT_IN = frozenset(type(loss) for loss in NAMED.values())


def as_loss(net: MLP, loss: Any) -> Loss | CallableLoss:
    """Return the loss as `net` computes it, from its name, an instance or a callable."""
    if isinstance(loss, str):
        loss = NAMED[check_choice(loss, "loss", NAMED)]
    elif not isinstance(loss, (Loss, CallableLoss)):
        if not callable(loss) or isinstance(loss, type):
            raise TypeError(
                "loss: expected a name, an instance such as mlpcore.losses.MSE() or a function "
                f"f(y_hat, y) -> (value, dl_dy_hat), got {received(loss)}"
            )
        loss = CallableLoss(loss)
    output = net.activations[-1]
    after: Loss | CallableLoss = loss.after(output)
    if type(loss) in _BUILT_IN:
        loss._remember(_core.ACTIVATIONS[output], after)
    return after
