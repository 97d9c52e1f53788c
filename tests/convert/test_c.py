# SPDX-License-Identifier: BSD-3-Clause
"""The exported header: its bits, its warnings, and what it says of itself."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, export_c, export_c_check, export_c_math

ROOT = Path(__file__).parents[2]
COMPILERS = [name for name in ("gcc", "clang", "clang-16") if shutil.which(name)]
X86_64 = platform.machine() in ("x86_64", "AMD64")
STRICT = "-Wall -Wextra -Werror -pedantic -Wconversion -Wshadow -Wdouble-promotion"
FUSED = set(_core.available_isas()) - {"generic"}

needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler")
needs_fma = pytest.mark.skipif(not FUSED, reason="this machine has no fused multiply-add")


def random_net(sizes, activations, dtype="float32", bias=True):
    net = mlpcore.MLP(sizes, activations, dtype=dtype, bias=bias, seed=0)
    for array in net.biases:
        if array is not None:
            array[:] = np.random.default_rng(1).standard_normal(array.shape)
    return net


def header_file(folder, net, name="net", jacobian=True):
    folder.mkdir(exist_ok=True)
    text = export_c.header_text(net, name, jacobian)
    (folder / f"{name}.h").write_text(text)
    return text


@needs_compiler
@pytest.mark.parametrize("activation", list(_core.ACTIVATIONS))
def test_every_activation_has_our_bits(tmp_path, dtype, isa, activation):
    if not X86_64 and isa == "generic":
        pytest.skip("this machine fuses in the header, and generic does not")
    hidden = "silu" if activation == "softmax" else activation
    net = random_net([3, 9, 17, 4], [hidden, hidden, activation], dtype)
    verification = net.to_c(tmp_path / "net.h", jacobian=True)
    assert verification.same_bits, str(verification)
    assert verification.n_rows == 32
    assert str(verification) in (tmp_path / "net.h").read_text()


@needs_compiler
@needs_fma
@pytest.mark.parametrize("jacobian", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("sizes", "activations"),
    [
        ([1, 1], ["identity"]),
        ([4, 3], ["tanh"]),
        ([4, 1], ["softmax"]),
        ([4, 40], ["softmax"]),
        ([2, 600], ["softmax"]),
        ([2, 5, 3], ["relu", "softmax"]),
        ([2, 5, 3], ["identity", "identity"]),
        ([600, 3, 2], ["elu", "sigmoid"]),
        ([3, 1100, 2], ["gelu", "identity"]),
        ([2, 8, 3, 7, 4, 6, 1], ["relu", "tanh", "silu", "elu", "gelu", "softplus"]),
    ],
)
def test_every_shape_has_our_bits(tmp_path, sizes, activations, bias, jacobian):
    net = random_net(sizes, activations, bias=bias)
    assert net.to_c(tmp_path / "net.h", jacobian=jacobian).same_bits


@needs_compiler
@needs_fma
@pytest.mark.parametrize("activation", list(_core.ACTIVATIONS))
def test_special_numbers_have_our_bits(tmp_path, dtype, activation):
    net = mlpcore.MLP([1, 2, 3], ["identity", activation], dtype=dtype, bias=False, seed=0)
    net.weights[0][:] = [[1.0], [0.0]]
    net.weights[1][:] = [[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0]]
    tiny = np.finfo(dtype).smallest_subnormal
    largest = np.finfo(dtype).max
    with np.errstate(over="ignore", under="ignore"):
        powers = np.geomspace(1e-300, 1e300, 1201).astype(dtype)
    odd = [0.0, tiny, 3 * tiny, 1.0, 88.0, 89.0, 104.0, 710.0, 746.0, largest, np.inf, np.nan]
    x = np.concatenate([np.array(odd, dtype), powers, np.linspace(0, 120, 997, dtype=dtype)])
    x = np.concatenate([x, -x])[:, None]
    text = header_file(tmp_path, net, jacobian=False)
    got = export_c_check.run(net, text, "net", False, x, [COMPILERS[0]], str(tmp_path))
    assert export_c_check.compared(got, export_c_check.expected(net, x, False)) == (True, 0.0)


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    "flags", ["-O0", "-O2 -std=c11", "-O3 -march=native", "-Os -std=gnu17 -ffp-contract=fast"]
)
def test_no_option_changes_the_bits(tmp_path, dtype, monkeypatch, compiler, flags):
    if not FUSED:
        pytest.skip("this machine has no fused multiply-add")
    monkeypatch.setenv("CC", f"{compiler} {STRICT} {flags}")
    kinds = ["tanh", "gelu", "softplus", "elu", "softmax"]
    net = random_net([3, 6, 6, 6, 6, 4], kinds, dtype)
    verification = net.to_c(tmp_path / "net.h", jacobian=True)
    assert verification.same_bits, str(verification)


# A compiler for another machine whose programs run here all the same.
CROSS = """#!/bin/sh
words=""
for word; do [ "$word" = -mfma ] || words="$words $word"; out="$word"; done
aarch64-linux-gnu-gcc -static $words && mv "$out" "$out.arm" &&
printf '#!/bin/sh\\nexec qemu-aarch64 "%s" "$@"\\n' "$out.arm" >"$out" && chmod +x "$out"
"""


@needs_fma
@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")),
    reason="needs aarch64-linux-gnu-gcc and qemu-aarch64 (gcc-aarch64-linux-gnu, qemu-user)",
)
def test_64_bit_arm_has_our_bits(tmp_path, dtype, monkeypatch):
    script = tmp_path / "cc"
    script.write_text(CROSS)
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    names = [name for name in _core.ACTIVATIONS if name != "softmax"]
    net = random_net([5] * (len(names) + 1) + [4], [*names, "softmax"], dtype)
    verification = net.to_c(tmp_path / "net.h", jacobian=True)
    assert verification.same_bits, str(verification)


@needs_compiler
def test_two_nets_fit_into_one_program(tmp_path):
    for name, kind in (("first", "tanh"), ("second", "gelu")):
        header_file(tmp_path, random_net([2, 3, 1], [kind, "softmax"]), name)
    (tmp_path / "both.c").write_text(
        '#include "first.h"\n#include "second.h"\n#include "first.h"\n'
        "int main(void) {\n    const float x[2] = {0.5f, -1.0f};\n    float y[2], dy_dx[2];\n"
        "    first_forward(x, y);\n    second_jacobian(x, y + 1, dy_dx);\n"
        "    return !(y[0] == 1.0f && y[1] == 1.0f);\n}\n"
    )
    command = [COMPILERS[0], "-std=c99", *STRICT.split(), "both.c", "-o", "both"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "both"], check=True)


@needs_compiler
@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast"])
def test_options_that_break_it_are_refused(tmp_path, monkeypatch, flag):
    monkeypatch.setenv("CC", f"{COMPILERS[0]} {flag}")
    verification = mlpcore.MLP([1, 1], ["tanh"], seed=0).to_c(tmp_path / "net.h")
    assert not verification.same_bits
    assert "without -ffast-math" in verification.reason


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    verification = mlpcore.MLP([2, 1], seed=0).to_c(tmp_path / "net.h")
    assert str(verification) == "Not verified: no C compiler was found."
    assert verification.compiler is None
    assert str(verification) in (tmp_path / "net.h").read_text()


@needs_compiler
def test_a_header_that_is_wrong_is_not_written(tmp_path, monkeypatch):
    wrong = export_c_math.FUNCTIONS["tanh_finish"].replace("C(0.5)", "C(0.49)")
    monkeypatch.setitem(export_c_math.FUNCTIONS, "tanh_finish", wrong)
    with pytest.raises(RuntimeError, match=r"a relative error of .* it is not written"):
        mlpcore.MLP([2, 3, 1], ["tanh", "tanh"], seed=0).to_c(tmp_path / "net.h")
    assert os.listdir(tmp_path) == []


@needs_compiler
@needs_fma
def test_a_fused_multiply_add_may_be_given(tmp_path, monkeypatch):
    if not X86_64:
        pytest.skip("other machines have no option to go without")
    monkeypatch.setenv(
        "CC", f"{COMPILERS[0]} -mno-fma -DNET_FMA=fma -include math.h -Wl,--no-as-needed -lm"
    )
    net = random_net([2, 30, 1], ["tanh", "identity"], "float64")
    assert net.to_c(tmp_path / "net.h").same_bits


def test_the_math_is_that_of_the_kernels(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import scalar_c

    scalar_c.main()
    printed = {}
    exec(capsys.readouterr().out, printed)
    for name in ("CONSTANTS", "TABLES", "FUNCTIONS"):
        assert printed[name] == getattr(export_c_math, name), "run tools/scalar_c.py"


def test_numbers_are_written_to_the_bit(dtype):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 2000, np.uint64).view(np.float64)
    values = bits[np.isfinite(bits)]
    if dtype == "float32":
        bits = rng.integers(0, 2**32, 2000, np.uint32).view(np.float32)
        values = bits[np.isfinite(bits)]
    values = np.concatenate([values, np.array([0.0, -0.0, 1.0, -2.5, 1e6, 123456.0], dtype)])
    for value in values.tolist():
        text = export_c.literal(value, dtype == "float32").rstrip("f")
        back = float.fromhex(text) if "x" in text else float(text)
        assert np.array(back).tobytes() == np.array(value).tobytes(), text


@pytest.mark.parametrize("name", ["", "1st", "_net", "a b", "é", "a-b", "x;"])
def test_a_name_that_is_no_identifier_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name: expected an identifier"):
        mlpcore.MLP([2, 1]).to_c(tmp_path / "net.h", name=name)
    with pytest.raises(TypeError, match="name: expected an identifier"):
        mlpcore.MLP([2, 1]).to_c(tmp_path / "net.h", name=3)


def test_parameters_that_are_not_finite_are_refused(tmp_path):
    net = mlpcore.MLP([2, 3, 1], seed=0)
    net.biases[1][0] = np.nan
    with pytest.raises(ValueError, match="layer 1: expected finite parameters"):
        net.to_c(tmp_path / "net.h")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing/net\.h"):
        mlpcore.MLP([2, 1], seed=0).to_c(tmp_path / "missing" / "net.h")


def test_importing_mlpcore_starts_no_compiler():
    code = "import sys, mlpcore; print({'subprocess', 'mlpcore.export_c'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
