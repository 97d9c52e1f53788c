# SPDX-License-Identifier: BSD-3-Clause
"""Whether an exported header computes what the net does: it is compiled, run and compared."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import cpu
from .optimizers import SGD

if TYPE_CHECKING:
    from ._core import Array
    from .export_c_train import TrainStep
    from .mlp import MLP

# Norm-wise, where the bits are not the same: products that are rounded before they are added.
_TOLERANCE = {4: 1e-5, 8: 1e-13}
_MAX_ROWS = 32
_MAX_NUMBERS = 2**20  # of the Jacobians that are compared
_SECONDS = 120

_PROGRAM = """
#include <stdio.h>
#include "NAME.h"

int main(int n_arguments, char **arguments) {
    static REAL x[N_INPUTS], y[N_OUTPUTS], dy_dx[N_JACOBIAN];
    FILE *in = n_arguments == 3 ? fopen(arguments[1], "rb") : NULL;
    FILE *out = n_arguments == 3 ? fopen(arguments[2], "wb") : NULL;
    if (!in || !out) return 1;
    while (fread(x, sizeof x, 1, in) == 1) {
        CALL
        fwrite(y, sizeof y, 1, out);
        fwrite(dy_dx, sizeof dy_dx, 1, out);
    }
    return fclose(in) || fclose(out);
}
"""

_STEPS_PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "NAME.h"

int main(int n_arguments, char **arguments) {
    static REAL parameters[N_PARAMETERS], x[N_X], y[N_Y];
    double loss;
    FILE *in = n_arguments == 3 ? fopen(arguments[1], "rb") : NULL;
    FILE *out = n_arguments == 3 ? fopen(arguments[2], "wb") : NULL;
    if (!in || !out) return 1;
    memcpy(parameters, NAME_parameters, sizeof parameters);
    while (fread(x, sizeof x, 1, in) == 1 && fread(y, sizeof y, 1, in) == 1) {
        loss = NAME_train_step(parameters, x, y, LEARNING_RATE);
        fwrite(&loss, sizeof loss, 1, out);
        fwrite(parameters, sizeof parameters, 1, out);
    }
    return fclose(in) || fclose(out);
}
"""
_MAX_STEPS = 8
_LEARNING_RATE = 0.015625  # the same number in float and double


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found out about an exported header; ``str()`` says it in a line.

    Attributes
    ----------
    compiler : str or None
        The command that compiled it; None if it could not be tried.
    n_rows : int
        Random rows whose results were compared with those of the net.
    n_steps : int
        Steps of training whose loss and parameters were.
    same_bits : bool
        Whether all of them were equal, bit for bit.
    error : float
        Otherwise the largest relative error, in the Euclidean norm.
    reason : str
        Why it could not be tried.

    Examples
    --------
    >>> str(Verification(None, reason="no compiler was found"))
    'Not verified: no compiler was found.'
    """

    compiler: str | None
    n_rows: int = 0
    n_steps: int = 0
    same_bits: bool = False
    error: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.compiler is None:
            return f"Not verified: {self.reason}."
        found = "the bits of mlpcore" if self.same_bits else f"a relative error of {self.error:.1e}"
        steps = f" and in {self.n_steps} steps of training" if self.n_steps else ""
        return f"Verified with {self.compiler}: {found} on {self.n_rows} random rows{steps}."


def verify(
    net: MLP, text: str, name: str, jacobian: bool, step: TrainStep | None = None
) -> Verification:
    """Compile and run the header.

    Raises RuntimeError if it computes something else than the net.
    """
    compiler = _compiler()
    if compiler is None:
        return Verification(None, reason="no C compiler was found")
    with tempfile.TemporaryDirectory() as folder:
        try:
            x = _random_rows(net, jacobian)
            results = run(net, text, name, jacobian, x, compiler, folder)
            if step is not None:
                batches = _random_batches(net, step)
                steps = run_steps(net, text, name, batches, compiler, folder)
        except (OSError, subprocess.SubprocessError) as failure:
            said = (getattr(failure, "stderr", None) or str(failure)).strip().splitlines()
            line = next((line for line in said if "error" in line), said[0])
            reason = f"{compiler[0]} failed: {os.path.basename(line)}"
            return Verification(None, reason=reason.replace("*/", "* /"))
    want = expected(net, x, jacobian)
    same, error = compared(results, want)
    n_steps = 0
    if step is not None:
        n_steps = len(batches)
        for got, wanted in zip(steps, expected_steps(net, step, batches), strict=True):
            steps_same, steps_error = compared(got, wanted)
            same, error = same and steps_same, max(error, steps_error)
    if not same and not error <= _TOLERANCE[net.dtype.itemsize]:
        raise RuntimeError(
            f"the header that {compiler[0]} compiled has a relative error of {error:.1e}; it is "
            "not written"
        )
    return Verification(os.path.basename(compiler[0]), len(x), n_steps, same, error)


def _compiler() -> list[str] | None:
    """The compiler's command, the user's choice in the variable CC first."""
    for command in (shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def _random_rows(net: MLP, jacobian: bool) -> Array:
    n_rows = max(1, min(_MAX_ROWS, _MAX_NUMBERS // _n_jacobian(net, jacobian)))
    rng = np.random.default_rng(0)
    scales = np.geomspace(1e-3, 30.0, n_rows)[:, None]
    return (rng.standard_normal((n_rows, net.sizes[0])) * scales).astype(net.dtype)


def _n_jacobian(net: MLP, jacobian: bool) -> int:
    return net.sizes[-1] * net.sizes[0] if jacobian else 1


def run(
    net: MLP, text: str, name: str, jacobian: bool, x: Array, compiler: list[str], folder: str
) -> Array:
    """Outputs and Jacobians (or a 0) of each row, as the compiled header computes them."""
    n_inputs, n_outputs = net.sizes[0], net.sizes[-1]
    n_jacobian = _n_jacobian(net, jacobian)
    call = f"{name}_jacobian(x, y, dy_dx);" if jacobian else f"{name}_forward(x, y);"
    program = _PROGRAM.replace("NAME", name).replace("CALL", call)
    program = program.replace("N_JACOBIAN", str(n_jacobian)).replace("N_INPUTS", str(n_inputs))
    program = program.replace("N_OUTPUTS", str(n_outputs))
    program = program.replace("REAL", "float" if net.dtype.itemsize == 4 else "double")
    results = _output(program, text, name, x.tobytes(), compiler, folder)
    return np.frombuffer(results, net.dtype).reshape(len(x), n_outputs + n_jacobian)


def _output(
    program: str, text: str, name: str, data: bytes, compiler: list[str], folder: str
) -> bytes:
    """What a program that includes the header writes when it reads these bytes."""
    source, binary = os.path.join(folder, "check.c"), os.path.join(folder, "check.exe")
    rows, results = os.path.join(folder, "rows"), os.path.join(folder, "results")
    for file, content in ((source, program), (os.path.join(folder, f"{name}.h"), text)):
        with open(file, "w", encoding="ascii") as stream:
            stream.write(content)
    with open(rows, "wb") as binary_stream:
        binary_stream.write(data)
    fuses = platform.machine() in ("x86_64", "AMD64") and cpu.isa() != "generic"
    flags = ["-std=c99", "-O1", *(["-mfma"] if fuses else [])]
    # What CC says comes later, and counts.
    build = [compiler[0], *flags, *compiler[1:], source, "-o", binary]
    for command in (build, [binary, rows, results]):
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    with open(results, "rb") as stream:
        return stream.read()


# ---- steps of training --------------------------------------------------------------------------


def _random_batches(net: MLP, step: TrainStep) -> list[tuple[Array, Array]]:
    """Rows, and targets in the range of the loss."""
    n_steps = max(1, min(_MAX_STEPS, _MAX_NUMBERS // net.n_parameters))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_steps, step.batch_size, net.sizes[0])).astype(net.dtype)
    y = rng.random((n_steps, step.batch_size, net.sizes[-1])).astype(net.dtype)
    return list(zip(x, y, strict=True))


def run_steps(
    net: MLP,
    text: str,
    name: str,
    batches: list[tuple[Array, Array]],
    compiler: list[str],
    folder: str,
) -> tuple[Array, Array]:
    """Losses and parameters after each step, as the compiled header computes them."""
    words = {
        "N_PARAMETERS": str(net.n_parameters),
        "N_X": str(batches[0][0].size),
        "N_Y": str(batches[0][1].size),
        "LEARNING_RATE": str(_LEARNING_RATE) + "f" * (net.dtype.itemsize == 4),
        "REAL": "float" if net.dtype.itemsize == 4 else "double",
    }
    program = _STEPS_PROGRAM
    for word, value in words.items():
        program = program.replace(word, value)
    program = program.replace("NAME", name)
    data = b"".join(x.tobytes() + y.tobytes() for x, y in batches)
    results = _output(program, text, name, data, compiler, folder)
    record = np.dtype([("loss", "f8"), ("parameters", net.dtype, (net.n_parameters,))])
    steps = np.frombuffer(results, record)
    losses = np.where(np.isfinite(steps["loss"]), steps["loss"], np.nan)
    return losses, steps["parameters"].copy()


def expected_steps(
    net: MLP, step: TrainStep, batches: list[tuple[Array, Array]]
) -> tuple[Array, Array]:
    """The same as `MLP.train_step` computes it; the loss of a step that it refuses is NaN."""
    learnt, sgd = net.copy(), SGD(_LEARNING_RATE)
    losses, parameters = [], []
    for x, y in batches:
        try:
            losses.append(learnt.train_step(x, y, step.loss, sgd))
        except FloatingPointError:
            losses.append(np.nan)
        parameters.append(learnt.parameters.copy())
    return np.array(losses), np.array(parameters)


# ---- comparison ---------------------------------------------------------------------------------


def expected(net: MLP, x: Array, jacobian: bool) -> Array:
    """Outputs, and Jacobians row by row as `MLP.vjp` computes them; otherwise a 0."""
    n_rows, n_outputs = len(x), net.sizes[-1]
    if not jacobian:
        return np.concatenate([net(x), np.zeros((n_rows, 1), net.dtype)], axis=1)
    rows = [net(x)]
    for k in range(n_outputs):
        cotangent = np.zeros((n_rows, n_outputs), net.dtype)
        cotangent[:, k] = 1.0
        rows.append(net.vjp(x, cotangent).inputs)
    return np.concatenate(rows, axis=1)


def compared(got: Array, want: Array) -> tuple[bool, float]:
    """Whether the bits are the same (any NaN is one), and otherwise the relative error."""
    bits = f"u{want.dtype.itemsize}"
    same = (got.view(bits) == want.view(bits)) | (np.isnan(got) & np.isnan(want))
    if same.all():
        return True, 0.0
    scale = float(np.linalg.norm(want.astype(np.float64)))
    distance = float(np.linalg.norm(got.astype(np.float64) - want))
    return False, distance / scale if scale > 0.0 else distance
