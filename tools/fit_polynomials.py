# SPDX-License-Identifier: BSD-3-Clause
"""Derive every coefficient of the kernels' elementary functions, and print their header.

Run by hand; it needs mpmath and takes some minutes::

    python tools/fit_polynomials.py | clang-format > src_c/kernels/math_coefficients.h

Each polynomial, or quotient of two, minimizes the largest relative error of the function that it
serves, by C. L. Lawson's iteration (1961): weighted least squares, where a point's weight grows
with its error. The quotient for GELU is fitted as numerator - f(x) denominator = 0, divided by the
denominator of the iteration before. The coefficients are rounded to the dtype one after the other,
lowest power first, and those left are fitted again each time: they take up the rounding error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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
# Beyond the limit a exp(-a^2 / 2) is 0 in the dtype.
GELU_LIMIT = {32: mp.mpf(15), 64: mp.mpf(39)}
# Any n(0) gives n(0) / (2 n(0)) = 1 / 2. Of the multiples of 1 / 128 between 1 / 2 and 1, this one
# lets the other coefficients round best.
GELU_LEADING = {32: mp.mpf("0.7265625"), 64: mp.mpf("0.5")}


@dataclass
class Fit:
    """``sum_k c_k columns[k] = target`` on a grid of points; the error there counts ``weights``.

    ``arrays`` names the coefficients: array ``name`` gets those whose index is in ``arrays[name]``,
    behind the coefficient that is given in ``leading``, if any. A quotient has a ``divisor``, which
    takes the coefficients to the denominator at every point.
    """

    comment: str
    columns: list[Vector]
    target: Vector
    weights: Vector
    arrays: dict[str, range]
    leading: dict[str, mp.mpf] = field(default_factory=dict)
    divisor: Callable[[Vector], Vector] | None = None


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


def fit(problem: Fit, bits: int) -> tuple[Vector, mp.mpf]:
    """The coefficients, rounded to the dtype, and the largest weighted error."""
    columns, n_points = problem.columns, len(problem.target)
    rounded: Vector = []
    rest = problem.target
    scales = problem.weights
    for i in range(len(columns)):
        lawson = [mp.mpf(1)] * n_points
        for _ in range(N_ITERATIONS):
            squares = [u * s * s for u, s in zip(lawson, scales, strict=True)]
            free = least_squares(columns[i:], rest, squares)
            if problem.divisor:
                divisors = problem.divisor(rounded + free)
                scales = [w / d for w, d in zip(problem.weights, divisors, strict=True)]
            errors = [
                s * (r - mp.fdot(free, [column[p] for column in columns[i:]]))
                for p, (s, r) in enumerate(zip(scales, rest, strict=True))
            ]
            # The square root is slower than Lawson's own rule, and does not make weights vanish.
            lawson = [u * mp.sqrt(abs(e)) for u, e in zip(lawson, errors, strict=True)]
            total = mp.fsum(lawson)
            lawson = [u / total for u in lawson]
        rounded.append(round_to_dtype(free[0], bits))
        rest = [r - rounded[-1] * c for r, c in zip(rest, columns[i], strict=True)]
    return rounded, max(abs(s * r) for s, r in zip(scales, rest, strict=True))


def polynomial_fit(
    name: str,
    comment: str,
    function: Function,
    weight: Function,
    interval: tuple[mp.mpf, mp.mpf],
    n_terms: int,
) -> Fit:
    grid = chebyshev_points(*interval, GRID_POINTS_PER_TERM * n_terms)
    return Fit(
        comment,
        [[x**k for x in grid] for k in range(n_terms)],
        [function(x) for x in grid],
        [weight(x) for x in grid],
        {name: range(n_terms)},
    )


def gelu_fit(limit: mp.mpf, leading: mp.mpf, n_terms: int) -> Fit:
    """T = n / (2 n + a m), which is 1 / 2 at 0, n_terms coefficients in n and in m.

    The denominator contains the numerator, so that the rounding error of n cancels for small a.
    """
    # Equidistant angles in (a - 3) / (a + 3): dense where the function bends.
    folded = chebyshev_points(
        mp.mpf(-1), (limit - 3) / (limit + 3), GRID_POINTS_PER_TERM * 2 * n_terms
    )
    grid = [6 / (1 - t) - 3 for t in folded]
    values = [half_erfcx(a) for a in grid]
    columns: list[Vector] = []
    for k in range(n_terms):
        if k > 0:
            columns.append([a**k * (1 - 2 * v) for a, v in zip(grid, values, strict=True)])
        columns.append([-v * a ** (k + 1) for a, v in zip(grid, values, strict=True)])

    def divisor(coefficients: Vector) -> Vector:
        m, n = coefficients[0::2], [leading, *coefficients[1::2]]
        return [2 * mp.polyval(n[::-1], a) + a * mp.polyval(m[::-1], a) for a in grid]

    return Fit(
        "exp(a^2 / 2) Phi(-a) = n(a) / (2 n(a) + a m(a)) for 0 <= a <= MLP_GELU_LIMIT",
        columns,
        [leading * (2 * v - 1) for v in values],
        [1 / v for v in values],
        {"gelu_n": range(1, 2 * n_terms - 1, 2), "gelu_m": range(0, 2 * n_terms - 1, 2)},
        {"gelu_n": leading},
        divisor,
    )


def problems(bits: int) -> list[Fit]:
    n_exp, n_log, n_log1p, n_gelu = (5, 8, 4, 5) if bits == 32 else (10, 19, 10, 11)
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.0001")

    def log1p_ratio(t: mp.mpf) -> mp.mpf:
        return 2 * mp.atanh(mp.sqrt(t)) / mp.sqrt(t)

    return [
        polynomial_fit(
            "exp_terms",
            "(e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1",
            lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: r**2 / abs(mp.expm1(r)),
            (-half_ln2, half_ln2),
            n_exp,
        ),
        polynomial_fit(
            "log_terms",
            "(log(1 + f) - f + f^2 / 2) / f^3 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT",
            lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
            lambda f: abs(f**3 / mp.log1p(f)),
            (LOG_SPLIT / 2 - 1, LOG_SPLIT - 1),
            n_log,
        ),
        polynomial_fit(
            "log1p_terms",
            "(2 atanh(s) / s - 2) / s^2 in s^2 for |s| <= 1 / 3; error relative to 2 atanh(s)",
            lambda t: (log1p_ratio(t) - 2) / t,
            lambda t: t / log1p_ratio(t),
            (mp.mpf(0), mp.mpf(1) / 9),
            n_log1p,
        ),
        gelu_fit(GELU_LIMIT[bits], GELU_LEADING[bits], n_gelu),
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
    print(pick("MLP_GELU_LIMIT", GELU_LIMIT))
    for bits in (32, 64):
        for problem in problems(bits):
            coefficients, error = fit(problem, bits)
            print(f"\n/* {problem.comment}; 2^{mp.nstr(mp.log(error, 2), 4)}. */")
            for name, indices in problem.arrays.items():
                head = [problem.leading[name]] if name in problem.leading else []
                print(array(name, head + [coefficients[i] for i in indices], bits), flush=True)
    print("\n#endif")


if __name__ == "__main__":
    main()
