# SPDX-License-Identifier: BSD-3-Clause
"""To and from ONNX, by the onnx package; ONNX Runtime and ONNX's own evaluator compute the same."""

import sys

import numpy as np
import pytest
from tolerances import assert_close

import mlpcore
from mlpcore import _core

onnx = pytest.importorskip("onnx", reason="onnx is missing")
helper = onnx.helper

NAMES = list(_core.ACTIVATIONS)
TOLERANCE = 1e-6
# Of which ONNX Runtime has float32 alone.
SINGLE = ("leaky_relu", "elu", "gelu", "softplus")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def rows(n_inputs, dtype):
    return (3 * np.random.default_rng(0).standard_normal((64, n_inputs))).astype(dtype)


def net_of(name, dtype, bias=True):
    return mlpcore.MLP([3, 6, 5, 4], ["tanh", "identity", name], dtype=dtype, bias=bias, seed=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_to_the_bit(path, dtype, name, bias):
    net = net_of(name, dtype, bias)
    net.to_onnx(path)
    assert mlpcore.MLP.from_onnx(path) == net
    before = path.read_bytes()
    mlpcore.convert.to_onnx(net.copy(), path)
    assert path.read_bytes() == before
    assert mlpcore.convert.from_onnx(str(path)) == net


@pytest.mark.parametrize("name", NAMES)
def test_onnx_runtime_computes_the_same(path, dtype, name):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is missing")
    if dtype == "float64" and name in SINGLE:
        pytest.skip("ONNX Runtime has no such function of float64")
    net = net_of(name, dtype)
    net.to_onnx(path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = rows(3, dtype)
    (output,) = session.run(None, {"x": x})
    assert output.dtype == dtype
    assert_close(net(x), output, TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_s_own_evaluator_computes_the_same(path, dtype, name):
    from onnx.reference import ReferenceEvaluator

    net = net_of(name, dtype)
    net.to_onnx(path)
    x = rows(3, dtype)
    (output,) = ReferenceEvaluator(str(path)).run(None, {"x": x})
    assert_close(net(x), output, TOLERANCE)


def write(path, nodes, arrays, inputs=("x",), outputs=("y",), opset=20):
    """A model of these nodes; every value is float32 (N, 2)."""
    ends = [
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in names]
        for names in (inputs, outputs)
    ]
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "graph", *ends, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("another", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))


SQUARE = np.array([[1, 2], [3, 4]], np.float32)
BIAS = np.array([5, 6], np.float32)
MATMUL = helper.make_node("MatMul", ["x", "w"], ["z"], "matmul")
HIDDEN_SOFTMAX = [
    MATMUL,
    helper.make_node("Softmax", ["z"], ["s"]),
    helper.make_node("MatMul", ["s", "w"], ["y"]),
]


def test_matmul_and_add_are_a_layer(path):
    for add in (["z", "b"], ["b", "z"]):
        nodes = [
            MATMUL,
            helper.make_node("Add", add, ["s"]),
            helper.make_node("Relu", ["s"], ["t"]),
            helper.make_node("Identity", ["t"], ["y"]),
        ]
        write(path, nodes, {"w": SQUARE, "b": BIAS[None]})
        net = mlpcore.MLP.from_onnx(path)
        assert net.activations == ("relu",)
        np.testing.assert_array_equal(net([1.0, -2.0]), np.maximum([1 - 6 + 5, 2 - 8 + 6], 0))


def test_constants_may_be_nodes(path):
    constant = helper.make_node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(SQUARE))
    write(path, [constant, helper.make_node("MatMul", ["x", "w"], ["y"])], {})
    assert mlpcore.MLP.from_onnx(path).sizes == (2, 2)


def test_silu_is_found_in_its_two_nodes(path):
    gate = helper.make_node("Sigmoid", ["z"], ["g"])
    for order in (["z", "g"], ["g", "z"]):
        write(path, [MATMUL, gate, helper.make_node("Mul", order, ["y"])], {"w": SQUARE})
        assert mlpcore.MLP.from_onnx(path).activations == ("silu",)


