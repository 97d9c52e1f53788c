# SPDX-License-Identifier: BSD-3-Clause
"""Traces and the gradients made of them: what they hold, and that nothing makes them wrong."""

import copy
import pickle

import numpy as np
import pytest
from rows import data
from twins import layers_of

import mlpcore
from mlpcore import _core, losses, reference
from mlpcore.trace import Gradients, Trace

copies = pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))]
)
HIDDEN = [name for name in _core.ACTIVATIONS if name != "softmax"]


def tolerance(dtype):
    return {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}


# ---- what a trace holds -------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["identity", "sigmoid", "softmax"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_intermediate_is_the_references(hidden, output, dtype):
    net = mlpcore.MLP([3, 7, 5, 4], [hidden, hidden, output], dtype, seed=1)
    x, _ = data(net)
    trace = net.trace(x)
    steps = reference.trace(layers_of(net), x)
    assert len(trace.layers) == len(steps) == 3
    for layer, step in zip(trace.layers, steps, strict=True):
        for name in ("input", "pre_activation", "output", "activation_derivative"):
            actual, expected = getattr(layer, name), getattr(step, name)
            assert actual.dtype == dtype
            assert actual.shape == expected.shape
            np.testing.assert_allclose(actual, expected, err_msg=name, **tolerance(dtype))


def test_what_it_holds_fits_together(dtype):
    net = mlpcore.MLP([3, 7, 4], ["tanh", "softmax"], dtype, seed=0)
    x, _ = data(net)
    trace = net.trace(x)
    assert trace.net is net
    assert trace.n_samples == 6
    assert not trace.single
    np.testing.assert_array_equal(trace.output, net(x))
    np.testing.assert_array_equal(trace.input, x)
    np.testing.assert_array_equal(trace.parameters, net.parameters)
    assert trace.layers[0].input is trace.input
    assert trace.layers[1].input is trace.layers[0].output
    assert trace.layers[1].output is trace.output
    assert "n_samples=6" in repr(trace)


@pytest.mark.parametrize("output", ["identity", "softmax"])
def test_a_single_sample_has_no_first_axis(output, dtype):
    net = mlpcore.MLP([3, 7, 4], ["tanh", output], dtype, seed=0)
    x, y = data(net, 1)
    batch, single = net.trace(x), net.trace(x[0])
    assert single.single
    assert single.n_samples == 1
    assert single.output.shape == (4,)
    for a, b in zip(batch.layers, single.layers, strict=True):
        for name in ("input", "pre_activation", "output", "activation_derivative"):
            np.testing.assert_array_equal(getattr(a, name)[0], getattr(b, name))
    expected = net.backward(batch, "mse", y)
    for gradients in (
        net.backward(single, "mse", y[0]),
        net.backward(single, losses.MSE().gradient(single, y[0])),
        net.vjp(x[0], losses.MSE().gradient(single.output, y[0])),
    ):
        np.testing.assert_array_equal(gradients.flat, expected.flat)
        assert gradients.inputs.shape == (3,)
        np.testing.assert_array_equal(gradients.inputs, expected.inputs[0])


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("output", _core.ACTIVATIONS)
def test_a_nan_stays_one_in_its_row(output, n_outputs):
    net = mlpcore.MLP([2, n_outputs], [output], seed=0)
    layer = net.trace([[np.nan, 1.0], [2.0, 1.0]]).layers[0]
    for array in (layer.pre_activation, layer.output, layer.activation_derivative):
        if output != "identity" or array is not layer.activation_derivative:
            assert np.isnan(array[0]).all()
        assert np.isfinite(array[1]).all()


def test_softmax_jacobian_rows_sum_to_zero_and_do_not_vanish(dtype):
    net = mlpcore.MLP([2, 2], ["softmax"], dtype, init="zeros")
    net.weights[0][0, 0] = 30.0  # the second output is exp(-30), the first rounds to 1 in float32
    jacobian = net.trace([1.0, 0.0]).layers[0].activation_derivative
    np.testing.assert_allclose(jacobian, np.exp(-30.0) * np.array([[1, -1], [-1, 1]]), rtol=1e-5)


def test_its_arrays_are_read_only():
    net = mlpcore.MLP([3, 7, 4], ["tanh", "softmax"], seed=0)
    x, _ = data(net)
    for trace in (net.trace(x), net.trace(x[0])):
        arrays = [trace.parameters, trace.input, trace.output]
        for layer in trace.layers:
            arrays += [layer.input, layer.pre_activation, layer.output]
            arrays += [layer.activation_derivative]
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0


