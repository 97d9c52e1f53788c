# SPDX-License-Identifier: BSD-3-Clause
"""What every loss that the core computes can do; `callable_loss` has those of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import _core
from ._attributes import added_attributes, as_call, restore_attributes
from ._checks import check_choice
from ._validation import as_predictions, as_sample_weight_of, as_targets_of, first
from .callable_loss import CallableLoss
from .trace import Trace

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._core import Array

# The targets for which a loss is one: beyond them it has no lower bound, or is no likelihood.
_TARGET_RANGES = {
    _core.LOSSES["bce"]: (0.0, 1.0),
    _core.LOSSES["bce_with_logits"]: (0.0, 1.0),
    _core.LOSSES["cross_entropy"]: (0.0, np.inf),
    _core.LOSSES["cross_entropy_with_logits"]: (0.0, np.inf),
    _core.LOSSES["poisson"]: (0.0, np.inf),
}


class Loss(_core.LossKernel):
    """Base of all losses: ``loss(y_hat, y)`` is the value, ``loss.gradient(y_hat, y)`` dl/dy_hat.

    Attributes
    ----------
    name : str
        The name by which a function takes the loss, such as ``"mse"``.
    reduction : {"mean", "batch_mean", "sum"}
        How the terms become one number; see the head of `mlpcore.losses`.

    Raises
    ------
    ValueError, TypeError
        If an argument of the constructor of a loss is out of its range or of a wrong kind.

    Examples
    --------
    >>> import mlpcore
    >>> isinstance(mlpcore.losses.MSE(), mlpcore.losses.Loss), mlpcore.losses.MSE().name
    (True, 'mse')
    """

    __slots__ = ("_arguments", "_reduction")

    name: str

    def __init__(self, kind: str, parameter: float, **arguments: Any) -> None:
        check_choice(kind, "kind", _core.LOSSES)
        reduction = check_choice(arguments.get("reduction"), "reduction", _core.REDUCTIONS)
        super().__init__(_core.LOSSES[kind], _core.REDUCTIONS[reduction], parameter)
        self._reduction = reduction
        self._arguments = arguments

    @property
    def reduction(self) -> str:  # type: ignore[override]  # the core knows it by a number
        """How the terms become one number."""
        return self._reduction

    def __call__(
        self, y_hat: ArrayLike | Trace, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Value of the loss.

        Parameters
        ----------
        y_hat : array_like of shape (N, K), or (K,) for one sample, or Trace
            Predictions. Of a trace whose net ends in a sigmoid, ``bce`` takes the pre-activation,
            as ``cross_entropy`` after a softmax does.
        y : array_like of shape (N, K), or (N,)
            Targets. With one output a vector (N,) will do; for ``cross_entropy`` it may be integer
            classes (N,). For one sample the first axis falls away.
        sample_weight : array_like of shape (N,), optional
            A weight of 2 equals the row given twice.

        Returns
        -------
        float
            The loss; 0 for an empty batch.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or a target is not in the range of the loss: [0, 1] for
            ``bce`` and ``bce_with_logits``, 0 and above for ``cross_entropy`` and ``poisson``.

        Examples
        --------
        >>> import mlpcore
        >>> mlpcore.losses.MSE("sum")([[1.0, 2.0]], [[0.0, 0.0]])
        5.0
        """
        if isinstance(y_hat, Trace):
            kernel, prediction = self._of_trace(y_hat)
            single = y_hat.single
        else:
            kernel = self._initialised()
            prediction, single = as_predictions(y_hat)
        target, weight = _targets(kernel, prediction, single, y, sample_weight)
        return kernel._evaluate(prediction, target, weight, None)

    def gradient(
        self, y_hat: ArrayLike | Trace, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Gradient of the loss with respect to the predictions, dl/dy_hat.

        Parameters
        ----------
        y_hat, y, sample_weight
            As for the value.

        Returns
        -------
        numpy.ndarray of shape (N, K), or (K,) for one sample
            dl/dy_hat. Where ``l1`` and ``quantile`` have their kink, it is 0.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.

        Notes
        -----
        Of bare probabilities the denominators are kept at half the machine epsilon or above. Of a
        trace they follow from the pre-activation, down to the smallest normal number, so that
        ``net.backward(trace, loss.gradient(trace, y))`` does not vanish where an output saturates.

        Examples
        --------
        >>> import mlpcore
        >>> mlpcore.losses.MSE("sum").gradient([[1.0, 2.0]], [[0.0, 0.0]])
        array([[2., 4.]])
        """
        if isinstance(y_hat, Trace):
            gradient = self._gradient_of_trace(y_hat, y, sample_weight)
            return gradient[0] if y_hat.single else gradient
        prediction, single = as_predictions(y_hat)
        target, weight = _targets(self._initialised(), prediction, single, y, sample_weight)
        gradient = np.empty_like(prediction)
        self._evaluate(prediction, target, weight, gradient)
        return gradient[0] if single else gradient

    def after(self, activation: str) -> Loss:
        """Return the loss as a net with this output activation computes it.

        Parameters
        ----------
        activation : str
            The activation of the output layer.

        Returns
        -------
        Loss
            This one, or for `CrossEntropy` after a softmax the one that takes probabilities.

        Raises
        ------
        ValueError
            If the loss takes probabilities and the output can leave (0, 1).

        Examples
        --------
        >>> import mlpcore
        >>> mlpcore.losses.MSE().after("tanh")
        MSE(reduction='mean')
        >>> mlpcore.losses.CrossEntropy().after("softmax")
        CrossEntropy(from_logits=False, reduction='mean')
        """
        return self._initialised()

    def fuses_with(self, activation: str) -> bool:
        """Whether a net computes the loss and this output activation as one step.

        Parameters
        ----------
        activation : str
            The activation of the output layer.

        Returns
        -------
        bool
            True for ``bce`` after a sigmoid and ``cross_entropy`` after a softmax: both take the
            pre-activation, and the gradient that they give first is dl/dpre_activation.

        Examples
        --------
        >>> import mlpcore
        >>> mlpcore.losses.BCE().fuses_with("sigmoid"), mlpcore.losses.BCE().fuses_with("softmax")
        (True, False)
        """
        return self._fused_kind(activation) is not None

    def _fused_kind(self, activation: str) -> int | None:
        """The core's number of the loss that takes the pre-activation; None if none does."""
        kind, on_pre_activation = _core.fused_loss(self.kind, _core.ACTIVATIONS[activation])
        return kind if on_pre_activation else None

    def _initialised(self) -> Self:
        if not hasattr(self, "_arguments"):  # to the core it looks like MSE
            raise RuntimeError(
                f"the loss is not initialised: {type(self).__name__}.__init__ did not run to its "
                "end"
            )
        return self

    def _of_trace(self, trace: Trace) -> tuple[_core.LossKernel, Array]:
        """The loss as the core computes it for the trace's net, and what it takes: z or y_hat."""
        loss = self.after(trace.net.activations[-1])
        kind = loss._fused_kind(trace.net.activations[-1])
        if kind is None:
            return loss, trace.records.outputs[-1]
        reduction = _core.REDUCTIONS[self._reduction]
        return _core.LossKernel(kind, reduction, self.parameter), trace.records.pre_activations[-1]

    def _gradient_of_trace(
        self, trace: Trace, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> Array:
        kernel, prediction = self._of_trace(trace)
        output = trace.records.outputs[-1]
        derivative = trace.records.activation_derivatives[-1]
        fused = prediction is not output
        if fused and derivative is None:
            kernel, prediction = self.after(trace.net.activations[-1]), output
        target, weight = _targets(kernel, prediction, trace.single, y, sample_weight)
        gradient = np.empty_like(output)
        kernel._evaluate(prediction, target, weight, gradient)
        if fused:
            limits = np.finfo(output.dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                if derivative is None:
                    # Softmax: the core has divided by no less than half the epsilon.
                    gradient *= np.maximum(output, limits.eps / 2)
                    gradient /= np.maximum(output, limits.smallest_normal)
                else:
                    # Sigmoid: from dl/dz, since y_hat (1 - y_hat) is 0 where y_hat rounds to 1.
                    gradient /= np.maximum(derivative, limits.smallest_normal)
        return gradient

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Loss):
            return NotImplemented
        return type(self) is type(other) and self._arguments == other._arguments

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        kind = _KIND_NAMES[self.kind]
        state = added_attributes(self, Loss.__slots__)
        return _remade, (type(self), self._arguments, kind, self.parameter), state

    def __setstate__(self, state: Any) -> None:
        restore_attributes(self, state)

    def __repr__(self) -> str:
        return as_call(self, self._arguments)


def _targets(
    kernel: _core.LossKernel, prediction: Array, single: bool, y: Any, sample_weight: Any
) -> tuple[Array, Array | None]:
    n_samples, n_outputs = prediction.shape
    target = as_targets_of(prediction.dtype, n_outputs, y, n_samples, kernel, single)
    check_targets(kernel, target)
    return target, as_sample_weight_of(prediction.dtype, sample_weight, n_samples)


def check_targets(loss: _core.LossKernel | CallableLoss, target: Array) -> None:
    """Raise ValueError where a target is outside the range of the loss; NaN is not."""
    if isinstance(loss, CallableLoss) or loss.kind not in _TARGET_RANGES or target.size == 0:
        return
    low, high = _TARGET_RANGES[loss.kind]
    if target.ndim == 1 or (target.min() >= low and target.max() <= high):  # 1-D: class indices
        return
    outside = (target < low) | (target > high)
    if outside.any():
        row, column = first(outside)
        rule = "0 or above" if high == np.inf else f"from {low:g} to {high:g}"
        raise ValueError(
            f"y: expected targets {rule} for the loss, got {target[row, column]} at row {row}, "
            f"column {column}"
        )


_KIND_NAMES = {code: name for name, code in _core.LOSSES.items()}


def _remade(cls: type[Loss], arguments: dict[str, Any], kind: str, parameter: float) -> Loss:
    """A loss for copies and pickles: a subclass may have another constructor."""
    loss = cls.__new__(cls)
    Loss.__init__(loss, kind, parameter, **arguments)
    return loss
