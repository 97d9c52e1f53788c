# SPDX-License-Identifier: BSD-3-Clause
"""The one place that checks arguments: what passes here, the core may trust.

Each function gives back its argument in the form that the core takes, or raises an error whose
message names the argument, the rule and what was received: ValueError for shapes, sizes, names and
ranges, TypeError for wrong kinds. Arrays that fit already are given back as they are, never copied;
those that do not are converted, and the caller's array is never written to.
"""

from __future__ import annotations

import math
import numbers
import operator
import reprlib
import sys
from collections.abc import Collection, Iterable
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core

if TYPE_CHECKING:
    from ._core import Array
    from .losses import CallableLoss, Loss
    from .mlp import MLP
    from .trace import Trace

# Where a mini-batch's order and a net's first weights are drawn, a seed has to fit 64 bits.
_MAX_SEED = 2**64 - 1

# As src_c/parallel.h has it: more threads than this never work on one task.
_MAX_THREADS = 256

_BCE = _core.LOSSES["bce"]
_CROSS_ENTROPIES = (_core.LOSSES["cross_entropy"], _core.LOSSES["cross_entropy_with_logits"])
_PROBABILITIES = ("sigmoid", "softmax")

# ---- numbers and names --------------------------------------------------------------------------


def check_positive_int(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1; a float or a bool is no int."""
    number = _as_int(value, name, "a positive integer")
    if number < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    return number


def check_in_range(
    value: Any,
    name: str,
    low: float,
    high: float = math.inf,
    *,
    include_low: bool = True,
    include_high: bool = False,
) -> float:
    """Return `value` as a finite float between `low` and `high`."""
    brackets = ("[" if include_low else "(", "]" if include_high else ")")
    rule = f"a number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: expected {rule}, got {_received(value)}")
    number = float(value)
    above = number >= low if include_low else number > low
    below = number <= high if include_high else number < high
    if not (above and below and math.isfinite(number)):  # a NaN is neither above nor below
        raise ValueError(f"{name}: expected {rule}, got {value!r}")
    return number


def check_bool(value: Any, name: str) -> bool:
    """Return `value` as a bool; 0, 1 and strings are none."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {_received(value)}")
    return bool(value)


def check_choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Return `value`, which has to be one of the names `choices`."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {_listed(choices)}, got {_received(value)}")
    if value not in choices:
        raise ValueError(f"{name}: expected one of {_listed(choices)}, got {_received(value)}")
    return value


def check_seed(value: Any, name: str = "seed") -> int | None:
    """Return `value` as an int in [0, 2**64), or None."""
    if value is None:
        return None
    seed = _as_int(value, name, "None or an integer in [0, 2**64)")
    if not 0 <= seed <= _MAX_SEED:
        raise ValueError(f"{name}: expected None or an integer in [0, 2**64), got {value!r}")
    return seed


def check_momentum(momentum: Any, nesterov: Any) -> tuple[float, bool]:
    """Return momentum and whether it is Nesterov's, which needs one."""
    checked = check_in_range(momentum, "momentum", 0.0, 1.0), check_bool(nesterov, "nesterov")
    if checked[1] and checked[0] == 0.0:
        raise ValueError(f"nesterov: expected a momentum above 0 with it, got {momentum!r}")
    return checked


def check_n_steps(value: Any) -> int:
    """Return an optimizer's step count, which a damaged pickle may have lost."""
    number = _as_int(value, "n_steps", "an integer of at least 0")
    if number < 0:
        raise ValueError(f"n_steps: expected an integer of at least 0, got {value!r}")
    return number


def n_threads(value: Any) -> int:
    """Return how many threads may work: `value`, or where it is None the default."""
    return _core.default_n_threads() if value is None else check_n_threads(value)


def check_n_threads(value: Any) -> int:
    """Return `value` as a number of threads."""
    number = check_positive_int(value, "n_threads")
    if number > _MAX_THREADS:
        raise ValueError(f"n_threads: expected at most {_MAX_THREADS}, got {number}")
    return number


