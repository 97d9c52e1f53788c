# SPDX-License-Identifier: BSD-3-Clause
"""The one place that checks arrays and objects: what passes here, the core may trust.

Each function gives back its argument in the form that the core takes, or raises an error whose
message names the argument, the rule and what was received: ValueError for shapes, sizes, names and
ranges, TypeError for wrong kinds. Arrays that fit already are given back as they are, never copied;
those that do not are converted, and the caller's array is never written to. Numbers and names are
checked in `_checks`.
"""

from __future__ import annotations

import numbers
import reprlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _core
from ._checks import received
from .full_batch import FullBatchOptimizer, takes_all_rows

if TYPE_CHECKING:
    from ._core import Array
    from .full_batch import AnyOptimizer
    from .mlp import MLP

_CROSS_ENTROPIES = (_core.LOSSES["cross_entropy"], _core.LOSSES["cross_entropy_with_logits"])

# Numbers that `check_finite` looks at in one go: a few milliseconds.
_CHECKED_REALS = 2**20

# ---- objects ------------------------------------------------------------------------------------


def as_network(net: Any) -> MLP:
    """Return `net`, which has to be an MLP."""
    if not isinstance(net, _core.Network):
        raise TypeError(f"net: expected an MLP, got {received(net)}")
    return net  # type: ignore[return-value]  # MLP is the only class made from Network


def as_optimizer(optimizer: Any) -> _core.OptimizerKernel:
    """Return `optimizer`, which has to be an instance such as ``Adam()``."""
    if not isinstance(optimizer, _core.OptimizerKernel):
        if isinstance(optimizer, FullBatchOptimizer):
            raise TypeError(takes_all_rows(optimizer))
        raise TypeError(
            f"optimizer: expected an optimizer such as mlpcore.Adam(), got {received(optimizer)}"
        )
    if optimizer.learning_rate == 0.0:  # no constructor lets that pass
        raise RuntimeError(not_initialised(optimizer))
    return optimizer


def as_trainers_optimizer(optimizer: Any) -> AnyOptimizer:
    """Return `optimizer`, which has to be one of either kind: of steps, or of all rows."""
    if isinstance(optimizer, FullBatchOptimizer):
        if hasattr(optimizer, "stop_reason"):
            return optimizer
        raise RuntimeError(not_initialised(optimizer))
    as_optimizer(optimizer)
    return optimizer  # type: ignore[no-any-return]


def not_initialised(optimizer: Any) -> str:
    """The words for an optimizer whose subclass has forgotten the base."""
    return (
        f"the optimizer is not initialised: {type(optimizer).__name__}.__init__ did not run to its "
        "end"
    )


def as_state(parameters: Array, state: Any) -> tuple[Array, Any]:
    """Return the state of a pickled net, which a damaged pickle may have lost."""
    rule = f"parameters of shape {parameters.shape} and dtype {parameters.dtype}, and attributes"
    if not isinstance(state, tuple) or len(state) != 2 or not isinstance(state[0], np.ndarray):
        raise TypeError(f"state: expected {rule}, got {received(state)}")
    stored, attributes = state
    if stored.shape != parameters.shape or stored.dtype != parameters.dtype:
        raise ValueError(f"state: expected {rule}, got {received(stored)}")
    return stored, attributes


# ---- any array ----------------------------------------------------------------------------------


def real_array(value: Any, name: str) -> Array:
    """Return `value` as an array of real numbers, of whatever dtype and layout."""
    if type(value) is not np.ndarray:
        value = _as_plain_array(value, name)
    array: Array = value
    kind = array.dtype.kind
    if kind == "O":
        for index, entry in np.ndenumerate(array):
            if not isinstance(entry, numbers.Real | np.bool_):
                raise TypeError(
                    f"{name}: expected an array of real numbers, got {received(entry)}{_at(index)}"
                )
    elif kind not in "fiub":
        raise TypeError(f"{name}: expected an array of real numbers, got {received(array)}")
    return array


def any_array(value: Any, name: str) -> Array:
    """Return `value` as an array of whatever it holds: all of it has to be data."""
    # A mask says which entries are none; np.asarray would drop it without a word.
    ma = sys.modules.get("numpy.ma")
    if ma is not None and isinstance(value, ma.MaskedArray) and ma.is_masked(value):
        raise ValueError(
            f"{name}: expected an array without masked entries, got {ma.count_masked(value)} "
            "of them"
        )
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise ValueError(
            f"{name}: expected an array of real numbers, got {received(value)} ({error})"
        ) from error


