# SPDX-License-Identifier: BSD-3-Clause
"""What is shipped, and what loading it does to the process."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import mlpcore
from mlpcore import _core

ROOT = Path(__file__).parents[2]
EXTENSION = Path(_core.__file__)
X86_64 = platform.machine() in ("x86_64", "AMD64")

needs_elf = pytest.mark.skipif(sys.platform != "linux", reason="reads the extension with binutils")


def output_of(*command, cwd=None, **environment):
    """Standard output of a command; its standard error is part of the failure's message."""
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout


def in_new_process(code, *options):
    return output_of(sys.executable, *options, "-c", code).strip()


def tracked_files():
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout: nothing says which files are tracked")
    return set(output_of("git", "ls-files", cwd=ROOT).splitlines())


def copy_of_the_sources(where):
    """The checkout without what was made in it, so that it stays as it is."""
    made = (".git", ".venv", "build", "dist", "*.egg-info", ".*_cache", "__pycache__")
    made += ("_core.c", "*.so", "*.pyd")
    shutil.copytree(ROOT, where, ignore=shutil.ignore_patterns(*made))
    return where


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    checkout = copy_of_the_sources(folder / "checkout")
    build = (sys.executable, "-m", "build", "--no-isolation")
    output_of(*build, "--sdist", "--outdir", folder, checkout)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def test_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    top_entry = re.search(r"^## \[([^]]+)\]", changelog, re.MULTILINE)
    assert top_entry is not None
    assert mlpcore.__version__ == project["version"] == top_entry.group(1)


def test_sdist_contains_every_tracked_file(sdist):
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked_files() - packed == set()
    generated = {name for name in packed if name.endswith((".so", ".o", ".pyc", "/_core.c"))}
    assert generated == set()


@pytest.mark.slow
@pytest.mark.timeout(900)  # it may compile everything
@needs_elf
def test_wheel_is_built_from_the_sdist_and_runs_elsewhere(sdist, tmp_path):
    output_of("tar", "-xf", sdist, "-C", tmp_path)
    (sources,) = (path for path in tmp_path.iterdir() if path.is_dir())
    # Objects of the same sources are used again: they decide nothing about what is in the wheel.
    objects = Path("build", sysconfig.get_config_var("EXT_SUFFIX").split(".")[1])
    if (ROOT / objects).exists():
        shutil.copytree(ROOT / objects, sources / objects)
    build = (sys.executable, "-m", "build", "--no-isolation")
    output_of(*build, "--wheel", "--outdir", tmp_path, sources)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]

    with zipfile.ZipFile(wheel) as archive:
        (scripts,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert b"mlpcore = mlpcore.command_line:main" in archive.read(scripts)
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(tmp_path / "site")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "mlpcore").rglob("*.py*")}
    modules = {name for name in modules if name.endswith((".py", ".pyi"))}
    assert files == modules | {"mlpcore/py.typed", f"mlpcore/{EXTENSION.name}"}

    where = "import mlpcore; print(mlpcore.__file__)"
    site = tmp_path / "site"
    loaded = output_of(sys.executable, "-P", "-c", where, cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(loaded.strip()).is_relative_to(site)


@needs_elf
def test_extension_exports_only_its_init_function():
    exported = output_of("nm", "--dynamic", "--defined-only", "--format=posix", EXTENSION)
    assert [line.split()[0] for line in exported.splitlines()] == ["PyInit__core"]


def functions_of_isa_units(extension):
    """Names of the local functions that come from a unit compiled for one instruction set.

    The linker writes the local symbols of a unit behind a FILE symbol with the unit's name, and
    those that were only hidden behind one without a name: these carry the suffix of the set.
    """
    names, unit = set(), ""
    for line in output_of("readelf", "--symbols", "--wide", extension).splitlines():
        fields = line.split()
        if len(fields) < 7 or fields[3] not in ("FILE", "FUNC"):
            continue
        name = fields[7] if len(fields) > 7 else ""
        if fields[3] == "FILE":
            unit = name
        elif unit in ("kernels_avx2.c", "kernels_avx512.c") or name.endswith(("_avx2", "_avx512")):
            names.add(name)
    return names


@needs_elf
@pytest.mark.skipif(not X86_64, reason="is about the instruction sets of x86-64")
def test_only_isa_units_use_more_than_the_baseline():
    allowed = functions_of_isa_units(EXTENSION)
    assert allowed, "no symbol table: the check needs an extension that is not stripped"
    # Every instruction of AVX and later is written with a leading v, and nothing older that a
    # compiler emits is.
    beyond_baseline = re.compile(r"^\s+[0-9a-f]+:\s+(v[a-z0-9]+|.*%[yz]mm)")
    users, function = set(), ""
    code = output_of("objdump", "--disassemble", "--no-show-raw-insn", EXTENSION)
    for line in code.splitlines():
        if label := re.match(r"^[0-9a-f]+ <(.+)>:$", line):
            function = label.group(1)
        elif beyond_baseline.match(line):
            users.add(function)
    assert users, "the wide kernels are missing"
    assert users <= allowed


@needs_elf
@pytest.mark.skipif(not X86_64, reason="is about the instruction sets of x86-64")
@pytest.mark.parametrize(("isa", "n_chains"), [("avx2", 12), ("avx512", 28)])
def test_no_multiply_add_of_the_peak_is_left_out(isa, n_chains):
    symbol = f"multiply_adds_f32_{isa}"
    code = output_of("objdump", f"--disassemble={symbol}", "--no-show-raw-insn", EXTENSION)
    assert code.count("vfmadd") >= n_chains


def test_import_warns_of_nothing():
    assert in_new_process("import mlpcore", "-W", "error") == ""


@pytest.mark.skipif(not X86_64, reason="reads MXCSR")
def test_import_leaves_the_floating_point_state():
    state = int(in_new_process("from mlpcore import _core; print(_core.floating_point_state())"))
    # The x86-64 ABI starts a process with 0x1F80: rounding to nearest, every exception masked,
    # subnormal numbers kept. The six lowest bits say what has happened so far.
    assert state & ~0x3F == 0x1F80


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_import_starts_no_thread():
    tasks = "len(os.listdir('/proc/self/task'))"
    code = f"import os, numpy; before = {tasks}; import mlpcore; print({tasks} - before)"
    assert in_new_process(code) == "0"


@pytest.mark.timing
def test_import_takes_little_longer_than_that_of_numpy(tmp_path):
    def milliseconds(module):
        code = (
            "import numpy, time; start = time.perf_counter(); "
            f"import {module}; print((time.perf_counter() - start) * 1e3)"
        )
        # Compiled to bytecode, as by an installer.
        cache = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
        return float(output_of(sys.executable, "-c", code, **cache))

    milliseconds("mlpcore")
    # In turns with an import of nothing new, which says what the machine is like at the moment.
    pairs = [(milliseconds("mlpcore"), milliseconds("numpy")) for _ in range(15)]
    assert statistics.median(ours - nothing for ours, nothing in pairs) < 10
