# SPDX-License-Identifier: BSD-3-Clause
"""The bits of the C core without Python: on each instruction set, on NEON in an emulator, and as a
program for Windows."""

import shutil
import subprocess
from pathlib import Path

import pytest
import windows

from mlpcore import _core

ROOT = Path(__file__).parents[2]
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Werror"]
# The whole core is compiled for each machine, while other tests may compile beside it.
pytestmark = pytest.mark.timeout(600)
FUSED_ISAS = [name for name in _core.available_isas() if name != "generic"]


def build(compiler, target, *flags):
    """The driver with the whole core, as one static program; sources two at a time."""
    objects = []
    running = []
    sources = [*sorted(ROOT.glob("src_c/**/*.c")), ROOT / "tests/c/contract_driver.c"]
    for source in sources:
        objects.append(target.with_name(f"{target.name}-{source.stem}.o"))
        command = [compiler, *FLAGS, *flags, f"-I{ROOT / 'src_c'}", "-c", source, "-o", objects[-1]]
        running.append(subprocess.Popen(command))
        if len(running) == 2:
            assert running.pop(0).wait() == 0
    assert all(process.wait() == 0 for process in running)
    subprocess.run([compiler, *flags, *objects, "-o", target, "-pthread", "-lm"], check=True)
    return target


def output(*command):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return build("cc", tmp_path_factory.mktemp("contract") / "driver")


@pytest.mark.slow
@pytest.mark.skipif(not FUSED_ISAS, reason="this machine has no fused multiply-add")
def test_every_instruction_set_and_thread_count_prints_the_same(native):
    texts = {
        (name, n_threads): output(native, name, n_threads)
        for name in FUSED_ISAS
        for n_threads in (1, 2, 3)
    }
    assert len(set(texts.values())) == 1
    assert len(next(iter(texts.values())).splitlines()) == 6 * 2 * 4


@pytest.mark.slow
def test_the_generic_path_is_the_same_for_every_thread_count(native):
    assert output(native, "generic", 1) == output(native, "generic", 3)


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")),
    reason="needs aarch64-linux-gnu-gcc and qemu-aarch64 (gcc-aarch64-linux-gnu, qemu-user)",
)
@pytest.mark.skipif(not FUSED_ISAS, reason="nothing to compare with on this machine")
def test_neon_prints_the_same(native, tmp_path):
    neon = build("aarch64-linux-gnu-gcc", tmp_path / "driver-neon", "-static")
    assert output("qemu-aarch64", neon, "neon", 1) == output(native, FUSED_ISAS[0], 1)


@pytest.mark.slow
@pytest.mark.skipif(bool(windows.MISSING), reason=windows.REASON)
def test_windows_prints_the_same(native, tmp_path):
    """Its threads, clock, aligned memory and CPU detection are other functions than POSIX's."""
    program = build(windows.COMPILER, tmp_path / "driver.exe", "-static")
    launcher = windows.launcher(tmp_path)
    for name in (*_core.available_isas(), "best"):
        expected = output(native, name, 1)
        for n_threads in (1, 2, 4, 8):
            assert output(*launcher, program, name, n_threads) == expected
