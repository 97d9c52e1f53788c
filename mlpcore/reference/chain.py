# SPDX-License-Identifier: BSD-3-Clause
"""The chain rule with every factor named: what a student writes down, as numbers."""

from typing import Any

from numpy.typing import ArrayLike

from .activations import Array
from .losses import loss_gradient
from .network import Layers, trace, value_and_grad


def chain(
    layers: Layers,
    x: ArrayLike,
    y: ArrayLike,
    loss: str,
    reduction: str = "mean",
    sample_weight: ArrayLike | None = None,
    **parameters: Any,
) -> dict[str, Array | float]:
    """Every quantity and every factor of the chain rule, by its name.

    Parameters
    ----------
    layers, x, y, loss, reduction, sample_weight, **parameters
        As for `value_and_grad`.

    Returns
    -------
    dict
        Layer i = 1 ... L has z(2i-1) before and z(2i) after its activation; z(2L) is called y_hat.

        - ``x``, ``z1``, ``z2``, ..., ``y_hat``, ``l``: the values;
        - ``dl/dy_hat``, ``dy_hat/dz3``, ``dz3/dz2``, ..., ``dz1/dx``: the local factors.  That of
          an activation is the diagonal (N, width) of its Jacobian, softmax's the Jacobian (N, K,
          K), that of a linear map its weight;
        - ``dl/dz3``, ``dl/dz2``, ..., ``dl/dx``: the accumulated products;
        - ``dl/dW1``, ``dl/db1``, ...: the parameters' gradients.

    Examples
    --------
    >>> c = chain([([[2.0]], [1.0], "identity")], [[3.0]], [[5.0]], "mse")
    >>> list(c)[:7]
    ['x', 'z1', 'y_hat', 'l', 'dl/dy_hat', 'dy_hat/dz1', 'dl/dz1']
    >>> list(c)[7:]
    ['dl/dW1', 'dl/db1', 'dz1/dx', 'dl/dx']
    """
    steps = trace(layers, x)
    last = steps[-1]
    value, gradients = value_and_grad(layers, x, y, loss, reduction, sample_weight, **parameters)
    if last.layer.activation == "softmax" and loss == "cross_entropy":
        parameters = {**parameters, "from_logits": False}  # y_hat itself holds the probabilities
    dl_dy_hat = loss_gradient(loss, last.output, y, sample_weight, reduction, **parameters)

    n_layers = len(steps)
    z_names = ["x", *(f"z{j}" for j in range(1, 2 * n_layers)), "y_hat"]
    result: dict[str, Array | float] = {"x": steps[0].input}
    for i, step in enumerate(steps):
        result[z_names[2 * i + 1]] = step.pre_activation
        result[z_names[2 * i + 2]] = step.output
    result["l"] = value
    result["dl/dy_hat"] = dl_dy_hat
    for i in reversed(range(n_layers)):
        before, z, after = z_names[2 * i : 2 * i + 3]
        result[f"d{after}/d{z}"] = steps[i].activation_derivative
        result[f"dl/d{z}"] = gradients.pre_activations[i]
        result[f"dl/dW{i + 1}"] = gradients.weights[i]
        bias_gradient = gradients.biases[i]
        if bias_gradient is not None:
            result[f"dl/db{i + 1}"] = bias_gradient
        result[f"d{z}/d{before}"] = steps[i].layer.weight
        result[f"dl/d{before}"] = gradients.layer_inputs[i]
    return result
