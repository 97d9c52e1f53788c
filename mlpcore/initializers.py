# SPDX-License-Identifier: BSD-3-Clause
"""How weights start, by the names that `MLP` takes as ``init``.

With n_inputs and n_outputs of a layer, and each weight drawn on its own:

==============================  =================================================  ======
name                            distribution                                       source
==============================  =================================================  ======
``he``, ``he_normal``           normal, variance 2 / n_inputs                      [1]_
``he_uniform``                  uniform, same variance: w^2 <= 6 / n_inputs        [1]_
``glorot``, ``glorot_uniform``  uniform, w^2 <= 6 / (n_inputs + n_outputs)         [2]_
``glorot_normal``               normal, variance 2 / (n_inputs + n_outputs)        [2]_
``lecun``, ``lecun_normal``     normal, variance 1 / n_inputs                      [3]_
``lecun_uniform``               uniform, same variance: w^2 <= 3 / n_inputs        [3]_
``orthogonal``                  random orthonormal rows or columns                 [4]_
``zeros``                       0
``auto``                        ``he`` before relu, leaky_relu, elu, gelu, silu
                                and softplus, which let through about half of a
                                layer; ``glorot`` before identity, tanh, sigmoid
                                and softmax
==============================  =================================================  ======

Biases start at zero. Numbers are drawn in float64, layer after layer in the order of
``net.weights[l]``, and then rounded, so that a float32 and a float64 net of one seed agree.
``orthogonal`` takes a QR decomposition, whose last bits depend on NumPy's LAPACK; the bits of all
others depend on the seed alone.

References
----------
.. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, section 2.2.
.. [2] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
   networks", AISTATS 2010, equations 12 and 16.
.. [3] Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller, "Efficient BackProp", 1998, section 4.6.
.. [4] A. Saxe, J. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in
   deep linear neural networks", ICLR 2014.

Examples
--------
>>> import numpy as np
>>> import mlpcore
>>> net = mlpcore.MLP([100, 50, 1], "tanh", init="glorot", seed=0)
>>> bool(np.abs(net.weights[0]).max() <= np.sqrt(6 / 150))
True
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ._core import Array

    # Gives the weight (n_outputs, n_inputs) in float64.
    _Initializer: TypeAlias = Callable[[int, int, np.random.Generator], Array]


def _normal(variance: Callable[[int, int], float]) -> _Initializer:
    def draw(n_outputs: int, n_inputs: int, generator: np.random.Generator) -> Array:
        scale = math.sqrt(variance(n_outputs, n_inputs))
        return scale * generator.standard_normal((n_outputs, n_inputs))

    return draw


def _uniform(variance: Callable[[int, int], float]) -> _Initializer:
    def draw(n_outputs: int, n_inputs: int, generator: np.random.Generator) -> Array:
        # A uniform distribution on [-limit, limit] has the variance limit^2 / 3.
        limit = math.sqrt(3.0 * variance(n_outputs, n_inputs))
        return generator.uniform(-limit, limit, (n_outputs, n_inputs))

    return draw


def _he(n_outputs: int, n_inputs: int) -> float:
    return 2.0 / n_inputs


def _glorot(n_outputs: int, n_inputs: int) -> float:
    return 2.0 / (n_inputs + n_outputs)


def _lecun(n_outputs: int, n_inputs: int) -> float:
    return 1.0 / n_inputs


def _orthogonal(n_outputs: int, n_inputs: int, generator: np.random.Generator) -> Array:
    shape = (max(n_outputs, n_inputs), min(n_outputs, n_inputs))
    q, r = np.linalg.qr(generator.standard_normal(shape))
    # With the diagonal of r made positive, q is uniform over all orthonormal matrices.
    q *= np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    return q if n_outputs >= n_inputs else q.T


def _zeros(n_outputs: int, n_inputs: int, generator: np.random.Generator) -> Array:
    return np.zeros((n_outputs, n_inputs))


_AUTO = {
    "identity": "glorot",
    "relu": "he",
    "leaky_relu": "he",
    "elu": "he",
    "gelu": "he",
    "silu": "he",
    "softplus": "he",
    "tanh": "glorot",
    "sigmoid": "glorot",
    "softmax": "glorot",
}

_DRAW: dict[str, _Initializer] = {
    "he": _normal(_he),
    "he_normal": _normal(_he),
    "he_uniform": _uniform(_he),
    "glorot": _uniform(_glorot),
    "glorot_normal": _normal(_glorot),
    "glorot_uniform": _uniform(_glorot),
    "lecun": _normal(_lecun),
    "lecun_normal": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "orthogonal": _orthogonal,
    "zeros": _zeros,
}

# Every name that `MLP` takes.
INITIALIZERS = ("auto", *_DRAW)


def initial_weight(
    init: str, activation: str, n_outputs: int, n_inputs: int, generator: np.random.Generator
) -> Array:
    """Draw the first weight of one layer.

    Parameters
    ----------
    init : str
        One of `INITIALIZERS`.
    activation : str
        The layer's activation, by which ``"auto"`` chooses.
    n_outputs, n_inputs : int
        The layer's sizes.
    generator : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    numpy.ndarray of shape (n_outputs, n_inputs), float64

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> weight = initial_weight("orthogonal", "tanh", 2, 5, generator)
    >>> bool(np.allclose(weight @ weight.T, np.eye(2)))
    True
    """
    return _DRAW[_AUTO[activation] if init == "auto" else init](n_outputs, n_inputs, generator)
