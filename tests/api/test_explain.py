# SPDX-License-Identifier: BSD-3-Clause
"""explain: the tables are read back, and their formulas evaluated against chain."""

import math
import re
import shutil
import subprocess

import numpy as np
import pytest

import mlpcore
from mlpcore import _core, losses

HIDDEN = tuple(name for name in _core.ACTIVATIONS if name != "softmax")
PAIRS = [
    (losses.MSE(), "identity"),
    (losses.MSE("sum"), "relu"),
    (losses.L1("batch_mean"), "tanh"),
    (losses.Huber(0.3), "identity"),
    (losses.LogCosh(), "elu"),
    (losses.Quantile(0.2), "identity"),
    (losses.BCE(), "sigmoid"),
    (losses.BCE("sum"), "softmax"),
    (losses.BCEWithLogits(), "identity"),
    (losses.CrossEntropy(), "identity"),
    (losses.CrossEntropy(), "softmax"),
    (losses.CrossEntropy(from_logits=False, reduction="sum"), "sigmoid"),
    (losses.Poisson(), "identity"),
]


def make_net(depth, output="identity", hidden="tanh", bias=True):
    sizes = [*(3, 5, 4, 6)[:depth], 2]
    activations = [hidden] * (depth - 1) + [output]
    net = mlpcore.MLP(sizes, activations, dtype="float64", seed=depth, bias=bias)
    net.parameters[:] = np.random.default_rng(depth).normal(0.0, 0.6, net.n_parameters)
    return net


def tables(text):
    """Of each table its rows, as lists of cells; the header is the first."""
    parts = text.split("\n\n")
    return [
        [re.split(r" {2,}", line) for line in part.splitlines()[2:]]
        for part in parts
        if "\n---" in part
    ]


# ---- what stands in the tables ------------------------------------------------------------------


def test_tables_of_a_two_layer_net():
    net = mlpcore.MLP([2, 20, 5], activations=["relu", "identity"])
    forward, gradients, local = tables(net.explain("mse"))
    assert forward == [
        ["layer", "input", "output", "shape"],
        ["linear 1", "x", "z1 = W1 @ x + b1", "(N, 20)"],
        ["relu", "z1", "z2 = max(0, z1)", "(N, 20)"],
        ["linear 2", "z2", "z3 = W2 @ z2 + b2", "(N, 5)"],
        ["identity", "z3", "y_hat = z3", "(N, 5)"],
        ["mse", "y_hat, y", "l = sum((y_hat - y)^2) / (5 N)", "scalar"],
    ]
    assert gradients == [
        ["derivative", "by the chain rule", "is", "array for a batch", "shape"],
        ["dl/dz3", "dl/dy_hat @ dy_hat/dz3", "1 x 5", "a row for each sample", "(N, 5)"],
        ["dl/dW2", "z2 @ dl/dz3", "20 x 5", "sum of (dl/dz3)^T @ z2^T", "(5, 20)"],
        ["dl/db2", "dl/dz3", "1 x 5", "sum of (dl/dz3)^T", "(5,)"],
        ["dl/dz1", "dl/dz3 @ dz3/dz2 @ dz2/dz1", "1 x 20", "a row for each sample", "(N, 20)"],
        ["dl/dW1", "x @ dl/dz1", "2 x 20", "sum of (dl/dz1)^T @ x^T", "(20, 2)"],
        ["dl/db1", "dl/dz1", "1 x 20", "sum of (dl/dz1)^T", "(20,)"],
        ["dl/dx", "dl/dz1 @ dz1/dx", "1 x 2", "a row for each sample", "(N, 2)"],
    ]
    assert local == [
        ["derivative", "formula", "shape"],
        ["dl/dy_hat", "2 (y_hat - y)^T / (5 N)", "1 x 5"],
        ["dy_hat/dz3", "I_5", "5 x 5"],
        ["dz3/dz2", "W2", "5 x 20"],
        ["dz2/dz1", "diag(1 where z1 > 0, else 0)", "20 x 20"],
        ["dz1/dx", "W1", "20 x 2"],
        ["dl/dy", "-2 (y_hat - y)^T / (5 N)", "1 x 5"],
    ]