# ---- the net's own arguments --------------------------------------------------------------------


def as_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the layer sizes, at least an input's and an output's, each at least 1."""
    rule = "a sequence of layer sizes, inputs first"
    if isinstance(sizes, str | bytes) or not isinstance(sizes, Iterable):
        raise TypeError(f"sizes: expected {rule}, got {_received(sizes)}")
    checked = tuple(check_positive_int(size, f"sizes[{i}]") for i, size in enumerate(sizes))
    if len(checked) < 2:
        raise ValueError(f"sizes: expected {rule}, at least two, got {list(checked)}")
    n_parameters = sum((n + 1) * m for n, m in pairwise(checked))
    if n_parameters * 8 > sys.maxsize:
        raise ValueError(
            f"sizes: expected parameters that memory can address, got {n_parameters} of them "
            f"for {_received(list(checked))}"
        )
    return checked


def as_activations(activations: Any, n_layers: int) -> tuple[str, ...]:
    """Return one activation's name for each layer."""
    if isinstance(activations, str):
        check_choice(activations, "activations", _core.ACTIVATIONS)
        if activations == "softmax":
            raise ValueError(
                "activations: a single name is that of the hidden layers, and softmax is for the "
                'output layer alone: expected a list such as ["relu", "softmax"], got \'softmax\''
            )
        return (activations,) * (n_layers - 1) + ("identity",)
    if not isinstance(activations, Iterable):
        raise TypeError(
            f"activations: expected a name or a name per layer, got {_received(activations)}"
        )
    names = tuple(
        check_choice(name, f"activations[{i}]", _core.ACTIVATIONS)
        for i, name in enumerate(activations)
    )
    if len(names) != n_layers:
        raise ValueError(
            f"activations: expected {n_layers} names, one per layer, got {_received(list(names))}"
        )
    if "softmax" in names[:-1]:
        raise ValueError(
            f"activations: softmax is for the output layer alone, got {_received(list(names))}"
        )
    return names


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a net: float32 or float64."""
    if not isinstance(dtype, str | type | np.dtype):
        raise TypeError(f'dtype: expected "float32" or "float64", got {_received(dtype)}')
    try:
        checked = np.dtype(dtype)
    except TypeError:  # a name that NumPy does not know
        checked = np.dtype(object)
    if checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f'dtype: expected "float32" or "float64", got {_received(dtype)}')
    return checked


def as_state(parameters: Array, state: Any) -> tuple[Array, dict[str, Any] | None]:
    """Return the state of a pickled net, which a damaged pickle may have lost."""
    rule = f"parameters of shape {parameters.shape} and dtype {parameters.dtype}, and attributes"
    if not isinstance(state, tuple) or len(state) != 2:
        raise TypeError(f"state: expected {rule}, got {_received(state)}")
    stored, attributes = state
    if not isinstance(stored, np.ndarray) or not isinstance(attributes, dict | None):
        raise TypeError(f"state: expected {rule}, got {_received(state)}")
    if stored.shape != parameters.shape or stored.dtype != parameters.dtype:
        raise ValueError(f"state: expected {rule}, got {_received(stored)}")
    return stored, attributes


def as_network(net: Any) -> MLP:
    """Return `net`, which has to be an MLP."""
    if not isinstance(net, _core.Network):
        raise TypeError(f"net: expected an MLP, got {_received(net)}")
    return net  # type: ignore[return-value]  # MLP is the only class made from Network


def as_optimizer(optimizer: Any) -> _core.OptimizerKernel:
    """Return `optimizer`, which has to be an instance such as ``Adam()``."""
    if not isinstance(optimizer, _core.OptimizerKernel):
        raise TypeError(
            f"optimizer: expected an optimizer such as mlpcore.Adam(), got {_received(optimizer)}"
        )
    return optimizer


def as_trace(net: MLP, trace: Any) -> Trace:
    """Return `trace`, which has to be one of a net of the same topology."""
    if not isinstance(trace, _late("trace").Trace):
        raise TypeError(f"trace: expected a Trace such as net.trace(x), got {_received(trace)}")
    if trace.net is not net and trace.net._topology() != net._topology():
        raise ValueError(f"trace: expected one of a net like {net!r}, got one of {trace.net!r}")
    checked: Trace = trace
    return checked


def is_loss(value: Any, y: Any, sample_weight: Any) -> bool:
    """Whether `value` is a loss, which needs targets, or a cotangent, which holds them already."""
    if isinstance(value, str | _core.LossKernel) or callable(value):
        if y is None and isinstance(value, _core.LossKernel):
            raise TypeError(f"y: expected the targets of {value!r}, got None")
        if y is None:
            raise TypeError(
                "cotangent: expected an array of real numbers, or a loss together with y, "
                f"got {_received(value)} alone"
            )
        return True
    if y is not None or sample_weight is not None:
        name, given = ("sample_weight", sample_weight) if y is None else ("y", y)
        raise TypeError(
            f"{name}: expected a loss with it, and not a cotangent, got {_received(given)}"
        )
    return False


def as_loss(net: MLP, loss: Any) -> Loss | CallableLoss:
    """Return the loss as `net` computes it, from its name, an instance or a callable."""
    if not isinstance(loss, _core.LossKernel):
        losses = _late("losses")
        if isinstance(loss, losses.CallableLoss):
            callable_loss: CallableLoss = loss
            return callable_loss
        if isinstance(loss, str):
            loss = losses.NAMED[check_choice(loss, "loss", losses.NAMED)]
        elif callable(loss) and not isinstance(loss, type):
            callable_loss = losses.CallableLoss(loss)
            return callable_loss
        else:
            raise TypeError(
                "loss: expected a name, an instance such as mlpcore.losses.MSE() or a function "
                f"f(y_hat, y) -> (value, dl_dy_hat), got {_received(loss)}"
            )
    return loss_after(net, loss)


def loss_after(net: MLP, loss: Any) -> Loss:
    """Return the built-in loss `loss` as it is after the output of `net`."""
    kind, output = loss.kind, net.activations[-1]
    if kind in _CROSS_ENTROPIES:
        loss = loss.after(output)
        if not loss.from_logits and output not in _PROBABILITIES:
            raise ValueError(
                "loss: cross_entropy with from_logits=False needs an output in (0, 1): expected a "
                "softmax output or from_logits=True, which takes the output as logits, got the "
                f"output activation {output!r}"
            )
    elif kind == _BCE and output not in _PROBABILITIES:
        raise ValueError(
            "loss: bce needs an output in (0, 1): expected a sigmoid output or the loss "
            f'"bce_with_logits", which takes the output as logits, got the output activation '
            f"{output!r}"
        )
    checked: Loss = loss
    return checked


# ---- arrays -------------------------------------------------------------------------------------


def real_array(value: Any, name: str) -> Array:
    """Return `value` as an array of real numbers, of whatever dtype and layout."""
    if type(value) is not np.ndarray:
        value = _as_plain_array(value, name)
    array: Array = value
    kind = array.dtype.kind
    if kind not in "fiub" and not (kind == "O" and _holds_reals(array)):
        raise TypeError(f"{name}: expected an array of real numbers, got {_received(array)}")
    return array


def converted(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return `array` as the core reads it: C-contiguous, aligned, native and of `dtype`."""
    try:
        # Only a finite value that does not fit is an error here: NaN and infinity pass through.
        with np.errstate(over="raise", under="ignore", invalid="ignore"):
            return np.require(array, dtype, ["C", "A"])
    except (FloatingPointError, OverflowError) as error:
        raise ValueError(
            f"{name}: expected values in the range of {dtype}, got one beyond it"
        ) from error


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
    single = array.ndim == 1
    if array.ndim not in (1, 2) or array.shape[-1] != n_inputs:
        hint = " (samples are rows: reshape(-1, 1)?)" if single and n_inputs == 1 else ""
        columns = "column" if n_inputs == 1 else "columns"
        raise ValueError(
            f"{name}: expected {n_inputs} {columns} (the net's inputs), "
            f"got {_received(array)}{hint}"
        )
    if single:
        array = array[np.newaxis]
    return converted(array, dtype, name), single