def test_an_update_does_not_change_it(dtype):
    net = mlpcore.MLP([3, 7, 4], "silu", dtype, seed=0)
    x, y = data(net)
    trace = net.trace(x)
    before = net.backward(trace, "mse", y)
    net.train_step(x, y, "mse", mlpcore.SGD(1.0))
    net.parameters[:] = 0.0
    after = net.backward(trace, "mse", y)
    np.testing.assert_array_equal(before.flat, after.flat)
    np.testing.assert_array_equal(before.inputs, after.inputs)


def test_a_change_of_the_callers_input_does_not_change_it():
    net = mlpcore.MLP([3, 7, 4], seed=0)
    x, y = data(net)
    trace = net.trace(x)
    before = net.backward(trace, "mse", y).flat
    x[:] = 100.0
    np.testing.assert_array_equal(net.backward(trace, "mse", y).flat, before)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_of_a_trace_work(copied):
    net = mlpcore.MLP([3, 7, 4], ["tanh", "softmax"], seed=0)
    x, y = data(net)
    trace = net.trace(x)
    expected = net.backward(trace, "mse", y).flat
    output = trace.output.copy()
    net.parameters[:] = 0.0
    for other in (copied(trace), copied(net.trace(x[0]))):
        with pytest.raises(ValueError, match="read-only"):
            other.output[...] = 0.0
    other = copied(trace)
    np.testing.assert_array_equal(net.backward(other, "mse", y).flat, expected)
    np.testing.assert_array_equal(other.output, output)
    assert other.net == net


# ---- backward -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", losses.NAMED)
def test_gradients_are_the_references(loss, bias, dtype):
    output = {"bce": "sigmoid", "cross_entropy": "softmax"}.get(loss, "identity")
    net = mlpcore.MLP([3, 9, 5, 4], ["gelu", "tanh", output], dtype, seed=2, bias=bias)
    x, y = data(net)
    weight = np.array([1, 0, 2, 1, 0.5, 1])
    value, gradients = net.value_and_grad(x, y, loss, weight)
    options = {"from_logits": False} if loss == "cross_entropy" else {}
    expected_value, expected = reference.value_and_grad(
        layers_of(net), x, y, loss, sample_weight=weight, **options
    )
    assert value == pytest.approx(expected_value, rel=1e-5 if dtype == "float32" else 1e-12)
    np.testing.assert_allclose(gradients.inputs, expected.inputs, **tolerance(dtype))
    for a, b in zip(gradients.weights, expected.weights, strict=True):
        np.testing.assert_allclose(a, b, **tolerance(dtype))
    for a, b in zip(gradients.biases, expected.biases, strict=True):
        assert (a is None) == (not bias)
        if bias:
            np.testing.assert_allclose(a, b, **tolerance(dtype))


@pytest.mark.parametrize("reduction", _core.REDUCTIONS)
@pytest.mark.parametrize("loss", losses.NAMED)
def test_a_cotangent_from_the_loss_agrees_with_the_loss(loss, reduction, dtype):
    output = {"bce": "sigmoid", "cross_entropy": "softmax"}.get(loss, "identity")
    net = mlpcore.MLP([3, 9, 4], ["tanh", output], dtype, seed=2)
    x, y = data(net)
    y /= y.sum(axis=1, keepdims=True)
    instance = type(losses.NAMED[loss])(reduction=reduction)
    trace = net.trace(x)
    expected = net.backward(trace, instance, y)
    bare = instance
    if loss == "cross_entropy":
        bare = losses.CrossEntropy(from_logits=False, reduction=reduction)
    for gradient in (instance.gradient(trace, y), bare.gradient(trace.output, y)):
        actual = net.backward(trace, gradient)
        if output == "identity":
            np.testing.assert_array_equal(actual.flat, expected.flat)
            np.testing.assert_array_equal(actual.inputs, expected.inputs)
        else:
            np.testing.assert_allclose(actual.flat, expected.flat, **tolerance(dtype))
            np.testing.assert_allclose(actual.inputs, expected.inputs, **tolerance(dtype))


def test_gradients_are_new_at_every_call_and_the_callers(dtype):
    net = mlpcore.MLP([3, 7, 4], dtype=dtype, seed=0)
    x, y = data(net)
    trace = net.trace(x)
    first = net.backward(trace, "mse", y)
    kept = first.flat.copy()
    second = net.backward(trace, "mse", y)
    assert not np.shares_memory(first.flat, second.flat)
    np.testing.assert_array_equal(second.flat, kept)  # overwritten, not accumulated
    second.flat[:] = 0.0
    second.inputs[:] = 0.0
    np.testing.assert_array_equal(net.backward(trace, "mse", y).flat, kept)


