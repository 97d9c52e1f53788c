# SPDX-License-Identifier: BSD-3-Clause
"""Every tolerance of the tests, with its reason; a test that compares numbers takes it here."""

import numpy as np

from mlpcore import _core

EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}

# Norm-wise: |got - want| / |want|, of a whole array, against a float64 reference on the same
# inputs. A sum of k products has an error of about sqrt(k) epsilon; with k of some hundreds, five
# layers and activations good to a few ULP that is 30 to 50 epsilon at worst: 5e-6 and 1e-14. The
# rest is room for sums that cancel.
FORWARD = {"float32": 5e-6, "float64": 2e-13}
GRADIENT = {"float32": 1e-5, "float64": 1e-12}

# Derivatives of saturated units, entry by entry, from pre-activations that are exact: a few ULP of
# the function, and up to z^2 / 2 more for gelu where an instruction set has no FMA.
SATURATED = {name: 100 * epsilon for name, epsilon in EPSILON.items()}

# Second derivatives are sums over two paths through the net, in which gradients with their own
# errors meet f'': three times a gradient's error, and terms of both signs.
SECOND_ORDER = {"float32": 4e-5, "float64": 4e-12}

# Of f'' far out, entry by entry: some roundings of the formula, none of them magnified. Rounding
# the square in exp(-z^2 / 2) alone would cost up to z^2 / 4 of them, and does without FMA.
CURVATURE = {name: 4 * epsilon for name, epsilon in EPSILON.items()}

# The loss is one number, summed in double from terms of the dtype; no cancellation but that of the
# terms themselves.
LOSS = {"float32": 5e-6, "float64": 1e-13}

# After some steps of an optimizer: each step adds the gradient's error times the learning rate, and
# Adam divides by a root that makes small gradients as large as big ones.
TRAINED = {"float32": 1e-4, "float64": 1e-11}

# Weighted rows against repeated ones, float64, after a few iterations of an optimizer of all rows:
# the sums differ by their rounding, which every quotient of differences enlarges.
FULL_BATCH_WEIGHTS = 1e-8

# The minimum of a strictly convex loss by two routes, that end where its rounding, 1e-16, hides the
# rest: sqrt(1e-16 / 1e-2) from it, with 1e-2 the smallest eigenvalue of the Hessian; 1e-7.
CONVEX_MINIMUM = 1e-6

# A step of Gauss and Newton from sums of squares: the error of J^T J, some epsilons, times the
# condition of the damped matrix, in these tests up to 1e4; and the same in the steps after it.
GAUSS_NEWTON = {"float32": 2e-2, "float64": 1e-9}

# The generic path rounds a product before it adds it: twice the error of a fused multiply-add.
GENERIC_FACTOR = 2.0


def on_isa(table, dtype) -> float:
    """A tolerance of these tables on the instruction set that is selected."""
    return table[str(dtype)] * (GENERIC_FACTOR if _core.isa() == "generic" else 1.0)


def relative_error(got, want) -> float:
    """The norm of the difference over the norm of what is wanted; 0 for two arrays of zeros."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape, (got.shape, want.shape)
    scale = float(np.linalg.norm(want))
    distance = float(np.linalg.norm(got - want))
    return distance / scale if scale > 0 else distance


def assert_close(got, want, tolerance: float, what: str = "") -> None:
    """Fails unless the norm-wise relative error is within the tolerance (a NaN is not)."""
    error = relative_error(got, want)
    assert error <= tolerance, f"{what}: relative error {error:.3g} above {tolerance:.3g}"
