# SPDX-License-Identifier: BSD-3-Clause
"""The exported header on microcontrollers: compiled for them, and run under QEMU."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, export_c, export_c_check
from mlpcore.export_c_train import TrainStep

FOLDER = Path(__file__).parent / "cortex_m"
STRICT = "-Wall -Wextra -Werror -pedantic -Wconversion -Wshadow -Wdouble-promotion"
FUSED = [name for name in _core.available_isas() if name != "generic"]
# Options, QEMU's board, and the dtypes of which the processor has a fused multiply-add.
PROCESSORS = {
    "cortex-m0": ("", "", ()),
    "cortex-m3": ("", "mps2-an385", ()),
    "cortex-m4": ("-mfpu=fpv4-sp-d16 -mfloat-abi=hard", "mps2-an386", ("float32",)),
    "cortex-m7": ("-mfpu=fpv5-d16 -mfloat-abi=hard", "mps2-an500", ("float32", "float64")),
}

pytestmark = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"),
    reason="needs arm-none-eabi-gcc (gcc-arm-none-eabi, libnewlib-arm-none-eabi)",
)

PROGRAM = """
#include <stdio.h>
#include "net.h"

static const REAL x[] = {ROWS};

static void show(const REAL *numbers, size_t n) {
    const unsigned char *bytes = (const unsigned char *)numbers;
    for (size_t i = 0; i < n * sizeof *numbers; i++) printf("%02x", bytes[i]);
}

int main(void) {
    REAL y[4], dy_dx[12];
    for (size_t i = 0; i < sizeof x / sizeof *x; i += 3) {
        net_jacobian(x + i, y, dy_dx);
        show(y, 4);
        show(dy_dx, 12);
    }
    return 0;
}
"""

STEPS_PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "net.h"

static const REAL x[] = {ROWS}, y[] = {TARGETS};

static void show(const void *numbers, size_t n) {
    const unsigned char *bytes = (const unsigned char *)numbers;
    for (size_t i = 0; i < n; i++) printf("%02x", bytes[i]);
}

int main(void) {
    static REAL parameters[sizeof net_parameters / sizeof *net_parameters];
    memcpy(parameters, net_parameters, sizeof parameters);
    for (size_t i = 0; i < 4; i++) {
        double loss = net_train_step(parameters, x + 6 * i, y + 8 * i, 0.015625f);
        show(&loss, sizeof loss);
        show(parameters, sizeof parameters);
    }
    return 0;
}
"""


def every_activation(dtype):
    names = [name for name in _core.ACTIVATIONS if name != "softmax"]
    return mlpcore.MLP([3] * (len(names) + 1) + [4], [*names, "softmax"], dtype=dtype, seed=0)


def compiled(folder, processor, *options):
    command = ["arm-none-eabi-gcc", "-std=c99", "-O2", "-mthumb", f"-mcpu={processor}"]
    command += PROCESSORS[processor][0].split()
    subprocess.run([*command, *options], cwd=folder, check=True)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_it_compiles_and_needs_nothing_else(tmp_path, dtype, processor):
    net = every_activation(dtype)
    step = TrainStep.of(net, "cross_entropy", 2)
    (tmp_path / "net.h").write_text(export_c.header_text(net, "net", True, step))
    real = "float" if dtype == "float32" else "double"
    (tmp_path / "use.c").write_text(
        '#include "net.h"\n'
        f"double use({real} *parameters, const {real} *x, {real} *y, {real} *dy_dx);\n"
        f"double use({real} *parameters, const {real} *x, {real} *y, {real} *dy_dx) {{\n"
        "    net_forward(x, y);\n    net_jacobian_with(parameters, x, y, dy_dx);\n"
        "    return net_train_step(parameters, x, y, 1);\n}\n"
    )
    compiled(tmp_path, processor, *STRICT.split(), "-c", "use.c")
    command = ["arm-none-eabi-nm", "--undefined-only", "use.o"]
    listing = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    outside = {line.split()[-1] for line in listing.stdout.splitlines()}
    # Arithmetic that the processor lacks, and what compilers make of a loop.
    assert all(name.startswith("__aeabi_") or name in ("memset", "memcpy") for name in outside)


needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-system-arm"), reason="needs qemu-system-arm (qemu-system-arm)"
)
each_board = pytest.mark.parametrize(
    "processor", [name for name, settings in PROCESSORS.items() if settings[1]]
)


def select_isa(processor, dtype):
    """The set whose bits the processor has."""
    if dtype in PROCESSORS[processor][2] and not FUSED:
        pytest.skip("this machine has no fused multiply-add")
    _core.select_isa(FUSED[0] if dtype in PROCESSORS[processor][2] else "generic")


def printed_by(folder, processor, program):
    """The bytes that a program prints on the processor's board."""
    (folder / "main.c").write_text(program)
    options = ["--specs=rdimon.specs", "-T", FOLDER / "layout.ld", FOLDER / "startup.c"]
    compiled(folder, processor, *options, "main.c", "-o", "main.elf")
    command = ["qemu-system-arm", "-M", PROCESSORS[processor][1], "-nographic", "-monitor", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", "main.elf"]
    run = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return bytes.fromhex(run.stdout)


def literals(values, dtype):
    return ", ".join(export_c.literal(value, dtype == "float32") for value in values.ravel())


@needs_qemu
@each_board
def test_it_has_our_bits(tmp_path, dtype, processor):
    select_isa(processor, dtype)
    net = every_activation(dtype)
    x = (2 * np.random.default_rng(0).standard_normal((20, 3))).astype(dtype)
    (tmp_path / "net.h").write_text(export_c.header_text(net, "net", True))
    program = PROGRAM.replace("REAL", "float" if dtype == "float32" else "double")
    printed = printed_by(tmp_path, processor, program.replace("ROWS", literals(x, dtype)))
    got = np.frombuffer(printed, dtype).reshape(20, 16)
    assert export_c_check.compared(got, export_c_check.expected(net, x, True)) == (True, 0.0)


@needs_qemu
@each_board
def test_a_training_step_has_our_bits(tmp_path, dtype, processor):
    select_isa(processor, dtype)
    net = every_activation(dtype)
    step = TrainStep.of(net, "cross_entropy", 2)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 2, 3)).astype(dtype), rng.random((4, 2, 4)).astype(dtype)
    (tmp_path / "net.h").write_text(export_c.header_text(net, "net", False, step))
    program = STEPS_PROGRAM.replace("REAL", "float" if dtype == "float32" else "double")
    program = program.replace("ROWS", literals(x, dtype)).replace("TARGETS", literals(y, dtype))
    printed = printed_by(tmp_path, processor, program)
    record = np.dtype([("loss", "f8"), ("parameters", dtype, (net.n_parameters,))])
    got = np.frombuffer(printed, record)
    values, parameters = export_c_check.expected_steps(net, step, list(zip(x, y, strict=True)))
    assert (got["loss"] == values).all()
    assert (got["parameters"] == parameters).all()
