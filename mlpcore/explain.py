# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the chain rule for one net and one loss.

The rows are put together here, of formulas in two notations; `tables` draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ._checks import check_choice
from ._core import LOSSES
from .chain import layer_names
from .formulas import ACTIVATION_FORMULAS, LOSS_FORMULAS, ActivationFormulas, Formula, words
from .losses import CallableLoss, as_loss
from .tables import RENDERERS, Document, Table
from .target_gradient import terms_per_sample

if TYPE_CHECKING:
    from .mlp import MLP

_INTRODUCTION = Formula(
    "One sample: column vectors; the derivative of m numbers by n numbers is an m x n matrix "
    "(numerator layout). A batch has N samples, one a row.",
    r"One sample: column vectors; the derivative of $m$ numbers by $n$ numbers is an $m \times n$ "
    "matrix (numerator layout). A batch has $N$ samples, one a row.",
)
_TENSORS = Formula(
    "A factor such as dz1/dW1 has three indices. Backpropagation applies it to a row "
    "dl/dz1, as in the table of the derivatives of the loss.",
    r"A factor such as $\partial z_1 / \partial W_1$ has three indices. Backpropagation "
    r"applies it to a row $\partial l / \partial z_1$, as in the table of the derivatives of the "
    "loss.",
)


def explain(net: MLP, loss: Any, format: str = "text") -> str:
    """Describe how a net and a loss are differentiated: the tables of the chain rule.

    Three tables: the layers with input, output and shape, the loss among them; the derivative of
    the loss with respect to every pre-activation, parameter and to x, with the order of the
    factors and the transposes; and every local derivative as a formula. The names are the keys of
    `MLP.chain`, which has the numbers.

    Parameters
    ----------
    net : MLP
        The net; its sizes and activations matter, its parameters do not.
    loss : str, Loss or callable
        The loss.
    format : {"text", "markdown", "latex"}
        ``"text"`` and ``"markdown"`` write formulas as NumPy does: ``*`` entry by entry, ``@``
        between matrices. ``"latex"`` is a fragment for a document that loads amsmath.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the format is none of the three, or the loss does not suit the net's output.

    Examples
    --------
    >>> import mlpcore
    >>> net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"])
    >>> print(net.explain("mse"))  # doctest: +ELLIPSIS
    One sample: ...
    <BLANKLINE>
    Forward pass
    ------------
    layer     input     output                          shape
    linear 1  x         z1 = W1 @ x + b1                (N, 20)
    relu      z1        z2 = max(0, z1)                 (N, 20)
    linear 2  z2        z3 = W2 @ z2 + b2               (N, 5)
    identity  z3        y_hat = z3                      (N, 5)
    mse       y_hat, y  l = sum((y_hat - y)^2) / (5 N)  scalar
    ...
    """
    check_choice(format, "format", RENDERERS)
    return RENDERERS[format](_document(net, loss))


# ---- the rows -----------------------------------------------------------------------------------


class _LossRows(NamedTuple):
    """The loss's part of the tables."""

    name: str
    value: Formula
    gradient: Formula
    target_gradient: Formula | None
    notes: list[Formula]


def _document(net: MLP, loss: Any) -> Document:
    names = layer_names(len(net.activations))
    loss_rows = _loss_rows(net, as_loss(net, loss))
    used = [ACTIVATION_FORMULAS[name] for name in dict.fromkeys(net.activations)]
    notes = [formulas.note for formulas in used if formulas.note is not None]
    tables = [
        _forward_table(net, names, loss_rows),
        _gradient_table(net, names),
        _local_table(net, names, loss_rows),
    ]
    return Document(_INTRODUCTION, tables, [_TENSORS, *notes, *loss_rows.notes])


