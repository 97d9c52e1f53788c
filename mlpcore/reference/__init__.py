# SPDX-License-Identifier: BSD-3-Clause
"""The slow twins: what mlpcore computes, in plain NumPy and float64, written to be read.

Nothing in mlpcore that computes imports this package; tests compare the two. Read its modules
``activations``, ``loss_terms``, ``losses`` and ``network``, then what interests you.
"""

from .activations import (
    ACTIVATIONS,
    activation,
    activation_derivative,
    activation_second_derivative,
    softmax_jacobian,
)
from .chain import chain
from .derivatives import (
    hvp,
    input_hessian,
    jacobian,
    jvp,
    laplacian,
    parameter_jacobian,
    per_sample_gradients,
    sobolev_value_and_grad,
    vjp,
)
from .dropout import dropout_mask
from .gradcheck import numerical_gradient
from .loss_terms import LOSSES
from .losses import (
    loss_gradient,
    loss_hessian_product,
    loss_second_derivative,
    loss_value,
    one_hot,
)
from .network import (
    Gradients,
    Layer,
    LayerTrace,
    backward,
    flatten,
    forward,
    layers_from_flat,
    trace,
    value_and_grad,
)
from .optimizers import (
    adam_step,
    adamw_step,
    adjusted_gradients,
    levenberg_marquardt_step,
    rmsprop_step,
    sgd_step,
)

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Gradients",
    "Layer",
    "LayerTrace",
    "activation",
    "activation_derivative",
    "activation_second_derivative",
    "adam_step",
    "adamw_step",
    "adjusted_gradients",
    "backward",
    "chain",
    "dropout_mask",
    "flatten",
    "forward",
    "hvp",
    "input_hessian",
    "jacobian",
    "jvp",
    "laplacian",
    "layers_from_flat",
    "levenberg_marquardt_step",
    "loss_gradient",
    "loss_hessian_product",
    "loss_second_derivative",
    "loss_value",
    "numerical_gradient",
    "one_hot",
    "parameter_jacobian",
    "per_sample_gradients",
    "rmsprop_step",
    "sgd_step",
    "sobolev_value_and_grad",
    "softmax_jacobian",
    "trace",
    "value_and_grad",
    "vjp",
]
