# SPDX-License-Identifier: BSD-3-Clause
"""The machine: what it can do at most, measured by `machine.c`, and what it is."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import mlpcore
from mlpcore.cpu import cache_bytes

# -march=native is what gcc and clang call this machine on x86, -mcpu=native on ARM.
NATIVE_FLAGS = ("-march=native", "-mcpu=native")
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-pthread")
LEVELS = ("L1", "L2", "L3", "DRAM")
# Long enough for the clock, short enough to stand between the slices of what is timed.
SLICE_SECONDS = 1e-3
DRAM_BYTES = 256 << 20


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def compile_library(folder: str) -> ctypes.CDLL:
    """`machine.c`, compiled for this machine and no other.

    Raises
    ------
    RuntimeError
        If there is no compiler, or it takes neither flag.
    """
    source = Path(__file__).with_name("machine.c")
    output = Path(folder) / "machine.so"
    errors = []
    for native in NATIVE_FLAGS:
        command = [*compiler(), *FLAGS, native, "-o", str(output), str(source)]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise RuntimeError(f"machine.c needs a C compiler (CC, or cc): {error}") from None
        if result.returncode == 0:
            return ctypes.CDLL(str(output))
        errors.append(result.stderr)
    raise RuntimeError(f"{shlex.join(compiler())} could not compile machine.c:\n{errors[0]}")


class Machine:
    """The limits of this machine, on a number of threads; each method measures once."""

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        # Once loaded, the file is no longer needed.
        with tempfile.TemporaryDirectory() as folder:
            self._library = compile_library(folder)
        for name in ("multiply_add", "read", "update"):
            getattr(self._library, f"machine_{name}").restype = ctypes.c_double
        self.vector_bytes: int = self._library.machine_vector_bytes()
        self._flops_per_repeat = n_threads * self._library.machine_flops_per_repeat()
        self._data = np.zeros(0, np.float32)
        # About right is good enough: how often a measurement repeats its work.
        self._repeats: dict[tuple[str, int], int] = {}

    def flops(self) -> float:
        """Multiplications and additions per second, from registers."""

        def run(n_repeats: int) -> float:
            return self._checked(
                self._library.machine_multiply_add(ctypes.c_size_t(n_repeats), self.n_threads)
            )

        n_repeats = self._n_repeats(("multiply_add", 0), run)
        return self._flops_per_repeat * n_repeats / run(n_repeats)

    def read(self, n_bytes: int) -> float:
        """Bytes per second, reading a stretch of memory again and again."""
        return self._stream("read", n_bytes)

    def update(self, n_bytes: int) -> float:
        """Seconds to read and write a stretch of memory once, as an optimizer does."""
        return n_bytes / self._stream("update", n_bytes)

    def _stream(self, name: str, n_bytes: int) -> float:
        # Whole cache lines, and eight vectors a step for each thread.
        granule = 512 * self.n_threads
        n_bytes = max(1, round(n_bytes / granule)) * granule
        if n_bytes > self._data.nbytes:
            self._data = aligned(n_bytes)
        pointer = self._data.ctypes.data_as(ctypes.c_void_p)
        function = getattr(self._library, f"machine_{name}")

        def run(n_repeats: int) -> float:
            arguments = (ctypes.c_size_t(n_bytes), ctypes.c_size_t(n_repeats), self.n_threads)
            return self._checked(function(pointer, *arguments))

        n_repeats = self._n_repeats((name, n_bytes), run)
        return n_bytes * n_repeats / run(n_repeats)

    def _n_repeats(self, key: tuple[str, int], run: Callable[[int], float]) -> int:
        if key not in self._repeats:
            n_repeats = 1
            while (seconds := run(n_repeats)) < SLICE_SECONDS / 4:
                n_repeats *= 2
            self._repeats[key] = max(1, round(n_repeats * SLICE_SECONDS / seconds))
        else:
            run(1)  # the data come back into the cache in which they lie
        return self._repeats[key]

    @staticmethod
    def _checked(seconds: float) -> float:
        if seconds <= 0.0:
            raise RuntimeError("machine.c could not start its threads")
        return seconds

    def level_of(self, n_bytes: int) -> str:
        """The smallest cache that holds as many bytes; L1 and L2 are there for each thread."""
        for level in (1, 2, 3):
            per_cache = n_bytes / self.n_threads if level < 3 else n_bytes
            if per_cache <= cache_bytes(level):
                return f"L{level}"
        return "DRAM"

    def typical_bytes(self, level: str) -> int:
        """A stretch that lies in that level for certain."""
        if level == "DRAM":
            return max(DRAM_BYTES, 4 * cache_bytes(3) if cache_bytes(3) < DRAM_BYTES else 0)
        if level == "L3":
            return max(cache_bytes(3) // 4, 2 * self.n_threads * cache_bytes(2))
        return self.n_threads * cache_bytes(int(level[1])) // 2

    def limits(self, n_rounds: int = 15) -> dict[str, float]:
        """Medians of all of them: ``flops`` and, for each level that there is, its bandwidth."""
        levels = [level for level in LEVELS if self.typical_bytes(level) > 0]
        samples: dict[str, list[float]] = {name: [] for name in ("flops", *levels)}
        for _ in range(n_rounds):
            samples["flops"].append(self.flops())
            for level in levels:
                samples[level].append(self.read(self.typical_bytes(level)))
        self._data = np.zeros(0, np.float32)
        return {name: float(np.median(values)) for name, values in samples.items()}


def aligned(n_bytes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Zeros that begin at a page and have been written to, so that they are memory of their own."""
    raw = np.zeros(n_bytes + 4096, np.uint8)
    raw[:] = 0
    start = -raw.ctypes.data % 4096
    return raw[start : start + n_bytes].view(np.float32)


def processor() -> str:
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def facts(machine: Machine) -> dict[str, Any]:
    """Everything that has to be known to read the numbers."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "caches": {f"L{level}": cache_bytes(level) for level in (1, 2, 3)},
        "vector_bits": 8 * machine.vector_bytes,
        "isa": mlpcore.cpu.isa(),
        "n_threads": machine.n_threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "compiler": compiler_version(),
    }


def compiler_version() -> str:
    result = subprocess.run([*compiler(), "--version"], capture_output=True, text=True)
    return result.stdout.partition("\n")[0]
