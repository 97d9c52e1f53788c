# SPDX-License-Identifier: BSD-3-Clause
"""A folder to work in, and the command line in it."""

import pytest

from mlpcore.command_line import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a command; returns its status, standard output and standard error."""

    def run_command(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse's
            status = error.code
        return (status, *capsys.readouterr())

    return run_command


@pytest.fixture
def houses(folder):
    """Forty rows of numbers, a category and a price."""
    lines = ["area,rooms,color,price"]
    for i in range(40):
        area, rooms, color = 50 + 7 * i % 90, 1 + i % 5, ("red", "blue")[i % 2]
        lines.append(f"{area},{rooms},{color},{1000 * area + 500 * rooms + 7 * i}")
    path = folder / "houses.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
