# SPDX-License-Identifier: BSD-3-Clause
"""The commands of docs/command_line.md do what the page shows."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

import mlpcore

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.skipif(mlpcore.cpu.isa() == "generic", reason="the page's figures are of an FMA")
def test_the_quick_start(run, folder):
    pytest.importorskip("sklearn", reason="the page's table is scikit-learn's")
    text = PAGE.read_text(encoding="utf-8")
    program = re.search(r"^    import csv\n(    .*\n|\n)*", text, re.MULTILINE).group(0)
    exec(re.sub("(?m)^    ", "", program), {})
    console = re.search(r"```console\n(.*?)```", text, re.DOTALL).group(1)
    commands = re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", console, re.MULTILINE)
    assert len(commands) == 4
    for command, shown in commands:
        program, *arguments = shlex.split(command)
        if program == "head":
            with open(folder / arguments[1], encoding="utf-8") as file:
                printed = "".join(file.readline() for _ in range(int(arguments[0][1:])))
        else:
            status, printed, complaint = run(*arguments)
            assert status == 0, complaint
        assert doctest.OutputChecker().check_output(shown, printed, OPTIONS), printed


def test_the_page_lists_every_command_and_option(run):
    text = PAGE.read_text(encoding="utf-8")
    _, printed, _ = run("--help")
    commands = re.findall(r"^    ([a-z]+)  ", printed, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        assert f"`mlpcore {command}" in text
        status, printed, _ = run(command, "--help")
        assert status == 0
        assert f"usage: mlpcore {command}" in printed
