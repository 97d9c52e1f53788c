# SPDX-License-Identifier: BSD-3-Clause
"""The training step of the exported header: its bits, its memory, and what it refuses."""

import platform
import re
import shutil
import subprocess

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, export_c, export_c_check, export_c_train, losses

COMPILERS = [name for name in ("gcc", "clang", "clang-16") if shutil.which(name)]
STRICT = "-Wall -Wextra -Werror -pedantic -Wconversion -Wshadow -Wdouble-promotion"
FUSED = set(_core.available_isas()) - {"generic"}
X86_64 = platform.machine() in ("x86_64", "AMD64")

pytestmark = [
    pytest.mark.skipif(not COMPILERS, reason="no C compiler"),
    pytest.mark.skipif(not FUSED, reason="this machine has no fused multiply-add"),
]

# A loss, and the last activation that it comes after.
PAIRS = [
    (losses.MSE(), "identity"),
    (losses.MSE("sum"), "softmax"),
    (losses.MSE("batch_mean"), "tanh"),
    (losses.L1(), "identity"),
    (losses.Huber(0.3), "identity"),
    (losses.LogCosh(), "identity"),
    (losses.Quantile(0.7), "identity"),
    (losses.BCE(), "sigmoid"),
    (losses.BCE(), "softmax"),
    (losses.BCEWithLogits(), "identity"),
    (losses.CrossEntropy(), "identity"),
    (losses.CrossEntropy(from_logits=False), "softmax"),
    (losses.CrossEntropy(from_logits=False), "sigmoid"),
    (losses.Poisson(), "identity"),
]


def verification(folder, net, loss, **options):
    return net.to_c(folder / "net.h", train_step=loss, **options)


def test_every_loss_is_covered():
    assert {loss.name for loss, _ in PAIRS} == set(losses.NAMED)


@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=lambda value: str(value))
def test_every_loss_has_our_bits(tmp_path, dtype, loss, output):
    net = mlpcore.MLP([3, 9, 4], ["tanh", output], dtype=dtype, seed=0)
    found = verification(tmp_path, net, loss, batch_size=3)
    assert found.same_bits, str(found)
    assert found.n_steps == 8
    assert str(found) in (tmp_path / "net.h").read_text()


def test_every_instruction_set_has_our_bits(tmp_path, dtype, isa):
    if not X86_64 and isa == "generic":
        pytest.skip("this machine fuses in the header, and generic does not")
    net = mlpcore.MLP([3, 9, 17, 4], ["tanh", "elu", "softmax"], dtype=dtype, seed=0)
    assert verification(tmp_path, net, "cross_entropy", batch_size=3).same_bits


@pytest.mark.parametrize("activation", [name for name in _core.ACTIVATIONS if name != "softmax"])
def test_every_activation_has_our_bits(tmp_path, dtype, activation):
    net = mlpcore.MLP([3, 9, 17, 4], [activation] * 3, dtype=dtype, seed=0)
    assert verification(tmp_path, net, "mse", jacobian=True).same_bits


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_size", [1, 512])
@pytest.mark.parametrize(
    ("sizes", "activations", "loss"),
    [
        ([1, 1], ["identity"], "mse"),
        ([4, 1], ["softmax"], "cross_entropy"),
        ([4, 40], ["softmax"], "cross_entropy"),
        ([2, 600], ["softmax"], "mse"),
        ([600, 3, 2], ["elu", "sigmoid"], "bce"),
        ([3, 1100, 2], ["gelu", "identity"], "huber"),
        ([2, 8, 3, 7, 1], ["relu", "identity", "silu", "identity"], "log_cosh"),
    ],
)
def test_every_shape_has_our_bits(tmp_path, sizes, activations, loss, batch_size, bias):
    net = mlpcore.MLP(sizes, activations, bias=bias, seed=0)
    found = verification(tmp_path, net, loss, batch_size=batch_size)
    assert found.same_bits, str(found)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("flags", ["-O0", "-O3 -march=native", "-Os -std=gnu17"])
def test_no_option_changes_the_bits(tmp_path, dtype, monkeypatch, compiler, flags):
    monkeypatch.setenv("CC", f"{compiler} {STRICT} {flags}")
    net = mlpcore.MLP([3, 6, 6, 4], ["gelu", "softplus", "softmax"], dtype=dtype, seed=0)
    for loss in ("cross_entropy", losses.BCE(), losses.LogCosh()):
        found = verification(tmp_path, net, loss, jacobian=True, batch_size=2)
        assert found.same_bits, str(found)


PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "net.h"

int main(void) {
    static float parameters[sizeof net_parameters / sizeof *net_parameters];
    const float x[2] = {1.0f, 2.0f}, target[1] = {X};
    float y[1], y_with[1];
    double loss;
    memcpy(parameters, net_parameters, sizeof parameters);
    loss = net_train_step(parameters, x, target, RATE);
    net_forward(x, y);
    net_forward_with(parameters, x, y_with);
    printf("%d %d %d", loss - loss == 0.0, !memcmp(parameters, net_parameters, sizeof parameters),
           y[0] != y_with[0]);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("target", "rate", "printed"),
    [
        ("0.5f", "0.1f", "1 0 1"),  # finite, changed, another output
        ("0.0f / 0.0f", "0.1f", "0 1 0"),
        ("1e38f", "0.1f", "0 1 0"),  # the loss
        ("1e18f", "3e38f", "0 1 0"),  # an update
    ],
)
def test_what_is_not_finite_leaves_the_parameters(tmp_path, target, rate, printed):
    net = mlpcore.MLP([2, 3, 1], "tanh", seed=0)
    assert verification(tmp_path, net, "mse").same_bits
    program = PROGRAM.replace("X}", f"{target}}}").replace("RATE", rate)
    (tmp_path / "main.c").write_text(program)
    subprocess.run([COMPILERS[0], "main.c", "-o", "main"], cwd=tmp_path, check=True)
    run = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert run.stdout == printed


@pytest.mark.skipif(COMPILERS[:1] != ["gcc"], reason="reads what gcc says about the stack")
@pytest.mark.parametrize("batch_size", [1, 16])
def test_the_stack_is_what_the_header_says(tmp_path, dtype, batch_size):
    net = mlpcore.MLP([8, 40, 30, 10], ["tanh", "relu", "softmax"], dtype=dtype, seed=0)
    verification(tmp_path, net, "cross_entropy", batch_size=batch_size)
    text = (tmp_path / "net.h").read_text()
    said = int(re.search(r"arrays of (\d+) bytes on the stack", text).group(1))
    real = "float" if dtype == "float32" else "double"
    (tmp_path / "use.c").write_text(
        f'#include "net.h"\ndouble use({real} *p, const {real} *x, const {real} *y);\n'
        f"double use({real} *p, const {real} *x, const {real} *y) {{\n"
        "    return net_train_step(p, x, y, 1);\n}\n"
    )
    command = [COMPILERS[0], "-std=c99", "-O2", "-fstack-usage", "-c", "use.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    used = [int(line.split("\t")[1]) for line in (tmp_path / "use.su").read_text().splitlines()]
    # Compilers lay arrays over each other, and add what they spill.
    assert 0.7 * said <= sum(used) <= said + 300


def test_a_header_that_learns_something_else_is_not_written(tmp_path, monkeypatch):
    wrong = export_c_train._UPDATE.replace("gradient += dz", "gradient -= dz")
    monkeypatch.setattr(export_c_train, "_UPDATE", wrong)
    with pytest.raises(RuntimeError, match=r"a relative error of .* it is not written"):
        verification(tmp_path, mlpcore.MLP([2, 3, 1], seed=0), "mse")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train_step": "mean"}, ValueError, "loss: expected one of"),
        ({"train_step": "bce"}, ValueError, "bce"),
        ({"train_step": lambda y_hat, y: (0.0, y)}, TypeError, "train_step: expected one of"),
        ({"train_step": "mse", "batch_size": 0}, ValueError, "batch_size: expected a positive"),
        ({"train_step": "mse", "batch_size": 513}, ValueError, "batch_size: expected at most 512"),
        ({"batch_size": 2}, ValueError, "batch_size: expected train_step with it"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        mlpcore.MLP([2, 3, 1], seed=0).to_c(tmp_path / "net.h", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_expected_steps_are_those_of_train_step():
    net = mlpcore.MLP([2, 3, 1], seed=0)
    step = export_c_train.TrainStep.of(net, "mse", 2)
    batches = [(np.ones((2, 2), np.float32), np.zeros((2, 1), np.float32))]
    values, parameters = export_c_check.expected_steps(net, step, batches)
    learnt = net.copy()
    rate = export_c_check._LEARNING_RATE
    assert values[0] == learnt.train_step(*batches[0], "mse", mlpcore.SGD(rate))
    assert (parameters[0] == learnt.parameters).all()
    assert "net_train_step" not in export_c.header_text(net, "net", True)
