# SPDX-License-Identifier: BSD-3-Clause
"""One step of training in the header that `export_c` writes: its text, in the same words.

The operations and their order are those of src_c: loss_template.h for a row's loss and
its gradient, linear_template.h for the sums over rows, optimizer_template.h for plain SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core
from ._checks import check_positive_int, received
from .losses import Loss, as_loss

if TYPE_CHECKING:
    from .mlp import MLP

# Sums over rows are taken in chunks of so many; a batch of one chunk needs no second sum.
MAX_BATCH_SIZE = 512

_KINDS = {number: name for name, number in _core.LOSSES.items()}
_WITH_PARAMETER = ("huber", "quantile")


@dataclass(frozen=True, slots=True)
class TrainStep:
    """A step of plain SGD as it is exported.

    Attributes
    ----------
    loss : Loss
        As the net computes it.
    kind : str
        What is really computed.
    on_pre_activation : bool
        Whether that is of z rather than of y_hat.
    batch_size : int
    """

    loss: Loss
    kind: str
    on_pre_activation: bool
    batch_size: int

    @classmethod
    def of(cls, net: MLP, loss: Any, batch_size: Any) -> TrainStep:
        """The step of a net on a loss; raises ValueError or TypeError if it cannot be written."""
        size = check_positive_int(batch_size, "batch_size")
        if size > MAX_BATCH_SIZE:
            raise ValueError(f"batch_size: expected at most {MAX_BATCH_SIZE}, got {size}")
        checked = as_loss(net, loss)
        if not isinstance(checked, Loss):
            raise TypeError(
                f"train_step: expected one of mlpcore's losses, got the function {received(loss)}"
            )
        kind, on_pre_activation = _core.fused_loss(
            checked.kind, _core.ACTIVATIONS[net.activations[-1]]
        )
        return cls(checked, _KINDS[kind], on_pre_activation, size)

    def factor(self, n_outputs: int) -> float:
        """What the sum of all terms is multiplied by."""
        if self.loss.reduction == "sum":
            return 1.0
        divisor = float(self.batch_size)
        if self.loss.reduction == "mean" and not self.kind.startswith("cross_entropy"):
            divisor *= n_outputs
        return 1.0 / divisor


_ELEMENTWISE_LOSS = """
/* The sum of a row's terms, and dl/d of what they are of. */
static inline double NAME_loss(const REAL *y_hat, const REAL *y, REAL *gradient) {
    REAL terms[N_OUTPUTS];
    size_t j;
    for (j = 0; j < N_OUTPUTS; j++) {
        REAL derivative;
        NAME_LOSS_term(y_hat[j], y[j], &terms[j], &derivative);
        gradient[j] = derivative * C(FACTOR);
    }
    return NAME_row_sum(N_OUTPUTS, terms);
}
"""

# The formulas stand in loss_template.h.
_CROSS_ENTROPY = """
/* The cross entropy of a row of logits, and dl/dz; neither rounds to 0 for a right answer. */
static inline double NAME_loss(const REAL *z, const REAL *y, REAL *gradient) {
    const size_t n = N_OUTPUTS;
    REAL terms[N_OUTPUTS], largest = z[0], others, log_sum, inverse, total;
    double n_largest = 0.0, value;
    size_t j;
    for (j = 1; j < n; j++) largest = z[j] > largest ? z[j] : largest;
    for (j = 0; j < n; j++) {
        terms[j] = z[j] == largest ? C(0) : NAME_exp(z[j] - largest);
        gradient[j] = terms[j];
        n_largest += z[j] == largest ? 1.0 : 0.0;
    }
    others = (REAL)(NAME_row_sum(n, terms) + (n_largest - 1.0 + (double)(largest - largest)));
    log_sum = NAME_log1p(others);
    inverse = C(1) / (C(1) + others);
    total = (REAL)NAME_row_sum(n, y);
    for (j = 0; j < n; j++) {
        const REAL shifted = y[j] == C(0) ? C(0) : z[j] - largest;
        terms[j] = y[j] * (log_sum - shifted);
    }
    value = NAME_row_sum(n, terms);
    for (j = 0; j < n; j++) {
        const int is_largest = z[j] == largest;
        const REAL p = (is_largest ? C(1) : gradient[j]) * inverse;
        const REAL not_p = is_largest ? others * inverse : C(1) - p;
        gradient[j] = NAME_FNMA(y[j], not_p, p * (total - y[j])) * C(FACTOR);
    }
    return value;
}
"""

_UPDATE = """
/* One layer: parameters -= learning_rate gradient, where gradients are sums over the rows. Nothing
 * is stored unless `store`; the result tells whether all new parameters are finite. */
