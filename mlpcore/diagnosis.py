# SPDX-License-Identifier: BSD-3-Clause
"""From the numbers of a gradient report to a sentence or two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .gradient_report import LayerReport
    from .mlp import MLP

# The layers of a net share one learning rate. Where their gradients differ a hundredfold, what
# suits one layer does nothing in another, or destroys it.
VANISHING_BELOW = 1e-2
EXPLODING_ABOVE = 1e2

# Of saturated entries or dead units: with fewer there is enough left to learn with. Deep relu nets
# have a quarter of dead units from the start, and learn.
MANY = 0.5

# A healthy relu unit is off for every second sample: to be off for all of a few means nothing.
SAMPLES_TO_CALL_DEAD = 16

FADES_ON_BOTH_SIDES = ("sigmoid", "tanh", "softmax")


def diagnose(net: MLP, layers: Sequence[LayerReport], n_samples: int, is_fused: bool) -> str:
    """What is wrong with the gradient, and why; or that nothing is.

    `is_fused` says that the net takes loss and output activation as one step.
    """
    norms = [layer.grad_pre_activation_norm for layer in layers]
    if n_samples == 0:
        return "No samples: there is no gradient to look at."
    if not all(map(math.isfinite, norms)):
        return (
            "Not finite: the gradient holds NaN or infinity. Look for them in the data, or for "
            "parameters that have grown without bound."
        )
    unbounded = _layers_of_unbounded_parameters(net)
    if unbounded:
        return (
            f"Not finite: there is NaN or infinity among the parameters of {_numbered(unbounded)}, "
            "though not in the gradient, as where it leaves a unit saturated."
        )
    alike = _layers_of_equal_units(net)
    if alike:
        return (
            f"Symmetric: the units of {_numbered(alike)} all have the same weights, as after an "
            "initialisation with zeros. They get the same gradient and stay alike for ever; draw "
            "the weights at random."
        )
    # Where loss and output are one step, the loss's derivative makes up for a flat output.
    flat = [
        i
        for i, layer in enumerate(layers)
        if layer.activation in FADES_ON_BOTH_SIDES
        and layer.saturated >= MANY
        and not (is_fused and i == len(layers) - 1)
    ]
    if norms[-1] == 0.0:
        if math.isnan(layers[-1].activation_factor):
            return "No gradient: dl/dy_hat is 0, as it is where every output equals its target."
        if flat and flat[-1] == len(layers) - 1:
            return _saturated(layers, flat)
        return (
            "Dead output: the derivative of its activation is 0 wherever that of the loss is not, "
            "so that no weight learns."
        )
    findings = []
    ratio = norms[0] / norms[-1]
    if ratio < VANISHING_BELOW:
        findings.append(f"Vanishing gradient: {_compared(ratio, layers)}. {_shrinks(layers)}")
    elif ratio > EXPLODING_ABOVE:
        findings.append(
            f"Exploding gradient: {_compared(ratio, layers)}. The weights enlarge it, "
            f"{_mean_factor(_weight_factors(layers)):.2g} times a layer: start with smaller ones."
        )
    if flat:
        findings.append(_saturated(layers, flat))
    dead = [i for i, layer in enumerate(layers) if layer.dead >= MANY]
    if dead and n_samples >= SAMPLES_TO_CALL_DEAD:
        findings.append(
            f"Dead units: in {_numbered(dead)} {_shares([layers[i].dead for i in dead])} of the "
            "units have the derivative 0 for every sample and learn nothing; a lower learning "
            "rate or leaky_relu keeps them alive."
        )
    if findings:
        return " ".join(findings)
    if len(layers) == 1:
        return "Healthy: the gradient reaches the weights."
    return f"Healthy: {_compared(ratio, layers)}, and no layer is saturated or dead."


def _shrinks(layers: Sequence[LayerReport]) -> str:
    """Which of the two factors of a step back makes the gradient small."""
    by_weights = _mean_factor(_weight_factors(layers))
    by_activations = _mean_factor([layer.activation_factor for layer in layers[:-1]])
    if by_weights < by_activations:
        return (
            f"The weights shrink it, {by_weights:.2g} times a layer: start with larger ones, such "
            'as init="he" for relu and "glorot" for tanh.'
        )
    # A factor is unknown (NaN) below a layer that lets nothing through.
    hidden = [layer for layer in layers[:-1] if not math.isnan(layer.activation_factor)]
    worst = min(hidden, key=lambda layer: layer.activation_factor)
    if worst.dead == 1.0:
        return f"{_numbered([layers.index(worst)]).capitalize()} lets nothing through."
    name = worst.activation
    means = [layer.activation_derivative_mean for layer in hidden if layer.activation == name]
    limit = ", and at most 1/4 anywhere" if name == "sigmoid" else ""
    return (
        f"The cause is {name}, whose derivative is {math.fsum(means) / len(means):.2g} on average"
        f"{limit}: each step back multiplies by it."
    )


def _saturated(layers: Sequence[LayerReport], which: Sequence[int]) -> str:
    names = list(dict.fromkeys(layers[i].activation for i in which))
    are_flat = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} flat"
    return (
        f"Saturated: {_shares([layers[i].saturated for i in which])} of the entries of "
        f"{_numbered(which)} lie where {are_flat}; smaller weights or standardised inputs "
        "bring them back."
    )


def _layers_of_unbounded_parameters(net: MLP) -> list[int]:
    return [
        i
        for i, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True))
        if not (np.isfinite(weight).all() and (bias is None or np.isfinite(bias).all()))
    ]


def _layers_of_equal_units(net: MLP) -> list[int]:
    """The hidden layers whose units differ neither in what comes in nor in what goes out."""
    return [
        i
        for i, (weight, bias) in enumerate(zip(net.weights[:-1], net.biases[:-1], strict=True))
        if len(weight) > 1
        and (weight == weight[:1]).all()
        and (bias is None or (bias == bias[0]).all())
        and (net.weights[i + 1] == net.weights[i + 1][:, :1]).all()
    ]


def _weight_factors(layers: Sequence[LayerReport]) -> list[float]:
    return [layer.weight_factor for layer in layers[1:]]


def _mean_factor(factors: Sequence[float]) -> float:
    """The geometric mean of the factors that are known."""
    known = [factor for factor in factors if not math.isnan(factor)]
    if not all(known):
        return 0.0
    return math.exp(math.fsum(map(math.log, known)) / len(known))


def _compared(ratio: float, layers: Sequence[LayerReport]) -> str:
    return f"the norm of dl/dz in layer 1 is {ratio:.1e} times that in layer {len(layers)}"


def _numbered(which: Sequence[int]) -> str:
    numbers = [str(i + 1) for i in which]
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    return f"layers {', '.join(numbers[:-1])} and {numbers[-1]}"


def _shares(shares: Sequence[float]) -> str:
    low, high = min(shares), max(shares)
    return f"{high:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"