def test_squared_norm_and_binary_cross_entropy():
    net = mlpcore.MLP([2, 20, 5], activations=["relu", "sigmoid"])
    squared = net.explain(losses.MSE("sum"))
    assert "l = sum((y_hat - y)^2)  " in squared
    assert "dl/dy_hat   2 (y_hat - y)^T  " in squared
    text = net.explain(losses.BCE("mean"))
    assert "-(y / y_hat - (1 - y) / (1 - y_hat))^T / (5 N)" in text
    assert "dy_hat/dz3  diag(y_hat * (1 - y_hat))" in text


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_tables_agree_with_chain(depth, bias):
    net = make_net(depth, "softmax", bias=bias)
    rng = np.random.default_rng(0)
    chain = net.chain(rng.normal(size=(7, 3)), rng.normal(size=(7, 2)), "mse")
    forward, gradients, local = tables(net.explain("mse"))
    assert len(forward) == 2 * depth + 2
    for _, _, equation, shape in forward[1:-1]:
        assert str(chain[equation.split(" = ")[0]].shape).replace("7", "N") == shape
    for key, _, _, _, shape in gradients[1:]:
        assert str(chain[key].shape).replace("7", "N") == shape
    by_parameter = {f"dl/d{p}{i + 1}" for i in range(depth) for p in ("Wb" if bias else "W")}
    assert {row[0] for row in gradients[1:]} >= by_parameter | {"dl/dx"}
    assert [row[0] for row in local[1:]] == [
        key for key in chain if "/" in key and (not key.startswith("dl/") or "y" in key)
    ]
    for key, _, shape in local[1:]:
        assert " x ".join(map(str, chain.jacobian(key).shape[1:])) == shape


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_products_have_the_right_order_and_transposes(depth):
    net = make_net(depth, "softmax")
    chain = net.chain(np.linspace(-1.0, 1.0, 3), [0.3, 0.7], losses.MSE("sum"))

    def factor(name):
        if name.endswith("^T"):
            return factor(name[:-2].strip("()")).T
        return chain.jacobian(name) if "/" in name else chain[name][:, None]

    def product(text):
        result = factor(text.split(" @ ")[0])
        for name in text.split(" @ ")[1:]:
            result = result @ factor(name)
        return result

    for key, by_chain_rule, shape, array, _ in tables(net.explain(losses.MSE("sum")))[1][1:]:
        derivative = product(by_chain_rule)
        assert " x ".join(map(str, derivative.shape)) == shape
        want = np.atleast_2d(chain[key])
        assert np.allclose(derivative, want.T if "W" in key else want)
        if array.startswith("sum of "):
            assert np.allclose(
                product(array.removeprefix("sum of ")).reshape(chain[key].shape), chain[key]
            )


# ---- formulas -----------------------------------------------------------------------------------

FUNCTIONS = {
    "diag": np.diagflat,
    "max": np.maximum,
    "min": np.minimum,
    "Phi": np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2.0))),
    "phi": lambda z: np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.sum(np.exp(z)),
    **{
        name: getattr(np, name)
        for name in ("exp", "log", "cosh", "tanh", "sign", "clip", "abs", "sum", "where", "eye")
    },
}


def evaluate(text, values):
    """The value of a formula, whose vectors are columns."""
    text = text.split(" = ")[-1]
    text = re.sub(r"\bI_(\d+)", r"eye(\1)", text)
    text = re.sub(r"\|([^|]+)\|", r"abs(\1)", text)
    text = re.sub(r"sum\((.+) where (.+), else (.+)\) /", r"sum(where(\2, \1, \3)) /", text)
    text = re.sub(r"(\d) where ([^,()]+), else ([\d.]+)", r"where(\2, \1, \3)", text)
    text = text.replace("^T", ".T").replace("^2", "**2")
    text = re.sub(r"(?<=[\d)]) (?=\(|y_hat|z\d|softmax|abs|N)", " * ", text)
    return eval(text, {**FUNCTIONS, "N": 1}, values)


@pytest.mark.parametrize(
    ("loss", "output", "hidden", "n_outputs"),
    [(loss, output, "tanh", 2) for loss, output in PAIRS]
    + [(loss, output, "tanh", 1) for loss, output in PAIRS if output != "softmax"]
    + [(losses.MSE(), output, output, 2) for output in HIDDEN],
    ids=repr,
)
def test_formulas_give_the_numbers_of_chain(loss, output, hidden, n_outputs):
    net = mlpcore.MLP([3, 5, n_outputs], [hidden, output], dtype="float64", seed=0)
    net.parameters[:] = np.random.default_rng(0).normal(0.0, 0.6, net.n_parameters)
    x, y = np.array([0.4, -1.1, 0.7]), np.array([0.3, 0.7])[:n_outputs]
    chain = net.chain(x, y, loss)
    values = {name: chain[name][:, None] for name in ("x", "z1", "z2", "z3", "y_hat")}
    values |= {"y": y[:, None]}
    for i in (1, 2):
        values |= {f"W{i}": net.weights[i - 1], f"b{i}": net.biases[i - 1][:, None]}
    forward, _, local = tables(net.explain(loss))
    for _, _, equation, _ in forward[1:]:
        name = equation.split(" = ")[0]
        assert np.allclose(np.ravel(evaluate(equation, values)), chain[name]), equation
    for key, formula, _ in local[1:]:
        assert np.allclose(evaluate(formula, values), chain.jacobian(key)), (key, formula)


