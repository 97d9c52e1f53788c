# SPDX-License-Identifier: BSD-3-Clause
"""The formulas of every activation and loss, each in two notations.

As text a formula reads like NumPy: `*` entry by entry, `@` between matrices, `^T` a transpose.
`$name` stands for a quantity of the net in which the formula is used. One sample is a column
vector, and a derivative by a vector is a row (numerator layout).
"""

from __future__ import annotations

from string import Template
from typing import NamedTuple


class Formula(NamedTuple):
    """A formula in the two notations."""

    text: str
    latex: str

    def of(self, **quantities: Formula) -> Formula:
        """The formula with `$name` replaced by the quantity of that name."""
        return Formula(
            Template(self.text).substitute({name: q.text for name, q in quantities.items()}),
            Template(self.latex).substitute({name: q.latex for name, q in quantities.items()}),
        )


class ActivationFormulas(NamedTuple):
    """f and its Jacobian, of the pre-activation $z, the output $a and the width $n."""

    value: Formula
    jacobian: Formula
    note: Formula | None = None  # words, with formulas between dollars


class LossFormulas(NamedTuple):
    """The terms of a loss with the parameter $p, and their derivatives by y_hat and by y."""

    terms: Formula
    gradient: Formula
    target_gradient: Formula
    note: Formula | None = None  # words, with formulas between dollars


def words(text: str) -> Formula:
    """Words, the same in both notations."""
    return Formula(text, escaped(text))


def escaped(text: str) -> str:
    """Words as LaTeX takes them."""
    return text.replace("_", r"\_")


def _diagonal(text: str, latex: str) -> Formula:
    return Formula(f"diag({text})", rf"\operatorname{{diag}}({latex})")


ACTIVATION_FORMULAS = {
    "identity": ActivationFormulas(Formula("$z", "$z"), Formula("I_$n", "I_{$n}")),
    "relu": ActivationFormulas(
        Formula("max(0, $z)", r"\max(0, $z)"),
        _diagonal("1 where $z > 0, else 0", r"\mathbf{1}[$z > 0]"),
        words("The derivative of relu at 0 is 0, by convention."),
    ),
    "leaky_relu": ActivationFormulas(
        Formula("max(0.01 $z, $z)", r"\max(0.01\, $z, $z)"),
        _diagonal("1 where $z > 0, else 0.01", r"0.01 + 0.99\, \mathbf{1}[$z > 0]"),
        words("The derivative of leaky_relu at 0 is 0.01, by convention."),
    ),
    "elu": ActivationFormulas(
        Formula("max(0, $z) + min(0, exp($z) - 1)", r"\max(0, $z) + \min(0, e^{$z} - 1)"),
        _diagonal("exp(min(0, $z))", r"e^{\min(0, $z)}"),
    ),
    "gelu": ActivationFormulas(
        Formula("$z * Phi($z)", r"$z \odot \Phi($z)"),
        _diagonal("Phi($z) + $z * phi($z)", r"\Phi($z) + $z \odot \phi($z)"),
        Formula(
            "Phi and phi are the standard normal distribution function and its density.",
            r"$\Phi$ and $\phi$ are the standard normal distribution function and its density.",
        ),
    ),
    "silu": ActivationFormulas(
        Formula("$z * sigmoid($z)", r"$z \odot \sigma($z)"),
        _diagonal(
            "sigmoid($z) + $z * sigmoid($z) * sigmoid(-$z)",
            r"\sigma($z) + $z \odot \sigma($z) \odot \sigma(-$z)",
        ),
    ),
    "softplus": ActivationFormulas(
        Formula("log(1 + exp($z))", r"\log(1 + e^{$z})"),
        _diagonal("sigmoid($z)", r"\sigma($z)"),
    ),
    "tanh": ActivationFormulas(
        Formula("tanh($z)", r"\tanh($z)"), _diagonal("1 - $a^2", "1 - $a^2")
    ),
    "sigmoid": ActivationFormulas(
        Formula("sigmoid($z) = 1 / (1 + exp(-$z))", r"\sigma($z) = 1 / (1 + e^{-$z})"),
        _diagonal("$a * (1 - $a)", r"$a \odot (1 - $a)"),
    ),
    "softmax": ActivationFormulas(
        Formula("exp($z) / sum(exp($z))", r"e^{$z} / \sum e^{$z}"),
        Formula("diag($a) - $a @ $a^T", r"\operatorname{diag}($a) - $a\, $a^{\top}"),
    ),
}


def _of_residual(terms: Formula, derivative: Formula, note: Formula | None = None) -> LossFormulas:
    """A loss of y_hat - y alone: its two derivatives differ in the sign."""
    minus = Formula(f"-{derivative.text}", f"-{derivative.latex}")
    return LossFormulas(terms, derivative, minus, note)


