# SPDX-License-Identifier: BSD-3-Clause
"""chain: every key against the reference, against products of Jacobians, and by hand."""

import copy
import pickle
import re
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from tolerances import FORWARD, GRADIENT, LOSS, assert_close
from twins import layers_of, options_of

import mlpcore
from mlpcore import _core, losses, reference

HIDDEN = tuple(name for name in _core.ACTIVATIONS if name != "softmax")

# Of every loss an instance, and the output activations that it is taken after.
PAIRS = [
    (losses.MSE(), "identity"),
    (losses.MSE("sum"), "relu"),
    (losses.MSE(), "sigmoid"),
    (losses.MSE("batch_mean"), "softmax"),
    (losses.L1(), "tanh"),
    (losses.Huber(0.7), "identity"),
    (losses.LogCosh("batch_mean"), "elu"),
    (losses.Quantile(0.2), "identity"),
    (losses.BCE(), "sigmoid"),
    (losses.BCE("sum"), "softmax"),
    (losses.BCEWithLogits("batch_mean"), "identity"),
    (losses.CrossEntropy(), "identity"),
    (losses.CrossEntropy(), "softmax"),
    (losses.CrossEntropy(reduction="sum"), "softmax"),
    (losses.CrossEntropy(from_logits=False), "sigmoid"),
    (losses.Poisson(), "identity"),
]

# Differences of fourth order have errors of 1e-10 at most here, norm-wise.
DIFFERENCES = 1e-9


def make_net(depth, output="identity", hidden="tanh", dtype="float64", bias=True):
    sizes = [*(3, 5, 4, 6)[:depth], 2]
    activations = [hidden] * (depth - 1) + [output]
    net = mlpcore.MLP(sizes, activations, dtype=dtype, seed=depth, bias=bias)
    rng = np.random.default_rng(depth)
    net.parameters[:] = rng.normal(0.0, 0.6, net.n_parameters)
    return net


def make_data(net, loss=None, n_samples=7):
    """Inputs, and targets that suit the loss: probabilities that add up to 1 suit most."""
    rng = np.random.default_rng(n_samples)
    x = rng.normal(size=(n_samples, net.sizes[0])).astype(net.dtype)
    y = rng.uniform(0.1, 0.9, size=(n_samples, net.sizes[-1]))
    return x, (y / y.sum(axis=1, keepdims=True)).astype(net.dtype)


def reference_chain(net, x, y, loss):
    options = options_of(losses.as_loss(net, loss)) | {"dtype": net.dtype}
    return reference.chain(layers_of(net), x, y, loss.name, **options)


def expected_keys(depth):
    names = ["x", *(f"z{j}" for j in range(1, 2 * depth)), "y_hat"]
    local = [f"d{b}/d{a}" for a, b in pairwise(names)]
    by_parameter = [f"dl/d{p}{i}" for i in range(1, depth + 1) for p in "Wb"]
    return {*names, "l", *local, *(f"dl/d{name}" for name in names), *by_parameter, "dl/dy"}


# ---- keys and values ----------------------------------------------------------------------------


