# SPDX-License-Identifier: BSD-3-Clause
# The room of the machine: instruction set, threads, caches, signals, memory for tests.

import atexit
import os

from mlpcore._mlpcore_h cimport *

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

MAX_THREADS = MLP_PARALLEL_MAX

cdef size_t default_threads = 1


# What a signal handler has raised within a call. Handlers run in the main thread alone, which
# raises it as soon as that call is over.
cdef object interruption = None


cdef int poll_signals(void *context) noexcept with gil:
    """Lets Python's signal handlers run; an exception is kept for `check` to raise."""
    global interruption
    try:
        PyErr_CheckSignals()
    except BaseException as exception:
        interruption = exception
        return 1
    return 0


cdef int check(mlp_status status) except -1:
    global interruption
    if status == MLP_OUT_OF_MEMORY:
        raise MemoryError("no memory for the arrays of this call; nothing was changed")
    if status == MLP_INTERRUPTED:
        exception, interruption = interruption, None
        raise exception
    return 0


def isa():
    return mlp_isa_name(mlp_isa_selected()).decode()


def all_isas():
    return tuple(mlp_isa_name(<mlp_isa> i).decode() for i in range(MLP_ISA_COUNT))


def available_isas():
    return tuple(
        name for i, name in enumerate(all_isas()) if mlp_isa_available(<mlp_isa> <int> i))


def select_isa(str name not None):
    cdef mlp_isa chosen
    if not mlp_isa_from_name(name.encode(), &chosen):
        raise ValueError(
            f"MLPCORE_ISA: expected one of {', '.join(all_isas())}, got {name!r}")
    if not mlp_isa_available(chosen):
        raise ValueError(
            f"MLPCORE_ISA: this machine can run {', '.join(available_isas())}, got {name!r}")
    mlp_isa_select(chosen)


def default_n_threads():
    return default_threads


def set_default_n_threads(size_t n):
    global default_threads
    default_threads = n


def n_workers():
    return mlp_parallel_n_workers()


def cache_bytes(int level):
    return mlp_cache_bytes(level)


def multiply_adds(str dtype not None, size_t n_repeats):
    cdef mlp_dtype real = MLP_FLOAT32 if dtype == "float32" else MLP_FLOAT64
    cdef double total, n
    with nogil:
        n = mlp_multiply_adds(real, n_repeats, &total)
    return n


def floating_point_state():
    return mlp_cpu_floating_point_state()


def fail_allocations_after(long n, bint once):
    mlp_memory_fail_after(n, once)


def live_allocations():
    return mlp_memory_live_blocks()


def _read_environment():
    """`MLPCORE_ISA`, `MLPCORE_NUM_THREADS` and `OMP_NUM_THREADS`, once, at import."""
    name = os.environ.get("MLPCORE_ISA")
    if name:
        select_isa(name)
    text = os.environ.get("MLPCORE_NUM_THREADS")
    if not text:
        n = mlp_default_n_threads()
        # A list has a number for each level of nested regions; what is no number says nothing.
        of_process = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        return min(n, max(int(of_process), 1)) if of_process.isdecimal() else n
    try:
        n = int(text)
    except ValueError:
        n = 0
    if not 1 <= n <= MLP_PARALLEL_MAX:
        raise ValueError(
            f"MLPCORE_NUM_THREADS: expected an integer from 1 to {MLP_PARALLEL_MAX}, got {text!r}")
    return n


def _shut_down():
    mlp_parallel_shutdown()


default_threads = _read_environment()
atexit.register(_shut_down)
