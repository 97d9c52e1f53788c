# SPDX-License-Identifier: BSD-3-Clause
"""To and from scikit-learn's ``MLPClassifier`` and ``MLPRegressor``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._checks import received
from .._optional import library
from .._validation import as_network
from ..mlp import MLP
from ._layers import Dense, Net, as_arrays, net_of

# scikit-learn's names of activations.
_NAMES = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
_OUTPUTS = {"identity": "identity", "logistic": "sigmoid", "softmax": "softmax"}


def to_sklearn(net: MLP) -> Any:
    """As `MLP.to_sklearn`."""
    as_network(net)
    hidden = _hidden_activation(net)
    n_outputs = net.sizes[-1]
    if net.activations[-1] not in _OUTPUTS.values():
        raise ValueError(
            f"layer {len(net.activations) - 1}: scikit-learn's outputs are identity, sigmoid or "
            f"softmax, got {net.activations[-1]!r}"
        )
    if net.activations[-1] == "softmax" and n_outputs < 3:
        raise ValueError(
            f"layer {len(net.activations) - 1}: scikit-learn has softmax for three classes or "
            f"more, and one sigmoid for two, got softmax over {n_outputs}"
        )
    networks = library("sklearn.neural_network", "to_sklearn")
    settings = {"hidden_layer_sizes": net.sizes[1:-1], "activation": hidden}
    # One step on rows of zeros makes everything that a fitted estimator has.
    rows = np.zeros((max(n_outputs, 2), net.sizes[0]), net.dtype)
    if net.activations[-1] == "identity":
        targets = np.zeros((len(rows), n_outputs), net.dtype)
        estimator = networks.MLPRegressor(**settings)
        estimator.partial_fit(rows, targets[:, 0] if n_outputs == 1 else targets)
    else:
        estimator = networks.MLPClassifier(**settings)
        if net.activations[-1] == "sigmoid" and n_outputs > 1:  # a label for each output
            estimator.partial_fit(rows, np.eye(n_outputs, dtype=int), classes=range(n_outputs))
        else:
            classes = np.arange(max(n_outputs, 2))
            estimator.partial_fit(rows, classes, classes=classes)
    # Without what that step left: an optimizer's moments, a loss, a count.
    estimator.n_iter_ = estimator.t_ = 0
    estimator.loss_curve_ = []
    estimator.loss_ = math.nan
    estimator.best_loss_ = math.inf
    vars(estimator).pop("_optimizer", None)
    for l, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        estimator.coefs_[l] = np.array(weight.T, order="C")
        estimator.intercepts_[l] = np.zeros(len(weight), net.dtype) if bias is None else bias.copy()
    return estimator


def from_sklearn(
    estimator: Any,
    cls: type[Net] = MLP,  # type: ignore[assignment]  # the default of a type variable
) -> Net:
    """As `MLP.from_sklearn`; `cls` is the class of the net."""
    rule = "estimator: expected an MLPClassifier or MLPRegressor"
    if isinstance(estimator, type) or not hasattr(estimator, "hidden_layer_sizes"):
        raise TypeError(f"{rule}, got {received(estimator)}")
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"{rule} that is fitted, got {received(estimator)}")
    weights = as_arrays(estimator.coefs_, "coefs_")
    biases = as_arrays(estimator.intercepts_, "intercepts_")
    if len(weights) != len(biases):
        raise ValueError(
            f"intercepts_: expected {len(weights)}, one for each of coefs_, got {len(biases)}"
        )
    layers = [
        Dense(f"coefs_[{l}]", weight.T, bias)
        for l, (weight, bias) in enumerate(zip(weights, biases, strict=True))
    ]
    if hasattr(estimator, "net_"):  # one of mlpcore's, whose hidden layers may differ
        return net_of(cls, layers, estimator.net_.activations)
    ours = {theirs: name for name, theirs in _NAMES.items()}
    if len(layers) > 1 and estimator.activation not in ours:
        raise ValueError(
            f"layer 0: expected an activation of {', '.join(ours)}, got {estimator.activation!r}"
        )
    if estimator.out_activation_ not in _OUTPUTS:
        raise ValueError(
            f"layer {len(layers) - 1}: expected an output activation of {', '.join(_OUTPUTS)}, "
            f"got {estimator.out_activation_!r}"
        )
    activations = [ours[estimator.activation] for _ in layers[:-1]]
    return net_of(cls, layers, [*activations, _OUTPUTS[estimator.out_activation_]])


def _hidden_activation(net: MLP) -> str:
    for l, name in enumerate(net.activations[:-1]):
        if name not in _NAMES:
            raise ValueError(
                f"layer {l}: scikit-learn's hidden activations are {', '.join(_NAMES)}, "
                f"got {name!r}"
            )
        if name != net.activations[0]:
            raise ValueError(
                f"layer {l}: scikit-learn has one activation for all hidden layers, here "
                f"{net.activations[0]!r}, got {name!r}"
            )
    return _NAMES[net.activations[0]] if len(net.activations) > 1 else "identity"
