# SPDX-License-Identifier: BSD-3-Clause
"""Derive every coefficient of the kernels' elementary functions, and print their header.

Run by hand (it needs mpmath; a minute or two)::

    python tools/fit_polynomials.py > src_c/kernels/math_coefficients.h

Each polynomial minimizes the largest relative error of the function it serves, by C. L. Lawson's
iteration (1961): weighted least squares, where every point's weight grows with its error. The
coefficients are rounded to the dtype one after the other, lowest power first, and those left are
fitted again each time, so that they take up the rounding error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp

# The normal equations of 23 powers lose some 40 digits.
mp.mp.dps = 100

Function = Callable[[mp.mpf], mp.mpf]

GRID_POINTS_PER_TERM = 24
N_LAWSON = 20

# Bits of ln 2 in its high part: its product with an exponent (8 or 11 bits) is then exact.
LN2_HIGH_BITS = {32: 9, 64: 40}
# log(1 + f) is fitted where 1 + f is between SPLIT / 2 and SPLIT, a binade. The split is above
# 3 / 2 so that the two terms of log1p(x), x <= 1, cancel little.
LOG_SPLIT = mp.mpf("1.5625")
TANH_SPLIT = mp.mpf("0.625")
# The variable (a - pole) / (a + pole) takes a in [0, limit] to an interval about 0. Beyond the limit
# a exp(-a^2 / 2) is 0 in the dtype.
GELU_POLE = {32: mp.mpf("3.5"), 64: mp.mpf("5")}
GELU_LIMIT = {32: mp.mpf(15), 64: mp.mpf(39)}
N_TERMS = {
    32: {"exp": 5, "log": 9, "tanh": 5, "gelu": 10},
    64: {"exp": 10, "log": 20, "tanh": 11, "gelu": 23},
}


def round_to_dtype(x: mp.mpf, bits: int) -> mp.mpf:
    """Round to the nearest float32 or float64 (coefficients are far from denormal)."""
    with mp.workprec(24 if bits == 32 else 53):
        return +mp.mpf(x)


def hexadecimal(x: mp.mpf, bits: int) -> str:
    """Write an already rounded number as a C literal."""
    digits, exponent = float(x).hex().split("p")
    digits = digits.rstrip("0").removesuffix(".")
    return f"{digits}p{exponent}" + ("f" if bits == 32 else "")


@dataclass
class Fit:
    """``function`` is approximated by a polynomial on [low, high]; its error counts ``weight``."""

    name: str
    comment: str
    function: Function
    weight: Function
    low: mp.mpf
    high: mp.mpf
    n_terms: int


def chebyshev_points(low: mp.mpf, high: mp.mpf, n: int) -> list[mp.mpf]:
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]


def minimax(
    grid: list[mp.mpf], values: list[mp.mpf], weights: list[mp.mpf], powers: range
) -> list[mp.mpf]:
    """Coefficients of the given powers of x, of nearly least maximum weighted error on the grid."""
    n = len(powers)
    lawson = [mp.mpf(1) / len(grid)] * len(grid)
    for _ in range(N_LAWSON):
        moments = [mp.mpf(0)] * (2 * n - 1)
        right = mp.matrix(n, 1)
        for x, v, w, point_weight in zip(grid, values, weights, lawson, strict=True):
            term = point_weight * w * w * x ** powers[0]
            for k in range(n):
                right[k] += term * v * x**k
            term *= x ** powers[0]
            for k in range(2 * n - 1):
                moments[k] += term
                term *= x
        matrix = mp.matrix(n, n)
        for j in range(n):
            for k in range(n):
                matrix[j, k] = moments[j + k]
        coefficients = list(mp.lu_solve(matrix, right))
        errors = weighted_errors(grid, values, weights, coefficients, powers[0])
        # The square root is slower than Lawson's own rule, and does not make weights vanish.
        lawson = [u * mp.sqrt(abs(e)) for u, e in zip(lawson, errors, strict=True)]
        total = mp.fsum(lawson)
        lawson = [u / total for u in lawson]
    return coefficients


def weighted_errors(
    grid: list[mp.mpf],
    values: list[mp.mpf],
    weights: list[mp.mpf],
    coefficients: list[mp.mpf],
    first_power: int,
) -> list[mp.mpf]:
    return [
        w * (v - x**first_power * mp.polyval(coefficients[::-1], x))
        for x, v, w in zip(grid, values, weights, strict=True)
    ]


def fit(problem: Fit, bits: int) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients in the dtype, and the largest weighted error that is left."""
    # The end points of some intervals are removable singularities: stay inside.
    margin = (problem.high - problem.low) * mp.mpf(10) ** -12
    grid = chebyshev_points(
        problem.low + margin, problem.high - margin, GRID_POINTS_PER_TERM * problem.n_terms
    )
    # A point that falls on a removable singularity has weight 0 and carries nothing.
    grid = [x for x in grid if x != 0]
    weights = [problem.weight(x) for x in grid]
    values = [problem.function(x) for x in grid]
    rest = values
    rounded: list[mp.mpf] = []
    for power in range(problem.n_terms):
        coefficients = minimax(grid, rest, weights, range(power, problem.n_terms))
        rounded.append(round_to_dtype(coefficients[0], bits))
        rest = [v - rounded[-1] * x**power for v, x in zip(rest, grid, strict=True)]
    return rounded, max(abs(e) for e in weighted_errors(grid, values, weights, rounded, 0))


