# SPDX-License-Identifier: BSD-3-Clause
"""Which units a training step leaves out, drawn from counters: there is no state."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .activations import Array

Words = NDArray[np.uint64]  # of 32 bits each

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counter: ArrayLike, key: int) -> Words:
    """Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011): four random words of each counter.

    Parameters
    ----------
    counter : array_like of shape (..., 4)
        Words of 32 bits.
    key : int
        In [0, 2**64).

    Returns
    -------
    numpy.ndarray of shape (..., 4)
        Words of 32 bits.

    Examples
    --------
    >>> [hex(word) for word in philox([0, 0, 0, 0], 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    key_0, key_1 = key % 2**32, key >> 32
    for _ in range(10):
        product_0, product_1 = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a = (product_1 >> _HALF) ^ b ^ np.uint64(key_0)
        b = product_1 & _LOW
        c = (product_0 >> _HALF) ^ d ^ np.uint64(key_1)
        d = product_0 & _LOW
        key_0, key_1 = (key_0 + 0x9E3779B9) % 2**32, (key_1 + 0xBB67AE85) % 2**32
    return np.stack([a, b, c, d], axis=-1)


def layer_key(seed: int, layer: int) -> int:
    """The key of a hidden layer, counted from 0."""
    words = philox([layer % 2**32, layer >> 32, 0, 2**32 - 1], seed)
    return int(words[1]) << 32 | int(words[0])


def dropout_mask(
    seed: int, step: int, layer: int, n_samples: int, n_units: int, rate: float
) -> Array:
    """What the outputs of a hidden layer are multiplied with in one training step.

    Parameters
    ----------
    seed : int
        In [0, 2**64).
    step : int
        Updates made before.
    layer : int
        Counted from 0.
    n_samples, n_units : int
        Rows of the mini-batch and outputs of the layer.
    rate : float
        The probability of 0, in [0, 1).

    Returns
    -------
    numpy.ndarray of shape (n_samples, n_units)
        0 or 1 / (1 - rate), whose mean is 1: inverted dropout.

    Examples
    --------
    >>> dropout_mask(seed=1, step=0, layer=0, n_samples=2, n_units=4, rate=0.5)
    array([[2., 0., 2., 2.],
           [2., 2., 0., 0.]])
    """
    n_counters = -(-n_units // 4)
    counter = np.empty((n_samples, n_counters, 4), dtype=np.uint64)
    counter[..., 0] = np.arange(n_counters)
    counter[..., 1] = np.arange(n_samples)[:, np.newaxis]
    counter[..., 2], counter[..., 3] = step % 2**32, step >> 32
    words = philox(counter, layer_key(seed, layer)).reshape(n_samples, -1)[:, :n_units]
    return np.where(words >= round(rate * 2**32), 1.0 / (1.0 - rate), 0.0)
