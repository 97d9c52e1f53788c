# SPDX-License-Identifier: BSD-3-Clause
"""Whether the gradient is right, and whether it reaches the first layer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._core import ACTIVATIONS, fused_loss
from ._validation import as_loss, as_rows, as_targets, check_in_range
from .chain import Chain, chain, layer_names
from .derivatives import value_and_grad
from .diagnosis import diagnose
from .losses import Loss
from .mlp import MLP

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .mlp import LossLike

Array = NDArray[Any]

# ---- gradient_report ----------------------------------------------------------------------------

# An entry is saturated where f'(z) is below this share of the largest f': a step of the weight then
# moves the output twenty times less than it could. For sigmoid that is |z| > 4.4, for tanh 2.2.
SATURATED_BELOW = 0.05
LARGEST_DERIVATIVE = {"sigmoid": 0.25, "softmax": 0.25}  # about 1 for all others

# These have a small derivative by design, or an own word for it: their share is that of f' = 0.
WITHOUT_SATURATION = ("identity", "relu", "leaky_relu")


@dataclass(frozen=True)
class LayerReport:
    """The gradient at one layer, over a batch.

    Attributes
    ----------
    activation : str
        Name of the layer's activation.
    grad_pre_activation_norm : float
        Frobenius norm of dl/dz, (N, n_outputs).
    grad_weight_norm : float
        Frobenius norm of dl/dW, (n_outputs, n_inputs).
    activation_derivative_mean : float
        Mean of f'(z); of softmax the diagonal's, p (1 - p).
    saturated : float
        Share of the entries (N, n_outputs) whose f'(z) is below 5 % of its maximum, 1/4 for sigmoid
        and softmax and 1 for the others. For identity, relu and leaky_relu, whose derivative does
        not fade, the share with f'(z) = 0.
    dead : float
        Share of the units whose f'(z) is 0 for every sample: no sample changes their weights.
    activation_factor : float
        What the activation makes of the gradient's norm: that of dl/dz over that of dl/da, a the
        layer's output.
    weight_factor : float
        What the weight makes of it: the norm of dl/d input over that of dl/dz.
    """

    activation: str
    grad_pre_activation_norm: float
    grad_weight_norm: float
    activation_derivative_mean: float
    saturated: float
    dead: float
    activation_factor: float
    weight_factor: float


@dataclass(frozen=True)
class GradientReport:
    """How a loss's gradient flows through a net; `MLP.gradient_report` makes it.

    ``str(report)`` is a table with the diagnosis below it.

    Attributes
    ----------
    layers : tuple of LayerReport
        One for each layer, the first layer first.
    diagnosis : str
        What is wrong and why, or that nothing is, in a sentence or two.
    """

    layers: tuple[LayerReport, ...]
    diagnosis: str

    def __str__(self) -> str:
        lines = ["layer           |dl/dz|   |dl/dW|  mean f'(z)  saturated  dead"]
        for number, layer in enumerate(self.layers, start=1):
            lines.append(
                f"{number:<4}{layer.activation:<10}{layer.grad_pre_activation_norm:>9.2e} "
                f"{layer.grad_weight_norm:>9.2e}  {layer.activation_derivative_mean:>10.2e}  "
                f"{layer.saturated:>9.0%}  {layer.dead:>4.0%}"
            )
        return "\n".join([*lines, "", self.diagnosis])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the norms and the shares of each layer.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure of pyplot's if not given.

        Returns
        -------
        matplotlib.axes.Axes
            The axes with the norms; the shares have a scale of their own on the right.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import mlpcore
        >>> from matplotlib.figure import Figure
        >>> net = mlpcore.MLP([2, 8, 8, 1], "sigmoid", seed=0)
        >>> report = net.gradient_report([[0.5, -1.0], [1.0, 2.0]], [[1.0], [0.0]], "mse")
        >>> ax = report.plot(Figure().add_subplot())
        >>> ax.get_lines()[0].get_xdata().tolist()
        [1, 2, 3]
        """
        if ax is None:
            try:
                from matplotlib import pyplot
            except ImportError as error:
                raise ImportError(
                    "GradientReport.plot needs matplotlib: pip install mlpcore[plot]"
                ) from error
            ax = pyplot.subplots()[1]
        layers = self.layers
        number = np.arange(1, len(layers) + 1)
        shares = ax.twinx()
        for name, width, color in (("saturated", 0.6, "tab:gray"), ("dead", 0.3, "tab:red")):
            heights = [getattr(layer, name) for layer in layers]
            shares.bar(number, heights, width, color=color, alpha=0.4, label=name)
        shares.set(ylim=(0.0, 1.0), ylabel="share of entries or units")
        norms = [layer.grad_pre_activation_norm for layer in layers]
        ax.plot(number, norms, "o-", label="|dl/dz|")
        ax.plot(number, [layer.grad_weight_norm for layer in layers], "s--", label="|dl/dW|")
        ax.set(yscale="log", xlabel="layer", ylabel="norm", xticks=number, zorder=1)
        ax.patch.set_visible(False)  # the bars stand behind the lines
        lines, bars = ax.get_legend_handles_labels(), shares.get_legend_handles_labels()
        ax.legend(lines[0] + bars[0], lines[1] + bars[1])
        return ax


