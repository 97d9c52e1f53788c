# SPDX-License-Identifier: BSD-3-Clause
"""A trainer in a file: a safetensors file whose array ``state`` is a JSON text.

Nothing in the file is executed. What it says is checked before it is used: names, kinds, lengths
and ranges one by one, and a CRC-32 of the whole tells a changed byte.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from . import _core, _safetensors, optimizers, schedules
from ._checks import as_path, check_in_range, check_n_steps, check_seed, received
from .callbacks import BestEpoch, EarlyStopping
from .files import pack, unpack
from .full_batch import FullBatchOptimizer
from .history import History
from .lbfgs import LBFGS
from .levenberg_marquardt import LevenbergMarquardt
from .losses import NAMED, Loss
from .optimizer_base import Optimizer, remade
from .rates import RateState
from .schedules import Schedule
from .training import memory_of, remember
from .training_state import Memory, PartOfEpoch, TrainingState

if TYPE_CHECKING:
    from ._core import Array
    from .trainer import Trainer

T = TypeVar("T", bound="Trainer")

FORMAT = "mlpcore.trainer"
FORMAT_VERSION = 1

_LOSSES: dict[str, Any] = {type(loss).__name__: type(loss) for loss in NAMED.values()}
_OPTIMIZERS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        optimizers.SGD,
        optimizers.Adam,
        optimizers.AdamW,
        optimizers.RMSprop,
        LBFGS,
        LevenbergMarquardt,
    )
}
_MOMENTS = ("first_moment", "second_moment")
_SCHEDULES: dict[str, Any] = {
    name: cls
    for name, cls in vars(schedules).items()
    if isinstance(cls, type) and issubclass(cls, Schedule) and cls is not Schedule
}
# What stands for a loss or a schedule that is a function.
_FUNCTION = "function"


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write a trainer, see `Trainer.save`."""
    trainer.optimizer._check_idle()
    net_metadata, net_arrays = pack(trainer.net)
    arrays = {f"net.{name}": array for name, array in net_arrays.items()}
    state, rates, history = memory_of(trainer)
    best = state.best
    optimizer = trainer.optimizer
    if isinstance(optimizer, FullBatchOptimizer):
        moments: dict[str, Any] = {}
        rate, kept = 0.0, {name: getattr(optimizer, name) for name in optimizer._kept}
    else:
        moments = {name: getattr(optimizer, name) for name in _MOMENTS}
        rate, kept = optimizer._scheduled_rate, {}
    optional = {
        **{f"optimizer.{name}": moment for name, moment in moments.items()},
        "best.parameters": None if best is None else best.parameters,
        "best.latest": None if best is None else best.latest,
    }
    arrays |= {name: array for name, array in optional.items() if array is not None}
    content = {
        "net": net_metadata,
        "loss": _described(trainer.loss, "loss", _LOSSES),
        "optimizer": _described(trainer.optimizer, "optimizer", _OPTIMIZERS),
        "n_steps": optimizer.n_steps,
        "scheduled_rate": rate,
        **kept,
        "schedule": _described(trainer.schedule, "schedule", _SCHEDULES),
        "batch_size": trainer.batch_size,
        "dropout": list(trainer.dropout),
        "shuffle": trainer.shuffle,
        "seed": trainer.seed,
        "n_threads": trainer.n_threads,
        "dy_dx_weight": trainer.dy_dx_weight,
        "rates": asdict(rates),
        "n_epochs": state.n_epochs,
        "part": None if state.part is None else _part_to_json(state.part),
        "best": None
        if best is None
        else {
            "rule": asdict(best.rule),
            "value": best.value,
            "epochs_since": best.epochs_since,
            "has_stopped": best.has_stopped,
        },
        "history": [_row_to_json(row) for row in history],
    }
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    arrays["state"] = np.frombuffer(text, np.uint8)
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    _safetensors.write(path, arrays, metadata | {"checksum": _checksum(arrays)})