def as_output(net: MLP, out: Any, n_samples: int, single: bool) -> Array:
    """Return the array that results are written to: it has to be just what they would be."""
    shape = _result_shape(net.sizes[-1], n_samples, single)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array of dtype {net.dtype}, got {_received(out)}")
    if out.dtype.newbyteorder("=") != net.dtype:
        raise TypeError(f"out: expected dtype {net.dtype} (the net's), got {_received(out)}")
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {_received(out)}")
    if not out.flags.writeable:
        raise ValueError("out: expected a writable array, got a read-only one")
    return out


def as_predictions(y_hat: Any) -> tuple[Array, bool]:
    """Return bare predictions as a batch (N, K), and whether they were a single sample (K,).

    float32 stays float32; whatever else becomes float64.
    """
    array = real_array(y_hat, "y_hat")
    if array.ndim not in (1, 2) or array.shape[-1] == 0:
        raise ValueError(f"y_hat: expected shape (N, K) or (K,), got {_received(array)}")
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
    shape = _result_shape(n_outputs, n_samples, single)
    # One output a sample is also a plain vector of samples; nothing else is broadcast.
    if array.shape != shape and not (n_outputs == 1 and array.shape == shape[:-1]):
        classes = f" or integer classes {shape[:-1]}" if takes_classes else ""
        raise ValueError(f"y: expected shape {shape}{classes}, got {_received(array)}")
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
            f"sample_weight: expected shape ({n_samples},), one a sample, got {_received(array)}"
        )
    weight = converted(array.reshape(n_samples), dtype, "sample_weight")
    check_finite(weight, "sample_weight")
    if n_samples == 0:
        return weight
    if weight.min() < 0:
        raise ValueError(f"sample_weight: expected no negative weight, got {weight.min()}")
    if weight.max() == 0:
        raise ValueError("sample_weight: expected at least one weight above 0, got zeros alone")
    return weight


