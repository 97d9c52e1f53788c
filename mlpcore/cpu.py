# SPDX-License-Identifier: BSD-3-Clause
"""The machine: instruction set, caches and threads.

The environment is read once, at import: ``MLPCORE_ISA=generic|avx2|avx512|neon`` lowers the choice
of the instruction set, ``MLPCORE_NUM_THREADS`` sets the number of threads. Without the latter,
``OMP_NUM_THREADS`` lowers it: joblib, Dask and job schedulers give each of several processes its
share of the machine by it.
"""

from __future__ import annotations

import os

from . import _core
from ._checks import check_n_threads, check_positive_int

__all__ = ["available_isas", "cache_bytes", "get_n_threads", "isa", "set_n_threads"]

_LINUX_CACHES = "/sys/devices/system/cpu/cpu0/cache"


def isa() -> str:
    """Return the instruction set in use.

    Returns
    -------
    str
        ``"generic"``, ``"avx2"``, ``"avx512"`` or ``"neon"``.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.cpu.isa() in mlpcore.cpu.available_isas()
    True
    """
    return _core.isa()


def available_isas() -> tuple[str, ...]:
    """Return the instruction sets that this machine can run.

    Returns
    -------
    tuple of str
        ``"generic"`` is always one of them.

    Examples
    --------
    >>> import mlpcore
    >>> "generic" in mlpcore.cpu.available_isas()
    True
    """
    return _core.available_isas()


def cache_bytes(level: int) -> int:
    """Return the size of a data cache.

    Parameters
    ----------
    level : int
        1, 2 or 3.

    Returns
    -------
    int
        Bytes, as the operating system tells them of the first processor; 0 where it does not.

    Raises
    ------
    ValueError, TypeError
        If `level` is another number, or no integer.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.cpu.cache_bytes(1) >= 0
    True
    """
    level = check_positive_int(level, "level")
    if level > 3:
        raise ValueError(f"level: expected 1, 2 or 3, got {level}")
    # First what Linux says: the C library adds up the caches of all processors of some machines.
    try:
        for cache in os.listdir(_LINUX_CACHES):
            if not cache.startswith("index") or int(_line(cache, "level")) != level:
                continue
            if _line(cache, "type") != "Instruction":
                size = _line(cache, "size")
                return int(size.rstrip("KM")) << {"K": 10, "M": 20}.get(size[-1], 0)
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or one that was not told of its caches, as many virtual machines on ARM
    return _core.cache_bytes(level)


def _line(*names: str) -> str:
    with open(os.path.join(_LINUX_CACHES, *names), encoding="ascii") as file:
        return file.readline().strip()


def set_n_threads(n_threads: int) -> None:
    """Set how many threads may work on one call.

    Parameters
    ----------
    n_threads : int
        From 1 to 256. Small work is done by fewer threads; no result depends on their number.

    Raises
    ------
    ValueError, TypeError
        If `n_threads` is out of range or no integer.

    Examples
    --------
    >>> import mlpcore
    >>> before = mlpcore.get_n_threads()
    >>> mlpcore.set_n_threads(1)
    >>> mlpcore.get_n_threads()
    1
    >>> mlpcore.set_n_threads(before)
    """
    _core.set_default_n_threads(check_n_threads(n_threads))


def get_n_threads() -> int:
    """Return how many threads may work on one call.

    Returns
    -------
    int
        What `set_n_threads` set; before that ``MLPCORE_NUM_THREADS``, or else the number of
        processors that this process may use, or ``OMP_NUM_THREADS`` if that is lower.

    Examples
    --------
    >>> import mlpcore
    >>> mlpcore.get_n_threads() >= 1
    True
    """
    return _core.default_n_threads()
