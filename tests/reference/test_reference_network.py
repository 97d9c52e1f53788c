# SPDX-License-Identifier: BSD-3-Clause
"""The reference network against a net worked by hand, finite differences and conventions."""

import itertools

import numpy as np
import pytest

from mlpcore import reference

REDUCTIONS = ("mean", "batch_mean", "sum")
LOSSES = [
    ("mse", {}),
    ("l1", {}),
    ("huber", {"delta": 0.5}),
    ("log_cosh", {}),
    ("quantile", {"q": 0.3}),
    ("bce", {}),
    ("bce_with_logits", {}),
    ("cross_entropy", {}),
    ("poisson", {}),
]


def random_net(rng, sizes, activations, bias=True):
    n_parameters = sum(n * m + m * bias for n, m in itertools.pairwise(sizes))
    flat = rng.normal(scale=0.8, size=n_parameters)
    return reference.layers_from_flat(flat, sizes, activations, bias)


def random_targets(rng, loss, shape):
    if loss in ("bce", "bce_with_logits", "cross_entropy"):
        return rng.uniform(0.1, 0.9, shape)
    return rng.integers(0, 4, shape) * 1.0 if loss == "poisson" else rng.normal(size=shape)


def distance_to_kinks(layers, x, y, loss, parameters):
    """How near a pre-activation, or an error in the output, is to where a derivative jumps.

    0 if the samples do not reach both sides of a kink often: each branch is to be differentiated.
    """
    steps = reference.trace(layers, x)
    jumps = [np.inf]
    for step in steps:
        # elu's second derivative jumps at 0, which spoils a difference quotient of fourth order.
        if step.layer.activation in ("relu", "leaky_relu", "elu"):
            jumps.append(np.min(np.abs(step.pre_activation)))
            share = np.mean(step.pre_activation > 0.0)
            jumps.append(np.inf if 0.2 < share < 0.8 else 0.0)
    if loss in ("l1", "quantile", "huber"):
        error = np.abs(steps[-1].output - y)
        jumps.append(np.min(np.abs(error - parameters.get("delta", 0.0))))
    return min(jumps)


def smooth_problem(activations, loss, parameters, bias=True):
    """A net 2 -> 4 -> 4 ... -> 3 and 5 samples, all away from kinks."""
    rng = np.random.default_rng([len(activations), len(loss)])
    sizes = [2] + [4] * (len(activations) - 1) + [3]
    for _ in range(10_000):
        layers = random_net(rng, sizes, activations, bias)
        x = rng.normal(size=(5, 2))
        y = random_targets(rng, loss, (5, 3))
        if distance_to_kinks(layers, x, y, loss, parameters) > 0.008:
            return layers, x, y, rng
    raise AssertionError("no problem away from kinks was drawn")


# The net of a student's exercise: x -> W1 x + b1 -> relu -> W2 z2 + b2 -> g, one sample.
#   z1 = (1 + 0 + 1, 2 - 2 + 3, -1 + 2 - 3) = (2, 3, -2), so z2 = (2, 3, 0) and f' = (1, 1, 0).
W1 = np.array([[1.0, 0.0], [2.0, 1.0], [-1.0, -1.0]])
B1 = np.array([1.0, 3.0, -3.0])
W2 = np.array([[1.0, -1.0, 5.0], [0.0, 2.0, 7.0]])
X = np.array([[1.0, -2.0]])


def test_regression_by_hand():
    # z3 = (2 - 3 + 1/2, 6 - 1) = (-1/2, 5); y = (1, 3): l = (3/2)^2 + 2^2, dl/dz3 = 2 (-3/2, 2).
    layers = [(W1, B1, "relu"), (W2, np.array([0.5, -1.0]), "identity")]
    c = reference.chain(layers, X, [[1.0, 3.0]], "mse", "sum")
    want = {
        "x": X,
        "z1": [[2.0, 3.0, -2.0]],
        "z2": [[2.0, 3.0, 0.0]],
        "z3": [[-0.5, 5.0]],
        "y_hat": [[-0.5, 5.0]],
        "l": 6.25,
        "dl/dy_hat": [[-3.0, 4.0]],
        "dy_hat/dz3": [[1.0, 1.0]],
        "dz3/dz2": W2,
        "dz2/dz1": [[1.0, 1.0, 0.0]],
        "dz1/dx": W1,
        "dl/dz3": [[-3.0, 4.0]],
        "dl/dz2": [[-3.0, 11.0, 13.0]],
        "dl/dz1": [[-3.0, 11.0, 0.0]],
        "dl/dx": [[19.0, 11.0]],
        "dl/dW2": [[-6.0, -9.0, 0.0], [8.0, 12.0, 0.0]],
        "dl/db2": [-3.0, 4.0],
        "dl/dW1": [[-3.0, 6.0], [11.0, -22.0], [0.0, 0.0]],
        "dl/db1": [-3.0, 11.0, 0.0],
    }
    assert set(c) == set(want)
    for key, value in want.items():
        np.testing.assert_array_equal(c[key], value, err_msg=key)