def test_keys_of_a_two_layer_net():
    net = make_net(2)
    chain = net.chain(*make_data(net), "mse")
    assert " ".join(chain) == (
        "x z1 z2 z3 y_hat l "
        "dl/dy_hat dy_hat/dz3 dz3/dz2 dz2/dz1 dz1/dx "
        "dl/dz3 dl/dz2 dl/dz1 dl/dx "
        "dl/dW2 dl/db2 dl/dW1 dl/db1 dl/dy"
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_keys_go_on_in_the_same_way(depth):
    net = make_net(depth)
    chain = net.chain(*make_data(net), "mse")
    assert set(chain) == expected_keys(depth)
    assert isinstance(chain, Mapping)
    assert len(chain) == len(list(chain)) == len(dict(chain))
    assert "dl/dW1" in chain
    assert "z99" not in chain
    assert all(key in repr(chain) for key in chain)


def test_without_biases_there_is_no_dl_db():
    net = make_net(2, bias=False)
    chain = net.chain(*make_data(net), "mse")
    assert set(chain) == expected_keys(2) - {"dl/db1", "dl/db2"}
    with pytest.raises(KeyError, match="dz1/db1"):
        chain.jacobian("dz1/db1")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_values_equal_the_reference(loss, output, depth, dtype):
    net = make_net(depth, output, dtype=dtype)
    x, y = make_data(net)
    chain = net.chain(x, y, loss)
    want = reference_chain(net, x, y, loss)
    assert set(chain) == {*want, "dl/dy"}
    for key in want:
        tolerance = {"l": LOSS}.get(key, GRADIENT if "/" in key else FORWARD)
        assert_close(chain[key], want[key], tolerance[dtype], key)
        assert key == "l" or chain[key].dtype == dtype
    assert isinstance(chain["l"], float)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_hidden_activation_equals_the_reference(hidden, dtype):
    net = make_net(3, hidden=hidden, dtype=dtype)
    x, y = make_data(net)
    want = reference_chain(net, x, y, losses.MSE())
    chain = net.chain(x, y, "mse")
    for key in want:
        assert_close(chain[key], want[key], GRADIENT[dtype], key)


def test_gradients_have_the_bits_of_backward():
    net = make_net(3, "sigmoid", dtype="float32")
    x, y = make_data(net)
    chain = net.chain(x, y, "bce")
    gradients = net.backward(net.trace(x), "bce", y)
    for i in range(3):
        assert np.array_equal(chain[f"dl/dW{i + 1}"], gradients.weights[i])
        assert np.array_equal(chain[f"dl/db{i + 1}"], gradients.biases[i])
    assert np.array_equal(chain["dl/dx"], gradients.inputs)


# ---- the chain rule itself ----------------------------------------------------------------------


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_accumulated_derivatives_are_products_of_the_jacobians(loss, output, hidden):
    net = make_net(3, output, hidden)
    chain = net.chain(*make_data(net), loss)
    row = chain.jacobian("dl/dy_hat")
    assert row.shape == (7, 1, 2)
    for after, before in (
        ("y_hat", "z5"), ("z5", "z4"), ("z4", "z3"), ("z3", "z2"), ("z2", "z1"), ("z1", "x")
    ):  # fmt: skip
        row = row @ chain.jacobian(f"d{after}/d{before}")
        assert_close(chain.jacobian(f"dl/d{before}"), row, GRADIENT["float64"], before)


@pytest.mark.parametrize("output", [*HIDDEN, "softmax"])
def test_product_of_the_jacobians_is_that_of_the_net(output):
    net = make_net(2, output, "gelu")
    x, y = make_data(net)
    chain = net.chain(x, y, "mse")
    product = np.eye(2)
    for key in ("dy_hat/dz3", "dz3/dz2", "dz2/dz1", "dz1/dx"):
        product = product @ chain.jacobian(key)
    for row, sample in zip(product, x, strict=True):
        assert_close(row, reference.numerical_gradient(net, sample), DIFFERENCES, output)


@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_target_gradient_is_that_of_the_value(loss, output):
    net = make_net(2, output)
    x, y = make_data(net)
    numeric = reference.numerical_gradient(lambda y: net.chain(x, y, loss)["l"], y)
    assert_close(net.chain(x, y, loss)["dl/dy"], numeric, DIFFERENCES)


def test_target_gradient_is_missing_where_there_is_none():
    net = make_net(2, "softmax")
    x, y = make_data(net)
    assert "dl/dy" not in net.chain(x, np.argmax(y, axis=1), "cross_entropy")
    assert "dl/dy" not in net.chain(x, y, lambda y_hat, y: (0.0, np.zeros_like(y_hat)))


def test_target_gradient_survives_a_saturated_output():
    net = mlpcore.MLP([1, 1], ["sigmoid"])
    net.weights[0][:] = 50.0  # sigmoid(50) rounds to 1
    assert net.chain([1.0], [0.0], "bce")["dl/dy"] == -50.0


@pytest.mark.parametrize(("loss", "output"), [("bce", "sigmoid"), ("cross_entropy", "softmax")])
def test_fused_pair_keeps_the_gradient_of_a_saturated_output(loss, output):
    net = mlpcore.MLP([1, 2], [output], bias=False)
    net.weights[0][:] = [[-60.0], [60.0]]
    c = net.chain([1.0], [1.0, 0.0], loss)
    assert c["y_hat"][1] == 1.0
    n_terms = 2.0 if loss == "bce" else 1.0
    assert c["dl/dz1"] == pytest.approx([-1.0 / n_terms, 1.0 / n_terms])
    assert np.all(np.isfinite(c["dl/dy_hat"]))  # the unfused one, with its denominator kept from 0
    assert abs(c["dl/dy_hat"]).max() > 1e6


# ---- Jacobians, vjp and jvp ---------------------------------------------------------------------


def local_keys(depth):
    names = ["x", *(f"z{j}" for j in range(1, 2 * depth)), "y_hat"]
    keys = [f"d{b}/d{a}" for a, b in pairwise(names)]
    return keys + [f"dz{2 * i - 1}/d{p}{i}" for i in range(1, depth + 1) for p in "Wb"]


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("key", local_keys(3))
def test_vjp_jvp_and_jacobian_are_one_linear_map(key, single):
    net = make_net(3, "softmax")
    x, y = make_data(net)
    if single:
        x, y = x[0], y[0]
    chain = net.chain(x, y, "mse")
    numerator, denominator = key[1:].split("/d")
    i = int(denominator[1]) - 1 if denominator[0] in "Wb" else None
    by = (
        {"W": net.weights, "b": net.biases}[denominator[0]][i]
        if i is not None
        else chain[denominator]
    )
    rng = np.random.default_rng(0)
    tangent = rng.normal(size=by.shape)
    cotangent = rng.normal(size=chain[numerator].shape)
    pushed, pulled = chain.jvp(key, tangent), chain.vjp(key, cotangent)
    assert pushed.shape == cotangent.shape
    assert pulled.shape == tangent.shape
    assert np.sum(pushed * cotangent) == pytest.approx(np.sum(pulled * tangent), rel=1e-12)
    jacobian = chain.jacobian(key)
    by_sample = by.shape[not single :] if i is None else by.shape
    assert jacobian.shape == cotangent.shape + by_sample
    subscripts = {1: "...ij,...j->...i", 2: "...ijk,...jk->...i"}[len(by_sample)]
    assert_close(np.einsum(subscripts, jacobian, tangent), pushed, FORWARD["float64"], key)


def test_vjp_walks_back_through_the_net():
    net = make_net(2, "sigmoid")
    chain = net.chain(*make_data(net), "mse")
    delta3 = chain.vjp("dy_hat/dz3", chain["dl/dy_hat"])
    delta1 = chain.vjp("dz2/dz1", chain.vjp("dz3/dz2", delta3))
    assert_close(delta1, chain["dl/dz1"], GRADIENT["float64"])
    assert_close(chain.vjp("dz1/dW1", delta1), chain["dl/dW1"], GRADIENT["float64"])
    assert_close(chain.vjp("dz1/db1", delta1), chain["dl/db1"], GRADIENT["float64"])


def test_jacobians_of_diagonals_weights_and_rows():
    net = make_net(2, "softmax", hidden="sigmoid")
    x, y = make_data(net)
    chain = net.chain(x, y, "mse")
    assert np.array_equal(chain.jacobian("dz2/dz1")[2], np.diag(chain["dz2/dz1"][2]))
    assert np.array_equal(chain.jacobian("dz3/dz2"), np.stack([net.weights[1]] * 7))
    assert np.array_equal(chain.jacobian("dy_hat/dz3"), chain["dy_hat/dz3"])
    assert chain["dy_hat/dz3"].shape == (7, 2, 2)
    for key in ("dl/dy_hat", "dl/dz3", "dl/dz1", "dl/dx", "dl/dy"):
        assert np.array_equal(chain.jacobian(key)[:, 0], chain[key])
    single = net.chain(x[2], y[2], "mse")
    assert single.jacobian("dl/dx").shape == (1, 3)
    assert single.jacobian("dz2/dz1").shape == (5, 5)


# ---- a single sample, empty batches, lifetime, errors -------------------------------------------


@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_single_sample_is_a_batch_of_one(loss, output):
    net = make_net(3, output)
    x, y = make_data(net)
    batch, single = net.chain(x[:1], y[:1], loss), net.chain(x[0], y[0], loss)
    assert list(batch) == list(single)
    for key in batch:
        is_shared = (
            key == "l" or "W" in key or "b" in key or key in ("dz1/dx", "dz3/dz2", "dz5/dz4")
        )
        want = batch[key] if is_shared else batch[key][0]
        assert np.array_equal(single[key], want), key


def test_single_class_index():
    net = make_net(2, "softmax")
    x, _ = make_data(net)
    one_hot, index = (net.chain(x[0], y, "cross_entropy") for y in ([0.0, 1.0], 1))
    assert index["l"] == pytest.approx(one_hot["l"])
    assert np.allclose(index["dl/dz3"], one_hot["dl/dz3"])


def test_callable_loss():
    net = make_net(2, "sigmoid")
    x, y = make_data(net)
    own = net.chain(x, y, lambda y_hat, y: (np.sum((y_hat - y) ** 2), 2 * (y_hat - y)))
    built_in = net.chain(x, y, losses.MSE("sum"))
    assert set(own) == set(built_in) - {"dl/dy"}
    for key in own:
        assert_close(own[key], built_in[key], GRADIENT["float64"], key)


def test_empty_batch():
    net = make_net(2, "softmax")
    chain = net.chain(np.zeros((0, 3)), np.zeros((0, 2)), "mse")
    assert chain["l"] == 0.0
    assert chain["z1"].shape == chain["dl/dz1"].shape == (0, 5)
    assert chain["dy_hat/dz3"].shape == (0, 2, 2)
    assert chain["dl/dy"].shape == (0, 2)
    assert not chain["dl/dW1"].any()
    assert chain.jacobian("dz2/dz1").shape == (0, 5, 5)


def test_nan_goes_through():
    net = make_net(2)
    x, y = make_data(net)
    x[3, 0] = np.nan
    chain = net.chain(x, y, "mse")
    assert np.isnan(chain["dl/dz1"][3]).all()
    assert np.isfinite(np.delete(chain["y_hat"], 3, axis=0)).all()


@pytest.mark.parametrize(("loss", "output"), PAIRS, ids=repr)
def test_infinity_goes_through_without_a_warning(loss, output):
    net = make_net(2, output, hidden="identity")
    x, y = make_data(net)
    x[3, 0] = np.inf
    chain = net.chain(x, y, loss)
    assert not np.isfinite(chain["z1"][3]).any()
    assert np.isfinite(np.delete(chain["dl/dy"], 3, axis=0)).all()


def test_copies_and_pickles():
    net = make_net(2)
    x, y = make_data(net)
    chain = net.chain(x, y, "mse")
    for copied in (copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))):
        assert list(copied) == list(chain)
        for key in ("dz3/dz2", "dz2/dz1"):
            assert np.array_equal(copied.jacobian(key), chain.jacobian(key))


