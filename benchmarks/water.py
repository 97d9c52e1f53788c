# SPDX-License-Identifier: BSD-3-Clause
"""Liquid water: the formula that power plants are computed with, for a net to stand in for.

IAPWS, "Revised release on the IAPWS Industrial Formulation 1997 for the thermodynamic properties of
water and steam", 2007: region 1, equation 7 and table 2: 34 terms.
"""

from __future__ import annotations

import numpy as np

GAS_CONSTANT = 0.461526  # kJ / (kg K)
PRESSURE, TEMPERATURE = 16.53, 1386.0  # what pressure (MPa) and temperature (K) are counted in

# The power of 7.1 - pressure, that of 1 / temperature - 1.222, and what they are multiplied with.
TERMS = (
    (0, -2, 0.14632971213167), (0, -1, -0.84548187169114), (0, 0, -3.756360367204),
    (0, 1, 3.3855169168385), (0, 2, -0.95791963387872), (0, 3, 0.15772038513228),
    (0, 4, -0.016616417199501), (0, 5, 0.00081214629983568), (1, -9, 0.00028319080123804),
    (1, -7, -0.00060706301565874), (1, -1, -0.018990068218419), (1, 0, -0.032529748770505),
    (1, 1, -0.021841717175414), (1, 3, -5.283835796993e-05), (2, -3, -0.00047184321073267),
    (2, 0, -0.00030001780793026), (2, 1, 4.7661393906987e-05), (2, 3, -4.4141845330846e-06),
    (2, 17, -7.2694996297594e-16), (3, -4, -3.1679644845054e-05), (3, 0, -2.8270797985312e-06),
    (3, 6, -8.5205128120103e-10), (4, -5, -2.2425281908e-06), (4, -2, -6.5171222895601e-07),
    (4, 10, -1.4341729937924e-13), (5, -8, -4.0516996860117e-07), (8, -11, -1.2734301741641e-09),
    (8, -6, -1.7424871230634e-10), (21, -29, -6.8762131295531e-19), (23, -31, 1.4478307828521e-20),
    (29, -38, 2.6335781662795e-23), (30, -39, -1.1947622640071e-23),
    (31, -40, 1.8228094581404e-24), (32, -41, -9.3537087292458e-26),
)  # fmt: skip


def volume_and_enthalpy(pressure: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """m^3/kg and kJ/kg, (N, 2), of liquid water at MPa (N,) and K (N,)."""
    p, t = pressure / PRESSURE, TEMPERATURE / temperature
    compressed, warm = 7.1 - p, t - 1.222
    by_p = sum(-n * i * compressed ** (i - 1) * warm**j for i, j, n in TERMS if i > 0)
    by_t = sum(n * j * compressed**i * warm ** (j - 1) for i, j, n in TERMS if j != 0)
    energy = GAS_CONSTANT * temperature
    return np.stack([1e-3 * energy * p * by_p / pressure, energy * t * by_t], axis=1)
