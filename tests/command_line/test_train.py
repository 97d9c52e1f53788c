# SPDX-License-Identifier: BSD-3-Clause
"""``mlpcore train`` and ``mlpcore predict``: what they say, write and refuse."""

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import _safetensors
from mlpcore.tabular import TableModel

QUICK = ("--hidden", "8", "--epochs", "20", "--seed", "3")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(mlpcore.__file__).parents[1])}
COMMAND = (sys.executable, "-P", "-m", "mlpcore")


def rows_of(text):
    return list(csv.reader(text.splitlines()))


# ---- what is done -------------------------------------------------------------------------------


def test_a_regression_learns_and_predicts(run, houses):
    status, said, _ = run("train", houses, "--target", "price", "--hidden", "16", "--epochs", 400)
    assert status == 0
    assert "input            color: 2 categories: blue, red" in said
    assert "target           price: number" in said
    assert "net              4-16-1, relu, identity" in said
    assert "32 rows" in said
    assert "8 rows: R² 0.9" in said
    status, printed, _ = run("predict", "model.safetensors", houses)
    header, *answers = rows_of(printed)
    assert (status, header, len(answers)) == (0, ["price"], 40)
    prices = np.array([float(row[3]) for row in rows_of(houses.read_text())[1:]])
    missed = np.array(answers, float)[:, 0] - prices
    assert np.sqrt(np.mean(missed**2)) < 0.3 * prices.std()


def test_a_classification_has_probabilities(run, houses):
    status, said, _ = run("train", houses, "--target", "color", *QUICK)
    assert status == 0
    assert "target           color: 2 classes: blue, red" in said
    assert "accuracy" in said
    status, printed, _ = run("predict", "model.safetensors", houses, "--probabilities")
    header, *answers = rows_of(printed)
    assert (status, header) == (0, ["color", "P(blue)", "P(red)"])
    for color, *probabilities in answers:
        blue, red = map(float, probabilities)
        assert blue + red == pytest.approx(1.0, abs=1e-6)
        assert color == ("blue" if blue > red else "red")


def test_the_same_seed_gives_the_same_file(run, houses, folder):
    for name in ("a", "b"):
        assert run("train", houses, "--target", "price", *QUICK, "--output", name)[0] == 0
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    run("train", houses, "--target", "price", "--hidden", "8", "--output", "c")
    assert (folder / "c").read_bytes() != (folder / "a").read_bytes()


def test_the_file_holds_a_net_that_the_table_is_not_needed_for(run, houses, folder):
    run("train", houses, "--target", "price", *QUICK)
    net, model = mlpcore.load("model.safetensors"), TableModel.load("model.safetensors")
    assert net == model.net
    x = model.encoding.inputs(houses)
    y_hat = model.encoding.answers(net(x))
    _, printed, _ = run("predict", "model.safetensors", houses)
    assert [float(row[0]) for row in rows_of(printed)[1:]] == y_hat.tolist()


def test_options_of_columns_and_training(run, houses):
    options = ("--ignore", "color", "--categorical", "rooms", "--validation", "0")
    status, said, _ = run("train", houses, "--target", "price", *QUICK, *options)
    assert status == 0
    assert "rooms: 5 categories: 1, 2, 3, 4, 5" in said
    assert "color" not in said
    assert "net              6-8-1" in said
    assert "40 rows, 20 epochs, 0" in said
    assert "held out" not in said
    status, said, _ = run("train", houses, "--target", "rooms", "--task", "regression", *QUICK)
    assert (status, "rooms: number" in said) == (0, True)


def test_missing_cells_are_filled_when_that_is_asked_for(run, houses, folder):
    lines = houses.read_text().splitlines()
    lines[3] = "NA,2,,70000"
    (folder / "holes.csv").write_text("\n".join(lines))
    status, _, complaint = run("train", "holes.csv", "--target", "price", *QUICK)
    assert status == 1
    assert "holes.csv, line 4, column 'area': expected a value, got a missing one" in complaint
    assert "--missing fill" in complaint
    fill = ("--missing", "fill")
    status, said, _ = run("train", "holes.csv", "--target", "price", *QUICK, *fill)
    assert (status, "missing cells" in said) == (0, True)
    status, printed, _ = run("predict", "model.safetensors", "holes.csv")
    assert (status, len(printed.splitlines())) == (0, 41)


def test_predictions_go_into_a_file(run, houses, folder):
    run("train", houses, "--target", "price", *QUICK)
    _, printed, _ = run("predict", "model.safetensors", houses)
    status, nothing, _ = run("predict", "model.safetensors", houses, "--output", "out.csv")
    assert (status, nothing) == (0, "")
    assert (folder / "out.csv").read_text() == printed