def _forward_table(net: MLP, names: list[tuple[str, str, str]], loss: _LossRows) -> Table:
    rows: list[tuple[Formula | str, ...]] = []
    for i, (before, z, after) in enumerate(names):
        shape = _array_shape("N", net.sizes[i + 1])
        linear = _product(_symbol(f"W{i + 1}"), _symbol(before))
        if net.has_bias:
            linear = Formula("$a + $b", "$a + $b").of(a=linear, b=_symbol(f"b{i + 1}"))
        value = _activation(net, i, z, after).value
        rows.append((f"linear {i + 1}", _symbol(before), _equation(_symbol(z), linear), shape))
        rows.append((net.activations[i], _symbol(z), _equation(_symbol(after), value), shape))
    both = Formula("y_hat, y", r"\hat{y}, y")
    rows.append((loss.name, both, _equation(_symbol("l"), loss.value), "scalar"))
    return Table("Forward pass", ("layer", "input", "output", "shape"), rows)


def _gradient_table(net: MLP, names: list[tuple[str, str, str]]) -> Table:
    rows: list[tuple[Formula | str, ...]] = []
    above = [_derivative("l", "y_hat")]  # the row that arrives, and the factor before it
    for i in reversed(range(len(names))):
        before, z, after = names[i]
        n_inputs, n_outputs = net.sizes[i : i + 2]
        delta = _derivative("l", z)
        a_row_each = "a row for each sample"
        rows.append(
            (
                delta,
                _product(*above, _derivative(after, z)),
                _matrix_shape(1, n_outputs),
                a_row_each,
                _array_shape("N", n_outputs),
            )
        )
        transposed = Formula("($d)^T", r"\left($d\right)^{\top}").of(d=delta)
        input_transposed = Formula("$a^T", r"$a^{\top}").of(a=_symbol(before))
        rows.append(
            (
                _derivative("l", f"W{i + 1}"),
                _product(_symbol(before), delta),
                _matrix_shape(n_inputs, n_outputs),
                _summed(_product(transposed, input_transposed)),
                _array_shape(n_outputs, n_inputs),
            )
        )
        if net.has_bias:
            rows.append(
                (
                    _derivative("l", f"b{i + 1}"),
                    delta,
                    _matrix_shape(1, n_outputs),
                    _summed(transposed),
                    _array_shape(n_outputs),
                )
            )
        above = [delta, _derivative(z, before)]
    rows.append(
        (
            _derivative("l", "x"),
            _product(*above),
            _matrix_shape(1, net.sizes[0]),
            a_row_each,
            _array_shape("N", net.sizes[0]),
        )
    )
    header = ("derivative", "by the chain rule", "is", "array for a batch", "shape")
    return Table("Derivatives of the loss", header, rows)


def _local_table(net: MLP, names: list[tuple[str, str, str]], loss: _LossRows) -> Table:
    n_outputs = net.sizes[-1]
    rows: list[tuple[Formula | str, ...]] = [
        (_derivative("l", "y_hat"), loss.gradient, _matrix_shape(1, n_outputs))
    ]
    for i in reversed(range(len(names))):
        before, z, after = names[i]
        width = net.sizes[i + 1]
        jacobian = _activation(net, i, z, after).jacobian
        rows.append((_derivative(after, z), jacobian, _matrix_shape(width, width)))
        weight = _symbol(f"W{i + 1}")
        rows.append((_derivative(z, before), weight, _matrix_shape(width, net.sizes[i])))
    if loss.target_gradient is not None:
        rows.append((_derivative("l", "y"), loss.target_gradient, _matrix_shape(1, n_outputs)))
    return Table("Local derivatives", ("derivative", "formula", "shape"), rows)