def as_cotangent(
    net: MLP, cotangent: Any, n_samples: int, single: bool, name: str = "cotangent"
) -> Array:
    """Return a cotangent dl/dy_hat as (N, K); it has the shape of the net's output."""
    array = real_array(cotangent, name)
    shape = _result_shape(net.sizes[-1], n_samples, single)
    if array.shape != shape:
        raise ValueError(
            f"{name}: expected shape {shape} (the net's output), got {_received(array)}"
        )
    return converted(array.reshape(n_samples, net.sizes[-1]), net.dtype, name)


def as_callable_result(result: Any, prediction: Array, sample_weight: Any) -> tuple[float, Array]:
    """Return what a callable loss gave: a number, and dl/dy_hat of the prediction's shape."""
    if sample_weight is not None:
        raise ValueError(
            "sample_weight: expected None with a callable loss, which weighs its samples itself, "
            f"got {_received(sample_weight)}"
        )
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"loss: expected the function to return (value, dl_dy_hat), got {_received(result)}"
        )
    value = real_array(result[0], "loss's value")
    gradient = real_array(result[1], "loss's dl_dy_hat")
    if value.size != 1:
        raise ValueError(f"loss's value: expected one number, got {_received(value)}")
    if gradient.shape != prediction.shape:
        raise ValueError(
            f"loss's dl_dy_hat: expected shape {prediction.shape}, got {_received(gradient)}"
        )
    return float(value.item()), converted(gradient, prediction.dtype, "loss's dl_dy_hat")


