# SPDX-License-Identifier: BSD-3-Clause
"""Whether the gradient reaches the first layer, in figures; `diagnosis` puts them into words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .chain import Chain, chain, layer_names
from .diagnosis import diagnose
from .losses import as_loss
from .plotting import make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .mlp import MLP, LossLike

Array = NDArray[Any]

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

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 3, 1], "sigmoid", seed=0)
    >>> net.biases[0][:] = 20.0
    >>> first = net.gradient_report([[0.5, -1.0]], [[1.0]], "mse").layers[0]
    >>> first.activation, first.saturated
    ('sigmoid', 1.0)
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

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 3, 1], "relu", seed=0)
    >>> net.biases[0][:] = -10.0
    >>> report = net.gradient_report([[0.5, -1.0]], [[1.0]], "mse")
    >>> report.layers[0].dead
    1.0
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
        ax = make_axes("GradientReport.plot") if ax is None else ax
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
    n_samples = np.atleast_2d(values["y_hat"]).shape[0]
    is_fused = checked_loss.fuses_with(net.activations[-1])
    return GradientReport(layers, diagnose(net, layers, n_samples, is_fused))


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
    at_z, at_output, at_input = (frobenius_norm(values[f"dl/d{key}"]) for key in (z, after, before))
    return LayerReport(
        activation=activation,
        grad_pre_activation_norm=at_z,
        grad_weight_norm=frobenius_norm(values[f"dl/dW{number}"]),
        activation_derivative_mean=float(derivative.mean()) if any_sample else math.nan,
        saturated=float((np.abs(derivative) <= limit).mean()) if any_sample else math.nan,
        dead=float((derivative == 0.0).all(axis=0).mean()) if any_sample else math.nan,
        activation_factor=at_z / at_output if at_output != 0.0 else math.nan,
        weight_factor=at_input / at_z if at_z != 0.0 else math.nan,
    )


def frobenius_norm(array: Array) -> float:
    """The root of the sum of the squares of all entries, in float64.

    By the largest entry, so that no square overflows or vanishes. Summed here and not by BLAS,
    which would start its threads for it.

    Examples
    --------
    >>> frobenius_norm(np.array([[3.0, -4.0]])), frobenius_norm(np.full(4, 1e300))
    (5.0, 2e+300)
    """
    largest = np.float64(np.abs(array).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return float(largest)
    return float(largest) * math.sqrt(np.square(array / largest).sum())