def converted(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return `array` as the core reads it: C-contiguous, aligned, native and of `dtype`."""
    try:
        # Only a finite value that does not fit is an error here: NaN and infinity pass through.
        with np.errstate(over="raise", under="ignore", invalid="ignore"):
            return np.require(array, dtype, ["C", "A"])
    except (FloatingPointError, OverflowError) as error:
        index = _first_beyond(array, dtype)
        raise ValueError(
            f"{name}: expected values in the range of {dtype}, got {_shown(array[index])}"
            f"{_at(index)}"
        ) from error


def check_finite(array: Array, name: str) -> None:
    """Raise ValueError where `array` holds a NaN or an infinity."""
    # Piece by piece: of data that fill the memory there is no room for a mask, and Ctrl-C waits.
    n_rows = max(_CHECKED_REALS // max(array[:1].size, 1), 1)
    for begin in range(0, len(array), n_rows):
        finite = np.isfinite(array[begin : begin + n_rows])
        if not finite.all():
            row, *rest = first(~finite)
            index = (begin + row, *rest)
            raise ValueError(f"{name}: expected finite numbers, got {array[index]}{_at(index)}")


def first(mask: Array) -> tuple[int, ...]:
    """Return the index of the first True."""
    return tuple(int(i) for i in np.unravel_index(mask.argmax(), mask.shape))


# ---- a batch ------------------------------------------------------------------------------------


class JacobianTarget(NamedTuple):
    """What the net's derivatives should become, and how much that counts."""

    dy_dx: Array  # (N, K, D)
    weight: float


class Batch(NamedTuple):
    """Samples, targets and weights in the form that the core takes."""

    x: Array  # (N, D)
    target: Array  # (N, K), or int64 (N,)
    sample_weight: Array | None  # (N,)
    jacobian: JacobianTarget | None = None

    def rows(self, chosen: Any) -> Batch:
        """Some of the rows: a slice or an array of indices."""
        x, target, weight, jacobian = self
        return Batch(
            x[chosen],
            target[chosen],
            None if weight is None else weight[chosen],
            None if jacobian is None else jacobian._replace(dy_dx=jacobian.dy_dx[chosen]),
        )


def as_batch(net: MLP, x: Any, y: Any, sample_weight: Any, loss: Any) -> tuple[Batch, bool]:
    """Return what a loss of the net needs, and whether it was a single sample."""
    rows, single = as_rows(net, x)
    target = as_targets(net, y, rows.shape[0], loss, single)
    return Batch(rows, target, as_sample_weight(net, sample_weight, rows.shape[0])), single


def as_rows(net: MLP, x: Any, name: str = "x") -> tuple[Array, bool]:
    """Return the inputs as a batch (N, D), and whether they were a single sample (D,)."""
    n_inputs, dtype = net.sizes[0], net.dtype
    if (
        type(x) is np.ndarray
        and x.ndim == 2
        and x.shape[1] == n_inputs
        and x.dtype == dtype
        and x.flags.carray
    ):
        return x, False
    array = real_array(x, name)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name}: expected shape (N, {n_inputs}) or ({n_inputs},), got {received(array)}"
        )
    single = array.ndim == 1
    if array.shape[-1] != n_inputs:
        hint = " (samples are rows: reshape(-1, 1)?)" if single and n_inputs == 1 else ""
        columns = "column" if n_inputs == 1 else "columns"
        raise ValueError(
            f"{name}: expected {n_inputs} {columns} (the net's inputs), got {received(array)}{hint}"
        )
    if single:
        array = array[np.newaxis]
    return converted(array, dtype, name), single


def as_predictions(y_hat: Any) -> tuple[Array, bool]:
    """Return bare predictions as a batch (N, K), and whether they were a single sample (K,).

    float32 stays float32; whatever else becomes float64.
    """
    array = real_array(y_hat, "y_hat")
    if array.ndim not in (1, 2) or array.shape[-1] == 0:
        raise ValueError(f"y_hat: expected shape (N, K) or (K,), got {received(array)}")
    single = array.ndim == 1
    is_single_precision = array.dtype.newbyteorder("=") == np.float32
    dtype = np.dtype(np.float32 if is_single_precision else np.float64)
    return converted(array[np.newaxis] if single else array, dtype, "y_hat"), single


def as_targets(net: MLP, y: Any, n_samples: int, loss: Any, single: bool = False) -> Array:
    """Return the targets of a batch: (N, K), or for cross entropy also int64 classes (N,)."""
    return as_targets_of(net.dtype, net.sizes[-1], y, n_samples, loss, single)


