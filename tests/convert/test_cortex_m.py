# SPDX-License-Identifier: BSD-3-Clause
"""The exported header on microcontrollers: compiled for them, and run under QEMU."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, export_c, export_c_check

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


def every_activation(dtype):
    names = [name for name in _core.ACTIVATIONS if name != "softmax"]
    return mlpcore.MLP([3] * (len(names) + 1) + [4], [*names, "softmax"], dtype=dtype, seed=0)


def compiled(folder, processor, *options):
    command = ["arm-none-eabi-gcc", "-std=c99", "-O2", "-mthumb", f"-mcpu={processor}"]
    command += PROCESSORS[processor][0].split()
    subprocess.run([*command, *options], cwd=folder, check=True)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_it_compiles_and_needs_nothing_else(tmp_path, dtype, processor):
    (tmp_path / "net.h").write_text(export_c.header_text(every_activation(dtype), "net", True))
    real = "float" if dtype == "float32" else "double"
    (tmp_path / "use.c").write_text(
        '#include "net.h"\n'
        f"void use(const {real} *x, {real} *y, {real} *dy_dx);\n"
        f"void use(const {real} *x, {real} *y, {real} *dy_dx) {{\n"
        "    net_forward(x, y);\n    net_jacobian(x, y, dy_dx);\n}\n"
    )
    compiled(tmp_path, processor, *STRICT.split(), "-c", "use.c")
    command = ["arm-none-eabi-nm", "--undefined-only", "use.o"]
    listing = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    outside = {line.split()[-1] for line in listing.stdout.splitlines()}
    # Arithmetic that the processor lacks, and what compilers make of a loop.
    assert all(name.startswith("__aeabi_") or name in ("memset", "memcpy") for name in outside)


@pytest.mark.skipif(
    not shutil.which("qemu-system-arm"), reason="needs qemu-system-arm (qemu-system-arm)"
)
@pytest.mark.parametrize(
    "processor", [name for name, settings in PROCESSORS.items() if settings[1]]
)
def test_it_has_our_bits(tmp_path, dtype, processor):
    _, board, fused = PROCESSORS[processor]
    if dtype in fused and not FUSED:
        pytest.skip("this machine has no fused multiply-add")
    _core.select_isa(FUSED[0] if dtype in fused else "generic")
    net = every_activation(dtype)
    x = (2 * np.random.default_rng(0).standard_normal((20, 3))).astype(dtype)
    (tmp_path / "net.h").write_text(export_c.header_text(net, "net", True))
    rows = ", ".join(export_c.literal(value, dtype == "float32") for value in x.ravel().tolist())
    program = PROGRAM.replace("REAL", "float" if dtype == "float32" else "double")
    (tmp_path / "main.c").write_text(program.replace("ROWS", rows))
    options = ["--specs=rdimon.specs", "-T", FOLDER / "layout.ld", FOLDER / "startup.c"]
    compiled(tmp_path, processor, *options, "main.c", "-o", "main.elf")
    command = ["qemu-system-arm", "-M", board, "-nographic", "-monitor", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", "main.elf"]
    printed = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
    ).stdout
    got = np.frombuffer(bytes.fromhex(printed), dtype).reshape(20, 16)
    assert export_c_check.compared(got, export_c_check.expected(net, x, True)) == (True, 0.0)
