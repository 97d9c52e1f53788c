# SPDX-License-Identifier: BSD-3-Clause
"""ONNX Runtime: the forward pass of a graph, which it optimises once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..cases import Array, Case
from .base import Peer, split

OPERATORS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "gelu": "Gelu",
    "softplus": "Softplus",
}
OPSET = 20  # the first with Gelu
IR_VERSION = 10


def graph(case: Case, parameters: Array) -> bytes:
    """The net as a serialised model."""
    nodes, constants, name = [], [], "x"
    layers = zip(split(parameters, case), case.activations, strict=True)
    for i, ((weight, bias), activation) in enumerate(layers):
        constants.append(numpy_helper.from_array(weight, f"weight{i}"))
        constants.append(numpy_helper.from_array(bias, f"bias{i}"))
        nodes.append(helper.make_node("Gemm", [name, f"weight{i}", f"bias{i}"], [f"z{i}"]))
        name = f"z{i}"
        if activation != "identity":
            nodes.append(helper.make_node(OPERATORS[activation], [name], [f"a{i}"]))
            name = f"a{i}"
    x, y = (
        helper.make_tensor_value_info(label, TensorProto.FLOAT, [case.batch_size, width])
        for label, width in (("x", case.sizes[0]), (name, case.sizes[-1]))
    )
    model = helper.make_model(
        helper.make_graph(nodes, case.name, [x], [y], constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    serialised: bytes = model.SerializeToString()
    return serialised


class OnnxruntimeNet(Peer):
    """`forward` binds input and output beforehand, `call` goes through `run`."""

    title = "ONNX Runtime"
    jobs = ("forward", "call")

    @classmethod
    def version(cls) -> str:
        return str(onnxruntime.__version__)

    def reset(self, parameters: Array, learning_rate: float) -> None:
        self._parameters = parameters
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            graph(self.case, parameters), options, providers=["CPUExecutionProvider"]
        )
        self.output_name = self.session.get_outputs()[0].name
        self.output = onnxruntime.OrtValue.ortvalue_from_numpy(
            np.empty((self.case.batch_size, self.case.sizes[-1]), np.float32)
        )

    def prepare(self, job: str, x: Array, y: NDArray[Any]) -> tuple[Any, ...]:
        if job == "call":
            return (x,)
        binding = self.session.io_binding()
        binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
        binding.bind_ortvalue_output(self.output_name, self.output)
        return (binding,)

    @property
    def parameters(self) -> Array:
        return self._parameters

    def forward(self, binding: Any) -> Any:
        self.session.run_with_iobinding(binding)
        return self.output

    def call(self, x: Array) -> Array:
        output: Array = self.session.run(None, {"x": x})[0]
        return output

    def as_output(self, result: Any) -> Array:
        return np.asarray(result.numpy() if isinstance(result, onnxruntime.OrtValue) else result)
