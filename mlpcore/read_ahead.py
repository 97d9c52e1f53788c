# SPDX-License-Identifier: BSD-3-Clause
"""The next item of an iterator, read by a thread while the present one is in use."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items; one is in use and one is read or waits, never more.

    What the iterator raises comes out where its item would have come. A consumer that stops early
    leaves the thread to finish the item that it reads, and does not wait for it: Ctrl-C has to be
    quick, whatever the iterator is waiting for.

    Examples
    --------
    >>> list(read_ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    # All that is waited for is written in C. The locks of `threading` are taken in Python, between
    # whose lines Ctrl-C leaves them taken: its semaphores and events, and the start of its threads.
    ready: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    wanted: SimpleQueue[None] = SimpleQueue()
    is_over = False

    def read() -> None:
        while True:
            wanted.get()
            if is_over:
                return
            try:
                ready.put(("item", next(items)))
            except StopIteration:
                ready.put(("end", None))
                return
            except BaseException as error:
                ready.put(("error", error))
                return

    try:
        start_new_thread(read, ())
        wanted.put(None)
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            wanted.put(None)
            yield value
            # Not kept while the next one is waited for: two items at a time are all there are.
            del value
    finally:
        is_over = True
        wanted.put(None)