_AT_TARGET = Formula(
    "The derivative at y_hat = y is 0, by convention.",
    r"The derivative at $\hat{y} = y$ is 0, by convention.",
)
_CLAMPED = words(
    "Logarithms are kept at -100 or above, denominators at half the dtype's epsilon or above."
)
_CLASSES = Formula(
    "Class indices stand for one-hot rows of y, and have no dl/dy.",
    r"Class indices stand for one-hot rows of $y$, and have no $\partial l / \partial y$.",
)
_LOGITS = Formula("y_hat holds logits.", r"$\hat{y}$ holds logits.")


def _sentences(*sentences: Formula) -> Formula:
    texts, latexes = zip(*sentences, strict=True)
    return Formula(" ".join(texts), " ".join(latexes))


LOSS_FORMULAS = {
    "mse": _of_residual(
        Formula("(y_hat - y)^2", r"(\hat{y} - y)^2"),
        Formula("2 (y_hat - y)^T", r"2 (\hat{y} - y)^{\top}"),
    ),
    "l1": _of_residual(
        Formula("|y_hat - y|", r"\lvert\hat{y} - y\rvert"),
        Formula("sign(y_hat - y)^T", r"\operatorname{sign}(\hat{y} - y)^{\top}"),
        _AT_TARGET,
    ),
    "huber": _of_residual(
        Formula(
            "(y_hat - y)^2 / 2 where |y_hat - y| <= $p, else $p (|y_hat - y| - $p / 2)",
            r"\begin{cases} (\hat{y} - y)^2 / 2 & \lvert\hat{y} - y\rvert \le $p \\"
            r" $p\, (\lvert\hat{y} - y\rvert - $p / 2) & \text{else} \end{cases}",
        ),
        Formula("clip(y_hat - y, -$p, $p)^T", r"\operatorname{clip}(\hat{y} - y, -$p, $p)^{\top}"),
    ),
    "log_cosh": _of_residual(
        Formula("log(cosh(y_hat - y))", r"\log\cosh(\hat{y} - y)"),
        Formula("tanh(y_hat - y)^T", r"\tanh(\hat{y} - y)^{\top}"),
    ),
    "quantile": _of_residual(
        Formula(
            "max($p (y - y_hat), ($p - 1) (y - y_hat))",
            r"\max\bigl($p\, (y - \hat{y}), ($p - 1) (y - \hat{y})\bigr)",
        ),
        Formula("((1 where y_hat > y, else 0) - $p)^T", r"(\mathbf{1}[\hat{y} > y] - $p)^{\top}"),
        _AT_TARGET,
    ),
    "bce": LossFormulas(
        Formula(
            "-(y * log(y_hat) + (1 - y) * log(1 - y_hat))",
            r"-\bigl(y \odot \log\hat{y} + (1 - y) \odot \log(1 - \hat{y})\bigr)",
        ),
        Formula(
            "-(y / y_hat - (1 - y) / (1 - y_hat))^T",
            r"-\left(\dfrac{y}{\hat{y}} - \dfrac{1 - y}{1 - \hat{y}}\right)^{\top}",
        ),
        Formula(
            "-log(y_hat / (1 - y_hat))^T", r"-\left(\log\dfrac{\hat{y}}{1 - \hat{y}}\right)^{\top}"
        ),
        _CLAMPED,
    ),
    "bce_with_logits": LossFormulas(
        Formula("log(1 + exp(y_hat)) - y * y_hat", r"\log(1 + e^{\hat{y}}) - y \odot \hat{y}"),
        Formula("(sigmoid(y_hat) - y)^T", r"(\sigma(\hat{y}) - y)^{\top}"),
        Formula("-y_hat^T", r"-\hat{y}^{\top}"),
        _LOGITS,
    ),
    "cross_entropy": LossFormulas(
        Formula("-y * log(y_hat)", r"-y \odot \log\hat{y}"),
        Formula("-(y / y_hat)^T", r"-\left(\dfrac{y}{\hat{y}}\right)^{\top}"),
        Formula("-log(y_hat)^T", r"-(\log\hat{y})^{\top}"),
        _sentences(_CLASSES, _CLAMPED),
    ),
    "cross_entropy_with_logits": LossFormulas(
        Formula("-y * log(softmax(y_hat))", r"-y \odot \log\operatorname{softmax}(\hat{y})"),
        Formula(
            "(sum(y) softmax(y_hat) - y)^T",
            r"\bigl(\operatorname{softmax}(\hat{y}) \sum y - y\bigr)^{\top}",
        ),
        Formula("-log(softmax(y_hat))^T", r"-(\log\operatorname{softmax}(\hat{y}))^{\top}"),
        _sentences(_LOGITS, _CLASSES),
    ),
    "poisson": LossFormulas(
        Formula("exp(y_hat) - y * y_hat", r"e^{\hat{y}} - y \odot \hat{y}"),
        Formula("(exp(y_hat) - y)^T", r"(e^{\hat{y}} - y)^{\top}"),
        Formula("-y_hat^T", r"-\hat{y}^{\top}"),
        Formula("y_hat is the logarithm of the rate.", r"$\hat{y}$ is the logarithm of the rate."),
    ),
}
