# SPDX-License-Identifier: BSD-3-Clause
"""The jobs, and how much work each of them is: exactly what it needs, and not what anyone does."""

from __future__ import annotations

from .cases import Case

# forward        into an array that is there already, where there is a way to ask for it
# call           from a NumPy array to a new NumPy array
# value_and_grad a loss, dl/dparameters and dl/dx
# ..._step       loss, dl/dparameters and an update: dl/dx is not part of it
# ..._epoch      many mini-batches in one call, in the order in which they are; timed per step
JOBS = (
    "forward",
    "call",
    "value_and_grad",
    "sgd_step",
    "adam_step",
    "sgd_epoch",
    "adam_epoch",
)
# jacobian       dy_hat/dx of every sample
# value_and_jacobian  y_hat beside it
# hvp            the Hessian of the loss in the parameters times a vector
# gradient_norms the norm of each sample's own gradient
DERIVATIVES = ("jacobian", "value_and_jacobian", "hvp", "gradient_norms")
TITLES = {
    "forward": "forward",
    "call": "net(x)",
    "value_and_grad": "gradient",
    "sgd_step": "SGD step",
    "adam_step": "Adam step",
    "sgd_epoch": "SGD epoch",
    "adam_epoch": "Adam epoch",
    "jacobian": "Jacobian",
    "value_and_jacobian": "value, Jacobian",
    "hvp": "Hessian product",
    "gradient_norms": "sample norms",
}
EPOCHS = ("sgd_epoch", "adam_epoch")
BYTES_OF_A_NUMBER = 4


def flops(case: Case, job: str) -> int:
    """Multiplications and additions of the matrix products, per call, or per step of an epoch.

    Three products a layer: the output, the weight's gradient, and the input's gradient, which the
    first layer needs for dl/dx alone. Everything else a net does (biases, activations, loss, the
    update) counts as nothing, so that none of it is a share of the peak.

    A Jacobian needs a row more through the net for each output or for each input, less the product
    at which these begin. A product with the Hessian has eight products a layer, of which the first
    layer lacks the five that a change of its input and dl/dx would take. Norms need no gradient of
    a weight.
    """
    products = [n_inputs * n_outputs for n_inputs, n_outputs in case.layers]
    per_row = sum(products)
    if job in ("jacobian", "value_and_jacobian"):
        rows = (case.sizes[-1] * (per_row - products[-1]), case.sizes[0] * (per_row - products[0]))
        per_row += min(rows)
    elif job == "hvp":
        per_row = 8 * per_row - 5 * products[0]
    elif job == "gradient_norms":
        per_row = 2 * per_row - products[0]
    elif job not in ("forward", "call"):
        per_row = 3 * per_row
        if job != "value_and_grad":
            per_row -= products[0]
    return 2 * case.batch_size * per_row


def n_parameters(case: Case) -> int:
    return sum((n_inputs + 1) * n_outputs for n_inputs, n_outputs in case.layers)


def parameter_bytes(case: Case) -> int:
    """What one row through a net has to read."""
    return BYTES_OF_A_NUMBER * n_parameters(case)


def n_epoch_steps(case: Case) -> int:
    """Mini-batches of an epoch: many where steps are short, two where one takes a second."""
    return max(2, min(512, 1_000_000_000 // flops(case, "sgd_step")))