def load(
    cls: type[T],
    path: str | os.PathLike[str],
    loss: Callable[..., Any] | None,
    schedule: Callable[[int], float] | None,
) -> T:
    """Read a trainer, see `Trainer.load`."""
    source = as_path(path)
    metadata, arrays = _safetensors.read(path)
    version = metadata.get("format_version")
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{source}: expected a file that Trainer.save has written")
    if version != str(FORMAT_VERSION):
        raise ValueError(
            f"{source}: expected format {FORMAT_VERSION}, got {version!r:.50}: another version of "
            "mlpcore may read it"
        )
    if metadata.get("checksum") != _checksum(arrays) or "state" not in arrays:
        raise ValueError(f"{source}: damaged: the checksum does not fit")
    try:
        content = json.loads(arrays.pop("state").tobytes().decode("ascii"))
        trainer = _trainer(cls, content, arrays, source, loss, schedule)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, GivenError):
            raise ValueError(str(error)) from None
        raise ValueError(f"{source}: damaged: {error}") from error
    return trainer


class GivenError(ValueError):
    """What the caller gave does not fit the file."""


def _trainer(
    cls: type[T],
    content: Any,
    arrays: dict[str, Array],
    source: str,
    loss: Any,
    schedule: Any,
) -> T:
    fields = _Fields(content, "state")
    net_metadata = fields.of("net", dict)
    net_arrays = {name[4:]: arrays.pop(name) for name in list(arrays) if name.startswith("net.")}
    net = unpack(net_metadata, net_arrays, source)
    for name, array in arrays.items():
        if array.shape != net.parameters.shape or array.dtype != net.dtype:
            raise ValueError(f"{name}: expected shape {net.parameters.shape}, got {array.shape}")
    described = fields.of("optimizer", dict)
    optimizer = _made(described, _OPTIMIZERS, "optimizer", None)
    n_steps = check_n_steps(fields.of("n_steps", int))
    if isinstance(optimizer, FullBatchOptimizer):
        optimizer.n_steps = n_steps
        for name in optimizer._kept:
            value = fields.of(name, float, int, None)
            setattr(optimizer, name, None if value is None else check_in_range(value, name, 0.0))
    else:
        first, second = (arrays.pop(f"optimizer.{name}", None) for name in _MOMENTS)
        arguments = described["arguments"]
        optimizer = remade(type(optimizer), arguments, (n_steps, first, second))
        optimizer._scheduled_rate = fields.number("scheduled_rate")
    trainer = cls(
        net,
        _made(fields.of("loss", dict), _LOSSES, "loss", loss),
        optimizer,
        fields.of("batch_size", int, None),
        schedule=_made(fields.of("schedule", dict, None), _SCHEDULES, "schedule", schedule),
        dropout=fields.of("dropout", list),
        shuffle=fields.of("shuffle", bool),
        seed=check_seed(fields.of("seed", int)),
        n_threads=fields.of("n_threads", int, None),
        dy_dx_weight=fields.number("dy_dx_weight"),
    )
    rates = _rates(fields.of("rates", dict))
    part = fields.of("part", dict, None)
    best = fields.of("best", dict, None)
    state = TrainingState(
        fields.count("n_epochs"),
        None if part is None else _part(part),
        None if best is None else _best(best, arrays),
    )
    if arrays:
        raise ValueError(f"the array {min(arrays)!r:.50} is one too many")
    rows = fields.of("history", list)
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("history: expected rows by name")
    remember(trainer, Memory(state, rates, History(rows)))
    return trainer