def test_classification_by_hand():
    # z3 = (-1 + 1, 6 + log 3 - 6) = (0, log 3), y_hat = (1/2, 3/4); y = (1, 0):
    # l = (log 2 + log 4) / 2, dl/dy_hat = -1/2 (1 / (1/2), -1 / (1/4)), dl/dz3 = (y_hat - y) / 2.
    layers = [(W1, B1, "relu"), (W2, np.array([1.0, np.log(3.0) - 6.0]), "sigmoid")]
    c = reference.chain(layers, X, [[1.0, 0.0]], "bce")
    want = {
        "y_hat": [[0.5, 0.75]],
        "l": 1.5 * np.log(2.0),
        "dl/dy_hat": [[-1.0, 2.0]],
        "dy_hat/dz3": [[0.25, 0.1875]],
        "dl/dz3": [[-0.25, 0.375]],
        "dl/dz2": [[-0.25, 1.0, 1.375]],
        "dl/dz1": [[-0.25, 1.0, 0.0]],
        "dl/dx": [[1.75, 1.0]],
        "dl/dW2": [[-0.5, -0.75, 0.0], [0.75, 1.125, 0.0]],
        "dl/db2": [-0.25, 0.375],
        "dl/dW1": [[-0.25, 0.5], [1.0, -2.0], [0.0, 0.0]],
        "dl/db1": [-0.25, 1.0, 0.0],
    }
    for key, value in want.items():
        np.testing.assert_allclose(c[key], value, rtol=1e-14, err_msg=key)


def combinations():
    for activation, (loss, parameters), depth in itertools.product(
        reference.ACTIVATIONS, LOSSES, (1, 2, 3)
    ):
        hidden = "tanh" if activation == "softmax" else activation
        output = activation
        if loss == "bce" and activation not in ("sigmoid", "softmax"):
            if depth == 1:
                continue  # there is no layer left that bce does not need as a sigmoid
            output = "sigmoid"
        activations = [hidden] * (depth - 1) + [output]
        yield pytest.param(activations, loss, parameters, id=f"{'-'.join(activations)}-{loss}")


@pytest.mark.parametrize(("activations", "loss", "parameters"), list(combinations()))
def test_gradients_match_differences(activations, loss, parameters):
    layers, x, y, rng = smooth_problem(activations, loss, parameters)
    sizes = [2] + [4] * (len(activations) - 1) + [3]
    flat = reference.flatten(layers)
    weight = rng.uniform(0.5, 2.0, len(x))
    for reduction, sample_weight in (("mean", weight), ("batch_mean", None), ("sum", weight)):
        rest = (y, loss, reduction, sample_weight)
        gradients = reference.value_and_grad(layers, x, *rest, **parameters)[1]
        # Along a random direction every entry counts, at the price of four evaluations.
        for at in ("parameters", "inputs"):
            start, gradient = (
                (flat, gradients.flat) if at == "parameters" else (x, gradients.inputs)
            )
            direction = rng.normal(size=start.shape)
            direction /= np.linalg.norm(direction)

            def value(t, at=at, direction=direction, rest=rest):
                moved = layers
                if at == "parameters":
                    moved = reference.layers_from_flat(flat + t * direction, sizes, activations)
                moved_x = x + t * direction if at == "inputs" else x
                return reference.value_and_grad(moved, moved_x, *rest, **parameters)[0]

            want = reference.numerical_gradient(value, 0.0)
            got = np.sum(gradient * direction)
            assert np.linalg.norm(gradient) > 1e-5, at
            tolerance = 1e-8 * np.linalg.norm(gradient)
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=tolerance, err_msg=at)


