# SPDX-License-Identifier: BSD-3-Clause
"""Derive every coefficient of the kernels' elementary functions, and print their header.

Run by hand; it needs mpmath and takes some minutes::

    python tools/fit_polynomials.py > src_c/kernels/math_coefficients.h

Each polynomial, or quotient of two, minimizes the largest relative error of the function it serves,
by C. L. Lawson's iteration (1961): weighted least squares, where every point's weight grows with its
error. A quotient n(x) / d(x) is fitted as n(x) - f(x) d(x) = 0, divided by the d(x) of the iteration
before. The coefficients are rounded to the dtype one after the other, lowest power first, and those
left are fitted again each time, so that they take up the rounding error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp

# The normal equations of 20 powers lose some 40 digits.
mp.mp.dps = 80

Function = Callable[[mp.mpf], mp.mpf]
Vector = list[mp.mpf]

GRID_POINTS_PER_TERM = 20
N_ITERATIONS = 16

# Bits of ln 2 in its high part: its product with an exponent (8 or 11 bits) is then exact.
LN2_HIGH_BITS = {32: 9, 64: 40}
# log(1 + f) is fitted where 1 + f is between SPLIT / 2 and SPLIT, a binade. With 3 / 2 the reduced
# argument of log1p is exact on both sides of the split.
LOG_SPLIT = mp.mpf("1.5")
TANH_SPLIT = mp.mpf("0.625")
# Beyond the limit a exp(-a^2 / 2) is 0 in the dtype.
GELU_LIMIT = {32: mp.mpf(15), 64: mp.mpf(39)}


@dataclass
class Fit:
    """``function`` on ``grid`` by n_numerator / n_denominator terms; its error counts ``weight``."""

    name: str
    comment: str
    function: Function
    weight: Function
    grid: Vector
    n_numerator: int
    n_denominator: int = 1


def round_to_dtype(x: mp.mpf, bits: int) -> mp.mpf:
    """Round to the nearest float32 or float64 (no coefficient is near the denormals)."""
    with mp.workprec(24 if bits == 32 else 53):
        return +mp.mpf(x)


def hexadecimal(x: mp.mpf, bits: int) -> str:
    """Write an already rounded number as a C literal."""
    digits, exponent = float(x).hex().split("p")
    digits = digits.rstrip("0").removesuffix(".")
    return f"{digits}p{exponent}" + ("f" if bits == 32 else "")


def chebyshev_points(low: mp.mpf, high: mp.mpf, n: int) -> Vector:
    """n points, dense at the ends; 0, a removable singularity of most fits, is left out."""
    middle, half = (low + high) / 2, (high - low) / 2
    points = [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    return [x for x in points if abs(x) > mp.mpf(10) ** -20]


def half_erfcx(a: mp.mpf) -> mp.mpf:
    """exp(a^2 / 2) Phi(-a), where Phi is the normal distribution function."""
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2


def least_squares(columns: list[Vector], target: Vector, weights: Vector) -> Vector:
    n = len(columns)
    matrix, right = mp.matrix(n, n), mp.matrix(n, 1)
    for j in range(n):
        weighted = [w * c for w, c in zip(weights, columns[j], strict=True)]
        for k in range(j, n):
            matrix[j, k] = matrix[k, j] = mp.fdot(weighted, columns[k])
        right[j] = mp.fdot(weighted, target)
    return list(mp.lu_solve(matrix, right))


def fit(problem: Fit, bits: int) -> tuple[Vector, Vector, mp.mpf]:
    """Numerator, denominator (its first coefficient is 1) and the largest weighted error."""
    grid = problem.grid
    values = [problem.function(x) for x in grid]
    weights = [problem.weight(x) for x in grid]
    # (is it of the denominator, power), in the order of rounding.
    terms = [(False, k) for k in range(problem.n_numerator)]
    terms += [(True, k) for k in range(1, problem.n_denominator)]
    terms.sort(key=lambda term: term[1])
    columns = [
        [(-v if below else mp.mpf(1)) * x**power for x, v in zip(grid, values, strict=True)]
        for below, power in terms
    ]

    def denominator_values(coefficients: Vector) -> Vector:
        of_denominator = [
            (c, power) for c, (below, power) in zip(coefficients, terms, strict=True) if below
        ]
        return [1 + mp.fsum(c * x**power for c, power in of_denominator) for x in grid]

    rounded: Vector = []
    rest = values
    divisors = [mp.mpf(1)] * len(grid)
    worst = mp.inf
    for i in range(len(terms)):
        lawson = [mp.mpf(1)] * len(grid)
        for _ in range(N_ITERATIONS):
            scales = [w / d for w, d in zip(weights, divisors, strict=True)]
            squares = [u * s * s for u, s in zip(lawson, scales, strict=True)]
            free = least_squares(columns[i:], rest, squares)
            divisors = denominator_values(rounded + free)
            errors = [
                w / d * (r - mp.fsum(c * column[p] for c, column in zip(free, columns[i:], strict=True)))
                for p, (w, d, r) in enumerate(zip(weights, divisors, rest, strict=True))
            ]
            # The square root is slower than Lawson's own rule, and does not make weights vanish.
            lawson = [u * mp.sqrt(abs(e)) for u, e in zip(lawson, errors, strict=True)]
            total = mp.fsum(lawson)
            lawson = [u / total for u in lawson]
        rounded.append(round_to_dtype(free[0], bits))
        rest = [r - rounded[-1] * c for r, c in zip(rest, columns[i], strict=True)]
    divisors = denominator_values(rounded)
    worst = max(abs(w / d * r) for w, d, r in zip(weights, divisors, rest, strict=True))
    numerator = [c for c, (below, _) in zip(rounded, terms, strict=True) if not below]
    denominator = [c for c, (below, _) in zip(rounded, terms, strict=True) if below]
    return numerator, [mp.mpf(1), *denominator], worst


def problems(bits: int) -> list[Fit]:
    single = bits == 32
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.0001")
    n_exp, n_log, n_tanh, n_gelu = (5, 9, 5, 5) if single else (10, 20, 11, 11)

    def tanh_ratio(y: mp.mpf) -> mp.mpf:
        return mp.tanh(mp.sqrt(y)) / mp.sqrt(y)

    # a of equidistant angles in (a - 3) / (a + 3): dense where the function bends.
    end = (GELU_LIMIT[bits] - 3) / (GELU_LIMIT[bits] + 3)
    folded = chebyshev_points(mp.mpf(-1), end, GRID_POINTS_PER_TERM * 2 * n_gelu)
    return [
        Fit(
            "exp",
            "(e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1",
            lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: r**2 / abs(mp.expm1(r)),
            chebyshev_points(-half_ln2, half_ln2, GRID_POINTS_PER_TERM * n_exp),
            n_exp,
        ),
        Fit(
            "log",
            "(log(1 + f) - f) / f^2 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT",
            lambda f: (mp.log1p(f) - f) / f**2,
            lambda f: f**2 / abs(mp.log1p(f)),
            chebyshev_points(LOG_SPLIT / 2 - 1, LOG_SPLIT - 1, GRID_POINTS_PER_TERM * n_log),
            n_log,
        ),
        Fit(
            "tanh",
            "(tanh(x) / x - 1) / x^2 in x^2 for |x| <= MLP_TANH_SPLIT",
            lambda y: (tanh_ratio(y) - 1) / y,
            lambda y: y / tanh_ratio(y),
            chebyshev_points(mp.mpf(0), TANH_SPLIT**2, GRID_POINTS_PER_TERM * n_tanh),
            n_tanh,
        ),
        Fit(
            "gelu",
            "exp(a^2 / 2) Phi(-a) for 0 <= a <= MLP_GELU_LIMIT",
            half_erfcx,
            lambda a: 1 / half_erfcx(a),
            [6 / (1 - t) - 3 for t in folded],
            n_gelu,
            n_gelu + 1,
        ),
    ]


def pick(name: str, values: dict[int, mp.mpf]) -> str:
    """A macro that is one of two constants, by the dtype of the inclusion."""
    return f"#define {name} MLP_PICK({hexadecimal(values[32], 32)}, {hexadecimal(values[64], 64)})"


def array(name: str, coefficients: Vector, bits: int) -> str:
    c_type = "float" if bits == 32 else "double"
    lines = [f"    {hexadecimal(c, bits)}," for c in coefficients]
    head = f"static const {c_type} {name}_f{bits}[{len(coefficients)}] = {{"
    return "\n".join([head, *lines, "};"])


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
    print()
    print(f"#define MLP_LOG_SPLIT {float(LOG_SPLIT)}")
    print(f"#define MLP_TANH_SPLIT {float(TANH_SPLIT)}")
    print(pick("MLP_GELU_LIMIT", GELU_LIMIT))
    for bits in (32, 64):
        for problem in problems(bits):
            numerator, denominator, error = fit(problem, bits)
            print(f"\n/* {problem.comment}; 2^{mp.nstr(mp.log(error, 2), 4)}. */")
            if problem.n_denominator == 1:
                print(array(f"{problem.name}_terms", numerator, bits))
            else:
                print(array(f"{problem.name}_numerator", numerator, bits))
                print(array(f"{problem.name}_denominator", denominator, bits), flush=True)
    print("\n#endif")


if __name__ == "__main__":
    main()
