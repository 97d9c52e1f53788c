# SPDX-License-Identifier: BSD-3-Clause
"""Weights of PyTorch without PyTorch: state_dicts, and safetensors files of these."""

import sys

import numpy as np
import pytest

import mlpcore
from mlpcore import _safetensors


class Tensor:
    """What is asked of a tensor, in the order in which torch wants it to be asked."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return Detached(self.array)


class Detached(Tensor):
    def cpu(self):
        return OnCpu(self.array)


class OnCpu(Detached):
    def numpy(self):
        return self.array


def state_dict(net, name="{}"):
    """As that of a Sequential with an activation after each Linear."""
    found = {}
    for l, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        found[f"{name.format(2 * l)}.weight"] = weight.copy()
        if bias is not None:
            found[f"{name.format(2 * l)}.bias"] = bias.copy()
    return found


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize("bias", [True, False])
def test_arrays_and_tensors_come_over(dtype, bias):
    net = mlpcore.MLP([3, 4, 5, 2], ["relu", "elu", "tanh"], dtype=dtype, bias=bias, seed=0)
    arrays = state_dict(net)
    assert mlpcore.MLP.from_torch(arrays, net.activations) == net
    tensors = {key: Tensor(array) for key, array in arrays.items()}
    assert mlpcore.MLP.from_torch(tensors, net.activations) == net


def test_numbers_in_names_are_the_order(tmp_path):
    net = mlpcore.MLP([4] * 13, "relu", seed=0)  # 10.weight comes before 2.weight as text
    path = tmp_path / "net.safetensors"
    _safetensors.write(path, state_dict(net, "module.net.{}"), {"format": "pt"})
    assert mlpcore.MLP.from_torch(path, "relu") == net
    _, arrays = _safetensors.read(path)
    assert list(arrays) != list(state_dict(net, "module.net.{}"))
    assert mlpcore.MLP.from_torch(arrays, "relu") == net


def test_other_names_keep_the_order_of_a_dict():
    first, second = np.ones((3, 2)), np.full((1, 3), 2.0)
    net = mlpcore.MLP.from_torch({"input.weight": first, "final.weight": second}, "relu")
    assert net.sizes == (2, 3, 1)


def test_other_names_in_a_file_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    arrays = {"input.weight": np.ones((3, 3)), "final.weight": np.ones((3, 3))}
    _safetensors.write(path, arrays, {})
    with pytest.raises(ValueError, match="do not tell the order of the layers"):
        mlpcore.MLP.from_torch(path, "relu")


def test_a_file_of_ours_is_one_of_these(tmp_path):
    net = mlpcore.MLP([2, 3, 1], "tanh", seed=0)
    mlpcore.save(net, tmp_path / "net.safetensors")
    assert mlpcore.MLP.from_torch(tmp_path / "net.safetensors", "tanh") == net


def test_a_bare_linear_has_no_name():
    net = mlpcore.MLP.from_torch({"weight": np.ones((2, 3)), "bias": np.zeros(2)}, ["tanh"])
    assert net.sizes == (3, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "expected the weight of one layer at least"),
        ({"0.weight": np.ones((2, 2)), "log_std": np.ones(2)}, "log_std: expected names that end"),
        ({"0.weight": np.ones((2, 2)), "1.bias": np.ones(2)}, r"1\.bias: there is no 1\.weight"),
        ({"0.weight": np.ones((2, 2, 1, 1))}, "0: expected a matrix"),
        ({"0.weight": np.ones((2, 2)), "1.weight": np.ones(2)}, "1: expected a matrix"),
        ({"0.weight": np.ones((2, 2)), "1.weight": np.ones((1, 3))}, "1: expected 2 inputs"),
        ({"0.weight": np.ones((2, 2)), "0.bias": np.ones(3)}, "0: expected a bias of shape"),
    ],
)
def test_what_does_not_fit_is_named(arrays, message):
    with pytest.raises(ValueError, match=message):
        mlpcore.MLP.from_torch(arrays, "relu")


def test_other_objects_are_refused():
    for source in (None, 3, [np.ones((2, 2))]):
        with pytest.raises(TypeError, match="source: expected a torch"):
            mlpcore.MLP.from_torch(source, "relu")
    with pytest.raises(TypeError, match="0: expected a tensor or an array"):
        mlpcore.MLP.from_torch({"0.weight": [[1.0]]}, "relu")
    with pytest.raises(ValueError, match="activations: expected a name"):
        mlpcore.MLP.from_torch({"0.weight": np.ones((1, 1))})
    with pytest.raises(FileNotFoundError):
        mlpcore.MLP.from_torch("missing.safetensors", "relu")


def test_the_way_there_needs_torch():
    with pytest.raises(ImportError, match="to_torch needs torch"):
        mlpcore.MLP([2, 1]).to_torch()