@pytest.mark.parametrize(
    ("activations", "loss"),
    [
        (["relu", "identity"], "mse"),
        (["gelu", "relu", "sigmoid"], "bce"),
        (["tanh", "softmax"], "cross_entropy"),
        (["elu", "softmax"], "mse"),
        (["silu", "identity"], "cross_entropy"),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_every_gradient_entry_matches_differences(activations, loss, bias):
    layers, x, y, _ = smooth_problem(activations, loss, {}, bias)
    gradients = reference.value_and_grad(layers, x, y, loss)[1]
    for i, layer in enumerate(layers):

        def value_with(weight, bias, i=i, name=layer.activation):
            changed = [*layers[:i], (weight, bias, name), *layers[i + 1 :]]
            return reference.value_and_grad(changed, x, y, loss)[0]

        want = reference.numerical_gradient(
            lambda w, f=value_with, b=layer.bias: f(w, b), layer.weight
        )
        assert gradients.weights[i].shape == layer.weight.shape
        np.testing.assert_allclose(gradients.weights[i], want, rtol=1e-8, atol=1e-10)
        if bias:
            want = reference.numerical_gradient(
                lambda b, f=value_with, w=layer.weight: f(w, b), layer.bias
            )
            np.testing.assert_allclose(gradients.biases[i], want, rtol=1e-8, atol=1e-10)
        else:
            assert gradients.biases[i] is None


@pytest.mark.parametrize(
    ("output", "loss"), [("sigmoid", "bce"), ("softmax", "cross_entropy"), ("softmax", "bce")]
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_fused_pair_equals_the_unfused_chain(output, loss, reduction):
    layers, x, y, _ = smooth_problem(["tanh", output], loss, {})
    steps = reference.trace(layers, x)
    rest = (loss, steps[-1].output, y, None, reduction)
    value, fused = reference.value_and_grad(layers, x, y, loss, reduction)
    unfused = reference.loss_value(*rest, from_logits=False)
    np.testing.assert_allclose(value, unfused, rtol=1e-13)
    dl_dy_hat = reference.loss_gradient(*rest, from_logits=False)
    unfused = reference.backward(steps, dl_dy_hat)
    np.testing.assert_allclose(fused.flat, unfused.flat, rtol=1e-11, atol=1e-14)
    c = reference.chain(layers, x, y, loss, reduction)
    np.testing.assert_array_equal(c["dl/dy_hat"], dl_dy_hat)


def test_fused_pairs_at_extreme_logits():
    for logit, target, value, gradient in (
        (1e4, 0.0, 1e4, 1.0),
        (-1e4, 1.0, 1e4, -1.0),
        (1e4, 1.0, 0.0, 0.0),
        (40.0, 1.0, np.exp(-40.0), -np.exp(-40.0)),
    ):
        net = [([[logit]], [0.0], "sigmoid")]
        got, gradients = reference.value_and_grad(net, [[1.0]], [[target]], "bce")
        np.testing.assert_allclose(got, value, rtol=4e-15)
        np.testing.assert_allclose(gradients.biases[0], [gradient], rtol=4e-15)
        net = [([[0.0], [logit]], [0.0, 0.0], "softmax")]
        got, gradients = reference.value_and_grad(net, [[1.0]], [int(target)], "cross_entropy")
        np.testing.assert_allclose(got, value, rtol=4e-15)
        np.testing.assert_allclose(gradients.biases[0], [-gradient, gradient], rtol=4e-15)


def test_cross_entropy_after_identity_takes_logits():
    layers, x, y, _ = smooth_problem(["tanh", "identity"], "cross_entropy", {})
    as_softmax = [layers[0], layers[1]._replace(activation="softmax")]
    value, gradients = reference.value_and_grad(layers, x, y, "cross_entropy")
    want, want_gradients = reference.value_and_grad(as_softmax, x, y, "cross_entropy")
    assert value == want
    np.testing.assert_array_equal(gradients.flat, want_gradients.flat)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_chain_products(depth, output):
    loss = "bce" if output == "sigmoid" else "cross_entropy"
    layers, x, y, _ = smooth_problem(["tanh"] * (depth - 1) + [output], loss, {})
    c = reference.chain(layers, x, y, loss)
    names = ["x", *(f"z{j}" for j in range(1, 2 * depth)), "y_hat"]
    accumulated = c["dl/dy_hat"]
    expected_keys = {*names, "l", "dl/dy_hat"}
    for before, after in reversed(list(itertools.pairwise(names))):
        factor = c[f"d{after}/d{before}"]
        if factor.ndim == 3:
            accumulated = np.einsum("ni,nij->nj", accumulated, factor)
        elif factor.shape == c[after].shape and after[1:] != before[1:] and is_activation(after):
            accumulated = accumulated * factor
        else:
            accumulated = accumulated @ factor
        np.testing.assert_allclose(c[f"dl/d{before}"], accumulated, rtol=1e-12, atol=1e-15)
        expected_keys |= {f"d{after}/d{before}", f"dl/d{before}"}
    for i in range(1, depth + 1):
        delta, z_in = c[f"dl/dz{2 * i - 1}"], c[names[2 * i - 2]]
        outer = np.einsum("nk,nd->kd", delta, z_in)
        np.testing.assert_allclose(c[f"dl/dW{i}"], outer, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(c[f"dl/db{i}"], delta.sum(axis=0), rtol=1e-12, atol=1e-15)
        expected_keys |= {f"dl/dW{i}", f"dl/db{i}"}
    assert set(c) == expected_keys


def is_activation(name):
    """Whether this quantity of `chain` comes out of an activation."""
    return name == "y_hat" or int(name[1:]) % 2 == 0


def test_chain_without_bias():
    layers, x, y, _ = smooth_problem(["tanh", "identity"], "mse", {}, bias=False)
    assert not [key for key in reference.chain(layers, x, y, "mse") if key.startswith("dl/db")]


def test_memory_layout():
    # Transposed weight (n_inputs, n_outputs) row by row, then the bias, layer after layer.
    flat = np.arange(13.0)
    first, second = reference.layers_from_flat(flat, [2, 3, 1], ["relu", "identity"])
    np.testing.assert_array_equal(first.weight, [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])
    np.testing.assert_array_equal(first.bias, [6.0, 7.0, 8.0])
    np.testing.assert_array_equal(second.weight, [[9.0, 10.0, 11.0]])
    np.testing.assert_array_equal(second.bias, [12.0])
    np.testing.assert_array_equal(reference.flatten([first, second]), flat)
    without = reference.layers_from_flat(flat[:9], [2, 3, 1], ["relu", "identity"], bias=False)
    np.testing.assert_array_equal(without[1].weight, [[6.0, 7.0, 8.0]])
    assert without[0].bias is None
    np.testing.assert_array_equal(reference.flatten(without), flat[:9])
    for wrong in (flat[:12], np.arange(14.0), flat[None]):
        with pytest.raises(ValueError, match="flat must have the shape"):
            reference.layers_from_flat(wrong, [2, 3, 1], ["relu", "identity"])
    with pytest.raises(ValueError, match="zip"):
        reference.layers_from_flat(flat, [2, 3, 1], ["relu"])


def test_gradients_have_the_layout_of_the_parameters():
    layers, x, y, _ = smooth_problem(["tanh", "identity"], "mse", {})
    gradients = reference.value_and_grad(layers, x, y, "mse")[1]
    sizes = [2, 4, 3]
    again = reference.layers_from_flat(gradients.flat, sizes, ["tanh", "identity"])
    for i in range(2):
        np.testing.assert_array_equal(again[i].weight, gradients.weights[i])
        np.testing.assert_array_equal(again[i].bias, gradients.biases[i])
    assert [a.shape for a in gradients.pre_activations] == [(5, 4), (5, 3)]
    assert [a.shape for a in gradients.layer_inputs] == [(5, 2), (5, 4)]


def test_trace_is_the_forward_pass():
    layers, x, _, _ = smooth_problem(["relu", "softmax"], "mse", {})
    first, last = reference.trace(layers, x)
    np.testing.assert_array_equal(first.input, x)
    np.testing.assert_array_equal(last.input, first.output)
    np.testing.assert_allclose(
        first.pre_activation[1], layers[0].weight @ x[1] + layers[0].bias, rtol=1e-14
    )
    np.testing.assert_array_equal(first.output, np.maximum(first.pre_activation, 0.0))
    np.testing.assert_array_equal(first.activation_derivative, first.pre_activation > 0.0)
    assert last.activation_derivative.shape == (5, 3, 3)
    np.testing.assert_array_equal(reference.forward(layers, x), last.output)
    np.testing.assert_allclose(last.output.sum(axis=1), 1.0, rtol=4e-15)


def test_nan_stays_in_its_row():
    layers, x, y, _ = smooth_problem(["relu", "gelu", "sigmoid"], "mse", {})
    x[2, 0] = np.nan
    y_hat = reference.forward(layers, x)
    assert np.isnan(y_hat).any(axis=1).tolist() == [False, False, True, False, False]
    inputs = reference.value_and_grad(layers, x, y, "mse")[1].inputs
    assert np.isnan(inputs).all(axis=1).tolist() == [False, False, True, False, False]


def test_empty_batch():
    layers = smooth_problem(["relu", "softmax"], "mse", {})[0]
    empty_x, empty_y = np.zeros((0, 2)), np.zeros((0, 3))
    assert reference.forward(layers, empty_x).shape == (0, 3)
    for loss in ("mse", "cross_entropy"):
        value, gradients = reference.value_and_grad(layers, empty_x, empty_y, loss)
        assert value == 0.0
        assert gradients.flat.tolist() == [0.0] * reference.flatten(layers).size
        assert gradients.inputs.shape == (0, 2)


def test_one_sample_is_refused_as_a_vector():
    layers = smooth_problem(["relu", "identity"], "mse", {})[0]
    with pytest.raises(ValueError, match=r"x must have the shape \(N, D\); got \(2,\)"):
        reference.forward(layers, [1.0, 2.0])