static inline int NAME_update(size_t n_inputs, size_t n_outputs, const REAL *restrict x,
                              const REAL *restrict dz, REAL learning_rate, int store,
                              REAL *restrict weight, REAL *restrict bias) {
    size_t i, j, row;
    int finite = 1;
    for (i = 0; i < n_inputs; i++)
        for (j = 0; j < n_outputs; j++) {
            REAL *const p = &weight[i * n_outputs + j];
            REAL gradient = C(0), updated;
            for (row = 0; row < BATCH_SIZE; row++)
                gradient = NAME_FMA(x[row * n_inputs + i], dz[row * n_outputs + j], gradient);
            updated = NAME_FNMA(learning_rate, gradient, *p);
            finite &= updated - updated == C(0);
            if (store) *p = updated;
        }
    if (bias)
        for (j = 0; j < n_outputs; j++) {
            REAL gradient = C(0), updated;
            for (row = 0; row < BATCH_SIZE; row++) gradient += dz[row * n_outputs + j];
            updated = NAME_FNMA(learning_rate, gradient, bias[j]);
            finite &= updated - updated == C(0);
            if (store) bias[j] = updated;
        }
    return finite;
}
"""


def needed_functions(step: TrainStep) -> set[str]:
    """Functions of `export_c_math` that the step calls."""
    if step.kind == "cross_entropy_with_logits":
        return {"exp", "log1p"}
    return {f"{step.kind}_term"}


def train_text(net: MLP, step: TrainStep, offsets: list[tuple[int, int | None]]) -> str:
    """The functions of the step; `offsets` of each layer's weight and bias in the parameters."""
    n_outputs = net.sizes[-1]
    is_logits = step.kind == "cross_entropy_with_logits"
    parts = [_CROSS_ENTROPY if is_logits else _ELEMENTWISE_LOSS]
    parts += [_UPDATE, _step(net, step, offsets)]
    parameter = f"{step.loss.parameter!r}, " if step.kind in _WITH_PARAMETER else ""
    return (
        "".join(parts)
        .replace("NAME_LOSS_term(", f"NAME_{step.kind}_term({parameter}")
        .replace("N_OUTPUTS", str(n_outputs))
        .replace("BATCH_SIZE", str(step.batch_size))
        .replace("FACTOR", repr(step.factor(n_outputs)))
    )


def stack_bytes(net: MLP, step: TrainStep) -> int:
    """Bytes of the arrays of a step; what the compiler adds is small beside them."""
    real = net.dtype.itemsize
    hidden = sum(net.sizes[1:-1])
    n_outputs = net.sizes[-1]
    kept = step.batch_size * (2 * hidden + n_outputs)
    row = sum(net.sizes[l + 1] for l in _with_slope(net, step)) + n_outputs
    chunk = max(net.sizes[1:]) if max(net.sizes[:-1]) > 512 else 0
    # The loss keeps its terms and the lanes of a sum.
    return real * (kept + row + chunk + n_outputs) + 16 * 8


def _with_slope(net: MLP, step: TrainStep) -> list[int]:
    """Layers whose f'(z) is kept."""
    last = len(net.activations) - 1
    return [
        l
        for l, name in enumerate(net.activations)
        if name not in ("identity", "softmax") and not (l == last and step.on_pre_activation)
    ]


