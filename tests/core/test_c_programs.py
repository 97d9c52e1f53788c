# SPDX-License-Identifier: BSD-3-Clause
"""Compiles and runs the C test programs of tests/c: plain, under the compiler's sanitizers, and for
Windows, under Wine."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import windows

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src_c"
PROGRAMS = ROOT / "tests" / "c"

COMPILER = os.environ.get("CC", "cc").split()
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-g"]
BUILDS = {
    "plain": ["-O2"],
    "release": ["-O3", "-DNDEBUG"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-fsanitize=thread"],
    "windows": ["-O2", "-static"],
}
# A child of a fork with several threads is beyond what ThreadSanitizer supports.
MATRIX = {
    "compiler": ["plain", "release", "windows"],
    "memory": ["plain", "release", "address", "thread", "windows"],
    "cpu": ["plain", "release", "address", "windows"],
    "random": ["plain", "release", "address", "windows"],
    "parallel": ["plain", "address", "thread", "windows"],
    "parallel_fork": ["plain", "address"],
    "parallel_creation": ["plain", "address", "thread"],
}
ARGUMENTS = {
    ("parallel", "plain"): ["100000"],  # tiny regions
    ("parallel", "address"): ["10000"],
    ("parallel", "thread"): ["10000"],
    ("parallel", "windows"): ["10000"],
    ("parallel_fork", "plain"): ["200"],  # forks at any moment
    # AddressSanitizer's allocator does not survive a fork while another thread allocates (gcc 12).
    ("parallel_fork", "address"): ["0"],
}
TRIVIAL = "int main(void) { return 0; }\n"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the C test programs are written for POSIX threads"
)


def compile_c(output: Path, build: str, *arguments: str | Path) -> None:
    compiler = [windows.COMPILER] if build == "windows" else COMPILER
    command = [*compiler, *FLAGS, *BUILDS[build], f"-I{SOURCES}", "-o", output, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stderr}"


def run(command: list[str | Path]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stderr}"
    return result.stdout


class Builder:
    """Compiles each source once per build, and knows how a program of that build is started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.launchers: dict[str, list[str]] = {}

    def object(self, source: Path, build: str) -> Path:
        path = self.directory / f"{source.stem}-{build}.o"
        if not path.exists():
            compile_c(path, build, "-c", source)
        return path

    def program(self, name: str, build: str, sources: list[str]) -> Path:
        path = self.directory / f"{name}-{build}{'.exe' * (build == 'windows')}"
        if not path.exists():
            objects = [self.object(SOURCES / f"{source}.c", build) for source in sources]
            objects.append(self.object(PROGRAMS / f"{name}.c", build))
            compile_c(path, build, *objects, "-pthread", "-lm")
        return path

    def launcher(self, build: str) -> list[str]:
        """The prefix of a command; skips, saying why, where that cannot run here."""
        if build not in self.launchers:
            self.launchers[build] = self.find_launcher(build)
        return self.launchers[build]

    def find_launcher(self, build: str) -> list[str]:
        if build == "windows":
            if windows.MISSING:
                pytest.skip(windows.REASON)
            return windows.launcher(self.directory)
        if "-fsanitize" not in " ".join(BUILDS[build]):
            return []
        source = self.directory / f"trivial-{build}.c"
        source.write_text(TRIVIAL)
        trivial = self.directory / f"trivial-{build}"
        command: list[str | Path] = [*COMPILER, *BUILDS[build], source, "-o", trivial]
        compiled = subprocess.run(command, capture_output=True, text=True)
        if compiled.returncode != 0:
            pytest.skip(f"this compiler has no {build} sanitizer: {compiled.stderr.strip()}")
        # Older sanitizers do not start under strong randomization of the address space.
        without_randomization = ["setarch", platform.machine(), "-R"]
        for launcher in [[], without_randomization]:
            if launcher and shutil.which(launcher[0]) is None:
                continue
            if subprocess.run([*launcher, trivial], capture_output=True).returncode == 0:
                return launcher
        pytest.skip(f"even an empty program fails under the {build} sanitizer of this machine")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("c_programs"))


def sources_of(program: str) -> list[str]:
    # test_parallel_creation includes parallel.c itself.
    return ["cpu", "memory"] + (["parallel"] if program != "parallel_creation" else [])


@pytest.mark.parametrize(
    ("program", "build"), [(program, build) for program in MATRIX for build in MATRIX[program]]
)
def test_c_program(builder: Builder, program: str, build: str) -> None:
    launcher = builder.launcher(build)
    path = builder.program(f"test_{program}", build, sources_of(program))
    run([*launcher, path, *ARGUMENTS.get((program, build), [])])


QUOTA_TREES = {
    "no cgroup at all": ({}, "none"),
    "v2 without a limit": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        "none",
    ),
    "v2 limit in a container": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
        "3",
    ),
    "v2 fraction counts as one": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
        "2",
    ),
    "v2 less than one": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"},
        "1",
    ),
    "v2 ancestor is tighter": (
        {
            "proc/self/cgroup": "0::/a.slice/b.service\n",
            "sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/a.slice/b.service/cpu.max": "500000 100000\n",
        },
        "2",
    ),
    "v2 path of the host, not seen in the container": (
        {
            "proc/self/cgroup": "0::/docker/0123\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
        },
        "4",
    ),
    "v1": (
        {
            "proc/self/cgroup": "9:cpuset:/\n4:cpu,cpuacct:/job\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        "3",
    ),
    "v1 cpuset and cpuacct are not cpu": (
        {
            "proc/self/cgroup": "9:cpuset:/job\n8:cpuacct:/job\n",
            "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
        },
        "none",
    ),
    "hybrid": (
        {
            "proc/self/cgroup": "3:cpuacct,cpu:/\n0::/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        "6",
    ),
    "files that make no sense": (
        {
            "proc/self/cgroup": "nonsense\n\n0:\n0::/\n",
            "sys/fs/cgroup/cpu.max": "100000 0\n",
        },
        "none",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize("case", QUOTA_TREES)
def test_cpu_quota(builder: Builder, tmp_path: Path, case: str) -> None:
    files, expected = QUOTA_TREES[case]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    launcher = builder.launcher("address")
    program = builder.program("print_cpu_quota", "address", ["cpu"])
    assert run([*launcher, program, tmp_path]).strip() == expected
