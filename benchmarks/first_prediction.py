# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks first_prediction dist/*.whl``: from nothing to a first prediction.

The time from `pip install` in an empty virtual environment to the end of one prediction in a new
process, and what the environment has grown by, in five ways: with pip and with uv, with an empty
cache and all that has to be downloaded, and with everything downloaded before; with that, also by
`pip install --no-compile`. uv has an environment of its own. mlpcore comes from the wheel, what it
needs from the package index in use, with this machine's settings of pip and uv; PyTorch is what
its name gives and, where nothing is downloaded meanwhile, the CPU build of the version in
pyproject.toml. mlpcore has several environments in each way, from the first round of measurements
to the last, PyTorch one, in the first. Use a machine that does nothing else.
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
from collections import defaultdict
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
UV = "uv==0.13.9"
N_ROUNDS = 5
N_IMPORTS = 40


class Way(NamedTuple):
    """How packages come into an environment."""

    name: str
    uv: bool = False
    online: bool = False  # from the index, or from a folder
    options: tuple[str, ...] = ()


PIP = Way("pip")
WAYS = (
    Way("pip, with downloads", online=True),
    PIP,
    Way("pip --no-compile", options=("--no-compile",)),
    Way("uv, with downloads", uv=True, online=True),
    Way("uv", uv=True),
)


class Taken(NamedTuple):
    """What one environment took."""

    install: float  # seconds
    predict: float  # seconds
    grown: int  # bytes
    versions: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.install + self.predict


def disk(folder: Path) -> int:
    """Bytes of all files, blocks as the file system counts them left aside."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


class Environment:
    """A virtual environment, with caches of its own, that takes nothing else from this process."""

    def __init__(self, folder: Path, packages: Path) -> None:
        self.folder = folder / "environment"
        self.packages = packages
        packages.mkdir(parents=True, exist_ok=True)
        venv.create(self.folder, with_pip=True)
        self._python = self.program("python")
        caches = {f"{name}_CACHE_DIR": str(folder / "cache" / name) for name in ("PIP", "UV")}
        self._online = os.environ | caches
        # What the machine's settings say holds for downloads alone.
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_"))
        }
        self._offline = own | caches | {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}

    def python(self, *arguments: str) -> str:
        """What the interpreter prints, where it finds no other module and no settings."""
        return self._run([self._python, "-I", "-W", "ignore", *arguments])

    def _run(self, command: Sequence[str], online: bool = False) -> str:
        return subprocess.run(
            command, cwd=self.packages, env=self._online if online else self._offline,
            check=True, text=True, stdout=subprocess.PIPE,
        ).stdout  # fmt: skip

    def _pip(self, *arguments: str, online: bool = False) -> str:
        own = [self._python, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        return self._run([*own, *arguments], online)

    def download(self, requirements: Sequence[str]) -> None:
        """Put these, and all that they need, into the folder."""
        folder = ["--only-binary", ":all:", "--no-cache-dir", "--dest", str(self.packages)]
        self._pip("download", *folder, *requirements, online=True)

    def install(self, *arguments: str, way: Way = PIP, uv: str = "uv") -> None:
        """Install as a user would."""
        source = [] if way.online else ["--no-index", "--find-links", str(self.packages)]
        words = ["install", *way.options, *source, *arguments]
        if way.uv:
            self._run([uv, "pip", "--quiet", *words, "--python", self._python], way.online)
        else:
            self._pip(*words, online=way.online)

    def program(self, name: str) -> str:
        """The path of a program of this environment."""
        windows = sys.platform == "win32"
        scripts = self.folder / ("Scripts" if windows else "bin")
        return str(scripts / (f"{name}.exe" if windows else name))

    def versions(self) -> tuple[str, ...]:
        """What is installed, besides what a new environment has."""
        new = [word for name in ("pip", "setuptools") for word in ("--exclude", name)]
        words = ["--disable-pip-version-check", "list", "--format", "json", *new]
        listed = json.loads(self.python("-m", "pip", *words))
        return tuple(f"{one['name']} {one['version']}" for one in listed)

    def seconds(self, *arguments: str) -> float:
        """How long the interpreter takes for this."""
        start = time.perf_counter()
        self.python(*arguments)
        return time.perf_counter() - start


class Subject(NamedTuple):
    """What is installed, and then run."""

    code: str
    requirement: str
    already: tuple[str, ...] = ()  # installed before
    offline: bool = False  # not by that name on the usual index
    n_rounds: int = 1


def measure(subject: Subject, way: Way, environment: Environment, uv: str = "uv") -> Taken:
    """Install what the subject asks for, and run its code."""
    if subject.already:
        environment.install(*subject.already)
    before = disk(environment.folder)
    settle()
    start = time.perf_counter()
    environment.install(subject.requirement, way=way, uv=uv)
    installed = time.perf_counter()
    environment.python("-c", subject.code)
    end = time.perf_counter()
    grown = disk(environment.folder) - before
    return Taken(installed - start, end - installed, grown, environment.versions())


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


def median(taken: Sequence[Taken], attribute: str) -> float:
    return float(statistics.median(getattr(one, attribute) for one in taken))


Rows = Mapping[tuple[str, str], Sequence[Taken]]  # of way and subject


def table(rows: Rows, unit: str, scale: float, attribute: str) -> Iterator[str]:
    """A row for each way, a column for each subject, and the shares of the first in PyTorch."""
    subjects = list(dict.fromkeys(subject for _, subject in rows))
    peers = [subject for subject in subjects if subject.startswith("PyTorch")]
    yield f"| {unit} | {' | '.join(subjects)} | {' | '.join(f'share of {one}' for one in peers)} |"
    yield "|---|" + "---:|" * (len(subjects) + len(peers))
    for way in dict.fromkeys(way for way, _ in rows):
        cells = [way]
        for subject in subjects:
            values = [getattr(one, attribute) / scale for one in rows.get((way, subject), ())]
            spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
            cells.append(f"{statistics.median(values):.1f}{spread}" if values else "")
        for peer in peers:
            theirs = rows.get((way, peer))
            ours = median(rows[way, subjects[0]], attribute)
            cells.append(f"{100 * ours / median(theirs, attribute):.1f} %" if theirs else "")
        yield f"| {' | '.join(cells)} |"
    yield ""


def report(rows: Rows, downloads: Mapping[str, int], steps: Mapping[str, float]) -> Iterator[str]:
    """Tables in Markdown: time and disk of each way, downloads, and mlpcore's steps."""
    yield from table(rows, "seconds", 1.0, "seconds")
    yield from table(rows, "of these the prediction", 1.0, "predict")
    yield from table(rows, "MB of disk", 1e6, "grown")
    for subject, size in downloads.items():
        versions = rows[PIP.name, subject][0].versions
        yield f"{subject}: {size / 1e6:.1f} MB, {len(versions)} packages: {', '.join(versions)}."
    yield ""
    together = sum(steps.values())
    yield "| step | time | share |"
    yield "|---|---:|---:|"
    for step, seconds in [*steps.items(), ("together", together)]:
        yield f"| {step} | {seconds:.2f} s | {100 * seconds / together:.0f} % |"
    yield ""