def _loss_rows(net: MLP, loss: Any) -> _LossRows:
    if isinstance(loss, CallableLoss):
        value = Formula("f(y_hat, y)", r"f(\hat{y}, y)")
        gradient = Formula("as f returns it", r"\text{as $f$ returns it}")
        return _LossRows("loss", value, gradient, None, [])
    formulas = LOSS_FORMULAS[next(name for name, kind in LOSSES.items() if kind == loss.kind)]
    parameter = _both(f"{loss.parameter:g}")

    def reduced(formula: Formula) -> Formula:
        divisor = _divisor(net, loss)
        if divisor is None:
            return formula.of(p=parameter)
        ratio = Formula("$a / $d", r"$a \,/\, $d")
        return ratio.of(a=formula.of(p=parameter), d=divisor)

    notes = [] if formulas.note is None else [formulas.note]
    if loss.fuses_with(net.activations[-1]):
        notes.append(_fused_note(net, loss.name, reduced))
    value = Formula("sum($t)", r"\sum \left[$t\right]").of(t=formulas.terms)
    return _LossRows(
        loss.name,
        reduced(value),
        reduced(formulas.gradient),
        reduced(formulas.target_gradient),
        notes,
    )


def _fused_note(net: MLP, loss_name: str, reduced: Callable[[Formula], Formula]) -> Formula:
    z = layer_names(len(net.activations))[-1][1]
    residual = Formula("(y_hat - y)^T", r"(\hat{y} - y)^{\top}")
    facts = {
        "f": words(net.activations[-1]),
        "loss": words(loss_name),
        "z": _symbol(z),
        "fused": _equation(_derivative("l", z), reduced(residual)),
        "unfused": _product(_derivative("l", "y_hat"), _derivative("y_hat", z)),
    }
    where = ", where y adds up to 1" if loss_name == "cross_entropy" else ""
    return Formula(
        f"$f and $loss are one step, taken from $z: $fused{where}. This equals $unfused, but does "
        "not lose it where y_hat rounds to 0 or 1.",
        rf"$f and $loss are one step, taken from $$$z$$: $$$fused$${where}. This equals "
        r"$$$unfused$$, but does not lose it where $$\hat{y}$$ rounds to 0 or 1.",
    ).of(**facts)


def _divisor(net: MLP, loss: Any) -> Formula | None:
    """What the reduction divides the sum of the terms by."""
    n_terms = terms_per_sample(loss, net.sizes[-1])
    if n_terms is None:
        return None
    return _both("N") if n_terms == 1 else Formula(f"({n_terms} N)", rf"({n_terms}\, N)")


def _activation(net: MLP, i: int, z: str, after: str) -> ActivationFormulas:
    formulas = ACTIVATION_FORMULAS[net.activations[i]]
    quantities = {"z": _symbol(z), "a": _symbol(after), "n": _both(str(net.sizes[i + 1]))}
    return formulas._replace(
        value=formulas.value.of(**quantities), jacobian=formulas.jacobian.of(**quantities)
    )


# ---- small pieces -------------------------------------------------------------------------------


def _both(text: str) -> Formula:
    return Formula(text, text)


def _symbol(name: str) -> Formula:
    if name == "y_hat":
        return Formula(name, r"\hat{y}")
    return Formula(name, f"{name[0]}_{{{name[1:]}}}" if len(name) > 1 else name)


def _derivative(of: str, by: str) -> Formula:
    return Formula("d$a/d$b", r"\dfrac{\partial $a}{\partial $b}").of(a=_symbol(of), b=_symbol(by))


def _equation(left: Formula, right: Formula) -> Formula:
    return Formula("$a = $b", "$a = $b").of(a=left, b=right)


def _product(*factors: Formula) -> Formula:
    texts, latexes = zip(*factors, strict=True)
    return Formula(" @ ".join(texts), r"\, ".join(latexes))


def _summed(formula: Formula) -> Formula:
    return Formula("sum of $a", r"\sum_N $a").of(a=formula)


def _matrix_shape(*lengths: int) -> Formula:
    return Formula(" x ".join(map(str, lengths)), r" \times ".join(map(str, lengths)))


def _array_shape(*lengths: int | str) -> Formula:
    tail = "," if len(lengths) == 1 else ""
    return _both(f"({', '.join(map(str, lengths))}{tail})")
