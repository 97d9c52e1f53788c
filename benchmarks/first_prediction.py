# SPDX-License-Identifier: BSD-3-Clause
"""``python benchmarks/first_prediction.py dist/*.whl``: from nothing to a first prediction.

The wheel is installed into one empty virtual environment and PyTorch into another, each with all
that it needs, without pip's cache; then each predicts once, in a new process. A third environment
has NumPy already. PyTorch is that of pyproject.toml, as the package index in use gives it. Measured
are the time from `pip install` to the end of the prediction, and what the environment has grown by.
Each runs once: use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from datetime import date
from pathlib import Path

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


def disk(folder: Path) -> int:
    """Bytes of all files, blocks as the file system counts them left aside."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def measure(
    already: str, requirement: str, code: str, folder: Path
) -> tuple[float, float, int, str]:
    """Seconds of the installation and of the prediction, bytes, and what was installed."""
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(next(scripts.glob("python*")))
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    if already:
        subprocess.run([*pip, "install", already], check=True)
    before = disk(folder)
    start = time.perf_counter()
    subprocess.run([*pip, "install", requirement], check=True)
    installed = time.perf_counter()
    subprocess.run([python, "-W", "ignore", "-c", code], check=True)
    end = time.perf_counter()
    grown = disk(folder) - before
    names = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    versions = ", ".join(line.replace("==", " ").split(" @ ")[0] for line in names.splitlines())
    return installed - start, end - installed, grown, versions


def pinned_torch() -> str:
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8"))
    peers: list[str] = project["project"]["optional-dependencies"]["bench-peers"]
    return next(peer for peer in peers if peer.startswith("torch=="))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="of mlpcore")
    wheel = parser.parse_args().wheel
    if not wheel.is_file():
        parser.error(f"wheel: expected a file, got {wheel}")
    jobs = {
        "mlpcore": ("", str(wheel), MLPCORE),
        "mlpcore, where NumPy is": ("numpy", str(wheel), MLPCORE),
        "PyTorch": ("", pinned_torch(), TORCH),
    }
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, job in jobs.items():
            rows[name] = measure(*job, Path(folder, name.replace(" ", "-")))
    print("| | install | first prediction | together | disk |")
    print("|---|---:|---:|---:|---:|")
    for name, (install, predict, size, _) in rows.items():
        seconds = f"{install:.1f} s | {predict:.2f} s | {install + predict:.1f} s"
        print(f"| {name} | {seconds} | {size / 1e6:.1f} MB |")
    *parts, (install, predict, theirs, _) = rows.values()
    print()
    for name, (a, b, ours, _) in zip(rows, parts, strict=False):
        share = f"{(a + b) / (install + predict):.1%} of the time, {ours / theirs:.2%} of the disk"
        print(f"{name}: {share} that PyTorch takes.")
    print(f"{date.today()}, {platform.platform()}, Python {platform.python_version()}.")
    for name, (*_, versions) in rows.items():
        print(f"{name}: {versions}.")


if __name__ == "__main__":
    main()
