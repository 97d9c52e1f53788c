# SPDX-License-Identifier: BSD-3-Clause
"""Weights as Keras lists them, both ways."""

import numpy as np
import pytest

import mlpcore
from mlpcore import _core


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("output", list(_core.ACTIVATIONS))
def test_round_trip_to_the_bit(dtype, output, bias):
    names = ["silu", "relu", output]
    net = mlpcore.MLP([3, 5, 1, 2], names, dtype=dtype, bias=bias, seed=0)
    arrays = net.to_keras_weights()
    assert mlpcore.MLP.from_keras_weights(arrays, names) == net
    assert mlpcore.convert.from_keras_weights(tuple(arrays), names) == net


def test_layout_is_that_of_dense_layers(dtype):
    net = mlpcore.MLP([3, 4, 2], "tanh", dtype=dtype, seed=0)
    net.parameters[:] = np.linspace(-1, 1, net.n_parameters)
    kernel, bias, last_kernel, last_bias = net.to_keras_weights()
    x = np.array([[0.5, -1.0, 2.0]])
    want = np.tanh(x @ kernel.astype(float) + bias) @ last_kernel + last_bias
    np.testing.assert_allclose(net(x), want, rtol=1e-6)


@pytest.mark.parametrize("library", ["keras_weights", "onnx", "sklearn", "torch"])
def test_what_is_no_net_is_not_converted(library):
    convert = getattr(mlpcore.convert, f"to_{library}")
    with pytest.raises(TypeError, match=r"^net: expected an MLP, got 'net'"):
        convert("net", *(["net.onnx"] if library == "onnx" else []))


def test_arrays_are_copies():
    net = mlpcore.MLP([2, 3, 1], seed=0)
    before = net.copy()
    for array in net.to_keras_weights():
        array[:] = 7.0
        assert array.flags.c_contiguous
    assert net == before


def test_a_subclass_makes_its_own():
    class Special(mlpcore.MLP):
        def __init__(self):
            raise AssertionError("a conversion does not call another constructor")

    arrays = mlpcore.MLP([2, 1], seed=0).to_keras_weights()
    assert type(Special.from_keras_weights(arrays, ["tanh"])) is Special


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("arrays", "activations", "message"),
    [
        ([], "relu", "arrays: expected the kernel of one layer"),
        ([ones(3)], "relu", r"arrays\[0\]: expected a kernel"),
        ([ones(2, 3), ones(3), ones(3)], "relu", r"arrays\[2\]: expected a kernel"),
        ([ones(3, 3, 2, 1)], "relu", r"arrays\[0\]: expected a kernel"),
        ([ones(2, 3), ones(2)], "relu", r"arrays\[0\]: expected a bias of shape \(3,\)"),
        ([ones(2, 3), ones(4, 1)], "relu", r"arrays\[1\]: expected 3 inputs, the outputs of ar"),
        ([ones(2, 3), ones(3), ones(3, 1)], "relu", r"arrays\[2\]: it has no bias and arrays\[0\]"),
        ([ones(2, 3), ones(3, 1), ones(1)], "relu", r"arrays\[1\]: it has a bias and arrays\[0\]"),
        (
            [ones(2, 3), ones(3, 1, dtype=float)],
            "relu",
            r"arrays\[1\]: expected weights of",
        ),
        ([ones(2, 3), ones(3, dtype=float)], "relu", r"arrays\[0\]: expected a bias of shape"),
        ([ones(2, 3, dtype="float16")], "relu", r"arrays\[0\]: expected weights of float32 or"),
        ([ones(2, 3, dtype=int)], "relu", r"arrays\[0\]: expected weights of float32 or"),
        ([ones(2, 3), [[1.0], [2.0, 3.0]]], "relu", r"arrays\[1\]: expected an array, got"),
        ([ones(0, 3)], "relu", r"arrays\[0\]: expected a matrix"),
        ([ones(2, 3)], "linear", "activations: expected one of 'identity'"),
        ([ones(2, 3)], ["relu", "relu"], "activations: expected 1 name"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arrays, activations, message):
    with pytest.raises(ValueError, match=message):
        mlpcore.MLP.from_keras_weights(arrays, activations)


@pytest.mark.parametrize("arrays", [None, 3, "kernel", np.ones((2, 3))])
def test_what_is_no_list_is_refused(arrays):
    with pytest.raises(TypeError, match="arrays: expected a list of arrays"):
        mlpcore.MLP.from_keras_weights(arrays, "relu")
