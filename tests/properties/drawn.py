# SPDX-License-Identifier: BSD-3-Clause
"""What hypothesis draws: nets, rows, losses, optimizers; and how a property is judged."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import mlpcore
from mlpcore import losses, reference

ELEMENTWISE = tuple(name for name in reference.ACTIVATIONS if name != "softmax")
SMOOTH = tuple(name for name in ELEMENTWISE if name not in ("relu", "leaky_relu"))
ANALYTIC = tuple(name for name in SMOOTH if name != "elu")  # whose second derivative has a step
DTYPES = ("float32", "float64")

# A net is drawn as a whole from one seed, so that what hypothesis shrinks is its shape. The machine
# may be busy: no deadline. Runs are derived from the test itself, so that a failure comes back.
property_test = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

WIDTHS = st.integers(1, 37)
rows = st.integers(0, 67)
seeds = st.integers(0, 2**32 - 1)
reductions = st.sampled_from(["mean", "batch_mean", "sum"])


@st.composite
def nets(
    draw,
    activations=ELEMENTWISE,
    last=(*ELEMENTWISE, "softmax"),
    dtypes=DTYPES,
    widths=WIDTHS,
):
    """Nets of one to four layers, with random weights, and biases where they have some."""
    sizes = draw(st.lists(widths, min_size=2, max_size=5))
    names = [draw(st.sampled_from(activations)) for _ in sizes[2:]] + [draw(st.sampled_from(last))]
    dtype = draw(st.sampled_from(dtypes))
    seed = draw(st.integers(0, 2**32 - 1))
    net = mlpcore.MLP(sizes, names, dtype=dtype, seed=seed, bias=draw(st.booleans()))
    if net.has_bias:
        rng = np.random.default_rng(seed)
        for bias in net.biases:
            bias[:] = rng.normal(size=bias.shape)
    return net


def batch(net, n_rows, seed):
    """Inputs, and targets or cotangents of the shape of the output."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, net.sizes[0])).astype(net.dtype)
    return x, rng.normal(size=(n_rows, net.sizes[-1])).astype(net.dtype)


# Losses whose targets may be any numbers, and that every output activation suits.
REAL_LOSSES = (losses.MSE, losses.L1, losses.Huber, losses.LogCosh, losses.Quantile)


@st.composite
def optimizers(draw):
    """Every rule, with each of the options that all of them have."""
    cls = draw(st.sampled_from([mlpcore.SGD, mlpcore.Adam, mlpcore.AdamW, mlpcore.RMSprop]))
    options = {
        "weight_decay": draw(st.sampled_from([0.0, 0.01])),
        "l1": draw(st.sampled_from([0.0, 0.001])),
        "l2": draw(st.sampled_from([0.0, 0.01])),
        "clip_norm": draw(st.sampled_from([None, 0.5])),
    }
    if cls in (mlpcore.SGD, mlpcore.RMSprop):
        options["momentum"] = draw(st.sampled_from([0.0, 0.9]))
    return cls(1e-2, **options)


def assert_within(got, want, tolerance):
    """Norm-wise; what vanishes by cancellation is measured against its terms, of order 0.01."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    error = np.linalg.norm(got - want)
    assert error <= tolerance * max(float(np.linalg.norm(want)), 1e-2), error