def half_erfcx(a: mp.mpf) -> mp.mpf:
    """exp(a^2 / 2) Phi(-a), where Phi is the normal distribution function."""
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2


def problems(bits: int) -> list[Fit]:
    n_terms = N_TERMS[bits]
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.0001")
    pole, limit = GELU_POLE[bits], GELU_LIMIT[bits]

    def tanh_ratio(y: mp.mpf) -> mp.mpf:
        return mp.tanh(mp.sqrt(y)) / mp.sqrt(y)

    def gelu_argument(t: mp.mpf) -> mp.mpf:
        return 2 * pole / (1 - t) - pole

    def gelu_ratio(t: mp.mpf) -> mp.mpf:
        return half_erfcx(gelu_argument(t)) * (gelu_argument(t) + pole)

    return [
        Fit(
            "exp_terms",
            "(e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1",
            lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: r**2 / abs(mp.expm1(r)),
            -half_ln2,
            half_ln2,
            n_terms["exp"],
        ),
        Fit(
            "log_terms",
            "(log(1 + f) - f) / f^2 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT",
            lambda f: (mp.log1p(f) - f) / f**2,
            lambda f: f**2 / abs(mp.log1p(f)),
            LOG_SPLIT / 2 - 1,
            LOG_SPLIT - 1,
            n_terms["log"],
        ),
        Fit(
            "tanh_terms",
            "(tanh(x) / x - 1) / x^2 in x^2 for |x| <= MLP_TANH_SPLIT",
            lambda y: (tanh_ratio(y) - 1) / y,
            lambda y: y / tanh_ratio(y),
            mp.mpf(0),
            TANH_SPLIT**2,
            n_terms["tanh"],
        ),
        Fit(
            "gelu_terms",
            "(a + k) exp(a^2 / 2) Phi(-a) in (a - k) / (a + k), k = MLP_GELU_POLE, a <= MLP_GELU_LIMIT",
            gelu_ratio,
            lambda t: 1 / gelu_ratio(t),
            mp.mpf(-1),
            (limit - pole) / (limit + pole),
            n_terms["gelu"],
        ),
    ]


def pick(name: str, values: dict[int, mp.mpf]) -> str:
    """A macro that is one of two constants, by the dtype of the inclusion."""
    return f"#define {name} MLP_PICK({hexadecimal(values[32], 32)}, {hexadecimal(values[64], 64)})"


def main() -> None:
    print("/* SPDX-License-Identifier: BSD-3-Clause */")
    print("/* math_coefficients.h - printed by tools/fit_polynomials.py; do not edit. */")
    print("#ifndef MLP_MATH_COEFFICIENTS_H")
    print("#define MLP_MATH_COEFFICIENTS_H")
    print()
    print("/* The constant for the dtype of the inclusion. */")
    print("#define MLP_PICK_f32(single, twice) single")
    print("#define MLP_PICK_f64(single, twice) twice")
    print("#define MLP_PICK(single, twice) V_(MLP_PICK)(single, twice)")
    print()
    high = {
        bits: mp.ldexp(mp.nint(mp.ldexp(mp.log(2), n)), -n) for bits, n in LN2_HIGH_BITS.items()
    }
    low = {bits: round_to_dtype(mp.log(2) - high[bits], bits) for bits in high}
    print("/* ln 2 = high + low. */")
    print(pick("MLP_LN2_HIGH", high))
    print(pick("MLP_LN2_LOW", low))
    print(f"#define MLP_LOG_SPLIT {float(LOG_SPLIT)}")
    print(f"#define MLP_TANH_SPLIT {float(TANH_SPLIT)}")
    print(pick("MLP_GELU_POLE", GELU_POLE))
    print(pick("MLP_GELU_LIMIT", GELU_LIMIT))
    for bits, c_type in ((32, "float"), (64, "double")):
        for problem in problems(bits):
            coefficients, error = fit(problem, bits)
            print()
            print(f"/* {problem.comment}; 2^{mp.nstr(mp.log(error, 2), 4)} */")
            print(f"static const {c_type} {problem.name}_f{bits}[{len(coefficients)}] = {{")
            for c in coefficients:
                print(f"    {hexadecimal(c, bits)},")
            print("};", flush=True)
    print()
    print("#endif")


if __name__ == "__main__":
    main()