def test_a_chain_equals_itself_alone():
    net = make_net(2)
    x, y = make_data(net)
    chain, other = net.chain(x, y, "mse"), net.chain(x, y, "mse")
    assert chain == chain
    assert chain != other
    assert chain != dict(other)
    assert len({chain, chain, other}) == 2


def test_values_are_those_of_the_call():
    net = make_net(2)
    x, y = make_data(net)
    kept = net.copy()
    chain = net.chain(x, y, "mse")
    before = {key: np.copy(value) for key, value in chain.items()}
    net.parameters[:] = 0.0
    x[:] = 0.0
    y[:] = 0.0
    for key, value in chain.items():
        assert np.array_equal(value, before[key]), key
    assert np.array_equal(chain["dz3/dz2"], kept.weights[1])
    assert np.array_equal(chain.jacobian("dz1/dx")[0], kept.weights[0])


def test_arrays_are_read_only():
    net = make_net(2)
    for key, value in net.chain(*make_data(net), "mse").items():
        assert key == "l" or not value.flags.writeable, key


def test_bad_arguments():
    net = make_net(2)
    x, y = make_data(net)
    chain = net.chain(x, y, "mse")
    for unknown in ("z4", "dz4/dz3", "dl/dz9", "", "dz1/dW1", 3, None):
        with pytest.raises(KeyError, match=r"dl/dx.*got .*chain\.jacobian\(key\).*chain\.vjp"):
            chain[unknown]
    for method in (chain.vjp, chain.jvp):
        with pytest.raises(KeyError, match=r"dz1/dW1.*got 'dz2/dx'"):
            method("dz2/dx", y)
        with pytest.raises(KeyError, match=r"got 'dl/dy_hat'.*chain\.jacobian\(key\)"):
            method("dl/dy_hat", y)
    for no_jacobian in ("z1", "l", "dl/dW1", "dl/db1", "dl/dz9", "dz3/dx", 3, None):
        with pytest.raises(KeyError, match=r"one of .*dl/dx.*dz1/dW1.*got .*chain\.vjp") as caught:
            chain.jacobian(no_jacobian)
        for legal in re.search("one of (.*), got", str(caught.value))[1].split(", "):
            assert chain.jacobian(legal).ndim >= 3
    with pytest.raises(ValueError, match=r"cotangent: expected shape \(7, 5\), got \(5,\)"):
        chain.vjp("dz2/dz1", np.zeros(5))
    with pytest.raises(ValueError, match=r"tangent: expected shape \(5, 3\), got \(3, 5\)"):
        chain.jvp("dz1/dW1", np.zeros((3, 5)))
    with pytest.raises(TypeError, match="tangent"):
        chain.jvp("dz2/dz1", "a string")
    with pytest.raises(ValueError, match="y: "):
        net.chain(x, y[:3], "mse")
    with pytest.raises(ValueError, match="x: "):
        net.chain(y, y, "mse")
