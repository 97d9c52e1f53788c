# SPDX-License-Identifier: BSD-3-Clause
"""A loss of one's own, by the one thing backward needs of it: its derivative dl/dy_hat.

The pinball loss of two quantiles at once, which no library loss is: output 0 should lie above 10 %
of the targets, output 1 above 90 %.

Run: python examples/custom_cotangent.py
"""

import numpy as np

import mlpcore

QUANTILES = np.array([0.1, 0.9], dtype=np.float32)


def main() -> None:
    """Fit a band around noisy data, with the cotangent made by hand."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (1000, 1)).astype(np.float32)
    y = (np.sin(2 * x) + 0.3 * x * rng.standard_normal(x.shape)).astype(np.float32)

    net = mlpcore.MLP([1, 32, 32, 2], activations="tanh", seed=0)
    optimizer = mlpcore.Adam(learning_rate=0.01)
    for _ in range(500):
        trace = net.trace(x)
        is_below = y < trace.output  # (N, 2)
        dl_dy_hat = (is_below - QUANTILES) / x.size
        optimizer.step(net, net.backward(trace, dl_dy_hat))

    for quantile, share in zip(QUANTILES, (y < net(x)).mean(axis=0), strict=True):
        print(f"quantile {quantile:.1f}: {100 * share:.1f} % of the targets lie below")

    # The same call without a trace: the derivative of output 1, the upper edge, by the inputs.
    points = np.array([[-1.0], [0.0], [1.0]], dtype=np.float32)
    upper_edge = np.tile(np.array([0.0, 1.0], dtype=np.float32), (3, 1))
    slopes = net.vjp(points, upper_edge).inputs[:, 0]
    print("slope of the upper edge at -1, 0, 1:", slopes.round(2))


if __name__ == "__main__":
    main()
