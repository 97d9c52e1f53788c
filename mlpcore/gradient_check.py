# SPDX-License-Identifier: BSD-3-Clause
"""Whether the gradient is right: a comparison with central differences."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import check_in_range
from ._validation import Batch, as_batch, as_network
from .derivatives import value_and_grad
from .losses import as_loss
from .mlp import MLP
from .sobolev import with_dy_dx
from .steps import value_and_gradients

if TYPE_CHECKING:
    from .mlp import LossLike

Array = NDArray[Any]

# The cube root of float64's epsilon balances the error of the formula, h^2, with that of rounding,
# epsilon / h. Entries that differ are looked at again, in steps down to STEP / SHRINK; so are those
# where the differences to the left and to the right are less alike than SMALL_JUMP.
STEP = 6e-6
SHRINK = 64.0
SMALL_JUMP = 1e-3

# What rounding of the loss, of size 1, makes of a difference quotient with STEP, with a margin.
ROUNDING = 1e-9

TOLERANCES = {"float32": (1e-3, 1e-5), "float64": (1e-5, ROUNDING)}  # relative, absolute


def gradcheck(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossLike,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    dy_dx: ArrayLike | None = None,
    dy_dx_weight: float = 1.0,
) -> float:
    """Compare the gradient of a loss with central differences, in every parameter and in x.

    The differences are taken in float64, also for a float32 net: of a copy with its parameters.

    Parameters
    ----------
    net : MLP
        The net; it is not changed. The loss is evaluated at least two times for each of its
        parameters and of the entries of `x`: small nets and few samples are the better choice.
    x : array_like of shape (N, D) or (D,)
        Samples as rows, or one sample; at least one.
    y : array_like of shape (N, K), or (N,)
        Targets, as for `MLP.train_step`; without the first axis for one sample.
    loss : str, Loss or callable
        The loss.
    rtol, atol : float, optional
        An entry passes if it differs from the central difference by at most ``atol * max(1, |l|)``
        plus `rtol` times the larger of the two magnitudes. By default 1e-5 and 1e-9 for a float64
        net, and 1e-3 and 1e-5, which is float32's own rounding, for a float32 net.

    dy_dx : array_like of shape (N, K, D), optional
        Known derivatives of the targets, as for `MLP.value_and_grad`: the gradient is that of the
        loss with them.
    dy_dx_weight : float, default 1
        How much they count.

    Returns
    -------
    float
        The largest relative difference, at most `rtol`: the difference over the larger of the two
        magnitudes plus ``max(1, |l|) atol / rtol``, below which rounding hides a relative error.

    Raises
    ------
    AssertionError
        If an entry does not pass; the message names the worst one. Also if no entry could be
        compared.
    ValueError, TypeError
        If an argument does not fit.

    Warns
    -----
    RuntimeWarning
        If entries lie on a kink, as of relu at z = 0 or of l1 at y_hat = y, where the derivatives
        to the left and to the right differ. They are not compared; the warning names them. A kink
        further than 1e-7 from the entry is not in the way: then smaller steps decide.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 3, 1], "tanh", dtype="float64", seed=0)
    >>> mlpcore.gradcheck(net, [[0.5, -1.0]], [[2.0]], "mse") < 1e-5
    True
    """
    net = as_network(net)
    checked_loss = as_loss(net, loss)
    batch, single = as_batch(net, x, y, None, checked_loss)
    batch = with_dy_dx(net, checked_loss, batch, dy_dx, dy_dx_weight, single=single)
    if len(batch.x) == 0:
        raise ValueError(f"x: expected at least one sample, got shape {batch.x.shape}")
    tolerances = TOLERANCES[net.dtype.name]
    rtol = tolerances[0] if rtol is None else check_in_range(rtol, "rtol", 0.0, include_low=False)
    atol = tolerances[1] if atol is None else check_in_range(atol, "atol", 0.0)
    known = (None, 1.0) if batch.jacobian is None else batch.jacobian
    _, gradients = value_and_grad(net, batch.x, batch.target, checked_loss, None, *known)

    exact = MLP(net.sizes, net.activations, dtype="float64", init="zeros", bias=net.has_bias)
    exact.parameters[:] = net.parameters
    points, target, jacobian = batch.x.astype(np.float64), batch.target, batch.jacobian
    if target.dtype == net.dtype:  # and no classes
        target = target.astype(np.float64)
    if jacobian is not None:
        jacobian = jacobian._replace(dy_dx=jacobian.dy_dx.astype(np.float64))

    def value() -> float:
        moved = Batch(points, target, None, jacobian)
        return value_and_gradients(exact, moved, checked_loss, None, None, n_threads=1)

    comparison = _Comparison(value, rtol, atol)
    for i, weight in enumerate(exact.weights):
        comparison.add(f"weights[{i}]", weight, gradients.weights[i])
    for i, bias in enumerate(exact.biases):
        if bias is not None:
            comparison.add(f"biases[{i}]", bias, gradients.biases[i])
    comparison.add("inputs", points, gradients.inputs)
    return comparison.result()


class _Quotients(NamedTuple):
    """Differences of the loss over a step down, a step up, and both."""

    left: float
    right: float
    central: float

    @property
    def jump(self) -> float:
        return abs(self.right - self.left)


class _Comparison:
    """Compares entry after entry; keeps the worst one, and those that lie on a kink."""

    def __init__(self, value: Callable[[], float], rtol: float, atol: float) -> None:
        self.value = value
        self.here = value()
        self.scale = max(1.0, abs(self.here))
        self.rtol = rtol
        self.atol = atol
        self.n_compared = 0
        self.kinks: list[str] = []
        self.largest = 0.0
        self.worst = ""

    def add(self, name: str, values: Array, gradient: Any) -> None:
        """Compare a gradient with what moving each entry of `values` does to the loss."""
        for index in np.ndindex(values.shape):
            label = f"{name}[{', '.join(map(str, index))}]"
            analytic = float(gradient[index])
            central, difference = self._compare(values, index, analytic)
            if difference is None:
                self.kinks.append(label)
                continue
            self.n_compared += 1
            if difference > self.largest:
                self.largest = difference
                self.worst = f"{label} is {analytic:.9g}, and {central:.9g} by central differences"

    def result(self) -> float:
        """The largest relative difference, unless it is too large."""
        if self.largest > self.rtol:
            raise AssertionError(
                f"gradcheck: {self.worst} (relative difference {self.largest:.2g}, "
                f"allowed {self.rtol:.2g}; {self.n_compared} entries compared)"
            )
        if self.n_compared == 0:
            raise AssertionError("gradcheck: every entry lies on a kink, none could be compared")
        if self.kinks:
            named = ", ".join(self.kinks[:5]) + (", ..." if len(self.kinks) > 5 else "")
            warnings.warn(
                f"gradcheck: {len(self.kinks)} of {self.n_compared + len(self.kinks)} entries lie "
                f"on a kink and were not compared: {named}",
                RuntimeWarning,
                stacklevel=3,
            )
        return self.largest

    def _compare(
        self, values: Array, index: tuple[int, ...], analytic: float
    ) -> tuple[float, float | None]:
        """The central difference, and how far off it is; None on a kink."""
        step = STEP * max(1.0, abs(float(values[index])))
        wide = self._quotients(values, index, step)
        difference = self._difference(analytic, wide.central, self.atol)
        agrees = difference <= self.rtol
        smooth = SMALL_JUMP * max(abs(wide.left), abs(wide.right)) + 4.0 * ROUNDING * self.scale
        if agrees and wide.jump <= smooth:
            return wide.central, difference
        noise = SHRINK * ROUNDING
        between = self._quotients(values, index, step / math.sqrt(SHRINK))
        narrow = self._quotients(values, index, step / SHRINK)
        # In an eightfold smaller step the jump is an eighth where the loss is smooth, the same on a
        # kink, and eight times as much where it is but rounding.
        is_kink = wide.jump < 4.0 * between.jump < 8.0 * wide.jump
        is_kink = is_kink and between.jump < 4.0 * narrow.jump < 8.0 * between.jump
        if is_kink and narrow.jump > 4.0 * noise * self.scale:
            return narrow.central, None
        if agrees:
            return wide.central, difference
        closer = self._difference(analytic, narrow.central, max(self.atol, noise))
        # Rounding is larger in the smaller step. What counts is that the quotient came closer.
        came_closer = abs(narrow.central - wide.central) >= abs(analytic - wide.central) / 2.0
        if closer <= self.rtol and came_closer:
            return narrow.central, closer
        return wide.central, difference

    def _quotients(self, values: Array, index: tuple[int, ...], step: float) -> _Quotients:
        centre = values[index]
        values[index] = centre + step
        width_right, right = values[index] - centre, self.value() - self.here
        values[index] = centre - step
        width_left, left = centre - values[index], self.here - self.value()
        values[index] = centre
        return _Quotients(
            float(left / width_left),
            float(right / width_right),
            float((left + right) / (width_left + width_right)),
        )

    def _difference(self, analytic: float, numeric: float, atol: float) -> float:
        if analytic == numeric:
            return 0.0
        size = max(abs(analytic), abs(numeric)) + self.scale * atol / self.rtol
        difference = abs(analytic - numeric) / size
        return math.inf if math.isnan(difference) else difference
