# SPDX-License-Identifier: BSD-3-Clause
"""Count the instructions of the core's hottest paths, and compare them with the recorded ones.

    python tools/instruction_counts.py              # exit status 1: a path left its bounds
    python tools/instruction_counts.py --record     # the counts as they are now become the record

Times are noisy, instructions are not: for one compiler a count is the same on every machine. The
paths run on the AVX2 kernels with one thread, under callgrind. Where there is another compiler than
the recorded one, or no valgrind, nothing is compared, and the exit status is 3.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_suffix(".json")
COMPILER = os.environ.get("CC", "cc").split()
# Those of setup.py that make the code.
FLAGS = ["-std=c11", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-DNDEBUG", "-pthread"]
# One call more is 5 %.
N_CALLS = 20
TOLERANCE = 0.02


def compiler_version() -> str:
    """Return what counts depend on: the first line that the compiler says of itself."""
    command = [*COMPILER, "--version"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    first = text.splitlines()[0]
    # gcc begins with the name by which it was called, cc or gcc.
    return first if "clang" in first else f"gcc {first.partition(' ')[2]}"


def why_not() -> str | None:
    """Return why this machine cannot count, None where it can."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        return f"the counts are of Linux x86_64, this is {machine}"
    if shutil.which("valgrind") is None:
        return "valgrind is missing"
    if " avx2 " not in Path("/proc/cpuinfo").read_text():
        return "this processor has no AVX2"
    return None


def build(directory: Path) -> Path:
    """Compile the core and the paths, two sources at a time."""

    def compile_one(source: Path) -> Path:
        target = directory / f"{source.stem}.o"
        command = [*COMPILER, *FLAGS, f"-I{ROOT / 'src_c'}", "-c", source, "-o", target]
        subprocess.run(command, check=True)
        return target

    sources = [*sorted(ROOT.glob("src_c/**/*.c")), Path(__file__).with_suffix(".c")]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    program = directory / "instruction_counts"
    subprocess.run([*COMPILER, *objects, "-o", program, "-pthread", "-lm"], check=True)
    return program


def count(program: Path, n_calls: int = N_CALLS, name: str | None = None) -> dict[str, int]:
    """Run the paths, or one of them, under callgrind: instructions by name."""
    for old in program.parent.glob("callgrind.out*"):
        old.unlink()
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=counted", "--zero-before=counted"]
    command += ["--dump-after=counted", f"--callgrind-out-file={program.parent / 'callgrind.out'}"]
    command += [str(program), str(n_calls), *([name] if name else [])]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{result.stderr}")
    counts = {}
    for i, path in enumerate(result.stdout.splitlines()):
        dump = program.parent / f"callgrind.out.{i + 1}"
        totals = [line for line in dump.read_text().splitlines() if line.startswith("totals:")]
        counts[path] = int(totals[0].split()[1])
    return counts


def changes(counts: dict[str, int], recorded: dict[str, int]) -> list[str]:
    """Return a line for each path that is not within the tolerance of its record."""
    lines = []
    for name in sorted({*counts, *recorded}):
        if name not in counts or name not in recorded:
            lines.append(f"{name}: {'not recorded' if name in counts else 'recorded, not counted'}")
            continue
        change = counts[name] - recorded[name]
        if abs(change) > TOLERANCE * recorded[name]:
            share = f"{change / recorded[name]:+.1%}"
            lines.append(f"{name}: {counts[name]}, {recorded[name]} recorded ({share})")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="make the counts the record")
    record = parser.parse_args().record
    recorded = json.loads(RECORD.read_text())
    reason = why_not()
    if reason is None and not record and compiler_version() != recorded["compiler"]:
        reason = f"the record was made with {recorded['compiler']}, this is {compiler_version()}"
    if reason is not None:
        print(f"INSTRUCTION COUNTS WERE NOT COMPARED: {reason}", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as directory:
        counts = count(build(Path(directory)))
    if record:
        RECORD.write_text(
            json.dumps({"compiler": compiler_version(), "counts": counts}, indent=4) + "\n"
        )
    for name, number in counts.items():
        print(f"{number:>12}  {name}")
    lines = [] if record else changes(counts, recorded["counts"])
    if lines:
        print("\n".join(["", "beyond 2 %:", *lines]), file=sys.stderr)
        print("If this is meant: python tools/instruction_counts.py --record", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