def as_targets_of(
    dtype: np.dtype[Any], n_outputs: int, y: Any, n_samples: int, loss: Any, single: bool
) -> Array:
    """`as_targets` where there is no net, only predictions of `dtype` and `n_outputs`."""
    if (
        type(y) is np.ndarray
        and y.shape == (n_samples, n_outputs)
        and y.dtype == dtype
        and y.flags.carray
        and not single
    ):
        return y
    if not isinstance(loss, _core.LossKernel):
        return _rows_of_anything(y, n_samples, single)
    array = real_array(y, "y")
    takes_classes = loss.kind in _CROSS_ENTROPIES
    if takes_classes and array.ndim == (0 if single else 1) and array.dtype.kind in "iub":
        return _as_classes(array.reshape(-1), n_outputs, n_samples)
    if takes_classes and n_samples == 0 and array.shape == (0,):
        return np.empty(0, np.int64)  # no classes have no dtype either: [] is an array of float64
    shape = _result_shape(n_outputs, n_samples, single)
    # One output a sample is also a plain vector of samples; nothing else is broadcast.
    if array.shape != shape and not (n_outputs == 1 and array.shape == shape[:-1]):
        classes = f" or integer classes {shape[:-1]}" if takes_classes else ""
        raise ValueError(f"y: expected shape {shape}{classes}, got {received(array)}")
    return converted(array.reshape(n_samples, n_outputs), dtype, "y")


def as_sample_weight(net: MLP, sample_weight: Any, n_samples: int) -> Array | None:
    """Return the sample weights (N,): finite, none negative, not all zero; None stays None."""
    return as_sample_weight_of(net.dtype, sample_weight, n_samples)


def as_sample_weight_of(dtype: np.dtype[Any], sample_weight: Any, n_samples: int) -> Array | None:
    """`as_sample_weight` where there is no net, only predictions of `dtype`."""
    if sample_weight is None:
        return None
    array = real_array(sample_weight, "sample_weight")
    if array.shape != (n_samples,) and not (n_samples == 1 and array.ndim == 0):
        raise ValueError(
            f"sample_weight: expected shape ({n_samples},), one a sample, got {received(array)}"
        )
    weight = converted(array.reshape(n_samples), dtype, "sample_weight")
    check_finite(weight, "sample_weight")
    if n_samples == 0:
        return weight
    if weight.min() < 0:
        index = first(weight < 0)
        raise ValueError(
            f"sample_weight: expected no negative weight, got {weight[index]}{_at(index)}"
        )
    if weight.max() == 0:
        given = array.reshape(n_samples)
        index = first(given != 0)
        lost = f"{_shown(given[index])}{_at(index)}, which is 0 there" if given[index] else "zeros"
        raise ValueError(
            f"sample_weight: expected at least one weight above 0 in {dtype}, got {lost}"
        )
    return weight


def as_cotangent(
    net: MLP, cotangent: Any, n_samples: int, single: bool, name: str = "cotangent"
) -> Array:
    """Return a cotangent dl/dy_hat as (N, K); it has the shape of the net's output."""
    array = real_array(cotangent, name)
    shape = _result_shape(net.sizes[-1], n_samples, single)
    if array.shape != shape:
        raise ValueError(
            f"{name}: expected shape {shape} (the net's output), got {received(array)}"
        )
    return converted(array.reshape(n_samples, net.sizes[-1]), net.dtype, name)


def as_output(net: MLP, out: Any, n_samples: int, single: bool) -> Array:
    """Return the array that outputs are written to: it has to be just what they would be."""
    return as_result(net, out, _result_shape(net.sizes[-1], n_samples, single))


def as_result(net: MLP, out: Any, shape: tuple[int, ...]) -> Array:
    """Return the array that a result of `shape` is written to."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array of dtype {net.dtype}, got {received(out)}")
    if out.dtype.newbyteorder("=") != net.dtype:
        raise TypeError(f"out: expected dtype {net.dtype} (the net's), got {received(out)}")
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {received(out)}")
    if not out.flags.writeable:
        raise ValueError("out: expected a writable array, got a read-only one")
    return out


def as_callable_result(result: Any, prediction: Array, sample_weight: Any) -> tuple[float, Array]:
    """Return what a callable loss gave: a number, and dl/dy_hat of the prediction's shape."""
    if sample_weight is not None:
        raise ValueError(
            "sample_weight: expected None with a callable loss, which weighs its samples itself, "
            f"got {received(sample_weight)}"
        )
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"loss: expected the function to return (value, dl_dy_hat), got {received(result)}"
        )
    value = real_array(result[0], "loss's value")
    gradient = real_array(result[1], "loss's dl_dy_hat")
    if value.size != 1:
        raise ValueError(f"loss's value: expected one number, got {received(value)}")
    if gradient.shape != prediction.shape:
        raise ValueError(
            f"loss's dl_dy_hat: expected shape {prediction.shape}, got {received(gradient)}"
        )
    return float(value.item()), converted(gradient, prediction.dtype, "loss's dl_dy_hat")