def as_flat(net: MLP, vector: Any, name: str) -> Array:
    """Return a vector (P,) with one entry for each parameter of the net."""
    array = real_array(vector, name)
    if array.shape != net.parameters.shape:
        raise ValueError(
            f"{name}: expected shape {net.parameters.shape} (the net's parameters), "
            f"got {_received(array)}"
        )
    return converted(array, net.dtype, name)


def as_gradients(net: MLP, gradients: Any) -> Array:
    """Return the flat vector (P,) of `Gradients` of such a net, or of an array."""
    if isinstance(gradients, _late("trace").Gradients):
        gradients = gradients.flat
    return as_flat(net, gradients, "gradients")


def as_moment(moment: Any, name: str) -> Array | None:
    """Return a copy of an optimizer's moment; whether it fits a net turns out at the first step."""
    if moment is None:
        return None
    if not isinstance(moment, np.ndarray) or moment.ndim != 1 or moment.dtype.kind != "f":
        raise TypeError(f"{name}: expected None or a vector of reals, got {_received(moment)}")
    return moment.copy()


def check_finite(array: Array, name: str) -> None:
    """Raise ValueError where `array` holds a NaN or an infinity."""
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"{name}: expected finite numbers, got {array[index]} at index "
            f"{index if len(index) != 1 else index[0]}"
        )


# ---- helpers ------------------------------------------------------------------------------------


@cache
def _late(module: str) -> Any:
    """A module that needs this one itself, and is imported when it is first needed here."""
    return import_module(f".{module}", __package__)


def _as_int(value: Any, name: str, rule: str) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected {rule}, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected {rule}, got {_received(value)}") from None


def _as_plain_array(value: Any, name: str) -> Array:
    # A mask says which entries are no data; np.asarray would drop it without a word.
    ma = sys.modules.get("numpy.ma")
    if ma is not None and isinstance(value, ma.MaskedArray) and ma.is_masked(value):
        raise ValueError(
            f"{name}: expected an array without masked entries, got {ma.count_masked(value)} "
            "of them"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise ValueError(
            f"{name}: expected an array of real numbers, got {_received(value)} ({error})"
        ) from error
    if array.ndim == 0 and array.dtype.kind == "O" and not isinstance(value, numbers.Real):
        # Not an array at all: None, a set, a generator, a sparse matrix.
        raise TypeError(f"{name}: expected an array of real numbers, got {_received(value)}")
    return array


def _holds_reals(array: Array) -> bool:
    return all(isinstance(entry, numbers.Real | np.bool_) for entry in array.flat)


def _rows_of_anything(y: Any, n_samples: int, single: bool) -> Array:
    """The targets of a callable loss, which alone knows what they mean."""
    array = np.asarray(y)
    if single:
        return array[np.newaxis]
    if array.ndim == 0 or array.shape[0] != n_samples:
        raise ValueError(f"y: expected {n_samples} rows, one a sample, got {_received(array)}")
    return array


def _as_classes(array: Array, n_outputs: int, n_samples: int) -> Array:
    if array.shape != (n_samples,):
        raise ValueError(f"y: expected {n_samples} classes, one a sample, got {_received(array)}")
    if n_samples > 0:
        # Before the conversion to int64, which would wrap the largest of uint64.
        lowest, highest = int(array.min()), int(array.max())
        if lowest < 0 or highest >= n_outputs:
            raise ValueError(
                f"y: expected classes from 0 to {n_outputs - 1} (the net's outputs), "
                f"got {lowest if lowest < 0 else highest}"
            )
    return np.require(array, np.int64, ["C", "A"])


def _result_shape(n_outputs: int, n_samples: int, single: bool) -> tuple[int, ...]:
    return (n_outputs,) if single else (n_samples, n_outputs)


def _listed(choices: Collection[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)


def _received(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"shape {value.shape} of dtype {value.dtype}"
    return f"{reprlib.repr(value)} ({type(value).__name__})"
