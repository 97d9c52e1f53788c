# SPDX-License-Identifier: BSD-3-Clause
"""``python -m mlpcore``: all commands but those of tables."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import _core
from mlpcore.command_line import bench, demo, main


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


def test_caches_are_those_of_one_processor(tmp_path, monkeypatch):
    """glibc 2.36 tells the sum of all level 3 caches of some machines of AMD."""
    described = [("Data", 1, "48K"), ("Instruction", 1, "32K"), ("Unified", 3, "2M")]
    for i, values in enumerate(described):
        for name, value in zip(("type", "level", "size"), values, strict=True):
            (tmp_path / f"index{i}").mkdir(exist_ok=True)
            (tmp_path / f"index{i}" / name).write_text(f"{value}\n")
    monkeypatch.setattr(mlpcore.cpu, "_LINUX_CACHES", tmp_path)
    monkeypatch.setattr(_core, "cache_bytes", lambda level: 12345)
    assert [mlpcore.cpu.cache_bytes(level) for level in (1, 2, 3)] == [48 << 10, 12345, 2 << 20]
    (tmp_path / "index0" / "size").write_text("\n")
    (tmp_path / "index2" / "size").unlink()
    assert [mlpcore.cpu.cache_bytes(level) for level in (1, 2, 3)] == [12345, 12345, 12345]


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
        ([], "COMMAND"),
        (["learn"], "learn"),
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


def test_info_describes_a_model(run, houses):
    mlpcore.save(mlpcore.MLP([2, 20, 5], ["relu", "softmax"], seed=0), "net.safetensors")
    assert run("info", "net.safetensors")[:2] == (
        0,
        "net              2-20-5, relu, softmax\nparameters       165 in float32\n",
    )
    run("train", houses, "--target", "color", "--hidden", "4", "--epochs", "1")
    status, said, _ = run("info", "model.safetensors")
    assert status == 0
    assert "target           color: 2 classes: blue, red" in said
    assert "net              3-4-2, relu, softmax" in said
    status, _, complaint = run("info", houses)
    assert (status, "no safetensors file" in complaint) == (1, True)


# ---- convert ------------------------------------------------------------------------------------


@pytest.fixture
def net(folder):
    made = mlpcore.MLP([2, 4, 3], ["relu", "softmax"], seed=0)
    mlpcore.save(made, "net.safetensors")
    return made


def test_convert_writes_a_header(run, net, folder):
    options = ("--name", "policy", "--jacobian", "--train-step", "cross_entropy")
    status, said, _ = run("convert", "net.safetensors", "net.h", *options)
    text = (folder / "net.h").read_text()
    assert status == 0
    assert said.strip() in text
    for function in ("forward", "jacobian", "train_step"):
        assert f"policy_{function}(" in text
    run("convert", "net.safetensors", "small.h")
    assert "small_forward(" in (folder / "small.h").read_text()
    assert "small_jacobian(" not in (folder / "small.h").read_text()


def test_convert_says_that_a_table_s_encoding_stays_behind(run, houses):
    run("train", houses, "--target", "price", "--hidden", "4", "--epochs", "1")
    status, _, note = run("convert", "model.safetensors", "net.safetensors")
    assert (status, "the table's encoding stays behind" in note) == (0, True)
    assert mlpcore.load("net.safetensors") == mlpcore.load("model.safetensors")


def test_convert_reads_weights_of_torch_without_torch(run, net):
    from mlpcore import _safetensors

    arrays = {f"{2 * l}.weight": np.array(weight) for l, weight in enumerate(net.weights)}
    arrays |= {f"{2 * l}.bias": np.array(bias) for l, bias in enumerate(net.biases)}
    _safetensors.write("torch.safetensors", arrays, {})
    given = ("--activations", "relu,softmax")
    assert run("convert", "torch.safetensors", "back.safetensors", *given)[0] == 0
    assert mlpcore.load("back.safetensors") == net
    status, _, complaint = run("convert", "torch.safetensors", "back.safetensors")
    assert (status, "give --activations" in complaint) == (2, True)


def test_convert_to_onnx_and_back(run, net):
    pytest.importorskip("onnx", reason="onnx is missing")
    assert run("convert", "net.safetensors", "net.onnx")[0] == 0
    assert run("convert", "net.onnx", "back.safetensors")[0] == 0
    assert mlpcore.load("back.safetensors") == net


def test_convert_to_weights_of_torch_and_back(run, net, folder):
    pytest.importorskip("torch", reason="torch is missing")
    assert run("convert", "net.safetensors", "net.pt")[0] == 0
    given = ("--activations", "relu,softmax")
    assert run("convert", "net.pt", "back.safetensors", *given)[0] == 0
    assert mlpcore.load("back.safetensors") == net
    (folder / "net.pt").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")  # a pickle that runs
    status, _, complaint = run("convert", "net.pt", "back.safetensors", *given)
    assert (status, "expected a state_dict" in complaint) == (1, True)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("net.safetensors", "net.tflite"), 1, "expected a file of .safetensors, .onnx, .pt or .h"),
        (("net.h", "net.safetensors"), 1, "net.h: expected a file of .safetensors, .onnx, .pt"),
        (("none.safetensors", "net.h"), 1, "none.safetensors: No such file"),
        (("net.safetensors", "no/net.h"), 1, "No such file"),
        (("net.safetensors", "1st.h"), 2, "--name: expected an identifier of C that begins with"),
        (("net.safetensors", "b.safetensors", "--jacobian"), 2, "--jacobian is of a header"),
        (("net.safetensors", "net.h", "--activations", "relu"), 2, "says itself which it has"),
        (("net.safetensors", "net.h", "--train-step", "huge"), 1, "loss: expected one of"),
    ],
)
def test_what_cannot_be_converted_is_refused(run, net, folder, arguments, status, message):
    found, _, complaint = run("convert", *arguments)
    assert (found, message in complaint) == (status, True), complaint
    assert os.listdir(folder) == ["net.safetensors"]


@pytest.mark.parametrize(("library", "name"), [("onnx", "a.onnx"), ("torch", "a.pt")])
def test_a_library_that_is_missing_is_named(run, net, monkeypatch, library, name):
    monkeypatch.setitem(sys.modules, library, None)
    status, _, complaint = run("convert", "net.safetensors", name)
    assert (status, f"needs {library}" in complaint) == (1, True)


# ---- bench --------------------------------------------------------------------------------------


def test_bench_measures_each_batch(run, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(bench, "SLICE_SECONDS", 1e-5)
    before = mlpcore.get_n_threads()
    status, printed, _ = run("bench", "--sizes", "3,5,2", "--batches", "1,7")
    rows = [line.split() for line in printed.splitlines()[4:]]
    assert status == 0
    assert [row[:2] for row in rows] == [
        ["1", "forward"],
        ["1", "step"],
        ["7", "forward"],
        ["7", "step"],
    ]
    assert all(float(row[2]) > 0.0 and float(row[-1][:-1]) > 0.0 for row in rows)
    assert mlpcore.get_n_threads() == before


def test_bench_takes_the_time_of_all_calls_and_of_nothing_else():
    start = time.perf_counter()
    seconds, _ = bench.repeat(lambda: time.sleep(1e-3), 5)
    assert 5e-3 <= seconds <= time.perf_counter() - start


def test_bench_gives_numpy_one_thread_in_a_process_of_its_own(monkeypatch, capfd):
    for name in bench.BLAS_THREADS:
        monkeypatch.delenv(name, raising=False)
    environment = os.environ | {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}
    monkeypatch.setattr(os, "environ", environment)
    assert main(["bench", "--sizes", "3,2", "--batches", "1"]) == 0
    assert "net 3-2, ReLU, float32, one thread" in capfd.readouterr().out


def test_bench_compares_before_it_measures(run, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setattr(bench.NumPyNet, "forward", lambda self, x: self.layers(x)[-1] + 1)
    with pytest.raises(AssertionError):
        main(["bench", "--sizes", "3,2", "--batches", "1"])


def test_bench_wants_two_sizes(run):
    status, _, complaint = run("bench", "--sizes", "3")
    assert (status, "--sizes: expected two sizes or more, got 3" in complaint) == (2, True)


def test_multiply_adds_are_counted(dtype, isa):
    n = mlpcore._core.multiply_adds(dtype, 10)
    assert n > 0
    assert mlpcore._core.multiply_adds(dtype, 20) == 2 * n


# ---- demo ---------------------------------------------------------------------------------------


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
