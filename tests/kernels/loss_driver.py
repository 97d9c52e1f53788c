# SPDX-License-Identifier: BSD-3-Clause
"""Compiles loss_driver.c once for each instruction set of this machine, and calls it."""

import ctypes
import functools
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from guarded import guarded, guarded_empty

from mlpcore import _core

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "src_c"

COMPILER = os.environ.get("CC", "cc").split()
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC"]
FLAGS += ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-shared", "-pthread"]
C_FILES = ["loss", "optimizer", "random", "parallel", "cpu", "memory"]

# The order of enum mlp_isa; what each needs on the command line.
ISA_FLAGS = {
    "generic": [],
    "avx2": ["-DMLP_SIMD_AVX2", "-mavx2", "-mfma"],
    "avx512": ["-DMLP_SIMD_AVX512", "-mavx2", "-mfma"]
    + [f"-mavx512{letters}" for letters in ("f", "dq", "bw", "vl")],
    "neon": ["-DMLP_SIMD_NEON"],
}
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
IS_ARM = platform.machine().lower() in ("arm64", "aarch64")
CANDIDATES = ["generic"] + ["avx2", "avx512"] * IS_X86 + ["neon"] * IS_ARM

DTYPES = (np.float32, np.float64)
# The order of enum mlp_loss_kind, of mlp_reduction and of mlp_optimizer_kind.
LOSSES = sorted(_core.LOSSES, key=_core.LOSSES.__getitem__)
REDUCTIONS = ["mean", "batch_mean", "sum"]
OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop"]
# The order in which driver_optimizer_step takes them.
OPTIONS = ["learning_rate", "weight_decay", "momentum", "nesterov", "beta1", "beta2", "epsilon"]

needs_posix = pytest.mark.skipif(
    sys.platform == "win32", reason="the driver is compiled as for a POSIX system"
)


@functools.cache
def library(isa):
    """The driver of this instruction set; skips where the processor lacks it."""
    if isa not in CANDIDATES:
        pytest.skip(f"{isa} is another architecture's")
    directory = Path(tempfile.mkdtemp(prefix="mlpcore-"))
    path = directory / f"driver_{isa}.so"
    command = [*COMPILER, *FLAGS, *ISA_FLAGS[isa], f"-DMLP_ISA={isa}", f"-I{SOURCES}", "-o", path]
    command += [HERE / "loss_driver.c", *(SOURCES / f"{name}.c" for name in C_FILES), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stderr}"
    driver = ctypes.CDLL(str(path))
    for file in directory.iterdir():
        file.unlink()  # the loaded library stays
    directory.rmdir()
    if not driver.mlp_isa_available(list(ISA_FLAGS).index(isa)):
        pytest.skip(f"this processor has no {isa}")
    driver.driver_loss_factor.restype = ctypes.c_double
    driver.driver_loss_total.restype = ctypes.c_double
    driver.driver_optimizer_step.restype = ctypes.c_int64
    return driver


def wide_isas():
    """The instruction sets with a fused multiply-add, whose bits have to be equal."""
    names = []
    for isa in CANDIDATES[1:]:
        try:
            library(isa)
        except pytest.skip.Exception:
            continue
        names.append(isa)
    return names


def pointer(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


def dtype_code(dtype):
    return 0 if np.dtype(dtype) == np.float32 else 1


def size(n):
    return ctypes.c_size_t(n)


def targets(target):
    """The two arguments target and class_index, one of which is NULL."""
    classes = target.dtype == np.int64
    return (None, pointer(target)) if classes else (pointer(target), None)


def loss_kernel(
    isa,
    kind,
    prediction,
    target,
    sample_weight=None,
    factor=1.0,
    parameter=1.0,
    want=("gradient", "row_values"),
):
    """(row_values (N,), gradient (N, K)) of the kernel; None for what is not wanted."""
    n_samples, n_columns = prediction.shape
    gradient = guarded_empty(prediction.shape, prediction.dtype) if "gradient" in want else None
    row_values = guarded_empty((n_samples,), np.float64) if "row_values" in want else None
    inputs = [guarded(a) if a is not None else None for a in (target, sample_weight, prediction)]
    library(isa).driver_loss(
        dtype_code(prediction.dtype),
        LOSSES.index(kind),
        ctypes.c_double(parameter),
        size(n_columns),
        size(n_samples),
        *targets(inputs[0]),
        pointer(inputs[1]),
        pointer(inputs[2]),
        ctypes.c_double(factor),
        pointer(gradient),
        pointer(row_values),
    )
    for before, after in zip((target, sample_weight, prediction), inputs, strict=True):
        assert before is None or before.tobytes() == after.tobytes()
    return row_values, gradient


def loss_evaluate(
    isa, kind, prediction, target, sample_weight=None, reduction="mean", parameter=1.0
):
    """(value, gradient (N, K)) of mlp_loss_evaluate."""
    n_samples, n_columns = prediction.shape
    gradient = guarded_empty(prediction.shape, prediction.dtype)
    value = ctypes.c_double(np.nan)
    target, prediction = guarded(target), guarded(prediction)
    library(isa).driver_loss_evaluate(
        dtype_code(prediction.dtype),
        LOSSES.index(kind),
        REDUCTIONS.index(reduction),
        ctypes.c_double(parameter),
        size(n_columns),
        size(n_samples),
        *targets(target),
        pointer(sample_weight),
        pointer(prediction),
        pointer(gradient),
        ctypes.byref(value),
    )
    return value.value, gradient


def optimizer_step(isa, kind, parameters, gradients, moments, options, step, n_threads=1):
    """Updates parameters and moments in place; the step counter after it."""
    values = [float(options.get(name, 0.0)) for name in OPTIONS]
    return library(isa).driver_optimizer_step(
        dtype_code(parameters.dtype),
        OPTIMIZERS.index(kind),
        (ctypes.c_double * len(values))(*values),
        ctypes.c_int64(step),
        size(parameters.size),
        pointer(parameters),
        pointer(gradients),
        pointer(moments[0]),
        pointer(moments[1]),
        size(n_threads),
    )