def test_columns_come_in_any_order_and_others_do_not_count(run, houses, folder):
    run("train", houses, "--target", "price", *QUICK)
    _, expected, _ = run("predict", "model.safetensors", houses)
    rows = [[*row[2::-1], f"note {i}"] for i, row in enumerate(rows_of(houses.read_text()))]
    (folder / "turned.csv").write_text("\n".join(map(",".join, rows)))
    assert run("predict", "model.safetensors", "turned.csv")[:2] == (0, expected)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "--target"),
        (("--target", "size"), 1, "houses.csv: expected a column 'size', got 'area', 'rooms'"),
        (("--target", "price", "--ignore", "colour"), 1, "expected a column 'colour'"),
        (("--target", "price", "--ignore", "area,rooms,color"), 1, "a column besides 'price'"),
        (("--target", "price", "--hidden", "8,x"), 2, "expected sizes like 64,64, got '8,x'"),
        (("--target", "price", "--epochs", "0"), 2, "a whole number of 1 or more, got '0'"),
        (("--target", "price", "--batch-size", "1.5"), 2, "a whole number of 1 or more"),
        (("--target", "price", "--learning-rate", "-1"), 2, "a number above 0, got '-1'"),
        (("--target", "price", "--validation", "1"), 2, "0 or more, below 1, got '1'"),
        (("--target", "price", "--validation", "0.99"), 1, "a row to learn from besides 40"),
        (("--target", "price", "--activation", "softmax"), 2, "softmax"),
        (("--target", "price", "--output", "no/m"), 1, "no: there is no such folder"),
        (("--target", "price", "--output", "."), 1, "expected a file's name, got a folder"),
        (("--target", "price", "--learning-rate", "1e5", "--epochs", "500"), 1, "--learning-rate"),
    ],
)
def test_what_cannot_be_trained_is_refused(run, houses, folder, arguments, status, message):
    found, _, complaint = run("train", houses.name, *arguments)
    assert found == status
    assert message in complaint
    assert "Traceback" not in complaint
    assert os.listdir(folder) == ["houses.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("area,rooms\n1,2\n", "new.csv: expected the columns 'color' too"),
        ("area,rooms,color\n1,2,green\n", "new.csv, line 2, column 'color': expected one of"),
        ("area,rooms,color\n1,2,red\nbig,2,red\n", "line 3, column 'area': expected a number, got"),
        ("area,rooms,color\n1,,red\n", "line 2, column 'rooms': expected a value, got a missing"),
        ("area,rooms,color\n1,inf,red\n", "line 2, column 'rooms': expected a finite number"),
        ("area,rooms,color\n1,1e300,red\n", "line 2, column 'rooms': expected a number that is"),
        ("area,rooms,color\n", "expected rows below the names"),
        ("", "expected names of columns in the first line, got an empty file"),
    ],
)
def test_what_cannot_be_predicted_is_refused(run, houses, folder, text, message):
    run("train", houses, "--target", "price", *QUICK)
    (folder / "new.csv").write_text(text)
    (folder / "out.csv").write_text("old")
    status, printed, complaint = run(
        "predict", "model.safetensors", "new.csv", "--output", "out.csv"
    )
    assert (status, printed) == (1, "")
    assert message in complaint
    assert (folder / "out.csv").read_text() == "old"


def test_files_that_are_no_models_are_refused(run, houses, folder):
    run("train", houses, "--target", "price", *QUICK)
    assert "No such file" in run("predict", "none.safetensors", houses)[2]
    assert "no safetensors file" in run("predict", houses, houses)[2]
    status, _, complaint = run("predict", "model.safetensors", houses, "--probabilities")
    assert (status, "expected classes, got numbers" in complaint) == (1, True)
    mlpcore.save(mlpcore.load("model.safetensors"), "net.safetensors")
    assert "got a net alone" in run("predict", "net.safetensors", houses)[2]
    metadata, arrays = _safetensors.read("model.safetensors")
    _safetensors.write("later.safetensors", arrays, metadata | {"format_version": "99"})
    status, _, complaint = run("predict", "later.safetensors", houses)
    assert (status, "install a newer mlpcore" in complaint) == (1, True)


# ---- interruptions ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_writes_nothing(houses, folder):
    (folder / "model.safetensors").write_text("old")
    arguments = (
        "train",
        houses,
        "--target",
        "price",
        "--epochs",
        "10000000",
        "--patience",
        "9999999",
    )
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    while not process.stdout.readline().startswith("parameters"):
        assert process.poll() is None
    time.sleep(0.5)  # now it trains
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint.splitlines()[-1] == "mlpcore train: interrupted"
    assert "Traceback" not in complaint
    assert sorted(os.listdir(folder)) == ["houses.csv", "model.safetensors"]
    assert (folder / "model.safetensors").read_text() == "old"


def test_a_full_disk_leaves_the_old_model(run, houses, folder, monkeypatch):
    run("train", houses, "--target", "price", *QUICK)
    before = (folder / "model.safetensors").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status, _, complaint = run("train", houses, "--target", "price", *QUICK)
    assert status == 1
    assert "model.safetensors: No space left on device" in complaint
    assert (folder / "model.safetensors").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["houses.csv", "model.safetensors"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_told(run, houses):
    run("train", houses, "--target", "price", *QUICK)
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [*COMMAND, "predict", "model.safetensors", houses],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )
    assert finished.returncode == 1
    assert finished.stderr == "mlpcore predict: error: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="is about pipes of POSIX")
def test_a_reader_that_has_seen_enough_is_no_error(run, houses, folder):
    text = houses.read_text()
    (folder / "many.csv").write_text(text + text.partition("\n")[2] * 2000)
    run("train", houses, "--target", "price", *QUICK)
    process = subprocess.Popen(
        [*COMMAND, "predict", "model.safetensors", "many.csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout.readline() == b"price\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