# ---- notes --------------------------------------------------------------------------------------


def unwrapped(text):
    return " ".join(text.split())


def test_fused_pairs_are_told():
    sigmoid, softmax = (
        unwrapped(mlpcore.MLP([2, 3, 4], ["relu", output]).explain(loss))
        for output, loss in (("sigmoid", "bce"), ("softmax", "cross_entropy"))
    )
    assert "sigmoid and bce are one step, taken from z3: dl/dz3 = (y_hat - y)^T / (4 N)." in sigmoid
    assert (
        "softmax and cross_entropy are one step, taken from z3: dl/dz3 = (y_hat - y)^T / N"
        in softmax
    )
    for loss, output in PAIRS:
        text = unwrapped(make_net(2, output).explain(loss))
        is_fused = (loss.name, output) in {("bce", "sigmoid"), ("cross_entropy", "softmax")}
        assert ("are one step" in text) is is_fused


@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_table_names_the_loss_as_every_function_takes_it(loss, output):
    name = tables(make_net(2, output).explain(loss))[0][-1][0]
    assert name == loss.name
    assert losses.NAMED[name].name == name


def test_conventions_are_told():
    text = unwrapped(mlpcore.MLP([2, 3, 4], ["relu", "identity"]).explain("l1"))
    assert "The derivative of relu at 0 is 0" in text
    assert "The derivative at y_hat = y is 0" in text
    assert "100" in mlpcore.MLP([2, 3, 4], ["relu", "sigmoid"]).explain("bce")


def test_callable_loss():
    text = make_net(2).explain(lambda y_hat, y: (0.0, y_hat))
    forward, _, local = tables(text)
    assert forward[-1][1:] == ["y_hat, y", "l = f(y_hat, y)", "scalar"]
    assert local[1] == ["dl/dy_hat", "as f returns it", "1 x 2"]
    assert local[-1][0] == "dz1/dx"


# ---- the formats --------------------------------------------------------------------------------

EVERYTHING = [
    (hidden, output, loss)
    for (loss, output), hidden in zip(PAIRS, (HIDDEN * 2)[: len(PAIRS)], strict=True)
] + [("tanh", "identity", lambda y_hat, y: (0.0, y_hat))]


@pytest.mark.parametrize(("hidden", "output", "loss"), EVERYTHING)
def test_text_is_plain(hidden, output, loss):
    text = make_net(3, output, hidden).explain(loss)
    assert text.isascii()
    assert text.endswith("\n")
    assert "$" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


@pytest.mark.parametrize(("hidden", "output", "loss"), EVERYTHING)
def test_markdown_tables_are_valid(hidden, output, loss):
    net = make_net(3, output, hidden)
    text = net.explain(loss, format="markdown")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    n_columns = 0
    for line in rows:
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        if set(line) <= set("|- "):
            assert len(cells) == n_columns
        elif cells[0].strip() in ("layer", "derivative"):
            n_columns = len(cells)
        assert len(cells) == n_columns
        assert all(cell.count("`") in (0, 2) for cell in cells)
    n_rows = sum(len(table) + 1 for table in tables(net.explain(loss)))
    assert len(rows) == n_rows
    assert text.count("### ") == 3


@pytest.mark.parametrize(("hidden", "output", "loss"), EVERYTHING)
def test_latex_is_balanced(hidden, output, loss):
    net = make_net(3, output, hidden)
    text = net.explain(loss, format="latex")
    assert text.isascii()
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    assert text.count(r"\left") - text.count(r"\leftarrow") == text.count(r"\right")
    begun, ended = (re.findall(rf"\\{word}\{{(\w+)\}}", text) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    assert set(begun) <= {"tabular", "itemize", "cases"}
    # Outside of formulas an underscore would have to be escaped.
    assert not re.search(r"(?<!\\)_", re.sub(r"\$[^$]*\$", "", text))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path):
    parts = [
        make_net(3, output, hidden).explain(loss, format="latex")
        for hidden, output, loss in EVERYTHING
    ]
    head = "\\documentclass{article}\\usepackage{amsmath}\\begin{document}\n"
    document = head + "\n\\newpage\n".join(parts) + "\\end{document}\n"
    (tmp_path / "explain.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "explain.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_bad_arguments():
    net = mlpcore.MLP([2, 3, 1])
    with pytest.raises(ValueError, match=r"format: expected one of .*'latex'.*got 'html'"):
        net.explain("mse", format="html")
    with pytest.raises(TypeError, match="format"):
        net.explain("mse", format=None)
    with pytest.raises(ValueError, match="loss: "):
        net.explain("bce")
    with pytest.raises(ValueError, match="loss: "):
        net.explain("no such loss")
