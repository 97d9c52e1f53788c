# SPDX-License-Identifier: BSD-3-Clause
"""What `benchmarks.optimizers` has trained: functions without noise, and measurements.

Volume and enthalpy of water are those of `benchmarks.water`. The inverse dynamics are those of a
planar arm of two links with their masses at the ends: which two torques give these accelerations?
(M. Spong, S. Hutchinson, M. Vidyasagar, "Robot modeling and control", 2006, section 7.3.)

The measurements are real, as scikit-learn brings them. Nuclei: 569 images of cells (W. Street,
W. Wolberg, O. Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", 1993; UCI
repository); what is learnt is the mean area from the nine other means, radius and perimeter among
them, so that little of it is noise. Diabetes: 442 patients, and how their disease went on for a
year (B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", 2004); half of it
is noise. Digits: 1797 scanned ones (UCI repository). Yachts: 308 towing tests of 22 hulls, whose
resistance is measured so well that little of it is noise (J. Gerritsma, R. Onnink, A. Versluis,
"Geometry, resistance and stability of the Delft systematic yacht hull series", 1981; UCI
repository, CC BY 4.0); no library brings them, so that their file is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from .water import volume_and_enthalpy

LINKS, MASSES, GRAVITY = (1.0, 0.7), (2.0, 1.0), 9.81
MEAN_AREA = 3  # column of the nuclei; the first ten are means


class Data(NamedTuple):
    """Rows to learn, and rows to be judged by."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


@dataclass(frozen=True)
class Task:
    """A net to be trained, and when it is good enough."""

    name: str
    sizes: tuple[int, ...]
    activation: str
    loss: str
    data: Callable[[int], Data]  # of a seed
    goals: tuple[float, ...]  # each harder than the one before
    limit: float  # seconds of the processor
    l2: float = 0.0
    is_relative: bool = False  # goals are in terms of the best that anybody reaches with this seed

    @property
    def is_share(self) -> bool:
        """Whether the figure is the share of rows that are right; otherwise it is the loss."""
        return self.loss == "cross_entropy"


def torques(state: np.ndarray) -> np.ndarray:
    """Of shoulder and elbow, (N, 2), for angles, velocities and accelerations (N, 6)."""
    q1, q2, v1, v2, a1, a2 = state.T
    (l1, l2), (m1, m2) = LINKS, MASSES
    inertia = m2 * l1 * l2 * np.cos(q2)
    coriolis = m2 * l1 * l2 * np.sin(q2)
    far = m2 * l2 * GRAVITY * np.cos(q1 + q2)
    near = (m1 + m2) * l1 * GRAVITY * np.cos(q1)
    own = m2 * l2**2
    shoulder = ((m1 + m2) * l1**2 + own + 2 * inertia) * a1 + (own + inertia) * a2
    shoulder += -coriolis * (2 * v1 * v2 + v2**2) + near + far
    elbow = (own + inertia) * a1 + own * a2 + coriolis * v1**2 + far
    return np.stack([shoulder, elbow], axis=1)


def arm(_: int) -> Data:
    """Inverse dynamics: 1000 samples, and as many to be judged by; the same for every seed."""
    state = np.random.default_rng(0).uniform(-1.0, 1.0, (2000, 6))
    y = torques(state * np.array([np.pi / 2, np.pi / 2, 1, 1, 1, 1]))
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    return Data(state[:1000], y[:1000], state[1000:], y[1000:])


def water(_: int) -> Data:
    """10 to 100 MPa, 0 to 300 C: 1000 samples, and as many to be judged by; always the same."""
    state = np.random.default_rng(0).uniform(-1.0, 1.0, (2000, 2))
    y = volume_and_enthalpy(55.0 + 45.0 * state[:, 0], 423.15 + 150.0 * state[:, 1])
    y = (y - y.mean(axis=0)) / y.std(axis=0)
    return Data(state[:1000], y[:1000], state[1000:], y[1000:])


def digits(_: int) -> Data:
    """Scanned digits, ten classes, 500 rows to be judged by; the same for every seed."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order] / 16.0, y[order]
    return Data(x[:1297], y[:1297], x[1297:], y[1297:])


def split(x: np.ndarray, y: np.ndarray, seed: int) -> Data:
    """A quarter of the rows to be judged by; standardised by the others."""
    order = np.random.default_rng(seed).permutation(len(x))
    held_out, learnt = np.split(order, [len(x) // 4])

    def standardised(columns: np.ndarray) -> np.ndarray:
        return (columns - columns[learnt].mean(axis=0)) / columns[learnt].std(axis=0)

    x, y = standardised(x), standardised(y[:, np.newaxis])
    return Data(x[learnt], y[learnt], x[held_out], y[held_out])


def nuclei(seed: int) -> Data:
    """Mean area of the nuclei of cells from nine other measurements."""
    means = load_breast_cancer().data[:, :10]
    return split(np.delete(means, MEAN_AREA, axis=1), means[:, MEAN_AREA], seed)


def diabetes(seed: int) -> Data:
    """How a disease goes on, from ten measurements."""
    return split(*load_diabetes(return_X_y=True), seed)


def yachts(path: Path, seed: int) -> Data:
    """Resistance of a hull from five ratios of its dimensions and its speed."""
    table = np.loadtxt(path)
    return split(table[:, :6], table[:, 6], seed)


def yacht_task(path: Path) -> Task:
    """What is learnt from ``yacht_hydrodynamics.data``, the file of the UCI repository."""
    return Task(
        "yachts 6-10-1", (6, 10, 1), "tanh", "mse", partial(yachts, path), (2.0, 1.1, 1.02), 2.0,
        l2=1e-5, is_relative=True,
    )  # fmt: skip


TASKS = (
    Task("arm 6-20-20-2", (6, 20, 20, 2), "tanh", "mse", arm, (1e-2, 1e-4, 1e-6), 6.0),
    Task("water 2-12-2", (2, 12, 2), "tanh", "mse", water, (1e-3, 1e-5, 1e-7), 6.0),
    Task(
        "nuclei 9-10-1", (9, 10, 1), "tanh", "mse", nuclei, (2.0, 1.1, 1.02), 2.0,
        l2=1e-5, is_relative=True,
    ),
    Task(
        "diabetes 10-10-1", (10, 10, 1), "tanh", "mse", diabetes, (1.1, 1.02), 1.0,
        l2=1e-2, is_relative=True,
    ),
    Task("digits 64-32-10", (64, 32, 10), "relu", "cross_entropy", digits, (0.95, 0.965), 3.0),
)  # fmt: skip