def main(words: Sequence[str]) -> int:
    """Measure everything, one after the other, and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks first_prediction", description=__doc__
    )
    parser.add_argument("wheel", type=Path, help="of mlpcore")
    wheel = parser.parse_args(words).wheel
    if not wheel.is_file():
        parser.error(f"wheel: expected a file, got {wheel}")
    ours = Subject(MLPCORE, str(wheel.resolve()), n_rounds=N_ROUNDS)
    subjects = {
        "mlpcore": ours,
        "mlpcore, where NumPy is": ours._replace(already=("numpy",)),
        "PyTorch, CPU build": Subject(TORCH, pinned_torch(), offline=True),
        "PyTorch": Subject(TORCH, "torch"),
    }
    with contextlib.ExitStack() as stack:

        def new_folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        packages = {name: new_folder() for name in subjects}
        tools = Environment(new_folder(), new_folder())
        tools.install(UV, way=WAYS[0])
        for name, subject in subjects.items():
            needed = [*subject.already, subject.requirement]
            Environment(new_folder(), packages[name]).download(needed)
        downloads = {name: disk(folder) for name, folder in packages.items()}

        rows: dict[tuple[str, str], list[Taken]] = defaultdict(list)
        steps: list[dict[str, float]] = []
        for i in range(N_ROUNDS):
            for way in WAYS:
                for name, subject in subjects.items():
                    if i >= subject.n_rounds or (way.online and subject.offline):
                        continue
                    with tempfile.TemporaryDirectory() as folder:
                        environment = Environment(Path(folder), packages[name])
                        taken = measure(subject, way, environment, tools.program("uv"))
                    rows[way.name, name].append(taken)
                    print(f"{way.name}: {name}: {taken.seconds:.2f} s", file=sys.stderr, flush=True)
            last = Environment(new_folder(), packages["mlpcore"])
            steps.append(parts(last))
        imports = [json.loads(last.python("-c", PIECES))[1] for _ in range(N_IMPORTS)]
    medians = {name: statistics.median(one[name] for one in steps) for name in steps[0]}
    for line in report(rows, downloads, medians):
        print(line)
    print(f"`import mlpcore` after NumPy: {statistics.median(imports) * 1e3:.1f} ms.")
    print(f"{date.today()}, {platform.platform()}, Python {platform.python_version()}, {UV}.")
    return 0