def _step(net: MLP, step: TrainStep, offsets: list[tuple[int, int | None]]) -> str:
    sizes, last = net.sizes, len(net.activations) - 1
    size, slopes = step.batch_size, _with_slope(net, step)
    is_long = max(sizes[:-1]) > 512
    lines = [
        "\nstatic inline double NAME_train_step(REAL *parameters, const REAL *x, const REAL *y,",
        "                                     REAL learning_rate) {",
        *(f"    REAL a_{l}[{size * sizes[l + 1]}];" for l in range(last)),
        *(f"    REAL dz_{l}[{size * sizes[l + 1]}];" for l in range(last + 1)),
        *(f"    REAL d_{l}[{sizes[l + 1]}];" for l in slopes),
        f"    REAL y_hat[{sizes[-1]}];",
        *([f"    REAL chunk[{max(sizes[1:])}];"] if is_long else []),
        "    double value = 0.0;",
        f"    size_t {'j, ' if slopes else ''}row;",
        "    int store;",
        f"    for (row = 0; row < {size}; row++) {{",
    ]
    for l, name in enumerate(net.activations):
        n_inputs, n_outputs = sizes[l : l + 2]
        source = f"x + row * {n_inputs}" if l == 0 else f"a_{l - 1} + row * {n_inputs}"
        target = "y_hat" if l == last else f"a_{l} + row * {n_outputs}"
        weight, bias = _places(offsets[l])
        lines.append(
            f"        NAME_dense({n_inputs}, {n_outputs}, {weight}, {bias}, {source}, {target}"
            f"{', chunk' if is_long else ''});"
        )
        if l in slopes:
            z = "y_hat[j]" if l == last else f"a_{l}[row * {n_outputs} + j]"
            call = f"NAME_{name}({z}, &{z}, &d_{l}[j]);"
            lines.append(f"        for (j = 0; j < {n_outputs}; j++) {call}")
        elif name == "softmax" and not step.on_pre_activation:
            lines.append(f"        NAME_softmax({n_outputs}, {target});")
    n_outputs = sizes[-1]
    dz = f"dz_{last} + row * {n_outputs}"
    lines.append(f"        value += NAME_loss(y_hat, y + row * {n_outputs}, {dz});")
    if last in slopes:
        lines.append(
            f"        for (j = 0; j < {n_outputs}; j++) dz_{last}[row * {n_outputs} + j] *= "
            f"d_{last}[j];"
        )
    elif net.activations[-1] == "softmax" and not step.on_pre_activation:
        lines.append(f"        NAME_softmax_backward(y_hat, {dz});")
    for l in range(last, 0, -1):
        n_inputs, n_outputs = sizes[l : l + 2]
        slope = f"d_{l - 1}" if l - 1 in slopes else "NULL"
        lines.append(
            f"        NAME_backward({n_inputs}, {n_outputs}, {_places(offsets[l])[0]}, "
            f"dz_{l} + row * {n_outputs}, {slope}, dz_{l - 1} + row * {n_inputs});"
        )
    lines += [
        "    }",
        "    value *= DOUBLE(FACTOR);",
        "    if (!(value - value == 0.0)) return value;",
        "    /* To look at every new parameter first costs time, to keep the old ones memory. */",
        "    for (store = 0; store < 2; store++) {",
        "        int finite = 1;",
    ]
    for l in range(last + 1):
        weight, bias = _places(offsets[l])
        source = "x" if l == 0 else f"a_{l - 1}"
        lines.append(
            f"        finite &= NAME_update({sizes[l]}, {sizes[l + 1]}, {source}, dz_{l}, "
            f"learning_rate, store, {weight}, {bias});"
        )
    lines += ["        if (!finite) return 0.0 / (value - value);", "    }", "    return value;"]
    return "\n".join([*lines, "}\n"])


def _places(offsets: tuple[int, int | None]) -> tuple[str, str]:
    weight, bias = offsets
    return (
        f"parameters + {weight}" if weight else "parameters",
        "NULL" if bias is None else f"parameters + {bias}",
    )
