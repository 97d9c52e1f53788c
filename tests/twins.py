# SPDX-License-Identifier: BSD-3-Clause
"""A net and a loss as the functions of `mlpcore.reference` take them."""

import numpy as np

from mlpcore import reference


def layers_of(net):
    """Copies, in float64: a later update of the net does not change them."""
    biases = [None if bias is None else bias.astype(np.float64) for bias in net.biases]
    weights = [weight.astype(np.float64) for weight in net.weights]
    return [reference.Layer(*parts) for parts in zip(weights, biases, net.activations, strict=True)]


def options_of(loss):
    """The arguments of a loss, beside its name; of the reduction too."""
    return dict(loss._arguments)
