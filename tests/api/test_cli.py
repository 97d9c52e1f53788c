# SPDX-License-Identifier: BSD-3-Clause
"""``python -m mlpcore``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlpcore
from mlpcore import demo
from mlpcore.__main__ import main


def test_info_says_what_runs(capsys):
    assert main(["info"]) == 0
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed["mlpcore"] == mlpcore.__version__
    assert printed["threads"] == str(mlpcore.get_n_threads())
    assert printed["available"] == ", ".join(mlpcore.cpu.available_isas())
    assert "KiB" in printed["caches"]


def test_caches_are_told_by_their_level():
    sizes = [mlpcore.cpu.cache_bytes(level) for level in (1, 2, 3)]
    known = [size for size in sizes if size > 0]
    assert known == sorted(known)
    for level in (0, 4):
        with pytest.raises(ValueError, match=rf"level: expected .*got {level}"):
            mlpcore.cpu.cache_bytes(level)
    with pytest.raises(TypeError, match="level"):
        mlpcore.cpu.cache_bytes("L1")


def test_module_is_a_command():
    # The package that is under test, whatever lies in the current folder.
    environment = os.environ | {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}
    command = [sys.executable, "-P", "-m", "mlpcore", "info"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert mlpcore.__version__ in finished.stdout
    assert finished.stderr == ""


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_explain_prints_the_tables(style, capsys):
    sizes = ["--sizes", "2,20,5"]
    assert main(["explain", *sizes, "--activations", "relu,identity", "--format", style]) == 0
    net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"])
    assert capsys.readouterr().out.strip() == net.explain("mse", format=style).strip()


def test_explain_takes_one_activation_for_the_hidden_layers(capsys):
    assert main(["explain", "--sizes", "2,3,3,1", "--activations", "tanh", "--loss", "huber"]) == 0
    net = mlpcore.MLP([2, 3, 3, 1], activations="tanh")
    assert capsys.readouterr().out.strip() == net.explain("huber").strip()


def test_explain_takes_the_activation_of_a_net_with_one_layer(capsys):
    net_arguments = ["--sizes", "2,1", "--activations", "sigmoid", "--loss", "bce"]
    assert main(["explain", *net_arguments]) == 0
    net = mlpcore.MLP([2, 1], activations=["sigmoid"])
    assert capsys.readouterr().out.strip() == net.explain("bce").strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "command"),
        (["train"], "train"),
        (["explain", "--activations", "relu"], "--sizes"),
        (
            ["explain", "--sizes", "2,x", "--activations", "relu"],
            "expected sizes like 2,20,5, got '2,x'",
        ),
        (["explain", "--sizes", "2", "--activations", "relu"], "sizes"),
        (["explain", "--sizes", "2,3,1", "--activations", "relu,sine"], "sine"),
        (["explain", "--sizes", "2,1", "--activations", "relu", "--loss", "bce"], "sigmoid"),
        (["explain", "--sizes", "2,1", "--activations", "relu", "--loss", "mean"], "mean"),
        (["explain", "--sizes", "2,1", "--activations", "relu", "--format", "html"], "html"),
    ],
)
def test_bad_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("module", ["sklearn", "matplotlib"])
def test_demo_says_what_is_missing(module, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "pip install scikit-learn matplotlib" in output.err


@pytest.mark.slow
def test_demo(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    printed = capsys.readouterr().out
    # The score, the time, and both again in the summary.
    assert printed.count("scikit-learn") == 3 * len(demo.TASKS)
    assert printed.count("Derivatives of the loss") == len(demo.TASKS)
    assert (tmp_path / demo.PICTURE).stat().st_size > 0
