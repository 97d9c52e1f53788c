# SPDX-License-Identifier: BSD-3-Clause
"""To and from PyTorch; what needs no torch is in test_state_dict.py."""

import warnings

import numpy as np
import pytest
from tolerances import assert_close

import mlpcore
from mlpcore import _core

torch = pytest.importorskip("torch", reason="torch is missing")
nn = torch.nn

NAMES = list(_core.ACTIVATIONS)
TOLERANCE = 1e-6


def rows(n_inputs, dtype):
    return (3 * np.random.default_rng(0).standard_normal((64, n_inputs))).astype(dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_to_the_bit_and_the_same_function(dtype, name, bias):
    net = mlpcore.MLP([3, 6, 5, 4], ["tanh", "identity", name], dtype=dtype, bias=bias, seed=0)
    module = net.to_torch()
    assert mlpcore.MLP.from_torch(module) == net
    assert mlpcore.convert.from_torch(mlpcore.convert.to_torch(net)) == net
    assert mlpcore.MLP.from_torch(module.state_dict(), net.activations) == net
    x = rows(3, dtype)
    with torch.no_grad():
        output = module(torch.from_numpy(x)).numpy()
    assert output.dtype == dtype
    assert_close(net(x), output, TOLERANCE)


def test_gradients_are_torch_s_too():
    net = mlpcore.MLP([3, 6, 4], ["gelu", "identity"], dtype="float64", seed=0)
    module = net.to_torch()
    x = rows(3, "float64")
    tensor = torch.from_numpy(x).requires_grad_()
    module(tensor).sum().backward()
    gradients = net.vjp(x, np.ones((64, 4)))
    assert_close(gradients.inputs, tensor.grad.numpy(), TOLERANCE)
    assert_close(gradients.weights[0], module[0].weight.grad.numpy(), TOLERANCE)


def test_copies_are_independent_and_no_random_number_is_drawn():
    net = mlpcore.MLP([3, 4, 1], seed=0)
    before = net.copy()
    state = torch.random.get_rng_state()
    module = net.to_torch()
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert net == before
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_nested_sequential_with_dropout_comes_over():
    module = nn.Sequential(
        nn.Sequential(nn.Linear(3, 8), nn.Identity(), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(8, 8),
        nn.Sequential(nn.Sequential(nn.SiLU()), nn.Linear(8, 2), nn.Softmax(dim=1)),
    ).eval()
    net = mlpcore.MLP.from_torch(module)
    assert net.activations == ("relu", "silu", "softmax")
    x = rows(3, "float32")
    with torch.no_grad():
        assert_close(net(x), module(torch.from_numpy(x)).numpy(), TOLERANCE)


def test_a_module_in_several_places_runs_in_each_of_them():
    relu, linear = nn.ReLU(), nn.Linear(4, 4)
    module = nn.Sequential(nn.Linear(3, 4), relu, linear, relu, linear, nn.Linear(4, 2))
    net = mlpcore.MLP.from_torch(module)
    assert net.activations == ("relu", "relu", "identity", "identity")
    x = rows(3, "float32")
    with torch.no_grad():
        assert_close(net(x), module(torch.from_numpy(x)).numpy(), TOLERANCE)


def test_a_weight_that_is_made_anew_before_each_pass_is_refused():
    """The array that is there may be of the pass before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch is about to remove it
        normed = nn.utils.weight_norm(nn.Linear(3, 4))
    with pytest.raises(
        ValueError, match=r"^1: expected a module without forward hooks, got Linear"
    ):
        mlpcore.MLP.from_torch(nn.Sequential(nn.Linear(3, 3), normed))


def test_what_runs_after_the_whole_is_refused():
    module = nn.Sequential(nn.Linear(3, 4))
    handle = module.register_forward_hook(lambda module, rows, output: 2 * output)
    with pytest.raises(ValueError, match=r"^Sequential: expected a module without forward hooks"):
        mlpcore.MLP.from_torch(module)
    handle.remove()
    assert mlpcore.MLP.from_torch(module).sizes == (3, 4)


def test_a_class_of_the_same_name_is_not_torch_s():
    class Linear(nn.Linear):
        def forward(self, rows):
            return 2 * super().forward(rows)

    with pytest.raises(ValueError, match=r"^0: expected Linear, .* got \S+\.Linear;"):
        mlpcore.MLP.from_torch(nn.Sequential(Linear(3, 4)))


def test_one_linear_is_a_net():
    module = nn.Linear(3, 2, dtype=torch.float64)
    net = mlpcore.MLP.from_torch(module)
    assert (net.sizes, net.activations, net.dtype) == ((3, 2), ("identity",), "float64")
    np.testing.assert_array_equal(net.weights[0], module.weight.detach().numpy())


class Named(nn.Module):
    """Layers with names of their own, whose order only `forward` knows."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 4)
        self.output = nn.Linear(4, 1)

    def forward(self, x):
        return self.output(torch.tanh(self.hidden(x)))


def test_a_module_of_one_s_own_needs_activations():
    module = Named()
    with pytest.raises(ValueError, match=r"Named: .*give the state_dict and activations"):
        mlpcore.MLP.from_torch(module)
    for source in (module, module.state_dict()):
        net = mlpcore.MLP.from_torch(source, "tanh")
        x = rows(3, "float32")
        with torch.no_grad():
            assert_close(net(x), module(torch.from_numpy(x)).numpy(), TOLERANCE)


def test_a_file_that_torch_wrote_is_read(tmp_path):
    save_file = pytest.importorskip("safetensors.torch", reason="safetensors is missing").save_file
    modules = [nn.Linear(4, 4) if i % 2 == 0 else nn.ReLU() for i in range(23)]
    module = nn.Sequential(*modules)
    save_file(module.state_dict(), tmp_path / "module.safetensors")
    net = mlpcore.MLP.from_torch(tmp_path / "module.safetensors", "relu")
    assert net == mlpcore.MLP.from_torch(module)
    save_file(module.to(torch.bfloat16).state_dict(), tmp_path / "half.safetensors")
    net = mlpcore.MLP.from_torch(str(tmp_path / "half.safetensors"), "relu")
    assert net == mlpcore.MLP.from_torch(module.to(torch.float32))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2)), "1: .*negative_slope=0.01, got 0.2"),
        (nn.Sequential(nn.Linear(2, 3), nn.ELU(0.5)), "1: .*alpha=1.0, got 0.5"),
        (nn.Sequential(nn.Linear(2, 3), nn.GELU("tanh")), "1: .*'none', got 'tanh'"),
        (nn.Sequential(nn.Linear(2, 3), nn.Softplus(2.0)), "1: .*beta=1.0, got 2.0"),
        (nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=0)), "1: .*dim=-1, got 0"),
        (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), "1: .*got BatchNorm1d"),
        (nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Conv1d(1, 1, 1))), "1.0: .*got Conv1d"),
        (nn.Sequential(nn.ReLU(), nn.Linear(2, 3)), "0: expected a Linear before"),
        (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Tanh()), "2: expected a Linear before"),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 1)), "1: expected 3 inputs"),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False)), "1: it has no bias"),
        (
            nn.Sequential(nn.Linear(2, 3).double(), nn.Linear(3, 1)),
            "1: expected weights of f",
        ),
        (nn.Sequential(nn.Linear(2, 3).half()), "0: expected weights of float32 or float64"),
        (nn.Sequential(nn.Linear(2, 3).bfloat16()), "0: expected numbers of float32 or float64"),
        (nn.Sequential(nn.Linear(2, 3, device="meta")), "0: expected numbers of .* on meta"),
        (nn.Sequential(), "source: expected one Linear at least"),
        (nn.Sequential(nn.Linear(2, 3), nn.Softmax(1), nn.Linear(3, 1)), "0: softmax is for"),
    ],
    ids=str,
)
def test_a_module_that_does_not_fit_is_named(module, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        mlpcore.MLP.from_torch(module)
