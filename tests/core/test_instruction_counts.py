# SPDX-License-Identifier: BSD-3-Clause
"""The hottest paths cost the instructions that are recorded, and no more.

A skip says why nothing was compared: another compiler than the recorded one, or no valgrind. After
a change that is meant: ``python tools/instruction_counts.py --record``.
"""

import importlib.util
import json
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "instruction_counts.py"
SHORT = "SGD step 64-128-10, batch 32"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location(TOOL.stem, TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recorded(tool):
    record = json.loads(tool.RECORD.read_text())
    reason = tool.why_not()
    if reason is None and tool.compiler_version() != record["compiler"]:
        reason = f"recorded with {record['compiler']}, this is {tool.compiler_version()}"
    if reason is not None:
        pytest.skip(f"INSTRUCTION COUNTS WERE NOT COMPARED: {reason}")
    return record["counts"]


@pytest.fixture(scope="module")
def program(tool, recorded, tmp_path_factory):
    return tool.build(tmp_path_factory.mktemp("instruction_counts"))


def test_no_path_left_its_bounds(tool, recorded, program):
    assert tool.changes(tool.count(program), recorded) == []


def test_five_percent_more_are_noticed(tool, recorded, program):
    counts = tool.count(program, tool.N_CALLS + 1, SHORT)
    (line,) = tool.changes(counts, {SHORT: recorded[SHORT]})
    assert line.startswith(SHORT)


def test_bounds_hold_on_both_sides(tool):
    recorded = {"a": 1000, "b": 1000, "c": 1000}
    assert tool.changes({"a": 1020, "b": 980, "c": 1000}, recorded) == []
    lines = tool.changes({"a": 1021, "b": 979, "d": 1}, recorded)
    assert [line[0] for line in lines] == ["a", "b", "c", "d"]