def test_gradients_are_laid_out_like_the_parameters():
    for bias in (True, False):
        net = mlpcore.MLP([3, 7, 4], seed=0, bias=bias)
        x, y = data(net)
        gradients = net.backward(net.trace(x), "mse", y)
        assert gradients.flat.shape == net.parameters.shape
        for views, shown in ((gradients.weights, net.weights), (gradients.biases, net.biases)):
            for a, b in zip(views, shown, strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    assert a.shape == b.shape
                    assert a.strides == b.strides
                    assert np.shares_memory(a, gradients.flat)
        gradients.weights[1][2, 3] = 77.0
        net.parameters[:] = gradients.flat
        assert net.weights[1][2, 3] == 77.0


def test_views_of_gradients_are_those_of_the_array_that_they_have():
    net = mlpcore.MLP([3, 7, 4], seed=0)
    x, y = data(net)
    gradients = net.backward(net.trace(x), "mse", y)
    before = gradients.weights[1].copy()
    gradients.flat = 2.0 * gradients.flat
    np.testing.assert_array_equal(gradients.weights[1], 2.0 * before)
    assert gradients.weights[1] is gradients.weights[1]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))]
)
def test_copies_of_gradients_keep_their_views(copied):
    net = mlpcore.MLP([3, 7, 4], seed=0)
    x, y = data(net)
    gradients = net.backward(net.trace(x), "mse", y)
    assert gradients.weights[0].any()
    other = copied(gradients)
    assert isinstance(other, Gradients)
    np.testing.assert_array_equal(other.flat, gradients.flat)
    other.weights[0][0, 0] = 5.0
    assert 5.0 in other.flat
    assert repr(other) == "Gradients(flat (60,), inputs (6, 3))"


def test_another_net_of_the_same_topology_may_go_back():
    net = mlpcore.MLP([3, 7, 4], seed=0)
    x, y = data(net)
    trace = net.trace(x)
    expected = net.backward(trace, "mse", y).flat
    np.testing.assert_array_equal(mlpcore.MLP([3, 7, 4]).backward(trace, "mse", y).flat, expected)


@pytest.mark.parametrize(
    "other",
    [
        mlpcore.MLP([3, 8, 4]),
        mlpcore.MLP([3, 7, 4], "tanh"),
        mlpcore.MLP([3, 7, 4], dtype="float64"),
        mlpcore.MLP([3, 7, 4], bias=False),
        mlpcore.MLP([3, 4]),
    ],
    ids=repr,
)
def test_a_trace_of_another_topology_is_refused(other):
    net = mlpcore.MLP([3, 7, 4], seed=0)
    x, y = data(net)
    with pytest.raises(ValueError, match=r"^trace: expected one of a net like MLP\(.*got one of"):
        other.backward(net.trace(x), "mse", y)


@pytest.mark.parametrize("trace", [None, np.zeros((6, 4)), "trace", Trace])
def test_what_is_no_trace_is_refused(trace):
    net = mlpcore.MLP([3, 7, 4], seed=0)
    with pytest.raises(TypeError, match=r"^trace: expected a Trace such as net.trace\(x\), got"):
        net.backward(trace, "mse", np.zeros((6, 4)))


def test_a_cotangent_holds_targets_and_weights_already():
    net = mlpcore.MLP([3, 7, 4], seed=0)
    x, y = data(net)
    with pytest.raises(TypeError, match=r"^y: expected a loss with it"):
        net.backward(net.trace(x), y, y)
    with pytest.raises(TypeError, match=r"^sample_weight: expected a loss with it"):
        net.backward(net.trace(x), y, sample_weight=np.ones(6))
    with pytest.raises(TypeError, match=r"^cotangent: expected an array.* with y, got 'mse'"):
        net.backward(net.trace(x), "mse")
    with pytest.raises(TypeError, match=r"^y: expected the targets of MSE"):
        net.backward(net.trace(x), losses.MSE())


def test_records_have_names():
    net = mlpcore.MLP([3, 4, 2], ["tanh", "softmax"], seed=0)
    trace = net.trace(np.ones((5, 3)))
    records = trace.records
    np.testing.assert_array_equal(records.parameters, net.parameters)
    np.testing.assert_array_equal(records.x, trace.input)
    np.testing.assert_array_equal(records.outputs[-1], trace.output)
    np.testing.assert_array_equal(records.pre_activations[0], trace.layers[0].pre_activation)
    assert records.activation_derivatives[1] is None