def as_tangent(net: MLP, tangent: Any, n_samples: int, single: bool) -> Array:
    """Return a change of the inputs as (N, D); it has the shape of x."""
    array = real_array(tangent, "tangent")
    n_inputs = net.sizes[0]
    shape = _result_shape(n_inputs, n_samples, single)
    if array.shape != shape:
        raise ValueError(f"tangent: expected shape {shape} (that of x), got {received(array)}")
    return converted(array.reshape(n_samples, n_inputs), net.dtype, "tangent")


# ---- parameters ---------------------------------------------------------------------------------


def as_flat(net: MLP, vector: Any, name: str) -> Array:
    """Return a vector (P,) with one entry for each parameter of the net."""
    array = real_array(vector, name)
    if array.shape != net.parameters.shape:
        raise ValueError(
            f"{name}: expected shape {net.parameters.shape} (the net's parameters), "
            f"got {received(array)}"
        )
    return converted(array, net.dtype, name)


def as_moment(moment: Any, name: str) -> Array | None:
    """Return a copy of an optimizer's moment; whether it fits a net turns out at the first step."""
    if moment is None:
        return None
    if not isinstance(moment, np.ndarray) or moment.ndim != 1 or moment.dtype.kind != "f":
        raise TypeError(f"{name}: expected None or a vector of reals, got {received(moment)}")
    return np.array(moment)  # copy() would keep a subclass, such as joblib's memory maps


# ---- helpers ------------------------------------------------------------------------------------


def _as_plain_array(value: Any, name: str) -> Array:
    array = any_array(value, name)
    if array.ndim == 0 and array.dtype.kind == "O" and not isinstance(value, numbers.Real):
        # Not an array at all: None, a set, a generator, a sparse matrix.
        raise TypeError(f"{name}: expected an array of real numbers, got {received(value)}")
    return array


def _rows_of_anything(y: Any, n_samples: int, single: bool) -> Array:
    """The targets of a callable loss, which alone knows what they mean."""
    array = any_array(y, "y")
    if single:
        return array[np.newaxis]
    if array.ndim == 0 or array.shape[0] != n_samples:
        raise ValueError(f"y: expected {n_samples} rows, one a sample, got {received(array)}")
    return array


def _as_classes(array: Array, n_outputs: int, n_samples: int) -> Array:
    if array.shape != (n_samples,):
        raise ValueError(f"y: expected {n_samples} classes, one a sample, got {received(array)}")
    if n_samples > 0:
        # Before the conversion to int64, which would wrap the largest of uint64.
        lowest, highest = int(array.min()), int(array.max())
        if lowest < 0 or highest >= n_outputs:
            index = first((array < 0) | (array >= n_outputs))
            raise ValueError(
                f"y: expected classes from 0 to {n_outputs - 1} (the net's outputs), "
                f"got {array[index]}{_at(index)}"
            )
    return np.require(array, np.int64, ["C", "A"])


def _result_shape(n_outputs: int, n_samples: int, single: bool) -> tuple[int, ...]:
    return (n_outputs,) if single else (n_samples, n_outputs)


def _first_beyond(array: Array, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Index of the first finite value that `dtype` cannot hold."""

    def fits(entry: Any) -> bool:
        try:
            with np.errstate(over="raise", under="ignore", invalid="ignore"):
                np.asarray(entry).astype(dtype)
        except (FloatingPointError, OverflowError):
            return False
        return True

    return next(index for index, entry in np.ndenumerate(array) if not fits(entry))


def _shown(number: Any) -> str:
    return reprlib.repr(number) if isinstance(number, int) else str(number)


def _at(index: tuple[int, ...]) -> str:
    if len(index) == 2:
        return f" at row {index[0]}, column {index[1]}"
    return f" at index {index[0] if len(index) == 1 else index}" if index else ""
