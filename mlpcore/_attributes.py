# SPDX-License-Identifier: BSD-3-Clause
"""What instances have: what a subclass added, for copies and pickles, and arguments, as text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ._checks import received


def added_attributes(instance: object, own: Collection[str]) -> Any:
    """Return the instance's dictionary, and its slots other than `own`, as Python pickles them."""
    state = object.__getstate__(instance)
    if not isinstance(state, tuple):
        return state
    attributes, slots = state
    slots = {name: value for name, value in slots.items() if name not in own}
    return (attributes, slots) if slots else attributes


def restore_attributes(instance: object, state: Any) -> None:
    """Put back what `added_attributes` has returned; a damaged pickle may have lost it."""
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if not isinstance(attributes, dict | None) or not isinstance(slots, dict | None):
        raise TypeError(f"state: expected dictionaries of attributes, got {received(state)}")
    if attributes:
        vars(instance).update(attributes)
    for name, value in (slots or {}).items():
        setattr(instance, name, value)


def as_call(instance: object, arguments: Mapping[str, Any]) -> str:
    """Write the call that makes such an instance, for its `repr`."""
    words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{type(instance).__name__}({words})"
