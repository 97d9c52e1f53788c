# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks first_prediction dist/*.whl``: from nothing to a first prediction.

The wheel is installed into one empty virtual environment, and PyTorch into two others: what
``pip install torch`` gives, and the CPU build of the version in pyproject.toml, which a package
index in use has to hold. A fourth environment has NumPy already. All that they need is downloaded
before; measured are the time from `pip install` to the end of one prediction in a new process, and
what the environment has grown by. Each runs once: use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

MLPCORE = """
import numpy, mlpcore
net = mlpcore.MLP([2, 20, 5], ["relu", "identity"], seed=0)
assert net(numpy.ones((1, 2), numpy.float32)).shape == (1, 5)
"""
TORCH = """
import torch
net = torch.nn.Sequential(torch.nn.Linear(2, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5))
with torch.no_grad():
    assert net(torch.ones(1, 2)).shape == (1, 5)
"""
IMPORT = """
import time, numpy
start = time.perf_counter()
import mlpcore
print(time.perf_counter() - start)
"""
N_IMPORTS = 40


class Taken(NamedTuple):
    """What one environment took."""

    install: float  # seconds
    predict: float  # seconds
    downloaded: int  # bytes of the packages, as they are packed
    grown: int  # bytes
    versions: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.install + self.predict


def disk(folder: Path) -> int:
    """Bytes of all files, blocks as the file system counts them left aside."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


class Environment:
    """A virtual environment that takes packages from one folder, and nothing from this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "environment"
        self.packages = folder / "packages"
        self.packages.mkdir(parents=True)
        venv.create(self.folder, with_pip=True)
        scripts = self.folder / ("Scripts" if sys.platform == "win32" else "bin")
        self._python = str(next(scripts.glob("python*")))
        # What the machine's settings say holds for the download alone.
        own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        self._variables = own | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}

    def python(self, *arguments: str) -> str:
        """What the interpreter prints, where it finds no other module and no settings."""
        command = [self._python, "-I", "-W", "ignore", *arguments]
        return subprocess.run(
            command, cwd=self.packages, env=self._variables, check=True, text=True,
            stdout=subprocess.PIPE,
        ).stdout  # fmt: skip

    def download(self, requirements: Sequence[str]) -> None:
        """Put these, and all that they need, into the folder."""
        command = [self._python, "-I", "-m", "pip", "--quiet", "download", "--no-cache-dir"]
        folder = ["--only-binary", ":all:", "--dest", str(self.packages)]
        subprocess.run([*command, *folder, *requirements], check=True)

    def pip(self, *arguments: str) -> str:
        """Run pip as a user would."""
        return self.python("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def install(self, requirement: str) -> None:
        """Install it from the folder."""
        self.pip("install", "--no-index", "--find-links", str(self.packages), requirement)


class Job(NamedTuple):
    """What is installed, and then run."""

    code: str
    name: str  # for pip
    source: str  # of that name, for the download
    already: tuple[str, ...] = ()


def measure(job: Job, environment: Environment) -> Taken:
    """Install what the job asks for, and run its code."""
    environment.download([*job.already, job.source])
    for name in job.already:
        environment.install(name)
    before = disk(environment.folder)
    start = time.perf_counter()
    environment.install(job.name)
    installed = time.perf_counter()
    environment.python("-c", job.code)
    end = time.perf_counter()
    grown = disk(environment.folder) - before
    names = environment.pip("freeze").splitlines()
    versions = tuple(name.replace("==", " ") for name in names)
    downloaded = disk(environment.packages)
    return Taken(installed - start, end - installed, downloaded, grown, versions)


def pinned_torch() -> str:
    """The requirement in pyproject.toml, as that of the build without CUDA."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
    peers: list[str] = project["project"]["optional-dependencies"]["bench-peers"]
    return next(peer for peer in peers if peer.startswith("torch==")) + "+cpu"


def report(rows: dict[str, Taken]) -> Iterator[str]:
    """A table in Markdown, the shares of what PyTorch takes, and the versions."""
    yield "| | packages | downloaded | install | first prediction | together | disk |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, row in rows.items():
        seconds = f"{row.install:.1f} s | {row.predict:.2f} s | {row.seconds:.1f} s"
        sizes = f"{len(row.versions)} | {row.downloaded / 1e6:.1f} MB"
        yield f"| {name} | {sizes} | {seconds} | {row.grown / 1e6:.1f} MB |"
    yield ""
    of_torch = {name: row for name, row in rows.items() if name.startswith("PyTorch")}
    for ours in [name for name in rows if name not in of_torch]:
        for theirs, row in of_torch.items():
            time_share, disk_share = rows[ours].seconds / row.seconds, rows[ours].grown / row.grown
            yield f"{ours}: {time_share:.1%} of the time, {disk_share:.2%} of the disk of {theirs}."
    for name, row in rows.items():
        yield f"{name}: {', '.join(row.versions)}."


def main(words: Sequence[str]) -> int:
    """Measure everything once, one after the other, and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks first_prediction", description=__doc__
    )
    parser.add_argument("wheel", type=Path, help="of mlpcore")
    wheel = parser.parse_args(words).wheel
    if not wheel.is_file():
        parser.error(f"wheel: expected a file, got {wheel}")
    ours = Job(MLPCORE, "mlpcore", str(wheel.resolve()))
    cpu_build = pinned_torch()
    jobs = {
        "mlpcore": ours,
        "mlpcore, where NumPy is": ours._replace(already=("numpy",)),
        "PyTorch, CPU build": Job(TORCH, cpu_build, cpu_build),
        "PyTorch, by `pip install torch`": Job(TORCH, "torch", "torch"),
    }
    rows = {}
    for name, job in jobs.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = Environment(Path(folder))
            rows[name] = measure(job, environment)
            if job.already:
                times = [float(environment.python("-c", IMPORT)) for _ in range(N_IMPORTS)]
    for line in report(rows):
        print(line)
    print(f"`import mlpcore` after NumPy: {statistics.median(times) * 1e3:.1f} ms.")
    print(f"{date.today()}, {platform.platform()}, Python {platform.python_version()}.")
    return 0
