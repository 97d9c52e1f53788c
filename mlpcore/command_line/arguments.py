# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of arguments that several commands take."""

import argparse
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` on."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of {least} or more, got {text!r}"
            )
        return number

    return read


def number(low: float, high: float, rule: str) -> Callable[[str], float]:
    """Return a reader of numbers in [low, high); `rule` says it in words."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = high
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"expected {rule}, got {text!r}")
        return value

    return read


def whole_numbers(example: str) -> Callable[[str], list[int]]:
    """Return a reader of whole numbers between commas, such as `example`."""

    def read(text: str) -> list[int]:
        parts = text.split(",")
        if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            raise argparse.ArgumentTypeError(f"expected sizes like {example}, got {text!r}")
        return [int(part) for part in parts]

    return read


def names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",")]