def gradient_report(net: MLP, x: ArrayLike, y: ArrayLike, loss: LossLike) -> GradientReport:
    """Report how the gradient of a loss flows through a net; see `MLP.gradient_report`."""
    checked_loss = as_loss(net, loss)
    values = chain(net, x, y, checked_loss)
    layers = tuple(
        _layer_report(net.activations[i], i + 1, names, values)
        for i, names in enumerate(layer_names(len(net.activations)))
    )
    on_pre_activation = (
        isinstance(checked_loss, Loss)
        and fused_loss(checked_loss.kind, ACTIVATIONS[net.activations[-1]])[1]
    )
    n_samples = np.atleast_2d(values["y_hat"]).shape[0]
    return GradientReport(layers, diagnose(net, layers, n_samples, on_pre_activation))


def _layer_report(
    activation: str, number: int, names: tuple[str, str, str], values: Chain
) -> LayerReport:
    before, z, after = names
    derivative = values[f"d{after}/d{z}"]
    if activation == "softmax":
        derivative = np.diagonal(derivative, axis1=-2, axis2=-1)
    derivative = np.atleast_2d(derivative)
    limit = 0.0
    if activation not in WITHOUT_SATURATION:
        limit = SATURATED_BELOW * LARGEST_DERIVATIVE.get(activation, 1.0)
    any_sample = derivative.shape[0] > 0
    at_z, at_output, at_input = (_norm(values[f"dl/d{key}"]) for key in (z, after, before))
    return LayerReport(
        activation=activation,
        grad_pre_activation_norm=at_z,
        grad_weight_norm=_norm(values[f"dl/dW{number}"]),
        activation_derivative_mean=float(derivative.mean()) if any_sample else math.nan,
        saturated=float((np.abs(derivative) <= limit).mean()) if any_sample else math.nan,
        dead=float((derivative == 0.0).all(axis=0).mean()) if any_sample else math.nan,
        activation_factor=at_z / at_output if at_output != 0.0 else math.nan,
        weight_factor=at_input / at_z if at_z != 0.0 else math.nan,
    )


def _norm(array: Array) -> float:
    # In float64: the squares of a vanishing float32 gradient would be 0.
    return float(np.linalg.norm(array.astype(np.float64)))


# ---- gradcheck ----------------------------------------------------------------------------------

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
    y : array_like of shape (N, K), or integer classes (N,) for cross entropy
        Targets; without the first axis for one sample.
    loss : str, Loss or callable
        The loss.
    rtol, atol : float, optional
        An entry passes if it differs from the central difference by at most ``atol * max(1, |l|)``
        plus `rtol` times the larger of the two magnitudes. By default 1e-5 and 1e-9 for a float64
        net, and 1e-3 and 1e-5, which is float32's own rounding, for a float32 net.

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
    rows, single = as_rows(net, x)
    if rows.shape[0] == 0:
        raise ValueError(f"x: expected at least one sample, got shape {rows.shape}")
    checked_loss = as_loss(net, loss)
    target = as_targets(net, y, rows.shape[0], checked_loss, single)
    tolerances = TOLERANCES[net.dtype.name]
    rtol = tolerances[0] if rtol is None else check_in_range(rtol, "rtol", 0.0, include_low=False)
    atol = tolerances[1] if atol is None else check_in_range(atol, "atol", 0.0)
    _, gradients = value_and_grad(net, rows, target, checked_loss)

    exact = MLP(net.sizes, net.activations, dtype="float64", init="zeros", bias=net.has_bias)
    exact.parameters[:] = net.parameters
    points = rows.astype(np.float64)
    if target.dtype == net.dtype:
        target = target.astype(np.float64)

    def value() -> float:
        if isinstance(checked_loss, Loss):
            return exact._value_and_grad(points, target, None, checked_loss, None, None, 1)
        return checked_loss.evaluate(exact(points), target, None, None)

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
