# SPDX-License-Identifier: BSD-3-Clause
"""The largest error of NumPy's float32 functions, in ULP: what tools/ulp.c measures of our own.

    python tools/ulp_numpy.py [stride]

The bit patterns 0, stride, ... as float32; 1, the default, is all of them. The references are
NumPy's float64 functions. NumPy has no sigmoid, SiLU or softplus; in their place stand the formulas
that one writes instead.
"""

import sys

import numpy as np

BLOCK = 1 << 16


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def exact_sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


# name: what is measured, its reference
FUNCTIONS = {
    "exp": (np.exp, np.exp),
    "expm1": (np.expm1, np.expm1),
    "log": (np.log, np.log),
    "log1p": (np.log1p, np.log1p),
    "tanh": (np.tanh, np.tanh),
    "1 / (1 + exp(-z))": (sigmoid, exact_sigmoid),
    "z / (1 + exp(-z))": (lambda z: z / (1 + np.exp(-z)), lambda z: z * exact_sigmoid(z)),
    "logaddexp(0, z)": (
        lambda z: np.logaddexp(np.float32(0), z),
        lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
    ),
}


def errors(computed, exact):
    """In last places of the exact result; 0 where either is not finite as float32."""
    exponent = (exact.view(np.uint64) >> np.uint64(52)) & np.uint64(0x7FF)
    exponent = np.maximum(exponent, np.uint64(1023 - 126))
    places = ((np.uint64(2046 + 23) - exponent) << np.uint64(52)).view(np.float64)
    result = np.abs(computed - exact) * places
    finite = np.isfinite(computed) & (np.abs(exact) <= np.finfo(np.float32).max)
    return np.where(finite, result, 0.0)


def main():
    stride = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(f"NumPy {np.__version__}, every float32 whose bits are a multiple of {stride}")
    print(f"{'function':20} {'ulp':>9} {'at':>16}")
    for name, (function, reference) in FUNCTIONS.items():
        worst, at = 0.0, 0.0
        for first in range(0, 1 << 32, BLOCK * stride):
            patterns = np.arange(first, min(first + BLOCK * stride, 1 << 32), stride, np.uint64)
            z = patterns.astype(np.uint32).view(np.float32)
            error = errors(function(z).astype(np.float64), reference(z.astype(np.float64)))
            i = int(np.argmax(error))
            if error[i] > worst:
                worst, at = float(error[i]), float(z[i])
        print(f"{name:20} {worst:9.4f} {at:16.9g}", flush=True)


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main()
