# SPDX-License-Identifier: BSD-3-Clause
"""To and from ONNX, by the onnx package.

Written are Gemm and activations of opset 20, the first with an exact GELU. Read are chains of Gemm,
or MatMul and Add, and activations, of any opset.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import as_path, received
from .._optional import library
from .._replace import replace_file
from .._validation import as_network
from ..mlp import MLP
from ._layers import Dense, Net, found_activations, net_of

if TYPE_CHECKING:
    from .._core import Array

OPSET = 20
IR_VERSION = 9  # that of the onnx release that brought this opset

# Our activations: ONNX's operator, and the attributes with which it is the same function.
_OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "softplus": ("Softplus", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "softmax": ("Softmax", {"axis": -1}),
}
_NAMES = {operator: name for name, (operator, _) in _OPERATORS.items()}
_NOTHING = ("Identity", "Dropout")
_DEFAULTS: dict[str, dict[str, Any]] = {  # of attributes that a node may leave out
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
    "LeakyRelu": {"alpha": 0.01},
    "Elu": {"alpha": 1.0},
    "Gelu": {"approximate": "none"},
    "Softmax": {"axis": -1},
    "Swish": {"alpha": 1.0},
}


def to_onnx(net: MLP, path: str | os.PathLike[str]) -> None:
    """As `MLP.to_onnx`."""
    as_network(net)
    onnx = library("onnx", "to_onnx")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    dtype = helper.np_dtype_to_tensor_dtype(net.dtype)
    nodes, initializers = [], []
    source = "x"
    for l, (weight, bias, name) in enumerate(
        zip(net.weights, net.biases, net.activations, strict=True)
    ):
        arrays = {f"layers.{l}.weight": weight} | (
            {f"layers.{l}.bias": bias} if net.has_bias else {}
        )
        initializers += [from_array(np.array(array), key) for key, array in arrays.items()]
        target = "y" if l == len(net.weights) - 1 else f"layers.{l}.output"
        z = target if name == "identity" else f"layers.{l}.pre_activation"
        nodes.append(helper.make_node("Gemm", [source, *arrays], [z], f"layers.{l}", transB=1))
        if name == "silu":
            gate = f"layers.{l}.gate"
            nodes.append(helper.make_node("Sigmoid", [z], [gate], f"layers.{l}.sigmoid"))
            nodes.append(helper.make_node("Mul", [z, gate], [target], f"layers.{l}.silu"))
        elif name != "identity":
            operator, attributes = _OPERATORS[name]
            node = helper.make_node(operator, [z], [target], f"layers.{l}.{name}", **attributes)
            nodes.append(node)
        source = target
    ends = [
        helper.make_tensor_value_info(key, dtype, ["n_samples", size])
        for key, size in (("x", net.sizes[0]), ("y", net.sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "mlpcore", ends[:1], ends[1:], initializers)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mlpcore",
    )
    onnx.checker.check_model(model)
    replace_file(path, [model.SerializeToString(deterministic=True)])


def from_onnx(
    path: str | os.PathLike[str],
    cls: type[Net] = MLP,  # type: ignore[assignment]  # the default of a type variable
) -> Net:
    """As `MLP.from_onnx`; `cls` is the class of the net."""
    name = as_path(path)
    onnx = library("onnx", "from_onnx")
    with open(name, "rb"):  # a missing file is an OSError of Python
        pass
    try:
        model = onnx.load(name)
        onnx.checker.check_model(model)
    except Exception as error:  # of protobuf, or of onnx, which has several
        raise ValueError(f"{name}: no ONNX model that can be read: {error}") from None
    graph = _Graph(onnx, model.graph)
    return net_of(cls, *graph.layers())


class _Graph:
    """A graph that has to be a chain of layers."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        to_array = onnx.numpy_helper.to_array
        self.constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = to_array(tensor)
        self.nodes = []
        for node in graph.node:
            # In another domain, the name of an operator can mean anything.
            if node.domain not in ("", "ai.onnx"):
                raise ValueError(
                    f"{node.name or node.op_type}: expected an operator of ONNX's own, got one of "
                    f"the domain {node.domain!r}"
                )
            if node.op_type != "Constant":
                self.nodes.append(node)
            elif node.attribute[0].name == "value":
                self.constants[node.output[0]] = to_array(node.attribute[0].t)
            else:
                raise ValueError(
                    f"{node.output[0]}: expected a Constant with a tensor as its value, got "
                    f"{node.attribute[0].name}"
                )
        self.inputs = [value.name for value in graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in graph.output]
        self.attribute = onnx.helper.get_attribute_value

    def layers(self) -> tuple[list[Dense], list[str]]:
        """The layers and their activations, in order."""
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise ValueError(
                f"expected a graph with one input and one output, got {self.inputs} and "
                f"{self.outputs}"
            )
        layers: list[Dense] = []
        activations: list[str | None] = []
        value, position = self.inputs[0], 0
        while position < len(self.nodes):
            node = self.nodes[position]
            where = node.name or f"{node.op_type} node {position}"
            position += 1
            name = self._silu(value, node, position)
            if name:
                node = self.nodes[position]
                position += 1
            elif value not in node.input[:2]:
                raise ValueError(f"{where}: expected {value}, the output before it, as its input")
            elif node.op_type in ("Gemm", "MatMul"):
                layers.append(self._dense(where, node, value))
                activations.append(None)
            elif node.op_type == "Add" and layers and activations[-1] is None:
                layers[-1] = self._with_bias(where, node, layers[-1], value)
            elif node.op_type not in _NOTHING:
                name = self._activation(where, node)
            if name:
                if not activations or activations[-1] is not None:
                    raise ValueError(f"{where}: expected a layer before each activation")
                activations[-1] = name
            value = node.output[0]
        if value != self.outputs[0]:
            raise ValueError(f"{self.outputs[0]}: expected the output of the last node, {value}")
        if not layers:
            raise ValueError("expected one Gemm or MatMul at least, got none")
        return layers, found_activations(layers, activations)

    def _attributes(self, node: Any) -> dict[str, Any]:
        found = {item.name: self.attribute(item) for item in node.attribute}
        texts = {key: v.decode() if isinstance(v, bytes) else v for key, v in found.items()}
        return _DEFAULTS.get(node.op_type, {}) | texts

    def _constant(self, where: str, name: str) -> Array:
        if name not in self.constants:
            raise ValueError(f"{where}: expected a constant, got {name}")
        return self.constants[name]

    def _dense(self, where: str, node: Any, value: str) -> Dense:
        if node.input[0] != value:
            raise ValueError(f"{where}: expected the rows as its first input, got {node.input[0]}")
        weight = self._constant(where, node.input[1])
        if node.op_type == "MatMul":
            return Dense(where, weight.T, None)
        attributes = self._attributes(node)
        for name, wanted in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
            if attributes[name] != wanted:
                raise ValueError(f"{where}: expected {name}={wanted}, got {attributes[name]}")
        layer = Dense(where, weight if attributes["transB"] else weight.T, None)
        if len(node.input) > 2 and node.input[2]:
            bias = self._constant(where, node.input[2])
            return layer._replace(bias=_flat_bias(bias, layer))
        return layer

    def _with_bias(self, where: str, node: Any, layer: Dense, value: str) -> Dense:
        if layer.bias is not None:
            raise ValueError(f"{where}: {layer.name} has a bias already")
        (other,) = [name for name in node.input if name != value] or [value]
        return layer._replace(bias=_flat_bias(self._constant(where, other), layer))

    def _silu(self, value: str, node: Any, position: int) -> str | None:
        """Whether this node and the next are z sigmoid(z)."""
        if node.op_type != "Sigmoid" or position == len(self.nodes):
            return None
        after = self.nodes[position]
        both = sorted([value, node.output[0]])
        return "silu" if after.op_type == "Mul" and sorted(after.input) == both else None

    def _activation(self, where: str, node: Any) -> str:
        attributes = self._attributes(node)
        if node.op_type == "Swish" and attributes["alpha"] == 1.0:
            return "silu"
        if node.op_type not in _NAMES:
            raise ValueError(
                f"{where}: expected Gemm, MatMul, Add or one of {', '.join(_NAMES)}, got "
                f"{node.op_type}"
            )
        name = _NAMES[node.op_type]
        for attribute, wanted in _OPERATORS[name][1].items():
            found = attributes[attribute]
            if isinstance(wanted, float):  # an attribute is a float of 32 bits
                fits = math.isclose(found, wanted, rel_tol=1e-6)
            else:
                fits = found == wanted or (attribute, found) == ("axis", 1)
            if not fits:
                raise ValueError(f"{where}: expected {attribute}={wanted!r}, got {found!r}")
        return name


def _flat_bias(bias: Array, layer: Dense) -> Array:
    """A bias of one row, or of one number for each output, as ONNX broadcasts it."""
    n_outputs = layer.weight.shape[0] if layer.weight.ndim == 2 else 0
    if bias.shape not in ((n_outputs,), (1, n_outputs)):
        raise ValueError(
            f"{layer.name}: expected a bias of shape ({n_outputs},), got {received(bias)}"
        )
    return np.reshape(bias, n_outputs)
