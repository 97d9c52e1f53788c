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
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
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
# A first prediction in pieces; NumPy's generators are loaded where a net first draws its weights.
PIECES = """
import json, time
ends = [time.perf_counter()]
import numpy, numpy.random
ends.append(time.perf_counter())
import mlpcore
ends.append(time.perf_counter())
net = mlpcore.MLP([2, 20, 5], ["relu", "identity"], seed=0)
assert net(numpy.ones((1, 2), numpy.float32)).shape == (1, 5)
ends.append(time.perf_counter())
print(json.dumps([end - start for start, end in zip(ends, ends[1:])]))
"""
N_IMPORTS = 40
N_ENVIRONMENTS_FOR_PARTS = 5


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

    def install(self, *arguments: str) -> None:
        """Install from the folder."""
        self.pip("install", "--no-index", "--find-links", str(self.packages), *arguments)

    def seconds(self, *arguments: str) -> float:
        """How long the interpreter takes for this."""
        start = time.perf_counter()
        self.python(*arguments)
        return time.perf_counter() - start


class Job(NamedTuple):
    """What is installed, and then run."""

    code: str
    name: str  # for pip
    source: str  # of that name, for the download
    already: tuple[str, ...] = ()


def prepare(job: Job, folder: Path) -> Environment:
    """An environment that has downloaded all, and installed what the job finds there."""
    environment = Environment(folder)
    environment.download([*job.already, job.source])
    for name in job.already:
        environment.install(name)
    return environment


def measure(job: Job, environment: Environment) -> Taken:
    """Install what the job asks for, and run its code."""
    before = disk(environment.folder)
    settle()
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


def settle() -> None:
    """Let the system write what was written before, so that nobody waits for others' files."""
    if hasattr(os, "sync"):
        os.sync()


def parts(environment: Environment) -> dict[str, float]:
    """Seconds of the steps that an installation and a prediction are made of, one by one.

    Each of pip's is the difference of two of its runs; bytecode is compiled by the function that
    pip calls.
    """

    def installing(*arguments: str) -> float:
        start = time.perf_counter()
        environment.install(*arguments)
        return time.perf_counter() - start

    settle()
    bare = environment.seconds("-c", "pass")
    taken = {"start of pip": environment.seconds("-m", "pip", "--version")}
    taken["choice of versions"] = installing("--dry-run", "mlpcore") - taken["start of pip"]
    for name in ("numpy", "mlpcore"):
        choosing = installing("--dry-run", "--no-deps", name)
        taken[f"{name}: files"] = installing("--no-deps", "--no-compile", name) - choosing
        where = f"import {name}; print({name}.__path__[0])"
        [folder] = environment.python("-B", "-c", where).splitlines()
        taken[f"{name}: bytecode"] = environment.seconds("-m", "compileall", "-q", folder) - bare
    start = time.perf_counter()
    pieces = json.loads(environment.python("-c", PIECES))
    whole = time.perf_counter() - start
    taken["start of the interpreter"] = whole - sum(pieces)
    names = ("import of numpy", "import of mlpcore", "a net and its prediction")
    return taken | dict(zip(names, pieces, strict=True))


def pinned_torch() -> str:
    """The requirement in pyproject.toml, as that of the build without CUDA."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
    peers: list[str] = project["project"]["optional-dependencies"]["bench-peers"]
    return next(peer for peer in peers if peer.startswith("torch==")) + "+cpu"


def is_torch(name: str) -> bool:
    return name.startswith("PyTorch")


def report(rows: Mapping[str, Taken], steps: Mapping[str, float]) -> Iterator[str]:
    """Three tables in Markdown: what each took, its shares of PyTorch's, and mlpcore's steps."""
    yield "| | packages | downloaded | install | first prediction | together | disk |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, row in rows.items():
        seconds = f"{row.install:.1f} s | {row.predict:.2f} s | {row.seconds:.1f} s"
        sizes = f"{len(row.versions)} | {row.downloaded / 1e6:.1f} MB"
        yield f"| {name} | {sizes} | {seconds} | {row.grown / 1e6:.1f} MB |"
    yield ""
    yield "| share | of the time | of the disk |"
    yield "|---|---:|---:|"
    for ours in (name for name in rows if not is_torch(name)):
        for theirs, row in ((name, row) for name, row in rows.items() if is_torch(name)):
            own = rows[ours]
            time_share, disk_share = 100 * own.seconds / row.seconds, 100 * own.grown / row.grown
            yield f"| {ours}, in {theirs} | {time_share:.1f} % | {disk_share:.2f} % |"
    yield ""
    together = sum(steps.values())
    yield "| step | time | share |"
    yield "|---|---:|---:|"
    for step, seconds in [*steps.items(), ("together", together)]:
        yield f"| {step} | {seconds:.2f} s | {100 * seconds / together:.0f} % |"
    yield ""
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
    with contextlib.ExitStack() as stack:

        def prepared(job: Job) -> Environment:
            return prepare(job, Path(stack.enter_context(tempfile.TemporaryDirectory())))

        environments = {name: prepared(job) for name, job in jobs.items()}
        for_parts = [prepared(ours) for _ in range(N_ENVIRONMENTS_FOR_PARTS)]
        print("measuring", file=sys.stderr, flush=True)
        rows = {name: measure(job, environments[name]) for name, job in jobs.items()}
        taken = [parts(environment) for environment in for_parts]
        steps = {name: statistics.median(one[name] for one in taken) for name in taken[0]}
        times = [json.loads(for_parts[0].python("-c", PIECES))[1] for _ in range(N_IMPORTS)]
    for line in report(rows, steps):
        print(line)
    print(f"`import mlpcore` after NumPy: {statistics.median(times) * 1e3:.1f} ms.")
    print(f"{date.today()}, {platform.platform()}, Python {platform.python_version()}.")
    return 0
