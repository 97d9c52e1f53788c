# SPDX-License-Identifier: BSD-3-Clause
"""Adam where moments and parameters are next to 0: every operation rounded as the rule says.

Subnormal moments are divided in another way than others, which must not be seen in any bit.
"""

import math
from fractions import Fraction

import numpy as np

import mlpcore
from mlpcore.optimizer_base import remade

N_STEPS = 700
RATE, BETA1, BETA2, EPSILON = 1e-2, 0.9, 0.999, 1e-8


def rounded(value, dtype):
    """The nearest number of the dtype, ties to even, subnormal ones among them."""
    if value == 0:
        return Fraction(0)
    info = np.finfo(dtype)
    exponent = math.floor(math.log2(abs(value.numerator)) - math.log2(value.denominator))
    exponent += (abs(value) >= Fraction(2) ** (exponent + 1)) - (
        abs(value) < Fraction(2) ** exponent
    )
    unit = Fraction(2) ** max(exponent - info.nmant, info.minexp - info.nmant)
    return round(value / unit) * unit


def power(base, exponent):
    """As the core computes it."""
    product = 1.0
    while exponent:
        if exponent % 2:
            product *= base
        base *= base
        exponent //= 2
    return product


def updated(p, m, v, dtype, is_fused):
    """A parameter after an update with the gradient 0."""

    def real(value):
        return Fraction(float(dtype(value)))

    def fused(a, b, c):
        return rounded(a * b + c, dtype) if is_fused else rounded(rounded(a * b, dtype) + c, dtype)

    step_size = real(RATE / (1.0 - power(BETA1, N_STEPS + 1)))
    correction = real(1.0 / math.sqrt(1.0 - power(BETA2, N_STEPS + 1)))
    m, v = rounded(real(BETA1) * m, dtype), rounded(real(BETA2) * v, dtype)
    root = fused(Fraction(float(np.sqrt(dtype(float(v))))), correction, real(EPSILON))
    return float(fused(-step_size, rounded(m / root, dtype), p)), float(m), float(v)


def test_every_bit_is_that_of_the_rule(isa, dtype):
    dtype = np.dtype(dtype).type
    tiny = float(np.finfo(dtype).tiny)
    m = [0.0, tiny * 1e-6, -tiny * 1e-3, tiny * 0.3, -tiny * 0.99, tiny * 1.05, tiny * 50.0, 1e-3]
    v = [0.0, 1e-20, 1e-12, 1e-2]
    p = [0.0, tiny * 1e-3, -tiny * 0.7, tiny * 9.0, -tiny * 1e6, tiny * 1e9, 1e-12, 0.3]
    grid = np.array(np.meshgrid(p, m, v)).reshape(3, -1).astype(dtype)
    net = mlpcore.MLP([15, 16], dtype=np.dtype(dtype).name, init="zeros")
    net.parameters[:] = grid[0]
    arguments = {"learning_rate": RATE, "beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON}
    arguments = mlpcore.Adam(**arguments)._arguments
    adam = remade(mlpcore.Adam, arguments, (N_STEPS, grid[1].copy(), grid[2].copy()))
    x = np.zeros((1, 15), dtype)
    _, gradients = net.value_and_grad(x, net(x), "mse")
    assert not gradients.flat.any()
    adam.step(net, gradients)
    columns = [[Fraction(float(value)) for value in row] for row in grid]
    want = [updated(*values, dtype, isa != "generic") for values in zip(*columns, strict=True)]
    got = np.stack([net.parameters, adam.first_moment, adam.second_moment], axis=1)
    np.testing.assert_array_equal(got, np.array(want, dtype))
    assert (np.abs(got[:, :2]) < tiny).mean() > 0.3  # what this is about is there