@pytest.mark.filterwarnings("ignore")  # of an exporter that torch is about to replace
@pytest.mark.parametrize("name", NAMES)
def test_what_torch_exports_is_read(path, name):
    torch = pytest.importorskip("torch", reason="torch is missing")
    net = mlpcore.MLP([3, 6, 4], ["tanh", name], seed=0)
    row = torch.zeros(1, 3)
    torch.onnx.export(net.to_torch(), row, str(path), dynamo=False, opset_version=20)
    assert mlpcore.MLP.from_onnx(path) == net


def gemm(**attributes):
    return helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm", **attributes)


def after(operator, *inputs, **attributes):
    node = helper.make_node(operator, [*inputs] or ["z"], ["y"], "last", **attributes)
    return [MATMUL, node]


@pytest.mark.parametrize(
    ("nodes", "arrays", "message"),
    [
        ([gemm(alpha=2.0)], {"w": SQUARE, "b": BIAS}, "gemm: expected alpha=1.0, got 2.0"),
        ([gemm(beta=0.5)], {"w": SQUARE, "b": BIAS}, "gemm: expected beta=1.0"),
        ([gemm(transA=1)], {"w": SQUARE, "b": BIAS}, "gemm: expected transA=0"),
        ([gemm()], {"w": SQUARE, "b": BIAS[:1]}, r"gemm: expected a bias of shape \(2,\)"),
        (after("LeakyRelu", alpha=0.2), {"w": SQUARE}, "last: expected alpha=0.01, got 0.2"),
        (after("Elu", alpha=0.5), {"w": SQUARE}, "last: expected alpha=1.0, got 0.5"),
        (after("Gelu", approximate="tanh"), {"w": SQUARE}, "last: expected approximate='none'"),
        (after("Softmax", axis=0), {"w": SQUARE}, "last: expected axis=-1, got 0"),
        (after("Sin"), {"w": SQUARE}, "last: expected Gemm, MatMul, Add or .* got Sin"),
        (after("Mul", "z", "w"), {"w": SQUARE}, "last: expected Gemm, .* got Mul"),
        (after("Add", "z", "x"), {"w": SQUARE}, "last: expected a constant, got x"),
        (after("Add", "z", "z"), {"w": SQUARE}, "last: expected a constant, got z"),
        (after("MatMul", "w", "z"), {"w": SQUARE}, "last: expected the rows as its first input"),
        (HIDDEN_SOFTMAX, {"w": SQUARE}, "matmul: softmax is for the output layer alone"),
        (
            after("Relu", domain="another"),
            {"w": SQUARE},
            "last: expected an operator of ONNX's own",
        ),
        (
            [helper.make_node("Constant", [], ["c"], value_floats=[1.0]), *after("Add", "z", "c")],
            {"w": SQUARE},
            "c: expected a Constant with a tensor as its value, got value_floats",
        ),
        (after("Relu", "x"), {"w": SQUARE}, "last: expected z, the output before it"),
        ([helper.make_node("Relu", ["x"], ["y"])], {}, "Relu node 0: expected a layer before"),
        ([helper.make_node("Identity", ["x"], ["y"])], {}, "expected one Gemm or MatMul"),
    ],
)
def test_a_node_that_does_not_fit_is_named(path, nodes, arrays, message):
    write(path, nodes, arrays)
    with pytest.raises(ValueError, match=message):
        mlpcore.MLP.from_onnx(path)


def test_several_inputs_are_refused(path):
    node = helper.make_node("Add", ["x", "w"], ["y"])
    write(path, [node], {}, inputs=("x", "w"))
    with pytest.raises(ValueError, match="one input and one output"):
        mlpcore.MLP.from_onnx(path)


def test_what_is_no_model_is_refused(path):
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"net\.onnx: no ONNX model that can be read"):
        mlpcore.MLP.from_onnx(path)
    with pytest.raises(FileNotFoundError, match=r"missing\.onnx"):
        mlpcore.MLP.from_onnx(path.parent / "missing.onnx")
    with pytest.raises(FileNotFoundError, match=r"missing/net\.onnx"):
        mlpcore.MLP([2, 1]).to_onnx(path.parent / "missing" / "net.onnx")


def test_a_missing_library_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="to_onnx needs onnx"):
        mlpcore.MLP([2, 1]).to_onnx(path)
    with pytest.raises(ImportError, match="from_onnx needs onnx"):
        mlpcore.MLP.from_onnx(path)
