# SPDX-License-Identifier: BSD-3-Clause
"""How many samples known derivatives save: the price of an option, and its Greeks.

A net is to stand in for a pricing formula, here that of Black and Scholes (J. Polit. Econ. 81,
1973), because it is exact and so are its derivatives. One net learns prices alone, another one
prices and Greeks; both make the same number of updates. The table has the error of new prices and
of their derivatives, relative to what guessing the mean would give: median of the seeds, and range.

Run: python examples/greeks.py
"""

from math import erf

import numpy as np

import mlpcore

RATE = 0.02
# Logarithm of price over strike, years to go, volatility.
LOW, HIGH = np.array([-0.5, 0.25, 0.15]), np.array([0.5, 2.0, 0.6])
SEEDS = range(5)
N_UPDATES = 6000
BATCH_SIZE = 25


def call_price(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Price over strike of a call (N, 1), and its derivatives in the columns of x (N, 3)."""
    moneyness, years, volatility = x.T
    root = volatility * np.sqrt(years)
    d1 = (moneyness + (RATE + volatility**2 / 2) * years) / root
    spot, strike = np.exp(moneyness), np.exp(-RATE * years)
    phi = np.vectorize(lambda z: (1 + erf(z / 2**0.5)) / 2)
    delta, exercised = phi(d1), phi(d1 - root)
    density = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    price = spot * delta - strike * exercised
    vega = spot * density * np.sqrt(years)
    by_years = spot * density * volatility / (2 * np.sqrt(years)) + RATE * strike * exercised
    return price[:, np.newaxis], np.stack([spot * delta, by_years, vega], axis=1)


def samples(n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs in [-1, 1], prices, and derivatives in these inputs."""
    u = np.random.default_rng(seed).uniform(-1.0, 1.0, (n_samples, 3))
    half = (HIGH - LOW) / 2
    price, greeks = call_price(LOW + (u + 1) * half)
    return u, price, greeks * half


def errors(n_samples: int, seed: int, with_greeks: bool) -> tuple[float, float]:
    """Train a net, and return its errors in new prices and in their derivatives."""
    x, y, dy_dx = samples(n_samples, seed)
    net = mlpcore.MLP([3, 32, 32, 1], "silu", seed=seed)
    n_epochs = N_UPDATES * BATCH_SIZE // n_samples
    net.fit(
        x,
        y,
        "mse",
        mlpcore.Adam(1e-2),
        epochs=n_epochs,
        batch_size=BATCH_SIZE,
        schedule=mlpcore.schedules.Cosine(),
        seed=seed,
        dy_dx=dy_dx if with_greeks else None,
    )
    x, y, dy_dx = samples(2000, seed=1000)
    price = np.sqrt(np.mean((net(x) - y) ** 2)) / y.std()
    greeks = np.sqrt(np.mean((net.jacobian(x)[:, 0] - dy_dx) ** 2)) / dy_dx.std()
    return float(price), float(greeks)


def figures(values: np.ndarray) -> str:
    """Median and range, in percent."""
    low, middle, high = 100 * np.quantile(values, [0.0, 0.5, 1.0])
    return f"{middle:6.2f} % ({low:5.2f} to {high:5.2f})"


def main() -> None:
    """Print the table."""
    print(f"{'':8}{'error of new prices':^52}{'error of their derivatives':^52}")
    print("samples " + 2 * f"{'prices alone':^26}{'prices and Greeks':^26}")
    for n_samples in (25, 50, 100, 200, 400):
        runs = [
            np.array([errors(n_samples, seed, with_greeks) for seed in SEEDS])
            for with_greeks in (False, True)
        ]
        cells = [figures(run[:, column]) for column in (0, 1) for run in runs]
        print(f"{n_samples:7d} " + "".join(f"{cell:^26}" for cell in cells))


if __name__ == "__main__":
    main()