class _Fields:
    """Values by name, each of a kind that is checked when it is asked for."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{where}: expected values by name, got {received(values)}")
        self.values, self.where = values, where

    def of(self, name: str, *kinds: Any) -> Any:
        """The value of this name; None among the kinds allows null."""
        value = self.values[name]
        if value is None and None in kinds:
            return None
        # A bool is an int to Python, not to JSON.
        if type(value) not in kinds:
            raise ValueError(f"{self.where}: {name} is {received(value)}")
        return value

    def count(self, name: str) -> int:
        """The value of this name, in [0, 2**63)."""
        value = self.of(name, int)
        if not 0 <= value < 2**63:
            raise ValueError(f"{self.where}: expected {name} in [0, 2**63), got {value!r:.50}")
        return int(value)

    def number(self, name: str, *, finite: bool = True) -> float:
        """The value of this name, a number."""
        value = float(self.of(name, float, int))
        if math.isnan(value) or (finite and math.isinf(value)):
            raise ValueError(f"{self.where}: expected a number for {name}, got {value}")
        return value


def _rates(values: dict[str, Any]) -> RateState:
    fields = _Fields(values, "rates")
    scale = fields.of("scale", float, int, None)
    return RateState(
        None if scale is None else fields.number("scale"),
        fields.count("n_epochs"),
        fields.number("best", finite=False),
        fields.count("epochs_since"),
        fields.number("reduced"),
    )


def _part_to_json(part: PartOfEpoch) -> dict[str, Any]:
    return part._asdict() | {"block": [part.block.n_steps, part.block.loss_total]}


def _part(values: dict[str, Any]) -> PartOfEpoch:
    fields = _Fields(values, "part")
    layout = fields.of("layout", list, None)
    if layout is not None and not all(type(n) is int for n in layout):
        raise ValueError(f"part: layout is {received(layout)}")
    n_steps, loss_total = fields.of("block", list)
    block = _Fields({"n_steps": n_steps, "loss_total": loss_total}, "part.block")
    batch_size = fields.count("batch_size")
    if batch_size == 0:
        raise ValueError("part: expected a batch_size above 0, got 0")
    return PartOfEpoch(
        None if layout is None else tuple(layout),
        batch_size,
        fields.count("n_blocks"),
        fields.count("n_rows"),
        fields.count("n_steps"),
        fields.number("loss"),
        fields.number("seconds"),
        _core.EpochPosition(block.count("n_steps"), block.number("loss_total")),
    )


def _best(values: dict[str, Any], arrays: dict[str, Array]) -> BestEpoch:
    fields = _Fields(values, "best")
    return BestEpoch(
        EarlyStopping(**fields.of("rule", dict)),
        fields.number("value", finite=False),
        fields.count("epochs_since"),
        arrays.pop("best.parameters", None),
        arrays.pop("best.latest", None),
        fields.of("has_stopped", bool),
    )


def _described(thing: Any, what: str, classes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The name and the arguments that make a loss, an optimizer or a schedule again."""
    if thing is None:
        return None
    name = type(thing).__name__
    if classes.get(name) is type(thing):
        if isinstance(thing, Loss | Optimizer | FullBatchOptimizer):
            arguments = dict(thing._arguments)
        else:
            arguments = asdict(thing)
        return {"name": name, "arguments": arguments}
    if isinstance(thing, Loss | Optimizer | FullBatchOptimizer | Schedule):
        raise TypeError(f"{what}: expected one of {', '.join(classes)} to save, got {thing!r}")
    return {"name": _FUNCTION, "arguments": {}}


def _made(
    described: dict[str, Any] | None, classes: Mapping[str, Any], what: str, given: Any
) -> Any:
    """What `_described` has described; a function is `given` by the caller."""
    name = "" if described is None else _Fields(described, what).of("name", str)
    if name == _FUNCTION:
        if given is None:
            raise GivenError(
                f"{what}: expected the function that the trainer was saved with, got None"
            )
        return given
    if given is not None:
        raise GivenError(f"{what}: expected None, since the file says which, got {received(given)}")
    if described is None:
        return None
    if name not in classes:
        raise ValueError(f"{what}: expected one of {', '.join(classes)}, got {name!r:.50}")
    return classes[name](**_Fields(described, what).of("arguments", dict))


def _row_to_json(row: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for key, value in row.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(key, str) or not isinstance(plain, str | int | float | None):
            raise TypeError(
                f"history: expected numbers and texts by name to save, got {received(value)} as "
                f"{key!r:.50}"
            )
        values[key] = plain
    return values


def _checksum(arrays: Mapping[str, Array]) -> str:
    value = 0
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), value)
        stored = np.require(array, array.dtype.newbyteorder("<"), ["C"])
        value = zlib.crc32(stored.reshape(-1).view(np.uint8).data, value)
    return f"crc32:{value:08x}"
